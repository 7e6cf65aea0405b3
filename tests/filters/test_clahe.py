import numpy as np
import pytest
from scipy.stats import spearmanr
from skimage import data
from skimage.exposure import equalize_adapthist
from skimage.filters import rank

from segmentry.errors import ParameterError
from segmentry.filters.clahe import Clahe
from segmentry.image import Image

INNER = (slice(32, -32), slice(32, -32))


@pytest.mark.parametrize("name", ["coins", "camera", "page"])
def test_equalised_intensities_are_nearly_those_of_scikit_image(name):
    # There, mappings of a lattice of tiles are interpolated; here, each pixel has the mapping of its own box.
    pixels = getattr(data, name)()
    found = Clahe(radius=32).apply(Image.from_array(pixels)).read()[INNER]
    expected = equalize_adapthist(pixels, 65)[INNER]
    assert spearmanr(found.ravel(), expected.ravel()).statistic > 0.98
    assert np.abs(found - expected).mean() < 0.03


def test_without_a_limit_it_is_the_share_of_darker_pixels_in_the_box():
    pixels = data.page()
    pixels = ((pixels - pixels.min()) * (255 / (pixels.max() - pixels.min()))).round().astype(np.uint8)
    found = Clahe(radius=32, clip_limit=1).apply(Image.from_array(pixels)).read()[INNER]
    expected = rank.equalize(pixels, np.ones((65, 65), np.uint8))[INNER] / 255
    # Pixels of the same bin count by halves on average here, wholly there.
    assert np.abs(found - expected).max() < 0.03


def test_faint_structures_get_as_much_contrast_as_strong_ones():
    pixels = np.tile(np.repeat([0, 1], 8), (96, 12)).astype(np.float64)
    pixels[:, :96] *= 10
    pixels[:, 96:] *= 100
    found = Clahe(radius=20, clip_limit=1).apply(Image.from_array(pixels)).read()
    faint, strong = (np.ptp(found[30:60, a : a + 32]) for a in (30, 130))
    assert faint > 0.3
    assert strong > 0.3


def test_the_limit_keeps_noise_down():
    pixels = np.random.default_rng(0).normal(100, 1, (90, 90))
    pixels[:3, :3] = 0, 100, 200
    spreads = [Clahe(clip_limit=c).apply(Image.from_array(pixels)).read()[20:].std() for c in (0.005, 0.02, 1)]
    assert spreads == sorted(spreads)
    assert spreads[0] < spreads[2] / 5


def test_a_box_wider_than_any_window_is_refused():
    with pytest.raises(ParameterError, match="at most 500"):
        Clahe(radius=501).apply(Image.from_array(np.zeros((5, 5))))
