"""Numbers that the pixels of a block share, one of which stands in each: as many maps fewer.

A block is 2 pixels long along each axis. Of n numbers per block, the first stand in the pixels of the first map in
raster order, the next in those of the second. Pixels at the far end that make no block have none.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segmentry.image import Array, Region
from segmentry.resampling import Interpolated

__all__ = ["BLOCK", "Resized", "block_means", "packed", "unpacked"]

#: Length of a block along each axis.
BLOCK = 2


def block_means(values: NDArray[np.float32], known: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Return the means of the numbers of those pixels in each block that are known; not finite where none is.

    Parameters
    ----------
    values, known : (maps, *spatial) float32 array, (*spatial) bool array
        0 where nothing is known.

    Examples
    --------
    >>> block_means(np.array([[[1, 3, 9], [5, 0, 9]]], np.float32), np.array([[1, 1, 1], [1, 0, 1]]) > 0)
    array([[[3.]]], dtype=float32)
    """
    blocks = [n // BLOCK for n in known.shape]
    sums = np.zeros((len(values), *blocks), np.float32)
    count = np.zeros(blocks, np.float32)
    for inner in np.ndindex(*(BLOCK,) * known.ndim):
        place = tuple(slice(i, i + BLOCK * (n - 1) + 1 if n else 0, BLOCK) for i, n in zip(inner, blocks, strict=True))
        sums += values[(slice(None), *place)]
        count += known[place]
    count[count == 0] = np.nan
    found: NDArray[np.float32] = (sums / count).astype(np.float32)
    return found


def packed(numbers: NDArray[np.float32], shape: Sequence[int], fill: float = 0.0) -> NDArray[np.float32]:
    """Return maps of some spatial shape that hold the numbers (n, *blocks) of blocks."""
    ndim = len(shape)
    parts = numbers.reshape(len(numbers) // BLOCK**ndim, *(BLOCK,) * ndim, *numbers.shape[1:])
    order = [0, *(axis for i in range(ndim) for axis in (1 + ndim + i, 1 + i))]
    blocks = parts.transpose(order).reshape(len(parts), *(BLOCK * n for n in numbers.shape[1:]))
    found = np.full((len(parts), *shape), fill, np.float32)
    found[(slice(None), *(slice(0, n) for n in blocks.shape[1:]))] = blocks
    return found


def unpacked(maps: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the numbers of blocks that maps (maps, *spatial) hold, (n, *blocks).

    Examples
    --------
    >>> numbers = np.arange(24, dtype=np.float32).reshape(4, 2, 3)
    >>> bool((unpacked(packed(numbers, (5, 6))) == numbers).all())
    True
    """
    parts = _parted(maps)
    order = [0, *range(2, parts.ndim, 2), *range(1, parts.ndim, 2)]
    blocks = parts.shape[1::2]
    return parts.transpose(order).reshape(len(maps) * BLOCK ** len(blocks), *blocks)


def _parted(maps: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return maps with two axes instead of each spatial one: of the blocks, and of the pixels in them."""
    blocks = [n // BLOCK for n in maps.shape[1:]]
    whole = maps[(slice(None), *(slice(0, BLOCK * n) for n in blocks))]
    return whole.reshape(len(maps), *(m for n in blocks for m in (n, BLOCK)))


class Resized:
    """Maps of which some hold numbers of blocks, interpolated to another shape.

    Parameters
    ----------
    maps : (maps, *spatial) array
        It may be lazy.
    shape
        Of the result, with the maps.
    those
        The maps that hold numbers of blocks.
    factors
        What each of these numbers is multiplied by.
    """

    def __init__(self, maps: Array, shape: Sequence[int], those: slice, factors: NDArray[np.float32]) -> None:
        self._each, self.shape, self.dtype = Interpolated(maps, shape), tuple(shape), np.dtype(np.float32)
        self._those, self._factors = those, factors
        self._many = BLOCK ** (len(shape) - 1)
        source = _Blocks(maps, those)
        blocks = (len(factors), *(n // BLOCK for n in shape[1:]))
        self._blocks = Interpolated(source, blocks) if min(*source.shape, *blocks) > 0 else None

    def __getitem__(self, key: Region) -> NDArray[np.float32]:
        maps, *spatial = (slice(*s.indices(n)[:2]) for s, n in zip(key, self.shape, strict=True))
        found = np.zeros([s.stop - s.start for s in (maps, *spatial)], np.float32)
        for number in range(maps.start, maps.stop):
            if self._those.start <= number < self._those.stop:
                found[number - maps.start] = self._of_blocks(number - self._those.start, spatial)
            else:
                found[number - maps.start] = self._each[(slice(number, number + 1), *spatial)][0]
        return found

    def _of_blocks(self, number: int, spatial: Sequence[slice]) -> NDArray[np.float32]:
        """Return a part of one of the maps that hold numbers of blocks."""
        if self._blocks is None:
            return np.zeros([s.stop - s.start for s in spatial], np.float32)
        own = slice(number * self._many, (number + 1) * self._many)
        limits = self._blocks.shape[1:]
        blocks = [slice(s.start // BLOCK, -(-s.stop // BLOCK)) for s in spatial]
        known = [slice(min(s.start, n - 1), min(s.stop, n)) for s, n in zip(blocks, limits, strict=True)]
        factors = self._factors[own].reshape(-1, *(1,) * len(spatial))
        around = [BLOCK * (s.stop - k.start) for s, k in zip(blocks, known, strict=True)]
        whole: NDArray[np.float32] = packed(self._blocks[(own, *known)] * factors, around)[0]
        return whole[
            tuple(
                slice(s.start - BLOCK * k.start, s.stop - BLOCK * k.start) for s, k in zip(spatial, known, strict=True)
            )
        ]


class _Blocks:
    """The numbers of blocks that some maps hold, read when they are sliced."""

    def __init__(self, maps: Array, those: slice) -> None:
        self._maps, self._those, self.dtype = maps, those, np.dtype(np.float32)
        self._many = BLOCK ** (len(maps.shape) - 1)
        count = (those.stop - those.start) * self._many
        self.shape = (count, *(n // BLOCK for n in maps.shape[1:]))

    def __getitem__(self, key: Region) -> NDArray[Any]:
        first, *spatial = (slice(*s.indices(n)[:2]) for s, n in zip(key, self.shape, strict=True))
        maps = slice(self._those.start + first.start // self._many, self._those.start - (-first.stop // self._many))
        part = self._maps[(maps, *(slice(BLOCK * s.start, BLOCK * s.stop) for s in spatial))]
        ahead = first.start % self._many
        return unpacked(np.asarray(part, np.float32))[ahead : ahead + first.stop - first.start]
