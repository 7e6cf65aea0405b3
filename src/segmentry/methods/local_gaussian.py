"""The mean of the neighbourhood, weighted by a bell curve, and a margin, as the threshold.

What is near counts more than what is far, so that the level has no steps where a bright object enters the window: the
bell curve's standard deviation is a third of the window's radius, as in scikit-image. It works under uneven light, for
objects smaller than the window. It fails inside objects larger than the window, and marks noise where the margin is
small.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from segmentry.filters.gaussian import reach, smooth
from segmentry.image import Grid
from segmentry.local_thresholds import LocalThreshold

__all__ = ["LocalGaussian"]


class LocalGaussian(LocalThreshold):
    """A threshold that follows the light smoothly: brighter than the weighted mean around by a margin."""

    name: ClassVar[str] = "local_gaussian"
    source: ClassVar[str] = "Wellner 1993, Adaptive thresholding for the DigitalDesk"

    offset: float = Field(
        0.05, ge=-1, le=1, description="Margin by which a pixel must differ from the mean, as a share of the range."
    )

    def halo(self, grid: Grid) -> tuple[int, ...]:
        return tuple(max(r, s) for r, s in zip(self.box(grid), reach(self._sigma(grid)), strict=True))

    def mean(self, share: NDArray[np.float32], grid: Grid) -> NDArray[np.float32]:
        return smooth(share, self._sigma(grid))

    def level(self, mean: NDArray[np.float32], sd: NDArray[np.float32]) -> NDArray[np.float32]:
        return mean - self.offset

    def _sigma(self, grid: Grid) -> tuple[float, ...]:
        return tuple(r / 3 for r in self.box(grid))
