"""The lowest places of an image, from each of which one can only climb: one seed for each basin."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from segmentry.kernels.jit import compiled
from segmentry.kernels.watershed import neighbour_offsets

__all__ = ["lowest_places"]


def lowest_places(levels: NDArray[np.uint16]) -> tuple[NDArray[np.uint32], int]:
    """Number the minima of an array: connected pixels (8 or 26 neighbours) of one level without a lower neighbour.

    Parameters
    ----------
    levels : uint16 array, two- or three-dimensional

    Returns
    -------
    seeds : uint32 array of the same shape
        1 … n in raster order at the first pixel of each minimum, 0 elsewhere.
    n : number of minima
    """
    padded = np.pad(levels, 1, constant_values=65_535)
    inner = tuple(slice(1, -1) for _ in levels.shape)
    seen = np.ones(padded.shape, np.bool_)
    seen[inner] = False
    seeds = np.zeros(padded.shape, np.uint32)
    offsets = neighbour_offsets(padded.shape, True)
    count = _number(padded.reshape(-1), offsets, seen.reshape(-1), seeds.reshape(-1))
    return seeds[inner].copy(), count


@compiled
def _number(
    levels: NDArray[np.uint16], offsets: NDArray[np.int64], seen: NDArray[np.bool_], seeds: NDArray[np.uint32]
) -> int:
    """Write the seeds; what is seen is the padding, and plateaus that were walked over."""
    count = 0
    plateau = np.empty(1024, np.int32)
    for start in range(levels.size):
        if seen[start]:
            continue
        level = levels[start]
        lowest, even = True, False
        for offset in offsets:
            near = levels[start + offset]
            if near < level:
                lowest = False
                break
            even |= near == level
        if lowest and even:
            plateau[0] = start
            seen[start] = True
            n, at = 1, 0
            while at < n:
                i = plateau[at]
                at += 1
                if n + offsets.size > plateau.size:
                    plateau = np.concatenate((plateau, np.empty_like(plateau)))
                for offset in offsets:
                    j = i + offset
                    if levels[j] < level:
                        lowest = False
                    elif levels[j] == level and not seen[j]:
                        seen[j] = True
                        plateau[n] = j
                        n += 1
        if lowest:
            count += 1
            seeds[start] = count
    return count
