"""Intensities as distances from the mean of the whole image, in standard deviations (z scores).

Each channel gets mean 0 and standard deviation 1, or, if asked to be robust, median 0 and a median absolute deviation
that stands for a standard deviation of 1 (Huber 1981: times 1.4826). It makes images of unlike gain and offset
comparable, where each holds about the same things. The robust form does not see a few very bright pixels, and takes the
background for the measure where most of the image is that.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from segmentry.image import Grid
from segmentry.overview import Overview
from segmentry.step import Filter

__all__ = ["ZScore"]

#: A normal distribution's standard deviation, in median absolute deviations.
SIGMA_PER_MAD = 1.482602218505602


class ZScore(Filter):
    """Gives each channel mean 0 and standard deviation 1, or the same by median and MAD."""

    name: ClassVar[str] = "z_score"
    robust: bool = Field(False, description="Whether median and median absolute deviation are taken instead.")
    scale_: tuple[tuple[float, float], ...] | None = Field(
        None, description="What is subtracted from each channel, and what it is divided by."
    )

    def prepare(self, overview: Overview) -> Self:
        find = _median_and_spread if self.robust else _mean_and_deviation
        return self.model_copy(update={"scale_": tuple(find(overview, c) for c in range(overview.n_channels))})

    def plane(self, pixels: NDArray[np.float32], grid: Grid, channel: int) -> NDArray[np.float32]:
        centre, width = (self.scale_ or ())[channel]
        return (pixels - np.float32(centre)) / np.float32(width if width > 0 else 1)


def _rows(overview: Overview, channel: int) -> Iterator[NDArray[np.float64]]:
    """Yield the finite intensities of a channel, piece by piece."""
    for block in overview.blocks():
        row = block[channel].astype(np.float64)
        yield row[np.isfinite(row)]


def _mean_and_deviation(overview: Overview, channel: int) -> tuple[float, float]:
    count = sum(row.size for row in _rows(overview, channel))
    if count == 0:
        return 0.0, 0.0
    mean = math.fsum(float(row.sum()) for row in _rows(overview, channel)) / count
    square = math.fsum(float(((row - mean) ** 2).sum()) for row in _rows(overview, channel))
    return mean, math.sqrt(square / count)


def _median_and_spread(overview: Overview, channel: int) -> tuple[float, float]:
    median = _median(lambda: (row.astype(np.float32) for row in _rows(overview, channel)))
    spread = _median(lambda: (np.abs(row - median).astype(np.float32) for row in _rows(overview, channel)))
    return median, spread * SIGMA_PER_MAD


def _median(rows: Callable[[], Iterator[NDArray[np.float32]]]) -> float:
    """Return the lower median of float32 numbers that come in pieces, exactly: its upper 16 bits, then the lower."""
    counts = sum((np.bincount(_ordered(row) >> 16, minlength=2**16) for row in rows()), np.zeros(2**16, np.int64))
    if not counts.any():
        return 0.0
    wanted = (int(counts.sum()) + 1) // 2
    upper, before = _reached(counts, wanted)
    counts = np.zeros(2**16, np.int64)
    for row in rows():
        bits = _ordered(row)
        counts += np.bincount(bits[bits >> 16 == upper] & 0xFFFF, minlength=2**16)
    lower, _ = _reached(counts, wanted - before)
    bits = np.array((upper << 16) | lower, np.uint32)
    return float((bits ^ (0x80000000 if bits >> 31 else 0xFFFFFFFF)).astype(np.uint32).view(np.float32))


def _reached(counts: NDArray[Any], wanted: int) -> tuple[int, int]:
    """Return the bin in which the count reaches a number, and how many there are before it."""
    total = np.cumsum(counts)
    at = int(np.searchsorted(total, wanted, side="left"))
    return at, int(total[at] - counts[at])


def _ordered(row: NDArray[np.float32]) -> NDArray[np.int64]:
    """Return numbers of 32 bits that are in the order of the float32 numbers."""
    bits = np.ascontiguousarray(row).view(np.uint32)
    return np.where(bits >> 31, ~bits, bits | np.uint32(0x80000000)).astype(np.int64)
