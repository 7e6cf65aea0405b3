import numpy as np
import pytest
from scipy.ndimage import correlate1d
from skimage import data
from skimage.restoration import denoise_wavelet

from segmentry.filters.wavelet import Wavelet, noise_shares, smoothings
from segmentry.image import Grid, Image


def starlet(image, levels):
    """Return the details of all scales and what is left, by convolutions with spread-out splines."""
    details = []
    for level in range(levels):
        taps = np.zeros(4 * 2**level + 1)
        taps[:: 2**level] = np.array([1, 4, 6, 4, 1]) / 16
        smooth = image
        for axis in range(image.ndim):
            smooth = correlate1d(smooth, taps, axis=axis, mode="reflect")
        details.append(image - smooth)
        image = smooth
    return details, image


def closeness(found, truth):
    return -10 * np.log10(np.square(found - truth).mean())


@pytest.mark.parametrize("sigma", [5, 10, 20, 30])
@pytest.mark.parametrize("name", ["camera", "coins"])
def test_removes_noise_better_than_scikit_image_does(name, sigma):
    # By 0.6 to 2.7 dB in these cases; both with their defaults.
    truth = getattr(data, name)()[:256, :256] / 255
    image = truth + np.random.default_rng(0).normal(0, sigma / 255, truth.shape)
    found = Wavelet().apply(Image.from_array(image)).read()
    assert closeness(found, truth) > closeness(denoise_wavelet(image, rescale_sigma=True), truth) + 0.5


@pytest.mark.parametrize("mode", ["hard", "soft"])
def test_is_the_starlet_transform_with_thresholds(mode):
    image = data.coins()[100:150, 90:150].astype(float)
    details, rest = starlet(image, 3)
    expected = rest.copy()
    # The spread of unit noise in the first three scales: Starck & Murtagh, Astronomical Image and Data Analysis.
    for detail, share in zip(details, (0.8908, 0.2007, 0.0856), strict=True):
        limit = 2.5 * 9 * share
        strong = np.abs(detail) > limit
        expected += np.where(strong, detail - (mode == "soft") * limit * np.sign(detail), 0)
    found = Wavelet(mode=mode, threshold=2.5, levels=3, noise_=(9.0,)).apply(Image.from_array(image)).read()
    # A detail at the very threshold may fall on either side of it.
    assert np.mean(np.abs(found - expected) < 0.02) > 0.999


def point(shape):
    """Return an image whose details are the weights that details are made with."""
    image = np.zeros(shape)
    image[tuple(n // 2 for n in shape)] = 1
    return image


@pytest.mark.parametrize("shape", [(99, 99), (39, 39, 39)])
def test_the_noise_of_each_scale_is_the_norm_of_its_weights(shape):
    shares = noise_shares(smoothings(Grid("ZYX"[-len(shape) :], shape), 3))
    assert shares == pytest.approx([np.sqrt((d**2).sum()) for d in starlet(point(shape), 3)[0]], rel=1e-9)


def test_distant_planes_are_averaged_from_the_scale_of_their_distance_on():
    grid = Grid("ZYX", (9, 40, 40), (4.2, 1.0, 1.0), "um")
    assert smoothings(grid, 4) == [(0, 1, 1), (0, 2, 2), (1, 4, 4), (2, 8, 8)]
    assert Wavelet(levels=2).halo(grid) == (0, 10, 10)
    of_a_plane = noise_shares(smoothings(Grid("YX", (40, 40)), 2))
    assert noise_shares(smoothings(grid, 2)) == pytest.approx(of_a_plane)


def test_threshold_zero_changes_nothing():
    image = Image.from_array(data.coins()[:40, :40])
    assert np.array_equal(Wavelet(threshold=0).apply(image).read(), image.read())
