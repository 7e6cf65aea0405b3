"""Arrays on another grid of the same extent, computed when they are read."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segmentry.image import Array, Grid, Image, Region, unit_ratio

__all__ = ["Interpolated", "Nearest", "at_spacing", "shape_at", "zoomed"]


class Interpolated:
    """An array whose elements are interpolated linearly, and averaged where they become larger.

    Each new element is a weighted mean of old ones under a triangle as wide as the larger of the two. The weights
    depend on the place in the whole array alone, so that a part of it gets the same values as the whole does.
    """

    def __init__(self, source: Array, shape: Sequence[int]) -> None:
        self._source, self.shape, self.dtype = source, tuple(shape), np.dtype(np.float32)
        self._zoom = [m / n for n, m in zip(source.shape, shape, strict=True)]

    def __getitem__(self, key: Region) -> NDArray[np.float32]:
        taps = []
        for s, n, m, zoom in zip(key, self._source.shape, self.shape, self._zoom, strict=True):
            taps.append(_taps(np.arange(*s.indices(m)[:2]), n, zoom))
        region = tuple(slice(int(index.min()), int(index.max()) + 1) for index, _ in taps)
        pixels = np.asarray(self._source[region]).astype(np.float32)
        for axis, ((index, weight), part) in enumerate(zip(taps, region, strict=True)):
            if len(index) == 1 and np.array_equal(index[0], np.arange(part.start, part.stop)):
                continue
            total = np.zeros((*pixels.shape[:axis], index.shape[1], *pixels.shape[axis + 1 :]), np.float32)
            fold = (-1,) + (1,) * (pixels.ndim - axis - 1)
            for i, w in zip(index, weight, strict=True):
                total += np.take(pixels, i - part.start, axis=axis) * w.reshape(fold)
            pixels = total
        return pixels


class Nearest:
    """An array whose elements are those of the nearest old ones."""

    def __init__(self, source: Array, shape: Sequence[int]) -> None:
        self._source, self.shape, self.dtype = source, tuple(shape), np.dtype(source.dtype)

    def __getitem__(self, key: Region) -> NDArray[Any]:
        picks = [
            np.minimum(((np.arange(*s.indices(m)[:2]) + 0.5) * (n / m)).astype(np.int64), n - 1)
            for s, n, m in zip(key, self._source.shape, self.shape, strict=True)
        ]
        block = np.asarray(self._source[tuple(slice(int(p[0]), int(p[-1]) + 1) for p in picks)])
        return np.asarray(block[np.ix_(*[p - p[0] for p in picks])])


def shape_at(grid: Grid, spacing: Sequence[float] | None, unit: str | None) -> tuple[int, ...]:
    """Return the lengths of the spatial axes at another pixel size; as they are where either size is not known."""
    if spacing is None or unit is None or grid.spacing is None or grid.unit is None:
        return grid.spatial_shape
    ratio = unit_ratio(grid.unit, unit)
    sizes = zip(grid.spatial_shape, grid.spacing, spacing, strict=True)
    return tuple(max(1, math.floor(n * old * ratio / new + 0.5)) for n, old, new in sizes)


def at_spacing(image: Image, spacing: Sequence[float] | None, unit: str | None) -> Image:
    """Return an image at another pixel size, interpolated when it is read; itself where either size is not known."""
    return _at_shape(image, shape_at(image.grid, spacing, unit))


def zoomed(image: Image, zoom: float | Sequence[float]) -> Image:
    """Return an image with so many times more pixels along each spatial axis, interpolated when it is read."""
    shape = image.grid.spatial_shape
    factors = (zoom,) * len(shape) if isinstance(zoom, int | float) else zoom
    return _at_shape(image, tuple(max(1, math.floor(n * z + 0.5)) for n, z in zip(shape, factors, strict=True)))


def _at_shape(image: Image, shape: tuple[int, ...]) -> Image:
    grid = image.grid
    if shape == grid.spatial_shape:
        return image
    sizes = grid.spacing and tuple(s * n / m for s, n, m in zip(grid.spacing, grid.spatial_shape, shape, strict=True))
    full = (*grid.shape[: len(grid.shape) - len(shape)], *shape)
    return image.with_data(Interpolated(image.data, full), replace(grid, shape=full, spacing=sizes, affine=None))


def _taps(wanted: NDArray[np.int64], n: int, zoom: float) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Return which old elements each new one is made of and with which weights, both as (taps, new elements)."""
    if zoom == 1:
        return wanted[None], np.ones((1, len(wanted)), np.float32)
    width = max(1.0, 1 / zoom)
    centre = (wanted + 0.5) / zoom - 0.5
    first = np.ceil(centre - width).astype(np.int64)
    index = first + np.arange(math.ceil(2 * width) + 1)[:, None]
    weight = np.maximum(0, 1 - np.abs(index - centre) / width)
    return np.clip(index, 0, n - 1), (weight / weight.sum(axis=0)).astype(np.float32)
