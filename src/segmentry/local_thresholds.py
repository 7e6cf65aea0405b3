"""Thresholds that follow the neighbourhood: a level per pixel, from the mean and the spread in a box around it.

The rules were made for dark writing on a bright page; for bright objects the image is turned over first. Sums over the
box are of integers (the range of the image in 65,535 steps), so that they don't depend on where a tile begins.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import DTypeLike, NDArray
from pydantic import Field

from segmentry.errors import ParameterError
from segmentry.image import Grid, Image
from segmentry.length import Length
from segmentry.overview import Overview
from segmentry.result import Semantic
from segmentry.step import Segmenter

__all__ = ["LocalThreshold"]

MAX_RADIUS = 500


class LocalThreshold(Segmenter):
    """A method that compares each pixel with a level made of its neighbourhood."""

    task: ClassVar[Literal["semantic"]] = "semantic"

    foreground: Literal["bright", "dark"] = Field("bright", description="Whether objects are brighter or darker.")
    radius: Length = Field(Length(25.0), description="Half the width of the box; more than the radius of an object.")
    range_: tuple[float, float] | None = Field(None, description="Lowest and highest intensity of the image.")

    def level(self, mean: NDArray[np.float32], sd: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the level below which a pixel is an object, from mean and spread of intensities in 0 … 1."""
        raise NotImplementedError

    def mean(self, share: NDArray[np.float32], grid: Grid) -> NDArray[np.float32] | None:
        """Return the mean that :meth:`level` is given, of intensities in 0 … 1; ``None`` for that of the box."""
        return None

    def box(self, grid: Grid) -> tuple[int, ...]:
        """Return half the width of the box in pixels, per spatial axis."""
        found = tuple(round(r) for r in self.radius.pixels(grid))
        if max(found) > MAX_RADIUS:
            raise ParameterError(f"radius {self.radius} is {max(found):g} pixels here; at most {MAX_RADIUS} work")
        return found

    def halo(self, grid: Grid) -> tuple[int, ...]:
        return self.box(grid)

    def prepare(self, overview: Overview) -> Self:
        return self.model_copy(update={"range_": overview.range()})

    def segment(self, image: Image) -> Semantic:
        from segmentry.kernels.local_statistics import STEPS, box_strips, decide, quantised

        ready = self.prepared(image)
        assert ready.range_ is not None
        steps = quantised(image.read(), *ready.range_, turned=self.foreground == "bright")
        given = type(self).mean is not LocalThreshold.mean
        means = self.mean(steps * np.float32(1 / STEPS), image.grid) if given else None
        volume = (1,) * (3 - steps.ndim) + steps.shape
        classes, confidence = np.empty(volume, np.uint8), np.empty(volume, np.uint16)
        for at, mean, sd in box_strips(steps, self.box(image.grid), STEPS):
            level = self.level(mean if means is None else means.reshape(volume)[at], sd)
            decide(np.asarray(level, np.float32), sd, steps.reshape(volume)[at], classes[at], confidence[at])
        classes, confidence = classes.reshape(steps.shape), confidence.reshape(steps.shape)
        names = ("background", "foreground")
        return Semantic(classes, image.grid, names, _Probabilities(classes, confidence), confidence)


class _Probabilities:
    """The probabilities of background and foreground, made of the class and its confidence when they are read."""

    def __init__(self, classes: NDArray[np.uint8], confidence: NDArray[np.uint16]) -> None:
        self._classes, self._confidence = classes, confidence
        self.shape = (2, *classes.shape)
        self.dtype = np.dtype(np.float32)

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> NDArray[Any]:
        sure = self._confidence * np.float32(1 / 65_535)
        foreground = np.where(self._classes > 0, sure, 1 - sure)
        return np.stack([1 - foreground, foreground]).astype(dtype or self.dtype, copy=False)

    def __getitem__(self, key: Any) -> NDArray[np.float32]:
        found: NDArray[np.float32] = np.asarray(self)[key]
        return found
