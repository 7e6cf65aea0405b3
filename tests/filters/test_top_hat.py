import numpy as np
import pytest
from scipy import ndimage
from skimage import data

from segmentry.errors import ParameterError
from segmentry.filters.top_hat import TopHat
from segmentry.image import Image


@pytest.mark.parametrize("pixels", [data.moon(), data.page()], ids=["moon", "page"])
@pytest.mark.parametrize("radius", [2, 10])
def test_top_hats_are_those_of_scipy(pixels, radius):
    image, box = Image.from_array(pixels), (2 * radius + 1,) * 2
    real = pixels.astype(np.float32)
    assert np.array_equal(TopHat(radius=radius).apply(image).read(), ndimage.white_tophat(real, box))
    assert np.array_equal(TopHat(radius=radius, objects="dark").apply(image).read(), ndimage.black_tophat(real, box))


def test_a_spot_keeps_its_height_and_a_slope_is_gone():
    pixels = np.add.outer(np.zeros(60), np.full(80, 100.0))
    pixels[20:25, 30:36] += 40
    found = TopHat(radius=5).apply(Image.from_array(pixels)).read()
    assert np.array_equal(found > 0, pixels > 100)
    assert found.max() == 40


def test_a_volume_of_thick_planes_has_a_flat_box():
    pixels = np.random.default_rng(0).integers(0, 255, (9, 20, 20)).astype(np.float32)
    found = TopHat(radius="4 um").apply(Image.from_array(pixels, spacing=(4, 1, 1))).read()
    assert np.array_equal(found, ndimage.white_tophat(pixels, (3, 9, 9)))


def test_a_box_wider_than_any_window_is_refused():
    with pytest.raises(ParameterError, match="at most 500"):
        TopHat(radius=501).apply(Image.from_array(np.zeros((5, 5))))
