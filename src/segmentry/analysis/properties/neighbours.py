"""Neighbours: which objects an object touches, how much of its boundary it shares, and how near others are."""

from __future__ import annotations

import functools

import numpy as np
from numpy.typing import NDArray

from segmentry.analysis.contacts import Contacts, face_sizes
from segmentry.analysis.corners import Corners
from segmentry.analysis.moments import Moments
from segmentry.analysis.objects import Counts, Objects, Slab
from segmentry.analysis.property import measured

#: Of so many objects at the most all pairs are looked at: a tree takes longer to be loaded.
FEW = 1000


class Nearest(Counts):
    """The nearest other object of each: found once, from what is counted already."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects

    def add(self, slab: Slab) -> None:
        """Nothing more has to be counted."""

    @functools.cached_property
    def found(self) -> tuple[NDArray[np.float64], NDArray[np.uint32]]:
        """The (n,) distances between centroids, and the (n,) ids."""
        objects = self._objects
        n = len(objects)
        if n < 2:
            return np.full(n, np.nan), np.zeros(n, np.uint32)
        centroids = objects[Moments].centroids[:, 3 - objects.ndim :]
        distances, others = _among_few(centroids) if n <= FEW else _in_tree(centroids)
        return distances, objects.held.ids[others]


def _among_few(points: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
    """Return the distance to the nearest other of some points (n, axes), and which that is, by looking at all pairs."""
    squares = np.zeros((len(points), len(points)))
    for along in points.T:
        squares += (along[:, None] - along) ** 2
    np.fill_diagonal(squares, np.inf)
    others = squares.argmin(axis=1)
    return np.sqrt(squares[np.arange(len(points)), others]), others


def _in_tree(points: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
    """Do the same for many points."""
    from scipy.spatial import cKDTree

    distances, near = cKDTree(points, balanced_tree=False, compact_nodes=False).query(points, k=2)
    # Where points coincide, one need not be the first that is found in its own place.
    return distances[:, 1], np.where(near[:, 0] == np.arange(len(points)), near[:, 1], near[:, 0])


@measured()
def touches_border(objects: Objects) -> NDArray[np.bool_]:
    """Whether a pixel of the object is the first or the last of the image along an axis: the image may cut it off.

    An axis that is one pixel long does not count.
    """
    shape = np.array(objects.grid.shape)
    reached = (objects.held.lower == 0) | (objects.held.upper == shape)
    return np.asarray((reached & (shape > 1)).any(axis=1))


@measured(needs=[Contacts])
def n_neighbours(objects: Objects) -> NDArray[np.int64]:
    """Number of other objects with which the object shares a face of a pixel."""
    return objects[Contacts].neighbours


@measured("boundary", needs=[Contacts], dimensions=(2,))
def contact_length(objects: Objects) -> NDArray[np.float64]:
    """Total length of the sides of pixels that the object shares with other objects; 0 for an object that stands alone.

    Sides are added up as they are, so slanted contacts come out longer than a straight line, by up to 41 %.
    """
    return _shared(objects)


@measured("boundary", needs=[Contacts], dimensions=(3,))
def contact_area(objects: Objects) -> NDArray[np.float64]:
    """Total area of the faces of voxels that the object shares with other objects; 0 for an object that stands alone.

    Faces are added up as they are, so slanted contacts come out larger than a flat face, by up to 73 %.
    """
    return _shared(objects)


@measured(needs=[Contacts, Corners])
def contact_fraction(objects: Objects) -> NDArray[np.float64]:
    """Part of all faces of pixels on the object's boundary, by their size, that it shares with other objects: 0 … 1."""
    return np.asarray(_shared(objects) / (objects[Corners].faces * face_sizes(objects)).sum(axis=1))


@measured("length", needs=[Moments, Nearest])
def nearest_distance(objects: Objects) -> NDArray[np.float64]:
    """Distance between the centroids of the object and of the nearest other object; NaN where there is no other."""
    return objects[Nearest].found[0]


@measured(needs=[Moments, Nearest], by_default=False)
def nearest_id(objects: Objects) -> NDArray[np.uint32]:
    """Id of the object whose centroid is nearest, one of them where several are as near; 0 where there is no other."""
    return objects[Nearest].found[1]


def _shared(objects: Objects) -> NDArray[np.float64]:
    return np.asarray((objects[Contacts].shared * face_sizes(objects)).sum(axis=1))
