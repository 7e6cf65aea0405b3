"""Thresholds that follow the neighbourhood: a level per pixel, from the mean and the spread in a box around it.

The rules were made for dark writing on a bright page; for bright objects the image is turned over first. Sums over the
box are of integers (the range of the image in 65,536 steps), so that they don't depend on where a tile begins.
"""

from __future__ import annotations

from typing import ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from segmentry.errors import ParameterError
from segmentry.image import Grid, Image
from segmentry.length import Length
from segmentry.overview import Overview
from segmentry.result import Semantic
from segmentry.step import Segmenter

__all__ = ["LocalThreshold", "box_statistics"]

STEPS = 65_535
MAX_RADIUS = 500


class LocalThreshold(Segmenter):
    """A method that compares each pixel with a level made of its neighbourhood."""

    task: ClassVar[Literal["semantic"]] = "semantic"

    foreground: Literal["bright", "dark"] = Field("bright", description="Whether objects are brighter or darker.")
    radius: Length = Field(Length(25.0), description="Half the width of the box; more than the radius of an object.")
    range_: tuple[float, float] | None = Field(None, description="Lowest and highest intensity of the image.")

    def level(self, mean: NDArray[np.float64], sd: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the level below which a pixel is an object, from mean and spread of intensities in 0 … 1."""
        raise NotImplementedError

    def halo(self, grid: Grid) -> tuple[int, ...]:
        found = tuple(round(r) for r in self.radius.pixels(grid))
        if max(found) > MAX_RADIUS:
            raise ParameterError(f"radius {self.radius} is {max(found):g} pixels here; at most {MAX_RADIUS} work")
        return found

    def prepare(self, overview: Overview) -> Self:
        return self.model_copy(update={"range_": overview.range()})

    def segment(self, image: Image) -> Semantic:
        ready = self.prepared(image)
        assert ready.range_ is not None
        low, high = ready.range_
        share = (image.read().astype(np.float64) - low) / (high - low if high > low else 1.0)
        steps = np.rint(np.clip(1 - share if self.foreground == "bright" else share, 0, 1) * STEPS).astype(np.int64)
        mean, sd = box_statistics(steps, self.halo(image.grid))
        below = self.level(mean / STEPS, sd / STEPS) - steps / STEPS
        # How far beyond the level a pixel lies, in local spreads, as a logistic curve that is nearly the normal one.
        probable = 1 / (1 + np.exp(np.clip(-1.7 * below / np.maximum(sd / STEPS, 1 / STEPS), -80, 80)))
        mask = below > 0
        probable = np.where(mask, probable, np.minimum(probable, 0.5)).astype(np.float32)
        names = ("background", "foreground")
        return Semantic(mask.astype(np.uint8), image.grid, names, np.stack([1 - probable, probable]))


def box_statistics(
    values: NDArray[np.int64], radius: tuple[int, ...]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the mean and the standard deviation of whole numbers in the box around each pixel; edges are mirrored.

    Sums may pass 64 bits on the way: what is over is lost from both ends of a box alike, so their difference is right.
    """
    count = float(np.prod([2 * r + 1 for r in radius]))
    mean = _box_sums(values, radius) / count
    square = _box_sums(values * values, radius) / count
    return mean, np.sqrt(np.maximum(square - mean * mean, 0))


def _box_sums(values: NDArray[np.int64], radius: tuple[int, ...]) -> NDArray[np.int64]:
    sums = np.pad(values, [(r, r) for r in radius], mode="symmetric")
    for axis, r in enumerate(radius):
        running = np.cumsum(np.moveaxis(sums, axis, 0), axis=0)
        upper = running[2 * r :].copy()
        upper[1:] -= running[: -2 * r - 1]
        sums = np.moveaxis(upper, 0, axis)
    return sums
