"""The mean intensity as the threshold.

It works where objects fill about half of the image, as texture and text on a page do; it fails where they are rare.
"""

from __future__ import annotations

from typing import ClassVar

from segmentry.overview import Histogram
from segmentry.thresholds import GlobalThreshold, mean_threshold

__all__ = ["Mean"]


class Mean(GlobalThreshold):
    """The mean intensity as the threshold: the simplest rule, for images half full."""

    name: ClassVar[str] = "mean"
    source: ClassVar[str] = "Glasbey 1993, doi:10.1006/cgip.1993.1040"

    def level(self, histogram: Histogram) -> float:
        return mean_threshold(histogram)
