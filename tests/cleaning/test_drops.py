from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage
from skimage import data
from skimage.measure import regionprops
from skimage.morphology import remove_small_objects

from segmentry.analysis.measure import measure
from segmentry.cleaning.drop_elongated import DropElongated
from segmentry.cleaning.drop_faint import DropFaint
from segmentry.cleaning.drop_large import DropLarge
from segmentry.cleaning.drop_unsure import DropUnsure
from segmentry.cleaning.keep_largest import KeepLargest
from segmentry.image import Grid, Image
from segmentry.result import Instances
from segmentry.testing import sample_image


def coins():
    return Instances.from_labels(ndimage.label(data.coins() > 107, np.ones((3, 3)))[0])


def labels_of(found):
    return np.asarray(found.labels[...])


def test_large_and_small_objects_share_out_all_there_are():
    before = coins()
    after = labels_of(DropLarge(max_size=1500).apply(before))
    small = labels_of(before) - remove_small_objects(labels_of(before).astype(np.int64), max_size=1500)
    assert after.any()
    assert np.array_equal(after, small)


def test_a_size_may_be_given_in_cubic_micrometres():
    labels = np.zeros((4, 9, 9), np.uint32)
    labels[0, 0, :8], labels[2, 3:5, 3:5] = 1, 2
    before = Instances.from_labels(labels, Grid("ZYX", labels.shape, (2, 0.5, 0.5), "um"))
    assert DropLarge(max_size="2 um3").apply(before).ids.tolist() == [2]


def test_the_largest_are_kept_at_each_time_point_and_of_equal_ones_the_first():
    labels = np.zeros((2, 6, 12), np.uint32)
    labels[0, 0, :4], labels[0, 2, :3], labels[0, 4, :3] = 9, 8, 2
    labels[1, 3, :2], labels[1, 5, 4:9] = 5, 6
    before = Instances.from_labels(labels, Grid("TYX", labels.shape))
    assert KeepLargest().apply(before).ids.tolist() == [6, 9]
    assert KeepLargest(number=2).apply(before).ids.tolist() == [5, 6, 8, 9]
    assert len(KeepLargest(number=50).apply(before)) == 5


def test_scores_below_the_bound_go_and_objects_without_a_score_stay():
    labels = np.arange(1, 6, dtype=np.uint32)[None].repeat(2, axis=0)
    before = Instances.from_labels(labels)
    assert len(DropUnsure(min_score=1).apply(before)) == 5
    scored = replace(before, scores=np.array([0.2, 0.5, np.nan, 0.49, 1], np.float32))
    after = DropUnsure(min_score=0.5).apply(scored)
    assert after.ids.tolist() == [2, 3, 5]
    assert after.scores.tolist() == pytest.approx([0.5, np.nan, 1], nan_ok=True)


@pytest.mark.parametrize("axes", ["YX", "ZYX"])
@pytest.mark.parametrize("spacing", [False, True])
def test_elongation_is_that_of_scikit_image_and_of_the_table(axes, spacing):
    image = sample_image(axes, spacing=spacing)
    labels = ndimage.label(image.read() > 70)[0]
    before = Instances.from_labels(labels, image.grid)
    steps = image.grid.spacing or (1,) * len(axes)
    kept = set()
    for props in regionprops(labels, spacing=steps):
        values = np.linalg.eigvalsh(np.cov((props.coords * steps).T, bias=True)) if props.num_pixels > 1 else [0, 0]
        if np.sqrt(values[-1]) <= 1.5 * np.sqrt(max(values[0], 0)):
            kept.add(props.label)
    after = DropElongated(max_elongation=1.5).apply(before)
    assert 0 < len(after) < len(before)
    assert set(after.ids.tolist()) == kept
    table = measure(before, image).dropna(subset="elongation")
    assert set(table["id"][table["elongation"] <= 1.5]) == kept & set(table["id"])


def test_a_scratch_goes_and_a_disc_and_a_pixel_stay():
    y, x = np.indices((60, 60))
    labels = ((y - 20) ** 2 + (x - 20) ** 2 < 90).astype(np.uint32)
    labels[50, 5:55], labels[40, 50] = 2, 3
    assert DropElongated(max_elongation=2).apply(Instances.from_labels(labels)).ids.tolist() == [1, 3]


def scene(shape=(60, 90)):
    """Return objects 1 … 4 on a slope with noise of 2: one bright, one dark, one faint, one whose pixels are NaN."""
    rng = np.random.default_rng(0)
    labels = np.zeros(shape, np.uint32)
    pixels = rng.normal(0, 2, shape) + 100 + np.arange(shape[1])
    for number, (left, step) in enumerate([(5, 30), (25, -30), (45, 1), (70, 50)], start=1):
        labels[20:35, left : left + 12] = number
        pixels[20:35, left : left + 12] += step
    pixels[labels == 4] = np.nan
    pixels[3, ::7] = np.inf
    return Instances.from_labels(labels), Image.from_array(pixels.astype(np.float32))


@pytest.mark.parametrize(("objects", "kept"), [("any", [1, 2]), ("bright", [1]), ("dark", [2])])
def test_what_does_not_stand_out_is_dropped_whatever_the_brightness(objects, kept):
    before, image = scene()
    step = DropFaint(min_contrast=4, objects=objects)
    assert [i for i in step.apply(before, image).ids if i != 4] == kept
    brighter = image.with_data(image.read() * 3 + 1000)
    assert np.array_equal(labels_of(step.apply(before, brighter)), labels_of(step.apply(before, image)))


def test_contrast_is_that_of_scipy():
    before, image = scene()
    pixels = image.read().astype(np.float64)
    near = [ndimage.distance_transform_edt(labels_of(before) != number) for number in (1, 2)]
    around = (near[0] <= 5) & (near[0] <= near[1]) & (labels_of(before) == 0) & np.isfinite(pixels)
    contrast = (pixels[labels_of(before) == 1].mean() - pixels[around].mean()) / pixels[around].std()
    for bound, there in ((contrast * 0.999, True), (contrast * 1.001, False)):
        assert (1 in DropFaint(min_contrast=bound).apply(before, image).ids) is there


def test_an_object_without_surroundings_is_judged_by_its_mean_alone():
    image = Image.from_array(np.full((8, 8), 50, np.uint8))
    whole = Instances.from_labels(np.full((8, 8), 3, np.uint32))
    assert len(DropFaint().apply(whole, image)) == 1
    assert len(DropFaint(min_mean=60).apply(whole, image)) == 0
