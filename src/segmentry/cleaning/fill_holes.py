"""Background enclosed by one object becomes part of it."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from segmentry.image import Grid, Image
from segmentry.length import Size
from segmentry.result import Instances
from segmentry.step import Cleaner

__all__ = ["FillHoles"]


class FillHoles(Cleaner):
    """Fills holes in objects. A gap between two objects is no hole, nor is one that reaches the image's edge."""

    name: ClassVar[str] = "fill_holes"
    max_size: Size | None = Field(None, description="Largest hole that is filled; none: any size.")

    def halo(self, grid: Grid) -> tuple[int, ...]:
        return (1,) * len(grid.spatial)

    def clean(self, instances: Instances, image: Image | None = None) -> Instances:
        from segmentry.kernels.components import label_components

        labels = np.asarray(instances.labels[...])
        holes, count = label_components(labels == 0, full=False)
        lowest, highest = _neighbours(labels, holes, count)
        filled = (lowest == highest) & (highest > 0)
        filled[_at_edge(holes)] = False
        if self.max_size is not None:
            sizes = np.bincount(holes.ravel(), minlength=count + 1)
            filled &= sizes <= self.max_size.count(instances.grid)
        filled[0] = False
        if not filled.any():
            return instances
        owner = np.where(filled, highest, 0).astype(np.uint32)
        return instances.with_labels(labels + owner[holes], instances.ids)


def _neighbours(labels: NDArray[np.uint32], holes: NDArray[np.uint32], count: int) -> tuple[NDArray[np.uint32], ...]:
    """Return the lowest and the highest id that shares a face with each region of background."""
    lowest = np.full(count + 1, np.iinfo(np.uint32).max, np.uint32)
    highest = np.zeros(count + 1, np.uint32)
    for axis in range(labels.ndim):
        a, b = np.moveaxis(labels, axis, 0), np.moveaxis(holes, axis, 0)
        for one, other in ((a[1:], b[:-1]), (a[:-1], b[1:])):
            meet = (one > 0) & (other > 0)
            np.minimum.at(lowest, other[meet], one[meet])
            np.maximum.at(highest, other[meet], one[meet])
    return lowest, highest


def _at_edge(regions: NDArray[np.uint32]) -> NDArray[np.uint32]:
    faces = [np.moveaxis(regions, axis, 0)[[0, -1]].ravel() for axis in range(regions.ndim)]
    return np.asarray(np.unique(np.concatenate(faces)))
