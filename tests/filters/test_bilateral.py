import math

import numpy as np
import pytest
import SimpleITK
from skimage import data

from segmentry.filters.bilateral import Bilateral
from segmentry.image import Grid, Image


def by_definition(image, sigma, tolerance):
    """Return the weighted mean over the box, pixel by pixel of the box."""
    reach = [math.ceil(3 * s) for s in sigma]
    padded = np.pad(image, [(r, r) for r in reach], mode="symmetric")
    total, weight = np.zeros(image.shape), np.zeros(image.shape)
    for place in np.ndindex(*(2 * r + 1 for r in reach)):
        other = padded[tuple(slice(p, p + n) for p, n in zip(place, image.shape, strict=True))]
        far = sum(((p - r) / s) ** 2 for p, r, s in zip(place, reach, sigma, strict=True))
        w = np.exp(-far / 2 - ((other - image) / tolerance) ** 2 / 2)
        total += w * other
        weight += w
    return total / weight


def test_is_the_weighted_mean_of_the_definition():
    image = data.coins()[100:150, 90:150].astype(float)
    step = Bilateral(sigma=1.2, sigma_intensity=3, noise_=(8.0,))
    found = step.apply(Image.from_array(image)).read()
    assert found == pytest.approx(by_definition(image, (1.2, 1.2), 24), abs=1e-3)


def test_is_the_weighted_mean_of_the_definition_in_volumes_with_spacing():
    image = np.random.default_rng(0).normal(0, 1, (6, 14, 15))
    step = Bilateral(sigma="1 um", sigma_intensity=2, noise_=(0.7,))
    found = step.apply(Image(image, Grid("ZYX", image.shape, (2.0, 1.0, 0.8), "um"))).read()
    assert found == pytest.approx(by_definition(image, (0.5, 1.0, 1.25), 1.4), abs=1e-5)


def test_agrees_with_itk_on_a_photograph():
    # ITK cuts the box at 2.5 sigma and looks weights up in a table: within 1 % of the range away from the edges.
    image = (data.camera()[100:180, 150:250] + np.random.default_rng(0).normal(0, 10, (80, 100))).astype(np.float32)
    theirs = SimpleITK.GetArrayFromImage(SimpleITK.Bilateral(SimpleITK.GetImageFromArray(image), 1.5, 30.0, 1000))
    ours = Bilateral(sigma=1.5, sigma_intensity=3, noise_=(10.0,)).apply(Image.from_array(image)).read()
    assert np.abs(ours - theirs)[6:-6, 6:-6].max() < 2.55


def test_a_step_higher_than_the_noise_stays_sharp():
    image = np.random.default_rng(0).normal(0, 5, (60, 60))
    image[:, 30:] += 100
    found = Bilateral().apply(Image.from_array(image)).read()
    assert np.abs(found[:, 29] - 0).mean() < 5
    assert np.abs(found[:, 30] - 100).mean() < 5
    assert found[:, :28].std() < image[:, :28].std() / 2


def test_sigma_zero_changes_nothing():
    image = Image.from_array(data.coins()[:40, :40])
    assert np.array_equal(Bilateral(sigma=0).apply(image).read(), image.read())
