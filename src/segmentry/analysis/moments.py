"""Where the pixels of objects lie, counted for the properties of position and shape."""

from __future__ import annotations

import functools

import numpy as np
from numpy.typing import NDArray

from segmentry.analysis.objects import Counts, Objects, Slab

__all__ = ["Cubes", "Moments"]


class Moments(Counts):
    """Sums of the positions of the pixels of each object, and of their products: exact integers."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects
        self._origin = (objects.corners + objects.stops) // 2
        self._sums = np.zeros((len(objects) + 1, 10), np.int64)

    def add(self, slab: Slab) -> None:
        from segmentry.kernels.moments import add_positions

        add_positions(slab.runs, slab.start, self._origin, self._sums)

    @property
    def spacing(self) -> NDArray[np.float64]:
        """The size of a pixel along Z, Y and X; 1 for an axis that is missing."""
        return self._objects.lengths(self._objects.spacing)

    @property
    def counts(self) -> NDArray[np.float64]:
        """The number of pixels of each object."""
        return self._objects.counts

    @property
    def means(self) -> NDArray[np.float64]:
        """The (n, 3) mean positions of the pixels, in pixels from the middle of the box."""
        return np.asarray(self._sums[1:, 1:4] / self.counts[:, None])

    @property
    def centroids(self) -> NDArray[np.float64]:
        """The (n, 3) mean positions of the pixels along Z, Y and X, as lengths."""
        return np.asarray((self.means + self._origin[1:]) * self.spacing)

    @functools.cached_property
    def spread(self) -> NDArray[np.float64]:
        """The (n, 3, 3) covariances of the pixel centres, in pixels."""
        from segmentry.kernels.moments import covariances

        return covariances(self._sums[1:], (1.0, 1.0, 1.0))

    @property
    def covariances(self) -> NDArray[np.float64]:
        """The (n, axes, axes) covariances of the pixel centres, of squared lengths."""
        first = 3 - self._objects.ndim
        scale = self.spacing[:, None] * self.spacing[None, :]
        return np.ascontiguousarray((self.spread * scale)[:, first:, first:])

    @functools.cached_property
    def axes(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """The (n, axes) variances along the principal axes, greatest first, and their directions as columns."""
        from segmentry.kernels.moments import principal_axes

        return principal_axes(self.covariances)


class Cubes(Counts):
    """Sums of the products of three coordinates of the pixels of each object."""

    def __init__(self, objects: Objects) -> None:
        self._origin = (objects.corners + objects.stops) // 2
        self._sums = np.zeros((len(objects) + 1, 10))

    def add(self, slab: Slab) -> None:
        from segmentry.kernels.moments import add_cubes

        add_cubes(slab.runs, slab.start, self._origin, self._sums)

    def central(self, moments: Moments) -> dict[tuple[int, ...], NDArray[np.float64]]:
        """Return the sums of products of three coordinates from the centroid, as lengths, by the axes they are of."""
        from segmentry.kernels.moments import CUBES

        mean, spread, spacing = moments.means, moments.spread, moments.spacing
        found: dict[tuple[int, ...], NDArray[np.float64]] = {}
        for (i, j, k), total in zip(CUBES, self._sums[1:].T, strict=True):
            aside = mean[:, i] * spread[:, j, k] + mean[:, j] * spread[:, i, k] + mean[:, k] * spread[:, i, j]
            means = mean[:, i] * mean[:, j] * mean[:, k]
            found[i, j, k] = (total - moments.counts * (aside + means)) * spacing[i] * spacing[j] * spacing[k]
        return found
