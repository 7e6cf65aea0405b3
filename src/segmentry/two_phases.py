"""Parting an image into objects and background by minimising something over the whole of it.

Random walks, graph cuts and level sets begin alike: Otsu's threshold says about where the objects are and how bright
both sides are. Intensities are brought to that scale (the mean of the background is 0, that of objects 1), so that
parameters mean the same on every image.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from segmentry.errors import ParameterError
from segmentry.filters.gaussian import MAX_SIGMA, smooth
from segmentry.image import Grid, Image
from segmentry.length import Length
from segmentry.overview import Overview
from segmentry.result import Semantic
from segmentry.step import Segmenter
from segmentry.thresholds import TwoClasses, two_classes

__all__ = ["TwoPhases", "blurred", "checkerboard", "fine_pixels", "placed"]

#: Pixels that lie further apart than this many times the finest spacing are not neighbours on an outline.
COARSE = 2.0


class TwoPhases(Segmenter):
    """A method that looks for the best division of the whole image into objects and background."""

    task: ClassVar[Literal["semantic"]] = "semantic"

    foreground: Literal["bright", "dark"] = Field("bright", description="Whether objects are brighter or darker.")
    classes_: TwoClasses | None = Field(None, description="Otsu's threshold, and the two classes that it separates.")

    def halo(self, grid: Grid) -> None:
        return None

    def prepare(self, overview: Overview) -> Self:
        histogram = overview.histogram()
        classes = two_classes(histogram)
        if np.count_nonzero(histogram.counts) < 2:
            classes = replace(classes, mean=(classes.mean[0],) * 2)
        return self.model_copy(update={"classes_": classes})

    def region(self, pixels: NDArray[Any], grid: Grid) -> NDArray[np.bool_]:
        """Return where the objects are, on an image in which Otsu's threshold finds some."""
        raise NotImplementedError

    def segment(self, image: Image) -> Semantic:
        ready = self.prepared(image)
        pixels = image.read()
        found = ready.otsu(pixels).any()
        mask = ready.region(pixels, image.grid) if found else np.zeros(pixels.shape, np.bool_)
        likely = ready.likely(pixels)
        probable = np.where(mask, np.maximum(likely, np.float32(0.5)), np.minimum(likely, np.float32(0.5)))
        probabilities = np.stack([1 - probable, probable])
        return Semantic(mask.astype(np.uint8), image.grid, ("background", "foreground"), probabilities)

    @property
    def known(self) -> TwoClasses:
        """The classes, once prepared."""
        assert self.classes_ is not None
        return self.classes_

    @property
    def contrast(self) -> float:
        """By how much the two classes differ; 0 in an image of one intensity."""
        return self.known.mean[1] - self.known.mean[0]

    def otsu(self, pixels: NDArray[Any]) -> NDArray[np.bool_]:
        """Return on which pixels Otsu's threshold sees an object; on none where the image has one intensity."""
        if self.contrast == 0:
            return np.zeros(pixels.shape, np.bool_)
        above = pixels > self.known.threshold
        return np.asarray(above if self.foreground == "bright" else ~above)

    def likely(self, pixels: NDArray[Any]) -> NDArray[np.float32]:
        """Return how probable it is by its intensity that a pixel is one of an object."""
        if self.contrast == 0:
            return np.zeros(pixels.shape, np.float32)
        above = self.known.above(pixels)
        return above if self.foreground == "bright" else 1 - above

    def scaled(self, pixels: NDArray[Any]) -> NDArray[np.float32]:
        """Return intensities on a scale where the mean of the background is 0 and that of the objects 1."""
        low, high = self.known.mean
        values = pixels.astype(np.float64)
        height = values - low if self.foreground == "bright" else high - values
        return np.asarray(height / (self.contrast or 1.0), np.float32)

    @property
    def level(self) -> float:
        """Otsu's threshold on that scale."""
        return float(self.scaled(np.array(self.known.threshold)))

    @property
    def spread(self) -> float:
        """Standard deviation of the whole image on that scale; 0 in an image of one intensity."""
        (few, many), known = self.known.share, self.known
        within = few * known.sd[0] ** 2 + many * known.sd[1] ** 2
        return math.sqrt(within / self.contrast**2 + few * many) if self.contrast else 0.0

    def fine_axes(self, grid: Grid) -> list[bool]:
        """Return along which axes neighbours are near enough for outlines to be smoothed and blown by them."""
        return [step <= COARSE for step in grid.anisotropy]

    def objects(self, mask: NDArray[np.bool_], scaled: NDArray[np.float32]) -> NDArray[np.bool_]:
        """Return of two regions the one of the objects: that which is nearer to them in intensity."""
        if mask.any() and not mask.all() and scaled[mask].mean() < scaled[~mask].mean():
            return ~mask
        return mask


def checkerboard(shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Return a smooth checkerboard with fields of 5 pixels: positive and negative in turns."""
    waves = [np.sin(np.arange(n) * (np.pi / 5)) for n in shape]
    return np.asarray(math.prod(np.ix_(*waves)), np.float32)


def fine_pixels(length: Length, grid: Grid) -> float:
    """Return a length in pixels of the finest axis, in which a bare number is taken to be."""
    return min(n * a for n, a in zip(length.pixels(grid), grid.anisotropy, strict=True))


def blurred(pixels: NDArray[np.float32], sigma: Length, grid: Grid) -> NDArray[np.float32]:
    """Return pixels smoothed as far along each axis in true distance; `sigma` as for :func:`fine_pixels`."""
    fine = fine_pixels(sigma, grid)
    if fine > MAX_SIGMA:
        raise ParameterError(f"sigma {sigma} is {fine:g} pixels here; at most {MAX_SIGMA:g} are possible")
    return smooth(pixels, tuple(fine / a for a in grid.anisotropy))


def placed(name: str, seeds: tuple[tuple[int, ...], ...], grid: Grid) -> tuple[NDArray[np.intp], ...]:
    """Return the places of seeds as an index of an array.

    Raises
    ------
    ParameterError
        When a seed has another number of coordinates than the image has axes, lies outside, or is there twice.
    """
    for number, at in enumerate(seeds):
        if at in seeds[:number]:
            raise ParameterError(f"{name}.seeds: {at} is given twice")
        if len(at) != len(grid.shape) or not all(0 <= p < n for p, n in zip(at, grid.shape, strict=True)):
            raise ParameterError(f"{name}.seeds: {at} lies outside the image {grid.spatial} {grid.shape}")
    return tuple(np.array(seeds, np.intp).reshape(-1, len(grid.shape)).T)
