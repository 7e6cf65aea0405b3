"""Watershed on the gradient: outlines settle where the intensity changes most.

Each object has a marker, and the background one of its own; flooding the steepness of the image from them lets the
regions meet on its ridges (Meyer & Beucher 1990). Markers are found by a threshold: objects, split at their necks, are
sure further inside its outline than `band`, and so is the background further outside. It works where a threshold finds
the objects but their outline is better drawn by the edge than by one intensity; it fails where an edge is blurred over
more than the band, or where a stronger edge lies in it.
"""

from __future__ import annotations

import math
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from segmentry.foreground import STEPS_PER_PIXEL, TOP, ForegroundSegmenter, distance_levels, divided
from segmentry.gradients import slopes, steepness
from segmentry.image import Grid, Image
from segmentry.length import Length
from segmentry.result import Instances
from segmentry.seeds import scored

__all__ = ["GradientWatershed"]


class GradientWatershed(ForegroundSegmenter):
    """Draws the outlines of objects along the steepest edge near a threshold; touching ones are split."""

    name: ClassVar[str] = "gradient_watershed"
    source: ClassVar[str] = "Meyer & Beucher 1990, doi:10.1016/1047-3203(90)90014-M"

    band: Length = Field(Length(3.0), description="How far the edge may lie from the outline that the threshold draws.")
    depth: Length = Field(
        Length(1.0), description="How much narrower than both objects a neck must be to part them, as a distance."
    )

    def halo(self, grid: Grid) -> None:
        return None

    def segment(self, image: Image) -> Instances:
        from segmentry.kernels.watershed import flood

        ready = self.prepared(image)
        pixels, mask, probable = ready.parted(image)
        markers, background = ready._markers(mask, image.grid)
        steep = steepness(slopes(pixels, image.grid.anisotropy))
        levels = np.rint(steep * (TOP / (float(steep.max()) or 1.0))).astype(np.uint16)
        labels = flood(levels, markers, np.ones(mask.shape, np.bool_))
        labels[labels == background] = 0
        return scored(labels, image.grid, probable)

    def _markers(self, mask: NDArray[np.bool_], grid: Grid) -> tuple[NDArray[np.uint32], int]:
        """Return the sure parts of objects as 1 … n and those of the background as n + 1, and this number.

        What is narrower than the band all over keeps the pixel that is furthest inside.
        """
        from segmentry.kernels.watershed import deep_maxima

        band = max(self.band.pixels(grid)) * STEPS_PER_PIXEL
        inside, outside = distance_levels(mask, grid), distance_levels(~mask, grid)
        depth = math.ceil(max(self.depth.pixels(grid)) * STEPS_PER_PIXEL)
        seeds = self.sown(inside, mask, depth, grid)
        background = int(seeds.max(initial=0)) + 1
        markers = np.where((inside > band) | (seeds > 0), divided(inside, seeds, mask), np.uint32(0))
        furthest = deep_maxima(outside, ~mask, TOP) > 0
        markers[((outside > band) | furthest) & (seeds == 0)] = background
        return markers, background
