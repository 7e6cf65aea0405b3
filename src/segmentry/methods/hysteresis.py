"""Two thresholds: an object is connected above the lower one and reaches the higher one somewhere.

It works on objects that fade towards their edge or along their length, such as vessels, filaments and dim cells: the
high level decides which are real, the low one how far they reach. It fails where the low level joins everything.
"""

from __future__ import annotations

from typing import ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from segmentry.image import Image
from segmentry.length import Size
from segmentry.overview import Overview
from segmentry.result import Instances
from segmentry.step import Segmenter
from segmentry.thresholds import TwoClasses, two_classes

__all__ = ["Hysteresis"]


class Hysteresis(Segmenter):
    """Objects above a low threshold that somewhere reach a high one: fading cells, vessels, filaments."""

    name: ClassVar[str] = "hysteresis"
    task: ClassVar[Literal["instances"]] = "instances"
    source: ClassVar[str] = "Canny 1986, doi:10.1109/TPAMI.1986.4767851"

    low: float | None = Field(None, description="Intensity that every pixel exceeds; none: half-way down from high.")
    high: float | None = Field(None, description="Intensity that some pixel of an object exceeds; none: Otsu's.")
    connectivity: Literal["corners", "faces"] = Field(
        "corners",
        description="Whether pixels touch that share only a corner or an edge, or only those that share a face.",
    )
    min_core: Size = Field(
        Size(1.0), description="Smallest area or volume that exceeds high in one piece for an object to be real."
    )
    classes_: TwoClasses | None = Field(None, description="The high threshold and the classes that it separates.")

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.low is not None and self.high is not None and self.low > self.high:
            raise ValueError(f"low ({self.low:g}) must not exceed high ({self.high:g})")
        return self

    def prepare(self, overview: Overview) -> Self:
        return self.model_copy(update={"classes_": two_classes(overview.histogram(), self.high)})

    def thresholds(self) -> tuple[float, ...]:
        return () if self.classes_ is None else (self._low(self.classes_), self.classes_.threshold)

    def segment(self, image: Image) -> Instances:
        from segmentry.kernels.components import label_components

        ready = self.prepared(image)
        assert ready.classes_ is not None
        pixels = image.read()
        full = self.connectivity == "corners"
        labels, count = label_components(pixels > ready._low(ready.classes_), full)
        strong = np.zeros(count + 1, np.bool_)
        strong[labels[ready._cores(pixels > ready.classes_.threshold, image, full)]] = True
        strong[0] = False
        sums = np.bincount(labels.ravel(), weights=ready.classes_.above(pixels).ravel(), minlength=count + 1)
        scores = (sums / np.maximum(np.bincount(labels.ravel(), minlength=count + 1), 1))[1:].astype(np.float32)
        ids = np.arange(1, count + 1, dtype=np.uint32)
        return Instances(labels, image.grid, ids, scores).keep(strong[1:]).renumbered()

    def _cores(self, above: NDArray[np.bool_], image: Image, full: bool) -> NDArray[np.bool_]:
        """Return the pixels above the high threshold of which enough lie in one piece."""
        from segmentry.kernels.components import label_components

        least = self.min_core.count(image.grid)
        if least <= 1:
            return above
        cores, count = label_components(above, full)
        large = np.bincount(cores.ravel(), minlength=count + 1) >= least
        large[0] = False
        return large[cores]

    def _low(self, classes: TwoClasses) -> float:
        """Return the low threshold: as given, or half-way from the high one to the mean of the background."""
        if self.low is not None:
            return min(self.low, classes.threshold)
        return (classes.threshold + classes.mean[0]) / 2
