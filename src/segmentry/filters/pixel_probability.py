"""The probability of one class at each pixel, by a classifier that learned from strokes.

The image becomes a map of how likely each pixel is of that class, 0 … 1, which any method takes from there: a watershed
parts objects that touch, two thresholds (`hysteresis`) leave out what is nowhere sure. It is the model of the method
`pixel_classifier`.
"""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from segmentry.errors import ParameterError, nearest
from segmentry.image import Grid, Image
from segmentry.step import Filter
from segmentry.trained_models import Computed, PixelStep

__all__ = ["PixelProbability"]


class PixelProbability(PixelStep, Filter):
    """Turns an image into the probability of a class that a trained pixel classifier knows."""

    name: ClassVar[str] = "pixel_probability"
    colour: ClassVar[bool] = True
    source: ClassVar[str] = "Berg et al. 2019, doi:10.1038/s41592-019-0582-9"

    of: str = Field(default="", max_length=1000, description="The class; empty: the last.")
    channel: str = Field(
        default="", max_length=1000, description="The channel to look at; empty: those that the model knows, or all."
    )

    def seen(self, image: Image) -> Image:
        return image.channel(self.channel) if self.channel else image

    def halo(self, grid: Grid) -> tuple[int, ...]:
        return self.reach(grid)

    def view(self, image: Image) -> Image:
        known, seen = self.knowledge(), self.seen(image)
        known.picked(seen)
        if self.of and self.of not in known.names:
            raise ParameterError(f"{self.name}.of: the model has no class {self.of!r}{nearest(self.of, known.names)}")
        number = known.names.index(self.of) if self.of else len(known.names) - 1
        found = Computed(seen, known.halo, lambda window: known.probabilities(window)[number])
        return Image(found, image.grid.without("C"), (), image.name, image.provenance)
