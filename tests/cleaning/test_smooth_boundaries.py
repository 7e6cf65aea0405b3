import numpy as np
import pytest
from scipy import ndimage
from skimage import data
from skimage.morphology import disk

from segmentry.cleaning.smooth_boundaries import SmoothBoundaries
from segmentry.errors import ParameterError
from segmentry.image import Grid
from segmentry.result import Instances


def labels_of(found):
    return np.asarray(found.labels[...])


def test_a_lone_object_is_smoothed_as_by_a_median():
    mask = ndimage.binary_opening(data.coins() > 107, disk(4))
    labels = np.where(ndimage.label(mask)[0] == 5, 3, 0).astype(np.uint32)
    assert labels.any()
    after = labels_of(SmoothBoundaries(radius=3).apply(Instances.from_labels(labels)))
    median = ndimage.median_filter(labels, footprint=disk(3), mode="nearest")
    assert np.array_equal(after, median)


def test_bumps_go_dents_fill_and_neighbours_keep_their_border():
    labels = np.zeros((40, 60), np.uint32)
    labels[10:30, 10:30], labels[10:30, 30:50] = 1, 2
    clean = labels.copy()
    labels[8:10, 15] = 1
    labels[28:30, 40] = 0
    after = labels_of(SmoothBoundaries(radius=3).apply(Instances.from_labels(labels)))
    assert np.array_equal(after[14:26, 14:46], clean[14:26, 14:46])
    assert not after[8, 15]
    assert after[28, 40] == 2
    assert ((after == 0) | (labels == 0) | (after == labels)).all(), "an object took the pixels of another"


def test_what_would_vanish_stays_as_it_is():
    labels = np.zeros((30, 30), np.uint32)
    labels[3, 3:25], labels[15:27, 5:20] = 6, 2
    after = SmoothBoundaries(radius=3).apply(Instances.from_labels(labels))
    assert after.ids.tolist() == [2, 6]
    assert np.array_equal(labels_of(after) == 6, labels == 6)


def test_the_ball_is_round_in_true_distances():
    labels = np.zeros((9, 31, 31), np.uint32)
    labels[2:7, 5:26, 5:26] = 1
    labels[7, 15, 15] = labels[4, 15, 26:28] = 1
    grid = Grid("ZYX", labels.shape, (3, 1, 1), "um")
    after = labels_of(SmoothBoundaries(radius="2 um").apply(Instances.from_labels(labels, grid)))
    assert not after[7].any(), "one pixel of a plane apart stands alone in its disc"
    assert not after[4, 15, 27]


def test_a_ball_too_large_to_count_is_refused():
    with pytest.raises(ParameterError, match=r"smooth_boundaries\.radius: 300 px is 300 pixels here; at most 100"):
        SmoothBoundaries(radius=300).apply(Instances.from_labels(np.ones((5, 5), np.uint32)))
