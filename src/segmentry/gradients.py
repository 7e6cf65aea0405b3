"""Slopes of an image: how steeply intensities rise at each pixel, and which slopes occur in the whole image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from segmentry.filters.gaussian import reach, sigma_pixels, smooth
from segmentry.image import Grid
from segmentry.length import Length
from segmentry.overview import Histogram, Overview
from segmentry.step import Filter

__all__ = ["Steepness", "histogram_after", "slopes", "steepness"]

#: Filtered images of up to this many values are computed once; larger ones are streamed once per statistic.
IN_MEMORY_VALUES = 2**26


def slopes(pixels: NDArray[np.float32], spacing: Sequence[float]) -> NDArray[np.float32]:
    """Return the slope along each axis, axes first: Sobel's weighted differences, as intensity per unit of `spacing`.

    Along the other axes neighbours are averaged with the weights 1, 2, 1; edges are mirrored.
    """
    from scipy.ndimage import sobel

    found = np.empty((pixels.ndim, *pixels.shape), np.float32)
    for axis, step in enumerate(spacing):
        sobel(pixels, axis, output=found[axis], mode="reflect")
        found[axis] /= np.float32(2 * 4 ** (pixels.ndim - 1) * step)
    return found


def steepness(slope: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the length of the gradient, of slopes along each axis."""
    squared = np.zeros(slope.shape[1:], np.float32)
    for part in slope:
        squared += part * part
    return np.sqrt(squared, out=squared)


class Steepness(Filter):
    """The length of the gradient of the smoothed image, in intensity per pixel of the finest axis."""

    name: ClassVar[str] = "steepness"

    sigma: Length = Length(1.0)

    def halo(self, grid: Grid) -> tuple[int, ...]:
        return tuple(r + 1 for r in reach(sigma_pixels(self.sigma, grid)))

    def plane(self, pixels: NDArray[np.float32], grid: Grid, channel: int) -> NDArray[np.float32]:
        return steepness(slopes(smooth(pixels, sigma_pixels(self.sigma, grid)), grid.anisotropy))


def histogram_after(step: Filter, overview: Overview) -> Histogram:
    """Return the histogram of the whole image as a filter that needs no learning makes it."""
    view = step.view(overview.image)
    return Overview(view.load() if view.grid.size <= IN_MEMORY_VALUES else view).histogram()
