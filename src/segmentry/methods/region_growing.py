"""Region growing: from each seed to the connected pixels that are nearly as bright.

A pixel joins the region that reaches it first, brightest pixels first, as long as it keeps a share of the height of its
seed over the background, and as long as the way there does not climb again; so a faint object next to a bright one
still gets its own outline. Seeds are given, or found as the maxima that stand out (Adams & Bischof 1994, for the order
in which pixels join). It works on blobs of different
brightness; it leaks where objects fade into each other.
"""

from __future__ import annotations

from typing import ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from segmentry.errors import ParameterError
from segmentry.filters.gaussian import sigma_pixels, smooth
from segmentry.image import Grid, Image
from segmentry.length import Length
from segmentry.overview import Overview
from segmentry.result import Instances
from segmentry.step import Segmenter
from segmentry.thresholds import TwoClasses, two_classes

__all__ = ["RegionGrowing"]

LEVELS = 4095


class RegionGrowing(Segmenter):
    """Grows objects from seeds through connected pixels of similar intensity; seeds are given or found."""

    name: ClassVar[str] = "region_growing"
    task: ClassVar[Literal["instances"]] = "instances"
    source: ClassVar[str] = "Adams & Bischof 1994, doi:10.1109/34.295913"

    seeds: tuple[tuple[int, ...], ...] | None = Field(
        None, description="Pixel positions (row, column) or (plane, row, column), one per object; none: found."
    )
    tolerance: float = Field(
        0.5, gt=0, lt=1, description="How far below its seed a pixel may lie, as a share of the seed's height."
    )
    min_contrast: float = Field(
        0.1,
        gt=0,
        le=1,
        description="How far a found seed must stand out from background and neighbours, as a share of the range.",
    )
    sigma: Length = Field(Length(1.0), description="Smoothing before anything else.")
    foreground: Literal["bright", "dark"] = Field("bright", description="Whether objects are brighter or darker.")
    classes_: TwoClasses | None = Field(None, description="Otsu's threshold and classes, of which one is background.")
    range_: tuple[float, float] | None = Field(None, description="Lowest and highest intensity of the image.")

    def halo(self, grid: Grid) -> None:
        return None

    def prepare(self, overview: Overview) -> Self:
        update = {"classes_": two_classes(overview.histogram()), "range_": overview.range()}
        return self.model_copy(update=update)

    def segment(self, image: Image) -> Instances:
        from segmentry.kernels.regions import grow_regions

        ready = self.prepared(image)
        levels, background = ready._levels(image)
        seeds = self._given(image.grid) if self.seeds is not None else self._found(levels, background)
        heights = np.maximum(levels[seeds > 0].astype(np.float64) - background, 0)
        floors = np.ceil(background + (1 - self.tolerance) * heights).astype(np.uint16)
        order = np.argsort(seeds[seeds > 0], kind="stable")
        labels, margins = grow_regions(
            levels, seeds, np.concatenate([[np.uint16(0)], floors[order]]), round(self.min_contrast * LEVELS)
        )
        ids = np.unique(labels)
        ids = ids[ids > 0]
        return Instances(labels, image.grid, ids, margins[ids].astype(np.float32)).renumbered()

    def _levels(self, image: Image) -> tuple[NDArray[np.uint16], float]:
        """Return the image in 4,096 levels with objects bright, and the level of the background."""
        assert self.classes_ is not None
        assert self.range_ is not None
        low, high = self.range_
        pixels = smooth(image.read().astype(np.float32), sigma_pixels(self.sigma, image.grid)).astype(np.float64)
        scale = LEVELS / (high - low) if high > low else 0.0
        dark = self.foreground == "dark"

        def level(values: NDArray[np.float64]) -> NDArray[np.float64]:
            return np.clip((high - values if dark else values - low) * scale, 0, LEVELS)

        background = level(np.array(self.classes_.mean[1 if dark else 0]))
        return np.rint(level(pixels)).astype(np.uint16), float(background)

    def _found(self, levels: NDArray[np.uint16], background: float) -> NDArray[np.uint32]:
        from segmentry.kernels.watershed import deep_maxima

        contrast = self.min_contrast * LEVELS
        return deep_maxima(levels, levels > background + contrast, max(1, round(contrast)))

    def _given(self, grid: Grid) -> NDArray[np.uint32]:
        seeds = np.zeros(grid.shape, np.uint32)
        for number, at in enumerate(self.seeds or (), start=1):
            if len(at) != len(grid.shape) or not all(0 <= p < n for p, n in zip(at, grid.shape, strict=True)):
                raise ParameterError(f"region_growing.seeds: {at} lies outside the image {grid.spatial} {grid.shape}")
            if seeds[at]:
                raise ParameterError(f"region_growing.seeds: {at} is given twice")
            seeds[at] = number
        return seeds
