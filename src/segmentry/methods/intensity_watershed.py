"""Watershed on intensities: touching objects are parted where it is dimmer between them.

The landscape is the smoothed image inside the foreground (by a threshold). Its maxima are objects when the way from one
to a brighter one descends by enough contrast (dynamics, Grimaud 1992); flooding from them divides the foreground along
the dim lines between them (Meyer 1994). With `shape` the distance to the background counts as well, as the share of the
largest distance in each connected region: then a neck parts objects that no dim line does. It works on objects that
are brightest in the middle; it fails on textured ones, which it cuts where they are blotchy: smooth more, or give shape
more weight.
"""

from __future__ import annotations

import math
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from segmentry.foreground import TOP, ForegroundSegmenter, distance_levels, divided
from segmentry.image import Grid, Image
from segmentry.length import Length
from segmentry.result import Instances
from segmentry.seeds import scored

__all__ = ["IntensityWatershed"]


class IntensityWatershed(ForegroundSegmenter):
    """Splits touching objects at the dim lines between them, or by intensity and shape together."""

    name: ClassVar[str] = "intensity_watershed"
    source: ClassVar[str] = "Meyer 1994, doi:10.1016/0165-1684(94)90060-4"

    sigma: Length = Field(Length(2.0), description="Smoothing before the threshold, and of the landscape.")
    contrast: float = Field(
        0.1,
        gt=0,
        le=1,
        description="How deep a valley must be to part objects, as a share of their mean height over the background.",
    )
    shape: float = Field(
        0.0, ge=0, le=1, description="How much shape counts: 0 is intensity alone, 1 distance to background alone."
    )

    def segment(self, image: Image) -> Instances:
        ready = self.prepared(image)
        pixels, mask, probable = ready.parted(image)
        levels, unit = ready._landscape(pixels, mask, image.grid)
        labels = divided(levels, ready.sown(levels, mask, math.ceil(self.contrast * unit), image.grid), mask)
        return scored(labels, image.grid, probable)

    def _landscape(
        self, pixels: NDArray[np.float32], mask: NDArray[np.bool_], grid: Grid
    ) -> tuple[NDArray[np.uint16], float]:
        """Return heights, and how many levels an object of the usual brightness, or the middle of a region, has."""
        assert self.classes_ is not None
        assert self.range_ is not None
        low, high = self.range_
        usual = max(self.classes_.mean[1] - self.classes_.mean[0], (high - low) / 1000) or 1.0
        bright = np.clip(pixels.astype(np.float64) - low, 0, high - low) / usual
        most = (high - low) / usual
        heights = bright if self.foreground == "bright" else most - bright
        if self.shape:
            heights = (1 - self.shape) * heights + self.shape * _depth_in_region(mask, grid)
        unit = TOP / max((1 - self.shape) * most + self.shape, 1e-9)
        return np.minimum(np.rint(heights * unit), TOP).astype(np.uint16), unit


def _depth_in_region(mask: NDArray[np.bool_], grid: Grid) -> NDArray[np.float64]:
    """Return how far each pixel is from the background, as a share of the largest distance in its region."""
    from segmentry.kernels.components import label_components

    distance = distance_levels(mask, grid).astype(np.float64)
    regions, count = label_components(mask)
    largest = np.ones(count + 1)
    np.maximum.at(largest, regions.ravel(), distance.ravel())
    return np.asarray(distance / largest[regions])
