import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from skimage import data
from skimage.restoration import richardson_lucy

from segmentry.filters.richardson_lucy import RichardsonLucy
from segmentry.image import Grid, Image


def discs():
    y, x = np.indices((100, 110))
    truth = np.full(y.shape, 20.0)
    for cy, cx, radius, height in ((30, 30, 12, 100), (70, 40, 16, 60), (55, 80, 8, 150)):
        truth[(y - cy) ** 2 + (x - cx) ** 2 < radius**2] += height
    return truth


def error(found, truth):
    return np.sqrt(np.square(found - truth).mean())


def spread(sigma):
    """Return the weights of a Gaussian cut off at 4 sigma."""
    reach = int(4 * sigma + 0.5)
    curve = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    return curve / curve.sum()


@pytest.mark.parametrize("name", ["coins", "camera"])
def test_is_the_iteration_of_scikit_image(name):
    # Equal to 1e-4 of the range away from the edges, beyond which theirs sees black.
    image = getattr(data, name)()[100:260, 100:280].astype(float)
    light = (image - image.min()) / np.ptp(image)
    psf = np.outer(spread(1.5), spread(1.5))
    theirs = richardson_lucy(light, psf, num_iter=8, clip=False)
    ours = RichardsonLucy(sigma=1.5, iterations=8).apply(Image.from_array(light)).read()
    assert np.abs(ours - theirs)[40:-40, 40:-40].max() < 1e-4


def test_is_the_iteration_of_scikit_image_in_volumes_with_a_longer_blur_along_z():
    light = np.zeros((40, 36, 36))
    light[18:21, 16:20, 17:20] = 1
    psf = spread(1.6)[:, None, None] * spread(1.0)[:, None] * spread(1.0)
    light = gaussian_filter(light, (1.6, 1, 1)) + 0.01
    light -= light.min()
    light /= light.max()
    theirs = richardson_lucy(light, psf, num_iter=5, clip=False)
    grid = Grid("ZYX", light.shape, (0.5, 0.2, 0.2), "um")
    ours = RichardsonLucy(sigma="0.2 um", sigma_z="0.8 um", iterations=5).apply(Image(light, grid)).read()
    assert np.abs(ours - theirs)[6:-6, 6:-6, 6:-6].max() < 1e-3


@pytest.mark.parametrize("noise", [0, 1, 3])
def test_brings_a_blurred_image_nearer_to_the_truth(noise):
    truth = discs()
    blurred = gaussian_filter(truth, 2) + np.random.default_rng(0).normal(0, noise, truth.shape)
    found = RichardsonLucy(sigma=2).apply(Image.from_array(blurred)).read()
    assert error(found, truth) < 0.9 * error(blurred, truth)


def test_two_points_that_the_blur_joined_come_apart():
    truth = np.zeros((40, 40))
    truth[20, 18] = truth[20, 22] = 1000
    blurred = gaussian_filter(truth, 2)
    assert blurred[20, 20] > blurred[20, 18]
    found = RichardsonLucy(sigma=2, iterations=30).apply(Image.from_array(blurred)).read()
    assert found[20, 20] < 0.9 * found[20, 18]


def test_light_is_neither_made_nor_lost_and_never_negative():
    image = data.coins().astype(np.float32) - 60
    found = RichardsonLucy(sigma=2).apply(Image.from_array(image)).read()
    assert found.min() >= image.min()
    assert found.mean(dtype=float) == pytest.approx(image.mean(dtype=float), abs=0.5)


def test_sigma_zero_changes_nothing():
    image = Image.from_array(data.coins()[:40, :40])
    assert np.array_equal(RichardsonLucy(sigma=0).apply(image).read(), image.read())
