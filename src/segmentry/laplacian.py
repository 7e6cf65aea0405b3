"""The Laplacian of Gaussian: how far a pixel lies below the mean of its neighbourhood, at one scale."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from segmentry.filters.gaussian import TRUNCATE

__all__ = ["laplacian_of_gaussian"]


def laplacian_of_gaussian(pixels: NDArray[np.float32], sigma: Sequence[float]) -> NDArray[np.float32]:
    """Return the scale-normalised Laplacian: second derivatives of the smoothed image, each times sigma squared.

    Parameters
    ----------
    pixels : float32 array
    sigma
        Standard deviation along each axis, in pixels; edges are mirrored, bell curves cut off at 4 sigma.
    """
    from scipy.ndimage import correlate1d

    smoothed, curved = pixels, np.zeros_like(pixels)
    for axis, s in enumerate(sigma):
        bell, bend = _kernels(s)
        curved = correlate1d(curved, bell, axis, mode="reflect") if axis else curved
        curved = curved + correlate1d(smoothed, bend, axis, mode="reflect")
        smoothed = correlate1d(smoothed, bell, axis, mode="reflect") if axis + 1 < pixels.ndim else smoothed
    return np.asarray(curved)


def _kernels(sigma: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return a bell curve, and its second derivative times sigma squared.

    The second is freed from what sampling adds to it, so that a plane gives 0 and a parabola its true curvature.
    """
    radius = max(math.floor(TRUNCATE * sigma + 0.5), 1)
    at = np.arange(-radius, radius + 1)
    bell = np.exp(-0.5 * (at / sigma) ** 2)
    bell /= bell.sum()
    bend = (at**2 / sigma**2 - 1) * bell
    bend -= bend.mean()
    return bell, bend * (2 * sigma**2 / (bend * at**2).sum())
