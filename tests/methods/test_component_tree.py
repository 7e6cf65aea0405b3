import numpy as np
import pytest
from scipy import ndimage

from segmentry import Image, read_labels, segment, write
from segmentry.app import cli
from segmentry.errors import UnknownNameError
from segmentry.image import Grid
from segmentry.metrics.matching import match_objects
from segmentry.recipe import Recipe, recipes
from segmentry.result import Instances


def nuclei(shape, places, radii, heights, spacing=None, seed=0):
    """Return a blurred, noisy image of balls over a background of 100, and their labels."""
    steps = spacing or (1.0,) * len(shape)
    place = np.indices(shape).astype(float) * np.reshape(steps, (-1, *(1,) * len(shape)))
    labels = np.zeros(shape, np.uint32)
    image = np.full(shape, 100.0)
    for number, (centre, radius, height) in enumerate(zip(places, radii, heights, strict=True), 1):
        inside = ((place - np.reshape(centre, (-1, *(1,) * len(shape)))) ** 2).sum(axis=0) < radius**2
        labels[inside] = number
        image[inside] = 100 + height
    image = ndimage.gaussian_filter(image, [1 / s for s in steps])
    image += np.random.default_rng(seed).normal(0, 3, shape)
    grid = Grid("ZYX"[-len(shape) :], shape, spacing, spacing and "um")
    return Image(image.clip(0).astype(np.uint16), grid), Instances.from_labels(labels, grid)


def matches(found, truth, iou=0.75):
    return len(match_objects(found, truth).matched(iou))


BRIGHT_BESIDE_FAINT = [(30, 30), (30, 90), (90, 30), (90, 90), (60, 60)], [12, 10, 14, 9, 8], [2000, 150, 600, 300, 900]


def test_faint_objects_are_found_beside_bright_ones():
    image, truth = nuclei((120, 120), *BRIGHT_BESIDE_FAINT)
    found = segment(image, "component_tree", lowest=0.03, min_contrast=0.02).instances
    assert len(found) == 5
    assert matches(found, truth) == 5
    assert matches(segment(image, "otsu").instances, truth) < 5


def test_objects_that_touch_are_parted_where_a_level_parts_them():
    image, truth = nuclei((60, 80), [(30, 28), (30, 50)], [11, 11], [1000, 700])
    assert len(segment(image, "otsu").instances) == 1
    found = segment(image, "component_tree").instances
    assert matches(found, truth) == 2


def test_the_dark_are_found_as_the_bright():
    image, _ = nuclei((120, 120), *BRIGHT_BESIDE_FAINT)
    turned = Image(5000 - image.read().astype(np.int32), image.grid)
    bright = segment(image, "component_tree").instances
    dark = segment(turned, "component_tree", foreground="dark").instances
    assert matches(dark, bright, 0.95) == len(bright) == len(dark)


def test_a_volume_with_thick_planes():
    places, radii = [(10, 12, 12), (10, 30, 30), (12, 12, 34)], [6, 7, 5]
    image, truth = nuclei((12, 42, 46), places, radii, [900, 500, 1500], spacing=(2.0, 1.0, 1.0))
    found = segment(image, "component_tree").instances
    assert matches(found, truth, 0.6) == 3


@pytest.mark.parametrize("factor", [1 / 300, 7.0])
def test_the_scale_of_intensities_does_not_matter(factor):
    image, _ = nuclei((120, 120), *BRIGHT_BESIDE_FAINT)
    scaled = Image((image.read() * factor).astype(np.float32), image.grid)
    one, other = (segment(i, "component_tree").instances for i in (image, scaled))
    assert matches(one, other, 0.9) == len(one) == len(other)


def test_every_recipe_that_comes_along_runs():
    image, truth = nuclei((120, 120), *BRIGHT_BESIDE_FAINT)
    for name, line in recipes().items():
        assert len(line) > 20
        assert matches(Recipe.named(name).run(image).instances, truth) >= 3


def test_an_unknown_recipe_is_refused_with_the_nearest(tmp_path, capsys):
    with pytest.raises(UnknownNameError, match="nuclei_classic"):
        Recipe.named("nuclei_clasic")
    assert cli.run(["segment", "any.tif", "-o", str(tmp_path / "out"), "--recipe", "nuclei_clasic"]) == 2
    assert "did you mean 'nuclei_classic'" in capsys.readouterr().err


def test_a_recipe_serves_by_name_on_the_command_line(tmp_path):
    image, _ = nuclei((120, 120), *BRIGHT_BESIDE_FAINT)
    write(tmp_path / "n.tif", image)
    out = tmp_path / "out"
    assert cli.run(["segment", str(tmp_path / "n.tif"), "-o", str(out), "--recipe", "nuclei_classic"]) == 0
    found = read_labels(out / "n" / "labels.ome.tif")
    assert np.array_equal(found.labels, Recipe.named("nuclei_classic").run(image).instances.labels)
