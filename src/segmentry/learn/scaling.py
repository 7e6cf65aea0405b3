"""How intensities become numbers of about one size before a network sees them: the same in training and in use."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Self, TypeAlias

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

from segmentry.overview import Histogram, Overview

__all__ = ["Scale", "Scaling"]

#: What is subtracted from a channel, and what it is then divided by, for each channel.
Scale: TypeAlias = tuple[tuple[float, float], ...]


class Scaling(BaseModel):
    """Which numbers of the whole image intensities are measured by."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    by: Literal["percentiles", "deviation", "fixed"] = Field(
        default="percentiles",
        description="Two percentiles of each image become 0 and 1; or its mean becomes 0 and its standard deviation 1;"
        " or the numbers in `fixed` are taken for all images, as for CT, whose intensities mean something.",
    )
    low: float = Field(default=1.0, ge=0, le=100, description="Percentile that becomes 0.")
    high: float = Field(default=99.8, ge=0, le=100, description="Percentile that becomes 1.")
    fixed: tuple[tuple[float, float], ...] = Field(
        default=(),
        description="For each channel, what is subtracted and what it is divided by, the same for all images.",
    )
    interpolated: bool = Field(
        default=False,
        description="Whether a percentile may lie between two intensities that occur, and a channel whose two"
        " percentiles are the same becomes 0; networks of Cellpose have learned so.",
    )
    limit: float = Field(
        default=10.0, gt=0, le=1e6, description="Numbers beyond this, on either side of 0, are cut off."
    )

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.low >= self.high:
            raise ValueError(f"low ({self.low:g}) must be less than high ({self.high:g})")
        if self.by == "fixed" and not self.fixed:
            raise ValueError("scaling by fixed numbers needs `fixed`")
        return self

    def measured(self, overview: Overview) -> Scale:
        """Return what is subtracted from each channel of an image, and what it is divided by."""
        if self.by == "fixed":
            return self.fixed
        find = self._percentiles if self.by == "percentiles" else _deviation
        return tuple(find(overview.histogram(c)) for c in range(overview.n_channels))

    def _percentiles(self, histogram: Histogram) -> tuple[float, float]:
        if self.interpolated:
            low, high = _between(histogram, self.low), _between(histogram, self.high)
        else:
            low, high = histogram.percentile(self.low), histogram.percentile(self.high)
        return low, high - low

    def applied(self, pixels: NDArray[np.generic], scale: Sequence[tuple[float, float]]) -> NDArray[np.float32]:
        """Return (channels, *spatial) pixels as float32 numbers, scaled; 0 where they are not finite."""
        found = np.array(pixels, np.float32, order="C")
        for i, (centre, width) in enumerate(scale):
            if width > 0 or not self.interpolated:
                found[i] = (found[i] - np.float32(centre)) / np.float32(width if width > 0 else 1)
            else:
                found[i] = 0
        np.nan_to_num(found, copy=False, nan=0.0, posinf=self.limit, neginf=-self.limit)
        return np.clip(found, -self.limit, self.limit, out=found)


def _deviation(histogram: Histogram) -> tuple[float, float]:
    counts, values = histogram.counts, histogram.values
    total = counts.sum()
    if not total:
        return 0.0, 0.0
    mean = float((counts * values).sum() / total)
    return mean, float(np.sqrt((counts * (values - mean) ** 2).sum() / total))


def _between(histogram: Histogram, percent: float) -> float:
    """Return a percentile that lies between two of the intensities in their order, as NumPy does it."""
    total = np.cumsum(histogram.counts)
    if not total[-1]:
        return 0.0
    at = (total[-1] - 1) * percent / 100
    first, second = histogram.values[np.searchsorted(total, [np.floor(at), np.ceil(at)], side="right")]
    return float(first + (second - first) * (at % 1))
