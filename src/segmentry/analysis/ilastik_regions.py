"""Numbers of regions as VIGRA's accumulators give them, by VIGRA's names; ilastik classifies objects by these.

Coordinates are in the order X, Y, Z. What is undefined, as the skewness of a single pixel, is not finite.
"""

from __future__ import annotations

from functools import cached_property
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

__all__ = ["HULL", "Regions", "known"]

BINS = 64
QUANTILES = (0.1, 0.25, 0.5, 0.75, 0.9)

#: Numbers of points: places, weighted places, or pixels of several channels.
_PRINCIPAL = tuple(
    f"Principal<{name}>" for name in ("Kurtosis", "PowerSum<2>", "PowerSum<3>", "PowerSum<4>", "Skewness")
)
_PLACES = {
    "RegionCenter": "Mean",
    "RegionRadii": "Radii",
    "RegionAxes": "Axes",
    "Coord<PowerSum<1>>": "Sum",
    "Coord<DivideByCount<Principal<PowerSum<2>>>>": "Principal<Variance>",
    **{f"Coord<{name}>": name for name in _PRINCIPAL},
}
_WEIGHTED = {"Weighted<PowerSum<0>>": "Count", **{f"Weighted<{name}>": what for name, what in _PLACES.items()}}
_SEVERAL = {
    "Covariance": "Covariance",
    "PrincipalAxes": "Axes",
    **{name: name for name in (*_PRINCIPAL, "Principal<Maximum>", "Principal<Minimum>", "Principal<Variance>")},
}
_ALWAYS = (
    *("Count", "Sum", "Mean", "Minimum", "Maximum", "Variance", "Skewness", "Kurtosis", "Coord<Minimum>"),
    *("Central<PowerSum<2>>", "Central<PowerSum<3>>", "Central<PowerSum<4>>", "Coord<Maximum>"),
)
_ONE = ("Histogram", "Quantiles", "Global<Minimum>", "Global<Maximum>", "Coord<ArgMinWeight>", "Coord<ArgMaxWeight>")
#: Numbers of what a region lacks of its box, which VIGRA takes for the convex hull, and how many columns each has;
#: 0: one per axis.
HULL = MappingProxyType(
    {
        **dict.fromkeys(("InputCenter", "HullCenter", "DefectCenter"), 0),
        **dict.fromkeys(("InputVolume", "HullVolume", "Convexity", "DefectCount", "DefectDisplacementMean"), 1),
        **{f"DefectVolume{name}": 1 for name in ("Mean", "Variance", "Skewness", "Kurtosis")},
    }
)


def known(name: str, channels: int) -> bool:
    """Return whether VIGRA gives such a number for an image of so many channels."""
    several = _SEVERAL if channels > 1 else (*_ONE, *_WEIGHTED)
    return name in _ALWAYS or name in _PLACES or name in several


class _Points:
    """How the points of each region are spread.

    Parameters
    ----------
    points : (m, d) float64 array, those of a region in raster order
    region : (m,) number of the region of each
    weights : (m,) how much each counts
    n : number of regions
    """

    def __init__(
        self, points: NDArray[np.float64], region: NDArray[np.int64], weights: NDArray[np.float64], n: int
    ) -> None:
        from segmentry.kernels.accumulators import scatter

        d = points.shape[1]
        self.points, self.region, self.weights = points, region, weights
        self.total, self.sums, self.spread = np.zeros(n), np.zeros((n, d)), np.zeros((n, d, d))
        scatter(points, region, weights, self.total, self.sums, self.spread)

    @cached_property
    def mean(self) -> NDArray[np.float64]:
        return self.sums / self.total[:, None]

    @cached_property
    def axes(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Eigenvalues, the largest first, and eigenvectors, as columns."""
        from segmentry.kernels.accumulators import eigensystems

        vectors, values = self.spread.copy(), np.empty_like(self.sums)
        eigensystems(vectors, values)
        return values, vectors

    @cached_property
    def projected(self) -> NDArray[np.float64]:
        """The points along the axes, from the centre."""
        apart = self.points - self.mean[self.region]
        vectors = self.axes[1][self.region]
        found = vectors[:, 0] * apart[:, :1]
        for i in range(1, apart.shape[1]):
            found += vectors[:, i] * apart[:, i : i + 1]
        return found

    def power(self, exponent: int) -> NDArray[np.float64]:
        powers = self.weights[:, None] * self.projected**exponent
        n = len(self.total)
        return np.stack([np.bincount(self.region, column, n) for column in powers.T], axis=1)

    def number(self, what: str) -> NDArray[np.float64]:
        """Return one of the numbers, a row per region."""
        total, values = self.total[:, None], self.axes[0] if what not in ("Count", "Sum", "Mean") else self.sums
        match what:
            case "Count":
                return total
            case "Sum":
                return self.sums
            case "Mean":
                return self.mean
            case "Covariance":
                return self.spread.reshape(len(total), -1) / total
            case "Axes":
                return self.axes[1].reshape(len(total), -1)
            case "Radii":
                return np.sqrt(values / total)
            case "Principal<PowerSum<2>>":
                return values
            case "Principal<Variance>":
                return values / total
            case "Principal<Skewness>":
                return np.sqrt(total) * self.power(3) / values**1.5
            case "Principal<Kurtosis>":
                return total * self.power(4) / values**2 - 3
            case "Principal<Minimum>" | "Principal<Maximum>":
                start = np.flatnonzero(np.diff(self.region, prepend=-1))
                extreme = np.minimum if what == "Principal<Minimum>" else np.maximum
                return np.asarray(extreme.reduceat(self.projected, start))
            case _:
                return self.power(int(what[-3]))


class Regions:
    """Pixels of some regions, and the numbers that follow from them.

    Parameters
    ----------
    region : (m,) ascending number of the region of each pixel; none from 0 to the last is without one
    places : (m, d) coordinates in the order X, Y, Z, in raster order within each region
    values : (m, channels) float32 array
    together
        Whether histograms of all regions have the same range, from the least to the largest pixel in any.
    """

    def __init__(
        self, region: NDArray[np.int64], places: NDArray[np.int64], values: NDArray[np.float32], together: bool = True
    ) -> None:
        self.region = region
        self.start = np.flatnonzero(np.diff(region, prepend=-1))
        self.count = np.diff(self.start, append=len(region)).astype(np.float64)
        self._places, self.values = places, values.astype(np.float64)
        self._together = together

    def number(self, name: str) -> NDArray[np.float64]:
        """Return what VIGRA calls by a name, a row per region."""
        with np.errstate(all="ignore"):
            if name in _PLACES:
                return self._spread.number(_PLACES[name])
            if name in _WEIGHTED:
                return self._weighted.number(_WEIGHTED[name])
            if name in _SEVERAL:
                return self._channels.number(_SEVERAL[name])
            return self._simple(name)

    @cached_property
    def _spread(self) -> _Points:
        return _Points(self._places.astype(np.float64), self.region, np.ones(len(self.region)), len(self.count))

    @cached_property
    def _weighted(self) -> _Points:
        weights = np.ascontiguousarray(self.values[:, 0])
        return _Points(self._places.astype(np.float64), self.region, weights, len(self.count))

    @cached_property
    def _channels(self) -> _Points:
        return _Points(np.ascontiguousarray(self.values), self.region, np.ones(len(self.region)), len(self.count))

    @cached_property
    def _mean(self) -> NDArray[np.float64]:
        return self._sums(self.values) / self.count[:, None]

    @cached_property
    def _low(self) -> NDArray[np.float64]:
        return np.asarray(np.minimum.reduceat(self.values, self.start))

    @cached_property
    def _high(self) -> NDArray[np.float64]:
        return np.asarray(np.maximum.reduceat(self.values, self.start))

    def _sums(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        n = len(self.count)
        return np.stack([np.bincount(self.region, column, n) for column in values.T], axis=1)

    def _central(self, exponent: int) -> NDArray[np.float64]:
        return self._sums((self.values - self._mean[self.region]) ** exponent)

    def _simple(self, name: str) -> NDArray[np.float64]:
        count = self.count[:, None]
        match name:
            case "Count":
                return count
            case "Sum":
                return self._sums(self.values)
            case "Mean":
                return self._mean
            case "Minimum":
                return self._low
            case "Maximum":
                return self._high
            case "Variance":
                return self._central(2) / count
            case "Skewness":
                return np.sqrt(count) * self._central(3) / self._central(2) ** 1.5
            case "Kurtosis":
                return count * self._central(4) / self._central(2) ** 2 - 3
            case "Coord<Minimum>":
                return np.minimum.reduceat(self._places, self.start).astype(np.float64)
            case "Coord<Maximum>":  # ilastik adds 1
                return np.maximum.reduceat(self._places, self.start) + 1.0
            case "Histogram":
                return self._histogram
            case "Quantiles":
                return self._quantiles()
            case "Global<Minimum>":
                return np.full_like(count, self._low.min())
            case "Global<Maximum>":
                return np.full_like(count, self._high.max())
            case "Coord<ArgMinWeight>" | "Coord<ArgMaxWeight>":
                wanted = self._low if name == "Coord<ArgMinWeight>" else self._high
                there = np.flatnonzero(self.values[:, 0] == wanted[self.region, 0])
                number, first = np.unique(self.region[there], return_index=True)
                found = np.full((len(count), self._places.shape[1]), np.nan)
                found[number] = self._places[there[first]]
                return found
            case _:
                return self._central(int(name[-3]))

    @cached_property
    def _range(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Where the bins of each region begin, and how many there are to 1."""
        low, high = self._low[:, 0], self._high[:, 0]
        if self._together:
            low, high = np.full_like(low, low.min()), np.full_like(high, high.max())
        high = np.where(low == high, high + BINS * np.finfo(np.float64).eps, high)
        return low, BINS / (high - low)

    @cached_property
    def _histogram(self) -> NDArray[np.float64]:
        low, scale = self._range
        place = scale[self.region] * (self.values[:, 0] - low[self.region])
        fine = np.isfinite(place)
        bins = np.minimum(place[fine].astype(np.int64), BINS - 1)
        counts = np.bincount(self.region[fine] * BINS + bins, minlength=BINS * len(self.count))
        return counts.reshape(-1, BINS).astype(np.float64)

    def _quantiles(self) -> NDArray[np.float64]:
        """Return the least value, quantiles by the histogram, and the largest value."""
        low, scale = self._range
        counts = np.cumsum(self._histogram, axis=1)
        rows = np.arange(len(counts))
        found = [self._low[:, 0]]
        filled = self._histogram > 0
        first, last = filled.argmax(axis=1), BINS - 1 - filled[:, ::-1].argmax(axis=1)
        for share in QUANTILES:
            wanted = self.count * share
            at = (counts >= wanted[:, None]).argmax(axis=1)
            before = np.where(at > 0, counts[rows, at - 1], 0.0)
            left = np.where(at == first, scale * (self._low[:, 0] - low), at)
            right = np.where(at == last, scale * (self._high[:, 0] - low), at + 1)
            part = (wanted - before) / self._histogram[rows, at] * (right - left)
            found.append(1 / scale * (part + left) + low)
        return np.stack([*found, self._high[:, 0]], axis=1)
