"""Total variation: the image made of flat pieces that is nearest to the noisy one.

What is minimised is half the squared difference to the image plus a weight times the sum of all gradients (Rudin,
Osher & Fatemi 1992), by Chambolle's iteration (2004), stopped after a fixed number of steps. It works on objects that
are flat with sharp edges, which it makes flatter; it fails on texture and gentle slopes, which become patches and
stairs, and takes some contrast from small objects.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from segmentry.filters.noise import Denoiser
from segmentry.image import Grid

__all__ = ["TotalVariation"]


class TotalVariation(Denoiser):
    """Removes noise and keeps edges: makes an image of flat pieces."""

    name: ClassVar[str] = "total_variation"
    source: ClassVar[str] = "Chambolle 2004, doi:10.1023/B:JMIV.0000011325.36760.1e"
    strength: float = Field(
        0.75, ge=0, le=1000, description="What a gradient costs, in units of the noise; 0 leaves the image as it is."
    )
    iterations: int = Field(50, ge=1, le=500, description="Steps; more are needed for a larger strength.")

    def halo(self, grid: Grid) -> tuple[int, ...]:
        return (self.iterations,) * len(grid.spatial)

    def denoised(self, pixels: NDArray[np.float32], noise: float, grid: Grid) -> NDArray[np.float32]:
        from segmentry.kernels.total_variation import total_variation

        if not self.strength:
            return pixels
        return total_variation(pixels, self.strength * noise, self.iterations, grid.anisotropy)
