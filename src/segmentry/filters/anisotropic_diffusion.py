"""Anisotropic diffusion: smoothing that stops at edges.

Intensities flow from pixel to pixel as heat does, but the less the steeper the step between two pixels is, so that
objects become even inside and keep their edges (Perona & Malik 1990). It works on weak to moderate noise; it fails
where the noise is as strong as the edges: single outliers stand, and weak edges are washed away by many iterations.
"""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from segmentry.errors import ParameterError
from segmentry.filters.noise import Denoiser
from segmentry.image import Grid

__all__ = ["AnisotropicDiffusion"]


class AnisotropicDiffusion(Denoiser):
    """Smooths inside objects and keeps edges: intensities flow, less over steep steps."""

    name: ClassVar[str] = "anisotropic_diffusion"
    source: ClassVar[str] = "Perona & Malik 1990, doi:10.1109/34.56205"
    contrast: float = Field(
        2.0, gt=0, le=1000, description="Step between pixels that counts as an edge, in units of the noise."
    )
    iterations: int = Field(10, ge=1, le=500, description="Steps of time; more smooth further.")
    time_step: float = Field(
        0.125, gt=0, le=0.5, description="Length of a step of time; at most 1/4 in a plane, 1/6 in a volume."
    )
    edges: Literal["exp", "fraction"] = Field(
        "exp", description="How flow falls with steepness: exp keeps strong edges, fraction keeps wide regions."
    )

    def halo(self, grid: Grid) -> tuple[int, ...]:
        most = 1 / (2 * sum(1 / s**2 for s in grid.anisotropy))
        if self.time_step > most * (1 + 1e-9):
            raise ParameterError(
                f"time_step {self.time_step:g} is not stable here: use at most {most:.3g}, and more iterations"
            )
        return (self.iterations,) * len(grid.spatial)

    def denoised(self, pixels: NDArray[np.float32], noise: float, grid: Grid) -> NDArray[np.float32]:
        from segmentry.kernels.diffusion import diffuse

        contrast = self.contrast * noise
        return diffuse(pixels, contrast, self.time_step, self.iterations, grid.anisotropy, self.edges == "exp")
