from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage
from skimage import data
from skimage.segmentation import watershed

from segmentry.cleaning.keep_largest_part import KeepLargestPart
from segmentry.cleaning.merge_touching import MergeTouching
from segmentry.cleaning.split_fragments import SplitFragments
from segmentry.cleaning.split_line import SplitLine
from segmentry.cleaning.split_necks import SplitNecks
from segmentry.errors import InputError
from segmentry.image import Grid, Image
from segmentry.result import Instances


def labels_of(found):
    return np.asarray(found.labels[...])


def discs(shape, *circles, spacing=(1, 1)):
    """Return a mask of balls, each given as its centre and its radius."""
    places = np.indices(shape) * np.array(spacing).reshape(-1, *(1,) * len(shape))
    inside = np.zeros(shape, bool)
    for *centre, radius in circles:
        inside |= ((places - np.array(centre).reshape(-1, *(1,) * len(shape))) ** 2).sum(axis=0) <= radius**2
    return inside


def test_two_discs_come_apart_at_their_neck_and_the_larger_keeps_the_id():
    labels = np.where(discs((50, 90), (25, 20, 14), (25, 50, 18)), 7, 0)
    labels[40:48, 80:88] = 3
    before = replace(Instances.from_labels(labels), scores=np.array([0.2, 0.9], np.float32))
    after = SplitNecks().apply(before)
    assert after.ids.tolist() == [3, 7, 8]
    assert after.scores.tolist() == pytest.approx([0.2, 0.9, 0.9])
    found = labels_of(after)
    assert found[25, 20] == 8
    assert found[25, 50] == 7
    assert np.array_equal(found > 0, labels > 0)
    border = (50**2 - 20**2 - (18**2 - 14**2)) / 60
    assert np.flatnonzero(found[25] == 7).min() == pytest.approx(border, abs=2)


def test_a_shallow_neck_does_not_part():
    before = Instances.from_labels(discs((50, 90), (25, 30, 18), (25, 42, 18)).astype(np.uint32))
    assert len(SplitNecks(depth=1.5).apply(before)) == 1
    assert len(SplitNecks(depth=0.5).apply(before)) == 2


def test_depth_counts_in_true_distances_in_a_volume():
    spacing = (2, 0.5, 0.5)
    mask = discs((15, 60, 100), (14, 15, 14, 9), (14, 15, 32, 9), spacing=spacing)
    before = Instances.from_labels(mask.astype(np.uint32), Grid("ZYX", mask.shape, spacing, "um"))
    after = labels_of(SplitNecks(depth="1 um").apply(before))
    assert len(np.unique(after)) == 3
    assert np.flatnonzero(after[7, 30] != after[7, 30, 28])[0] == 0
    assert np.argmax(np.diff(after[7, 30, 28:64].astype(int)) != 0) + 28 == pytest.approx(46, abs=1)


def test_coins_are_parted_where_the_watershed_of_scikit_image_parts_them():
    """The same seeds and distances give nearly the same border: it differs on plateaus alone."""
    mask = ndimage.binary_closing(ndimage.binary_fill_holes(data.coins() > 90), iterations=3)
    labels = ndimage.label(mask, np.ones((3, 3)))[0]
    after = labels_of(SplitNecks(depth=1).apply(Instances.from_labels(labels)))
    number = np.argmax(np.bincount(labels.ravel())[1:]) + 1
    distance = ndimage.distance_transform_edt(np.pad(mask, 1, mode="edge"))[1:-1, 1:-1]
    parts = np.unique(after[labels == number])
    assert len(parts) > 1
    seeds = np.zeros_like(labels)
    for part in parts:
        at = ndimage.maximum_position(distance, after, part)
        seeds[at] = part
    other = watershed(-distance, seeds, mask=labels == number, connectivity=2)
    assert np.mean(other[labels == number] != after[labels == number]) < 0.02


def test_pieces_become_objects_or_go():
    labels = np.zeros((2, 8, 12), np.uint32)
    labels[0, :2, :2], labels[0, 4, :3], labels[0, 2, 2], labels[0, 6:, 8:] = 5, 5, 5, 2
    labels[1, 3, 3:6], labels[1, 5, 5], labels[1, 7, 0] = 5, 5, 2
    before = Instances.from_labels(labels, Grid("TYX", labels.shape))
    after = SplitFragments().apply(before)
    expected = labels.copy()
    expected[0, 4, :3], expected[1, 5, 5] = 6, 7
    assert np.array_equal(labels_of(after), expected)
    kept = KeepLargestPart().apply(before)
    assert np.array_equal(labels_of(kept), np.where(expected > 5, 0, expected))


def test_no_id_is_given_that_does_not_exist():
    labels = np.zeros((5, 5), np.uint32)
    labels[0, 0] = labels[4, 4] = 2**32 - 1
    with pytest.raises(InputError, match="clean with relabel first"):
        SplitFragments().apply(Instances.from_labels(labels))


def test_a_line_cuts_what_it_meets_and_nothing_else():
    labels = np.zeros((30, 60), np.uint32)
    labels[5:25, 5:25], labels[5:25, 35:55] = 4, 9
    before = Instances.from_labels(labels)
    after = labels_of(SplitLine(start=(14, 0), end=(14, 20)).apply(before))
    expected = labels.copy()
    expected[5:15, 5:25] = 4
    expected[15:25, 5:25] = 10
    assert np.array_equal(after > 0, labels > 0)
    assert np.array_equal(after[:, 30:], labels[:, 30:])
    assert sorted(np.unique(after[:, :30], return_counts=True)[1].tolist())[:2] == [200, 200]
    assert len(np.unique(after[5:15, 5:25])) == len(np.unique(after[15:25, 5:25])) == 1
    assert len(SplitLine(start=(0, 30), end=(29, 30)).apply(before)) == 2


def test_a_slanted_line_leaves_each_pixel_on_its_side():
    labels = np.ones((40, 40), np.uint32)
    after = labels_of(SplitLine(start=(2, 35), end=(35.5, 3)).apply(Instances.from_labels(labels)))
    y, x = np.indices(labels.shape)
    side = (y - 2) * (3 - 35) - (x - 35) * (35.5 - 2) > 0
    assert len(np.unique(after[side])) == len(np.unique(after[~side])) == 1
    assert after[side][0] != after[~side][0]


def test_both_arms_of_a_horseshoe_come_off():
    labels = np.zeros((20, 20), np.uint32)
    labels[2:18, 2:6] = labels[2:18, 14:18] = labels[14:18, 2:18] = 1
    assert len(SplitLine(start=(8, 0), end=(8, 19)).apply(Instances.from_labels(labels))) == 3


@pytest.mark.parametrize(
    ("axis", "start", "end", "first"),
    [("Z", (4, 0), (4, 9), np.s_[:, :5]), ("Y", (3, 0), (3, 9), np.s_[:4]), ("X", (3, 0), (3, 9), np.s_[:4])],
)
def test_a_volume_is_cut_along_a_plane(axis, start, end, first):
    before = Instances.from_labels(np.ones((8, 10, 10), np.uint32))
    after = labels_of(SplitLine(start=start, end=end, axis=axis).apply(before))
    assert len(np.unique(after)) == 2
    assert len(np.unique(after[first])) == 1
    assert np.count_nonzero(after == after[first].flat[0]) == after[first].size


def halves():
    labels = np.where(discs((30, 60), (15, 15, 10)), 4, 0)
    labels[(labels == 4) & (np.indices(labels.shape)[1] > 16)] = 9
    labels[discs((30, 60), (15, 45, 8))] = 2
    labels[14:17, 25:38] = 6
    pixels = np.choose(np.searchsorted([2, 4, 6, 9], labels), [10, 50, 52, 90, 90]).astype(np.float32)
    return Instances.from_labels(labels), Image.from_array(pixels)


def test_halves_are_joined_and_what_only_touches_is_not():
    before, _ = halves()
    after = MergeTouching(min_contact=0.25).apply(before)
    assert after.ids.tolist() == [2, 4, 6]
    assert np.array_equal(labels_of(after) == 4, np.isin(labels_of(before), [4, 9]))
    assert len(MergeTouching(min_contact=0.05).apply(before)) == 1


def test_only_objects_of_like_intensity_are_joined_if_asked():
    before, image = halves()
    means = {i: image.read()[labels_of(before) == i].mean() for i in (4, 9)}
    apart = abs(means[4] - means[9])
    for bound, count in ((apart * 0.99, 4), (apart * 1.01, 3)):
        assert len(MergeTouching(max_difference=bound).apply(before, image)) == count


def test_contact_is_measured_in_true_size():
    """Two boxes of one plane each lie on each other: flat ones share most of their faces, tall ones few."""
    labels = np.zeros((4, 6, 6), np.uint32)
    labels[1, 1:5, 1:5], labels[2, 1:5, 1:5] = 1, 2
    for depth, count in ((0.1, 1), (10, 2)):
        grid = Grid("ZYX", labels.shape, (depth, 1, 1), "um")
        assert len(MergeTouching(min_contact=0.3).apply(Instances.from_labels(labels, grid))) == count
