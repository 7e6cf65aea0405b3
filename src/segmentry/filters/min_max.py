"""Intensities scaled so that the lowest and the highest of the whole image become 0 and 1.

It brings images of different types to one scale. A single hot pixel squeezes all others: where there are such, use
percentiles (``normalise``).
"""

from __future__ import annotations

from typing import ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from segmentry.image import Grid
from segmentry.overview import Overview
from segmentry.step import Filter

__all__ = ["MinMax"]


class MinMax(Filter):
    """Scales the whole range of each channel to 0 … 1."""

    name: ClassVar[str] = "min_max"
    range_: tuple[tuple[float, float], ...] | None = Field(None, description="Lowest and highest of each channel.")

    def prepare(self, overview: Overview) -> Self:
        return self.model_copy(update={"range_": tuple(overview.range(c) for c in range(overview.n_channels))})

    def plane(self, pixels: NDArray[np.float32], grid: Grid, channel: int) -> NDArray[np.float32]:
        low, high = (self.range_ or ())[channel]
        width = np.float32(high) - np.float32(low)
        return (pixels - np.float32(low)) / (width if width > 0 else np.float32(1))
