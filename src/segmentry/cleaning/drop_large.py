"""Objects of too many pixels are dropped: clumps, folds, the edge of a dish.

It works where objects of one kind have a size that they don't exceed; it fails where whole objects touch and count as
one: split them first.
"""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from segmentry.image import Image
from segmentry.labelling import survey
from segmentry.length import Size
from segmentry.result import Instances
from segmentry.step import Cleaner

__all__ = ["DropLarge"]


class DropLarge(Cleaner):
    """Drops objects larger than a size."""

    name: ClassVar[str] = "drop_large"
    max_size: Size = Field(Size(10_000.0), description="Largest area or volume that stays.")

    def clean(self, instances: Instances, image: Image | None = None) -> Instances:
        return instances.keep(survey(instances.labels).sizes <= self.max_size.count(instances.grid))
