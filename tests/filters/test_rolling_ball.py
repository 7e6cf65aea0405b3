import numpy as np
import pytest
from skimage import data
from skimage.restoration import ellipsoid_kernel, rolling_ball

from segmentry.errors import ParameterError
from segmentry.filters.rolling_ball import RollingBall
from segmentry.image import Image


def opened(pixels, **ball):
    """The opening, made of scikit-image's rolling_ball, which is the erosion alone."""
    return -rolling_ball(-rolling_ball(pixels.astype(np.float32), **ball), **ball)


@pytest.mark.parametrize("pixels", [data.coins()[:150, :200], data.page()[:, :180]], ids=["coins", "page"])
def test_the_background_is_the_opening_by_a_ball(pixels):
    found = RollingBall(radius=12, sigma=0).apply(Image.from_array(pixels)).read()
    assert np.allclose(found, pixels - opened(pixels, radius=12), rtol=1e-4, atol=1e-4)


def test_dark_objects_are_bright_ones_turned_over():
    pixels = data.page()[:, :180]
    dark = RollingBall(radius=9, objects="dark").apply(Image.from_array(pixels)).read()
    bright = RollingBall(radius=9).apply(Image.from_array(255 - pixels)).read()
    assert np.allclose(dark, bright, atol=1e-3)


def test_the_ball_follows_the_spacing_and_has_the_height_that_is_asked_for():
    pixels = np.random.default_rng(0).integers(0, 255, (9, 30, 30)).astype(np.uint8)
    image = Image.from_array(pixels, spacing=(2, 1, 1))
    found = RollingBall(radius="6 um", sigma=0, height=20).apply(image).read()
    assert np.allclose(found, pixels - opened(pixels, kernel=ellipsoid_kernel((7, 13, 13), 20.0)), atol=1e-3)


def test_spots_stand_alone_where_the_light_is_uneven():
    place = np.indices((150, 200))
    light = 200 * np.exp(-((place[0] - 60) ** 2 + (place[1] - 80) ** 2) / 12_000)
    spots = sum(50.0 * (((place - np.array(c).reshape(2, 1, 1)) ** 2).sum(axis=0) < 30) for c in ((40, 40), (100, 150)))
    found = RollingBall(radius=20, sigma=0).apply(Image.from_array(light + spots)).read()
    assert found[spots > 0].min() > 45
    assert found[spots == 0].max() < 2


def test_noise_holds_the_ball_down_unless_it_is_smoothed():
    pixels = np.random.default_rng(0).normal(100, 10, (120, 120))
    kept = {sigma: RollingBall(sigma=sigma).apply(Image.from_array(pixels)).read().mean() for sigma in (0, 1)}
    assert kept[1] < kept[0] / 2


def test_a_ball_that_would_take_forever_is_refused():
    with pytest.raises(ParameterError, match="at most 500 work"):
        RollingBall(radius=501).apply(Image.from_array(np.zeros((5, 5))))
    with pytest.raises(ParameterError, match="resample"):
        RollingBall(radius=200).apply(Image.from_array(np.zeros((5, 5, 5))))
