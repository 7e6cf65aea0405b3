"""Gaussian smoothing: how far it reaches, what it does at edges, and axes that differ."""

from pathlib import Path

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from segmentry.filters.gaussian import Gaussian
from segmentry.image import Image

RECORDED = Path(__file__).parents[1] / "reference" / "ilastik_objects.npz"


def test_cut_off_at_two_sigma_it_is_what_ilastik_does_to_probabilities():
    with np.load(RECORDED) as file:
        cases = {name.partition("/")[2]: file[name] for name in file.files if name.startswith("smooth/")}
    image = Image.from_array(cases.pop("image"))
    assert len(cases) == 3
    for name, expected in cases.items():
        y, x = map(float, name.split())
        found = Gaussian(sigma=x, sigma_y=y, truncate=2, edges="single").apply(image).read()
        assert np.abs(found - expected).max() < 2e-7


@pytest.mark.parametrize("axes", ["YX", "ZYX", "TCZYX"])
def test_each_axis_has_its_own_sigma(axes):
    pixels = np.random.default_rng(0).random(tuple({"T": 2, "C": 2, "Z": 5, "Y": 11, "X": 13}[a] for a in axes))
    image = Image.from_array(pixels.astype(np.float32), axes)
    found = Gaussian(sigma=2, sigma_y=1, sigma_z=0).apply(image).read()
    sigmas = [{"X": 2, "Y": 1}.get(a, 0) for a in axes]
    assert np.abs(found - gaussian_filter(pixels.astype(np.float32), sigmas)).max() < 1e-6


def test_by_default_it_is_that_of_scipy():
    pixels = np.random.default_rng(1).random((20, 30)).astype(np.float32)
    for sigma in (0.05, 0.4, 1.0, 3.3):
        found = Gaussian(sigma=sigma).apply(Image.from_array(pixels)).read()
        assert np.array_equal(found, gaussian_filter(pixels, sigma))
