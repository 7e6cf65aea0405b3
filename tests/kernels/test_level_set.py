import numpy as np
import pytest
from skimage import data
from skimage.segmentation import chan_vese

from segmentry.kernels.level_set import evolve
from segmentry.two_phases import checkerboard


def dice(one, other):
    return 2 * (one & other).sum() / (one.sum() + other.sum())


@pytest.mark.parametrize(("mu", "lambda1", "iterations"), [(0.25, 1, 60), (0.05, 1.3, 100)])
@pytest.mark.parametrize("name", ["coins", "camera"])
def test_masks_are_those_of_scikit_image(name, mu, lambda1, iterations):
    image = getattr(data, name)()[::2, ::2].astype(np.float64)
    image = (image - image.min()) / (image.max() - image.min())
    theirs = chan_vese(image, mu=mu, lambda1=lambda1, max_num_iter=iterations, tol=1e-3)
    ours = evolve(image.astype(np.float32), checkerboard(image.shape), (1, 1), (mu, lambda1, 1), 0.5, 1e-3, iterations)
    # Where the checkerboard cancels out, heights near 0 take their sign from rounding.
    assert dice(ours > 0, theirs) > 0.998


def ball(spacing):
    rng = np.random.default_rng(0)
    shape = tuple(round(40 / s) for s in spacing)
    place = np.indices(shape) * np.reshape(spacing, (3, 1, 1, 1))
    truth = ((place - 20) ** 2).sum(axis=0) < 13**2
    return (truth + rng.normal(0, 0.5, shape)).astype(np.float32), truth


def test_finds_a_noisy_ball_in_a_volume_with_planes_apart():
    image, truth = ball((2.0, 1.0, 1.0))
    found = evolve(image, image - np.float32(0.5), (2, 1, 1), (1.5, 1, 1), 0.5, 1e-3, 300) > 0
    assert dice(found, truth) > 0.96
    assert dice(image > 0.5, truth) < 0.75


def test_any_order_of_axes_gives_the_same_landscape():
    image, _ = ball((2.0, 1.0, 1.0))
    one = evolve(image, image - np.float32(0.5), (2, 1, 1), (0.5, 1, 1), 0.5, 1e-3, 30)
    turned = image.transpose(1, 2, 0)
    other = evolve(turned, turned - np.float32(0.5), (1, 1, 2), (0.5, 1, 1), 0.5, 1e-3, 30)
    assert other.transpose(2, 0, 1) == pytest.approx(one, abs=1e-3)


def test_larger_pixels_make_outline_matter_less():
    image = data.coins()[:120, :120] / np.float32(255)
    coarse = evolve(image, checkerboard(image.shape), (2, 2), (0.4, 1, 1), 0.5, 0, 60)
    fine = evolve(image, checkerboard(image.shape), (1, 1), (0.2, 1, 1), 0.5, 0, 60)
    assert dice(coarse > 0, fine > 0) > 0.997
