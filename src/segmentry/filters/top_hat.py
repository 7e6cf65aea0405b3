"""Top-hat: what is narrower than a box, and nothing else, stays.

The opening (lowest value in a box, then the highest of those) keeps only what a box fits into; taken from the image, it
leaves bright details smaller than the box at their height above what surrounds them (Serra 1982). For dark details, the
closing less the image. It works for spots, threads and uneven light; noise is kept, since it is narrow too.
"""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from segmentry.errors import ParameterError
from segmentry.image import Grid
from segmentry.length import Length
from segmentry.step import Filter

__all__ = ["TopHat"]

MAX_RADIUS = 500.0


class TopHat(Filter):
    """Keeps spots and threads narrower than a box, at their height above the surroundings."""

    name: ClassVar[str] = "top_hat"
    source: ClassVar[str] = "Serra 1982, Image Analysis and Mathematical Morphology"

    radius: Length = Field(Length(10.0), description="Half the width of the box; more than the radius of a detail.")
    objects: Literal["bright", "dark"] = Field("bright", description="Whether bright or dark details are kept.")

    def halo(self, grid: Grid) -> tuple[int, ...]:
        return tuple(2 * r for r in self._radius(grid))

    def plane(self, pixels: NDArray[np.float32], grid: Grid, channel: int) -> NDArray[np.float32]:
        from segmentry.kernels.extremes import running_maximum, running_minimum

        radius = self._radius(grid)
        if self.objects == "dark":
            return running_minimum(running_maximum(pixels, radius), radius) - pixels
        return pixels - running_maximum(running_minimum(pixels, radius), radius)

    def _radius(self, grid: Grid) -> tuple[int, ...]:
        found = self.radius.pixels(grid)
        if max(found) > MAX_RADIUS:
            raise ParameterError(f"radius {self.radius} is {max(found):g} pixels here; at most {MAX_RADIUS:g} work")
        return tuple(round(r) for r in found)
