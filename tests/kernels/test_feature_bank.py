import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.ndimage import correlate1d

from segmentry.features import FEATURES, Feature, FeatureBank
from segmentry.image import Grid
from segmentry.kernels.eigenvalues import eigenvalues
from segmentry.kernels.presmooth import mirrored, smooth_slab


@given(st.integers(-60, 60), st.integers(1, 9))
def test_a_mirror_at_the_outermost_pixel_shows_what_numpy_pads(place, length):
    padded = np.pad(np.arange(length), 60, mode="reflect")
    assert mirrored(place, length) == padded[place + 60]


@pytest.mark.parametrize("shape", [(1, 1, 70), (9, 20, 33), (2, 3, 4), (30, 1, 5)])
def test_a_slab_is_smoothed_with_its_margin(shape):
    volume = np.random.default_rng(0).random(shape).astype(np.float32)
    curves = tuple(np.array(c, np.float32) for c in ([0.5, 0.25], [0.4, 0.2, 0.1], [0.2, 0.1, 0.1, 0.08, 0.07, 0.05]))
    out = np.zeros([n + 6 for n in shape], np.float32)
    smooth_slab(volume, curves, (0, 0, 0), shape, (3, 3, 3), out)
    expected = volume.astype(np.float64)
    for axis, curve in enumerate(curves):
        expected = np.pad(expected, [(40, 40) if i == axis else (0, 0) for i in range(3)], mode="reflect")
        expected = correlate1d(expected, np.concatenate([curve[:0:-1], curve]), axis)
        expected = expected[(slice(None),) * axis + (slice(40, -40),)]
    assert np.allclose(out, np.pad(expected, 3, mode="reflect"), rtol=0, atol=1e-6)


def test_eigenvalues_are_those_of_lapack():
    rng = np.random.default_rng(0)
    matrices = rng.normal(size=(6, 3000)).astype(np.float32)
    matrices[3:, :500] *= 1e-4  # three nearly equal to the diagonal
    matrices[:3, 500:1000] = matrices[0, 500:1000]
    matrices[3:, 1000:1500] = 0
    matrices[:, 1500] = 0
    matrices[:, 1600:1700] *= 1e-18
    matrices[:, 1700:1800] *= 1e18
    v = rng.normal(size=(3, 500)).astype(np.float32)
    matrices[:, 2000:2500] = [v[0] ** 2, v[1] ** 2, v[2] ** 2, v[0] * v[1], v[0] * v[2], v[1] * v[2]]
    values = np.zeros((3, 3000), np.float32)
    eigenvalues(matrices, 3000, values)
    full = matrices.astype(np.float64)[[[0, 3, 4], [3, 1, 5], [4, 5, 2]]]
    expected = np.linalg.eigvalsh(np.moveaxis(full, -1, 0))[:, ::-1].T
    assert (np.abs(values - expected) <= 1e-7 * np.abs(expected).max(0)).all()
    assert (np.diff(values, axis=0) <= 1e-7 * np.abs(expected).max(0)).all()


@pytest.mark.parametrize("shape", [(35, 290), (12, 37, 21)])
@pytest.mark.parametrize("sigma", [0.7, 1.6])
def test_features_are_those_of_the_plain_recipe_in_double_precision(shape, sigma):
    image = np.random.default_rng(0).random(shape).astype(np.float32)
    found = FeatureBank(tuple(Feature(name, sigma) for name in FEATURES)).compute(
        image, Grid("ZYX"[-len(shape) :], shape)
    )
    expected = plain(image.astype(np.float64), sigma)
    assert np.abs(found - expected).max() < 2e-6


def plain(image, sigma):
    """Return all features at one scale, each filter written out."""
    axes = range(image.ndim)
    before = math.sqrt(sigma**2 - 1) if sigma > 1 else sigma
    image = filtered(image, [curve(before, 0, 3.5)] * image.ndim)
    scale = min(sigma, 1)

    def derived(*along, width=scale):
        return filtered(image, [curve(width, along.count(axis), 2) for axis in axes])

    smooth = derived()
    hessian = np.array([[derived(i, j) for j in axes] for i in axes])
    fine = [derived(i, width=scale / 2) for i in axes]
    tensor = np.array([[filtered(a * b, [curve(scale, 0, 2)] * image.ndim) for b in fine] for a in fine])
    slope = np.sqrt(sum(derived(i) ** 2 for i in axes))
    single = [smooth, np.trace(hessian), slope, smooth - derived(width=0.66 * scale)]
    return np.stack([*single, *descending(tensor), *descending(hessian)])


def descending(matrices):
    values = np.linalg.eigvalsh(np.moveaxis(matrices, (0, 1), (-2, -1)))
    return np.moveaxis(values, -1, 0)[::-1]


def filtered(image, curves):
    for axis, weights in enumerate(curves):
        image = correlate1d(image, weights, axis, mode="mirror")
    return image


def curve(sigma, order, ratio):
    """Return a bell curve or a derivative, scaled so that it takes 1, x or x²/2 to 1."""
    radius = max(math.floor(ratio * sigma + 0.5), 1)
    at = np.arange(-radius, radius + 1)
    bell = np.exp(-0.5 * (at / sigma) ** 2)
    weights = (bell, at * bell, (at**2 / sigma**2 - 1) * bell)[order]
    weights = weights - weights.mean() if order else weights
    return weights * math.factorial(order) / (weights * at**order).sum()
