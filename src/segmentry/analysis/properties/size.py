"""How large objects are."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from segmentry.analysis.objects import Counts, Objects, Slab
from segmentry.analysis.property import measured


class Partial(Counts):
    """Sums of the probabilities that pixels are object."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects
        self._sums = np.zeros(len(objects) + 1)

    @classmethod
    def reach(cls, objects: Objects) -> tuple[int, ...]:
        return (1,) * objects.ndim

    def add(self, slab: Slab) -> None:
        from segmentry.kernels.intensities import add_partial

        assert self._objects.probability is not None
        shares = np.asarray(self._objects.probability[slab.region], np.float32)
        shares = np.ascontiguousarray(shares).reshape((1,) * (3 - shares.ndim) + shares.shape)
        add_partial(slab.index, slab.margin, shares, self._sums)

    @property
    def sizes(self) -> NDArray[np.float64]:
        """The sum for each object, as an area or volume."""
        return np.asarray(self._sums[1:] * self._objects.pixel_size)


@measured("size", dimensions=(2,))
def area(objects: Objects) -> NDArray[np.float64]:
    """Number of pixels times the area of a pixel."""
    return objects.counts * objects.pixel_size


@measured("size", dimensions=(3,))
def volume(objects: Objects) -> NDArray[np.float64]:
    """Number of pixels times the volume of a pixel."""
    return objects.counts * objects.pixel_size


@measured("size", needs=[Partial], dimensions=(2,), with_probability=True)
def summed_area(objects: Objects) -> NDArray[np.float64]:
    """Sum of the probabilities of being object, times the area of a pixel, over the pixels of the object and the pixels
    of the background that share an edge or a corner with it; a pixel that touches several objects goes to the first in
    the table. Where probabilities are true, blurred edges count by how much of them is object.
    """
    return objects[Partial].sizes


@measured("size", needs=[Partial], dimensions=(3,), with_probability=True)
def summed_volume(objects: Objects) -> NDArray[np.float64]:
    """Sum of the probabilities of being object, times the volume of a pixel, over the pixels of the object and the
    pixels of the background that share a face, an edge or a corner with it; a pixel that touches several objects goes
    to the first in the table. Where probabilities are true, partly filled pixels count by how much of them is object.
    """
    return objects[Partial].sizes


@measured()
def n_pixels(objects: Objects) -> NDArray[np.int64]:
    """Number of pixels."""
    return objects.held.sizes


@measured("length")
def equivalent_diameter(objects: Objects) -> NDArray[np.float64]:
    """Diameter of the disc of the same area, or the ball of the same volume."""
    ball = 4 / math.pi if objects.ndim == 2 else 6 / math.pi
    return np.asarray((ball * objects.counts * objects.pixel_size) ** (1 / objects.ndim))


@measured()
def extent(objects: Objects) -> NDArray[np.float64]:
    """Number of pixels over that of the box along the axes of the image: above 0, and 1 where the object fills it."""
    return np.asarray(objects.counts / np.prod(objects.held.upper - objects.held.lower, axis=1))
