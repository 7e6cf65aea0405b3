import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from skimage.measure import regionprops_table

from segmentry import tiling
from segmentry.analysis.measure import Measure, measure
from segmentry.errors import InputError
from segmentry.image import Grid, Image
from segmentry.result import Instances


def table(labels, axes="YX", spacing=None, image=None, **more):
    array = np.asarray(labels, np.uint32)
    grid = Grid(axes, array.shape, spacing, "um" if spacing else None)
    return Measure(**more).analyse(Instances.from_labels(array, grid), image)


@given(arrays(np.uint32, (9, 11), elements=st.sampled_from([0, 1, 2, 40])), st.sampled_from([10, 10_000]))
def test_numbers_are_those_of_scikit_image(labels, slab):
    pixels = np.random.default_rng(0).normal(50, 20, labels.shape)
    before, tiling.SLAB_PIXELS = tiling.SLAB_PIXELS, slab
    try:
        found = table(labels, spacing=(0.5, 0.25), image=Image.from_array(pixels))
    finally:
        tiling.SLAB_PIXELS = before
    names = {
        "label": "id", "area": "area_um2", "centroid-0": "centroid_y_um", "centroid-1": "centroid_x_um",
        "bbox-0": "box_y_start_px", "bbox-3": "box_x_stop_px", "extent": "extent",
        "equivalent_diameter_area": "equivalent_diameter_um", "axis_major_length": "major_axis_um",
        "axis_minor_length": "minor_axis_um", "intensity_mean": "mean", "intensity_std": "sd",
        "intensity_min": "min", "intensity_max": "max",
    }  # fmt: skip
    wanted = sorted({name.split("-")[0] for name in names})
    if not labels.any():
        assert len(found) == 0
        return
    expected = regionprops_table(labels.astype(int), pixels, wanted, spacing=(0.5, 0.25))
    for theirs, ours in names.items():
        assert found[ours].to_numpy() == pytest.approx(expected[theirs], rel=1e-9, abs=1e-7), ours


def test_a_ball_has_the_volume_and_the_axes_of_a_ball():
    place = np.indices((30, 60, 60)) * np.array([2.0, 1, 1]).reshape(3, 1, 1, 1)
    ball = ((place - 30) ** 2).sum(axis=0) <= 20**2
    row = table(ball, "ZYX", (2.0, 1.0, 1.0)).iloc[0]
    assert row["volume_um3"] == pytest.approx(4 / 3 * np.pi * 20**3, rel=0.01)
    for name in ("major", "middle", "minor"):
        assert row[f"{name}_axis_um"] == pytest.approx(40, rel=0.01)
    assert row["equivalent_diameter_um"] == pytest.approx(40, rel=0.01)


def test_each_time_point_has_its_rows():
    found = table([[[1, 1, 2]], [[1, 0, 0]]], "TYX")
    assert found[["id", "time", "area_px"]].to_numpy().tolist() == [[1, 0, 2], [2, 0, 1], [1, 1, 1]]


def test_planes_are_measured_apart_when_asked():
    found = table([[[1, 1]], [[2, 0]]], "ZYX", planes=True)
    assert found[["id", "plane", "area_px"]].to_numpy().tolist() == [[1, 0, 2], [2, 1, 1]]


def test_every_channel_is_measured_and_nan_does_not_count():
    pixels = np.array([[[1.0, 3.0, np.nan]], [[10.0, 20.0, 30.0]]])
    image = Image.from_array(pixels, "CYX", channels=["a", "b"])
    row = table([[7, 7, 7]], image=image).iloc[0]
    assert row["mean_a"] == 2
    assert row["sum_b"] == 60
    assert row["id"] == 7


def test_an_image_of_another_shape_is_refused_with_both_told():
    with pytest.raises(InputError, match=r"\(1, 2\).*\(1, 3\)"):
        table([[1, 1]], image=Image.from_array(np.zeros((1, 3))))


def test_sums_of_integers_are_exact_and_times_are_in_seconds():
    labels = np.ones((2, 3, 3), np.uint32)
    grid = Grid("TYX", (2, 3, 3), interval=2.5)
    pixels = Image(np.full((2, 3, 3), 65_535, np.uint16), grid)
    found = measure(Instances.from_labels(labels, grid), pixels)
    assert found["sum"].tolist() == [589_815, 589_815]
    assert found["time_s"].tolist() == [0, 2.5]
