"""Objects lose a margin: what is nearer to their outline than a distance.

Each object is taken by itself, so that neighbours that touch come apart. The edge of the image is no outline. Distances
are exact, from pixel centre to pixel centre. It is for masks that are too wide, and to measure the inside of objects
only; objects that are thinner than twice the distance vanish, unless they are asked to stay.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from pydantic import Field

from segmentry.image import Grid, Image
from segmentry.labelling import lookup, survey
from segmentry.length import Length
from segmentry.result import Instances
from segmentry.step import Cleaner

__all__ = ["Shrink"]


class Shrink(Cleaner):
    """Shrinks objects by a distance, each by itself."""

    name: ClassVar[str] = "shrink"
    distance: Length = Field(Length(1.0), description="How far the outline moves inwards.")
    keep_small: bool = Field(False, description="Whether objects that would vanish stay as they are.")

    def halo(self, grid: Grid) -> tuple[int, ...]:
        return (1,) * len(grid.spatial)

    def clean(self, instances: Instances, image: Image | None = None) -> Instances:
        from segmentry.kernels.reach import distance_to_others

        labels = np.asarray(instances.labels[...])
        steps, limit = self.distance.metric(instances.grid)
        inside = np.where(distance_to_others(labels, steps, limit) == np.inf, labels, 0).astype(np.uint32)
        left = survey(inside).ids
        if self.keep_small:
            gone = np.setdiff1d(instances.ids, left)
            inside += lookup(labels, gone, gone)
            left = instances.ids
        return instances.with_labels(inside, left)
