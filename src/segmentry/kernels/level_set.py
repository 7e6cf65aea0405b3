"""Chan–Vese's level set: a smooth landscape whose coast parts an image into two regions, each as even as possible.

The semi-implicit scheme of Getreuer 2012 (doi:10.5201/ipol.2012.g-cv) for any number of dimensions and any spacing. The
landscape is padded by one pixel that repeats its edge and laid flat; the loops go row by row over all of a row at once.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from segmentry.kernels.jit import compiled

__all__ = ["evolve"]

#: Added to squared slopes, so that even ground has no infinite curvature.
TINY = 1e-16


def evolve(
    image: NDArray[np.float32],
    landscape: NDArray[np.float32],
    spacing: Sequence[float],
    weights: tuple[float, float, float],
    step: float,
    tolerance: float,
    iterations: int,
) -> NDArray[np.float32]:
    """Move a landscape until it rests; land (above 0) is the one region, water the other.

    Parameters
    ----------
    image : float32 array
    landscape : float32 array of the same shape
        Where to start.
    spacing
        Pixel size per axis.
    weights
        Of the length of the coast, of the spread of intensities on land, and of that in water.
    step
        Length of a step in time.
    tolerance
        The landscape rests when a step changes it by no more than this (root of the mean square).
    iterations
        Steps at most.

    Returns
    -------
    float32 array of the same shape.
    """
    shape = tuple(n + 2 for n in image.shape)
    inner = tuple(slice(1, -1) for _ in shape)
    now = np.pad(landscape.astype(np.float32), 1, mode="edge")
    after = np.zeros(shape, np.float32)
    strides = np.array([int(np.prod(shape[i + 1 :])) for i in range(len(shape))])
    lines = np.indices((*image.shape[:-1], 1)).reshape(len(shape), -1) + 1
    starts = np.asarray(strides @ lines, np.int64)
    rows = np.ascontiguousarray(image).reshape(len(starts), -1)
    scale = (1 / np.asarray(spacing, np.float64)).astype(np.float32)
    mu, on_land, in_water = (np.float32(w) for w in weights)
    for _ in range(iterations):
        total, land, count = _sums(now.reshape(-1), rows, starts)
        means = np.float32(land / max(count, 1)), np.float32((total - land) / max(image.size - count, 1))
        change = _step(
            now.reshape(-1), after.reshape(-1), rows, starts, strides.astype(np.int64), scale,
            means[0], means[1], mu, on_land, in_water, np.float32(step),
        )  # fmt: skip
        now, after = after, now
        for axis in range(now.ndim):
            edge = np.moveaxis(now, axis, 0)
            edge[0], edge[-1] = edge[1], edge[-2]
        if change <= tolerance**2 * image.size:
            break
    return now[inner].copy()


@compiled
def _sums(
    landscape: NDArray[np.float32], image: NDArray[np.float32], starts: NDArray[np.int64]
) -> tuple[float, float, int]:
    """Return the sum of an image, its sum on land, and the number of pixels on land."""
    width = image.shape[1]
    total = np.zeros(width)
    land = np.zeros(width)
    count = np.zeros(width, np.int64)
    for r in range(image.shape[0]):
        row, height = image[r], landscape[starts[r] : starts[r] + width]
        for x in range(width):
            above = height[x] > 0
            total[x] += row[x]
            land[x] += row[x] * above
            count[x] += above
    return total.sum(), land.sum(), count.sum()


@compiled
def _step(
    source: NDArray[np.float32], target: NDArray[np.float32], image: NDArray[np.float32], starts: NDArray[np.int64],
    strides: NDArray[np.int64], scale: NDArray[np.float32], land: np.float32, water: np.float32, mu: np.float32,
    on_land: np.float32, in_water: np.float32, step: np.float32,
) -> float:  # fmt: skip
    """Write the landscape after a step, and return the sum of squares by which it changed."""
    width = image.shape[1]
    none, half, one, tiny = np.float32(0), np.float32(0.5), np.float32(1), np.float32(TINY)
    slopes = np.empty(width, np.float32)
    pull = np.empty(width, np.float32)
    stiff = np.empty(width, np.float32)
    changed = np.zeros(width)
    for r in range(image.shape[0]):
        start = starts[r]
        here, row, out = source[start : start + width], image[r], target[start : start + width]
        slopes[:] = 0
        pull[:] = 0
        stiff[:] = 0
        for axis in range(strides.size):
            back = source[start - strides[axis] : start - strides[axis] + width]
            ahead = source[start + strides[axis] : start + strides[axis] + width]
            for x in range(width):
                slopes[x] += (half * scale[axis] * (ahead[x] - back[x])) ** 2
        for axis in range(strides.size):
            back = source[start - strides[axis] : start - strides[axis] + width]
            ahead = source[start + strides[axis] : start + strides[axis] + width]
            per_pixel = scale[axis]
            for x in range(width):
                across = max(slopes[x] - (half * per_pixel * (ahead[x] - back[x])) ** 2, none) + tiny
                up, down = per_pixel * (ahead[x] - here[x]), per_pixel * (here[x] - back[x])
                forth = np.divide(per_pixel**2, np.sqrt(across + up**2))
                behind = np.divide(per_pixel**2, np.sqrt(across + down**2))
                pull[x] += ahead[x] * forth + back[x] * behind
                stiff[x] += forth + behind
        for x in range(width):
            nearness = np.divide(step, one + here[x] ** 2)
            data = in_water * (row[x] - water) ** 2 - on_land * (row[x] - land) ** 2
            moved = np.divide(here[x] + nearness * (mu * pull[x] + data), one + mu * nearness * stiff[x])
            changed[x] += (moved - here[x]) ** 2
            out[x] = moved
    return float(changed.sum())
