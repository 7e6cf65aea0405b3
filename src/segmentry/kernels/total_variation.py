"""Total variation: the image nearest to a given one among those that vary less (Rudin, Osher & Fatemi 1992).

Chambolle's iteration on the dual (2004): a vector per pixel, at most `weight` long, whose divergence is what is taken
away from the image. One sweep over the planes makes a step: a plane of the image is computed from the vectors, then the
vectors of the plane before it are renewed.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from segmentry.kernels.jit import compiled

__all__ = ["total_variation"]


def total_variation(
    pixels: NDArray[np.float32], weight: float, iterations: int, spacing: Sequence[float]
) -> NDArray[np.float32]:
    """Return the image u that makes the sum of (u - pixels)² / 2 + weight · |gradient of u| small.

    Parameters
    ----------
    pixels : (Y, X) or (Z, Y, X) float32 array
    weight
        How much a gradient costs, above 0; it has the unit of the intensities.
    iterations
        Steps; a pixel depends on no other further away than this many pixels.
    spacing
        Distance between pixels along each axis, 1 or more; gradients are per distance.
    """
    # A plane is laid down as rows that are planes, so that one loop serves both numbers of dimensions.
    volume = np.ascontiguousarray(pixels).reshape(len(pixels), -1, pixels.shape[-1])
    slopes = np.array([1 / s for s in (spacing[0], spacing[-2], spacing[-1])], np.float32)
    out = np.empty(volume.shape, np.float32)
    _descend(volume, slopes, np.float32(1 / (2 * pixels.ndim)), np.float32(weight), iterations, out)
    return out.reshape(pixels.shape)


@compiled
def _descend(
    image: NDArray[np.float32],
    slopes: NDArray[np.float32],
    step: np.float32,
    weight: np.float32,
    iterations: int,
    out: NDArray[np.float32],
) -> None:
    """Vectors point from a pixel to the next one; beyond the last, and where there is one row only, they are 0.

    Rows of `along_x` begin one place early with a 0; rows of `planes` end one place late with their last pixel again.
    """
    depth, height, width = image.shape
    along_z = np.zeros((depth, height, width), np.float32)
    along_y = np.zeros((depth if height > 1 else 1, height, width), np.float32)
    along_x = np.zeros((depth, height, width + 1), np.float32)
    planes = np.empty((2, height, width + 1), np.float32)
    for _ in range(iterations):
        for z in range(depth + 1):
            plane, before = planes[z % 2], planes[(z + 1) % 2]
            if z < depth:
                _renew_plane(image[z], along_z, along_y[z % len(along_y)], along_x[z], z, slopes, plane)
                plane[:, width] = plane[:, width - 1]
            if z > 0:
                following = plane if z < depth else before
                vectors = along_z[z - 1], along_y[(z - 1) % len(along_y)], along_x[z - 1]
                _renew_vectors(before, following, *vectors, slopes, step, weight)
    for z in range(depth):
        _renew_plane(image[z], along_z, along_y[z % len(along_y)], along_x[z], z, slopes, out[z])


@compiled
def _renew_plane(
    image: NDArray[np.float32],
    along_z: NDArray[np.float32],
    along_y: NDArray[np.float32],
    along_x: NDArray[np.float32],
    z: int,
    slopes: NDArray[np.float32],
    out: NDArray[np.float32],
) -> None:
    """Take the divergence of the vectors away from a plane of the image."""
    zero = np.zeros(image.shape[1], np.float32)
    for y in range(len(image)):
        last_z = along_z[z - 1, y] if z > 0 else zero
        last_y = along_y[y - 1] if y > 0 else zero
        _renew_row(image[y], along_z[z, y], last_z, along_y[y], last_y, along_x[y, 1:], along_x[y], slopes, out[y])


@compiled
def _renew_row(
    image: NDArray[np.float32],
    along_z: NDArray[np.float32],
    last_z: NDArray[np.float32],
    along_y: NDArray[np.float32],
    last_y: NDArray[np.float32],
    along_x: NDArray[np.float32],
    last_x: NDArray[np.float32],
    slopes: NDArray[np.float32],
    out: NDArray[np.float32],
) -> None:
    slope_z, slope_y, slope_x = slopes[0], slopes[1], slopes[2]
    for x in range(len(image)):
        inwards = slope_z * (last_z[x] - along_z[x])
        inwards += slope_y * (last_y[x] - along_y[x])
        inwards += slope_x * (last_x[x] - along_x[x])
        out[x] = image[x] + inwards


@compiled
def _renew_vectors(
    plane: NDArray[np.float32],
    following: NDArray[np.float32],
    along_z: NDArray[np.float32],
    along_y: NDArray[np.float32],
    along_x: NDArray[np.float32],
    slopes: NDArray[np.float32],
    step: np.float32,
    weight: np.float32,
) -> None:
    """Move the vectors of a plane along the gradient of the image, and back into the ball of radius `weight`."""
    height, width = along_z.shape
    shrink = np.empty(width, np.float32)
    for y in range(height):
        here, next_z, next_y = plane[y], following[y], plane[min(y + 1, height - 1)]
        _shrink(here, next_z, next_y, slopes, step / weight, shrink)
        _pull(along_z[y], here, next_z, step * slopes[0], shrink)
        if height > 1:
            _pull(along_y[y], here, next_y, step * slopes[1], shrink)
        _pull(along_x[y, 1:], here, here[1:], step * slopes[2], shrink)


@compiled
def _shrink(
    row: NDArray[np.float32],
    next_z: NDArray[np.float32],
    next_y: NDArray[np.float32],
    slopes: NDArray[np.float32],
    rate: np.float32,
    out: NDArray[np.float32],
) -> None:
    """Say for each pixel of a row by how much its vector is to be shortened, from the gradient of the image."""
    following = row[1:]
    slope_z, slope_y, slope_x = slopes[0], slopes[1], slopes[2]
    for x in range(len(following)):
        down = slope_z * (next_z[x] - row[x])
        aside = slope_y * (next_y[x] - row[x])
        ahead = slope_x * (following[x] - row[x])
        out[x] = np.reciprocal(np.float32(1) + rate * np.sqrt(down * down + aside * aside + ahead * ahead))


@compiled
def _pull(
    along: NDArray[np.float32],
    row: NDArray[np.float32],
    following: NDArray[np.float32],
    step: np.float32,
    shrink: NDArray[np.float32],
) -> None:
    """Move one component of the vectors of a row along the gradient of the image, and shorten it."""
    for x in range(len(along)):
        along[x] = (along[x] - step * (following[x] - row[x])) * shrink[x]
