import numpy as np
import pytest
from scipy import ndimage
from skimage import data
from skimage.morphology import ball, disk
from skimage.segmentation import expand_labels

from segmentry.cleaning.expand import Expand
from segmentry.cleaning.expand_to_cells import ExpandToCells
from segmentry.cleaning.shrink import Shrink
from segmentry.errors import InputError, UnknownNameError
from segmentry.image import Grid, Image
from segmentry.result import Instances
from segmentry.testing import sample_image


def coins():
    return Instances.from_labels(ndimage.label(data.coins() > 107)[0])


def labels_of(found):
    return np.asarray(found.labels[...])


def distances(labels, spacing):
    return ndimage.distance_transform_edt(labels == 0, spacing)


def is_expanded(before, after, distance, spacing):
    """Whether all within a distance, and nothing else, belongs to an object that is the nearest."""
    way = distances(before, spacing)
    nearest = np.full(before.shape, np.inf)
    for number in np.unique(before[before > 0]):
        mine = after == number
        nearest[mine] = distances(before == number, spacing)[mine]
    inside = way <= distance * (1 + 1e-9)
    return np.array_equal(after > 0, inside) and np.allclose(nearest[inside], way[inside])


@pytest.mark.parametrize("distance", [1, 4.5, 12])
def test_coins_expand_as_in_scikit_image_but_for_ties(distance):
    before = coins()
    after = labels_of(Expand(distance=distance).apply(before))
    other = expand_labels(labels_of(before), distance)
    assert np.array_equal(after > 0, other > 0)
    assert np.mean(after != other) < 0.004
    few = before.keep(np.isin(before.ids, before.ids[:12]))
    assert is_expanded(labels_of(few), labels_of(Expand(distance=distance).apply(few)), distance, 1)


def test_distances_in_micrometres_are_the_same_along_all_axes():
    rng = np.random.default_rng(0)
    labels = np.where(rng.random((9, 25, 25)) < 0.003, rng.integers(1, 9, (9, 25, 25)), 0)
    before = Instances.from_labels(labels, Grid("ZYX", labels.shape, (0.9, 0.3, 0.3), "um"))
    after = labels_of(Expand(distance="1.8 um").apply(before))
    assert is_expanded(labels, after, 1.8, (0.9, 0.3, 0.3))
    assert np.array_equal(after > 0, expand_labels(labels, 1.8, spacing=(0.9, 0.3, 0.3)) > 0)


@pytest.mark.parametrize(("axes", "element"), [("YX", disk(3)), ("ZYX", ball(2))])
def test_each_object_shrinks_as_by_an_erosion_of_its_own(axes, element):
    image = sample_image(axes)
    labels = ndimage.label(image.read() > 60)[0]
    split = np.where(labels > 0, 2 * labels - (np.indices(labels.shape)[-1] % 20 < 10), 0)
    after = labels_of(Shrink(distance=len(element) // 2).apply(Instances.from_labels(split)))
    expected = np.zeros_like(split)
    for number in np.unique(split[split > 0]):
        expected[ndimage.binary_erosion(split == number, element, border_value=1)] = number
    assert expected.any()
    assert np.array_equal(after, expected)


def test_small_objects_vanish_or_stay_as_they_are():
    labels = np.zeros((12, 12), np.uint32)
    labels[1:9, 1:9], labels[10, 2:5] = 4, 9
    before = Instances.from_labels(labels)
    assert Shrink(distance=1).apply(before).ids.tolist() == [4]
    kept = Shrink(distance=1, keep_small=True).apply(before)
    assert kept.ids.tolist() == [4, 9]
    assert np.count_nonzero(labels_of(kept) == 9) == 3
    assert np.count_nonzero(labels_of(kept) == 4) == 36


def test_shrinking_undoes_expanding_of_what_lies_apart():
    labels = np.zeros((40, 60), np.uint32)
    labels[10:30, 8:20], labels[12:20, 35:50] = 5, 2
    before = Instances.from_labels(labels)
    again = Shrink(distance=4).apply(Expand(distance=4).apply(before))
    assert np.array_equal(labels_of(again), labels)


def nuclei_and_cytoplasm():
    nuclei = np.zeros((30, 50), np.uint32)
    nuclei[12:16, 10:14], nuclei[12:16, 26:30] = 7, 3
    stain = np.full((30, 50), 10.0, np.float32)
    stain[8:20, 5:33] = 100
    stain[8:20, 36:45] = 100
    stain[0, 0] = np.nan
    image = Image.from_array(np.stack([nuclei * 20.0, stain]), "CYX", channels=["DAPI", "actin"])
    return Instances.from_labels(nuclei), image


def test_cells_have_the_ids_of_their_nuclei_and_end_where_the_stain_ends():
    nuclei, image = nuclei_and_cytoplasm()
    cells = ExpandToCells(distance=30, guided=True, channel="actin").apply(nuclei, image)
    assert cells.ids.tolist() == [3, 7]
    stain = image.channel("actin").read()
    together = stain[:, :36] > 50
    assert np.array_equal(labels_of(cells)[:, :36] > 0, together)
    assert not labels_of(cells)[:, 36:].any(), "another cell, without a nucleus, was taken"
    assert np.array_equal(labels_of(cells)[8:20, 5:20] == 7, np.ones((12, 15), bool))


def test_cells_without_a_guide_grow_by_the_distance():
    nuclei, image = nuclei_and_cytoplasm()
    cells = ExpandToCells(distance=5).apply(nuclei)
    assert np.array_equal(labels_of(cells), labels_of(Expand(distance=5).apply(nuclei)))
    low = ExpandToCells(distance=5, guided=True, channel=1, threshold=5).apply(nuclei, image)
    assert np.array_equal(labels_of(low), labels_of(cells))


def test_a_guide_that_is_not_there_is_asked_for():
    nuclei, image = nuclei_and_cytoplasm()
    step = ExpandToCells(guided=True)
    with pytest.raises(InputError, match="expand_to_cells needs intensities"):
        step.apply(nuclei)
    with pytest.raises(InputError, match="the image has DAPI, actin: set channel"):
        step.apply(nuclei, image)
    with pytest.raises(UnknownNameError, match="actn"):
        ExpandToCells(guided=True, channel="actn").apply(nuclei, image)
    with pytest.raises(InputError, match=r"YX of \(20, 50\), the labels are YX of \(30, 50\)"):
        step.apply(nuclei, Image.from_array(np.zeros((20, 50))))
