"""A cut by hand: the objects that a line meets are parted along it.

The line runs from one pixel position to another; objects that it meets between the two are cut all the way through, and
each connected piece on either side becomes an object. In a volume the line is drawn in a plane and extended along the
axis across that plane. It is for the few places where a method that splits does not see what the eye sees.
"""

from __future__ import annotations

import math
from typing import Annotated, ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from segmentry.image import Grid, Image, Region
from segmentry.mending import each_object, parted
from segmentry.result import Instances
from segmentry.step import Cleaner

__all__ = ["SplitLine"]

Position = tuple[Annotated[float, Field(ge=-1e6, le=1e6)], Annotated[float, Field(ge=-1e6, le=1e6)]]

Line = tuple[float, float, float, float]


class SplitLine(Cleaner):
    """Cuts objects along a line that you draw; in a volume along the plane above and below it."""

    name: ClassVar[str] = "split_line"
    splits: ClassVar[bool] = True
    start: Position | None = Field(None, description="Where the line begins: row and column, in pixels.")
    end: Position | None = Field(None, description="Where the line ends; with no start or no end nothing is cut.")
    axis: Literal["Z", "Y", "X"] = Field(
        "Z",
        description="Axis of a volume along which the line is extended; positions are along the other two, in order.",
    )
    offset_: tuple[int, ...] | None = None

    def within(self, window: Region) -> Self:
        return self.model_copy(update={"offset_": tuple(s.start for s in window)})

    def clean(self, instances: Instances, image: Image | None = None) -> Instances:
        from segmentry.kernels.components import label_components

        if self.start is None or self.end is None:
            return instances
        labels = np.asarray(instances.labels[...])
        line = (*self.start, *self.end)
        plane = self._plane(instances.grid)
        met = self._met(labels, line, plane)
        parts = np.zeros(labels.shape, np.uint32)
        total = 0
        for _, box, mask in each_object(instances.keep(np.isin(instances.ids, met))):
            pieces, count = label_components(np.where(mask, self._sides(mask, box, line, plane), 0).astype(np.uint8))
            if count > 1:
                parts[box] += np.where(mask, pieces + np.uint32(total), 0).astype(np.uint32)
                total += count
        return parted(instances, parts)

    def _plane(self, grid: Grid) -> tuple[int, int]:
        """Return the two axes of the array in which the line is drawn."""
        first, second = (i for i, name in enumerate("ZYX") if name != self.axis)
        return (first, second) if grid.spatial == "ZYX" else (0, 1)

    def _met(self, labels: NDArray[np.uint32], line: Line, plane: tuple[int, int]) -> NDArray[np.uint32]:
        """Return the ids at the pixels through which the line runs."""
        a, b, c, d = line
        share = np.linspace(0, 1, math.ceil(2 * math.hypot(c - a, d - b)) + 1)
        start = self.offset_ or (0,) * labels.ndim
        row = np.rint(a + share * (c - a)).astype(np.int64) - start[plane[0]]
        column = np.rint(b + share * (d - b)).astype(np.int64) - start[plane[1]]
        inside = (row >= 0) & (row < labels.shape[plane[0]]) & (column >= 0) & (column < labels.shape[plane[1]])
        return np.unique(np.moveaxis(labels, plane, (0, 1))[row[inside], column[inside]])

    def _sides(self, mask: NDArray[np.bool_], box: Region, line: Line, plane: tuple[int, int]) -> NDArray[np.uint8]:
        """Return 1 for the pixels of a box on one side of the line, 2 for those on the other side and on it."""
        a, b, c, d = line
        start = self.offset_ or (0,) * mask.ndim
        places = np.ogrid[tuple(slice(s.start + o, s.stop + o) for s, o in zip(box, start, strict=True))]
        across = (places[plane[0]] - a) * (d - b) - (places[plane[1]] - b) * (c - a)
        return np.asarray(np.broadcast_to(np.where(across > 0, 1, 2), mask.shape), np.uint8)
