"""Diffusion that stops at edges: intensities flow between neighbours, less over steep steps (Perona & Malik 1990).

The image is held twice, with a pixel more at both ends of each row that repeats the last one; steps go from one to the
other and back.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from segmentry.kernels.decay import decay
from segmentry.kernels.jit import compiled

__all__ = ["diffuse"]


def diffuse(
    pixels: NDArray[np.float32],
    contrast: float,
    step: float,
    iterations: int,
    spacing: Sequence[float],
    exponential: bool = True,
) -> NDArray[np.float32]:
    """Return an image whose intensities have flowed between pixels that share a face.

    Parameters
    ----------
    pixels : (Y, X) or (Z, Y, X) float32 array
    contrast
        Difference per distance at which the flow is held back: to exp(-1), or to a half.
    step
        Time of one step; above ``1 / (2 * sum(1 / s**2 for s in spacing))`` the result is not stable.
    iterations
        Steps; a pixel depends on no other further away than this many pixels.
    spacing
        Distance between pixels along each axis.
    exponential
        Whether a difference d lets through exp(-(d / contrast)²), or else 1 / (1 + (d / contrast)²).
    """
    # A plane is laid down as rows that are planes, so that one loop serves both numbers of dimensions.
    volume = np.pad(pixels.reshape(len(pixels), -1, pixels.shape[-1]), [(0, 0), (0, 0), (1, 1)], mode="edge")
    flows = np.array([step / s**2 for s in (spacing[0], spacing[-2], spacing[-1])], np.float32)
    limits = np.array([1 / (s * contrast) ** 2 for s in (spacing[0], spacing[-2], spacing[-1])], np.float32)
    done = _diffuse(volume, np.empty_like(volume), flows, limits, iterations, exponential)
    return np.ascontiguousarray(done[:, :, 1:-1]).reshape(pixels.shape)


@compiled
def _diffuse(
    image: NDArray[np.float32],
    other: NDArray[np.float32],
    flows: NDArray[np.float32],
    limits: NDArray[np.float32],
    iterations: int,
    exponential: bool,
) -> NDArray[np.float32]:
    depth, height, _ = image.shape
    for _ in range(iterations):
        for z in range(depth):
            for y in range(height):
                here, out = image[z, y, 1:-1], other[z, y, 1:-1]
                out[:] = here
                _flow(here, image[max(z - 1, 0), y, 1:], flows[0], limits[0], exponential, out)
                _flow(here, image[min(z + 1, depth - 1), y, 1:], flows[0], limits[0], exponential, out)
                if height > 1:
                    _flow(here, image[z, max(y - 1, 0), 1:], flows[1], limits[1], exponential, out)
                    _flow(here, image[z, min(y + 1, height - 1), 1:], flows[1], limits[1], exponential, out)
                _flow(here, image[z, y], flows[2], limits[2], exponential, out)
                _flow(here, image[z, y, 2:], flows[2], limits[2], exponential, out)
                other[z, y, 0], other[z, y, -1] = out[0], out[-1]
        image, other = other, image
    return image


@compiled
def _flow(
    here: NDArray[np.float32],
    there: NDArray[np.float32],
    flow: np.float32,
    limit: np.float32,
    exponential: bool,
    out: NDArray[np.float32],
) -> None:
    """Add to a row what flows in from a row beside it."""
    if exponential:
        for x in range(len(out)):
            step = there[x] - here[x]
            out[x] += flow * step * decay(step * step * limit)
    else:
        for x in range(len(out)):
            step = there[x] - here[x]
            out[x] += flow * step * np.reciprocal(np.float32(1) + step * step * limit)
