"""Li's threshold: the level at which the image loses least when each class is replaced by its mean.

The loss is the cross entropy, which counts relative differences, so the level lies lower than Otsu's and dim objects
are kept. It works on fluorescence with objects of unequal brightness; it fails where the dark ground itself is
textured.
"""

from __future__ import annotations

from typing import ClassVar

from segmentry.overview import Histogram
from segmentry.thresholds import GlobalThreshold, li_threshold

__all__ = ["Li"]


class Li(GlobalThreshold):
    """A threshold that keeps dim objects, for bright images on a dark ground."""

    name: ClassVar[str] = "li"
    source: ClassVar[str] = "Li & Tam 1998, doi:10.1016/S0167-8655(98)00057-9"

    def level(self, histogram: Histogram) -> float:
        return li_threshold(histogram)
