import numpy as np
import pytest
from skimage import data, filters

from segmentry import segment
from segmentry.errors import ParameterError
from segmentry.image import Image
from segmentry.kernels.local_statistics import box_statistics
from segmentry.local_thresholds import LocalThreshold
from segmentry.methods.sauvola import Sauvola
from segmentry.run import run

PAGE = (data.page() - data.page().min()) / (data.page().max() - data.page().min())
EXPECTED = {
    "local_mean": lambda image: filters.threshold_local(image, 31, "mean", offset=0.05),
    "niblack": lambda image: filters.threshold_niblack(image, 31, k=0.2),
    "sauvola": lambda image: filters.threshold_sauvola(image, 31, k=0.2, r=0.5),
}


@pytest.mark.parametrize("method", EXPECTED)
def test_dark_writing_is_found_as_scikit_image_finds_it(method):
    found = segment(PAGE, method, radius=15, foreground="dark").result
    expected = EXPECTED[method](PAGE)
    # A pixel that lies on the level to within a step of the range may fall to either side, and edges are mirrored
    # about the outermost pixel there, about its outer side here.
    inner = (slice(15, -15), slice(15, -15))
    clear = np.abs(PAGE - expected)[inner] > 2 / 65_535
    assert np.array_equal((np.asarray(found.classes) > 0)[inner][clear], (expected > PAGE)[inner][clear])
    assert clear.mean() > 0.999


def test_phansalkar_is_its_formula():
    mean, sd = (s / 65_535 for s in box_statistics(np.rint(PAGE * 65_535).astype(np.int64), (15, 15)))
    level = mean * (1 + 2 * np.exp(-10 * mean) + 0.25 * (sd / 0.5 - 1))
    found = segment(PAGE, "phansalkar", radius=15, foreground="dark").result
    assert (np.asarray(found.classes) == (level > PAGE)).mean() > 0.9999


@pytest.mark.parametrize("method", [*EXPECTED, "phansalkar"])
def test_bright_objects_are_dark_ones_turned_over(method):
    dark = segment(PAGE, method, radius=15, foreground="dark").result
    bright = segment(1 - PAGE, method, radius=15).result
    assert (np.asarray(dark.classes) == np.asarray(bright.classes)).mean() > 0.9999


@pytest.mark.parametrize("method", EXPECTED)
def test_uneven_light_does_not_hide_objects(method):
    ramp = np.linspace(0, 400, 120)[None] + np.zeros((80, 1))
    spots = np.zeros((80, 120))
    for y, x in ((20, 15), (60, 15), (20, 60), (60, 60), (20, 105), (60, 105)):
        spots[y - 4 : y + 5, x - 4 : x + 5] = 120
    found = segment(ramp + spots, method, radius=15)
    labels = np.asarray(found.instances.labels)
    assert (labels[spots > 0] > 0).mean() > 0.7


def test_sums_in_boxes_are_exact_even_when_they_pass_64_bits_on_the_way():
    values = np.full((3, 4000), 2**40, np.int64)
    mean, sd = box_statistics(values, (1, 100))
    assert (mean == 2**40).all()
    assert np.isfinite(sd).all()


def test_a_box_wider_than_any_window_is_refused():
    with pytest.raises(ParameterError, match="at most 500"):
        segment(Image.from_array(np.zeros((5, 5))).read(), "sauvola", radius=900)


def test_both_probabilities_sum_to_one_and_follow_the_class_in_any_window():
    image = Image.from_array(data.page())
    whole = run(Sauvola(radius=9, foreground="dark"), image, probabilities=True).result
    tiled = run(Sauvola(radius=9, foreground="dark"), image, probabilities=True, tile=50).result
    probable = np.asarray(whole.probabilities)
    assert np.array_equal(probable, tiled.probabilities)
    assert np.allclose(probable.sum(axis=0), 1)
    classes = np.asarray(whole.classes) > 0
    assert (probable[1][classes] >= 0.5).all()
    assert (probable[1][~classes] <= 0.5).all()
    assert np.allclose(whole.confidence, np.where(classes, probable[1], probable[0]) * 65_535)


def test_a_rule_of_ones_own_is_a_line_of_numpy():
    class Darker(LocalThreshold):
        name = "darker"

        def level(self, mean, sd):
            return np.where(sd > 0.1, 0.8, 0.5).astype(np.float64) * mean

    found = run(Darker(foreground="dark", radius=15), Image.from_array(PAGE)).result
    mean, sd = (s / 65_535 for s in box_statistics(np.rint(PAGE * 65_535).astype(np.uint16), (15, 15)))
    assert (np.asarray(found.classes) == (np.where(sd > 0.1, 0.8, 0.5) * mean > PAGE)).mean() > 0.999
