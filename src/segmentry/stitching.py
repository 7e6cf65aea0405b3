"""Tiles put together so that the result is that of the whole image, bit for bit.

Objects: every connected region of foreground belongs to the tile whose core holds its first pixel. A region that a
window cuts is not trusted: its owner, or a window grown until the region fits, gives it whole. This is exact for every
method that keeps the promise of :meth:`segmentry.step.Segmenter.halo`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from segmentry.errors import SegmentryError
from segmentry.image import Grid, Region
from segmentry.labelling import Store, lookup, survey
from segmentry.result import Instances
from segmentry.tiling import cores, grow, in_order, inside, window_grid
from segmentry.workspace import ensure_memory

__all__ = ["Objects", "stitch_instances"]

#: How far a window reaches beyond its core and the halo, so that most regions that start in the core end in it.
REACH = 64


@dataclass
class Objects:
    """Objects collected so far: number k of them has the provisional id k + 1."""

    scores: list[float] = field(default_factory=list)
    classes: list[int] = field(default_factory=list)
    names: tuple[str, ...] = ("background", "object")

    def add(self, found: Instances, chosen: NDArray[np.bool_]) -> NDArray[np.uint32]:
        """Take up the chosen objects and return their provisional ids."""
        count = int(np.count_nonzero(chosen))
        start = len(self.scores)
        scores = np.full(len(chosen), np.nan) if found.scores is None else found.scores
        kinds = np.ones(len(chosen), np.int32) if found.classes is None else found.classes
        self.scores += scores[chosen].tolist()
        self.classes += kinds[chosen].tolist()
        self.names = found.names
        return np.arange(start + 1, start + count + 1, dtype=np.uint32)


@dataclass(frozen=True)
class _Piece:
    """What a window shows: objects, the connected regions they form, and which of these the window cuts."""

    window: Region
    found: Instances
    regions: NDArray[np.uint32]
    whole: NDArray[np.bool_]


def stitch_instances(
    segment: Callable[[Region], Instances],
    grid: Grid,
    halo: Sequence[int],
    tile: Sequence[int],
    labels: Store,
    objects: Objects,
    threads: int,
    tick: Callable[[int], None],
) -> None:
    """Segment one time point tile by tile.

    Parameters
    ----------
    segment
        Gives the objects of a window (one slice per spatial axis).
    grid
        Geometry of the whole, spatial axes only.
    halo, tile
        Pixels per spatial axis.
    labels
        Array of zeros; receives provisional ids.
    objects
        Receives the score and class of each id.
    tick
        Called with the number of pixels done.
    """
    shape = grid.spatial_shape
    if all(t >= n for t, n in zip(tile, shape, strict=True)):
        found = segment(tuple(slice(0, n) for n in shape))
        labels[...] = lookup(np.asarray(found.labels), found.ids, objects.add(found, np.ones(len(found.ids), np.bool_)))
        tick(math.prod(shape))
        return
    margin = tuple(h + REACH for h in halo)

    def work(core: Region) -> tuple[Region, _Piece]:
        return core, _examined(segment, grow(core, margin, shape), grid, halo)

    doubtful: list[tuple[int, ...]] = []
    for core, piece in in_order(work, cores(shape, tile), threads):
        local = inside(core, piece.window)
        owned = np.zeros_like(piece.whole)
        heads = _first_pixels(piece.regions, len(piece.whole))
        owned[1:] = [all(s.start <= p < s.stop for p, s in zip(head, local, strict=True)) for head in heads[1:]]
        _write(piece, owned & piece.whole, labels, objects)
        doubtful += _cut_places(piece, local)
        tick(piece.regions[local].size)
    for place in doubtful:
        if not np.asarray(labels[tuple(slice(p, p + 1) for p in place)]).any():
            _whole_region(segment, place, grid, halo, labels, objects)


def _examined(segment: Callable[[Region], Instances], window: Region, grid: Grid, halo: Sequence[int]) -> _Piece:
    from segmentry.kernels.components import label_components

    found = segment(window)
    regions, count = label_components(np.asarray(found.labels) > 0)
    whole = np.ones(count + 1, np.bool_)
    faces = window_grid(grid, window).cut or ()
    for axis, (first, last) in enumerate(faces):
        moved = np.moveaxis(regions, axis, 0)
        if first:
            whole[np.unique(moved[: halo[axis] + 1])] = False
        if last:
            whole[np.unique(moved[-halo[axis] - 1 :])] = False
    whole[0] = False
    return _Piece(window, found, regions, whole)


def _first_pixels(regions: NDArray[np.uint32], count: int) -> NDArray[np.int64]:
    """Return the coordinates of the first pixel of regions numbered 0 … count - 1."""
    first = np.zeros(count, np.int64)
    found = survey(regions)
    first[found.ids] = found.first
    return np.stack(np.unravel_index(first, regions.shape), axis=1)


def _cut_places(piece: _Piece, local: Region) -> list[tuple[int, ...]]:
    """Return one pixel (in the whole image) for each part of the core that lies in a region that the window cuts."""
    from segmentry.kernels.components import label_components

    core = piece.regions[local]
    parts, count = label_components((core > 0) & ~piece.whole[core])
    start = [w.start + s.start for w, s in zip(piece.window, local, strict=True)]
    return [tuple(int(p + s) for p, s in zip(at, start, strict=True)) for at in _first_pixels(parts, count + 1)[1:]]


def _write(piece: _Piece, chosen: NDArray[np.bool_], labels: Store, objects: Objects) -> None:
    """Write the objects of the chosen regions under new provisional ids."""
    if not chosen.any():
        return
    local = np.asarray(piece.found.labels)
    wanted = np.where(chosen[piece.regions], local, 0).astype(np.uint32)
    held = survey(wanted)
    mine = np.isin(piece.found.ids, held.ids)
    fresh = objects.add(piece.found, mine)
    box = tuple(slice(int(a), int(b)) for a, b in zip(held.lower.min(axis=0), held.upper.max(axis=0), strict=True))
    there = tuple(slice(b.start + w.start, b.stop + w.start) for b, w in zip(box, piece.window, strict=True))
    new = lookup(wanted[box], held.ids, fresh)
    labels[there] = np.where(new > 0, new, np.asarray(labels[there]))


def _whole_region(
    segment: Callable[[Region], Instances],
    place: tuple[int, ...],
    grid: Grid,
    halo: Sequence[int],
    labels: Store,
    objects: Objects,
) -> None:
    """Segment the region at a pixel in a window that grows until it holds the region whole."""
    shape = grid.spatial_shape
    window = grow(tuple(slice(p, p + 1) for p in place), [h + 2 * REACH for h in halo], shape)
    while True:
        ensure_memory(
            math.prod(s.stop - s.start for s in window),
            f"the foreground at {place} is connected over {[s.stop - s.start for s in window]} pixels or more and must "
            "be segmented in one piece",
            "raise the threshold, so that it falls into parts, or take a method that gives classes",
        )
        piece = _examined(segment, window, grid, halo)
        at = tuple(p - w.start for p, w in zip(place, window, strict=True))
        region = int(piece.regions[at])
        if region == 0:
            raise SegmentryError(
                f"the method gives foreground at {place} in one window and not in another: its halo {tuple(halo)} is "
                "too small"
            )
        if piece.whole[region]:
            _write(piece, np.arange(len(piece.whole)) == region, labels, objects)
            return
        window = grow(window, [max(w.stop - w.start, REACH) // 2 + h for w, h in zip(window, halo, strict=True)], shape)
