"""Pixels told apart by a classifier that learned from a few strokes, as in ilastik.

Each pixel is described by its surroundings at several scales: how bright they are, how steep, how much like an edge, a
spot or a line. A random forest, which was trained on pixels that somebody painted, gives the probability of each class.
It works where objects differ from the background in texture, in colour or in shades that no threshold parts, and needs
one model per kind of image; it fails where classes look the same within the largest scale. Train it with `segmentry
train pixel_classifier`, or give a project of ilastik.
"""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from segmentry.errors import ParameterError, nearest
from segmentry.image import Grid, Image
from segmentry.result import Semantic
from segmentry.step import Segmenter
from segmentry.trained_models import PixelStep

__all__ = ["PixelClassifier"]


class PixelClassifier(PixelStep, Segmenter):
    """Classes learned from strokes: texture, colour and shades, by a random forest, as ilastik does it."""

    name: ClassVar[str] = "pixel_classifier"
    task: ClassVar[Literal["semantic"]] = "semantic"
    colour: ClassVar[bool] = True
    source: ClassVar[str] = "Berg et al. 2019, doi:10.1038/s41592-019-0582-9"

    background: str = Field(
        default="", max_length=1000, description="Class that is no object; empty: that called background, or the first."
    )

    def halo(self, grid: Grid) -> tuple[int, ...]:
        return self.reach(grid)

    def segment(self, image: Image) -> Semantic:
        known = self.knowledge()
        order = self._order(known.names)
        probabilities = known.probabilities(image)[order]
        classes = probabilities.argmax(axis=0).astype(np.uint8)
        grid = image.grid.without("C")
        return Semantic(classes, grid, tuple(known.names[i] for i in order), probabilities)

    def _order(self, names: tuple[str, ...]) -> list[int]:
        """Return the classes with the background first."""
        if self.background and self.background not in names:
            raise ParameterError(
                f"{self.name}.background: the model has no class {self.background!r}{nearest(self.background, names)}"
            )
        called = self.background or next((n for n in names if n.strip().lower() == "background"), names[0])
        first = names.index(called)
        return [first, *(i for i in range(len(names)) if i != first)]
