"""Objects that the edge of the image cuts off are dropped: their size and shape are not known."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from pydantic import Field

from segmentry.image import Grid, Image
from segmentry.result import Instances
from segmentry.step import Cleaner

__all__ = ["ClearBorder"]


class ClearBorder(Cleaner):
    """Drops objects that touch the edge of the image."""

    name: ClassVar[str] = "clear_border"
    margin: int = Field(0, ge=0, le=10_000, description="How near the edge counts as touching, in pixels.")
    depth: bool = Field(True, description="Whether the first and last plane of a volume are edges as well.")

    def halo(self, grid: Grid) -> tuple[int, ...]:
        return (self.margin,) * len(grid.spatial)

    def clean(self, instances: Instances, image: Image | None = None) -> Instances:
        labels = np.asarray(instances.labels[...])
        grid = instances.grid
        touching = [np.zeros(0, np.uint32)]
        for axis, name in enumerate(grid.spatial):
            if name == "Z" and not self.depth:
                continue
            first, last = grid.cut[axis] if grid.cut else (False, False)
            moved = np.moveaxis(labels, axis, 0)
            if not first:
                touching.append(np.unique(moved[: self.margin + 1]))
            if not last:
                touching.append(np.unique(moved[-self.margin - 1 :]))
        return instances.keep(~np.isin(instances.ids, np.concatenate(touching)))
