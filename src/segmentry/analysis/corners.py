"""What is counted around the corners of pixels: how often lines cross the boundary of an object, and its Euler number.

The pixels that meet at a corner, two along each axis, are enough to tell both. A step from a pixel to a neighbour lies
in one window or in several, and so do the corners, edges and faces of which an object consists.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from segmentry.analysis.objects import Counts, Objects, Slab
from segmentry.image import Region

__all__ = ["Corners", "ends"]


class Corners(Counts):
    """Crossings of the boundary of each object in steps to neighbours, and its Euler number: exact integers."""

    def __init__(self, objects: Objects) -> None:
        self._shape = objects.grid.shape
        self._table = _meanings(objects.ndim)
        columns = 16 if objects.ndim == 2 else self._table.shape[1]
        self._counts = np.zeros((len(objects) + 1, columns), np.int64)

    @classmethod
    def reach(cls, objects: Objects) -> tuple[int, ...]:
        return (1,) * objects.ndim

    def add(self, slab: Slab) -> None:
        from segmentry.kernels.corners import count_cubes, count_quads

        _, last = ends(slab.region, self._shape)
        if len(self._shape) == 2:
            count_quads(slab.index, slab.margin, last, self._counts)
        else:
            count_cubes(slab.index, slab.margin, last, self._table, self._counts)

    @functools.cached_property
    def crossings(self) -> Mapping[tuple[int, ...], NDArray[np.int64]]:
        """For each step to a neighbour, how many such steps lead into each object or out of it."""
        # A step that stays within an axis lies in two windows along that axis.
        return {s: total >> s.count(0) for s, total in zip(_steps(len(self._shape)), self._totals, strict=False)}

    @property
    def faces(self) -> NDArray[np.int64]:
        """The (n, axes) numbers of faces of pixels, across each axis, that lie on the boundary of each object."""
        return np.stack([self.crossings[tuple(axis)] for axis in np.eye(len(self._shape), dtype=int).tolist()], axis=1)

    @property
    def euler(self) -> NDArray[np.int64]:
        """The (n,) Euler numbers, where pixels touch that share a face, an edge or a corner."""
        return np.asarray(self._totals[-1] >> len(self._shape))

    @property
    def _totals(self) -> NDArray[np.int64]:
        counts = self._counts[1:]
        return (counts @ self._table if len(self._shape) == 2 else counts).T


def ends(region: Region, shape: tuple[int, ...]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return whether a region begins where the image begins, and whether it ends where that ends, along Z, Y and X.

    An axis that is missing does neither.
    """
    lead = [0] * (3 - len(shape))
    first = [int(s.start == 0) for s in region]
    last = [int(s.stop == n) for s, n in zip(region, shape, strict=True)]
    return np.array(lead + first, np.int64), np.array(lead + last, np.int64)


def _steps(ndim: int) -> list[tuple[int, ...]]:
    """Return the steps from a pixel to its neighbours, of each two opposite ones one."""
    return [s for s in itertools.product((0, 1, -1), repeat=ndim) if next((n for n in s if n), 0) > 0]


@functools.cache
def _meanings(ndim: int) -> NDArray[np.int8]:
    """Return what each pattern of a window adds: the crossings in each of the steps, and last to the Euler number.

    A pattern has a bit for each pixel in raster order.
    """
    patterns = np.arange(2**2**ndim)[:, None] >> np.arange(2**ndim) & 1
    window = patterns.reshape(-1, *(2,) * ndim).astype(bool)
    axes = tuple(range(1, ndim + 1))
    both, near, far = slice(None), slice(0, 1), slice(1, 2)
    found = []
    for step in _steps(ndim):
        here = tuple({0: both, 1: near, -1: far}[n] for n in step)
        there = tuple({0: both, 1: far, -1: near}[n] for n in step)
        found.append((window[:, *here] != window[:, *there]).sum(axis=axes))
    # Corners less edges, plus faces, less cubes. A corner lies in one window, an edge in 2, a face in 4, a cube in 8.
    parts = []
    for k in range(ndim + 1):
        for crossed in itertools.combinations(axes, k):
            size = ndim - k
            parts.append((-1) ** size * 2**k * window.any(axis=crossed, keepdims=True).sum(axis=axes))
    return np.stack([*found, np.sum(parts, axis=0)], axis=1).astype(np.int8)
