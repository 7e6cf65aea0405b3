"""Colours as people see them: sRGB to CIELAB (D65), pixel by pixel.

Written without matrix products, whose rounding depends on the size of the array: a tile gets the same colours as the
whole image.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["full_white", "rgb_to_lab"]

# IEC 61966-2-1, linear RGB to XYZ, each row divided by the D65 white of the 2 degree observer
_TO_XYZ = (
    (0.412453 / 0.95047, 0.357580 / 0.95047, 0.180423 / 0.95047),
    (0.212671, 0.715160, 0.072169),
    (0.019334 / 1.08883, 0.119193 / 1.08883, 0.950227 / 1.08883),
)


def rgb_to_lab(channels: NDArray[Any], white: float = 1.0) -> NDArray[np.float64]:
    """Return CIELAB (L 0 … 100, a, b) of sRGB colours, both with the channels as first axis.

    `white` is the intensity of full white; brighter colours are cut off there.
    """
    rgb = np.clip(channels.astype(np.float64) / white, 0, 1)
    linear = np.where(rgb > 0.04045, ((rgb + 0.055) / 1.055) ** 2.4, rgb / 12.92)
    x, y, z = (_cube_root(r * linear[0] + g * linear[1] + b * linear[2]) for r, g, b in _TO_XYZ)
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)])


def full_white(highest: float) -> float:
    """Return the intensity of full white: the least of 1, 255 and 65,535 that no pixel exceeds."""
    return next((white for white in (1.0, 255.0, 65_535.0) if highest <= white), highest)


def _cube_root(part: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.where(part > 0.008856, np.cbrt(part), 7.787 * part + 16 / 116)
