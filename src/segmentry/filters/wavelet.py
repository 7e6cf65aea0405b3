"""Wavelets: detail that is too weak to be more than noise is taken away, scale by scale.

The image is smoothed by B3 splines of doubling width; what each smoothing takes away is the detail of one scale, and
all of it sums to the image again (the starlet transform; Starck & Murtagh 1994; Starck, Fadili & Murtagh 2007). The
noise that a scale holds follows from the weights it is made with. Detail is lowered by the share of noise in the energy
of its neighbourhood (Cai & Silverman 2001), or pixel by pixel by a threshold. Along an axis with wider spacing,
smoothing begins at the scale where pixels are as far apart. It works on structures of all sizes, noise of all
strengths, and is fast; it fails on sharp edges in strong noise, which keep a rough rim.
"""

from __future__ import annotations

import math
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from segmentry.filters.noise import Denoiser
from segmentry.image import Grid

__all__ = ["Wavelet", "noise_shares", "smoothings"]

#: What is best on average for photographs and cells, in units of the noise.
THRESHOLDS = {"local": 1.2, "hard": 3.0, "soft": 1.5}
SPLINE = (1 / 16, 4 / 16, 6 / 16, 4 / 16, 1 / 16)


class Wavelet(Denoiser):
    """Removes noise of all scales and keeps blobs: takes weak detail away, scale by scale."""

    name: ClassVar[str] = "wavelet"
    source: ClassVar[str] = "Starck, Fadili & Murtagh 2007, doi:10.1109/TIP.2006.887733"
    mode: Literal["local", "hard", "soft"] = Field(
        "local",
        description="What happens to detail: lowered where its neighbourhood is weak (local); removed below the "
        "threshold (hard); lowered by the threshold (soft).",
    )
    threshold: float | None = Field(
        None,
        ge=0,
        le=1000,
        description="Detail that counts as noise, in units of the noise of its scale; none: 1.2 if local, 3 if hard, "
        "1.5 if soft.",
    )
    levels: int = Field(4, ge=1, le=8, description="Number of scales; the widest is about 2 to this power pixels.")

    def halo(self, grid: Grid) -> tuple[int, ...]:
        # The last scale is smoothed once more for the energy of the neighbourhood.
        return tuple(2 * (sum(gaps) + gaps[-1]) for gaps in zip(*smoothings(grid, self.levels), strict=True))

    def denoised(self, pixels: NDArray[np.float32], noise: float, grid: Grid) -> NDArray[np.float32]:
        threshold = THRESHOLDS[self.mode] if self.threshold is None else self.threshold
        if not threshold:
            return pixels
        steps = smoothings(grid, self.levels)
        kept = np.zeros_like(pixels)
        for gaps, share in zip(steps, noise_shares(steps), strict=True):
            smooth = _smoothed(pixels, gaps)
            detail = pixels - smooth
            kept += self._kept(detail, gaps, np.float32(threshold * noise * share))
            pixels = smooth
        return kept + pixels

    def _kept(self, detail: NDArray[np.float32], gaps: tuple[int, ...], limit: np.float32) -> NDArray[np.float32]:
        """Return what is left of the detail of one scale."""
        if self.mode == "hard":
            return np.where(np.abs(detail) < limit, np.float32(0), detail)
        if self.mode == "soft":
            return np.asarray(detail - np.clip(detail, -limit, limit))
        energy = _smoothed(detail * detail, gaps)
        over = np.maximum(energy - limit * limit, 0)
        return np.asarray(detail * np.divide(over, energy, out=np.ones_like(energy), where=energy > 0))


def smoothings(grid: Grid, levels: int) -> list[tuple[int, ...]]:
    """Return for each scale how far apart the pixels are that are averaged, per axis; 0 where none are."""
    begin = [round(math.log2(s)) for s in grid.anisotropy]
    return [tuple(2 ** (level - b) if level >= b else 0 for b in begin) for level in range(levels)]


def noise_shares(steps: list[tuple[int, ...]]) -> list[float]:
    """Return the spread of the detail of each scale in an image of noise whose spread is 1.

    The detail of a scale is the image convolved with the difference of two products of curves, one curve per axis; its
    spread is the root of the sum of the squares of that difference, which are sums of products along each axis.
    """
    before = [np.ones(1)] * len(steps[0])
    shares = []
    for gaps in steps:
        after = [np.convolve(curve, _taps(gap)) for curve, gap in zip(before, gaps, strict=True)]
        one, both, other = (
            math.prod(_overlap(a, b) for a, b in zip(*pair, strict=True))
            for pair in ((before, before), (before, after), (after, after))
        )
        shares.append(math.sqrt(max(one - 2 * both + other, 0.0)))
        before = after
    return shares


def _taps(gap: int) -> NDArray[np.float64]:
    """Return the weights of a smoothing along one axis, zeros between them included."""
    if gap == 0:
        return np.ones(1)
    taps = np.zeros(4 * gap + 1)
    taps[::gap] = SPLINE
    return taps


def _overlap(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    """Return the sum of the products of two symmetric curves with a common middle."""
    short, long = sorted((one, other), key=len)
    edge = (len(long) - len(short)) // 2
    return float((short * long[edge : edge + len(short)]).sum())


def _smoothed(pixels: NDArray[np.float32], gaps: tuple[int, ...]) -> NDArray[np.float32]:
    """Average five pixels with a gap between them along each axis; edges are mirrored."""
    for axis, gap in enumerate(gaps):
        if not gap:
            continue
        n = pixels.shape[axis]
        border = [(2 * gap, 2 * gap) if i == axis else (0, 0) for i in range(pixels.ndim)]
        padded = np.moveaxis(np.pad(pixels, border, mode="symmetric"), axis, 0)
        rows = [padded[k * gap : k * gap + n] for k in range(5)]
        pixels = np.moveaxis((rows[0] + rows[4]) * np.float32(SPLINE[0]), 0, axis)
        total = np.moveaxis(pixels, axis, 0)
        total += (rows[1] + rows[3]) * np.float32(SPLINE[1])
        total += rows[2] * np.float32(SPLINE[2])
    return pixels
