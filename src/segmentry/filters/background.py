"""Background subtraction by a morphological opening: what is wider than the objects is taken away.

The opening (lowest value in a box, then the highest of those) removes objects narrower than the box and leaves the
background under them; smoothed, it is subtracted (the white top-hat; Serra 1982).
"""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from segmentry.errors import ParameterError
from segmentry.filters.gaussian import reach, smooth
from segmentry.image import Grid
from segmentry.length import Length
from segmentry.step import Filter

__all__ = ["Background"]

MAX_RADIUS = 500.0


class Background(Filter):
    """Takes uneven illumination away: subtracts what is wider than the objects."""

    name: ClassVar[str] = "background"
    radius: Length = Field(Length(50.0), description="Half the width of the box; more than the radius of an object.")
    objects: Literal["bright", "dark"] = Field("bright", description="Whether objects are brighter than background.")

    def halo(self, grid: Grid) -> tuple[int, ...]:
        radius = self._radius(grid)
        return tuple(2 * r + s for r, s in zip(radius, reach(tuple(r / 2 for r in radius)), strict=True))

    def plane(self, pixels: NDArray[np.float32], grid: Grid, channel: int) -> NDArray[np.float32]:
        from scipy.ndimage import maximum_filter, minimum_filter

        radius = self._radius(grid)
        box = tuple(2 * r + 1 for r in radius)
        if self.objects == "dark":
            pixels = -pixels
        floor = maximum_filter(minimum_filter(pixels, box, mode="nearest"), box, mode="nearest")
        flat = pixels - smooth(floor, tuple(r / 2 for r in radius))
        return np.asarray(np.maximum(flat, 0, out=flat))

    def _radius(self, grid: Grid) -> tuple[int, ...]:
        found = self.radius.pixels(grid)
        if max(found) > MAX_RADIUS:
            raise ParameterError(f"radius {self.radius} is {max(found):g} pixels here; at most {MAX_RADIUS:g} work")
        return tuple(round(r) for r in found)
