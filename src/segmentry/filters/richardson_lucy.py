"""Richardson-Lucy deconvolution: the image sharpened by undoing the blur of the microscope.

From a flat image on, each step multiplies the estimate by how much brighter the image is than the estimate after
blurring (Richardson 1972; Lucy 1974); the blur is a Gaussian. The darkest intensity of the whole image counts as no
light. It works where the blur is known and the image has little noise; it fails with a blur that is assumed too wide,
which gives rings, and with many iterations on a noisy image, which turn noise into grain.
"""

from __future__ import annotations

from typing import ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from segmentry.errors import ParameterError
from segmentry.filters.gaussian import reach, smooth
from segmentry.image import Grid
from segmentry.length import Length
from segmentry.overview import Overview
from segmentry.step import Filter

__all__ = ["RichardsonLucy"]

MAX_HALO = 500


class RichardsonLucy(Filter):
    """Sharpens: undoes the blur of a point spread function that is nearly a Gaussian."""

    name: ClassVar[str] = "richardson_lucy"
    source: ClassVar[str] = "Lucy 1974, doi:10.1086/111605; Richardson 1972, doi:10.1364/JOSA.62.000055"
    sigma: Length = Field(
        Length(1.0), description="Standard deviation of the blur (its full width at half height over 2.35)."
    )
    sigma_z: Length | None = Field(
        None, description="Standard deviation of the blur along Z, where it is longer; none: the same as sigma."
    )
    iterations: int = Field(10, ge=1, le=200, description="Steps; more sharpen more, and make noise grow.")
    range_: tuple[tuple[float, float], ...] | None = Field(
        None, description="Lowest and highest intensity of each channel."
    )

    def prepare(self, overview: Overview) -> Self:
        found = tuple(overview.range(c) for c in range(overview.n_channels))
        return self.model_copy(update={"range_": found})

    def halo(self, grid: Grid) -> tuple[int, ...]:
        found = tuple((2 * self.iterations - 1) * r for r in reach(self._sigma(grid)))
        if max(found) > MAX_HALO:
            raise ParameterError(
                f"{self.iterations} iterations with a blur of {max(self._sigma(grid)):g} pixels look {max(found)} "
                f"pixels far; at most {MAX_HALO} are possible: use fewer iterations or a smaller sigma"
            )
        return found

    def plane(self, pixels: NDArray[np.float32], grid: Grid, channel: int) -> NDArray[np.float32]:
        low, high = (self.range_ or ())[channel]
        sigma = self._sigma(grid)
        if high <= low or not any(sigma):
            return pixels
        light = np.maximum((pixels - np.float32(low)) / np.float32(high - low), 0)
        # The first step from a flat image, whose blur is itself.
        found = smooth(light, sigma)
        for _ in range(self.iterations - 1):
            blurred = smooth(found, sigma)
            np.divide(light, blurred, out=blurred, where=blurred > 0)
            found = found * smooth(blurred, sigma)
        return found * np.float32(high - low) + np.float32(low)

    def _sigma(self, grid: Grid) -> tuple[float, ...]:
        found = self.sigma.pixels(grid)
        if self.sigma_z is None or "Z" not in grid.spatial:
            return found
        return (self.sigma_z.pixels(grid)[0], *found[1:])
