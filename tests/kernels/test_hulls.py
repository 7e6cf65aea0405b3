import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial import ConvexHull, QhullError

from segmentry.kernels.hulls import outermost
from segmentry.kernels.polyhedra import make_hull, room_for


def hull(points):
    """Return the corners of the faces, the faces beside them, and their planes."""
    faces, planes, room = room_for(len(points))
    n = make_hull(points, faces, planes, room)
    return faces[:n, :3], faces[:n, 3:6], planes[:n, :4]


def row_ends(mask):
    """Return the first and last voxel of each row, by hand."""
    ends = np.full((*mask.shape[:2], 2), (np.iinfo(np.int32).max, -1), np.int32)
    for z, y in np.argwhere(mask.any(axis=2)):
        x = np.flatnonzero(mask[z, y])
        ends[z, y] = x[0], x[-1]
    return ends


def check(points, expected):
    """Compare a hull with that of Qhull: same volume, a closed surface, every point inside, no corner left out."""
    corners, beside, planes = hull(points)
    edges = {(f[i], f[(i + 1) % 3]): n for n, f in enumerate(corners) for i in range(3)}
    assert len(edges) == 3 * len(corners)
    for n, f in enumerate(corners):
        assert [edges[f[(i + 1) % 3], f[i]] for i in range(3)] == beside[n].tolist()
    assert (points @ planes[:, :3].T <= planes[:, 3]).all()
    centre = points.mean(axis=0)
    volume = np.abs(np.linalg.det(points[corners] - centre)).sum() / 6
    assert volume == pytest.approx(expected.volume, rel=1e-9)
    ours = {tuple(p) for p in points[np.unique(corners)]}
    assert {tuple(p) for p in expected.points[expected.vertices].astype(int)} <= ours


@given(st.integers(0, 2**32 - 1), st.integers(2, 9), st.integers(5, 60))
def test_hulls_of_points_on_a_grid_are_those_of_qhull(seed, side, count):
    """Few positions make many points in one plane or line, where hulls in floating point fail."""
    points = np.random.default_rng(seed).integers(0, side, (count, 3))
    try:
        expected = ConvexHull(points)
    except QhullError:
        return
    points = points[np.lexsort(points.T[::-1])]
    check(points, expected)


def test_large_positions_do_not_overflow():
    points = np.random.default_rng(1).integers(0, 2**19, (400, 3))
    check(points, ConvexHull(points))


@pytest.mark.parametrize("radii", [(3, 3, 3), (9, 9, 9), (2, 12, 7), (1, 20, 20)])
def test_a_few_points_have_the_hull_of_all_middles_of_faces(radii):
    place = np.indices([2 * r + 1 for r in radii]) - np.reshape(radii, (3, 1, 1, 1))
    mask = ((place / np.reshape(radii, (3, 1, 1, 1))) ** 2).sum(axis=0) <= 1
    offsets = np.concatenate([np.eye(3, dtype=int), -np.eye(3, dtype=int)])
    middles = (2 * np.argwhere(mask)[:, None] + 1 + offsets).reshape(-1, 3)
    points = outermost(row_ends(mask))
    assert len(points) < len(middles) / 4
    check(points, ConvexHull(middles))


def test_one_voxel_is_an_octahedron():
    corners, _, planes = hull(outermost(np.zeros((1, 1, 2), np.int32)))
    assert len(corners) == 8
    assert (np.abs(planes[:, :3]) == 1).all()
