"""Arrays of ids, streamed: what they hold, other ids in their place, connected regions across slabs.

The arrays may lie on disk (zarr); no more than a slab of them is in memory at a time.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from segmentry.image import Array, Region
from segmentry.tiling import slabs

__all__ = ["Store", "Survey", "connect", "lookup", "mean_over", "survey"]


class Store(Array, Protocol):
    """An array that can be written to region by region."""

    def __setitem__(self, key: Any, value: Any, /) -> None: ...


@dataclass(frozen=True, eq=False)
class Survey:
    """What a label array holds.

    Parameters
    ----------
    ids : (n,) uint32 array, ascending
    sizes : (n,) number of pixels
    first : (n,) flat index of the first pixel in raster order
    lower, upper : (n, axes) box of each id, as start and stop per axis; of more than three axes the first are whole
    """

    ids: NDArray[np.uint32]
    sizes: NDArray[np.int64]
    first: NDArray[np.int64]
    lower: NDArray[np.int64]
    upper: NDArray[np.int64]


def survey(labels: Array) -> Survey:
    """Return which ids an array holds, with the size, the first pixel and the box of each."""
    from segmentry.kernels.survey import survey_labels

    shape = labels.shape
    parts = []
    for region in slabs(shape):
        block = np.asarray(labels[region])
        folded = block.reshape(-1, *block.shape[-2:])
        ids, sizes, first, boxes = survey_labels(folded)
        at = np.unravel_index(first, block.shape)
        start = [s.start for s in region]
        first = np.ravel_multi_index(tuple(p + s for p, s in zip(at, start, strict=True)), shape).astype(np.int64)
        near, far = _leading(boxes, block.shape[:-2])
        lower = np.hstack([near, boxes[:, 1:3]]) + start
        upper = np.hstack([far, boxes[:, 4:6]]) + start
        parts.append((ids, sizes, first, lower, upper))
    return _joined(parts, len(shape))


def _leading(boxes: NDArray[np.int64], lead: tuple[int, ...]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return where boxes of a folded array start and stop along the axes before the last two; all, if several."""
    if len(lead) == 1:
        return boxes[:, :1], boxes[:, 3:4]
    return np.zeros((len(boxes), len(lead)), np.int64), np.tile(np.array(lead, np.int64), (len(boxes), 1))


def _joined(parts: Sequence[tuple[NDArray[Any], ...]], ndim: int) -> Survey:
    ids, sizes, first, lower, upper = (np.concatenate(column) for column in zip(*parts, strict=True))
    found, place = np.unique(ids, return_inverse=True)
    total = np.zeros(len(found), np.int64)
    np.add.at(total, place, sizes)
    earliest = np.full(len(found), np.iinfo(np.int64).max)
    np.minimum.at(earliest, place, first)
    low = np.full((len(found), ndim), np.iinfo(np.int64).max)
    np.minimum.at(low, place, lower)
    high = np.zeros((len(found), ndim), np.int64)
    np.maximum.at(high, place, upper)
    return Survey(found.astype(np.uint32), total, earliest, low, high)


def lookup(labels: NDArray[np.uint32], ids: NDArray[np.uint32], values: NDArray[Any]) -> NDArray[Any]:
    """Return ``values[i]`` wherever `labels` is ``ids[i]`` (ids ascending), and 0 elsewhere."""
    if not len(ids):
        return np.zeros(labels.shape, values.dtype)
    top = int(max(labels.max(initial=0), ids[-1]))
    if top <= max(4 * labels.size, 1 << 20):
        table = np.zeros(top + 1, values.dtype)
        table[ids] = values
        return table.take(labels, mode="clip")  # none lies beyond: that need not be looked at
    at = np.minimum(np.searchsorted(ids, labels), len(ids) - 1)
    return np.where(ids[at] == labels, values[at], values.dtype.type(0))


def mean_over(labels: Array, values: Array, count: int) -> NDArray[np.float32]:
    """Return the mean of uint16 values, divided by 65,535, over the pixels of each id 1 … count.

    Sums are of integers, so that they don't depend on the order in which pixels are seen.
    """
    sums = np.zeros(count + 1)
    sizes = np.zeros(count + 1)
    for region in slabs(labels.shape):
        ids = np.asarray(labels[region]).ravel()
        sums += np.bincount(ids, weights=np.asarray(values[region]).ravel(), minlength=count + 1)
        sizes += np.bincount(ids, minlength=count + 1)
    return np.asarray(sums[1:] / np.maximum(sizes[1:], 1) / 65_535, np.float32)


def connect(classes: Array, labels: Store, ndim: int) -> NDArray[np.int32]:
    """Write the connected regions of each class but 0 into an array of zeros; return the class of each id.

    Pixels touch that share a face, an edge or a corner along the last `ndim` axes; along the axes before they never do.
    Ids count from 1 in raster order of the first pixel.
    """
    kinds = [np.zeros(1, np.int32)]
    total = 0
    for index in np.ndindex(*classes.shape[:-ndim]):
        frame = tuple(slice(i, i + 1) for i in index)
        found = _label_slabs(classes, labels, frame, ndim, total)
        total += len(found)
        kinds.append(found)
    return np.concatenate(kinds)[1:]


def _label_slabs(classes: Array, labels: Store, frame: Region, ndim: int, offset: int) -> NDArray[np.int32]:
    """Label one frame slab by slab, ids counting on from `offset`, and join what touches across slabs."""
    from segmentry.kernels.components import label_components, merge_pairs

    shape = classes.shape[-ndim:]
    regions = list(slabs(shape))
    pairs: list[NDArray[np.int64]] = []
    kinds: list[NDArray[np.int32]] = []
    count = 0
    before: tuple[NDArray[Any], NDArray[np.int64]] | None = None
    for region in regions:
        values = np.asarray(classes[frame + region]).reshape([s.stop - s.start for s in region])
        part, n = label_components(values)
        ids = np.where(part > 0, part.astype(np.int64) + count, 0)
        kind = np.zeros(n + 1, np.int32)
        kind[part.ravel()] = values.ravel()
        kinds.append(kind[1:])
        axis = next((i for i, s in enumerate(shape) if s > 1), 0)
        face = np.moveaxis(values, axis, 0), np.moveaxis(ids, axis, 0)
        if before is not None:
            pairs.append(_touching(before, (face[0][0], face[1][0])))
        before = face[0][-1], face[1][-1]
        labels[frame + region] = (
            (ids + np.where(ids > 0, offset, 0)).astype(np.uint32).reshape((1,) * len(frame) + ids.shape)
        )
        count += n
    kind = np.concatenate(kinds)
    if pairs and sum(len(p) for p in pairs):
        both = np.concatenate(pairs) - 1
        number = np.arange(count)
        fewer = merge_pairs(number, both[:, 0].copy(), both[:, 1].copy())
        merged = np.zeros(fewer, np.int32)
        merged[number - 1] = kind
        old = np.arange(1, count + 1, dtype=np.uint32) + np.uint32(offset)
        for region in regions:
            block = np.asarray(labels[frame + region])
            labels[frame + region] = lookup(block, old, (number + offset).astype(np.uint32))
        return merged
    return kind


def _touching(
    before: tuple[NDArray[Any], NDArray[np.int64]], after: tuple[NDArray[Any], NDArray[np.int64]]
) -> NDArray[np.int64]:
    """Return the pairs of ids of one class that touch across the faces of two slabs."""
    found = []
    for shift in itertools.product((-1, 0, 1), repeat=before[0].ndim):
        here = tuple(slice(max(s, 0), n + min(s, 0)) for s, n in zip(shift, before[0].shape, strict=True))
        there = tuple(slice(max(-s, 0), n + min(-s, 0)) for s, n in zip(shift, before[0].shape, strict=True))
        same = (before[0][here] == after[0][there]) & (before[1][here] > 0)
        found.append(np.stack([before[1][here][same], after[1][there][same]], axis=1))
    return np.unique(np.concatenate(found), axis=0)
