"""Perimeters and surfaces from the number of times that lines through an object cross its boundary.

Crofton's formula makes the surface of the mean area of an object's shadows, and a shadow is measured by the lines
through pixel centres that hit the object. Four directions are taken in two dimensions and thirteen in three. They are
chosen so that they are spread evenly in space, not in pixels: where planes lie far apart, slanted lines go several
pixels aside for each plane. Each direction counts by the part of all directions that are nearest to it (Ohser &
Mücklich 2000). Where the image ends its objects end too.
"""

from __future__ import annotations

import functools
import itertools
import math

import numpy as np
from numpy.typing import NDArray

from segmentry.analysis.corners import Corners, ends
from segmentry.analysis.objects import Counts, Objects, Slab

__all__ = ["SlantedLines", "boundary_sizes", "directions"]

#: Lines go at most so many pixels aside from one plane to the next.
LONGEST_STEP = 16


class SlantedLines(Counts):
    """Crossings of the boundary of each object in steps that are longer than to a neighbour; there may be none such.

    Attributes
    ----------
    crossings
        For each step, how many such steps lead into each object or out of it.
    """

    def __init__(self, objects: Objects) -> None:
        self._shape = objects.grid.shape
        steps = _long_steps(objects.spacing)
        self._steps = np.pad(steps, ((0, 0), (3 - objects.ndim, 0)))
        self._counts = np.zeros((len(steps), len(objects) + 1), np.int64)
        self.crossings = dict(zip(map(tuple, steps.tolist()), self._counts[:, 1:], strict=True))

    @classmethod
    def reach(cls, objects: Objects) -> tuple[int, ...]:
        return tuple(np.abs(_long_steps(objects.spacing)).max(axis=0, initial=0).tolist())

    def add(self, slab: Slab) -> None:
        from segmentry.kernels.crossings import count_crossings

        if len(self._steps):
            count_crossings(slab.index, slab.margin, *ends(slab.region, self._shape), self._steps, self._counts)


def boundary_sizes(objects: Objects) -> NDArray[np.float64]:
    """Return the perimeter, or in three dimensions the surface, of each object."""
    steps, parts = directions(objects.spacing)
    counted = {**objects[Corners].crossings, **objects[SlantedLines].crossings}
    crossings = np.stack([counted[step] for step in map(tuple, steps.tolist())], axis=1)
    # A line that hits a convex object crosses its boundary twice.
    length = np.sqrt(((steps * np.array(objects.spacing)) ** 2).sum(axis=1))
    shadows = (crossings / 2 * (objects.pixel_size / length * parts)).sum(axis=1)
    return np.asarray((math.pi if objects.ndim == 2 else 4.0) * shadows)


def _long_steps(spacing: tuple[float, ...]) -> NDArray[np.int64]:
    steps, _ = directions(spacing)
    return np.asarray(steps[np.abs(steps).max(axis=1) > 1])


@functools.cache
def directions(spacing: tuple[float, ...]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return the steps of the lines, in pixels, and the share of all directions for which each stands."""
    ratio = np.minimum(max(spacing) / np.array(spacing), LONGEST_STEP)
    found: dict[tuple[int, ...], None] = {}
    for signs in itertools.product((0, 1, -1), repeat=len(spacing)):
        step = tuple(int(n) for n in np.rint(np.array(signs) * ratio))
        first = next((n for n in step if n), 0)
        if first > 0:
            shared = math.gcd(*step)
            found[tuple(n // shared for n in step)] = None
    steps = np.array(list(found), np.int64)
    ways = steps * np.array(spacing)
    ways /= np.sqrt((ways**2).sum(axis=1, keepdims=True))
    return steps, _parts_of_circle(ways) if len(spacing) == 2 else _parts_of_sphere(ways)


def _parts_of_circle(ways: NDArray[np.float64]) -> NDArray[np.float64]:
    angle = np.arctan2(ways[:, 0], ways[:, 1]) % math.pi
    order = np.argsort(angle)
    gaps = np.diff(angle[order], append=angle[order[0]] + math.pi)
    parts = np.empty(len(ways))
    parts[order] = (gaps + np.roll(gaps, 1)) / (2 * math.pi)
    return parts


def _parts_of_sphere(ways: NDArray[np.float64]) -> NDArray[np.float64]:
    from scipy.spatial import SphericalVoronoi

    areas = SphericalVoronoi(np.vstack([ways, -ways])).calculate_areas()
    return np.asarray((areas[: len(ways)] + areas[len(ways) :]) / areas.sum())
