"""Otsu's threshold: the intensity that splits the histogram into two classes as far apart as possible.

Of all thresholds it takes the one with the largest variance between the classes. It works when objects and background
have intensities of their own and neither is rare; it fails under uneven illumination (subtract the background first)
and when objects cover a very small part of the image.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from segmentry.image import Image
from segmentry.overview import Histogram, Overview
from segmentry.result import Semantic
from segmentry.step import Segmenter

__all__ = ["Otsu", "TwoClasses", "otsu_threshold", "two_classes"]


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
    """Return Otsu's threshold: pixels above it are the brighter class (doi:10.1109/TSMC.1979.4310076).

    The highest intensity where all pixels are alike, so that nothing lies above it.
    """
    used = np.flatnonzero(histogram.counts)
    if len(used) < 2:
        return float(histogram.edges[-1] if not len(used) or not histogram.exact else histogram.values[used[0]])
    counts = histogram.counts.astype(np.float64)
    values = histogram.values
    below = np.cumsum(counts)
    sums = np.cumsum(counts * (values - values[0]))
    above = below[-1] - below
    with np.errstate(divide="ignore", invalid="ignore"):
        between = below * above * (sums / below - (sums[-1] - sums) / above) ** 2
    best = int(np.nanargmax(between[:-1]))
    # A bin of real numbers has a width: the threshold lies between it and the next that is used.
    return float(values[best] if histogram.exact else (values[best] + values[used[used > best][0]]) / 2)


class Otsu(Segmenter):
    """One threshold for the whole image, from its histogram: the first thing to try on bright objects."""

    name: ClassVar[str] = "otsu"
    task: ClassVar[Literal["semantic"]] = "semantic"
    source: ClassVar[str] = "Otsu 1979, doi:10.1109/TSMC.1979.4310076"

    foreground: Literal["bright", "dark"] = Field("bright", description="Whether objects are brighter or darker.")
    threshold_: TwoClasses | None = Field(None, description="The threshold, and the two classes that it separates.")

    def prepare(self, overview: Overview) -> Self:
        return self.model_copy(update={"threshold_": two_classes(overview.histogram())})

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


def _moments(values: NDArray[np.float64], counts: NDArray[np.int64]) -> tuple[int, float, float]:
    total = int(counts.sum())
    if not total:
        return 0, 0.0, 0.0
    mean = math.fsum(values * counts) / total
    return total, mean, math.sqrt(max(math.fsum((values - mean) ** 2 * counts) / total, 0.0))


def _log_density(pixels: NDArray[Any], share: float, mean: float, sd: float) -> NDArray[np.float64]:
    return np.asarray(math.log(share / sd) - ((pixels.astype(np.float64) - mean) / sd) ** 2 / 2)
