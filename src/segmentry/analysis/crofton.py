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

from segmentry.labelling import Survey, lookup
from segmentry.result import Instances
from segmentry.tiling import grow, slabs

__all__ = ["boundary_sizes"]

#: Lines go at most so many pixels aside from one plane to the next.
LONGEST_STEP = 16


def boundary_sizes(instances: Instances, held: Survey) -> NDArray[np.float64]:
    """Return the perimeter, or in three dimensions the surface, of each object of one time point.

    Parameters
    ----------
    instances
        Spatial axes only; the labels may be lazy.
    held
        What the labels hold.
    """
    from segmentry.kernels.crossings import count_crossings

    grid = instances.grid
    ndim = len(grid.spatial)
    spacing = grid.spacing or (1.0,) * ndim
    steps, parts = directions(spacing)
    reach = tuple(int(n) for n in np.abs(steps).max(axis=0))
    padded = np.pad(steps, ((0, 0), (3 - ndim, 0)))
    counts = np.zeros((len(held.ids) + 1, len(steps)), np.int64)
    numbers = np.arange(1, len(held.ids) + 1, dtype=np.uint32)
    for region in slabs(grid.shape):
        window = grow(region, reach, grid.shape)
        index = lookup(np.asarray(instances.labels[window]), held.ids, numbers)
        pairs = zip(reach, region, window, strict=True)
        index = np.pad(index, [(r - s.start + w.start, r - w.stop + s.stop) for r, s, w in pairs])
        lead = (1,) * (3 - ndim)
        count_crossings(index.reshape(lead + index.shape), (0,) * (3 - ndim) + reach, padded, counts)
    # A line that hits a convex object crosses its boundary twice.
    length = np.sqrt(((steps * np.array(spacing)) ** 2).sum(axis=1))
    shadows = (counts[1:] / 2 * (math.prod(spacing) / length * parts)).sum(axis=1)
    return np.asarray((math.pi if ndim == 2 else 4.0) * shadows)


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
