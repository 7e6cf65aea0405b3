"""Spots by the Laplacian of Gaussian: each is a maximum in space and over scales, and the scale tells its radius.

The image is smoothed by bell curves of rising width; the Laplacian, times the square of the width, is highest in the
middle of a spot when the width fits it (Lindeberg 1998). Maxima that stand out from noise and background count; of two
that largely cover each other the stronger stays. Each becomes a disc or ball of its radius. It works on round spots of
a known range of sizes: vesicles, molecules, small nuclei, stars; it fails on long objects, and it finds rows of spots
along the edges of objects larger than `max_radius`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from segmentry.laplacian import laplacian_of_gaussian
from segmentry.spots import Scales, SpotSegmenter

__all__ = ["LogSpots"]


class LogSpots(SpotSegmenter):
    """Finds round spots of a range of sizes and measures their radius: vesicles, molecules, small nuclei."""

    name: ClassVar[str] = "log_spots"
    source: ClassVar[str] = "Lindeberg 1998, doi:10.1023/A:1008045108935"

    def response(self, pixels: NDArray[np.float32], scales: Scales) -> Iterator[NDArray[np.float32]]:
        for sigma in scales.sigmas:
            yield -laplacian_of_gaussian(pixels, scales.along(sigma))
