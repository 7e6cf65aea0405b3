import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from skimage.measure import label

from segmentry import tiling
from segmentry.errors import InputError
from segmentry.image import Grid
from segmentry.labelling import survey
from segmentry.result import Instances, Panoptic, Semantic


def semantic(classes, axes="YX", **more):
    array = np.asarray(classes, np.uint8)
    return Semantic(array, Grid(axes, array.shape), **more)


def test_regions_of_one_class_that_touch_at_a_corner_are_one_object():
    found = semantic([[1, 0, 0], [0, 1, 2], [0, 0, 2]], names=("background", "a", "b")).instances()
    assert found.labels.tolist() == [[1, 0, 0], [0, 1, 2], [0, 0, 2]]
    assert found.classes.tolist() == [1, 2]


def test_time_points_never_touch_and_ids_go_on():
    found = semantic([[[1, 1]], [[1, 1]]], "TYX").instances()
    assert found.labels.tolist() == [[[1, 1]], [[2, 2]]]


def test_planes_touch_unless_asked_apart():
    volume = semantic([[[1, 1]], [[1, 1]]], "ZYX")
    assert len(volume.instances()) == 1
    assert len(volume.instances(planes=True)) == 2


def test_the_score_is_the_mean_probability_of_the_class():
    probabilities = np.array([[[0.1, 0.4, 0.9]], [[0.9, 0.6, 0.1]]], np.float32)
    found = semantic([[1, 1, 0]], probabilities=probabilities).instances()
    assert found.scores == pytest.approx([0.75], abs=1e-4)


@given(arrays(np.uint8, st.tuples(*[st.integers(1, 9)] * 3), elements=st.integers(0, 2)), st.integers(1, 40))
def test_components_are_those_of_scikit_image_however_they_are_streamed(classes, slab):
    before = tiling.SLAB_PIXELS
    tiling.SLAB_PIXELS = slab
    try:
        found = semantic(classes, "ZYX").instances()
    finally:
        tiling.SLAB_PIXELS = before
    expected = label(classes, connectivity=3, background=0)
    pairs = np.unique(np.stack([found.labels.ravel(), expected.ravel()]), axis=1)
    assert len(found) == expected.max()
    assert pairs.shape[1] == len(np.unique(expected))
    assert np.array_equal(survey(found.labels).first, np.sort(survey(found.labels).first))


@given(arrays(np.uint32, (7, 8), elements=st.sampled_from([0, 1, 2, 70_000, 2**32 - 1])))
def test_a_survey_counts_what_is_there(labels):
    found = survey(labels)
    ids, first, counts = np.unique(labels, return_index=True, return_counts=True)
    some = ids > 0
    assert found.ids.tolist() == ids[some].tolist()
    assert found.first.tolist() == first[some].tolist()
    assert found.sizes.tolist() == counts[some].tolist()


def test_ids_beyond_16_bit_are_kept():
    labels = np.array([[0, 70_000], [2**32 - 1, 0]], np.uint64)
    found = Instances.from_labels(labels)
    assert found.ids.tolist() == [70_000, 2**32 - 1]
    assert found.renumbered().labels.tolist() == [[0, 1], [2, 0]]


@pytest.mark.parametrize("wrong", [[[0, -1]], [[0.5, 0.0]], [[0, 2**32]], [["a", "b"]]])
def test_what_can_be_no_id_is_refused(wrong):
    with pytest.raises(InputError, match="labels"):
        Instances.from_labels(np.array(wrong))


def test_dropping_an_object_leaves_the_ids_of_the_others():
    found = Instances.from_labels(np.array([[1, 5, 9]], np.uint8)).keep(np.array([True, False, True]))
    assert found.labels.tolist() == [[1, 0, 9]]
    assert found.ids.tolist() == [1, 9]


def test_each_result_gives_the_other_two():
    classes = semantic([[1, 0, 2]], names=("background", "a", "b"))
    for result in (classes, classes.instances(), classes.panoptic()):
        assert result.semantic().classes.tolist() == [[1, 0, 2]]
        assert result.instances().labels.tolist() == [[1, 0, 2]]
        assert isinstance(result.panoptic(), Panoptic)
        assert result.panoptic().names == ("background", "a", "b")
