"""Objects in several pieces become several objects.

Pieces that touch at a corner are one. Pieces at different time points are one object; nothing is compared over time. It
is for labels drawn by hand, cut from larger ones or made by other programs, in which an id is found at several places.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from segmentry.image import Image
from segmentry.mending import parted
from segmentry.result import Instances
from segmentry.step import Cleaner

__all__ = ["SplitFragments"]


class SplitFragments(Cleaner):
    """Makes each piece of an object an object of its own; the largest keeps the id."""

    name: ClassVar[str] = "split_fragments"
    splits: ClassVar[bool] = True

    def clean(self, instances: Instances, image: Image | None = None) -> Instances:
        from segmentry.kernels.components import label_components

        return parted(instances, label_components(np.asarray(instances.labels[...]))[0])
