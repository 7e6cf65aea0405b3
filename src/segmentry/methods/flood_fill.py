"""Flood fill: all connected pixels whose intensity differs from that of the seed by no more than a tolerance.

This is the magic wand of picture editors, with a seed for each object (Smith 1979). Seeds are given, or found as the
maxima that stand out, the highest first; a found seed in a region that is there already is passed over. What several
regions reach belongs to the nearest seed, counted in steps. It works on objects of even intensity with a clear edge; it
leaks through any gap in the edge.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from segmentry.image import Grid
from segmentry.seeds import IntervalSegmenter

if TYPE_CHECKING:
    from segmentry.kernels.floods import Floods

__all__ = ["FloodFill"]


class FloodFill(IntervalSegmenter):
    """The magic wand: connected pixels within a tolerance, in units of intensity, of each seed."""

    name: ClassVar[str] = "flood_fill"
    source: ClassVar[str] = "Smith 1979, doi:10.1145/800249.807456"

    tolerance: float | None = Field(
        None,
        ge=0,
        description="How much the intensity may differ from that of the seed; none: half of the seed's difference to "
        "the mean of the background.",
    )

    def interval(self, floods: Floods, place: int, grid: Grid) -> tuple[float, float]:
        assert self.classes_ is not None
        value = float(floods.values[place])
        background = self.classes_.mean[0 if self.foreground == "bright" else 1]
        tolerance = abs(value - background) / 2 if self.tolerance is None else self.tolerance
        return value - tolerance, value + tolerance
