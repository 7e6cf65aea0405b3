"""From labels to distances within objects, and from heights back to objects: what representations share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segmentry.image import Grid
from segmentry.result import Instances

__all__ = [
    "diameters",
    "divided",
    "flow_errors",
    "flows_of",
    "kept",
    "numbered",
    "own_distance",
    "ray_lengths_of",
    "seeds_of",
]

#: Heights of 0 … 1 are flooded in so many levels.
LEVELS = 4096


def diameters(sizes: NDArray[Any], dimensions: int) -> NDArray[np.float64]:
    """Return the diameters of discs or balls of so many pixels.

    Examples
    --------
    >>> diameters(np.array([0, 79, 314]), 2).round()
    array([ 0., 10., 20.])
    """
    return np.asarray((sizes / (np.pi / 4 if dimensions == 2 else np.pi / 6)) ** (1 / dimensions))


def own_distance(
    labels: NDArray[np.int64], spacing: Sequence[float]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return how far each pixel is from what is not its object, and the largest such distance in its object.

    Distances are in pixels of the finest axis, from the middle of a pixel to the middle of the nearest other one, less
    half a pixel; beyond the edge of the array objects go on. Both are 0 outside of objects.

    Parameters
    ----------
    labels : (*spatial) int64 array
        Ids of objects; 0 and less is none.
    spacing
        Size of a pixel along each axis.
    """
    from segmentry.kernels.distance import distance_to_background

    ratio = [s / min(spacing) for s in spacing]
    far = np.float32(np.linalg.norm(np.multiply(labels.shape, ratio)))
    distance, largest = np.zeros(labels.shape, np.float32), np.zeros(labels.shape, np.float32)
    numbers, count = numbered(labels)
    for number, box in enumerate(_boxes(numbers, count), 1):
        if box is None:
            continue
        wide = tuple(slice(max(s.start - 1, 0), s.stop + 1) for s in box)
        own = numbers[wide] == number
        found = np.minimum(distance_to_background(own, ratio), far)
        found = np.maximum(found[own] - np.float32(0.5), 0)
        distance[wide][own] = found
        largest[wide][own] = found.max()
    return distance, largest


def _boxes(numbers: NDArray[Any], count: int) -> list[tuple[slice, ...] | None]:
    """Return where each of the objects 1 … `count` lies, if anywhere."""
    from scipy.ndimage import find_objects

    return list(find_objects(numbers.astype(np.int32), count))


def seeds_of(heights: NDArray[np.float32], mask: NDArray[np.bool_], depth: float, least: float) -> NDArray[np.uint32]:
    """Return the maxima of heights of 0 … 1 in a mask, 1 … n, that reach `least` and that valleys of a depth part."""
    from segmentry.kernels.watershed import deep_maxima

    levels = _levels(heights)
    seeds = deep_maxima(levels, mask, max(1, round(depth * LEVELS)))
    seeds[heights < least] = 0
    return seeds


def divided(
    heights: NDArray[np.float32],
    seeds: NDArray[np.uint32],
    mask: NDArray[np.bool_],
    probable: NDArray[np.float32],
    grid: Grid,
    names: tuple[str, ...],
    min_size: int = 0,
) -> Instances:
    """Return the objects that grow from seeds through a mask, down the heights; scores are their mean probability."""
    from segmentry.kernels.watershed import flood

    labels = flood(np.uint16(LEVELS) - _levels(heights), seeds, mask, full=True)
    fine = np.ones(int(seeds.max(initial=0)), np.bool_)
    return kept(labels, fine, probable, grid, names, min_size)


def kept(
    labels: NDArray[np.uint32],
    fine: NDArray[np.bool_],
    probable: NDArray[np.float32],
    grid: Grid,
    names: tuple[str, ...],
    min_size: int = 0,
) -> Instances:
    """Return those of the objects 1 … n that are fine and large enough; scores are their mean probability."""
    sizes = np.bincount(labels.ravel(), minlength=len(fine) + 1)
    stays = np.append(False, fine & (sizes[1:] >= max(min_size, 1)))
    if not stays[1:].all():
        labels = np.where(stays[labels], labels, np.uint32(0))
    ids = np.flatnonzero(stays).astype(np.uint32)
    sums = np.bincount(labels.ravel(), weights=probable.ravel(), minlength=len(fine) + 1)
    scores = np.clip(sums[ids] / sizes[ids], 0, 1).astype(np.float32)
    return Instances(labels, grid, ids, scores, None, names).renumbered()


def flows_of(labels: NDArray[np.int64], spacing: Sequence[float]) -> NDArray[np.float32]:
    """Return the direction in which heat leads to the centre of each object, (axes, *spatial), 0 outside of objects."""
    from segmentry.kernels.flows import heat_flows

    numbers, count = numbered(labels)
    return heat_flows(numbers, _boxes(numbers, count), [s / min(spacing) for s in spacing])


def ray_lengths_of(labels: NDArray[np.int64], directions: NDArray[np.float64]) -> NDArray[np.float32]:
    """Return how far rays reach from each pixel within its object, (rays, *spatial), 0 outside of objects."""
    from segmentry.kernels.ray_lengths import ray_lengths

    numbers, count = numbered(labels)
    return ray_lengths(numbers, _boxes(numbers, count), directions)


def numbered(labels: NDArray[np.int64]) -> tuple[NDArray[np.uint32], int]:
    """Return objects with the numbers 1 … n instead of their ids, 0 where none is, and n."""
    ids = np.maximum(labels, 0)
    if ids.max(initial=0) < 4 * labels.size:
        have = np.zeros(int(ids.max(initial=0)) + 1, np.bool_)
        have[ids] = True
        have[0] = False
        return np.cumsum(have, dtype=np.uint32)[ids] * have[ids], int(have.sum())
    known, places = np.unique(ids, return_inverse=True)
    first = int(known[0] > 0)
    return (places.reshape(labels.shape) + first).astype(np.uint32), len(known) - 1 + first


def flow_errors(
    labels: NDArray[np.uint32], count: int, flows: NDArray[np.float32], ratio: Sequence[float]
) -> NDArray[np.float64]:
    """Return how far flows are, squared and in the mean, from those that objects 1 … `count` of their shape have."""
    from segmentry.kernels.flows import heat_flows

    away = np.square(heat_flows(labels, _boxes(labels, count), ratio) - flows).sum(axis=0)
    sums = np.bincount(labels.ravel(), weights=away.ravel(), minlength=count + 1)[1:]
    return np.asarray(sums / np.maximum(np.bincount(labels.ravel(), minlength=count + 1)[1:], 1))


def _levels(heights: NDArray[np.float32]) -> NDArray[np.uint16]:
    return np.rint(np.clip(heights, 0, 1) * LEVELS).astype(np.uint16)
