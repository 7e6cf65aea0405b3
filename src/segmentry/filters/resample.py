"""Resampling to another pixel size: linear between pixels, averaged where pixels become larger.

Each new pixel is a weighted mean of old ones under a triangle as wide as the larger of the two pixels. The weights
depend on the place in the whole image alone, so a tile gets the same values as the whole image does.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from segmentry.errors import ParameterError
from segmentry.image import Grid, Image, Region
from segmentry.length import Length
from segmentry.step import Filter

__all__ = ["Resample"]


class Resample(Filter):
    """Gives all pixels one size: isotropic, or a spacing asked for. Labels return to the original pixels."""

    name: ClassVar[str] = "resample"
    spacing: Length | None = Field(
        None, description="New distance between pixels, such as '0.5 um'; none: that of the finest axis (isotropic)."
    )

    def target(self, grid: Grid) -> Grid:
        """Return the resampled grid, which covers the same extent.

        Raises
        ------
        ParameterError
            When the image has no pixel size, the spacing has no unit, or the result would be absurdly large.
        """
        if grid.spacing is None:
            raise ParameterError("resample needs an image with a pixel size: give it (--spacing 0.5,0.5um)")
        if self.spacing is not None and (self.spacing.unit is None or self.spacing.value == 0):
            raise ParameterError(f"resample.spacing ({self.spacing}) must be a length with a unit, like '0.5 um'")
        finest = min(grid.spacing)
        zoom = [1 / p for p in self.spacing.pixels(grid)] if self.spacing else [s / finest for s in grid.spacing]
        sizes = [max(1, round(n * z)) for n, z in zip(grid.spatial_shape, zoom, strict=True)]
        if max(sizes) > 2**20 or math.prod(sizes) > 64 * max(math.prod(grid.spatial_shape), 2**20):
            raise ParameterError(f"resample.spacing ({self.spacing}) would make {sizes} pixels of {grid.spatial_shape}")
        by_axis = dict(zip(grid.spatial, sizes, strict=True))
        spacing = tuple(s * n / m for s, n, m in zip(grid.spacing, grid.spatial_shape, sizes, strict=True))
        shape = tuple(by_axis.get(a, n) for a, n in zip(grid.axes, grid.shape, strict=True))
        return replace(grid, shape=shape, spacing=spacing, affine=None)

    def view(self, image: Image) -> Image:
        return image.with_data(_Resampled(image, self.target(image.grid)), self.target(image.grid))


class _Resampled:
    """Pixels that are interpolated when they are read."""

    def __init__(self, image: Image, target: Grid) -> None:
        self._image, self.shape, self.dtype = image, target.shape, np.dtype(np.float32)
        self._zoom = [m / n for n, m in zip(image.grid.shape, target.shape, strict=True)]

    def __getitem__(self, key: Region) -> NDArray[np.float32]:
        taps = []
        for s, n, m, zoom in zip(key, self._image.grid.shape, self.shape, self._zoom, strict=True):
            taps.append(_taps(np.arange(*s.indices(m)[:2]), n, zoom))
        region = tuple(slice(int(index.min()), int(index.max()) + 1) for index, _ in taps)
        pixels = self._image.read(region).astype(np.float32)
        for axis, ((index, weight), part) in enumerate(zip(taps, region, strict=True)):
            if len(index) == 1 and np.array_equal(index[0], np.arange(part.start, part.stop)):
                continue
            total = np.zeros((*pixels.shape[:axis], index.shape[1], *pixels.shape[axis + 1 :]), np.float32)
            fold = (-1,) + (1,) * (pixels.ndim - axis - 1)
            for i, w in zip(index, weight, strict=True):
                total += np.take(pixels, i - part.start, axis=axis) * w.reshape(fold)
            pixels = total
        return pixels


def _taps(wanted: NDArray[np.int64], n: int, zoom: float) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Return which old pixels each new one is made of and with which weights, both as (taps, new pixels)."""
    if zoom == 1:
        return wanted[None], np.ones((1, len(wanted)), np.float32)
    width = max(1.0, 1 / zoom)
    centre = (wanted + 0.5) / zoom - 0.5
    first = np.ceil(centre - width).astype(np.int64)
    index = first + np.arange(math.ceil(2 * width) + 1)[:, None]
    weight = np.maximum(0, 1 - np.abs(index - centre) / width)
    return np.clip(index, 0, n - 1), (weight / weight.sum(axis=0)).astype(np.float32)
