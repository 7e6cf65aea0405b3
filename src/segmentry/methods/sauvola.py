"""Sauvola's threshold: the local mean, lowered where there is little contrast.

It works where Niblack's marks noise: areas without objects have little spread, and there the level withdraws. It fails
on faint objects of little contrast.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from segmentry.local_thresholds import LocalThreshold

__all__ = ["Sauvola"]


class Sauvola(LocalThreshold):
    """Like Niblack's, but silent in empty areas: uneven light, stains, writing."""

    name: ClassVar[str] = "sauvola"
    source: ClassVar[str] = "Sauvola & Pietikäinen 2000, doi:10.1016/S0031-3203(99)00055-2"

    k: float = Field(0.2, ge=-5, le=5, description="How much the level withdraws where there is no contrast.")
    spread: float = Field(0.5, gt=0, le=1, description="Largest standard deviation to expect, as a share of the range.")

    def level(self, mean: NDArray[np.float32], sd: NDArray[np.float32]) -> NDArray[np.float32]:
        return mean * (1 + self.k * (sd / self.spread - 1))
