"""The minimum rule: the histogram is smoothed until two peaks are left, and parted at the valley between them.

It works where objects and background each make a clear peak; where they don't, it says so instead of guessing.
"""

from __future__ import annotations

from typing import ClassVar

from segmentry.overview import Histogram
from segmentry.thresholds import GlobalThreshold, minimum_threshold

__all__ = ["Minimum"]


class Minimum(GlobalThreshold):
    """The valley between two peaks of the histogram; refuses an image that has none."""

    name: ClassVar[str] = "minimum"
    source: ClassVar[str] = "Prewitt & Mendelsohn 1966, doi:10.1111/j.1749-6632.1965.tb11715.x"

    def level(self, histogram: Histogram) -> float:
        return minimum_threshold(histogram)
