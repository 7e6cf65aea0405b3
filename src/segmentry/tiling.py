"""Regions of an array: tiles with their halo, and the slabs in which an array is streamed.

A tile has a *core* (the cores of all tiles cover the array once) and a *window* (the core and what must be seen around
it). Slabs depend on the shape of the array alone, so that what is summed over them is the same in every run.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from typing import TypeVar

from segmentry.errors import ParameterError
from segmentry.image import Grid, Region

__all__ = ["cores", "grow", "in_order", "inside", "slabs", "thread_count", "tile_shape", "window_grid"]

#: Pixels in a tile when nothing else is asked for, and in a slab.
TILE_PIXELS = 2**22
SLAB_PIXELS = 2**22

A = TypeVar("A")
B = TypeVar("B")


def cores(shape: Sequence[int], tile: Sequence[int]) -> list[Region]:
    """Return the cores of all tiles in raster order; those at the far end are smaller.

    >>> cores((5, 3), (4, 4))
    [(slice(0, 4, None), slice(0, 3, None)), (slice(4, 5, None), slice(0, 3, None))]
    """
    found: list[Region] = [()]
    for n, step in zip(shape, tile, strict=True):
        found = [(*before, slice(a, min(a + step, n))) for before in found for a in range(0, n, step)]
    return found


def grow(region: Region, margin: Sequence[int], shape: Sequence[int]) -> Region:
    """Return a region grown by a margin on every side, as far as the array goes.

    >>> grow((slice(4, 5), slice(0, 3)), (2, 1), (5, 9))
    (slice(2, 5, None), slice(0, 4, None))
    """
    return tuple(slice(max(s.start - m, 0), min(s.stop + m, n)) for s, m, n in zip(region, margin, shape, strict=True))


def inside(region: Region, window: Region) -> Region:
    """Return a region in the coordinates of a window that contains it."""
    return tuple(slice(r.start - w.start, r.stop - w.start) for r, w in zip(region, window, strict=True))


def window_grid(grid: Grid, region: Region) -> Grid:
    """Return the grid of a spatial region, marking the faces at which the region is cut out of the larger image."""
    bounds = zip(region, grid.spatial_shape, strict=True)
    return replace(grid.at_spatial(region), cut=tuple((s.start > 0, s.stop < n) for s, n in bounds))


def tile_shape(shape: Sequence[int], asked: int | Sequence[int] | None = None) -> tuple[int, ...]:
    """Return the shape of a tile: as asked for, or about four million pixels, whole where the image is that small.

    Raises
    ------
    ParameterError
        When a tile is asked for that is shorter than one pixel or has another number of axes.
    """
    if asked is not None:
        sizes = (asked,) * len(shape) if isinstance(asked, int) else tuple(asked)
        if len(sizes) != len(shape) or min(sizes) < 1:
            raise ParameterError(f"tile {asked!r} must have {len(shape)} sizes of 1 or more, or be one number")
        return tuple(min(t, n) for t, n in zip(sizes, shape, strict=True))
    tile = list(shape)
    while math.prod(tile) > TILE_PIXELS:
        longest = max(range(len(tile)), key=lambda i: tile[i])
        tile[longest] = math.ceil(tile[longest] / 2)
    return tuple(tile)


def slabs(shape: Sequence[int]) -> Iterator[Region]:
    """Yield regions that cover an array in raster order, cut along the first axis that is longer than 1.

    >>> [s[0] for s in slabs((6000, 1000))]
    [slice(0, 4194, None), slice(4194, 6000, None)]
    """
    first = next((i for i, n in enumerate(shape) if n > 1), 0)
    step = max(1, SLAB_PIXELS // math.prod(shape[first + 1 :]))
    for start in range(0, shape[first], step):
        yield tuple(slice(start, min(start + step, n)) if i == first else slice(0, n) for i, n in enumerate(shape))


def thread_count() -> int:
    """Return how many threads to use: ``SEGMENTRY_NUM_THREADS``, or the processors that this process may use."""
    asked = os.environ.get("SEGMENTRY_NUM_THREADS", "")
    if asked:
        if not asked.isdigit() or int(asked) < 1:
            raise ParameterError(f"SEGMENTRY_NUM_THREADS is {asked!r}: it must be a number, 1 or more")
        return int(asked)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def in_order(work: Callable[[A], B], items: Iterable[A], threads: int) -> Iterator[B]:
    """Yield ``work(item)`` for each item in order, computed by some threads at most one item ahead per thread."""
    if threads == 1:
        yield from map(work, items)
        return
    waiting: list[Future[B]] = []
    with ThreadPoolExecutor(threads) as pool:
        try:
            for item in items:
                waiting.append(pool.submit(work, item))
                if len(waiting) > threads:
                    yield waiting.pop(0).result()
            while waiting:
                yield waiting.pop(0).result()
        finally:
            for future in waiting:
                future.cancel()
