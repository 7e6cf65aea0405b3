"""Watershed that splits touching objects at their necks.

The foreground (by a threshold) is turned into a landscape of distances to the background. Its maxima are the middles of
objects; flooding it from them divides the foreground along the necks between them (Beucher & Lantuéjoul 1979; Meyer
1994). Maxima that are not separated by a neck of some depth count as one object, which keeps ragged outlines from being
torn apart. It works on round, compact objects that touch; it fails on long or branching ones, which it cuts.
"""

from __future__ import annotations

import math
from typing import ClassVar

from pydantic import Field

from segmentry.foreground import STEPS_PER_PIXEL, ForegroundSegmenter, distance_levels, divided
from segmentry.image import Image
from segmentry.length import Length
from segmentry.result import Instances
from segmentry.seeds import scored

__all__ = ["Watershed"]


class Watershed(ForegroundSegmenter):
    """Splits touching round objects at their necks: nuclei, cells, grains."""

    name: ClassVar[str] = "watershed"
    source: ClassVar[str] = "Meyer 1994, doi:10.1016/0165-1684(94)90060-4"

    depth: Length = Field(
        Length(1.0), description="How much narrower than both objects a neck must be to part them, as a distance."
    )

    def segment(self, image: Image) -> Instances:
        ready = self.prepared(image)
        _, mask, probable = ready.parted(image)
        levels = distance_levels(mask, image.grid)
        depth = math.ceil(max(self.depth.pixels(image.grid)) * STEPS_PER_PIXEL)
        labels = divided(levels, ready.sown(levels, mask, depth, image.grid), mask)
        return scored(labels, image.grid, probable)
