"""Rolling ball: a ball rolls along under the image; the surface that it touches is background, and is taken away.

The intensities are seen as a landscape. The ball can't enter what is narrower than itself, and follows what changes
slowly (Sternberg 1983): the grey opening by a ball, computed exactly. The image may be smoothed a little before, so
that single noisy pixels don't hold the ball down. It works under uneven light, for objects smaller than the ball; it
follows slopes better than a box does. It fails on objects larger than the ball, and where intensities span less than a
few units (0 … 1), unless a height is given: the ball is then so steep that it touches every pixel.
"""

from __future__ import annotations

import math
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from segmentry.errors import ParameterError
from segmentry.filters.gaussian import reach, sigma_pixels, smooth
from segmentry.image import Grid
from segmentry.length import Length
from segmentry.step import Filter

__all__ = ["RollingBall"]

MAX_RADIUS = 500.0
MAX_PIXELS = 2**24


class RollingBall(Filter):
    """Takes uneven light away with a ball that rolls along under the image, as in ImageJ."""

    name: ClassVar[str] = "rolling_ball"
    source: ClassVar[str] = "Sternberg 1983, doi:10.1109/MC.1983.1654163"

    radius: Length = Field(Length(50.0), description="Radius of the ball; more than the radius of an object.")
    height: float | None = Field(
        None,
        gt=0,
        le=1e9,
        description="Radius along the intensities; none: as many units as the radius has pixels along X.",
    )
    sigma: Length = Field(
        Length(1.0), description="Smoothing of the landscape that the ball rolls under (standard deviation); 0: none."
    )
    objects: Literal["bright", "dark"] = Field("bright", description="Whether objects are brighter than background.")

    def halo(self, grid: Grid) -> tuple[int, ...]:
        smoothing = reach(sigma_pixels(self.sigma, grid))
        return tuple(2 * math.floor(r) + s for r, s in zip(self._radius(grid), smoothing, strict=True))

    def plane(self, pixels: NDArray[np.float32], grid: Grid, channel: int) -> NDArray[np.float32]:
        from segmentry.kernels.rolling_ball import ball_opening

        if self.objects == "dark":
            pixels = -pixels
        radius = self._radius(grid)
        ground = smooth(pixels, sigma_pixels(self.sigma, grid))
        height = max(radius[-1], 1.0) if self.height is None else self.height
        flat = pixels - ball_opening(ground, radius, height)
        return np.asarray(np.maximum(flat, 0, out=flat))

    def _radius(self, grid: Grid) -> tuple[float, ...]:
        found = self.radius.pixels(grid)
        if max(found) > MAX_RADIUS:
            raise ParameterError(f"radius {self.radius} is {max(found):g} pixels here; at most {MAX_RADIUS:g} work")
        pixels = math.prod(2 * math.floor(r) + 1 for r in found)
        if pixels > MAX_PIXELS:
            raise ParameterError(
                f"radius {self.radius}: a ball in a box of {pixels:,} pixels is too large; resample first"
            )
        return found
