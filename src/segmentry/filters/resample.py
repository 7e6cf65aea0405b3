"""Resampling to another pixel size: linear between pixels, averaged where pixels become larger.

Each new pixel is a weighted mean of old ones under a triangle as wide as the larger of the two pixels.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import ClassVar

from pydantic import Field

from segmentry.errors import ParameterError
from segmentry.image import Grid, Image
from segmentry.length import Length
from segmentry.resampling import Interpolated
from segmentry.step import Filter

__all__ = ["Resample"]


class Resample(Filter):
    """Gives all pixels one size: isotropic, or a spacing asked for. Labels return to the original pixels."""

    name: ClassVar[str] = "resample"
    spacing: Length | None = Field(
        None, description="New distance between pixels, such as '0.5 um'; none: that of the finest axis (isotropic)."
    )

    def target(self, grid: Grid) -> Grid:
        """Return the resampled grid, which covers the same extent.

        Raises
        ------
        ParameterError
            When the image has no pixel size, the spacing has no unit, or the result would be absurdly large.
        """
        if grid.spacing is None:
            raise ParameterError("resample needs an image with a pixel size: give it (--spacing 0.5,0.5um)")
        if self.spacing is not None and (self.spacing.unit is None or self.spacing.value == 0):
            raise ParameterError(f"resample.spacing ({self.spacing}) must be a length with a unit, like '0.5 um'")
        finest = min(grid.spacing)
        zoom = [1 / p for p in self.spacing.pixels(grid)] if self.spacing else [s / finest for s in grid.spacing]
        sizes = [max(1, round(n * z)) for n, z in zip(grid.spatial_shape, zoom, strict=True)]
        if max(sizes) > 2**20 or math.prod(sizes) > 64 * max(math.prod(grid.spatial_shape), 2**20):
            raise ParameterError(f"resample.spacing ({self.spacing}) would make {sizes} pixels of {grid.spatial_shape}")
        by_axis = dict(zip(grid.spatial, sizes, strict=True))
        spacing = tuple(s * n / m for s, n, m in zip(grid.spacing, grid.spatial_shape, sizes, strict=True))
        shape = tuple(by_axis.get(a, n) for a, n in zip(grid.axes, grid.shape, strict=True))
        return replace(grid, shape=shape, spacing=spacing, affine=None)

    def view(self, image: Image) -> Image:
        target = self.target(image.grid)
        return image.with_data(Interpolated(image.data, target.shape), target)
