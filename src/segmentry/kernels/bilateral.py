"""Bilateral smoothing: an average of near pixels, less the more they differ (Tomasi & Manduchi 1998)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from segmentry.kernels.decay import decay
from segmentry.kernels.jit import compiled

__all__ = ["bilateral"]


def bilateral(
    pixels: NDArray[np.float32], sigma: tuple[float, ...], reach: tuple[int, ...], tolerance: float
) -> NDArray[np.float32]:
    """Return the average of the box around each pixel, weighted by a Gaussian of distance and one of difference.

    Parameters
    ----------
    pixels : (Y, X) or (Z, Y, X) float32 array
    sigma
        Standard deviation of the Gaussian of distance along each axis, in pixels.
    reach
        Half the width of the box along each axis; edges are mirrored.
    tolerance
        Standard deviation of the Gaussian of difference, above 0.
    """
    flat = 3 - pixels.ndim
    padded = np.pad(pixels[(None,) * flat], [(r, r) for r in (*(0,) * flat, *reach)], mode="symmetric")
    z, y, x = (_curve(s, r) for s, r in zip((*(0.0,) * flat, *sigma), (*(0,) * flat, *reach), strict=True))
    out = np.empty((*(1,) * flat, *pixels.shape), np.float32)
    _bilateral(padded, z, y, x, np.float32(0.5 / tolerance**2), out)
    return out.reshape(pixels.shape)


def _curve(sigma: float, reach: int) -> NDArray[np.float32]:
    """Return the weights of the pixels along one axis."""
    steps = np.arange(-reach, reach + 1)
    return np.exp(-0.5 * (steps / sigma) ** 2).astype(np.float32) if reach else np.ones(1, np.float32)


@compiled
def _bilateral(
    padded: NDArray[np.float32],
    along_z: NDArray[np.float32],
    along_y: NDArray[np.float32],
    along_x: NDArray[np.float32],
    sharpness: np.float32,
    out: NDArray[np.float32],
) -> None:
    """Sum differences from the pixel in the middle rather than intensities, so that equal pixels stay what they are."""
    depth, height, width = out.shape
    middle_z, middle_y, middle_x = len(along_z) // 2, len(along_y) // 2, len(along_x) // 2
    total = np.empty(width, np.float32)
    weight = np.empty(width, np.float32)
    for z in range(depth):
        for y in range(height):
            centre = padded[z + middle_z, y + middle_y, middle_x : middle_x + width]
            total[:] = 0
            weight[:] = 0
            for dz in range(len(along_z)):
                for dy in range(len(along_y)):
                    for dx in range(len(along_x)):
                        near = along_z[dz] * along_y[dy] * along_x[dx]
                        other = padded[z + dz, y + dy, dx : dx + width]
                        for x in range(width):
                            step = other[x] - centre[x]
                            w = near * decay(step * step * sharpness)
                            total[x] += w * step
                            weight[x] += w
            for x in range(width):
                out[z, y, x] = centre[x] + total[x] / weight[x]
