"""Yen's threshold: the level at which the two parts of the histogram are each as far from random as they can be.

It works where objects are bright and few; it fails where they fill the image, and often lies higher than Otsu's.
"""

from __future__ import annotations

from typing import ClassVar

from segmentry.overview import Histogram
from segmentry.thresholds import GlobalThreshold, yen_threshold

__all__ = ["Yen"]


class Yen(GlobalThreshold):
    """A strict threshold for few bright objects, by the correlation of the two classes."""

    name: ClassVar[str] = "yen"
    source: ClassVar[str] = "Yen, Chang & Chang 1995, doi:10.1109/83.366472"

    def level(self, histogram: Histogram) -> float:
        return yen_threshold(histogram)
