"""Of objects in several pieces the largest piece stays: splinters and slips of the brush go.

Pieces that touch at a corner are one; of pieces of one size the first stays. It works where the small pieces are
mistakes; where they are objects, take `split_fragments`.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from segmentry.image import Image
from segmentry.mending import parted
from segmentry.result import Instances
from segmentry.step import Cleaner

__all__ = ["KeepLargestPart"]


class KeepLargestPart(Cleaner):
    """Keeps the largest piece of each object and drops its other pieces."""

    name: ClassVar[str] = "keep_largest_part"

    def clean(self, instances: Instances, image: Image | None = None) -> Instances:
        from segmentry.kernels.components import label_components

        pieces = parted(instances, label_components(np.asarray(instances.labels[...]))[0])
        return pieces.keep(np.isin(pieces.ids, instances.ids))
