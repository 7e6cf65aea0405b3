"""What is compared: ilastik's pixel features, with the same filters in scipy and with those of scikit-image."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from cases import nuclei
from harness import Case
from scipy.ndimage import correlate1d
from skimage.feature import multiscale_basic_features

from segmentry.features import FEATURES, Feature, FeatureBank
from segmentry.image import Grid

SIGMAS = (0.7, 1.0, 1.6, 3.5, 5.0, 10.0)


def feature_cases() -> Iterator[Case]:
    """Yield the comparisons of feature banks; ours fills an array that is there, as a classifier's does."""
    plane = (nuclei(2048)[0] / 65_535).astype(np.float32)
    yield _case("48 features of pixels, 6 scales, 2048²", plane, SIGMAS)
    bank, grid = _bank(SIGMAS), Grid("YX", plane.shape)
    yield Case(
        "48 features of pixels, strip by strip, 2048²",
        "scikit-image `multiscale_basic_features`, 24 features",
        lambda: [values.shape[1] for _, values in bank.strips(plane, grid)],
        lambda: multiscale_basic_features(plane, sigma_min=0.7, sigma_max=10, num_sigma=6),
        lambda rows, features: f"{sum(rows)} and {len(features)} rows; not the same features",
    )
    volume = np.stack([np.roll(plane[:256, :256], 3 * z, axis=1) for z in range(64)])
    yield _case("20 features of voxels, 2 scales, 64×256×256", volume, (1.6, 5.0))


def _bank(sigmas: tuple[float, ...]) -> FeatureBank:
    return FeatureBank(tuple(Feature(name, sigma) for sigma in sigmas for name in FEATURES))


def _case(name: str, pixels: np.ndarray, sigmas: tuple[float, ...]) -> Case:
    bank, grid = _bank(sigmas), Grid("ZYX"[-pixels.ndim :], pixels.shape)
    out = np.empty((bank.n_planes(grid), *pixels.shape), np.float32)
    return Case(
        name,
        "scipy `correlate1d`, the same filters",
        lambda: bank.compute(pixels, grid, out=out),
        lambda: usual(pixels, sigmas),
        lambda a, b: f"largest difference {max(np.abs(p - q).max() for p, q in zip(a, b, strict=True)):.0e}",
    )


def usual(pixels: np.ndarray, sigmas: tuple[float, ...]) -> list[np.ndarray]:
    """Return the same features as one writes them with scipy and NumPy."""
    found = []
    axes = range(pixels.ndim)
    for sigma in sigmas:
        smooth = _filtered(pixels, math.sqrt(sigma**2 - 1) if sigma > 1 else sigma, 3.5)
        scale = min(sigma, 1.0)
        flat = _filtered(smooth, scale, 2)
        hessian = {(i, j): _filtered(smooth, scale, 2, i, j) for i in axes for j in axes if i <= j}
        slopes = [_filtered(smooth, scale, 2, i) for i in axes]
        fine = [_filtered(smooth, scale / 2, 2, i) for i in axes]
        tensor = {(i, j): _filtered(fine[i] * fine[j], scale, 2) for i, j in hessian}
        found += [flat, sum(hessian[i, i] for i in axes), np.sqrt(sum(s * s for s in slopes))]
        found += [flat - _filtered(smooth, 0.66 * scale, 2), *_descending(tensor), *_descending(hessian)]
    return found


def _filtered(pixels: np.ndarray, sigma: float, ratio: float, *along: int) -> np.ndarray:
    """Filter as `gaussian_filter` does, axis by axis, with derivatives normalised as VIGRA's are."""
    at = np.arange(-max(int(ratio * sigma + 0.5), 1), max(int(ratio * sigma + 0.5), 1) + 1)
    bell = np.exp(-0.5 * (at / sigma) ** 2)
    for axis in range(pixels.ndim):
        order = along.count(axis)
        weights = (bell, at * bell, (at**2 / sigma**2 - 1) * bell)[order]
        weights = weights - weights.mean() if order else weights
        weights = weights * math.factorial(order) / (weights * at**order).sum()
        pixels = correlate1d(pixels, weights, axis, mode="mirror")
    return pixels


def _descending(matrix: dict[tuple[int, int], np.ndarray]) -> list[np.ndarray]:
    if len(matrix) == 3:
        mean, half = (matrix[0, 0] + matrix[1, 1]) / 2, (matrix[0, 0] - matrix[1, 1]) / 2
        apart = np.hypot(half, matrix[0, 1])
        return [mean + apart, mean - apart]
    full = np.stack([np.stack([matrix[min(i, j), max(i, j)] for j in range(3)], -1) for i in range(3)], -2)
    return list(np.moveaxis(np.linalg.eigvalsh(full)[..., ::-1], -1, 0))
