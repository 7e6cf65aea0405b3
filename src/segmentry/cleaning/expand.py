"""Objects grow by a distance into the background, until they meet.

Each pixel of the background that is near enough goes to the nearest object; of objects equally near, to that with the
lowest id. Distances are exact. It is for masks that lie inside what is meant, and for a margin around objects.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from pydantic import Field

from segmentry.image import Grid, Image
from segmentry.length import Length
from segmentry.result import Instances
from segmentry.step import Cleaner

__all__ = ["Expand"]


class Expand(Cleaner):
    """Grows objects by a distance; they meet, but never merge."""

    name: ClassVar[str] = "expand"
    distance: Length = Field(Length(2.0), description="How far objects grow.")

    def halo(self, grid: Grid) -> tuple[int, ...]:
        return tuple(2 * n for n in self.distance.whole(grid))

    def clean(self, instances: Instances, image: Image | None = None) -> Instances:
        from segmentry.kernels.reach import grow_labels

        labels = np.asarray(instances.labels[...])
        return instances.with_labels(grow_labels(labels, *self.distance.metric(instances.grid)), instances.ids)
