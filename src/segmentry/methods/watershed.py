"""Watershed that splits touching objects at their necks.

The foreground (by a threshold) is turned into a landscape of distances to the background. Its maxima are the middles of
objects; flooding it from them divides the foreground along the necks between them (Beucher & Lantuéjoul 1979; Meyer
1994). Maxima that are not separated by a neck of some depth count as one object, which keeps ragged outlines from being
torn apart. It works on round, compact objects that touch; it fails on long or branching ones, which it cuts.
"""

from __future__ import annotations

import math
from typing import ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from segmentry.filters.gaussian import reach, sigma_pixels, smooth
from segmentry.image import Grid, Image
from segmentry.length import Length
from segmentry.overview import Overview
from segmentry.result import Instances
from segmentry.step import Segmenter
from segmentry.thresholds import TwoClasses, two_classes

__all__ = ["Watershed"]

#: Distances are counted in steps of this part of the finest pixel.
STEPS_PER_PIXEL = 16


class Watershed(Segmenter):
    """Splits touching round objects at their necks: nuclei, cells, grains."""

    name: ClassVar[str] = "watershed"
    task: ClassVar[Literal["instances"]] = "instances"
    source: ClassVar[str] = "Meyer 1994, doi:10.1016/0165-1684(94)90060-4"

    foreground: Literal["bright", "dark"] = Field("bright", description="Whether objects are brighter or darker.")
    threshold: float | None = Field(None, description="Intensity that separates objects from background; none: Otsu's.")
    sigma: Length = Field(Length(1.0), description="Smoothing before the threshold.")
    depth: Length = Field(
        Length(1.0), description="How much narrower than both objects a neck must be to part them, as a distance."
    )
    classes_: TwoClasses | None = Field(None, description="The threshold, and the two classes that it separates.")

    def halo(self, grid: Grid) -> tuple[int, ...]:
        return tuple(r + 1 for r in reach(sigma_pixels(self.sigma, grid)))

    def prepare(self, overview: Overview) -> Self:
        return self.model_copy(update={"classes_": two_classes(overview.histogram(), self.threshold)})

    def thresholds(self) -> tuple[float, ...]:
        return () if self.classes_ is None else (self.classes_.threshold,)

    def segment(self, image: Image) -> Instances:
        ready = self.prepared(image)
        assert ready.classes_ is not None
        pixels = smooth(image.read().astype(np.float32), sigma_pixels(self.sigma, image.grid))
        bright = self.foreground == "bright"
        mask = pixels > ready.classes_.threshold if bright else pixels <= ready.classes_.threshold
        labels = split(mask, image.grid, max(self.depth.pixels(image.grid)))
        probable = np.zeros(labels.shape, np.float32)
        above = ready.classes_.above(pixels[mask])
        probable[mask] = above if bright else 1 - above
        return scored(labels, image.grid, probable)


def split(mask: NDArray[np.bool_], grid: Grid, depth: float) -> NDArray[np.uint32]:
    """Divide a mask at its necks; `depth` is in pixels of the finest axis."""
    from segmentry.kernels.distance import distance_to_background
    from segmentry.kernels.watershed import deep_maxima, flood

    distance = distance_to_background(mask, grid.anisotropy)
    levels = np.minimum(np.rint(distance * STEPS_PER_PIXEL), 65_535).astype(np.uint16)
    seeds = deep_maxima(levels, mask, math.ceil(depth * STEPS_PER_PIXEL))
    return flood(np.uint16(65_535) - levels, seeds, mask, full=True)


def scored(labels: NDArray[np.uint32], grid: Grid, probable: NDArray[np.float32]) -> Instances:
    """Return labels numbered 1 … n as objects, each with the mean probability of its pixels as its score."""
    count = int(labels.max(initial=0))
    sums = np.bincount(labels.ravel(), weights=probable.ravel(), minlength=count + 1)[1:]
    sizes = np.bincount(labels.ravel(), minlength=count + 1)[1:]
    ids = np.arange(1, count + 1, dtype=np.uint32)
    return Instances(labels, grid, ids, (sums / np.maximum(sizes, 1)).astype(np.float32)).renumbered()
