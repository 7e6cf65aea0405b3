"""How bright objects and what surrounds them are, counted for the properties of intensity."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from segmentry.analysis.objects import Counts, Objects, Slab

if TYPE_CHECKING:
    from segmentry.kernels.intensities import Statistics

__all__ = ["Intensities", "Medians", "Quantiles", "Surroundings", "Weights"]

#: Objects of integers of up to 16 bits with more pixels than this are kept as a histogram, which is smaller.
LARGE = 2**18
#: How many values a histogram tells apart.
LEVELS = 2**16
#: Nothing to leave out at the sides.
NO_MARGIN = np.zeros(3, np.int64)


class Intensities(Counts):
    """Sums of the intensities of each object in each channel."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects
        self._sums: dict[int, NDArray[Any]] = {}
        self._told: dict[int, Statistics] = {}

    def add(self, slab: Slab) -> None:
        self._add(slab, slab.runs)

    def _add(self, slab: Slab, runs: NDArray[np.int32]) -> None:
        from segmentry.kernels.intensities import add_intensities, empty_sums

        for channel in range(len(self._objects.channels)):
            pixels = slab.pixels(channel)
            if channel not in self._sums:
                self._sums[channel] = empty_sums(pixels.dtype, len(self._objects))
            add_intensities(runs, pixels, self._sums[channel])

    def of(self, channel: int) -> Statistics:
        """Return the numbers of each object in a channel."""
        from segmentry.kernels.intensities import empty_sums, statistics

        if channel not in self._told:
            sums = self._sums.get(channel, empty_sums(np.float64, len(self._objects)))
            self._told[channel] = statistics(sums)
        return self._told[channel]


class Surroundings(Intensities):
    """Sums of the intensities of the background around each object: of the pixels that it is the nearest object of."""

    @classmethod
    def reach(cls, objects: Objects) -> tuple[int, ...]:
        return tuple(math.floor(n) for n in _surround(objects))

    def add(self, slab: Slab) -> None:
        from segmentry.kernels.reach import grow_labels
        from segmentry.kernels.runs import find_runs

        reach = _surround(self._objects)
        furthest = max(reach)
        lead = (1.0,) * (3 - len(reach))
        steps = (*lead, *(furthest / n if n else 2 * furthest + 1 for n in reach))
        core = tuple(slice(m, n - m) for m, n in zip(slab.margin.tolist(), slab.index.shape, strict=True))
        grown = grow_labels(slab.index, steps, furthest)[core]
        around = np.where(slab.index[core] == 0, grown, np.uint32(0))
        self._add(slab, find_runs(np.ascontiguousarray(around), NO_MARGIN))


class Weights(Counts):
    """Sums of the positions of the pixels of each object, weighted by intensity, in each channel."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects
        self._origin = (objects.corners + objects.stops) // 2
        self._sums: dict[int, NDArray[Any]] = {}

    def add(self, slab: Slab) -> None:
        from segmentry.kernels.intensities import add_weights, empty_sums

        for channel in range(len(self._objects.channels)):
            pixels = slab.pixels(channel)
            if channel not in self._sums:
                self._sums[channel] = empty_sums(pixels.dtype, len(self._objects), 4)
            add_weights(slab.runs, slab.start, self._origin, pixels, self._sums[channel])

    def centroids(self, channel: int) -> NDArray[np.float64]:
        """Return the (n, 3) weighted mean positions along Z, Y and X, as lengths; NaN where intensities sum to 0."""
        sums = self._sums.get(channel, np.zeros((len(self._objects) + 1, 4)))[1:].astype(np.float64)
        total = np.where(sums[:, :1] != 0, sums[:, :1], np.nan)
        return np.asarray((sums[:, 1:] / total + self._origin[1:]) * self._objects.lengths(self._objects.spacing))


class Medians(Counts):
    """The medians of the intensities of each object in each channel, exact."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects
        self._values: dict[int, _Values] = {}

    def fractions(self) -> tuple[float, ...]:
        """Return which quantiles are found."""
        return (0.5,)

    def add(self, slab: Slab) -> None:
        for channel in range(len(self._objects.channels)):
            pixels = slab.pixels(channel)
            if channel not in self._values:
                self._values[channel] = _Values(self._objects, pixels.dtype, self.fractions())
            self._values[channel].add(slab, pixels)

    def of(self, channel: int) -> NDArray[np.float64]:
        """Return the (n, fractions) quantiles in a channel; NaN for objects without finite pixels."""
        if channel not in self._values:
            return np.zeros((len(self._objects), len(self.fractions())))
        return self._values[channel].found[1:]


class Quantiles(Medians):
    """The quantiles of the settings of the intensities of each object in each channel, exact."""

    def fractions(self) -> tuple[float, ...]:
        return self._objects.settings.quantiles


class _Values:
    """The values of one channel of the objects that have begun and have not ended, in a pool with a place for each."""

    def __init__(self, objects: Objects, kind: np.dtype[Any], fractions: tuple[float, ...]) -> None:
        self.found = np.full((len(objects) + 1, len(fractions)), np.nan)
        self._fractions = np.array(fractions, np.float64)
        shape = objects.grid.shape
        self._axis = 3 - len(shape) + next((i for i, n in enumerate(shape) if n > 1), 0)
        begin = objects.corners[1:, self._axis]
        self._end = objects.stops[:, self._axis]
        self._sizes = np.append(0, objects.held.sizes)
        self._waiting = np.argsort(begin, kind="stable") + 1
        self._begin = begin[self._waiting - 1]
        self._opened = 0
        self._large = self._sizes > (LARGE if kind.kind == "u" else np.inf)
        self._open = np.zeros(0, np.int64)
        self._start, self._stop = np.zeros(len(objects) + 1, np.int64), np.zeros(len(objects) + 1, np.int64)
        self._pool, self._top = np.empty(0, kind), 0
        self._row_of = np.full(len(objects) + 1, -1, np.int64)
        self._counts = np.zeros((0, LEVELS), np.int64)

    def add(self, slab: Slab, pixels: NDArray[Any]) -> None:
        """Keep the values of a slab, and finish the objects that end in it."""
        from segmentry.kernels.quantiles import count_values, keep_values, quantiles_of_counts, quantiles_of_values

        stop = int(slab.start[self._axis]) + pixels.shape[self._axis]
        until = int(np.searchsorted(self._begin, stop))
        fresh, self._opened = self._waiting[self._opened : until], until
        if self._large[fresh].any():
            self._make_histograms(fresh[self._large[fresh]])
        self._make_room(fresh)
        self._open = np.append(self._open, fresh)
        keep_values(slab.runs, pixels, self._row_of, self._stop, self._pool)
        if len(self._counts):
            count_values(slab.runs, pixels, self._row_of, self._counts)
        ended = self._end[self._open] <= stop
        done, self._open = self._open[ended], self._open[~ended]
        small = done[self._row_of[done] < 0]
        quantiles_of_values(small, self._start, self._stop, self._pool, self._fractions, self.found)
        for k in done[self._row_of[done] >= 0]:
            quantiles_of_counts(self._counts[self._row_of[k]], self._fractions, self.found[k])
            self._counts[self._row_of[k]] = 0

    def _make_room(self, fresh: NDArray[np.int64]) -> None:
        """Give each of these objects its place in the pool; where there is no room, leave behind those that ended."""
        from segmentry.kernels.quantiles import move_values

        small = fresh[self._row_of[fresh] < 0]
        need = int(self._sizes[small].sum())
        if self._top + need > len(self._pool):
            kept = self._open[self._row_of[self._open] < 0]
            places = np.append(0, np.cumsum(self._sizes[kept]))
            pool = np.empty(2 * int(places[-1]) + need, self._pool.dtype)
            move_values(kept, places[:-1], self._start, self._stop, self._pool, pool)
            self._pool, self._top = pool, int(places[-1])
        self._start[small] = self._top + np.cumsum(self._sizes[small]) - self._sizes[small]
        self._stop[small] = self._start[small]
        self._top += need

    def _make_histograms(self, large: NDArray[np.int64]) -> None:
        """Give each of these objects a histogram: one that is free, or a new one."""
        free = np.setdiff1d(np.arange(len(self._counts)), self._row_of[self._open])[: len(large)]
        rows = np.append(free, len(self._counts) + np.arange(len(large) - len(free)))
        more = np.zeros((len(large) - len(free), LEVELS), np.int64)
        self._counts = np.concatenate([self._counts, more])
        self._row_of[large] = rows


def _surround(objects: Objects) -> tuple[float, ...]:
    """Return how far, per spatial axis in pixels, the surroundings of objects reach."""
    return objects.settings.surround or (0.0,) * objects.ndim
