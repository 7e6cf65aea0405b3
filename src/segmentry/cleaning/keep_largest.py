"""Only the largest objects stay: the organ, the colony, the embryo, without what lies about.

Sizes are compared over the whole image at each time point (or plane, where planes are segmented by themselves). Of
objects of one size the first in raster order stays. It works where it is known how many objects there are; it fails
where what is wanted is not the largest.
"""

from __future__ import annotations

from typing import ClassVar, Self

import numpy as np
from pydantic import Field

from segmentry.image import Image
from segmentry.labelling import survey
from segmentry.result import Instances
from segmentry.step import Cleaner

__all__ = ["KeepLargest"]


class KeepLargest(Cleaner):
    """Keeps the largest object of each time point, or the few largest."""

    name: ClassVar[str] = "keep_largest"
    number: int = Field(1, ge=1, le=1_000_000, description="How many objects stay.")
    kept_: tuple[int, ...] | None = Field(None, description="The ids of the largest objects.")

    def surveyed(self, instances: Instances, image: Image | None = None) -> Self:
        held = survey(instances.labels)
        order = np.lexsort((held.first, -held.sizes))
        return self.model_copy(update={"kept_": tuple(held.ids[order[: self.number]].tolist())})

    def clean(self, instances: Instances, image: Image | None = None) -> Instances:
        kept = self.kept_ if self.kept_ is not None else self.surveyed(instances).kept_
        return instances.keep(np.isin(instances.ids, np.array(kept, np.uint32)))
