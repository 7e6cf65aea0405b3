import numpy as np
import pytest
from scipy import ndimage
from skimage import data

from segmentry.errors import ParameterError
from segmentry.filters.median import Median
from segmentry.image import Image


@pytest.mark.parametrize("radius", [1, 2, 6])
def test_the_median_is_that_of_scipy(radius):
    pixels = data.coins()
    found = Median(radius=radius).apply(Image.from_array(pixels)).read()
    assert np.array_equal(found, ndimage.median_filter(pixels, 2 * radius + 1, mode="reflect"))


def test_hot_pixels_vanish_and_an_edge_stays_where_it_is():
    pixels = np.zeros((20, 30), np.uint16)
    pixels[:, 15:] = 900
    hot = pixels.copy()
    hot[5, 5], hot[10, 20] = 65_535, 0
    assert np.array_equal(Median().apply(Image.from_array(hot)).read(), pixels)


def test_a_radius_in_micrometres_gives_a_box_that_follows_the_spacing():
    pixels = np.random.default_rng(0).integers(0, 255, (9, 20, 20)).astype(np.uint8)
    found = Median(radius="2 um").apply(Image.from_array(pixels, spacing=(2, 1, 1))).read()
    assert np.array_equal(found, ndimage.median_filter(pixels, (3, 5, 5), mode="reflect"))


def test_a_box_that_would_take_forever_is_refused():
    with pytest.raises(ParameterError, match="at most 100 work"):
        Median(radius=101).apply(Image.from_array(np.zeros((5, 5))))
    with pytest.raises(ParameterError, match="pixels here"):
        Median(radius=90).apply(Image.from_array(np.zeros((5, 5, 5))))
