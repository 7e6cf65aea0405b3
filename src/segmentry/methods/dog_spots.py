"""Spots by differences of Gaussians: what `log_spots` does, about twice as fast, with a coarser measure of radius.

The image is smoothed by bell curves of rising width; the difference between one and the next stands for the Laplacian
at a scale between them (Marr & Hildreth 1980; Lowe 2004). All else is as in `log_spots`: it works on round spots of a
known range of sizes, and finds rows of spots along the edges of larger objects.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from segmentry.filters.gaussian import smooth
from segmentry.spots import Scales, SpotSegmenter

__all__ = ["DogSpots"]


class DogSpots(SpotSegmenter):
    """Finds round spots of a range of sizes like log_spots, faster: large images and volumes."""

    name: ClassVar[str] = "dog_spots"
    source: ClassVar[str] = "Lowe 2004, doi:10.1023/B:VISI.0000029664.99615.94"

    def response(self, pixels: NDArray[np.float32], scales: Scales) -> Iterator[NDArray[np.float32]]:
        # The difference changes its sign where the Laplacian of the scale does, if the narrower curve has this width.
        ratio = math.log(scales.factor)
        narrower = math.sqrt((1 - scales.factor**-2) / (2 * ratio))
        fine = smooth(pixels, scales.along(scales.sigmas[0] * narrower))
        for sigma in scales.sigmas:
            coarse = smooth(pixels, scales.along(sigma * narrower * scales.factor))
            yield (fine - coarse) / np.float32(ratio)
            fine = coarse
