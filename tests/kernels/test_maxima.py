"""Local maxima against a plain search of every box, and against scikit-image."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from skimage.data import coins
from skimage.feature import peak_local_max

from segmentry.errors import InputError
from segmentry.kernels.maxima import local_maxima

SHAPES = st.one_of(
    st.tuples(st.integers(1, 30)),
    *[st.tuples(*[st.integers(1, side)] * n) for n, side in ((2, 12), (3, 5), (4, 4))],
)


def plainly(values: NDArray[np.float32], radius: tuple[int, ...], threshold: float) -> list[list[int]]:
    found = []
    for at in np.ndindex(values.shape):
        box = tuple(slice(max(0, p - r), p + r + 1) for p, r in zip(at, radius, strict=True))
        inside = values[box]
        first = np.unravel_index(np.argmax(inside), inside.shape)
        if values[at] > threshold and all(f + b.start == p for f, b, p in zip(first, box, at, strict=True)):
            found.append(list(at))
    return found


@given(st.data())
def test_maxima_are_the_first_highest_pixels_of_their_boxes(data: st.DataObject) -> None:
    levels = arrays(np.float32, SHAPES, elements=st.integers(0, 6).map(float), fill=st.nothing())
    values = data.draw(levels)
    radius = data.draw(st.tuples(*[st.integers(0, 4)] * values.ndim))
    threshold = data.draw(st.sampled_from([-np.inf, 0.0, 2.5]))
    assert local_maxima(values, radius, threshold).tolist() == plainly(values, radius, threshold)


@pytest.mark.parametrize("radius", [1, 5, 20])
def test_on_a_real_image_they_are_those_of_scikit_image(radius: int) -> None:
    rng = np.random.default_rng(0)
    image = gaussian_filter(coins().astype(np.float32) + rng.random(coins().shape, np.float32), 2)
    expected = peak_local_max(image, min_distance=radius, threshold_abs=90, exclude_border=False, p_norm=np.inf)
    found = local_maxima(image, (radius, radius), threshold=90)
    assert sorted(map(tuple, expected.tolist())) == list(map(tuple, found.tolist()))


def test_in_a_volume_with_unequal_radii_they_are_those_of_scikit_image() -> None:
    volume = gaussian_filter(np.random.default_rng(1).random((20, 40, 45)).astype(np.float32), 1)
    box = np.ones((3, 9, 5), np.bool_)
    expected = peak_local_max(volume, footprint=box, min_distance=1, threshold_abs=0.5, exclude_border=False)
    found = local_maxima(volume, (1, 4, 2), threshold=0.5)
    assert sorted(map(tuple, expected.tolist())) == list(map(tuple, found.tolist()))


def test_a_window_finds_what_the_whole_finds() -> None:
    image = np.random.default_rng(2).integers(0, 40, (80, 90)).astype(np.float32)
    whole = local_maxima(image, (3, 2))
    part = local_maxima(image[10:60, 20:80], (3, 2)) + np.array([10, 20])
    inner = [p for p in whole.tolist() if 13 <= p[0] < 57 and 22 <= p[1] < 78]
    assert inner == [p for p in part.tolist() if 13 <= p[0] < 57 and 22 <= p[1] < 78]


def test_nan_is_neither_a_maximum_nor_an_obstacle() -> None:
    values = np.array([[np.nan, 1, np.nan, 5, 2]], np.float32)
    assert local_maxima(values, (1, 1)).tolist() == [[0, 1], [0, 3]]
    assert local_maxima(values, (1, 2)).tolist() == [[0, 3]]


def test_an_empty_array_and_a_flat_one_below_the_threshold_have_none() -> None:
    assert local_maxima(np.zeros((0, 5), np.float32), (1, 1)).shape == (0, 2)
    assert local_maxima(np.zeros((4, 5), np.float32), (1, 1), threshold=0).shape == (0, 2)


def test_radii_that_do_not_fit_the_array_are_refused() -> None:
    with pytest.raises(InputError, match="as many radii"):
        local_maxima(np.zeros((4, 5), np.float32), (1,))
    with pytest.raises(InputError, match="as many radii"):
        local_maxima(np.zeros((4, 5), np.float32), (1, -1))
