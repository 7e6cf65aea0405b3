import numpy as np
import pytest
from skimage import data
from skimage.restoration import estimate_sigma

from segmentry.filters.noise import noise_levels
from segmentry.image import Image
from segmentry.overview import Overview


def level(pixels, axes=None):
    return noise_levels(Overview(Image.from_array(pixels, axes)))[0]


@pytest.mark.parametrize("shape", [(200, 300), (20, 60, 70), (3, 150, 150), (1, 200, 200), (1, 40_000)])
@pytest.mark.parametrize("sigma", [0.01, 30.0])
def test_noise_of_known_strength_is_measured(shape, sigma):
    image = np.random.default_rng(0).normal(100, sigma, shape)
    assert level(image) == pytest.approx(sigma, rel=0.03)


@pytest.mark.parametrize("name", ["camera", "coins", "moon", "cell", "page", "text", "brick"])
@pytest.mark.parametrize("sigma", [8, 25])
def test_agrees_with_scikit_image_on_photographs(name, sigma):
    # Within 5 %: both see some texture as noise.
    image = getattr(data, name)() + np.random.default_rng(0).normal(0, sigma, getattr(data, name)().shape)
    assert level(image) == pytest.approx(estimate_sigma(image), rel=0.05)


def test_slopes_and_flat_objects_are_no_noise():
    y, x = np.indices((80, 90))
    assert level(3 * x + 2 * y) == 0
    assert level(200.0 * ((y - 40) ** 2 + (x - 40) ** 2 < 900)) == 0


def test_pixels_cut_off_at_black_do_not_hide_the_noise():
    image = np.random.default_rng(0).normal(100, 10, (200, 200))
    image[:150] = 0
    assert level(image) == pytest.approx(10, rel=0.1)


def test_pixels_that_are_no_numbers_do_not_count():
    image = np.random.default_rng(0).normal(0, 5, (100, 100))
    image[::7, ::5] = np.nan
    image[3, 3] = np.inf
    assert level(image) == pytest.approx(5, rel=0.1)


def test_channels_are_measured_apart_and_time_points_together():
    rng = np.random.default_rng(0)
    image = rng.normal(0, 1, (2, 3, 90, 100)) * np.array([2, 40, 0]).reshape(3, 1, 1)
    found = noise_levels(Overview(Image.from_array(image, "TCYX")))
    assert found == pytest.approx((2, 40, 0), rel=0.05)


def test_an_image_too_small_to_say_has_no_noise():
    assert level(np.array([[1.0, 5.0], [2.0, 9.0]])) == 0
    assert level(np.ones((1, 1))) == 0


def test_pieces_give_what_the_whole_gives(monkeypatch):
    from segmentry import tiling

    image = np.random.default_rng(0).normal(50, 4, (10, 40, 50))
    whole = level(image)
    monkeypatch.setattr(tiling, "SLAB_PIXELS", 6000)
    assert level(image) == whole
