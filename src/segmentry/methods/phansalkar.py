"""Phansalkar's threshold: Sauvola's, raised where the neighbourhood is dark, so that faint objects there are kept.

It works on stained nuclei and other images of low contrast; elsewhere it does what Sauvola's does.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from segmentry.local_thresholds import LocalThreshold

__all__ = ["Phansalkar"]


class Phansalkar(LocalThreshold):
    """Sauvola's for images of low contrast: nuclei in stained tissue."""

    name: ClassVar[str] = "phansalkar"
    source: ClassVar[str] = "Phansalkar et al. 2011, doi:10.1109/ICCSP.2011.5739305"

    k: float = Field(0.25, ge=-5, le=5, description="How much the level withdraws where there is no contrast.")
    spread: float = Field(0.5, gt=0, le=1, description="Largest standard deviation to expect, as a share of the range.")
    p: float = Field(2.0, ge=0, le=10, description="How much the level is raised where the mean is dark.")
    q: float = Field(10.0, ge=0, le=100, description="How fast that ends as the mean grows brighter.")

    def level(self, mean: NDArray[np.float64], sd: NDArray[np.float64]) -> NDArray[np.float64]:
        return mean * (1 + self.p * np.exp(-self.q * mean) + self.k * (sd / self.spread - 1))
