"""How noisy an image is, and the filters whose strength is measured by it.

The noise is read off the finest detail: the second difference along all axes at once, which hardly sees objects and
edges (Immerkær 1996, doi:10.1006/cviu.1996.0060). Its median magnitude (Donoho & Johnstone 1994) ignores what it still
sees of them.
"""

from __future__ import annotations

import math
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from segmentry.image import Grid
from segmentry.overview import Overview
from segmentry.step import Filter
from segmentry.tiling import grow, slabs

__all__ = ["Denoiser", "noise_levels"]

#: Median magnitude of a normal variable in standard deviations.
MEDIAN = 0.6744897501960817
#: Magnitudes are counted by the upper 20 bits of the float32: bins 0.05 % wide.
BITS = 12
#: An image with less detail than this share of its pixels has no noise, only edges.
MIN_SHARE = 0.05


class Denoiser(Filter):
    """A filter that learns how noisy each channel is."""

    noise_: tuple[float, ...] | None = Field(None, description="Standard deviation of the noise of each channel.")

    def prepare(self, overview: Overview) -> Self:
        return self.model_copy(update={"noise_": noise_levels(overview)})

    def plane(self, pixels: NDArray[np.float32], grid: Grid, channel: int) -> NDArray[np.float32]:
        noise = (self.noise_ or ())[channel]
        if not noise:
            return pixels
        # A power of two changes no digit, and keeps squares within the reach of float32.
        scale = 2.0 ** -max(-100, min(math.frexp(noise)[1], 100))
        return self.denoised(pixels * np.float32(scale), noise * scale, grid) / np.float32(scale)

    def denoised(self, pixels: NDArray[np.float32], noise: float, grid: Grid) -> NDArray[np.float32]:
        """Return the filtered pixels of one channel at one time point whose noise is known and is not 0."""
        raise NotImplementedError


def noise_levels(overview: Overview) -> tuple[float, ...]:
    """Estimate the standard deviation of the noise of each channel, over all time points.

    Right for noise that is independent from pixel to pixel and about the same everywhere; too low for noise that was
    smoothed, too high for texture as fine as pixels. Pixels without any detail (clipped black or white) don't count.
    """
    image = overview.image
    extra = tuple(image.grid.length(a) for a in "TC" if a in image.grid.axes)
    counts = np.zeros((overview.n_channels, 2 ** (32 - BITS)), np.int64)
    seen = np.zeros(overview.n_channels, np.int64)
    shape = image.grid.spatial_shape
    axes = [axis for axis, n in enumerate(shape) if n > 2]
    for index in np.ndindex(extra):
        channel = index[-1] if "C" in image.grid.axes else 0
        for region in slabs(shape):
            window = grow(region, (1,) * len(shape), shape)
            pixels = image.read((*(slice(i, i + 1) for i in index), *window))
            found = _magnitudes(pixels.reshape(pixels.shape[len(extra) :]), axes)
            seen[channel] += found.size
            found = found[found > 0]
            counts[channel] += np.bincount(found.view(np.uint32) >> BITS, minlength=counts.shape[1])
    return tuple(_median(c, int(n)) / MEDIAN for c, n in zip(counts, seen, strict=True))


def _magnitudes(pixels: NDArray[Any], axes: list[int]) -> NDArray[np.float32]:
    """Return the finest detail at all pixels whose neighbours are there, scaled so that noise keeps its spread."""
    detail = pixels.astype(np.float64)
    with np.errstate(invalid="ignore", over="ignore"):
        for axis in axes:
            detail = np.diff(detail, 2, axis=axis) / np.sqrt(6)
        found = np.abs(detail).astype(np.float32).ravel()
    return np.asarray(found[np.isfinite(found)]) if axes else found[:0]


def _median(counts: NDArray[np.int64], seen: int) -> float:
    total = np.cumsum(counts)
    if total[-1] < max(MIN_SHARE * seen, 1):
        return 0.0
    at = np.searchsorted(total, total[-1] / 2)
    return float(np.array((int(at) << BITS) + 2 ** (BITS - 1), np.uint32).view(np.float32))
