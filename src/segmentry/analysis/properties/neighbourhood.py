"""Neighbourhood: how crowded it is about an object, and what the objects nearest to it are like.

The nearest objects are those whose centroids are: up to five, fewer where there are no more, whether they touch or not.
"""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segmentry.analysis.intensities import Intensities
from segmentry.analysis.moments import Moments
from segmentry.analysis.objects import Counts, Objects, Slab
from segmentry.analysis.property import measured

#: How many objects are the nearest ones.
NEAREST = 5
#: How far objects count as near, and how far they make an object crowded, in median diameters.
REACH, CROWD = 3, 2
#: Places by which it is told how much of a disc or ball lies in the image, and for how many objects at a time.
PLACES, BLOCK = 256, 4096


class Near(Counts):
    """The objects about each: found once, from what is counted already."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects

    def add(self, slab: Slab) -> None:
        """Nothing more has to be counted."""

    @functools.cached_property
    def nearest(self) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
        """The (n, k) distances to the centroids of the nearest others, ascending, and their (n, k) rows."""
        n = len(self._objects)
        k = min(NEAREST, n - 1)
        if k < 1:
            return np.zeros((n, 0)), np.zeros((n, 0), np.intp)
        distances, rows = self._tree.query(self._centroids, k=k + 1)
        # Where centroids coincide, an object need not be the first that is found in its own place.
        order = np.argsort(rows == np.arange(n)[:, None], axis=1, kind="stable")[:, :k]
        return np.take_along_axis(distances, order, axis=1), np.take_along_axis(rows, order, axis=1)

    @functools.cached_property
    def diameter(self) -> float:
        """The median equivalent diameter."""
        objects = self._objects
        ball = 4 / math.pi if objects.ndim == 2 else 6 / math.pi
        return float(np.median((ball * objects.counts * objects.pixel_size) ** (1 / objects.ndim)))

    def count(self) -> NDArray[np.int64]:
        """Return the (n,) numbers of others within the reach."""
        n = len(self._objects)
        near = self._pairs(REACH) if n else np.zeros((0, 2), np.intp)
        return np.bincount(near.ravel(), minlength=n)

    def crowding(self) -> NDArray[np.float64]:
        """Return the (n,) sums of the sizes of the others within a reach, over what of that reach is in the image."""
        objects = self._objects
        n = len(objects)
        if not n:
            return np.zeros(0)
        pairs = self._pairs(CROWD)
        sizes = objects.counts * objects.pixel_size
        total = np.bincount(pairs[:, 0], sizes[pairs[:, 1]], n) + np.bincount(pairs[:, 1], sizes[pairs[:, 0]], n)
        reach = CROWD * self.diameter
        ball = math.pi * (reach**2 if objects.ndim == 2 else 4 / 3 * reach**3)
        return np.asarray(total / (ball * self._seen(reach)))

    def mean(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the mean of the finite `values` of the nearest others; NaN where there is none."""
        seen = values[self.nearest[1]]
        known = np.isfinite(seen)
        count = known.sum(axis=1)
        total = np.where(known, seen, 0).sum(axis=1)
        return np.where(count > 0, total / np.maximum(count, 1), np.nan)

    @functools.cached_property
    def _centroids(self) -> NDArray[np.float64]:
        return self._objects[Moments].centroids[:, 3 - self._objects.ndim :]

    @functools.cached_property
    def _tree(self) -> Any:
        from scipy.spatial import cKDTree

        return cKDTree(self._centroids, balanced_tree=False, compact_nodes=False)

    def _pairs(self, diameters: float) -> NDArray[np.intp]:
        """Return the (m, 2) rows of objects whose centroids are no further from each other than that."""
        return np.asarray(self._tree.query_pairs(diameters * self.diameter, output_type="ndarray"))

    def _seen(self, reach: float) -> NDArray[np.float64]:
        """Return which part of the disc or ball about each object lies in the image."""
        objects = self._objects
        spacing = np.array(objects.spacing)
        lower, upper = -0.5 * spacing, (np.array(objects.grid.shape) - 0.5) * spacing
        offsets = reach * _spread(objects.ndim)
        found = np.empty(len(objects))
        for start in range(0, len(objects), BLOCK):
            places = self._centroids[start : start + BLOCK, None] + offsets
            found[start : start + BLOCK] = ((places >= lower) & (places <= upper)).all(axis=2).mean(axis=1)
        return np.maximum(found, 1 / PLACES)


def _spread(ndim: int) -> NDArray[np.float64]:
    """Return places spread evenly over the disc or ball of radius 1: the same ones always."""
    k = np.arange(PLACES)
    radius = ((k + 0.5) / PLACES) ** (1 / ndim)
    turn = 2 * math.pi * (k * 0.7548776662466927 % 1)
    rise = 1 - 2 * (k * 0.5698402909980532 % 1) if ndim == 3 else np.zeros(PLACES)
    flat = np.sqrt(1 - rise**2)
    places = np.stack([rise, flat * np.sin(turn), flat * np.cos(turn)], axis=1)[:, 3 - ndim :]
    return np.asarray(radius[:, None] * places)


@measured(needs=[Moments, Near], by_default=False)
def n_near(objects: Objects) -> NDArray[np.int64]:
    """Number of other objects whose centroid lies no further from the object's than three times the median equivalent
    diameter of all objects of the time point: how crowded it is.
    """
    return objects[Near].count()


@measured(needs=[Moments, Near], by_default=False)
def crowding(objects: Objects) -> NDArray[np.float64]:
    """Total area or volume of the other objects whose centroid lies no further from the object's than two median
    equivalent diameters, over that of the part of this disc or ball that lies in the image: 0 for an object alone.
    """
    return objects[Near].crowding()


@measured(needs=[Moments, Near], by_default=False)
def relative_distance(objects: Objects) -> NDArray[np.float64]:
    """Distance between the centroids of the object and of the nearest other one, in median equivalent diameters of all
    objects of the time point; NaN where there is no other.
    """
    distances, _ = objects[Near].nearest
    return np.asarray(distances[:, 0] / objects[Near].diameter) if distances.size else np.full(len(objects), np.nan)


@measured("length", needs=[Moments, Near], by_default=False)
def near_distance(objects: Objects) -> NDArray[np.float64]:
    """Mean distance between the centroids of the object and of the five nearest others; NaN where there is no other."""
    distances, _ = objects[Near].nearest
    return np.asarray(distances.sum(axis=1) / (distances.shape[1] or np.nan))


@measured("size", needs=[Moments, Near], by_default=False)
def near_size(objects: Objects) -> NDArray[np.float64]:
    """Mean area or volume of the five objects whose centroids are nearest; NaN where there is no other."""
    return objects[Near].mean(objects.counts * objects.pixel_size)


@measured(needs=[Moments, Near], by_default=False)
def relative_size(objects: Objects) -> NDArray[np.float64]:
    """Area or volume of the object over `near_size`; NaN where there is no other object."""
    return np.asarray(objects.counts / objects[Near].mean(objects.counts))


@measured(needs=[Moments, Near, Intensities], per_channel=True, by_default=False)
def near_mean(objects: Objects, channel: int) -> NDArray[np.float64]:
    """Mean of the mean intensities of the five objects whose centroids are nearest; NaN where there is none."""
    return objects[Near].mean(objects[Intensities].of(channel).mean)


@measured(needs=[Moments, Near, Intensities], per_channel=True, by_default=False)
def mean_minus_near(objects: Objects, channel: int) -> NDArray[np.float64]:
    """Mean intensity of the object less `near_mean`; NaN where either is."""
    own = objects[Intensities].of(channel).mean
    return np.asarray(own - objects[Near].mean(own))
