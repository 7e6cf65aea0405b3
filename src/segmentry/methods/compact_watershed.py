"""Compact watershed: flooding on the gradient in which distance to the seed counts too.

The cost of a pixel is the steepness of the image there and, times `compactness`, its distance to the seed that the
flood came from (Neubert & Protzel 2014): the more distance counts, the rounder the regions and the less they follow
edges. Seeds are the middles of the objects that a threshold finds, which are then divided; or a regular grid, which
divides the whole image into patches of nearly one size (superpixels). It works where plain flooding lets one object run
around another; it fails on objects of very different size, whose borders are drawn half-way.
"""

from __future__ import annotations

import math
from typing import ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from segmentry.foreground import STEPS_PER_PIXEL, ForegroundSegmenter, distance_levels
from segmentry.gradients import slopes, steepness
from segmentry.image import Grid, Image
from segmentry.length import Length
from segmentry.result import Instances
from segmentry.seeds import scored

__all__ = ["CompactWatershed"]


class CompactWatershed(ForegroundSegmenter):
    """Splits touching objects into round ones, or the whole image into patches of one size."""

    name: ClassVar[str] = "compact_watershed"
    source: ClassVar[str] = "Neubert & Protzel 2014, doi:10.1109/ICPR.2014.181"

    markers: Literal["objects", "grid"] = Field(
        "objects", description="Whether seeds are the middles of objects, or a grid that divides the whole image."
    )
    step: Length = Field(Length(20.0), description="Distance between the seeds of a grid.")
    compactness: float = Field(
        0.01,
        ge=0,
        le=1000,
        description="What a pixel of distance to the seed counts, where a slope from the mean of background to that of "
        "objects within one pixel counts 1.",
    )
    depth: Length = Field(
        Length(1.0), description="How much narrower than both objects a neck must be to part them, as a distance."
    )

    @model_validator(mode="after")
    def _one_kind_of_seeds(self) -> Self:
        if self.markers == "grid" and self.seeds is not None:
            raise ValueError("seeds can't be given together with markers 'grid'")
        return self

    def halo(self, grid: Grid) -> tuple[int, ...] | None:
        return None if self.markers == "grid" else super().halo(grid)

    def segment(self, image: Image) -> Instances:
        from segmentry.kernels.compact import compact_flood

        ready = self.prepared(image)
        assert ready.classes_ is not None
        pixels, mask, probable = ready.parted(image)
        if self.markers == "grid":
            mask = np.ones_like(mask)
            seeds = _regular(image.grid, self.step)
        else:
            levels = distance_levels(mask, image.grid)
            depth = math.ceil(max(self.depth.pixels(image.grid)) * STEPS_PER_PIXEL)
            seeds = ready.sown(levels, mask, depth, image.grid)
            mask |= seeds > 0
        below, above = ready.classes_.mean
        heights = steepness(slopes(pixels, image.grid.anisotropy)) / np.float32((above - below) or 1.0)
        labels = compact_flood(heights, seeds, mask, image.grid.anisotropy, self.compactness, full=True)
        return scored(labels, image.grid, probable)


def _regular(grid: Grid, step: Length) -> NDArray[np.uint32]:
    """Return seeds 1 … n that are evenly spread, about a step apart along each axis."""
    seeds = np.zeros(grid.shape, np.uint32)
    places = []
    for n, s in zip(grid.shape, step.pixels(grid), strict=True):
        count = max(1, min(n, round(n / max(s, 1.0))))
        places.append(((np.arange(count) + 0.5) * n / count).astype(np.int64))
    at = np.ix_(*places)
    seeds[at] = np.arange(1, math.prod(len(p) for p in places) + 1, dtype=np.uint32).reshape([len(p) for p in places])
    return seeds
