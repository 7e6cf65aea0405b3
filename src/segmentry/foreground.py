"""Foreground for watersheds: the pixels beyond a threshold, of the whole image or of the neighbourhood."""

from __future__ import annotations

from typing import ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from segmentry.errors import ParameterError
from segmentry.filters.gaussian import reach, sigma_pixels, smooth
from segmentry.gradients import histogram_after
from segmentry.image import Grid, Image
from segmentry.length import Length
from segmentry.overview import Overview
from segmentry.seeds import SEEDS, Seeds, placed
from segmentry.step import Filter, Segmenter
from segmentry.thresholds import TwoClasses, two_classes

__all__ = ["STEPS_PER_PIXEL", "TOP", "ForegroundSegmenter", "distance_levels", "divided"]

MAX_RADIUS = 500
#: Distances are counted in steps of this part of the finest pixel, up to a highest level.
STEPS_PER_PIXEL = 16
TOP = 65_535


class AboveNeighbourhood(Filter):
    """How far a pixel lies above the mean of the box around it."""

    name: ClassVar[str] = "above_neighbourhood"

    radius: Length = Length(25.0)
    range_: tuple[float, float] = (0.0, 1.0)

    def halo(self, grid: Grid) -> tuple[int, ...]:
        found = tuple(round(r) for r in self.radius.pixels(grid))
        if max(found) > MAX_RADIUS:
            raise ParameterError(f"local_radius {self.radius} is {max(found):g} pixels here; at most {MAX_RADIUS} work")
        return found

    def plane(self, pixels: NDArray[np.float32], grid: Grid, channel: int) -> NDArray[np.float32]:
        return pixels - self.around(pixels, grid)

    def around(self, pixels: NDArray[np.float32], grid: Grid) -> NDArray[np.float32]:
        """Return the mean of the box around each pixel."""
        from segmentry.kernels.local_statistics import STEPS, box_statistics, quantised

        low, high = self.range_
        mean, _ = box_statistics(quantised(pixels, low, high, False), self.halo(grid))
        return mean * np.float32((high - low) / STEPS) + np.float32(low)


class ForegroundSegmenter(Segmenter):
    """A method that first parts objects from background at a threshold, then objects from each other."""

    task: ClassVar[Literal["instances"]] = "instances"

    foreground: Literal["bright", "dark"] = Field("bright", description="Whether objects are brighter or darker.")
    threshold: float | None = Field(None, description="Intensity that separates objects from background; none: Otsu's.")
    local_radius: Length | None = Field(
        None,
        description="For uneven light: each pixel is first lowered by the mean of the box of this half width around it;"
        " the threshold is then a difference to it. More than the radius of an object; none: the light is even.",
    )
    sigma: Length = Field(Length(1.0), description="Smoothing before the threshold.")
    seeds: Seeds | None = Field(None, description=SEEDS)
    classes_: TwoClasses | None = Field(None, description="The threshold, and the two classes that it separates.")
    range_: tuple[float, float] | None = Field(None, description="Lowest and highest intensity of the image.")

    def halo(self, grid: Grid) -> tuple[int, ...] | None:
        if self.seeds is not None:
            return None
        local = (0,) * len(grid.spatial) if self.local_radius is None else self._local((0.0, 1.0)).halo(grid)
        return tuple(max(r, b) + 2 for r, b in zip(reach(sigma_pixels(self.sigma, grid)), local, strict=True))

    def prepare(self, overview: Overview) -> Self:
        bounds = overview.range()
        even = self.local_radius is None
        histogram = overview.histogram() if even else histogram_after(self._local(bounds), overview)
        return self.model_copy(update={"classes_": two_classes(histogram, self.threshold), "range_": bounds})

    def thresholds(self) -> tuple[float, ...]:
        return () if self.classes_ is None or self.local_radius is not None else (self.classes_.threshold,)

    def parted(self, image: Image) -> tuple[NDArray[np.float32], NDArray[np.bool_], NDArray[np.float32]]:
        """Return the smoothed pixels, which of them are foreground, and how probable that is at each (0 elsewhere)."""
        assert self.classes_ is not None
        assert self.range_ is not None
        raw = image.read().astype(np.float32)
        pixels = smooth(raw, sigma_pixels(self.sigma, image.grid))
        even = self.local_radius is None
        compared = pixels if even else pixels - self._local(self.range_).around(raw, image.grid)
        bright = self.foreground == "bright"
        mask = compared > self.classes_.threshold if bright else compared <= self.classes_.threshold
        probable = np.zeros(mask.shape, np.float32)
        above = self.classes_.above(compared[mask])
        probable[mask] = above if bright else 1 - above
        return pixels, mask, probable

    def _local(self, bounds: tuple[float, float]) -> AboveNeighbourhood:
        assert self.local_radius is not None
        return AboveNeighbourhood(radius=self.local_radius, range_=bounds)

    def sown(self, levels: NDArray[np.uint16], mask: NDArray[np.bool_], depth: int, grid: Grid) -> NDArray[np.uint32]:
        """Return the seeds as 1 … n: those given, or the maxima of levels that a valley of some depth parts."""
        from segmentry.kernels.watershed import deep_maxima

        if self.seeds is not None:
            return placed(self.seeds, grid, self.name)
        return deep_maxima(levels, mask, depth)


def distance_levels(mask: NDArray[np.bool_], grid: Grid) -> NDArray[np.uint16]:
    """Return how far the background is from each pixel of a mask, in sixteenths of the finest pixel."""
    from segmentry.kernels.distance import distance_to_background

    distance = distance_to_background(mask, grid.anisotropy)
    return np.minimum(np.rint(distance * STEPS_PER_PIXEL), TOP).astype(np.uint16)


def divided(levels: NDArray[np.uint16], seeds: NDArray[np.uint32], mask: NDArray[np.bool_]) -> NDArray[np.uint32]:
    """Divide a mask along the valleys between its seeds, which always belong to it."""
    from segmentry.kernels.watershed import flood

    return flood(np.uint16(TOP) - levels, seeds, mask | (seeds > 0), full=True)
