"""Thin edges: the pixels where the gradient is steepest along its own direction."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segmentry.kernels.jit import compiled

__all__ = ["BRIGHT_SIDE", "DARK_SIDE", "thin_edges"]

#: On which side of the true edge the middle of an edge pixel lies.
BRIGHT_SIDE, DARK_SIDE = 1, 2


def thin_edges(
    slope: NDArray[np.float32], steep: NDArray[np.float32], spacing: Sequence[float], low: float
) -> NDArray[np.uint8]:
    """Mark the pixels that no point one step up or down the gradient exceeds in steepness (Canny 1986).

    The steepness there is interpolated between the pixels around: linearly in two dimensions, bilinearly in three.

    Parameters
    ----------
    slope : (axes, ...) float32 array
        Slope along each axis, per unit of `spacing`.
    steep : float32 array of the shape of one of them
        Length of the gradient.
    spacing
        Pixel size per axis.
    low
        What is less steep is no edge, nor is what is not steep at all.

    Returns
    -------
    uint8 array of the same shape: 0 where there is no edge, else ``BRIGHT_SIDE`` or ``DARK_SIDE``.
    """
    lead = 3 - steep.ndim
    volume = np.pad(steep.reshape((1,) * lead + steep.shape), 1)
    directions = np.zeros((3, *volume.shape), np.float32)
    for axis, step in enumerate(spacing):
        directions[(lead + axis, *(slice(1, -1),) * 3)] = slope[axis] / np.float32(step)
    edges = np.zeros(volume.shape, np.uint8)
    strides = np.array([volume.shape[1] * volume.shape[2], volume.shape[2], 1], np.int64)
    _thin(volume.reshape(-1), directions.reshape(3, -1), strides, max(low, 0.0), edges.reshape(-1))
    return edges[1:-1, 1:-1, 1:-1].reshape(steep.shape).copy()


@compiled
def _at(
    steep: NDArray[np.float32], i: int, a: int, b: int, wide: Any, other: Any,
) -> Any:  # fmt: skip
    """Return the steepness at a pixel, moved by the shares `wide` and `other` towards its neighbours at `a` and `b`."""
    near = steep[i] * (1 - wide) + steep[i + a] * wide
    far = steep[i + b] * (1 - wide) + steep[i + a + b] * wide
    return near * (1 - other) + far * other


@compiled
def _thin(
    steep: NDArray[np.float32], directions: NDArray[np.float32], strides: NDArray[np.int64], low: float,
    edges: NDArray[np.uint8],
) -> None:  # fmt: skip
    for i in range(steep.size):
        value = steep[i]
        if value < low or value == 0:
            continue
        main = 0
        for axis in range(1, 3):
            if abs(directions[axis, i]) > abs(directions[main, i]):
                main = axis
        first, second = (main + 1) % 3, (main + 2) % 3
        length = directions[main, i]
        if length == 0:
            continue
        wide, other = directions[first, i] / abs(length), directions[second, i] / abs(length)
        step = strides[main] if length > 0 else -strides[main]
        a = strides[first] if wide > 0 else -strides[first]
        b = strides[second] if other > 0 else -strides[second]
        ahead = _at(steep, i + step, a, b, abs(wide), abs(other))
        behind = _at(steep, i - step, -a, -b, abs(wide), abs(other))
        if value >= ahead and value >= behind:
            edges[i] = DARK_SIDE if ahead > behind else BRIGHT_SIDE
