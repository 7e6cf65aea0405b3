"""The density of objects at each pixel, by a model that learned from dots.

The image becomes a map of how many objects there are per pixel; its sum over any part is about their number there. It
is the model of the analysis `density_counting`: the map shows where it sees objects, and where it is wrong. Train it
with `segmentry train density_counting`.
"""

from __future__ import annotations

from typing import ClassVar

from segmentry.image import Grid, Image
from segmentry.step import Filter
from segmentry.trained_models import Computed, DensityStep

__all__ = ["Density"]


class Density(DensityStep, Filter):
    """Turns an image into objects per pixel, as a model trained on dots sees them."""

    name: ClassVar[str] = "density"
    colour: ClassVar[bool] = True
    source: ClassVar[str] = "Berg et al. 2019, doi:10.1038/s41592-019-0582-9"

    def halo(self, grid: Grid) -> tuple[int, ...]:
        return self.reach(grid)

    def view(self, image: Image) -> Image:
        known = self.knowledge()
        known.picked(image)
        found = Computed(image, known.halo, known.density)
        return Image(found, image.grid.without("C"), (), image.name, image.provenance)
