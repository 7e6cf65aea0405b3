"""Niblack's threshold: the mean of the neighbourhood less k times its standard deviation.

It works where every neighbourhood holds objects, such as dense texture; in empty areas it marks noise.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from segmentry.local_thresholds import LocalThreshold

__all__ = ["Niblack"]


class Niblack(LocalThreshold):
    """The local mean and k local spreads: for text and dense fine structures."""

    name: ClassVar[str] = "niblack"
    source: ClassVar[str] = "Niblack 1986, An Introduction to Digital Image Processing, p. 115"

    k: float = Field(0.2, ge=-5, le=5, description="How many standard deviations beyond the mean the level lies.")

    def level(self, mean: NDArray[np.float32], sd: NDArray[np.float32]) -> NDArray[np.float32]:
        return mean - self.k * sd
