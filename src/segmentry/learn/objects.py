"""From labels to distances within objects, and from heights back to objects: what representations share."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from segmentry.image import Grid
from segmentry.result import Instances

__all__ = ["divided", "own_distance", "seeds_of"]

#: Heights of 0 … 1 are flooded in so many levels.
LEVELS = 4096


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
    ids, places = np.unique(labels, return_inverse=True)
    places = places.reshape(labels.shape)
    for number, box in enumerate(_boxes(places, len(ids))):
        if ids[number] <= 0 or box is None:
            continue
        wide = tuple(slice(max(s.start - 1, 0), s.stop + 1) for s in box)
        own = places[wide] == number
        found = np.minimum(distance_to_background(own, ratio), far)
        found = np.maximum(found[own] - np.float32(0.5), 0)
        distance[wide][own] = found
        largest[wide][own] = found.max()
    return distance, largest


def _boxes(places: NDArray[np.int64], count: int) -> list[tuple[slice, ...] | None]:
    from scipy.ndimage import find_objects

    return list(find_objects(places.astype(np.int32) + 1, count))


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
    count = int(seeds.max(initial=0))
    sizes = np.bincount(labels.ravel(), minlength=count + 1)
    if min_size:
        labels[(sizes < min_size)[labels]] = 0
    ids = np.flatnonzero(sizes >= max(min_size, 1)).astype(np.uint32)
    ids = ids[ids > 0]
    sums = np.bincount(labels.ravel(), weights=probable.ravel(), minlength=count + 1)
    scores = (sums[ids] / sizes[ids]).astype(np.float32)
    return Instances(labels, grid, ids, scores, None, names).renumbered()


def _levels(heights: NDArray[np.float32]) -> NDArray[np.uint16]:
    return np.rint(np.clip(heights, 0, 1) * LEVELS).astype(np.uint16)
