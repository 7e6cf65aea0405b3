"""A threshold that you choose.

It works where the same level means the same thing in every image: calibrated intensities, CT numbers, probability
maps. It fails when exposure or staining differ between images.
"""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from segmentry.overview import Histogram
from segmentry.thresholds import GlobalThreshold

__all__ = ["Manual"]


class Manual(GlobalThreshold):
    """A threshold of your own: calibrated intensities, CT numbers, probabilities."""

    name: ClassVar[str] = "manual"

    at: float | None = Field(
        None, description="Intensity above which a pixel is bright; none: the middle of the range."
    )

    def level(self, histogram: Histogram) -> float:
        return self.at if self.at is not None else float(histogram.values[0] + histogram.values[-1]) / 2
