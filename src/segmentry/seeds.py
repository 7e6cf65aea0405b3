"""Objects that grow from seeds: positions that the user gives, or the maxima of the image that stand out."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal, Self

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

if TYPE_CHECKING:
    from segmentry.kernels.floods import Floods

__all__ = ["LEVELS", "SEEDS", "IntervalSegmenter", "SeededSegmenter", "Seeds", "placed", "scored"]

Seeds = tuple[tuple[int, ...], ...]

#: Found seeds are maxima of the image in this many levels.
LEVELS = 4095
#: What the parameter means, for the methods that have it.
SEEDS = "Pixel positions (row, column) or (plane, row, column), one per object; none: found."


def placed(seeds: Seeds, grid: Grid, name: str) -> NDArray[np.uint32]:
    """Return an array of zeros with 1 … n at the seeds.

    Raises
    ------
    ParameterError
        When a seed has another number of axes than the grid, lies outside it or is given twice.
    """
    marked = np.zeros(grid.spatial_shape, np.uint32)
    for number, at in enumerate(seeds, start=1):
        if len(at) != marked.ndim:
            raise ParameterError(f"{name}.seeds: {at} has {len(at)} numbers; the image has the axes {grid.spatial}")
        if not all(0 <= p < n for p, n in zip(at, marked.shape, strict=True)):
            raise ParameterError(f"{name}.seeds: {at} lies outside the image {grid.spatial} {marked.shape}")
        if marked[at]:
            raise ParameterError(f"{name}.seeds: {at} is given twice")
        marked[at] = number
    return marked


def scored(labels: NDArray[np.uint32], grid: Grid, probable: NDArray[np.float32]) -> Instances:
    """Return labels numbered 1 … n as objects, each with the mean probability of its pixels as its score."""
    count = int(labels.max(initial=0))
    sums = np.bincount(labels.ravel(), weights=probable.ravel(), minlength=count + 1)[1:]
    sizes = np.bincount(labels.ravel(), minlength=count + 1)[1:]
    ids = np.arange(1, count + 1, dtype=np.uint32)
    return Instances(labels, grid, ids, (sums / np.maximum(sizes, 1)).astype(np.float32)).renumbered()


class SeededSegmenter(Segmenter):
    """A method that grows each object from one seed; it sees the whole image."""

    task: ClassVar[Literal["instances"]] = "instances"

    seeds: Seeds | None = Field(None, description=SEEDS)
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

    def smoothed(self, image: Image) -> NDArray[np.float32]:
        """Return the pixels after smoothing."""
        return smooth(image.read().astype(np.float32), sigma_pixels(self.sigma, image.grid))

    def levels(self, smoothed: NDArray[np.float32]) -> tuple[NDArray[np.uint16], float]:
        """Return smoothed pixels in 4,096 levels with objects bright, and the level of the background."""
        assert self.classes_ is not None
        assert self.range_ is not None
        low, high = self.range_
        scale = LEVELS / (high - low) if high > low else 0.0
        dark = self.foreground == "dark"

        def level(values: NDArray[np.float64]) -> NDArray[np.float64]:
            return np.clip((high - values if dark else values - low) * scale, 0, LEVELS)

        background = level(np.array(self.classes_.mean[1 if dark else 0]))
        return np.rint(level(smoothed.astype(np.float64))).astype(np.uint16), float(background)

    def sown(self, levels: NDArray[np.uint16], background: float, grid: Grid) -> NDArray[np.uint32]:
        """Return the seeds, given or found, as 1 … n in an array of zeros."""
        from segmentry.kernels.watershed import deep_maxima

        if self.seeds is not None:
            return placed(self.seeds, grid, self.name)
        contrast = self.min_contrast * LEVELS
        return deep_maxima(levels, levels > background + contrast, max(1, round(contrast)))

    def sureness(self, smoothed: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return how probable it is, by intensity alone, that a pixel belongs to an object."""
        assert self.classes_ is not None
        above = self.classes_.above(smoothed)
        return above if self.foreground == "bright" else 1 - above


class IntervalSegmenter(SeededSegmenter):
    """A method whose objects are all pixels that are connected to the seed through values of an interval."""

    def interval(self, floods: Floods, place: int, grid: Grid) -> tuple[float, float]:
        """Return the lowest and the highest value of the object whose seed is at a place."""
        raise NotImplementedError

    def segment(self, image: Image) -> Instances:
        from segmentry.kernels.floods import Floods, grow_between

        ready = self.prepared(image)
        smoothed = ready.smoothed(image)
        floods = Floods(smoothed)
        levels, background = ready.levels(smoothed)
        seeds = ready.sown(levels, background, image.grid)
        at = np.argwhere(seeds)
        at = at[
            np.argsort(
                seeds[seeds > 0] if self.seeds is not None else -levels[seeds > 0].astype(np.int64), kind="stable"
            )
        ]
        places, bounds = [], []
        covered = np.zeros(floods.values.size, np.bool_)
        for place in floods.places(at):
            if self.seeds is None and covered[place]:
                continue
            places.append(place)
            bounds.append(ready.interval(floods, int(place), image.grid))
            covered[floods.flood(int(place), *bounds[-1])] = True
        limits = np.array(bounds, np.float64).reshape(-1, 2).T.copy()
        labels = grow_between(floods, np.array(places, np.int64), limits[0], limits[1])
        return scored(labels, image.grid, ready.sureness(smoothed))
