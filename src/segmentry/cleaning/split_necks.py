"""Objects that are several in one are split at their necks.

In each object the distance to its outline is a landscape, whose maxima are the middles of its parts; flooding it from
them parts the object along the necks between them (Beucher & Lantuéjoul 1979; Meyer 1994). It does for objects that
exist, of any method or hand, what the method `watershed` does for a mask. It works on round parts that touch; it fails
on long or branching objects, which it cuts.
"""

from __future__ import annotations

import math
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from segmentry.image import Image
from segmentry.length import Length
from segmentry.mending import each_object, parted
from segmentry.result import Instances
from segmentry.step import Cleaner

__all__ = ["SplitNecks"]

#: Distances are counted in steps of this part of the finest pixel.
STEPS_PER_PIXEL = 16


class SplitNecks(Cleaner):
    """Splits each object at its necks: nuclei, cells, grains that count as one."""

    name: ClassVar[str] = "split_necks"
    source: ClassVar[str] = "Meyer 1994, doi:10.1016/0165-1684(94)90060-4"
    splits: ClassVar[bool] = True
    depth: Length = Field(
        Length(1.0), description="How much narrower than both parts a neck must be to part them, as a distance."
    )

    def clean(self, instances: Instances, image: Image | None = None) -> Instances:
        grid = instances.grid
        depth = math.ceil(max(self.depth.pixels(grid)) * STEPS_PER_PIXEL)
        parts = np.zeros(grid.spatial_shape, np.uint32)
        total = 0
        for _, box, mask in each_object(instances):
            found, count = _split(mask, grid.anisotropy, depth)
            if count > 1:
                parts[box] += np.where(mask, found + np.uint32(total), 0).astype(np.uint32)
                total += count
        return parted(instances, parts)


def _split(mask: NDArray[np.bool_], spacing: tuple[float, ...], depth: int) -> tuple[NDArray[np.uint32], int]:
    """Return the parts of one object, 1 … n, and how many there are."""
    from segmentry.kernels.distance import distance_to_background
    from segmentry.kernels.watershed import deep_maxima, flood

    distance = distance_to_background(mask, spacing)
    levels = np.minimum(np.rint(distance * STEPS_PER_PIXEL), 65_535).astype(np.uint16)
    seeds = deep_maxima(levels, mask, depth)
    count = int(seeds.max())
    return (flood(levels.max() - levels, seeds, mask, full=True) if count > 1 else seeds), count
