"""k-means: pixels are grouped by colour or by the intensities of their channels.

Centres start far apart (k-means++, Arthur & Vassilvitskii 2007) and move to the mean of the pixels nearest to them
until they rest (Lloyd 1982). They are learned from the histogram of the whole image or, of several channels, from a
sample of it. Colour images are compared in CIELAB, where distances are those that people see. It works where each
material has a colour of its own; it knows nothing of neighbourhood, so smooth noisy images first.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from segmentry.clustering import Clustering, first_groups, rows

__all__ = ["KMeans"]


class KMeans(Clustering):
    """Groups pixels of similar colour or intensity into classes: stains, tissues, materials."""

    name: ClassVar[str] = "kmeans"
    source: ClassVar[str] = "Lloyd 1982, doi:10.1109/TIT.1982.1056489"

    spread_: float | None = Field(None, description="Mean squared distance of a pixel to its centre.")

    def learn(self, points: NDArray[np.float64], weights: NDArray[np.float64], colour: bool) -> dict[str, Any]:
        centres, nearest, spread = first_groups(points, weights, self.n_classes, self.seed)
        shares = np.bincount(nearest, weights, len(centres))
        return {"centres_": rows(centres[self.ordered(centres, shares, colour)]), "spread_": spread}

    def assign(self, points: NDArray[np.float64]) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
        from segmentry.kernels.mixture import posterior

        centres = np.array(self.centres_)
        k, d = centres.shape
        # Classes of one size and spread, the same along all channels: the nearest centre is the most probable class.
        whitening = np.tile(np.eye(d) / np.sqrt(max(self.spread_ or 0.0, 1e-12) / d), (k, 1, 1))
        return posterior(points, centres, whitening, np.zeros(k), np.zeros((0, 2), np.int64), np.zeros((0, d)))
