"""What all filters against noise have in common."""

import numpy as np
import pytest

from segmentry import catalog
from segmentry.errors import ParameterError
from segmentry.image import Grid, Image
from segmentry.overview import Overview

#: How many decibels nearer to the truth the filter brings an image of discs with noise of sigma 12, at the very least.
GAINS = {
    "bilateral": 9.0,
    "non_local_means": 11.5,
    "total_variation": 11.0,
    "wavelet": 8.0,
    "anisotropic_diffusion": 10.5,
}
NAMES = sorted(GAINS)


def discs(shape=(120, 130)):
    """Return discs (balls) of several sizes and brightnesses on a grey ground, 8 bit."""
    place = np.indices(shape).astype(float)
    truth = np.full(shape, 40.0)
    for y, x, radius, height in ((35, 35, 20, 120), (30, 95, 14, 60), (85, 45, 10, 90), (85, 95, 25, 40)):
        centre = np.array([*[n / 2 for n in shape[:-2]], y * shape[-2] / 120, x * shape[-1] / 130])
        truth[((place - centre.reshape(-1, *(1,) * len(shape))) ** 2).sum(axis=0) < radius**2] += height
    return truth


def noisy(truth, sigma, seed=0):
    return truth + np.random.default_rng(seed).normal(0, sigma, truth.shape)


def decibels(found, before, truth):
    return 10 * np.log10(np.square(before - truth).mean() / np.square(found - truth).mean())


def filtered(name, pixels, **parameters):
    return catalog.make("filter", name, parameters).apply(Image.from_array(pixels)).read()


@pytest.mark.parametrize("name", NAMES)
def test_defaults_remove_noise_from_8_bit_16_bit_and_real_images(name):
    truth = discs()
    image = noisy(truth, 12)
    for scale, kind in ((1, np.uint8), (200, np.uint16), (1 / 255, np.float32)):
        pixels = image * scale
        pixels = (np.rint(pixels) if np.dtype(kind).kind == "u" else pixels).clip(0, None).astype(kind)
        assert decibels(filtered(name, pixels) / scale, pixels / scale, truth) > GAINS[name]


@pytest.mark.parametrize("name", NAMES)
def test_defaults_remove_noise_from_volumes(name):
    truth = discs((9, 60, 70))
    image = noisy(truth, 12)
    grid = Grid("ZYX", truth.shape, (2.0, 1.0, 1.0), "um")
    found = catalog.make("filter", name).apply(Image(image, grid)).read()
    assert decibels(found, image, truth) > 5


@pytest.mark.parametrize("name", [*NAMES, "richardson_lucy"])
def test_brightness_and_contrast_of_the_image_come_through(name):
    image = noisy(discs((50, 60)), 8).astype(np.float32)
    once, twice = filtered(name, image), filtered(name, 3 * image + 100)
    assert twice == pytest.approx(3 * once + 100, abs=0.02)


@pytest.mark.parametrize("scale", [2.0**-90, 2.0**100])
@pytest.mark.parametrize("name", NAMES)
def test_images_of_tiny_or_huge_numbers_are_filtered_alike(name, scale):
    image = noisy(discs((30, 40)), 8).astype(np.float32)
    assert np.array_equal(filtered(name, image * np.float32(scale)) / np.float32(scale), filtered(name, image))


@pytest.mark.parametrize("name", [*NAMES, "richardson_lucy"])
def test_an_even_image_stays_as_it_is(name):
    pixels = np.full((12, 15), 1000.7, np.float32)
    assert np.array_equal(filtered(name, pixels), pixels)


@pytest.mark.parametrize("name", NAMES)
def test_an_even_region_of_a_noisy_image_stays_as_it_is(name):
    image = noisy(np.full((150, 60), 700.0), 10).astype(np.float32)
    image[:120] = 700
    assert filtered(name, image)[:40] == pytest.approx(np.full((40, 60), 700), abs=1e-3)


@pytest.mark.parametrize("name", NAMES)
def test_each_channel_is_filtered_by_its_own_noise(name):
    truth = discs((50, 60))
    image = np.stack([noisy(truth, 3), 50 * noisy(truth, 20)])
    found = catalog.make("filter", name).apply(Image.from_array(image, "CYX")).read()
    for one, alone in zip(image, found, strict=True):
        assert np.array_equal(filtered(name, one), alone)


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("bilateral", {"sigma": "80 um"}),
        ("non_local_means", {"search": 70}),
        ("non_local_means", {"patch": "30 um"}),
        ("anisotropic_diffusion", {"time_step": 0.3}),
        ("richardson_lucy", {"sigma": 5, "iterations": 50}),
    ],
)
def test_what_would_never_end_or_not_be_stable_is_refused_in_one_line(name, parameters):
    image = Image.from_array(discs((20, 20)), spacing=(1, 1))
    with pytest.raises(ParameterError, match="at most") as caught:
        catalog.make("filter", name, parameters).prepare(Overview(image)).apply(image)
    assert "\n" not in str(caught.value)
