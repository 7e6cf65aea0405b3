"""Phansalkar's threshold: Sauvola's, raised where the neighbourhood is dark, so that faint objects there are kept.

It works on stained nuclei and other images of low contrast; elsewhere it does what Sauvola's does.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from segmentry.methods.sauvola import Sauvola

__all__ = ["Phansalkar"]


class Phansalkar(Sauvola):
    """Sauvola's for images of low contrast: nuclei in stained tissue."""

    name: ClassVar[str] = "phansalkar"
    source: ClassVar[str] = "Phansalkar et al. 2011, doi:10.1109/ICCSP.2011.5739305"

    k: float = Field(0.25, ge=-5, le=5, description="How much the level withdraws where there is no contrast.")
    p: float = Field(2.0, ge=0, le=10, description="How much the level is raised where the mean is dark.")
    q: float = Field(10.0, ge=0, le=100, description="How fast that ends as the mean grows brighter.")

    def level(self, mean: NDArray[np.float32], sd: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.asarray(super().level(mean, sd) + mean * self.p * np.exp(-self.q * mean))
