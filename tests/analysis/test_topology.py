import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage
from skimage import data
from skimage.measure import label, regionprops

from segmentry import tiling
from segmentry.analysis.objects import Objects
from segmentry.analysis.property import chosen, columns
from segmentry.image import Grid
from segmentry.result import Instances


def euler(labels, slab=2**22):
    before, tiling.SLAB_PIXELS = tiling.SLAB_PIXELS, slab
    try:
        array = np.asarray(labels, np.uint32)
        objects = Objects(Instances.from_labels(array, Grid("ZYX"[3 - array.ndim :], array.shape)))
        return columns(chosen(["topology"]), objects)["euler_number"][0]
    finally:
        tiling.SLAB_PIXELS = before


@pytest.mark.parametrize("ndim", [2, 3])
@given(some=st.data())
def test_numbers_are_those_of_scikit_image_for_any_slab(ndim, some):
    shape = some.draw(st.tuples(*[st.integers(1, 9 if ndim == 2 else 5)] * ndim))
    labels = some.draw(arrays(np.uint32, shape, elements=st.sampled_from([0, 5, 6, 2**32 - 1])))
    ids, index = np.unique(labels, return_inverse=True)
    index = index.reshape(shape) + (ids[0] > 0)  # for scikit-image, whose ids are signed
    expected = [r.euler_number for r in regionprops(index)]
    assert euler(labels, some.draw(st.sampled_from([1, 20, 10_000]))).tolist() == expected


def test_numbers_of_real_images_are_those_of_scikit_image():
    for image in (data.coins() > 120, data.page() < 130, data.camera() > 90):
        labels = label(image)
        assert euler(labels).tolist() == [r.euler_number for r in regionprops(labels)]


def test_pieces_holes_tunnels_and_cavities_count():
    plain = np.ones((5, 5), int)
    ring = plain.copy()
    ring[2, 2] = 0
    corners = np.eye(4, dtype=int)
    apart = np.array([[3, 0, 3]])
    assert [euler(a)[0] for a in (plain, ring, corners, apart)] == [1, 0, 1, 2]
    cube = np.ones((5, 5, 5), int)
    tunnel, cavity = cube.copy(), cube.copy()
    tunnel[:, 2, 2] = 0
    cavity[2, 2, 2] = 0
    assert [euler(a)[0] for a in (cube, tunnel, cavity)] == [1, 0, 2]


def test_a_hole_that_another_object_fills_is_a_hole():
    labels = np.ones((5, 5), int)
    labels[2, 2] = 9
    assert euler(labels).tolist() == [0, 1]


def test_pieces_minus_holes_are_counted_by_components():
    image = data.page() < 130
    pieces = ndimage.label(image, np.ones((3, 3)))[1]
    holes = ndimage.label(np.pad(~image, 1, constant_values=True))[1] - 1
    assert euler(image).tolist() == [pieces - holes]


def test_an_image_without_objects_has_no_numbers():
    assert euler(np.zeros((4, 5))).shape == (0,)
    assert euler(np.zeros((2, 4, 5))).shape == (0,)
