"""Exact Euclidean distance to the background, in two or three dimensions, with a spacing per axis.

One pass along the rows, then the lower envelope of parabolas along each other axis (Felzenszwalb & Huttenlocher 2012,
doi:10.4086/toc.2012.v008a019). The edge of the array is not background.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from segmentry.kernels.jit import compiled

__all__ = ["distance_to_background"]

FAR = 1e12


def distance_to_background(mask: NDArray[np.bool_], spacing: Sequence[float]) -> NDArray[np.float32]:
    """Return for each pixel of a mask how far the nearest pixel outside it is.

    Parameters
    ----------
    mask : (Y, X) or (Z, Y, X) bool array
    spacing
        Pixel size per axis; distances are in its unit.

    Returns
    -------
    float32 array of the same shape; 0 outside the mask, infinite where there is no background at all.
    """
    volume = np.ascontiguousarray(mask).reshape((1,) * (3 - mask.ndim) + mask.shape)
    steps = (1.0,) * (3 - mask.ndim) + tuple(float(s) for s in spacing)
    squared = np.empty(volume.shape, np.float64)
    _along_rows(volume, steps[2], squared)
    if volume.shape[1] > 1:
        for plane in squared:
            _along_columns(plane, steps[1])
    if volume.shape[0] > 1:
        for y in range(volume.shape[1]):
            _along_columns(squared[:, y], steps[0])
    distance = np.sqrt(squared, out=squared).astype(np.float32)
    distance[squared >= FAR**0.5] = np.inf
    return distance.reshape(mask.shape)


@compiled
def _along_rows(mask: NDArray[np.bool_], step: float, squared: NDArray[np.float64]) -> None:
    depth, height, width = mask.shape
    for z in range(depth):
        for y in range(height):
            inside, row = mask[z, y], squared[z, y]
            count = -1
            for x in range(width):
                if not inside[x]:
                    count = 0
                elif count >= 0:
                    count += 1
                row[x] = FAR if count < 0 else (count * step) ** 2
            count = -1
            for x in range(width - 1, -1, -1):
                if not inside[x]:
                    count = 0
                elif count >= 0:
                    count += 1
                    row[x] = min(row[x], (count * step) ** 2)


@compiled
def _along_columns(squared: NDArray[np.float64], step: float) -> None:
    """Replace each column of a plane by the lower envelope of the parabolas that stand on its values."""
    height, width = squared.shape
    column = np.empty(height)
    apex = np.empty(height, np.int64)
    reach = np.empty(height)
    for x in range(width):
        top = -1
        busy = False
        for y in range(height):
            column[y] = squared[y, x]
            busy = busy or column[y] > 0
        if not busy:
            continue
        for y in range(height):
            if column[y] >= FAR:
                continue
            start = -np.inf
            while top >= 0:
                last = apex[top]
                rise = (column[y] - column[last]) / (step * step)
                start = (rise / (y - last) + (y + last)) / 2
                if start > reach[top]:
                    break
                top -= 1
                start = -np.inf
            top += 1
            apex[top], reach[top] = y, start
        if top < 0:
            continue
        k = 0
        for y in range(height):
            while k < top and reach[k + 1] < y:
                k += 1
            if column[y] > 0:
                squared[y, x] = ((y - apex[k]) * step) ** 2 + column[apex[k]]
