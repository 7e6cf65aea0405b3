"""Gaussian smoothing: the average of the neighbourhood, weighted by a bell curve."""

from __future__ import annotations

import math
from typing import ClassVar, Literal

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
    sigma_y: Length | None = Field(None, description="Along the axis Y, where it is another than sigma.")
    sigma_z: Length | None = Field(None, description="Along the axis Z, where it is another than sigma.")
    truncate: float = Field(TRUNCATE, ge=1, le=10, description="How many sigma the bell curve reaches to either side.")
    edges: Literal["repeated", "single"] = Field(
        "repeated", description="Whether the mirror image beyond an edge begins with the pixel at the edge once more."
    )

    def halo(self, grid: Grid) -> tuple[int, ...]:
        return reach(self._sigma(grid), self.truncate)

    def plane(self, pixels: NDArray[np.float32], grid: Grid, channel: int) -> NDArray[np.float32]:
        return smooth(pixels, self._sigma(grid), self.truncate, self.edges)

    def _sigma(self, grid: Grid) -> tuple[float, ...]:
        given = {"Y": self.sigma_y or self.sigma, "Z": self.sigma_z or self.sigma}
        return tuple(sigma_pixels(given.get(axis, self.sigma), grid)[i] for i, axis in enumerate(grid.spatial))


def reach(sigma: tuple[float, ...], truncate: float = TRUNCATE) -> tuple[int, ...]:
    """Return how many pixels a bell curve of this standard deviation reaches along each axis."""
    return tuple(max(math.floor(truncate * s + 0.5), int(s > 0)) for s in sigma)


def smooth(
    pixels: NDArray[np.float32],
    sigma: tuple[float, ...],
    truncate: float = TRUNCATE,
    edges: Literal["repeated", "single"] = "repeated",
) -> NDArray[np.float32]:
    """Return a float32 array convolved with a Gaussian that is cut off; edges are mirrored."""
    from scipy.ndimage import gaussian_filter

    if not any(sigma):
        return pixels
    mode = "reflect" if edges == "repeated" else "mirror"
    found = gaussian_filter(pixels, sigma, radius=reach(sigma, truncate), mode=mode, output=np.float32)
    return np.asarray(found)


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
