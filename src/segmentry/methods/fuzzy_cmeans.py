"""Fuzzy c-means: every pixel belongs to every class, the more the nearer its intensity lies to the class's centre.

Memberships and centres are found in turn until they rest (Bezdek 1981), starting from those of k-means. The membership
in a class is one over the sum, over all classes, of the ratio of the distances to the power 2 / (m - 1), m being the
fuzziness. With m = 3 the membership of a pixel without noise that two classes share is the part that it has of each;
with noise every pixel belongs a little to every class, so that sums of memberships are no volumes: `gaussian_mixture`
gives those. It works where classes overlap and are about equally common; it fails on rare classes, whose centre is
drawn towards the common ones.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from segmentry.clustering import Clustering, first_groups, rows

__all__ = ["FuzzyCMeans"]

ROUNDS = 500
#: Centres rest when none moves further than this part of the spread of the image.
TOLERANCE = 1e-6


class FuzzyCMeans(Clustering):
    """Groups pixels by intensity with memberships: how much each pixel belongs to each class."""

    name: ClassVar[str] = "fuzzy_cmeans"
    source: ClassVar[str] = "Bezdek 1981, doi:10.1007/978-1-4757-0450-1"

    fuzziness: float = Field(2.0, ge=1.05, le=10, description="How soft the classes are; near 1 they are k-means'.")

    def learn(self, points: NDArray[np.float64], weights: NDArray[np.float64], colour: bool) -> dict[str, Any]:
        from segmentry.kernels.clusters import fuzzy_sums

        centres, _, _ = first_groups(points, weights, self.n_classes, self.seed)
        scale = float(np.abs(points - points.mean(axis=0)).max()) or 1.0
        shares = np.ones(len(centres))
        for _ in range(ROUNDS):
            before = centres
            sums, shares = fuzzy_sums(points, weights, before, self.fuzziness)
            centres = np.where(shares[:, None] > 0, sums / np.maximum(shares, 1e-300)[:, None], before)
            if np.abs(centres - before).max() <= TOLERANCE * scale:
                break
        return {"centres_": rows(centres[self.ordered(centres, shares, colour)])}

    def assign(self, points: NDArray[np.float64]) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
        from segmentry.kernels.clusters import fuzzy_memberships

        return fuzzy_memberships(points, np.array(self.centres_), self.fuzziness)
