"""Distances to the background against SciPy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt
from skimage.data import retina

from segmentry.kernels.distance import distance_to_background, distances_at

SHAPES = st.one_of(st.tuples(*[st.integers(1, 14)] * 2), st.tuples(*[st.integers(1, 7)] * 3))
STEPS = st.sampled_from([0.3, 1.0, 2.5])


@given(arrays(np.bool_, SHAPES), st.lists(STEPS, min_size=3, max_size=3))
def test_distances_are_those_of_scipy(mask: NDArray[np.bool_], spacing: list[float]) -> None:
    found = distance_to_background(mask, spacing[: mask.ndim])
    if mask.all():
        assert np.isinf(found).all()
    else:
        assert found == pytest.approx(distance_transform_edt(mask, spacing[: mask.ndim]), rel=1e-6)


def scene(shape: tuple[int, ...], seed: int) -> NDArray[np.bool_]:
    """Return a mask with balls of many sizes and bars, so that distances are short here and long there."""
    rng = np.random.default_rng(seed)
    places = np.indices(shape)
    mask = np.zeros(shape, np.bool_)
    for size in (2, 5, 9, 20, 45, 80):
        for _ in range(4):
            centre = rng.uniform(0, shape).reshape(-1, *[1] * len(shape))
            mask |= ((places - centre) ** 2).sum(axis=0) < size**2
    mask[shape[0] // 2] = True
    mask[..., : shape[-1] // 9] = True
    return mask & (rng.random(shape) > 20 / mask.size)


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (2.5, 0.5, 1.0), (0.37, 1.9, 0.611)])
@pytest.mark.parametrize("shape", [(270, 290), (16, 100, 90)])
def test_short_and_long_distances_are_exact(shape: tuple[int, ...], spacing: tuple[float, ...]) -> None:
    mask = scene(shape, 0)
    expected = distance_transform_edt(mask, spacing[: mask.ndim])
    assert expected.max() > 20
    np.testing.assert_allclose(distance_to_background(mask, spacing[: mask.ndim]), expected, rtol=2e-7)


def test_on_a_real_image_every_distance_is_scipys() -> None:
    mask = retina()[::2, ::2, 1] > 60
    expected = distance_transform_edt(mask).astype(np.float32)
    assert expected.max() > 60
    assert np.array_equal(distance_to_background(mask, (1, 1)), expected)


def test_one_pixel_of_background_is_seen_from_afar() -> None:
    mask = np.ones((300, 700), np.bool_)
    mask[200, 3] = False
    y, x = np.indices(mask.shape)
    assert np.array_equal(distance_to_background(mask, (1, 1)), np.hypot(y - 200.0, x - 3.0).astype(np.float32))


@pytest.mark.parametrize("spacing", [(1.0, 1.0), (0.37, 1.13)])
def test_a_distance_does_not_depend_on_the_rest_of_the_image(spacing: tuple[float, float]) -> None:
    part = scene((120, 150), 1)
    part[[0, -1]] = part[:, [0, -1]] = False
    whole = scene((500, 420), 2)
    whole[211:331, 77:227] = part
    found = distance_to_background(whole, spacing)[211:331, 77:227]
    assert np.array_equal(found, distance_to_background(part, spacing))


@pytest.mark.parametrize("shape", [(0, 4), (3, 0), (2, 0, 3)])
def test_an_empty_array_has_no_distances(shape: tuple[int, ...]) -> None:
    assert distance_to_background(np.ones(shape, np.bool_), (1,) * len(shape)).shape == shape


@given(arrays(np.bool_, SHAPES), st.lists(STEPS, min_size=3, max_size=3), st.integers(0, 3))
def test_distances_of_some_pixels_are_exact(mask: NDArray[np.bool_], spacing: list[float], every: int) -> None:
    places = np.arange(mask.size).reshape(mask.shape) % 4 <= every
    found = distances_at(places, mask, spacing[: mask.ndim])
    if mask.all():
        assert np.isinf(found).all()
        assert len(found) == places.sum()
    else:
        expected = distance_transform_edt(mask, spacing[: mask.ndim])[places]
        np.testing.assert_allclose(found, expected, rtol=1e-13)


def test_distances_of_some_pixels_are_exact_from_afar() -> None:
    mask = scene((16, 100, 90), 0)
    places = scene((16, 100, 90), 3)
    expected = distance_transform_edt(mask, (0.37, 1.9, 0.611))[places]
    np.testing.assert_allclose(distances_at(places, mask, (0.37, 1.9, 0.611)), expected, rtol=1e-13)
