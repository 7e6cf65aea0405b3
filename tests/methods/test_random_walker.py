import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from skimage import data
from skimage.segmentation import random_walker

from segmentry import segment
from segmentry.errors import ParameterError
from segmentry.filters.gaussian import smooth
from segmentry.image import Image
from segmentry.methods.random_walker import RandomWalker
from segmentry.overview import Overview


def on_class_scale(step, image):
    """The image as the method sees it, for scikit-image: mean of Otsu's classes at 0 and 1."""
    return step.scaled(image.read()).astype(np.float64)


def dice(one, other):
    return 2 * (one & other).sum() / (one.sum() + other.sum())


@pytest.mark.parametrize(("name", "beta"), [("coins", 130), ("camera", 20)])
def test_probabilities_are_those_of_scikit_image(name, beta):
    image = Image.from_array(getattr(data, name)()[:120, :140])
    rng = np.random.default_rng(0)
    seeds = [(i % 2, int(rng.integers(0, 120)), int(rng.integers(0, 140))) for i in range(16)]
    step = RandomWalker(seeds=seeds, beta=beta).prepare(Overview(image))
    marked = np.zeros(image.grid.shape, int)
    for k, y, x in seeds:
        marked[y, x] = k + 1
    theirs = random_walker(on_class_scale(step, image), marked, beta=beta, mode="bf", return_full_prob=True)
    assert np.asarray(step.segment(image).probabilities) == pytest.approx(theirs, abs=2e-3)


def volume(spacing=(3.0, 1.0, 1.0)):
    rng = np.random.default_rng(1)
    blobs = gaussian_filter(rng.random((10, 40, 44)), (1.5, 4, 4))
    truth = blobs > np.percentile(blobs, 75)
    pixels = np.rint(truth * 90 + rng.normal(60, 15, truth.shape)).clip(0, 255).astype(np.uint8)
    return Image.from_array(pixels, spacing=spacing), truth


def test_found_seeds_and_spacing_are_those_of_scikit_image_in_a_volume():
    image, truth = volume()
    step = RandomWalker(beta=60).prepare(Overview(image))
    found = step.segment(image)
    values = on_class_scale(step, image)
    level, even = step.level, smooth(values.astype(np.float32), (1 / 3, 1, 1))
    marked = np.where(even <= level / 2, 1, np.where(even > (1 + level) / 2, 2, 0))
    theirs = random_walker(values, marked, beta=60, mode="bf", spacing=(3, 1, 1), return_full_prob=True)
    assert np.asarray(found.probabilities) == pytest.approx(theirs, abs=5e-3)
    assert dice(np.asarray(found.classes) > 0, truth) > 0.93


def test_walkers_stay_inside_an_outline_with_gaps():
    place = np.indices((81, 81)) - 40
    distance = np.hypot(*place)
    ring = np.where(np.abs(distance - 25) < 1.5, 200.0, 0.0)
    ring[:, 39:42] = 0
    seeds = [(1, 40, 40), (0, 0, 0), (0, 80, 0), (0, 0, 80), (0, 80, 80)]
    found = segment(Image.from_array(ring), "random_walker", seeds=seeds, beta=1000)
    assert dice(np.asarray(found.result.classes) == 1, distance < 25) > 0.93


def test_three_classes_from_three_seeds():
    pixels = np.repeat([20, 120, 220], 20)[None].repeat(30, axis=0).astype(np.uint8)
    found = RandomWalker(seeds=[(0, 15, 5), (2, 3, 30), (1, 20, 50)]).segment(Image.from_array(pixels))
    assert np.array_equal(found.classes, np.repeat([0, 2, 1], 20)[None].repeat(30, axis=0))
    assert found.names == ("background", "class 1", "class 2")
    assert np.asarray(found.probabilities).sum(axis=0) == pytest.approx(1)


def test_neither_scale_nor_offset_of_intensities_matters():
    pixels = data.coins()[:120, :150].astype(np.int32)
    one = segment(Image.from_array(pixels), "random_walker").result
    other = segment(Image.from_array(pixels * 200 - 3000), "random_walker").result
    assert np.array_equal(one.classes, other.classes)
    dark = segment(Image.from_array(255 - pixels), "random_walker", foreground="dark").result
    assert (np.asarray(dark.classes) == np.asarray(one.classes)).mean() > 0.99


def test_a_constant_image_is_background_unless_seeds_part_it():
    image = Image.from_array(np.full((9, 20), 7, np.uint8))
    found = RandomWalker().segment(image)
    assert not np.asarray(found.classes).any()
    assert (np.asarray(found.probabilities)[0] == 1).all()
    halves = segment(image, "random_walker", seeds=[(0, 4, 0), (1, 4, 19)]).result
    assert np.array_equal(halves.classes, np.repeat([0, 1], 10)[None].repeat(9, axis=0))


@pytest.mark.parametrize(
    ("seeds", "said"),
    [
        ([(0, 1, 1), (1, 9, 9)], "(9, 9) lies outside the image YX (5, 6)"),
        ([(0, 1, 1), (1, 2, 2, 2)], "(2, 2, 2) lies outside"),
        ([(0, 1, 1), (1, 1, 1)], "(1, 1) is given twice"),
        ([(1, 1, 1)], "class 0 has none"),
        ([(0, 1, 1), (2, 2, 2)], "class 1 has none"),
        ([(0, 1, 1), (1, 2, 2), (-1, 3, 3)], "count from 0"),
    ],
)
def test_wrong_seeds_are_refused(seeds, said):
    with pytest.raises(ParameterError) as caught:
        segment(Image.from_array(np.arange(30, dtype=np.uint8).reshape(5, 6)), "random_walker", seeds=seeds)
    assert said in str(caught.value)
