"""Non-local means: an average of the pixels around which the image looks alike (Buades, Coll & Morel 2005).

For one shift at a time, the squared differences between the image and the shifted image are averaged over the patch,
along one axis after the other. The work is done in blocks of rows that stay in the processor's cache.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from segmentry.kernels.decay import decay
from segmentry.kernels.jit import compiled

__all__ = ["non_local_means"]

#: Rows and planes of a block.
ROWS = 32
PLANES = 8


def non_local_means(
    pixels: NDArray[np.float32], patch: tuple[int, ...], search: tuple[int, ...], strength: float, noise: float
) -> NDArray[np.float32]:
    """Return the average of the pixels around each pixel, weighted by how alike their patches are.

    The weight is exp(-max(d - 2 noise², 0) / strength²), where d is the mean squared difference of two patches under a
    Gaussian as wide as half the patch's radius.

    Parameters
    ----------
    pixels : (Y, X) or (Z, Y, X) float32 array
    patch
        Radius of a patch along each axis; edges are mirrored.
    search
        How far along each axis pixels are looked at, within the image.
    strength
        Difference that still counts as alike, above 0.
    noise
        Standard deviation of the noise in `pixels`.
    """
    flat = (0,) * (3 - pixels.ndim)
    radius = (*flat, *patch)
    volume = np.ascontiguousarray(pixels).reshape(*(1 for _ in flat), *pixels.shape)
    padded = np.pad(volume, [(r, r) for r in radius], mode="symmetric")
    z, y, x = (_curve(r) for r in radius)
    out = np.empty(volume.shape, np.float32)
    slope, free = np.float32(1 / strength**2), np.float32(2 * noise**2)
    _average(padded, np.array((*flat, *search), np.int64), z, y, x, slope, free, out)
    return out.reshape(pixels.shape)


def _curve(radius: int) -> NDArray[np.float32]:
    """Return the weights of a patch from its middle to its edge along one axis; both sides together sum to 1."""
    steps = np.arange(radius + 1)
    curve = np.exp(-0.5 * (steps / (max(radius, 1) / 2)) ** 2)
    return np.asarray(curve / (curve[0] + 2 * curve[1:].sum()), np.float32)


@compiled
def _average(
    padded: NDArray[np.float32],
    search: NDArray[np.int64],
    along_z: NDArray[np.float32],
    along_y: NDArray[np.float32],
    along_x: NDArray[np.float32],
    slope: np.float32,
    free: np.float32,
    out: NDArray[np.float32],
) -> None:
    """Sum differences from the pixel in the middle rather than intensities, so that equal pixels stay what they are."""
    depth, height, width = out.shape
    patch = np.array([len(along_z) - 1, len(along_y) - 1, len(along_x) - 1])
    by_x = np.empty((PLANES + 2 * patch[0], ROWS + 2 * patch[1], width), np.float32)
    by_y = np.empty((ROWS, PLANES + 2 * patch[0], width), np.float32)
    weight = np.empty((PLANES, ROWS, width), np.float32)
    for z in range(0, depth, PLANES):
        for y in range(0, height, ROWS):
            last_z, last_y = min(z + PLANES, depth), min(y + ROWS, height)
            out[z:last_z, y:last_y] = 0
            weight[:] = 0
            for dz in range(-search[0], search[0] + 1):
                for dy in range(-search[1], search[1] + 1):
                    for dx in range(-search[2], search[2] + 1):
                        # The pixels of the block whose shifted pixels lie in the image.
                        first = (max(z, -dz), max(y, -dy), max(0, -dx))
                        last = (min(last_z, depth - dz), min(last_y, height - dy), min(width, width - dx))
                        if first[0] >= last[0] or first[1] >= last[1] or first[2] >= last[2]:
                            continue
                        shift = (dz, dy, dx)
                        _blur_squares(padded, first, last, shift, along_z, along_y, along_x, by_x, by_y)
                        _add(padded, first, last, shift, patch, by_y, along_z, slope, free, out, weight)
            for i in range(z, last_z):
                for j in range(y, last_y):
                    here = padded[i + patch[0], j + patch[1], patch[2] :]
                    for x in range(width):
                        out[i, j, x] = here[x] + out[i, j, x] / weight[i % PLANES, j % ROWS, x]


@compiled
def _blur_squares(
    padded: NDArray[np.float32],
    first: tuple[int, int, int],
    last: tuple[int, int, int],
    shift: tuple[int, int, int],
    along_z: NDArray[np.float32],
    along_y: NDArray[np.float32],
    along_x: NDArray[np.float32],
    by_x: NDArray[np.float32],
    by_y: NDArray[np.float32],
) -> None:
    """Average squared differences along X and Y, for all planes that the patches of a block reach."""
    width = last[2] - first[2]
    border = 2 * (len(along_x) - 1)
    squares = np.empty(width + border, np.float32)
    for z in range(last[0] - first[0] + 2 * (len(along_z) - 1)):
        for y in range(last[1] - first[1] + 2 * (len(along_y) - 1)):
            here = padded[first[0] + z, first[1] + y, first[2] :]
            there = padded[first[0] + z + shift[0], first[1] + y + shift[1], first[2] + shift[2] :]
            for x in range(width + border):
                step = here[x] - there[x]
                squares[x] = step * step
            _fold_row(squares, along_x, by_x[z, y, :width])
        for y in range(last[1] - first[1]):
            _fold_rows(by_x[z], y, along_y, by_y[y, z, :width])


@compiled
def _add(
    padded: NDArray[np.float32],
    first: tuple[int, int, int],
    last: tuple[int, int, int],
    shift: tuple[int, int, int],
    patch: NDArray[np.int64],
    by_y: NDArray[np.float32],
    along_z: NDArray[np.float32],
    slope: np.float32,
    free: np.float32,
    total: NDArray[np.float32],
    weight: NDArray[np.float32],
) -> None:
    """Add what one shift contributes to a block: the shifted pixels, weighted by the distance of the patches."""
    width = last[2] - first[2]
    distance = np.empty(width, np.float32)
    for z in range(first[0], last[0]):
        for y in range(first[1], last[1]):
            _fold_rows(by_y[y - first[1]], z - first[0], along_z, distance)
            here = padded[z + patch[0], y + patch[1], first[2] + patch[2] :]
            there = padded[z + patch[0] + shift[0], y + patch[1] + shift[1], first[2] + patch[2] + shift[2] :]
            sums, weights = total[z, y, first[2] :], weight[z % PLANES, y % ROWS, first[2] :]
            for x in range(width):
                w = decay(max(distance[x] - free, np.float32(0)) * slope)
                sums[x] += w * (there[x] - here[x])
                weights[x] += w


@compiled
def _fold_row(row: NDArray[np.float32], curve: NDArray[np.float32], out: NDArray[np.float32]) -> None:
    """Average each place of a row with its neighbours in the row."""
    middle = len(curve) - 1
    for x in range(len(out)):
        out[x] = curve[0] * row[x + middle]
    for k in range(1, len(curve)):
        before, after = row[middle - k :], row[middle + k :]
        for x in range(len(out)):
            out[x] += curve[k] * (before[x] + after[x])


@compiled
def _fold_rows(rows: NDArray[np.float32], first: int, curve: NDArray[np.float32], out: NDArray[np.float32]) -> None:
    """Average as many rows as a curve is long, from `first` on."""
    middle = first + len(curve) - 1
    row = rows[middle]
    for x in range(len(out)):
        out[x] = curve[0] * row[x]
    for k in range(1, len(curve)):
        before, after = rows[middle - k], rows[middle + k]
        for x in range(len(out)):
            out[x] += curve[k] * (before[x] + after[x])
