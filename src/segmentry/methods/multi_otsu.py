"""Otsu's threshold for several classes: levels that part the histogram into classes as far apart as possible.

It works where three or more materials have intensities of their own, such as air, tissue and bone. It fails where a
class is rare, or where one material is simply lit unevenly.
"""

from __future__ import annotations

from typing import ClassVar, Literal, Self

import numpy as np
from pydantic import Field

from segmentry.image import Image
from segmentry.overview import Overview
from segmentry.result import Semantic
from segmentry.step import Segmenter
from segmentry.thresholds import multi_otsu_thresholds

__all__ = ["MultiOtsu"]


class MultiOtsu(Segmenter):
    """Several classes of intensity, from the histogram: materials of different brightness."""

    name: ClassVar[str] = "multi_otsu"
    task: ClassVar[Literal["semantic"]] = "semantic"
    source: ClassVar[str] = "Liao, Chen & Chung 2001, J. Inf. Sci. Eng. 17:713-727"

    n_classes: int = Field(3, ge=2, le=8, description="Number of classes, the background included.")
    foreground: Literal["bright", "dark"] = Field(
        "bright", description="Whether the background is darkest or brightest."
    )
    levels_: tuple[float, ...] | None = Field(None, description="The intensities between the classes, ascending.")

    def prepare(self, overview: Overview) -> Self:
        return self.model_copy(update={"levels_": tuple(multi_otsu_thresholds(overview.histogram(), self.n_classes))})

    def thresholds(self) -> tuple[float, ...]:
        return self.levels_ or ()

    def segment(self, image: Image) -> Semantic:
        ready = self.prepared(image)
        pixels = image.read()
        classes = np.zeros(pixels.shape, np.uint8)
        for level in ready.levels_ or ():
            classes += pixels > level if self.foreground == "bright" else pixels <= level
        names = ("background", *(f"class {i}" for i in range(1, self.n_classes)))
        return Semantic(classes, image.grid, names)
