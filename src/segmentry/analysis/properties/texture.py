"""Texture: how grey levels lie side by side, and the patterns that neighbours make.

The levels of a channel are known before pairs are counted: its lowest and highest intensity take a pass of their own
over the image. Counts of pairs are held for objects that the slab at hand cuts, and for no others.
"""

from __future__ import annotations

import itertools

import numpy as np
from numpy.typing import NDArray

from segmentry.analysis.objects import Counts, Objects, Slab
from segmentry.analysis.property import measured
from segmentry.overview import Overview
from segmentry.tiling import grow

__all__ = ["BinaryPatterns", "CoOccurrence", "binary_patterns", "haralick"]

#: Of Haralick (1973), in the order of the paper.
FEATURES = (
    "angular_second_moment",
    "contrast",
    "correlation",
    "variance",
    "inverse_difference_moment",
    "sum_average",
    "sum_variance",
    "sum_entropy",
    "entropy",
    "difference_variance",
    "difference_entropy",
    "information_measure_1",
    "information_measure_2",
)
#: Numbers whose logarithms are looked up.
TABLE = 4096


class CoOccurrence(Counts):
    """How often two grey levels are neighbours in an object, per direction, and the features of that.

    Attributes
    ----------
    features : one (n + 1, 13) array per channel; NaN where an object has no pair of neighbours
    """

    def __init__(self, objects: Objects) -> None:
        from segmentry.kernels.textures import CELLS, N_FEATURES, times_logarithm

        n, channels = len(objects), range(len(objects.channels))
        shape = (1,) * (3 - objects.ndim) + objects.grid.shape
        overview = Overview(objects.image) if objects.image is not None and n else None
        self._ranges = [overview.range(c) if overview else (0.0, 0.0) for c in channels]
        self._axis = next((i for i, length in enumerate(shape) if length > 1), 0)
        self._stops = objects.stops[:, self._axis]
        self._steps = [s for s in itertools.product((0, 1), (-1, 0, 1), (-1, 0, 1)) if s > (0, 0, 0)]
        self._steps = [s for s in self._steps if objects.ndim == 3 or s[0] == 0]
        self._logarithms = times_logarithm(TABLE)
        self.features = [np.full((n + 1, N_FEATURES), np.nan) for _ in channels]
        # An object has no more pairs in one direction than pixels.
        largest = objects.held.sizes.max(initial=0)
        kind = next(k for k in (np.uint16, np.uint32, np.int64) if largest <= np.iinfo(k).max)
        self._counts = [np.zeros((1, len(self._steps), CELLS), kind) for _ in channels]
        self._slots = np.zeros(n + 1, np.int64)
        self._free = np.zeros(0, np.int64)
        self._last = np.full(n + 1, -1, np.int64)
        self._faces: list[NDArray[np.uint8]] = []

    @classmethod
    def reach(cls, objects: Objects) -> tuple[int, ...]:
        """Return one pixel: neighbours may lie in the slab before."""
        return (1,) * objects.ndim

    def add(self, slab: Slab) -> None:
        """Count the pairs of which the later pixel lies in a slab."""
        from segmentry.kernels.textures import add_pairs, chain_runs, fill_levels

        index, margin, axis = slab.index, slab.margin, self._axis
        core = tuple(slice(m, n - m) for m, n in zip(margin, index.shape, strict=True))
        inner = index[core]
        runs = np.empty((np.count_nonzero(inner[..., 1:] != inner[..., :-1]) + inner[..., 0].size, 3), np.int64)
        seen = np.empty(min(len(runs), len(self._last)), np.int64)
        seen = seen[: chain_runs(index, margin, self._last, runs, seen)]
        done = self._stops[seen] <= slab.start[axis] + inner.shape[axis]
        slots = self._hold(seen, done)
        _, height, width = index.shape
        steps = np.array([(z * height + y) * width + x for z, y, x in self._steps], np.int64)
        levels = np.empty(index.shape, np.uint8)
        face = (*core[:axis], slice(margin[axis] - 1, margin[axis]), *core[axis + 1 :])
        faces, self._faces = self._faces, []
        for c, (low, high) in enumerate(self._ranges):
            if faces:
                levels[face] = faces[c]
            fill_levels(slab.pixels(c), low, high, levels[core])
            flat = index.reshape(-1), levels.reshape(-1), steps, self._last, runs, seen
            add_pairs(*flat, slots, done, self._counts[c], self._logarithms, self.features[c])
            self._faces.append(levels[core].take([-1], axis))
        self._last[seen] = -1
        self._release(seen[done & (slots > 0)])

    def finish(self) -> None:
        """Let go of what counting took."""
        self._counts, self._faces = [], []

    def _hold(self, seen: NDArray[np.int64], done: NDArray[np.bool_]) -> NDArray[np.int64]:
        """Give a place to objects that go on in the next slab and have none; return the places of all."""
        new = seen[~done & (self._slots[seen] == 0)]
        if len(new) > len(self._free):
            size = len(self._counts[0])
            more = max(len(new) - len(self._free), size // 2)
            self._free = np.append(self._free, np.arange(size, size + more))
            self._counts = [np.concatenate([c, np.zeros((more, *c.shape[1:]), c.dtype)]) for c in self._counts]
        self._slots[new] = self._free[: len(new)]
        self._free = self._free[len(new) :]
        return self._slots[seen]

    def _release(self, ended: NDArray[np.int64]) -> None:
        slots = self._slots[ended]
        for counts in self._counts:
            counts[slots] = 0
        self._free = np.append(self._free, slots)
        self._slots[ended] = 0


class BinaryPatterns(Counts):
    """How often each uniform local binary pattern occurs in an object.

    Attributes
    ----------
    counts : one (n + 1, 11) array per channel, by code; the last is what is not known
    """

    def __init__(self, objects: Objects) -> None:
        from segmentry.kernels.binary_patterns import N_CODES, uniform_codes

        self._codes = uniform_codes()
        self.counts = [np.zeros((len(objects) + 1, N_CODES + 1), np.int64) for _ in objects.channels]

    def add(self, slab: Slab) -> None:
        """Count the patterns of a slab; where it does not hold whole planes, a pixel around it is read with it."""
        from segmentry.kernels.binary_patterns import count_patterns

        window = grow(slab.region, (0, 1, 1)[-len(slab.region) :], slab.objects.grid.shape)
        wider = slab if window == slab.region else Slab(slab.index, slab.margin, slab.start, window, slab.objects)
        start = [s.start for s in window]
        inset = slab.start - np.array([0] * (3 - len(start)) + start, np.int64)
        for c, counts in enumerate(self.counts):
            count_patterns(slab.index, slab.margin, wider.pixels(c), inset, self._codes, counts)


@measured(
    needs=[CoOccurrence],
    per_channel=True,
    by_default=False,
    source="Haralick 1973, doi:10.1109/TSMC.1973.4309314",
)
def haralick(objects: Objects, channel: int) -> dict[str, NDArray[np.float64]]:
    """The first 13 features of Haralick, from how often two grey levels are neighbours within the object.

    Levels 0 … 31 are equal steps from the lowest to the highest intensity of the whole channel at this time point, so
    that objects compare. Pairs are counted both ways, at a distance of one pixel whatever its size, apart for each of
    4 directions (13 in a volume); a feature is its mean over the directions that have a pair. Entropies are in bits,
    also in the information measures; the variances of sum and difference are those of the sum and of the absolute
    difference of two levels. A flat object has correlation 1 and information measures 0. NaN where no two finite
    pixels are neighbours.
    """
    return {f"haralick_{name}": objects[CoOccurrence].features[channel][1:, i] for i, name in enumerate(FEATURES)}


@measured(
    needs=[BinaryPatterns],
    per_channel=True,
    by_default=False,
    source="Ojala 2002, doi:10.1109/TPAMI.2002.1017623",
)
def binary_patterns(objects: Objects, channel: int) -> dict[str, NDArray[np.float64]]:
    """Fractions of pixels with each uniform, rotation-invariant local binary pattern.

    Eight points on the circle of radius 1 pixel in the plane of Y and X, those on diagonals interpolated, are compared
    with the pixel, also where they lie outside the object; beyond the image is 0. The code is the number of points
    that are as bright or brighter (0 … 8) where these are side by side, otherwise 9. Pixels that are not finite, or
    have such a neighbour, don't count; NaN where none is left.
    """
    counts = objects[BinaryPatterns].counts[channel][1:, :-1]
    total = counts.sum(axis=1)
    parts = np.where(total[:, None] > 0, counts / np.maximum(total, 1)[:, None], np.nan)
    return {f"lbp_{code}": parts[:, code] for code in range(parts.shape[1])}
