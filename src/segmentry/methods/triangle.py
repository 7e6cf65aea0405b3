"""The triangle rule: a line joins the peak of the histogram and its far end; the level furthest below it is taken.

It works where the background makes one great peak and objects only a long tail: rare, small, dim objects. It fails when
objects make a peak of their own.
"""

from __future__ import annotations

from typing import ClassVar

from segmentry.overview import Histogram
from segmentry.thresholds import GlobalThreshold, triangle_threshold

__all__ = ["Triangle"]


class Triangle(GlobalThreshold):
    """A threshold at the foot of the background's peak, for small or rare objects."""

    name: ClassVar[str] = "triangle"
    source: ClassVar[str] = "Zack, Rogers & Latt 1977, doi:10.1177/25.7.70454"

    def level(self, histogram: Histogram) -> float:
        return triangle_threshold(histogram)
