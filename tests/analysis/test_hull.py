import itertools
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage
from scipy.spatial import ConvexHull
from scipy.spatial.distance import pdist
from skimage.data import coins
from skimage.measure import regionprops

from segmentry import tiling
from segmentry.analysis.objects import Objects
from segmentry.analysis.property import chosen, columns
from segmentry.image import Grid
from segmentry.result import Instances


def table(labels, spacing=None):
    """Return the columns without unit."""
    labels = np.asarray(labels, np.uint32)
    grid = Grid("ZYX"[-labels.ndim :], labels.shape, spacing, "um" if spacing else None)
    found = columns(chosen(["hull"]), Objects(Instances.from_labels(labels, grid)))
    return {p.name: values for values, p in found.values()}


def middles(mask):
    """Return the middles of all edges or faces of an object."""
    offsets = np.concatenate([np.eye(mask.ndim), -np.eye(mask.ndim)]) / 2
    return (np.argwhere(mask)[:, None] + offsets).reshape(-1, mask.ndim)


def smallest_width(hull):
    """Try the normals of all faces, and in three dimensions all pairs of edges."""
    normals = [hull.equations[:, :-1]]
    if hull.points.shape[1] == 3:
        pairs = {tuple(sorted(p)) for s in hull.simplices for p in itertools.combinations(s, 2)}
        edges = np.array([hull.points[b] - hull.points[a] for a, b in pairs])
        across = np.cross(edges[:, None], edges[None]).reshape(-1, 3)
        long = np.linalg.norm(across, axis=1)
        normals.append(across[long > 1e-9] / long[long > 1e-9, None])
    along = np.concatenate(normals) @ hull.points[hull.vertices].T
    return (along.max(axis=1) - along.min(axis=1)).min()


def check_widths(labels, spacing):
    """Compare the widths with those of the hull that Qhull makes of the middles of all edges or faces, in space."""
    found = table(labels, spacing)
    for k, i in enumerate(np.unique(labels)[np.unique(labels) > 0]):
        hull = ConvexHull(middles(labels == i) * spacing)
        assert found["feret_max"][k] == pytest.approx(pdist(hull.points[hull.vertices]).max(), rel=1e-12)
        assert found["feret_min"][k] == pytest.approx(smallest_width(hull), rel=1e-9)


def check_with_regionprops(labels, spacing):
    """Compare with scikit-image, with the differences that there are.

    - The hull of a volume's object in one plane is empty there, whose hull is first that of the voxels' centres.
    - Its Feret diameter is that of the hull drawn in pixels. These stick out of the hull by up to half a pixel on
      either side, and are none of the object's. It is ours where the object fills its hull.
    """
    found = table(labels, spacing)
    numbers = np.searchsorted(np.unique([0, *labels.ravel()]), labels)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        for k, region in enumerate(regionprops(numbers, spacing=spacing)):
            convex = region.area_convex
            if convex == 0:
                assert np.linalg.matrix_rank(np.argwhere(region.image) - np.argwhere(region.image)[0]) < 3
                continue
            size = "convex_area" if labels.ndim == 2 else "convex_volume"
            assert found[size][k] == pytest.approx(convex, rel=1e-12)
            assert found["solidity"][k] == pytest.approx(region.solidity, rel=1e-12)
            theirs = region.feret_diameter_max
            assert found["feret_max"][k] <= theirs * (1 + 1e-6)
            if found["solidity"][k] == 1:
                assert found["feret_max"][k] == pytest.approx(theirs, rel=1e-6)
            if labels.ndim == 2:
                assert theirs <= found["feret_max"][k] + 2 * max(spacing)


IDS = st.sampled_from([0, 0, 1, 2, 2**32 - 1])


@settings(deadline=None)
@given(arrays(np.uint32, st.tuples(*[st.integers(1, 9)] * 2), elements=IDS), st.sampled_from([3, 10_000]))
def test_hulls_in_a_plane(labels, slab):
    before, tiling.SLAB_PIXELS = tiling.SLAB_PIXELS, slab
    try:
        check_with_regionprops(labels, (0.5, 0.75))
        check_widths(labels, (0.3, 1.9))
    finally:
        tiling.SLAB_PIXELS = before


@settings(deadline=None, max_examples=50)
@given(arrays(np.uint32, st.tuples(*[st.integers(1, 5)] * 3), elements=IDS), st.sampled_from([3, 10_000]))
def test_hulls_in_a_volume(labels, slab):
    before, tiling.SLAB_PIXELS = tiling.SLAB_PIXELS, slab
    try:
        check_with_regionprops(labels, (1.0, 0.5, 0.75))
        check_widths(labels, (2.7, 0.3, 1.1))
    finally:
        tiling.SLAB_PIXELS = before


def test_coins_have_the_hulls_of_scikit_image():
    labels, _ = ndimage.label(ndimage.binary_opening(coins() > 120, iterations=2))
    check_with_regionprops(labels, (1.0, 1.0))


def ellipsoid(radii, spacing, turn=None):
    """Draw an ellipse or ellipsoid in the middle of an image; its axes are the columns of the matrix."""
    n = len(radii)
    reach = [int(max(radii) / s) + 2 for s in spacing]
    place = np.indices([2 * r + 1 for r in reach]).reshape(n, -1).T - reach
    along = (place * spacing) @ (np.eye(n) if turn is None else turn)
    return ((along / radii) ** 2).sum(axis=1).reshape([2 * r + 1 for r in reach]) <= 1


@pytest.mark.parametrize("spacing", [(1.0, 1.0), (0.5, 1.0), (2.0, 0.7), (2.0, 1.0, 1.0), (0.5, 1.5, 0.8)])
@pytest.mark.parametrize("angle", [0, 30, 45, 77])
def test_an_ellipsoid_is_as_long_and_as_thin_as_its_axes(spacing, angle):
    turn = np.eye(len(spacing))
    c, s = np.cos(np.radians(angle)), np.sin(np.radians(angle))
    turn[:2, :2] = [[c, -s], [s, c]]
    radii = (30, 15) if len(spacing) == 2 else (24, 12, 18)
    mask = ellipsoid(radii, spacing, turn)
    found = table(mask, spacing)
    assert found["feret_max"][0] == pytest.approx(2 * radii[0], abs=max(spacing))
    assert found["feret_min"][0] == pytest.approx(2 * radii[1], abs=max(spacing))
    assert 0.9 < found["solidity"][0] <= 1


def test_a_box_is_as_long_as_its_diagonal_between_middles_and_as_thin_as_its_shortest_side():
    found = table(np.ones((4, 10, 20)), (3.0, 0.5, 2.0))
    assert found["convex_volume"][0] == pytest.approx(800 * 3)
    assert found["solidity"][0] == 1
    assert found["feret_max"][0] == pytest.approx(np.sqrt(9**2 + 4.5**2 + 40**2))
    assert found["feret_min"][0] == pytest.approx(5)


def test_one_plane_of_a_volume_has_the_hull_of_an_image():
    mask = np.random.default_rng(0).random((7, 9)) < 0.2
    flat, thin = table(mask, (0.5, 2.0)), table(mask[None], (1.0, 0.5, 2.0))
    assert flat["convex_area"] == thin["convex_volume"]
    assert flat["feret_max"] == thin["feret_max"]


def test_a_ring_fills_part_of_its_hull_and_all_directions_are_alike():
    mask = ellipsoid((20, 20), (1, 1)) & ~np.pad(ellipsoid((18, 18), (1, 1)), 2)
    shapes = [mask, mask[::-1], mask.T]
    found = [table(m) for m in shapes]
    assert all(f == found[0] for f in found)
    assert found[0]["solidity"][0] == pytest.approx(1 - 0.9**2, abs=0.02)


def test_volumes_are_the_same_in_any_order_of_axes():
    mask = ndimage.gaussian_filter(np.random.default_rng(2).random((12, 14, 16)), 2) > 0.5
    spacing = np.array([2.0, 0.5, 1.25])
    expected = table(mask, tuple(spacing))
    for order in itertools.permutations(range(3)):
        found = table(mask.transpose(order)[::-1], tuple(spacing[list(order)]))
        for name, values in expected.items():
            assert found[name] == pytest.approx(values, rel=1e-12), name


@pytest.mark.parametrize("shape", [(5, 6), (3, 4, 5)])
def test_no_objects_give_empty_columns(shape):
    found = table(np.zeros(shape))
    assert {len(v) for v in found.values()} == {0}
    assert len(found) == 4
