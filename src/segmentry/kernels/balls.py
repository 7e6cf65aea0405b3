"""Balls painted into an array of labels, each pixel for the ball whose middle is relatively nearest."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from segmentry.kernels.jit import compiled

__all__ = ["paint_balls"]


def paint_balls(
    centres: NDArray[np.int64], radii: NDArray[np.float64], shape: tuple[int, ...], spacing: Sequence[float]
) -> NDArray[np.uint32]:
    """Paint discs or balls with the labels 1 … n.

    Parameters
    ----------
    centres : (n, axes) pixels, all different
    radii : (n,) in the unit of `spacing`; a ball always holds its own centre
    shape
        Of the array.
    spacing
        Pixel size per axis.

    Returns
    -------
    uint32 array; where balls overlap, a pixel belongs to the one to whose centre it is nearest in parts of its radius,
    and to the first of two that are equally near.
    """
    lead = 3 - len(shape)
    labels = np.zeros((1,) * lead + shape, np.uint32)
    nearest = np.full(labels.shape, np.inf, np.float32)
    places = np.zeros((len(centres), 3), np.int64)
    places[:, lead:] = centres
    steps = np.ones(3)
    steps[lead:] = spacing
    _paint(places, np.maximum(radii, 1e-6), steps, nearest, labels)
    return labels.reshape(shape)


@compiled
def _paint(
    centres: NDArray[np.int64], radii: NDArray[np.float64], steps: NDArray[np.float64], nearest: NDArray[np.float32],
    labels: NDArray[np.uint32],
) -> None:  # fmt: skip
    depth, height, width = labels.shape
    for k in range(len(radii)):
        radius = radii[k]
        z0, y0, x0 = centres[k]
        deep, tall, wide = int(radius / steps[0]), int(radius / steps[1]), int(radius / steps[2])
        for z in range(max(0, z0 - deep), min(depth, z0 + deep + 1)):
            for y in range(max(0, y0 - tall), min(height, y0 + tall + 1)):
                flat = ((z - z0) * steps[0]) ** 2 + ((y - y0) * steps[1]) ** 2
                for x in range(max(0, x0 - wide), min(width, x0 + wide + 1)):
                    far = np.float32(np.sqrt(flat + ((x - x0) * steps[2]) ** 2) / radius)
                    if far <= 1 and far < nearest[z, y, x]:
                        nearest[z, y, x] = far
                        labels[z, y, x] = k + 1
