"""Morphological Chan–Vese: two regions, each as even as possible, with a smooth outline, by steps on whole pixels.

At the outline each pixel goes to the region whose mean intensity is nearer; then the outline is smoothed by filling
hollows and taking off what sticks out. Both are repeated until nothing changes (Márquez-Neila, Baumela & Álvarez 2014).
It is many times faster than the level set of `chan_vese` and nearly the same. It works on noisy objects without sharp
edges; it fails where light is uneven, as each region has one mean.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from segmentry.image import Grid
from segmentry.two_phases import TwoPhases, checkerboard

__all__ = ["MorphologicalChanVese"]


class MorphologicalChanVese(TwoPhases):
    """Cleans up noisy objects with smooth outlines, fast: two regions as even as possible."""

    name: ClassVar[str] = "morphological_chan_vese"
    source: ClassVar[str] = "Márquez-Neila, Baumela & Álvarez 2014, doi:10.1109/TPAMI.2013.106"

    iterations: int = Field(200, ge=0, le=10_000, description="Steps at most; fewer where nothing changes any more.")
    smoothing: int = Field(1, ge=0, le=20, description="How often the outline is smoothed in each step.")
    lambda1: float = Field(1.0, gt=0, le=1000, description="How much objects must be of one intensity.")
    lambda2: float = Field(1.0, gt=0, le=1000, description="How much the background must be of one intensity.")
    start: Literal["otsu", "checkerboard"] = Field(
        "otsu", description="The first outline: by Otsu's threshold, or squares of 5 pixels all over."
    )

    def region(self, pixels: NDArray[Any], grid: Grid) -> NDArray[np.bool_]:
        from segmentry.kernels.curvature import MovingRegion

        scaled = self.scaled(pixels)
        first = self.otsu(pixels) if self.start == "otsu" else checkerboard(grid.shape) > 0
        region = MovingRegion(first, self.fine_axes(grid))

        def step() -> None:
            region.follow_means(scaled, self.lambda1, self.lambda2)
            for _ in range(self.smoothing):
                region.smooth()

        return self.objects(region.run(step, self.iterations), scaled)
