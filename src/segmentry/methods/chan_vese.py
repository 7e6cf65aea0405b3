"""Chan–Vese: two regions, each as even as possible, with as short an outline as that allows.

A landscape over the image rises where a pixel is nearer to the mean intensity of the objects than to that of the
background, and its coast shortens itself; where it rests, land is object (Chan & Vese 2001, in the scheme of Getreuer
2012). It works on noisy and blurred objects without sharp edges, down to parts of a pixel; it fails where light is
uneven, as each region has one mean.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from segmentry.image import Grid
from segmentry.two_phases import TwoPhases, checkerboard

__all__ = ["ChanVese"]


class ChanVese(TwoPhases):
    """Finds noisy or blurred objects without sharp edges: two even regions with a short outline."""

    name: ClassVar[str] = "chan_vese"
    source: ClassVar[str] = "Chan & Vese 2001, doi:10.1109/83.902291"

    mu: float = Field(
        0.25, ge=0, le=1000, description="What outline costs: more makes it smoother and drops small objects."
    )
    lambda1: float = Field(1.0, gt=0, le=1000, description="How much objects must be of one intensity.")
    lambda2: float = Field(1.0, gt=0, le=1000, description="How much the background must be of one intensity.")
    step: float = Field(0.5, gt=0, le=100, description="Length of a step in time; long ones may overshoot.")
    tolerance: float = Field(
        1e-3, ge=0, le=1, description="It rests when a step changes the landscape by no more (root mean square)."
    )
    iterations: int = Field(500, ge=0, le=10_000, description="Steps at most.")
    start: Literal["otsu", "checkerboard"] = Field(
        "otsu",
        description="The first landscape: height over Otsu's threshold, or hills and lakes of 5 pixels all over.",
    )

    def region(self, pixels: NDArray[Any], grid: Grid) -> NDArray[np.bool_]:
        from segmentry.kernels.level_set import evolve

        scaled = self.scaled(pixels)
        first = scaled - np.float32(self.level) if self.start == "otsu" else checkerboard(grid.shape)
        weights = (self.mu, self.lambda1, self.lambda2)
        landscape = evolve(scaled, first, grid.anisotropy, weights, self.step, self.tolerance, self.iterations)
        return self.objects(landscape > 0, scaled)
