"""The mean of the neighbourhood, and a margin, as the threshold.

It works under uneven light, where no one level fits the whole image, for objects smaller than the box. It fails inside
objects larger than the box, and marks noise where the margin is small.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from segmentry.local_thresholds import LocalThreshold

__all__ = ["LocalMean"]


class LocalMean(LocalThreshold):
    """A threshold that follows the light: brighter than the mean around by a margin."""

    name: ClassVar[str] = "local_mean"
    source: ClassVar[str] = "Bernsen 1986; Wellner 1993 (adaptive thresholding)"

    offset: float = Field(
        0.05, ge=-1, le=1, description="Margin by which a pixel must differ from the mean, as a share of the range."
    )

    def level(self, mean: NDArray[np.float32], sd: NDArray[np.float32]) -> NDArray[np.float32]:
        return mean - self.offset
