"""Isodata: the lowest level that lies half-way between the mean of what is darker and the mean of what is brighter.

It works where Otsu's threshold works, and lies close to it; it fails when one class is rare.
"""

from __future__ import annotations

from typing import ClassVar

from segmentry.overview import Histogram
from segmentry.thresholds import GlobalThreshold, isodata_threshold

__all__ = ["Isodata"]


class Isodata(GlobalThreshold):
    """The threshold half-way between the means of objects and background; ImageJ's default rule."""

    name: ClassVar[str] = "isodata"
    source: ClassVar[str] = "Ridler & Calvard 1978, doi:10.1109/TSMC.1978.4310039"

    def level(self, histogram: Histogram) -> float:
        return isodata_threshold(histogram)
