"""Sums over the pixels of each object: how many, where, how bright. One pass over labels and one channel."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from segmentry.kernels.jit import compiled

__all__ = ["add_intensities", "add_positions", "axis_lengths"]


@compiled
def add_positions(
    index: NDArray[np.uint32], start: NDArray[np.int64], corner: NDArray[np.int64], sums: NDArray[np.int64]
) -> None:
    """Add the positions of pixels, and their products, to the sums of their objects.

    Parameters
    ----------
    index : (Z, Y, X) array
        Number of the object at each pixel, 1 … n; 0 where there is none.
    start : (3,) position of the first pixel of `index` in the whole
    corner : (n + 1, 3) position from which the pixels of each object are counted, so that sums stay small
    sums : (n + 1, 10) array that is added to
        Pixels; z, y, x; zz, yy, xx; zy, zx, yx.
    """
    depth, height, width = index.shape
    for z in range(depth):
        for y in range(height):
            for x in range(width):
                k = index[z, y, x]
                if k == 0:
                    continue
                dz = z + start[0] - corner[k, 0]
                dy = y + start[1] - corner[k, 1]
                dx = x + start[2] - corner[k, 2]
                row = sums[k]
                row[0] += 1
                row[1] += dz
                row[2] += dy
                row[3] += dx
                row[4] += dz * dz
                row[5] += dy * dy
                row[6] += dx * dx
                row[7] += dz * dy
                row[8] += dz * dx
                row[9] += dy * dx


@compiled
def add_intensities(index: NDArray[np.uint32], pixels: NDArray[np.float64], sums: NDArray[np.float64]) -> None:
    """Add intensities to the sums of their objects; values that are not finite don't count.

    Parameters
    ----------
    index : (Z, Y, X) array
        Number of the object at each pixel, 1 … n; 0 where there is none.
    pixels : float64 array of the same shape
    sums : (n + 1, 6) array that is added to
        Pixels, running mean, running sum of squared differences from it (Welford 1962), lowest, highest, sum.
    """
    depth, height, width = index.shape
    for z in range(depth):
        for y in range(height):
            for x in range(width):
                k = index[z, y, x]
                value = pixels[z, y, x]
                if k == 0 or not np.isfinite(value):
                    continue
                row = sums[k]
                row[0] += 1
                step = value - row[1]
                row[1] += step / row[0]
                row[2] += step * (value - row[1])
                row[3] = min(row[3], value)
                row[4] = max(row[4], value)
                row[5] += value


def axis_lengths(sums: NDArray[np.int64], spacing: Sequence[float]) -> NDArray[np.float64]:
    """Return the full lengths of the axes of the ellipse or ellipsoid with the second moments of each object.

    Parameters
    ----------
    sums : (n, 10) array
        As :func:`add_positions` gives them, of two or three dimensions.
    spacing
        Per axis.

    Returns
    -------
    (n, axes) array, the longest axis first
    """
    ndim = len(spacing)
    count = np.maximum(sums[:, 0], 1).astype(np.float64)
    mean = sums[:, 1:4] / count[:, None]
    product = np.zeros((len(sums), 3, 3))
    for k, (i, j) in enumerate([(0, 0), (1, 1), (2, 2), (0, 1), (0, 2), (1, 2)]):
        product[:, i, j] = product[:, j, i] = sums[:, 4 + k] / count - mean[:, i] * mean[:, j]
    scale = np.array(spacing, np.float64)
    covariance = product[:, 3 - ndim :, 3 - ndim :] * scale[:, None] * scale[None, :]
    values = np.linalg.eigvalsh(covariance)[:, ::-1] if len(sums) else np.zeros((0, ndim))
    return np.asarray(np.sqrt(np.maximum(values, 0) * (16 if ndim == 2 else 20)))
