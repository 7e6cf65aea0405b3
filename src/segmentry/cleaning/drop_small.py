"""Objects of too few pixels are dropped: dust, noise, debris."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from segmentry.image import Image
from segmentry.labelling import survey
from segmentry.length import Size
from segmentry.result import Instances
from segmentry.step import Cleaner

__all__ = ["DropSmall"]


class DropSmall(Cleaner):
    """Drops objects smaller than a size."""

    name: ClassVar[str] = "drop_small"
    min_size: Size = Field(Size(30.0), description="Smallest area or volume that stays.")

    def clean(self, instances: Instances, image: Image | None = None) -> Instances:
        return instances.keep(survey(instances.labels).sizes >= self.min_size.count(instances.grid))
