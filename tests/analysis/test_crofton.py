import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from skimage import data
from skimage.measure import label, marching_cubes, mesh_surface_area, perimeter_crofton, regionprops

from segmentry import tiling
from segmentry.analysis.crofton import boundary_sizes, directions
from segmentry.analysis.objects import Objects
from segmentry.image import Grid
from segmentry.result import Instances

SPACINGS = ((1.0, 1.0), (2.5, 1.0), (1.0, 40.0), (1.0, 1.0, 1.0), (3.0, 1.0, 1.0), (2.5, 1.0, 0.7))


def sizes(labels, spacing=None, slab=2**22):
    array = np.asarray(labels, np.uint32)
    grid = Grid("ZYX"[3 - array.ndim :], array.shape, spacing, "um" if spacing else None)
    before, tiling.SLAB_PIXELS = tiling.SLAB_PIXELS, slab
    try:
        return boundary_sizes(Objects(Instances.from_labels(array, grid)))
    finally:
        tiling.SLAB_PIXELS = before


def plainly(labels, spacing):
    """Return the sizes by Crofton's formula, with one object after the other and one line direction after the other."""
    steps, parts = directions(spacing)
    found = []
    for k in np.unique(labels[labels > 0]):
        inside = np.pad(labels == k, 16)
        total = 0.0
        for step, part in zip(steps, parts, strict=True):
            crossings = np.count_nonzero(inside != np.roll(inside, step, axis=range(labels.ndim)))
            total += crossings / 2 * part * np.prod(spacing) / np.linalg.norm(step * np.array(spacing))
        found.append(total * (np.pi if labels.ndim == 2 else 4))
    return np.array(found)


def ball(radius, spacing, shape):
    place = np.moveaxis(np.indices(shape), 0, -1) * spacing - (np.array(shape) - 1) / 2 * spacing
    return np.linalg.norm(place, axis=-1) <= radius


@given(arrays(np.uint32, (9, 11), elements=st.sampled_from([0, 0, 1, 2, 40])), st.sampled_from([10, 10_000]))
def test_perimeters_are_those_of_scikit_image(labels, slab):
    expected = [perimeter_crofton(np.pad(labels == i, 1), directions=4) for i in np.unique(labels[labels > 0])]
    assert sizes(labels, slab=slab) == pytest.approx(np.array(expected))


@given(st.data())
def test_lines_are_counted_at_any_spacing_and_in_slabs_of_any_size(some):
    spacing = some.draw(st.sampled_from(SPACINGS))
    shape = some.draw(st.tuples(*[st.integers(1, 7)] * len(spacing)))
    labels = some.draw(arrays(np.uint32, shape, elements=st.sampled_from([0, 1, 2, 2**32 - 1])))
    whole = sizes(labels, spacing)
    assert whole == pytest.approx(plainly(labels, spacing), rel=1e-12)
    assert np.array_equal(sizes(labels, spacing, slab=some.draw(st.integers(1, 60))), whole)


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
