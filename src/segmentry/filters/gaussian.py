"""Gaussian smoothing: the average of the neighbourhood, weighted by a bell curve."""

from __future__ import annotations

import math
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from segmentry.errors import ParameterError
from segmentry.image import Grid
from segmentry.length import Length
from segmentry.step import Filter

__all__ = ["Gaussian", "reach", "sigma_pixels", "smooth"]

TRUNCATE = 4.0
MAX_SIGMA = 500.0


class Gaussian(Filter):
    """Smooths noise away, and details smaller than sigma with it."""

    name: ClassVar[str] = "gaussian"
    sigma: Length = Field(Length(1.0), description="Standard deviation of the bell curve; 0 leaves the image as it is.")

    def halo(self, grid: Grid) -> tuple[int, ...]:
        return reach(sigma_pixels(self.sigma, grid))

    def plane(self, pixels: NDArray[np.float32], grid: Grid, channel: int) -> NDArray[np.float32]:
        return smooth(pixels, sigma_pixels(self.sigma, grid))


def reach(sigma: tuple[float, ...]) -> tuple[int, ...]:
    """Return how many pixels a bell curve of this standard deviation reaches along each axis."""
    return tuple(math.floor(TRUNCATE * s + 0.5) for s in sigma)


def smooth(pixels: NDArray[np.float32], sigma: tuple[float, ...]) -> NDArray[np.float32]:
    """Return a float32 array convolved with a Gaussian cut off at 4 sigma; edges are mirrored."""
    from scipy.ndimage import gaussian_filter

    if not any(sigma):
        return pixels
    return np.asarray(gaussian_filter(pixels, sigma, truncate=TRUNCATE, mode="reflect", output=np.float32))


def sigma_pixels(sigma: Length, grid: Grid) -> tuple[float, ...]:
    """Return a standard deviation in pixels per axis.

    Raises
    ------
    ParameterError
        When it is so large that a window around a pixel would be a whole image.
    """
    found = sigma.pixels(grid)
    if max(found) > MAX_SIGMA:
        raise ParameterError(f"sigma {sigma} is {max(found):g} pixels here; at most {MAX_SIGMA:g} are possible")
    return found
