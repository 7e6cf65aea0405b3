"""Ragged outlines become smooth: each pixel goes with what most of its neighbourhood is.

A pixel of an object becomes background where a ball around it holds more background than object, and a pixel of the
background is gained by an object that has more than half of the ball. Objects never take pixels from each other, and
one that would vanish stays as it is. It works on bumps and dents smaller than the ball; what is thinner than the ball,
as a neurite is, gets lost, and what hangs together by a thread may fall into pieces of one id.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from pydantic import Field

from segmentry.errors import ParameterError
from segmentry.image import Grid, Image
from segmentry.labelling import lookup, survey
from segmentry.length import Length
from segmentry.result import Instances
from segmentry.step import Cleaner

__all__ = ["SmoothBoundaries"]

#: Radius of a ball in pixels: all its pixels are looked at for each pixel at an outline.
LARGEST = 100


class SmoothBoundaries(Cleaner):
    """Smooths the outlines of objects towards the background."""

    name: ClassVar[str] = "smooth_boundaries"
    radius: Length = Field(Length(2.0), description="Radius of the ball; at most 100 pixels.")

    def halo(self, grid: Grid) -> tuple[int, ...]:
        reach = self.radius.whole(grid)
        if max(reach) > LARGEST:
            raise ParameterError(f"{self.name}.radius: {self.radius} is {max(reach)} pixels here; at most {LARGEST}")
        return reach

    def clean(self, instances: Instances, image: Image | None = None) -> Instances:
        from segmentry.kernels.votes import smooth_labels

        self.halo(instances.grid)
        labels = np.asarray(instances.labels[...])
        numbers = np.arange(1, len(instances) + 1, dtype=np.uint32)
        smooth = smooth_labels(lookup(labels, instances.ids, numbers), *self.radius.metric(instances.grid))
        left = survey(smooth).ids - np.uint32(1)
        gone = np.delete(instances.ids, left)
        found = lookup(smooth, numbers, instances.ids) + lookup(labels, gone, gone)
        return instances.with_labels(found, instances.ids)
