"""Non-local means: an average of the pixels around which the image looks alike.

Each pixel becomes the mean of those in its surroundings, each weighted by how little the patch around it differs from
the patch around the pixel, beyond what the noise explains (Buades, Coll & Morel 2005). It works on structures that
repeat, such as edges, fibres and texture, and is among the best of the filters here on strong noise; it fails on
details that occur once, which keep their noise, and it is slow in volumes.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from segmentry.errors import ParameterError
from segmentry.filters.noise import Denoiser
from segmentry.image import Grid
from segmentry.length import Length

__all__ = ["NonLocalMeans"]

MAX_PATCH = 20
MAX_SEARCH = 50


class NonLocalMeans(Denoiser):
    """Removes strong noise and keeps texture: averages pixels whose surroundings look alike."""

    name: ClassVar[str] = "non_local_means"
    source: ClassVar[str] = "Buades, Coll & Morel 2005, doi:10.1109/CVPR.2005.38"
    patch: Length = Field(Length(2.0), description="Radius of the surroundings that are compared.")
    search: Length = Field(Length(6.0), description="How far away pixels are looked for; 0 leaves the image as it is.")
    strength: float = Field(
        1.0, gt=0, le=1000, description="Difference of surroundings that still count as alike, in units of the noise."
    )

    def halo(self, grid: Grid) -> tuple[int, ...]:
        return tuple(p + s for p, s in zip(self._patch(grid), self._search(grid), strict=True))

    def denoised(self, pixels: NDArray[np.float32], noise: float, grid: Grid) -> NDArray[np.float32]:
        from segmentry.kernels.non_local_means import non_local_means

        return non_local_means(pixels, self._patch(grid), self._search(grid), self.strength * noise, noise)

    def _patch(self, grid: Grid) -> tuple[int, ...]:
        return _radius("patch", self.patch, grid, MAX_PATCH)

    def _search(self, grid: Grid) -> tuple[int, ...]:
        return _radius("search", self.search, grid, MAX_SEARCH)


def _radius(name: str, length: Length, grid: Grid, most: int) -> tuple[int, ...]:
    found = tuple(round(r) for r in length.pixels(grid))
    if max(found) > most:
        raise ParameterError(f"{name} {length} is {max(found)} pixels here; at most {most} work")
    return found
