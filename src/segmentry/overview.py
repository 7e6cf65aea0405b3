"""What a step may know of the whole image: statistics that stream over it, the same however the image is tiled.

All pixels of all time points are seen, in slabs that depend on the image's shape alone; pixels that are not finite
(NaN, infinity) don't count.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segmentry.errors import InputError
from segmentry.image import Grid, Image
from segmentry.tiling import slabs

__all__ = ["Histogram", "Overview"]

BINS = 65_536


@dataclass(frozen=True, eq=False)
class Histogram:
    """How often intensities occur.

    Parameters
    ----------
    counts : (n,) int64 array
    edges : (n + 1,) float64 array, ascending
    exact
        Whether each bin holds one integer value (the lower edge), so that nothing is lost by binning.
    """

    counts: NDArray[np.int64]
    edges: NDArray[np.float64]
    exact: bool

    @property
    def values(self) -> NDArray[np.float64]:
        """The intensity that each bin stands for."""
        return self.edges[:-1] if self.exact else (self.edges[:-1] + self.edges[1:]) / 2

    def percentile(self, percent: float) -> float:
        """Return the smallest intensity that at least `percent` of the pixels don't exceed."""
        total = np.cumsum(self.counts)
        at = int(np.searchsorted(total, percent / 100 * total[-1], side="left"))
        return float(self.values[min(at, len(self.counts) - 1)])


class Overview:
    """Statistics of an image, computed when asked for, each once.

    Parameters
    ----------
    image
        The image; it may be lazy, and have time points and channels.
    loose
        Axes that are seen one by one: ``T``, and ``Z`` where planes are.

    Examples
    --------
    >>> overview = Overview(Image.from_array(np.arange(12, dtype=np.uint8).reshape(3, 4)))
    >>> overview.range(), overview.histogram().percentile(50)
    ((0.0, 11.0), 5.0)
    """

    def __init__(self, image: Image, loose: str = "T") -> None:
        self._image, self._loose = image, loose
        self._histograms: dict[int, Histogram] = {}
        self._lost = 0

    @property
    def frame(self) -> Image:
        """What is segmented at once: the first time point, and the plane in the middle where planes are apart."""
        frame = self._image
        for axis in self._loose:
            if axis in frame.grid.axes:
                frame = frame.at(axis, frame.grid.length(axis) // 2 if axis == "Z" else 0)
        return frame

    @property
    def grid(self) -> Grid:
        """Geometry of the image."""
        return self._image.grid

    @property
    def image(self) -> Image:
        """The image itself, for what no statistic here says; read it piece by piece."""
        return self._image

    @property
    def n_channels(self) -> int:
        """Number of channels, 1 without an axis ``"C"``."""
        return self._image.grid.length("C")

    def blocks(self) -> Iterator[NDArray[Any]]:
        """Yield the pixels piece by piece as arrays of shape (channels, pixels)."""
        grid = self._image.grid
        place = grid.axes.find("C")
        without = grid.without("C")
        for region in slabs(without.shape):
            key = list(region)
            if place >= 0:
                key.insert(place, slice(0, grid.length("C")))
            block = self._image.read(tuple(key))
            yield np.moveaxis(block, place, 0).reshape(grid.length("C"), -1) if place >= 0 else block.reshape(1, -1)

    @cached_property
    def _ranges(self) -> list[tuple[float, float]]:
        low = [np.inf] * self.n_channels
        high = [-np.inf] * self.n_channels
        for block in self.blocks():
            for c, row in enumerate(block):
                fine = _finite(row)
                self._lost += row.size - fine.size
                if fine.size:
                    low[c] = min(low[c], float(fine.min()))
                    high[c] = max(high[c], float(fine.max()))
        return [(a, b) if a <= b else (0.0, 0.0) for a, b in zip(low, high, strict=True)]

    @property
    def n_lost(self) -> int:
        """Number of values that are not finite."""
        return self._lost if self._ranges else 0

    def range(self, channel: int = 0) -> tuple[float, float]:
        """Return the lowest and the highest finite intensity; (0, 0) where there is none."""
        return self._ranges[channel]

    def histogram(self, channel: int = 0) -> Histogram:
        """Return the histogram of a channel: a bin per value for integers, 65,536 equal bins otherwise."""
        if channel not in self._histograms:
            self._count()
        return self._histograms[channel]

    def _count(self) -> None:
        integer = self._image.dtype.kind in "biu"
        edges = [_edges(*r, integer) for r in self._ranges]
        counts = [np.zeros(len(e) - 1, np.int64) for e in edges]
        for block in self.blocks():
            for c, row in enumerate(block):
                fine = _finite(row)
                low, n = edges[c][0], len(counts[c])
                at: NDArray[np.int64]
                if integer and n == edges[c][-1] - low:
                    at = fine.astype(np.int64) - int(low)
                elif n == 1:
                    at = np.zeros(fine.shape, np.int64)
                else:
                    at = ((fine.astype(np.float64) - low) * (n / (edges[c][-1] - low))).astype(np.int64)
                counts[c] += np.bincount(np.minimum(at, n - 1), minlength=n)
        for c, e in enumerate(edges):
            self._histograms[c] = Histogram(counts[c], e, integer and len(counts[c]) == e[-1] - e[0])

    def sample(self, n: int, seed: int = 0) -> NDArray[np.float32]:
        """Return about `n` pixels (all, where there are fewer) drawn evenly over the image, as (pixels, channels).

        The draw depends on the seed and the image's shape alone.
        """
        rng = np.random.default_rng(seed)
        total = self.grid.size // self.n_channels
        parts = []
        for block in self.blocks():
            quota = int(np.ceil(block.shape[1] * n / total))
            chosen = (
                np.sort(rng.choice(block.shape[1], quota, replace=False)) if quota < block.shape[1] else slice(None)
            )
            parts.append(block[:, chosen].T.astype(np.float32))
        pixels = np.concatenate(parts)
        return pixels[np.isfinite(pixels).all(axis=1)]


def _finite(row: NDArray[Any]) -> NDArray[Any]:
    if row.dtype.kind == "f":
        return np.asarray(row[np.isfinite(row)])
    return np.asarray(row.view(np.uint8) if row.dtype.kind == "b" else row)


def _edges(low: float, high: float, integer: bool) -> NDArray[np.float64]:
    if integer and high - low < BINS:
        return np.arange(low, high + 2)
    width = high - low
    if not np.isfinite(width):
        raise InputError(f"intensities from {low:g} to {high:g} span too much to be counted: rescale the image first")
    if width <= np.spacing(max(abs(low), abs(high))) * BINS:
        return np.array([low, max(high, np.nextafter(low, np.inf))])
    return np.linspace(low, high, BINS + 1)
