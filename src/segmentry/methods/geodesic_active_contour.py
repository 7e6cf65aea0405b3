"""Geodesic active contour: an outline that shrinks or grows until edges of the image hold it.

A landscape is low at edges (the inverse of the gradient) and high on even ground. A balloon force moves the outline
over even ground, the landscape pulls it into its valleys, and smoothing keeps it short (Caselles, Kimmel & Sapiro 1997;
in steps on whole pixels by Márquez-Neila, Baumela & Álvarez 2014). It starts outside the objects that Otsu's threshold
sees and shrinks, or at given seeds and grows. It works on objects with clear edges, whatever their intensities; it
fails where an edge has gaps wider than the objects' details, through which it slips.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from segmentry.image import Grid
from segmentry.length import Length
from segmentry.two_phases import TwoPhases, blurred, fine_pixels, placed

__all__ = ["GeodesicActiveContour"]


class GeodesicActiveContour(TwoPhases):
    """Draws an outline tight around objects with clear edges, or blows it up from seeds inside them."""

    name: ClassVar[str] = "geodesic_active_contour"
    source: ClassVar[str] = "Caselles, Kimmel & Sapiro 1997, doi:10.1023/A:1007979827043"

    seeds: tuple[tuple[int, ...], ...] | None = Field(
        None, description="Positions (row, column) or (plane, row, column) to grow from; none: shrink from outside."
    )
    margin: Length = Field(
        Length(4.0), description="How far around objects (or seeds, if these are given) the outline starts."
    )
    sigma: Length = Field(Length(1.5), description="Smoothing before edges are looked for.")
    alpha: float = Field(100.0, gt=0, le=1e6, description="How steeply the landscape falls towards edges.")
    edge: float = Field(
        0.3,
        gt=0,
        le=10,
        description="Slope that holds the balloon, as a share of the usual one at the outline of Otsu's threshold.",
    )
    balloon: float | None = Field(
        None, ge=-100, le=100, description="Force outwards (inwards if negative); none: 1 from seeds, -1 otherwise."
    )
    smoothing: int = Field(1, ge=0, le=20, description="How often the outline is smoothed in each step.")
    iterations: int = Field(300, ge=0, le=10_000, description="Steps at most; fewer where nothing changes any more.")

    def region(self, pixels: NDArray[Any], grid: Grid) -> NDArray[np.bool_]:
        from segmentry.kernels.curvature import MovingRegion

        smoothed = blurred(self.scaled(pixels), self.sigma, grid)
        gradient = _gradient(smoothed, grid)
        landscape = np.asarray(self._height(gradient), np.float32)
        force = self.balloon if self.balloon is not None else (-1.0 if self.seeds is None else 1.0)
        usual = _usual(gradient, smoothed > self.level)
        free = landscape > self._height(self.edge * usual) / abs(force or 1)
        slope = _slope(landscape, grid)
        region = MovingRegion(self._first(smoothed, grid), self.fine_axes(grid))

        def step() -> None:
            if force:
                region.spread(free, grow=force > 0)
            region.follow_slope(slope)
            for _ in range(self.smoothing):
                region.smooth()

        return region.run(step, self.iterations)

    def _height(self, gradient: Any) -> Any:
        return 1 / np.sqrt(1 + np.float32(self.alpha) * gradient)

    def _first(self, image: NDArray[np.float32], grid: Grid) -> NDArray[np.bool_]:
        from segmentry.kernels.distance import distance_to_background

        if self.seeds is None:
            inside = image > self.level
        else:
            inside = np.zeros(grid.shape, np.bool_)
            inside[placed(self.name, self.seeds, grid)] = True
        return np.asarray(distance_to_background(~inside, grid.anisotropy) <= fine_pixels(self.margin, grid))


def _gradient(image: NDArray[np.float32], grid: Grid) -> NDArray[np.float32]:
    """Return how steep an image is at each pixel, per pixel of the finest axis."""
    squared: NDArray[np.float32] = np.zeros(image.shape, np.float32)
    for axis, step in enumerate(grid.anisotropy):
        if image.shape[axis] > 1:
            squared += (np.gradient(image, axis=axis) / np.float32(step)) ** 2
    return np.sqrt(squared)


def _usual(gradient: NDArray[np.float32], mask: NDArray[np.bool_]) -> float:
    """Return the gradient that the middle one of all pixels at the outline of a mask has; 0 where there is none."""
    outline = np.zeros(mask.shape, np.bool_)
    for axis in range(mask.ndim):
        inside, along = np.moveaxis(mask, axis, 0), np.moveaxis(outline, axis, 0)
        changes = inside[1:] != inside[:-1]
        along[1:] |= changes
        along[:-1] |= changes
    return float(np.median(gradient[outline])) if outline.any() else 0.0


def _slope(landscape: NDArray[np.float32], grid: Grid) -> NDArray[np.float32]:
    """Return the slope along each axis; doubled at the edge, where the region's own is seen by half."""
    slopes = np.zeros((landscape.ndim, *landscape.shape), np.float32)
    for axis, step in enumerate(grid.anisotropy):
        if landscape.shape[axis] > 1:
            slopes[axis] = np.gradient(landscape, axis=axis) / np.float32(step**2)
            edge = np.moveaxis(slopes[axis], axis, 0)
            edge[0] *= 2
            edge[-1] *= 2
    return slopes
