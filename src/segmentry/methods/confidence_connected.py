"""Confidence connected: a region takes in what lies within some standard deviations of its own mean.

It starts with mean and spread of a box around the seed, takes all connected pixels within `multiplier` spreads of the
mean, and does so again with mean and spread of the region that it found, some times over (the filter of this name in
ITK). Seeds are given, or found as the maxima that stand out, the highest first; a found seed in a region that is there
already is passed over, and the region of a found seed does not cross Otsu's threshold. What several regions reach
belongs to the nearest seed, counted in steps. It works on tissue of one kind of intensity; with a large multiplier it
leaks into what is around, with a small one it leaves holes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from segmentry.errors import ParameterError
from segmentry.image import Grid
from segmentry.length import Length
from segmentry.seeds import IntervalSegmenter

if TYPE_CHECKING:
    from segmentry.kernels.floods import Floods

__all__ = ["ConfidenceConnected"]

MAX_RADIUS = 50


class ConfidenceConnected(IntervalSegmenter):
    """Grows objects from seeds to what lies within some standard deviations of their own mean."""

    name: ClassVar[str] = "confidence_connected"
    source: ClassVar[str] = "Ibáñez et al. 2005, The ITK Software Guide"

    multiplier: float = Field(
        3.0, gt=0, le=100, description="How many standard deviations from the mean a pixel may lie."
    )
    iterations: int = Field(4, ge=0, le=100, description="How often mean and spread are taken of the region anew.")
    radius: Length = Field(
        Length(2.0), description="Half the width of the box around a seed for the first mean; 1 pixel or more."
    )

    def interval(self, floods: Floods, place: int, grid: Grid) -> tuple[float, float]:
        box = tuple(max(1, round(r)) for r in self.radius.pixels(grid))
        if max(box) > MAX_RADIUS:
            raise ParameterError(f"radius {self.radius} is {max(box)} pixels here; at most {MAX_RADIUS} work")
        value = float(floods.values[place])
        lower, upper = self._around(floods.box(place, box), value)
        for _ in range(self.iterations):
            before = lower, upper
            lower, upper = self._around(floods.values[floods.flood(place, lower, upper)], value)
            if (lower, upper) == before:
                break
        return lower, upper

    def _around(self, values: NDArray[np.float32], seed: float) -> tuple[float, float]:
        """Return the interval around the mean of some values, widened to hold the seed."""
        assert self.classes_ is not None
        mean = float(values.mean(dtype=np.float64))
        sd = float(values.std(dtype=np.float64, ddof=1)) if len(values) > 1 else 0.0
        lower, upper = mean - self.multiplier * sd, mean + self.multiplier * sd
        if self.seeds is None and self.foreground == "bright":
            lower = max(lower, self.classes_.threshold)
        elif self.seeds is None:
            upper = min(upper, self.classes_.threshold)
        return min(lower, seed), max(upper, seed)
