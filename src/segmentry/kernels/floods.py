"""Growth of regions from single pixels to all connected pixels whose value lies in an interval."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from segmentry.kernels.jit import compiled
from segmentry.kernels.watershed import neighbour_offsets

__all__ = ["Floods", "grow_between"]


class Floods:
    """Values of an array, ready for one flood after the other.

    Parameters
    ----------
    values : float32 array, two- or three-dimensional
    """

    def __init__(self, values: NDArray[np.float32]) -> None:
        # Nothing compares with NaN, so that no flood leaves the array.
        padded = np.pad(values, 1, constant_values=np.nan)
        self.shape = padded.shape
        self.values = padded.ravel()
        self.offsets = neighbour_offsets(padded.shape, full=False)
        self._queue = np.empty(padded.size, np.int32)
        self._seen = np.zeros(padded.size, np.int32)
        self._count = 0

    def places(self, at: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return where pixels, given as rows of coordinates, stand among :attr:`values`."""
        return np.asarray(np.ravel_multi_index(tuple(at.T + 1), self.shape), np.int64)

    def box(self, place: int, radius: Sequence[int]) -> NDArray[np.float32]:
        """Return the values of the box around a place; beyond the edges of the array those at the edge again."""
        centre = np.unravel_index(place, self.shape)
        near = [
            np.clip(np.arange(p - r, p + r + 1), 1, n - 2) for p, r, n in zip(centre, radius, self.shape, strict=True)
        ]
        return self.values.reshape(self.shape)[np.ix_(*near)].ravel()

    def flood(self, place: int, lower: float, upper: float) -> NDArray[np.int32]:
        """Return the places that can be reached over faces through values from `lower` to `upper`, both included.

        The array is overwritten by the next flood.
        """
        self._count += 1
        n = _reach(self.values, self.offsets, place, lower, upper, self._seen, self._count, self._queue)
        return self._queue[:n]


def grow_between(
    floods: Floods, places: NDArray[np.int64], lower: NDArray[np.float64], upper: NDArray[np.float64]
) -> NDArray[np.uint32]:
    """Grow all regions at once, step by step over faces, each through the values of its own interval.

    Parameters
    ----------
    floods
    places : (n,) one different place per region
    lower, upper : (n,) the intervals, both ends included; a region always holds its seed

    Returns
    -------
    uint32 array of the shape of the values: regions 1 … n; what two of them reach belongs to the nearer one, and to the
    first of two that are equally near.
    """
    labels = np.zeros(floods.values.size, np.uint32)
    _grow(floods.values, floods.offsets, places, lower, upper, labels)
    inner = tuple(slice(1, -1) for _ in floods.shape)
    return labels.reshape(floods.shape)[inner].copy()


@compiled
def _reach(
    values: NDArray[np.float32], offsets: NDArray[np.int64], place: int, lower: float, upper: float,
    seen: NDArray[np.int32], number: int, queue: NDArray[np.int32],
) -> int:  # fmt: skip
    if not lower <= values[place] <= upper:
        return 0
    seen[place] = number
    queue[0] = place
    done, n = 0, 1
    while done < n:
        i = queue[done]
        done += 1
        for offset in offsets:
            j = i + offset
            if lower <= values[j] <= upper and seen[j] != number:
                seen[j] = number
                queue[n] = j
                n += 1
    return n


@compiled
def _grow(
    values: NDArray[np.float32], offsets: NDArray[np.int64], places: NDArray[np.int64], lower: NDArray[np.float64],
    upper: NDArray[np.float64], labels: NDArray[np.uint32],
) -> None:  # fmt: skip
    queue = np.empty(values.size, np.int32)
    for k in range(places.size):
        labels[places[k]] = k + 1
        queue[k] = places[k]
    done, n = 0, places.size
    while done < n:
        i = queue[done]
        done += 1
        region = labels[i]
        for offset in offsets:
            j = i + offset
            if labels[j] == 0 and lower[region - 1] <= values[j] <= upper[region - 1]:
                labels[j] = region
                queue[n] = j
                n += 1
