"""Intensities scaled so that two percentiles of the whole image become 0 and 1."""

from __future__ import annotations

from typing import ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from segmentry.image import Grid
from segmentry.overview import Overview
from segmentry.step import Filter

__all__ = ["Normalise"]


class Normalise(Filter):
    """Scales intensities between two percentiles of each channel to 0 … 1."""

    name: ClassVar[str] = "normalise"
    low: float = Field(1.0, ge=0, le=100, description="Percentile that becomes 0.")
    high: float = Field(99.8, ge=0, le=100, description="Percentile that becomes 1.")
    clip: bool = Field(False, description="Whether values beyond 0 and 1 are cut off.")
    range_: tuple[tuple[float, float], ...] | None = Field(None, description="The two intensities of each channel.")

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.low >= self.high:
            raise ValueError(f"low ({self.low:g}) must be less than high ({self.high:g})")
        return self

    def prepare(self, overview: Overview) -> Self:
        histograms = (overview.histogram(c) for c in range(overview.n_channels))
        found = tuple((h.percentile(self.low), h.percentile(self.high)) for h in histograms)
        return self.model_copy(update={"range_": found})

    def plane(self, pixels: NDArray[np.float32], grid: Grid, channel: int) -> NDArray[np.float32]:
        low, high = (self.range_ or ())[channel]
        width = np.float32(high - low)
        scaled = (pixels - np.float32(low)) / (width if width > 0 else np.float32(1))
        return np.asarray(np.clip(scaled, 0, 1) if self.clip else scaled, np.float32)
