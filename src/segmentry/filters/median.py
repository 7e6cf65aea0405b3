"""Median: each pixel becomes the middle one of the values in a box around it.

Single wrong pixels vanish and edges stay where they are, which no average does (Tukey 1977). It works on hot pixels,
salt-and-pepper noise and speckle; it takes away corners, and threads narrower than half the box.
"""

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

__all__ = ["Median"]

MAX_RADIUS = 100.0
MAX_PIXELS = 2**20


class Median(Filter):
    """Removes single wrong pixels and noise, and keeps edges sharp."""

    name: ClassVar[str] = "median"
    source: ClassVar[str] = "Huang et al. 1979, doi:10.1109/TASSP.1979.1163188"

    radius: Length = Field(Length(1.0), description="Half the width of the box, less half a pixel: 1 is a box of 3.")

    def halo(self, grid: Grid) -> tuple[int, ...]:
        found = tuple(round(r) for r in self.radius.pixels(grid))
        if max(found) > MAX_RADIUS:
            raise ParameterError(f"radius {self.radius} is {max(found):g} pixels here; at most {MAX_RADIUS:g} work")
        pixels = math.prod(2 * r + 1 for r in found)
        if pixels > MAX_PIXELS:
            raise ParameterError(
                f"radius {self.radius} is a box of {pixels:,} pixels here; at most {MAX_PIXELS:,} work"
            )
        return found

    def plane(self, pixels: NDArray[np.float32], grid: Grid, channel: int) -> NDArray[np.float32]:
        from segmentry.kernels.rank import median

        radius = self.halo(grid)
        return median(pixels, radius) if any(radius) else pixels
