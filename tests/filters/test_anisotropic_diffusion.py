import numpy as np
import pytest
import SimpleITK
from skimage import data

from segmentry.errors import ParameterError
from segmentry.filters.anisotropic_diffusion import AnisotropicDiffusion
from segmentry.image import Grid, Image


def by_definition(image, contrast, time, iterations, spacing, exponential):
    """Return the diffused image, all flows computed at once for each step."""
    found = image.astype(float)
    for _ in range(iterations):
        change = np.zeros(image.shape)
        for axis, s in enumerate(spacing):
            slope = np.diff(found, axis=axis) / s
            share = np.exp(-((slope / contrast) ** 2)) if exponential else 1 / (1 + (slope / contrast) ** 2)
            change += np.diff(share * slope, axis=axis, prepend=0, append=0) / s
        found += time * change
    return found


@pytest.mark.parametrize("edges", ["exp", "fraction"])
def test_is_the_iteration_of_the_definition(edges):
    image = data.camera()[100:160, 150:220]
    step = AnisotropicDiffusion(contrast=3, iterations=25, time_step=0.2, edges=edges, noise_=(5.0,))
    expected = by_definition(image, 15, 0.2, 25, (1, 1), edges == "exp")
    assert step.apply(Image.from_array(image)).read() == pytest.approx(expected, abs=2e-3)


def test_is_the_iteration_of_the_definition_in_volumes_with_spacing():
    image = np.random.default_rng(0).normal(0, 1, (6, 14, 15))
    step = AnisotropicDiffusion(iterations=12, noise_=(0.6,))
    found = step.apply(Image(image, Grid("ZYX", image.shape, (0.6, 0.2, 0.3), "um"))).read()
    assert found == pytest.approx(by_definition(image, 1.2, 0.125, 12, (3, 1, 1.5), True), abs=1e-5)


def test_noise_falls_and_edges_stay_as_with_itk():
    image = np.random.default_rng(0).normal(0, 5, (80, 80)).astype(np.float32)
    image[:, 40:] += 100
    theirs = SimpleITK.GetArrayFromImage(
        SimpleITK.GradientAnisotropicDiffusion(SimpleITK.GetImageFromArray(image), 0.125, 1.0, 1, 20)
    )
    ours = AnisotropicDiffusion(iterations=20).apply(Image.from_array(image)).read()
    for found in (ours, theirs):
        assert found[:, :36].std() < image[:, :36].std() / 2
        assert found[:, 40].mean() - found[:, 39].mean() > 95


def test_the_mean_of_the_image_stays():
    image = data.coins()[:100, :100]
    found = AnisotropicDiffusion(iterations=40).apply(Image.from_array(image)).read()
    assert found.mean(dtype=float) == pytest.approx(image.mean(), abs=1e-3)


def test_the_longest_stable_step_depends_on_the_pixels():
    flat, cube = Grid("YX", (9, 9)), Grid("ZYX", (9, 9, 9))
    thick = Grid("ZYX", (9, 9, 9), (5.0, 1.0, 1.0), "um")
    AnisotropicDiffusion(time_step=0.25).halo(flat)
    AnisotropicDiffusion(time_step=0.24).halo(thick)
    with pytest.raises(ParameterError, match=r"0\.2 is not stable here: use at most 0\.167"):
        AnisotropicDiffusion(time_step=0.2).halo(cube)


def test_the_longest_stable_step_is_stable():
    image = np.random.default_rng(0).normal(0, 1, (40, 40))
    step = AnisotropicDiffusion(time_step=0.25, iterations=200, contrast=1000)
    found = step.apply(Image.from_array(image)).read()
    assert np.abs(found).max() < np.abs(image).max()
