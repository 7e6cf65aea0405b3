import numpy as np
import pytest
from skimage import data
from skimage.restoration import denoise_tv_chambolle

from segmentry.filters.total_variation import TotalVariation
from segmentry.image import Grid, Image


def energy(found, image, weight, spacing):
    """Return what is to be made small, gradients towards the next pixel."""
    slopes = [np.diff(found, axis=a, append=np.take(found, [-1], axis=a)) / s for a, s in enumerate(spacing)]
    return np.square(found - image).sum() / 2 + weight * np.sqrt(np.square(slopes).sum(axis=0)).sum()


@pytest.mark.parametrize("iterations", [1, 7, 60])
@pytest.mark.parametrize("name", ["coins", "camera", "moon"])
def test_is_chambolles_iteration_as_in_scikit_image(name, iterations):
    # Theirs counts the image it starts from as the first iteration; equal to 1e-4 of the range.
    image = (getattr(data, name)()[100:190, 120:200] / 255).astype(np.float32)
    theirs = denoise_tv_chambolle(image, 0.1, eps=0, max_num_iter=iterations + 1)
    found = TotalVariation(strength=2, iterations=iterations, noise_=(0.05,)).apply(Image.from_array(image)).read()
    assert found == pytest.approx(theirs, abs=1e-4)


def test_is_chambolles_iteration_in_volumes():
    image = np.random.default_rng(0).normal(0, 1, (7, 20, 24)).astype(np.float32)
    theirs = denoise_tv_chambolle(image, 0.8, eps=0, max_num_iter=31)
    found = TotalVariation(strength=1, iterations=30, noise_=(0.8,)).apply(Image.from_array(image)).read()
    assert found == pytest.approx(theirs, abs=1e-4)


@pytest.mark.parametrize("shape", [(1, 9), (9, 1), (1, 1), (1, 8, 9), (5, 1, 9), (5, 9, 1)])
def test_images_of_one_row_work(shape):
    image = np.random.default_rng(0).normal(0, 1, shape).astype(np.float32)
    found = TotalVariation(strength=1, iterations=20, noise_=(0.5,)).apply(Image.from_array(image)).read()
    assert found == pytest.approx(denoise_tv_chambolle(image, 0.5, eps=0, max_num_iter=21), abs=1e-4)


def test_planes_further_apart_hold_each_other_less():
    # The result makes the energy with the true distances small: smaller than the result for equal distances does.
    image = np.random.default_rng(0).normal(0, 1, (8, 16, 16)).astype(np.float32)
    step = TotalVariation(strength=1, iterations=300, noise_=(0.5,))
    true = step.apply(Image(image, Grid("ZYX", image.shape, (3.0, 1.0, 1.0), "um"))).read()
    equal = step.apply(Image.from_array(image)).read()
    assert energy(true, image, 0.5, (3, 1, 1)) < energy(equal, image, 0.5, (3, 1, 1))
    assert energy(equal, image, 0.5, (1, 1, 1)) < energy(true, image, 0.5, (1, 1, 1))


def test_strength_zero_changes_nothing():
    image = Image.from_array(data.coins()[:40, :40])
    assert np.array_equal(TotalVariation(strength=0).apply(image).read(), image.read())
