"""Thresholds of a histogram: the level that parts objects from background, by rules of the literature.

Each rule is a function of a histogram alone, so that it streams and does not depend on tiles. A level lies at the
highest intensity of the darker class: brighter is foreground. Where all pixels are alike nothing is brighter.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from segmentry.errors import InputError
from segmentry.image import Image
from segmentry.overview import Histogram, Overview
from segmentry.result import Semantic
from segmentry.step import Segmenter

__all__ = [
    "GlobalThreshold",
    "TwoClasses",
    "isodata_threshold",
    "li_threshold",
    "mean_threshold",
    "minimum_threshold",
    "multi_otsu_thresholds",
    "otsu_threshold",
    "triangle_threshold",
    "two_classes",
    "yen_threshold",
]

#: Bins to which a long histogram is brought for rules that look at its shape.
COARSE = 256


@dataclass(frozen=True)
class TwoClasses:
    """A threshold, and the mean and spread of the intensities at or below it and above it."""

    threshold: float
    share: tuple[float, float]
    mean: tuple[float, float]
    sd: tuple[float, float]

    def above(self, pixels: NDArray[Any]) -> NDArray[np.float32]:
        """Return how probable it is that each pixel belongs to the class above, taking both as normal.

        The threshold decides the class; a pixel on its side of it never gets less than one half.
        """
        below, above = (_log_density(pixels, *c) for c in zip(self.share, self.mean, self.sd, strict=True))
        probable = 1 / (1 + np.exp(np.clip(below - above, -80, 80)))
        half = np.float32(0.5)
        sided = np.where(pixels > self.threshold, np.maximum(probable, half), np.minimum(probable, half))
        return np.asarray(sided, np.float32)


class GlobalThreshold(Segmenter):
    """A method that parts an image at one intensity, which it finds in the histogram of the whole."""

    task: ClassVar[Literal["semantic"]] = "semantic"

    foreground: Literal["bright", "dark"] = Field("bright", description="Whether objects are brighter or darker.")
    threshold_: TwoClasses | None = Field(None, description="The threshold, and the two classes that it separates.")

    def level(self, histogram: Histogram) -> float:
        """Return the intensity at which the histogram is parted."""
        raise NotImplementedError

    def prepare(self, overview: Overview) -> Self:
        histogram = overview.histogram()
        return self.model_copy(update={"threshold_": two_classes(histogram, self.level(histogram))})

    def thresholds(self) -> tuple[float, ...]:
        return () if self.threshold_ is None else (self.threshold_.threshold,)

    def segment(self, image: Image) -> Semantic:
        ready = self.prepared(image)
        assert ready.threshold_ is not None
        pixels = image.read()
        bright = self.foreground == "bright"
        above = ready.threshold_.above(pixels)
        mask = pixels > ready.threshold_.threshold if bright else pixels <= ready.threshold_.threshold
        probable = above if bright else 1 - above
        probabilities = np.stack([1 - probable, probable])
        return Semantic(mask.astype(np.uint8), image.grid, ("background", "foreground"), probabilities)


def two_classes(histogram: Histogram, threshold: float | None = None) -> TwoClasses:
    """Return the two classes that a threshold, Otsu's unless given, makes of a histogram."""
    threshold = otsu_threshold(histogram) if threshold is None else threshold
    below = histogram.values <= threshold
    stats = [_moments(histogram.values[side], histogram.counts[side]) for side in (below, ~below)]
    total = max(sum(s[0] for s in stats), 1)
    # Classes of one value have no spread of their own: that of a bin, and never so little that densities overflow.
    width = max(float(np.diff(histogram.edges).min()), 1e-9 * float(np.abs(histogram.edges).max()) or 1.0)
    return TwoClasses(
        threshold,
        (max(stats[0][0], 1) / total, max(stats[1][0], 1) / total),
        (stats[0][1], stats[1][1]),
        (max(stats[0][2], width), max(stats[1][2], width)),
    )


def otsu_threshold(histogram: Histogram) -> float:
    """Return the level of largest variance between the classes (Otsu 1979, doi:10.1109/TSMC.1979.4310076)."""
    used = np.flatnonzero(histogram.counts)
    if len(used) < 2:
        return _only(histogram)
    below, sums = _cumulative(histogram)
    above = below[-1] - below
    with np.errstate(divide="ignore", invalid="ignore"):
        between = below * above * (sums / below - (sums[-1] - sums) / above) ** 2
    return _after(histogram, int(np.nanargmax(between[:-1])))


def mean_threshold(histogram: Histogram) -> float:
    """Return the mean intensity (Glasbey 1993, doi:10.1006/cgip.1993.1040)."""
    total, mean, _ = _moments(histogram.values, histogram.counts)
    return mean if total and np.count_nonzero(histogram.counts) > 1 else _only(histogram)


def isodata_threshold(histogram: Histogram) -> float:
    """Return the lowest level half-way between the means of its classes (Ridler & Calvard 1978)."""
    if np.count_nonzero(histogram.counts) < 2:
        return _only(histogram)
    below, sums = _cumulative(histogram)
    above = below[-1] - below
    with np.errstate(divide="ignore", invalid="ignore"):
        middle = (sums / below + (sums[-1] - sums) / above) / 2 + histogram.values[0]
    beyond = (middle - histogram.values)[:-1]
    width = np.diff(histogram.values)
    return float(histogram.values[int(np.flatnonzero((beyond >= 0) & (beyond < width))[0])])


def li_threshold(histogram: Histogram) -> float:
    """Return the level of least cross entropy between the image and its two classes, each at its mean.

    Found by iteration from the mean (Li & Tam 1998, doi:10.1016/S0167-8655(98)00057-9).
    """
    values, counts = histogram.values - histogram.values[0], histogram.counts
    if np.count_nonzero(counts) < 2:
        return _only(histogram)
    level, before = mean_threshold(histogram) - float(histogram.values[0]), -1.0
    step = float(np.diff(histogram.edges).min())
    for _ in range(1000):
        if abs(level - before) <= step / 1000:
            break
        before = level
        low, high = (_moments(values[s], counts[s])[1] for s in (values <= level, values > level))
        level = 0.0 if low <= 0 else (low - high) / (math.log(low) - math.log(high))
    return level + float(histogram.values[0])


def yen_threshold(histogram: Histogram) -> float:
    """Return the level of largest maximum correlation of the classes (Yen 1995, doi:10.1109/83.366472)."""
    if np.count_nonzero(histogram.counts) < 2:
        return _only(histogram)
    share = histogram.counts / histogram.counts.sum()
    below = np.cumsum(share)[:-1]
    squares = np.cumsum(share**2)
    rest = np.cumsum((share**2)[::-1])[::-1]
    with np.errstate(divide="ignore"):
        correlation = 2 * np.log(below * (1 - below)) - np.log(squares[:-1] * rest[1:])
    return _after(histogram, int(np.argmax(np.where(np.isfinite(correlation), correlation, -np.inf))))


def triangle_threshold(histogram: Histogram) -> float:
    """Return the level furthest from the line between the peak and the far end (Zack 1977, doi:10.1177/25.7.70454)."""
    if np.count_nonzero(histogram.counts) < 2:
        return _only(histogram)
    counts, values = _coarse(histogram)
    peak = int(np.argmax(counts))
    first, last = np.flatnonzero(counts)[[0, -1]]
    right = last - peak > peak - first
    if right:
        counts, peak, first = counts[::-1], len(counts) - 1 - peak, len(counts) - 1 - last
    width = peak - int(first)
    below = counts[first : first + width]
    # Twice the area under the line, less the histogram: its largest value is furthest from the line.
    distance = counts[peak] * np.arange(width) - width * below
    found = int(np.argmax(distance)) + int(first)
    return float(values[len(counts) - 1 - found if right else found])


def minimum_threshold(histogram: Histogram) -> float:
    """Return the lowest point between two peaks, the histogram smoothed until it has two (Prewitt & Mendelsohn 1966).

    Raises
    ------
    InputError
        When it never has two.
    """
    if np.count_nonzero(histogram.counts) < 2:
        return _only(histogram)
    if np.count_nonzero(histogram.counts) == 2:
        return _after(histogram, int(np.flatnonzero(histogram.counts)[0]))
    counts, values = _coarse(histogram)
    smooth = counts.astype(np.float64)
    for _ in range(10_000):
        padded = np.pad(smooth, 1, mode="edge")
        smooth = (padded[:-2] + padded[1:-1] + padded[2:]) / 3
        steps = np.diff(np.pad(smooth, 1))
        # What rounding leaves of a flat stretch is neither a rise nor a fall.
        rising = np.sign(np.where(np.abs(steps) > 1e-9 * smooth.max(), steps, 0))
        turns = rising[rising != 0]
        places = np.flatnonzero(rising != 0)
        peaks = places[1:][(turns[:-1] > 0) & (turns[1:] < 0)]
        if len(peaks) <= 2:
            break
    if len(peaks) != 2:
        raise InputError("the histogram does not have two peaks with a valley between: otsu or triangle need none")
    valley = int(np.argmin(smooth[peaks[0] : peaks[1] + 1])) + int(peaks[0])
    return float(values[valley])


def multi_otsu_thresholds(histogram: Histogram, n_classes: int) -> list[float]:
    """Return the levels between classes of largest variance between them (Liao, Chen & Chung 2001), at most 256 bins.

    Fewer than asked for where the image has fewer intensities.
    """
    counts, values = _coarse(histogram)
    used = counts > 0
    counts, values = counts[used].astype(np.float64), values[used]
    n = min(n_classes, len(values))
    if n < 2:
        return [_only(histogram)]
    weight = np.concatenate([[0], np.cumsum(counts)])
    moment = np.concatenate([[0], np.cumsum(counts * values)])
    # The gain of a class from bin i to bin j; only i < j makes one.
    size = np.triu(weight[None] - weight[:, None], 1)
    gain = np.where(size > 0, (moment[None] - moment[:, None]) ** 2 / np.where(size > 0, size, 1), -np.inf)
    best, cuts = gain[0].copy(), []
    for _ in range(n - 1):
        total = best[:, None] + gain
        cuts.append(np.argmax(total, axis=0))
        best = total.max(axis=0)
    place, levels = len(values), []
    for cut in reversed(cuts):
        place = int(cut[place])
        levels.append(float(values[place - 1]))
    return levels[::-1]


def _only(histogram: Histogram) -> float:
    used = np.flatnonzero(histogram.counts)
    return float(histogram.edges[-1] if not len(used) or not histogram.exact else histogram.values[used[0]])


def _after(histogram: Histogram, best: int) -> float:
    """Return the level after a bin: a bin of real numbers has a width, so half-way to the next that is used."""
    if histogram.exact:
        return float(histogram.values[best])
    following = best + 1 + int(np.argmax(histogram.counts[best + 1 :] > 0))
    return float((histogram.values[best] + histogram.values[following]) / 2)


def _cumulative(histogram: Histogram) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the number of pixels up to each bin and the sum of their intensities over the lowest."""
    counts = histogram.counts.astype(np.float64)
    return np.cumsum(counts), np.cumsum(counts * (histogram.values - histogram.values[0]))


def _coarse(histogram: Histogram) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return counts and intensities of at most 256 bins."""
    n = len(histogram.counts)
    if n <= COARSE:
        return histogram.counts, histogram.values
    starts = (np.arange(COARSE) * n) // COARSE
    counts = np.add.reduceat(histogram.counts, starts)
    edges = histogram.edges[np.append(starts, n)]
    return counts, (edges[:-1] + edges[1:]) / 2


def _moments(values: NDArray[np.float64], counts: NDArray[np.int64]) -> tuple[int, float, float]:
    total = int(counts.sum())
    if not total:
        return 0, 0.0, 0.0
    mean = math.fsum(values * counts) / total
    return total, mean, math.sqrt(max(math.fsum((values - mean) ** 2 * counts) / total, 0.0))


def _log_density(pixels: NDArray[Any], share: float, mean: float, sd: float) -> NDArray[np.float64]:
    return np.asarray(math.log(share / sd) - ((pixels.astype(np.float64) - mean) / sd) ** 2 / 2)
