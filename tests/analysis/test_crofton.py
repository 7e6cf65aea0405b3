import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from skimage import data
from skimage.measure import label, marching_cubes, mesh_surface_area, perimeter_crofton, regionprops

from segmentry import tiling
from segmentry.analysis.crofton import boundary_sizes, directions
from segmentry.analysis.measure import measure
from segmentry.image import Grid
from segmentry.labelling import survey
from segmentry.result import Instances


def sizes(labels, spacing=None):
    array = np.asarray(labels, np.uint32)
    grid = Grid("ZYX"[3 - array.ndim :], array.shape, spacing, "um" if spacing else None)
    found = Instances.from_labels(array, grid)
    return boundary_sizes(found, survey(found.labels))


def ball(radius, spacing, shape):
    place = np.moveaxis(np.indices(shape), 0, -1) * spacing - (np.array(shape) - 1) / 2 * spacing
    return np.linalg.norm(place, axis=-1) <= radius


@given(arrays(np.uint32, (9, 11), elements=st.sampled_from([0, 0, 1, 2, 40])), st.sampled_from([10, 10_000]))
def test_perimeters_are_those_of_scikit_image(labels, slab):
    before, tiling.SLAB_PIXELS = tiling.SLAB_PIXELS, slab
    try:
        found = sizes(labels)
    finally:
        tiling.SLAB_PIXELS = before
    expected = [perimeter_crofton(np.pad(labels == i, 1), directions=4) for i in np.unique(labels[labels > 0])]
    assert found == pytest.approx(np.array(expected))


def test_perimeters_of_coins_are_those_of_scikit_image():
    labels = label(data.coins() > 120)
    expected = [perimeter_crofton(np.pad(r.image, 1), directions=4) for r in regionprops(labels)]
    assert sizes(labels) == pytest.approx(np.array(expected))


def test_a_disc_and_a_ball_have_the_boundary_of_geometry():
    assert sizes(ball(30, (1, 1), (64, 64)))[0] == pytest.approx(2 * np.pi * 30, rel=0.01)
    assert sizes(ball(15, (1, 1, 1), (33, 33, 33)))[0] == pytest.approx(4 * np.pi * 15**2, rel=0.01)
    assert sizes(ball(15, (0.5, 0.5, 0.5), (63, 63, 63)), (0.5,) * 3)[0] == pytest.approx(4 * np.pi * 15**2, rel=0.01)


def test_a_surface_is_that_of_the_smooth_mesh_of_the_object():
    shape = (40, 44, 48)
    place = np.moveaxis(np.indices(shape), 0, -1) - np.array(shape) / 2
    height = 1 - np.linalg.norm(place / (12, 9, 16), axis=-1) + 0.15 * np.sin(place.sum(axis=-1) / 5)
    corners, faces, _, _ = marching_cubes(height, 0)
    assert sizes(height > 0)[0] == pytest.approx(mesh_surface_area(corners, faces), rel=0.02)


def test_directions_share_the_circle_and_the_sphere():
    for spacing in ((1.0, 1.0), (1.0, 1.0, 1.0), (3.0, 1.0, 1.0), (2.5, 1.0, 0.7), (300.0, 1.0, 1.0), (1.0, 1.0, 4.0)):
        steps, parts = directions(spacing)
        assert len(steps) == (4 if len(spacing) == 2 else 13)
        assert parts.sum() == pytest.approx(1)
        assert np.abs(steps).max() <= 16
    # The weights of Ohser & Mücklich for cubes: faces, edges and corners.
    assert sorted(set(directions((1.0, 1.0, 1.0))[1].round(5))) == [0.07039, 0.07396, 0.09156]


def test_touching_objects_have_a_boundary_each_and_the_edge_of_the_image_is_one():
    one = sizes(np.ones((20, 10)))[0]
    both = sizes(np.repeat(np.array([[3, 9]]), 10, axis=1).repeat(20, axis=0))
    assert both == pytest.approx([one, one])


def test_the_columns_have_the_unit_and_an_empty_image_no_row():
    for axes, spacing, name in (
        ("YX", (0.5, 0.5), "perimeter_um"), ("YX", None, "perimeter_px"),
        ("ZYX", (1.0, 0.5, 0.5), "surface_um2"), ("ZYX", None, "surface_px"),
    ):  # fmt: skip
        shape = (6,) * len(axes)
        grid = Grid(axes, shape, spacing, "um" if spacing else None)
        assert name in measure(Instances.from_labels(np.ones(shape, np.uint32), grid)).columns
        assert len(measure(Instances.from_labels(np.zeros(shape, np.uint32), grid))) == 0
