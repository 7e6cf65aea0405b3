import itertools

import numpy as np
import pytest
from scipy import ndimage
from skimage import data, filters

from segmentry import segment
from segmentry.errors import InputError, ParameterError
from segmentry.image import Image
from segmentry.methods.hysteresis import Hysteresis
from segmentry.overview import Overview
from segmentry.run import run
from segmentry.thresholds import multi_otsu_thresholds

IMAGES = {"coins": data.coins(), "camera": data.camera(), "page": data.page(), "moon": data.moon(), "cell": data.cell()}
RULES = {
    "otsu": filters.threshold_otsu,
    "yen": filters.threshold_yen,
    "isodata": filters.threshold_isodata,
    "triangle": filters.threshold_triangle,
    "mean": filters.threshold_mean,
}


def level(image, method, **parameters):
    return segment(Image.from_array(image), method, **parameters).segmenter.thresholds()[0]


@pytest.mark.parametrize("name", IMAGES)
@pytest.mark.parametrize("method", RULES)
def test_a_rule_gives_the_level_of_scikit_image(name, method):
    image = IMAGES[name]
    expected = RULES[method](image)
    assert level(image, method) == pytest.approx(expected, rel=1e-12)
    found = np.asarray(segment(Image.from_array(image), method).result.classes) > 0
    assert np.array_equal(found, image > expected)


@pytest.mark.parametrize("name", IMAGES)
def test_li_comes_to_rest_where_scikit_image_does(name):
    # scikit-image stops when the level moves less than half a grey value, here it goes on.
    assert level(IMAGES[name], "li") == pytest.approx(filters.threshold_li(IMAGES[name], tolerance=1e-3), abs=0.02)


@pytest.mark.parametrize("name", ["coins", "camera", "page", "cell"])
def test_the_valley_is_that_of_scikit_image(name):
    try:
        expected = filters.threshold_minimum(IMAGES[name])
    except RuntimeError:
        with pytest.raises(InputError, match="two peaks"):
            level(IMAGES[name], "minimum")
    else:
        assert abs(level(IMAGES[name], "minimum") - expected) <= 2


@pytest.mark.parametrize("n", [2, 3, 4])
@pytest.mark.parametrize("name", ["coins", "camera", "cell"])
def test_several_classes_are_those_of_scikit_image(name, n):
    found = segment(Image.from_array(IMAGES[name]), "multi_otsu", n_classes=n)
    expected = filters.threshold_multiotsu(IMAGES[name], n)
    assert np.array_equal(np.asarray(found.result.classes), np.digitize(IMAGES[name], expected, right=True))


def test_no_other_levels_part_a_small_histogram_better():
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 12, 400).astype(np.uint8)
    found = multi_otsu_thresholds(Overview(Image.from_array(pixels.reshape(20, 20))).histogram(), 4)

    def within(levels):
        classes = np.digitize(pixels, levels, right=True)
        return sum(((pixels[classes == k] - pixels[classes == k].mean()) ** 2).sum() for k in np.unique(classes))

    best = min(within(levels) for levels in itertools.combinations(range(12), 3))
    assert within(found) == pytest.approx(best)


@pytest.mark.parametrize("name", ["coins", "cell"])
def test_hysteresis_keeps_the_regions_that_reach_the_high_level(name):
    image = IMAGES[name]
    found = run(Hysteresis(low=90, high=140), Image.from_array(image)).instances
    regions, _ = ndimage.label(image > 90, np.ones((3, 3)))
    strong = np.unique(regions[image > 140])
    assert np.array_equal(np.asarray(found.labels) > 0, np.isin(regions, strong[strong > 0]))
    assert len(found) == len(strong[strong > 0])


def test_levels_in_the_wrong_order_are_refused():
    with pytest.raises(ParameterError, match="must not exceed"):
        Hysteresis(low=5, high=3)


def test_a_level_of_ones_own_is_used_as_it_is():
    assert level(IMAGES["coins"], "manual", at=99.5) == 99.5
    assert level(IMAGES["coins"], "manual") == (IMAGES["coins"].min() + IMAGES["coins"].max()) / 2


@pytest.mark.parametrize("method", [*RULES, "li", "minimum", "multi_otsu", "manual", "hysteresis"])
def test_an_image_of_one_value_has_no_objects(method):
    assert len(segment(np.full((9, 9), 7, np.uint8), method).instances) == 0
