"""Objects of which the method is not sure are dropped.

What a score means is said by each method; most give the mean probability of an object's pixels. It works where scores
tell right objects from wrong ones: look at the column `score` of the table. Objects without a score stay.
"""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from segmentry.image import Image
from segmentry.result import Instances
from segmentry.step import Cleaner

__all__ = ["DropUnsure"]


class DropUnsure(Cleaner):
    """Drops objects whose score is below a bound."""

    name: ClassVar[str] = "drop_unsure"
    min_score: float = Field(0.5, ge=0, le=1, description="Lowest score that stays.")

    def clean(self, instances: Instances, image: Image | None = None) -> Instances:
        return instances if instances.scores is None else instances.keep(~(instances.scores < self.min_score))
