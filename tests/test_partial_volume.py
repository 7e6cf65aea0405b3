"""Small objects in coarse pixels have their true volume, and one object has one size however it is sampled."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from segmentry.analysis.class_volumes import class_volumes
from segmentry.analysis.measure import measure
from segmentry.image import Image
from segmentry.methods.gaussian_mixture import GaussianMixture
from segmentry.methods.li import Li
from segmentry.methods.otsu import Otsu
from segmentry.methods.triangle import Triangle
from segmentry.result import Instances
from segmentry.run import run

FINE = 5
MIXTURE = GaussianMixture(n_classes=2, partial_volume=True)


def filled(radius, spacing, rng):
    """Return how full the voxels around a ball are whose centre lies anywhere in a voxel."""
    shape = np.ceil((2 * radius + 6) / spacing).astype(int)
    centre = (shape / 2 + rng.uniform(-0.5, 0.5, 3)) * spacing
    axes = [((np.arange(n * FINE) + 0.5) / FINE * s - c) ** 2 for n, s, c in zip(shape, spacing, centre, strict=True)]
    inside = axes[0][:, None, None] + axes[1][None, :, None] + axes[2] < radius**2
    return inside.reshape(shape[0], FINE, shape[1], FINE, shape[2], FINE).mean(axis=(1, 3, 5))


def balls(radius, spacing, noise, counts=(2, 3, 3), seed=0):
    """Return an image of balls whose contrast is 100, and their volume."""
    rng = np.random.default_rng(seed)
    deep, high, wide = counts
    spacing = np.array(spacing, float)
    share = np.block([[[filled(radius, spacing, rng) for _ in range(wide)] for _ in range(high)] for _ in range(deep)])
    pixels = 20 + 100 * share + rng.normal(0, noise, share.shape)
    image = Image.from_array(pixels.astype(np.float32), "ZYX", spacing=spacing, unit="mm")
    return image, deep * high * wide * 4 / 3 * np.pi * radius**3


def errors(method, image, truth):
    """Return the error of the counted and of the summed volume."""
    row = class_volumes(run(method, image, probabilities=True).result).iloc[1]
    return row["counted_volume_mm3"] / truth - 1, row["summed_volume_mm3"] / truth - 1


@pytest.mark.parametrize(
    ("radius", "spacing", "noise"),
    [(2, (1, 1, 1), 2), (3, (1, 1, 1), 5), (3, (3, 1, 1), 2), (4, (3, 1, 1), 5), (6, (5, 1, 1), 2), (8, (5, 1, 1), 5)],
)
def test_volumes_from_probabilities_are_right_where_counts_are_wrong(radius, spacing, noise):
    image, truth = balls(radius, spacing, noise)
    assert abs(errors(MIXTURE, image, truth)[1]) < 0.02
    for method in (Li(), Triangle()):
        assert errors(method, image, truth)[0] > 0.1


def test_otsus_count_is_wrong_where_balls_are_as_small_as_planes_are_apart():
    image, truth = balls(3, (3, 1, 1), 2)
    assert errors(Otsu(), image, truth)[0] > 0.1
    assert abs(errors(MIXTURE, image, truth)[1]) < 0.02


@pytest.mark.parametrize("seed", range(4))
def test_the_volume_of_a_single_ball_does_not_depend_on_where_it_lies_in_its_voxels(seed):
    image, truth = balls(4, (1, 1, 1), 2, (1, 1, 1), seed)
    assert abs(errors(MIXTURE, image, truth)[1]) < 0.02
    assert errors(Triangle(), image, truth)[0] > 0.1


def test_without_noise_the_sum_is_exact():
    image, truth = balls(4, (3, 1, 1), 1e-6)
    assert abs(errors(MIXTURE, image, truth)[1]) < 0.003


def ellipsoid(radii, spacing, seed):
    """Return the measures of an ellipsoid turned and placed at random, sampled at voxel centres."""
    rng = np.random.default_rng(seed)
    spacing = np.array(spacing, float)
    shape = np.ceil((2 * max(radii) + 4 * spacing) / spacing).astype(int)
    centre = (shape - 1) / 2 + rng.uniform(-0.5, 0.5, 3)
    place = (np.moveaxis(np.indices(shape), 0, -1) - centre) * spacing
    turned = place @ Rotation.random(random_state=seed).as_matrix() / radii
    labels = ((turned**2).sum(axis=-1) <= 1).astype(np.uint32)
    image = Image.from_array(labels, "ZYX", spacing=spacing, unit="um")
    return measure(Instances.from_labels(labels, image.grid)).iloc[0]


# Radii are three or more of the distances between planes.
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    ("radii", "depth"), [((9, 9, 9), 3), ((10, 12, 16), 3), ((12, 12, 12), 4), ((14, 18, 24), 4), ((16, 16, 16), 5)]
)
def test_one_object_has_one_volume_and_surface_however_far_planes_lie_apart(radii, depth, seed):
    even, coarse = ellipsoid(radii, (1, 1, 1), seed), ellipsoid(radii, (depth, 1, 1), seed)
    for column in ("volume_um3", "surface_um2"):
        assert coarse[column] == pytest.approx(even[column], rel=0.03), column
    assert even["volume_um3"] == pytest.approx(4 / 3 * np.pi * np.prod(radii), rel=0.01)
