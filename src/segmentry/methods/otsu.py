"""Otsu's threshold: the intensity that splits the histogram into two classes as far apart as possible.

Of all thresholds it takes the one with the largest variance between the classes. It works when objects and background
have intensities of their own and neither is rare; it fails under uneven illumination (subtract the background first)
and when objects cover a very small part of the image.
"""

from __future__ import annotations

from typing import ClassVar

from segmentry.overview import Histogram
from segmentry.thresholds import GlobalThreshold, otsu_threshold

__all__ = ["Otsu"]


class Otsu(GlobalThreshold):
    """One threshold for the whole image, from its histogram: the first thing to try on bright objects."""

    name: ClassVar[str] = "otsu"
    source: ClassVar[str] = "Otsu 1979, doi:10.1109/TSMC.1979.4310076"

    def level(self, histogram: Histogram) -> float:
        return otsu_threshold(histogram)
