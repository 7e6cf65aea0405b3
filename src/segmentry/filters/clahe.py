"""Contrast-limited adaptive histogram equalisation: each pixel becomes the share of its neighbourhood that is darker.

The histogram is that of a box around the very pixel (Pizer et al. 1987), so there are no regions whose borders could
show. Where one intensity is so frequent that noise would be blown up, its count is cut off and shared out among all
(Zuiderveld 1994 does so for a lattice of regions). It works where contrast differs from place to place. It fails as a
step before measuring: intensities of different places can't be compared any more. The result lies between 0 and 1.
"""

from __future__ import annotations

from typing import ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from segmentry.errors import ParameterError
from segmentry.image import Grid
from segmentry.length import Length
from segmentry.overview import Overview
from segmentry.step import Filter

__all__ = ["Clahe"]

MAX_RADIUS = 500.0


class Clahe(Filter):
    """Brings out faint structures: equalises contrast in the neighbourhood of every pixel, within a limit (CLAHE)."""

    name: ClassVar[str] = "clahe"
    source: ClassVar[str] = "Pizer et al. 1987, doi:10.1016/S0734-189X(87)80186-X"

    radius: Length = Field(Length(64.0), description="Half the width of the box; several times the size of an object.")
    clip_limit: float = Field(
        0.01, gt=0, le=1, description="Largest share of the box that one bin counts for; 1 limits nothing."
    )
    n_bins: int = Field(256, ge=2, le=1024, description="Number of bins that the image's range is divided into.")
    range_: tuple[tuple[float, float], ...] | None = Field(
        None, description="Lowest and highest intensity of each channel."
    )

    def halo(self, grid: Grid) -> tuple[int, ...]:
        found = tuple(round(r) for r in self.radius.pixels(grid))
        if max(found) > MAX_RADIUS:
            raise ParameterError(f"radius {self.radius} is {max(found):g} pixels here; at most {MAX_RADIUS:g} work")
        return found

    def prepare(self, overview: Overview) -> Self:
        return self.model_copy(update={"range_": tuple(overview.range(c) for c in range(overview.n_channels))})

    def plane(self, pixels: NDArray[np.float32], grid: Grid, channel: int) -> NDArray[np.float32]:
        from segmentry.kernels.equalise import equalise

        low, high = (self.range_ or ())[channel]
        width = np.float32(high - low if high > low else 1)
        share = np.clip((pixels - np.float32(low)) / width, 0, 1)
        return equalise(share, self.halo(grid), self.n_bins, self.clip_limit)
