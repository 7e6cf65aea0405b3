"""Region growing: from each seed to the connected pixels that are nearly as bright.

A pixel joins the region that reaches it first, brightest pixels first, as long as it keeps a share of the height of its
seed over the background, and as long as the way there does not climb again; so a faint object next to a bright one
still gets its own outline. Seeds are given, or found as the maxima that stand out (Adams & Bischof 1994, for the order
in which pixels join). It works on blobs of different brightness; it leaks where objects fade into each other. A fixed
tolerance in units of intensity is what `flood_fill` has.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from pydantic import Field

from segmentry.image import Image
from segmentry.result import Instances
from segmentry.seeds import LEVELS, SeededSegmenter

__all__ = ["RegionGrowing"]


class RegionGrowing(SeededSegmenter):
    """Grows objects from seeds through connected pixels of similar intensity; seeds are given or found."""

    name: ClassVar[str] = "region_growing"
    source: ClassVar[str] = "Adams & Bischof 1994, doi:10.1109/34.295913"

    tolerance: float = Field(
        0.5, gt=0, lt=1, description="How far below its seed a pixel may lie, as a share of the seed's height."
    )

    def segment(self, image: Image) -> Instances:
        from segmentry.kernels.regions import grow_regions

        ready = self.prepared(image)
        levels, background = ready.levels(ready.smoothed(image))
        seeds = ready.sown(levels, background, image.grid)
        heights = np.maximum(levels[seeds > 0].astype(np.float64) - background, 0)
        floors = np.ceil(background + (1 - self.tolerance) * heights).astype(np.uint16)
        order = np.argsort(seeds[seeds > 0], kind="stable")
        labels, margins = grow_regions(
            levels, seeds, np.concatenate([[np.uint16(0)], floors[order]]), round(self.min_contrast * LEVELS)
        )
        ids = np.unique(labels)
        ids = ids[ids > 0]
        return Instances(labels, image.grid, ids, margins[ids].astype(np.float32)).renumbered()
