"""Cleaners at work: time point by time point, in pieces where asked, with ids for the parts of what was split.

Each object is cleaned in a window that holds it whole, with the halo that the cleaner asks for; so the result does not
depend on the pieces. New ids are only final at the end: they count in raster order over all time points.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol, Self

import numpy as np
from numpy.typing import NDArray

from segmentry.errors import InputError
from segmentry.image import Grid, Image, Region
from segmentry.labelling import Store, Survey, lookup, survey
from segmentry.result import MAX_ID, Instances
from segmentry.tiling import cores, grow, slabs, window_grid
from segmentry.workspace import Frame

__all__ = ["Mender", "each_object", "mend", "parted"]


class Mender(Protocol):
    """What is asked of a cleaner; :class:`segmentry.step.Cleaner` says what each means."""

    @property
    def renumbers(self) -> bool: ...

    @property
    def sorts(self) -> bool: ...

    @property
    def splits(self) -> bool: ...

    def halo(self, grid: Grid, /) -> tuple[int, ...]: ...

    def surveyed(self, instances: Instances, image: Image | None, /) -> Self: ...

    def within(self, window: Region, /) -> Self: ...

    def clean(self, instances: Instances, image: Image | None, /) -> Instances: ...

    def sort(self, instances: Instances, image: Image | None, /) -> Instances: ...


def mend(
    cleaner: Mender,
    instances: Instances,
    image: Image | None = None,
    *,
    loose: str = "T",
    tile: Sequence[int] | None = None,
    into: Store | None = None,
    tick: Callable[[int], None] = lambda _pixels: None,
) -> Instances:
    """Return the objects after one cleaner.

    Parameters
    ----------
    image
        The channel that the cleaner measures, on the grid of the labels; ``None`` where it measures none.
    loose
        Axes along which objects are cleaned one by one: time, and depth where planes are apart.
    tile
        Pixels per spatial axis of a piece; the whole when not given. The result does not depend on it.
    into
        Array of zeros that receives the labels.
    tick
        Called with the number of pixels done.
    """
    if cleaner.sorts:
        return cleaner.sort(instances, image)
    grid = instances.grid
    labels: Store = np.zeros(grid.shape, np.uint32) if into is None else into
    if cleaner.renumbers:
        return instances.renumbered(labels)
    parts = _Parts(int(instances.ids.max(initial=0)))
    axes = [a for a in loose if a in grid.axes]
    for index in np.ndindex(*(grid.length(a) for a in axes)):
        before = Frame(instances.labels, index)
        held = survey(before)
        frame = instances.with_labels(before, held.ids, grid.without(*axes))
        picture = image
        for axis, i in zip(axes, index, strict=True):
            picture = picture and picture.at(axis, i)
        ready = cleaner.surveyed(frame, picture)
        _clean_frame(ready, frame, held, picture, tile or frame.grid.shape, Frame(labels, index), parts, tick)
    return parts.settled(instances, labels)


def parted(instances: Instances, parts: NDArray[np.uint32]) -> Instances:
    """Return objects divided into parts: the largest keeps the id, the others get ids above the highest.

    Of parts of one size the first keeps the id; new ids count in raster order. A part has the score and class of the
    object that it was of.

    Parameters
    ----------
    instances
        The objects of one time point, in memory.
    parts
        A number for each part of each object that is divided, 0 elsewhere.

    Raises
    ------
    InputError
        When there are no ids left.
    """
    labels = np.asarray(instances.labels[...])
    held = survey(parts)
    owner = labels.ravel()[held.first]
    order = np.lexsort((held.first, -held.sizes, owner))
    largest = np.zeros(len(order), np.bool_)
    largest[order] = np.append(True, owner[order][1:] != owner[order][:-1])[: len(order)]
    others = np.flatnonzero(~largest)
    others = others[np.argsort(held.first[others])]
    top = int(instances.ids.max(initial=0))
    _ensure_ids(top, len(others))
    ids = owner.copy()
    ids[others] = np.arange(top + 1, top + 1 + len(others), dtype=np.uint32)
    new = lookup(parts, held.ids, ids)
    origins = np.concatenate([instances.ids, owner[others]])
    fresh = np.where(new > 0, new, labels)
    return instances.with_labels(fresh, np.concatenate([instances.ids, ids[others]]), origins=origins)


def each_object(instances: Instances) -> Iterator[tuple[int, Region, NDArray[np.bool_]]]:
    """Yield the id of each object of a time point, a box with a pixel to spare, and the object as a mask in it."""
    labels = np.asarray(instances.labels[...])
    held = survey(labels)
    for number, lower, upper in zip(held.ids.tolist(), held.lower.tolist(), held.upper.tolist(), strict=True):
        box = grow(tuple(map(slice, lower, upper)), (1,) * labels.ndim, labels.shape)
        yield number, box, labels[box] == number


@dataclass
class _Parts:
    """Parts found so far: number k of them has the provisional id ``top + k + 1``.

    Parameters
    ----------
    top
        The highest id before.
    parents
        For each part, the object that it was of.
    """

    top: int
    parents: list[int] = field(default_factory=list)

    def taken(
        self, before: NDArray[np.uint32], known: NDArray[np.uint32], after: NDArray[np.uint32]
    ) -> NDArray[np.uint32]:
        """Return cleaned labels of a window with provisional ids in place of those that are new."""
        held = survey(after)
        new = ~np.isin(held.ids, known)
        start = self.top + len(self.parents)
        self.parents += before.ravel()[held.first[new]].tolist()
        _ensure_ids(self.top, len(self.parents))
        ids = held.ids.copy()
        ids[new] = np.arange(start + 1, start + 1 + np.count_nonzero(new), dtype=np.uint32)
        return lookup(after, held.ids, ids)

    def settled(self, instances: Instances, labels: Store) -> Instances:
        """Return the objects in `labels`, in which provisional ids become final."""
        held = survey(labels)
        old, new = held.ids[held.ids <= self.top], held.ids[held.ids > self.top]
        order = np.argsort(held.first[len(old) :])
        fresh = np.empty(len(new), np.uint32)
        fresh[order] = np.arange(self.top + 1, self.top + 1 + len(new), dtype=np.uint32)
        ids = np.concatenate([old, fresh])
        if not np.array_equal(ids, held.ids):
            for region in slabs(labels.shape):
                labels[region] = lookup(np.asarray(labels[region]), held.ids, ids)
        parents = np.array([self.parents[i - self.top - 1] for i in new[order].tolist()], np.uint32)
        return instances.with_labels(labels, np.sort(ids), origins=np.concatenate([old, parents]))


def _clean_frame(
    cleaner: Mender,
    frame: Instances,
    held: Survey,
    picture: Image | None,
    tile: Sequence[int],
    into: Store,
    parts: _Parts,
    tick: Callable[[int], None],
) -> None:
    """Clean one time point piece by piece: each object in a window that holds it whole."""
    grid = frame.grid
    shape = grid.spatial_shape
    halo = cleaner.halo(grid)
    heads = np.stack(np.unravel_index(held.first, shape), axis=1)
    for core in cores(shape, tile):
        owned = np.ones(len(held.ids), np.bool_)
        for axis, s in enumerate(core):
            owned &= (heads[:, axis] >= s.start) & (heads[:, axis] < s.stop)
        if owned.any():
            lower, upper = held.lower[owned].min(axis=0), held.upper[owned].max(axis=0)
            box = tuple(slice(int(a), int(b)) for a, b in zip(lower, upper, strict=True))
            window = grow(box, [h + 1 for h in halo], shape)
            place = window_grid(grid, window)
            before = np.asarray(frame.labels[window])
            seen = frame.with_labels(before, survey(before).ids, place)
            view = None if picture is None else replace(picture.window(window), grid=place)
            after = np.asarray(cleaner.within(window).clean(seen, view).labels)
            if cleaner.splits:
                after = parts.taken(before, seen.ids, after)
            into[window] = np.where(_mine(before, after, held.ids[owned]), after, np.asarray(into[window]))
        tick(int(np.prod([s.stop - s.start for s in core])))


def _mine(before: NDArray[np.uint32], after: NDArray[np.uint32], owned: NDArray[np.uint32]) -> NDArray[np.bool_]:
    """Say which pixels the owned objects have now, and which that they had belong to others now."""
    yes = np.ones(len(owned), np.bool_)
    return np.asarray(lookup(after, owned, yes) | (lookup(before, owned, yes) & (after > 0)))


def _ensure_ids(top: int, count: int) -> None:
    if top + count > MAX_ID:
        raise InputError(f"the highest id is {top}: {count} more don't fit below {MAX_ID}; clean with relabel first")
