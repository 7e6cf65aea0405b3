"""Bilateral smoothing: an average of near pixels that are alike.

Each pixel becomes the mean of its neighbourhood, in which a pixel counts less the further away it is and the more its
intensity differs (Tomasi & Manduchi 1998). It works where objects are flat and differ from the background by much more
than the noise; it fails where they don't, leaves single outliers as they are, and makes steps of gentle slopes.
"""

from __future__ import annotations

import math
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from segmentry.errors import ParameterError
from segmentry.filters.noise import Denoiser
from segmentry.image import Grid
from segmentry.length import Length

__all__ = ["Bilateral"]

TRUNCATE = 3.0
MAX_SIGMA = 50.0


class Bilateral(Denoiser):
    """Smooths noise and keeps edges: averages near pixels of similar intensity."""

    name: ClassVar[str] = "bilateral"
    source: ClassVar[str] = "Tomasi & Manduchi 1998, doi:10.1109/ICCV.1998.710815"
    sigma: Length = Field(
        Length(1.5), description="Standard deviation of the weight by distance; 0 leaves the image as it is."
    )
    sigma_intensity: float = Field(
        2.5, gt=0, le=1000, description="Standard deviation of the weight by difference, in units of the noise."
    )

    def halo(self, grid: Grid) -> tuple[int, ...]:
        found = self.sigma.pixels(grid)
        if max(found) > MAX_SIGMA:
            raise ParameterError(f"sigma {self.sigma} is {max(found):g} pixels here; at most {MAX_SIGMA:g} work")
        return tuple(math.ceil(TRUNCATE * s) for s in found)

    def denoised(self, pixels: NDArray[np.float32], noise: float, grid: Grid) -> NDArray[np.float32]:
        from segmentry.kernels.bilateral import bilateral

        reach = self.halo(grid)
        return bilateral(pixels, self.sigma.pixels(grid), reach, self.sigma_intensity * noise) if any(reach) else pixels
