"""Outlines and run lengths against shapely and scikit-image, and back into the same labels."""

from __future__ import annotations

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from skimage.draw import polygon2mask
from skimage.measure import euler_number, label, perimeter_crofton

from segmentry.errors import InputError
from segmentry.kernels.contours import Outlines, Runs, draw_outlines, draw_runs, encode_runs, trace_outlines

TOP = 2**32 - 1
IDS = (0, 1, 2, 70_000, TOP)
touching = arrays(
    np.uint32, st.tuples(st.integers(1, 12), st.integers(1, 12)), elements=st.sampled_from(IDS), fill=st.nothing()
)
fast = settings(max_examples=150, deadline=None)

RING = [[1, 1, 1], [1, 0, 1], [1, 1, 1]]
OPEN_AT_A_CORNER = [[1, 1, 1], [1, 0, 1], [1, 1, 0]]
DIAGONAL = [[1, 0], [0, 1]]
TWO_HOLES_AT_A_CORNER = [[1, 1, 1, 1], [1, 0, 1, 1], [1, 1, 0, 1], [1, 1, 1, 1]]
DIAMOND_AROUND_A_PIXEL = [[1, 1, 1, 1, 1], [1, 1, 0, 1, 1], [1, 0, 1, 0, 1], [1, 1, 0, 1, 1], [1, 1, 1, 1, 1]]


def image(rows: list[list[int]]) -> NDArray[np.uint32]:
    return np.array(rows, np.uint32)


def geometries(outlines: Outlines) -> dict[int, shapely.MultiPolygon]:
    return {
        number: shapely.MultiPolygon([(rings[0][:, ::-1], [hole[:, ::-1] for hole in rings[1:]]) for rings in polygons])
        for number, polygons in outlines.objects()
    }


def shapes(rows: list[list[int]]) -> list[tuple[int, int]]:
    """Corners of the outer ring, and number of holes, of each polygon."""
    return [
        (len(rings[0]), len(rings) - 1) for _, polygons in trace_outlines(image(rows)).objects() for rings in polygons
    ]


def drawn(outlines: Outlines, shape: tuple[int, int]) -> NDArray[np.uint32]:
    labels = np.zeros(shape, np.uint32)
    counts, overlap = draw_outlines(outlines, labels)
    assert overlap is None
    assert counts.sum() == np.count_nonzero(labels)
    return labels


@given(touching)
@fast
def test_polygons_are_valid_and_have_the_area_of_their_object(labels: NDArray[np.uint32]) -> None:
    found = geometries(trace_outlines(labels))
    ids, areas = np.unique(labels[labels > 0], return_counts=True)
    assert list(found) == ids.tolist()
    for shape, area in zip(found.values(), areas, strict=True):
        assert shapely.is_valid_reason(shape) == "Valid Geometry"
        assert shape.area == area


@given(touching)
@fast
def test_drawing_outlines_gives_the_labels_back(labels: NDArray[np.uint32]) -> None:
    assert np.array_equal(drawn(trace_outlines(labels), labels.shape), labels)


@given(touching)
@fast
def test_outer_rings_run_clockwise_on_the_screen_and_holes_the_other_way(labels: NDArray[np.uint32]) -> None:
    for _, polygons in trace_outlines(labels).objects():
        for rings in polygons:
            for i, ring in enumerate(rings):
                assert shapely.LinearRing(ring[:, ::-1]).is_simple
                assert shapely.LinearRing(ring[:, ::-1]).is_ccw == (i == 0)  # counted with y up, as shapely does
            assert shapely.Polygon(rings[0]).area >= sum(shapely.Polygon(hole).area for hole in rings[1:])


@given(touching)
@fast
def test_rings_have_corners_only(labels: NDArray[np.uint32]) -> None:
    outlines = trace_outlines(labels)
    for ring in np.split(outlines.points, outlines.rings[1:-1]):
        if len(ring):
            steps = np.diff(ring, axis=0, append=ring[:1])
            assert np.all(np.count_nonzero(steps, axis=1) == 1)
            assert np.all((steps[:, 0] != 0) != (np.roll(steps[:, 0], 1) != 0))


@given(touching)
@fast
def test_pieces_and_holes_are_those_of_scikit_image(labels: NDArray[np.uint32]) -> None:
    for number, polygons in trace_outlines(labels).objects():
        mask = np.pad(labels == number, 1)
        assert len(polygons) == label(mask, connectivity=1).max()
        if not _has_pinch(mask):
            holes = sum(len(rings) - 1 for rings in polygons)
            assert len(polygons) - holes == euler_number(mask, connectivity=1)


def _has_pinch(mask: NDArray[np.bool_]) -> bool:
    a, b, c, d = mask[:-1, :-1], mask[:-1, 1:], mask[1:, :-1], mask[1:, 1:]
    return bool(np.any((a & d & ~b & ~c) | (b & c & ~a & ~d)))


def test_a_pixel_is_a_square_of_pixel_corners() -> None:
    outlines = trace_outlines(image([[0, 0, 0], [0, 0, 9]]))
    assert outlines.ids.tolist() == [9]
    assert outlines.points.tolist() == [[1, 2], [1, 3], [2, 3], [2, 2]]
    assert outlines.points.dtype == np.int32


def test_a_hole_belongs_to_the_ring_around_it() -> None:
    assert shapes(RING) == [(4, 1)]
    assert shapes([[*row, 0, *row] for row in RING]) == [(4, 1), (4, 1)]


def test_pixels_that_meet_at_a_corner_are_two_polygons() -> None:
    assert shapes(DIAGONAL) == [(4, 0), (4, 0)]


def test_a_ring_that_closes_at_a_corner_has_a_hole_that_touches_its_outline() -> None:
    assert shapes(OPEN_AT_A_CORNER) == [(6, 1)]


def test_holes_that_meet_at_a_corner_are_two_holes() -> None:
    assert shapes(TWO_HOLES_AT_A_CORNER) == [(4, 2)]


def test_holes_that_meet_at_corners_all_around_are_one_hole() -> None:
    assert sorted(shapes(DIAMOND_AROUND_A_PIXEL)) == [(4, 0), (4, 1)]


def test_an_object_in_a_hole_of_another_is_cut_out_of_it() -> None:
    labels = image([[3, 3, 3], [3, 8, 3], [3, 3, 3]])
    found = geometries(trace_outlines(labels))
    assert found[3].area == 8
    assert found[3].touches(found[8])


def test_neighbours_share_their_border() -> None:
    found = geometries(trace_outlines(image([[1, 2], [1, 2]])))
    assert found[1].intersection(found[2]).length == 2


def test_an_empty_image_has_no_outlines_and_no_runs() -> None:
    labels = np.zeros((3, 4), np.uint32)
    assert list(trace_outlines(labels).objects()) == []
    assert len(encode_runs(labels).ids) == 0
    assert not drawn(trace_outlines(labels), labels.shape).any()


@pytest.mark.parametrize("shape", [(130, 127), (90, 200), (64, 320)])
def test_a_large_image_of_ragged_objects_with_holes_comes_back(shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(shape[1])
    labels = label(gaussian_filter(rng.random(shape), 1) > 0.49, connectivity=2).astype(np.uint32)
    labels[rng.random(shape) < 0.05] = TOP
    outlines = trace_outlines(labels)
    assert np.array_equal(drawn(outlines, shape), labels)
    assert all(shapely.is_valid(list(geometries(outlines).values())))
    assert np.any(np.diff(outlines.polygons) > 1)
    turned = trace_outlines(labels.T)
    assert np.array_equal(drawn(turned, shape[::-1]), labels.T)


def test_large_objects_keep_their_perimeter() -> None:
    y, x = np.mgrid[:300, :300]
    disk = ((y - 150) ** 2 + (x - 150) ** 2 < 120**2).astype(np.uint32)
    (shape,) = geometries(trace_outlines(disk)).values()
    assert shape.area == disk.sum()
    assert shape.convex_hull.length == pytest.approx(perimeter_crofton(disk, 4), rel=0.01)


@given(touching, st.booleans())
@fast
def test_drawing_runs_gives_the_labels_back(labels: NDArray[np.uint32], columns: bool) -> None:
    runs = encode_runs(labels, columns)
    back = np.zeros_like(labels)
    assert draw_runs(runs, back, columns) is None
    assert np.array_equal(back, labels)
    for i, number in enumerate(runs.ids):
        mask = np.concatenate([[False], (labels == number).ravel(order="F" if columns else "C"), [False]])
        starts, stops = np.flatnonzero(np.diff(mask.astype(np.int8))).reshape(-1, 2).T
        own = slice(runs.offsets[i], runs.offsets[i + 1])
        assert runs.starts[own].tolist() == starts.tolist()
        assert runs.lengths[own].tolist() == (stops - starts).tolist()


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=60, deadline=None)
def test_real_polygons_are_drawn_by_pixel_centres(seed: int) -> None:
    points = np.random.default_rng(seed).uniform(-3, 23, (7, 2))
    labels = drawn(Outlines.of([5], [[points]]), (20, 18))
    assert np.array_equal(labels > 0, polygon2mask((20, 18), points - 0.5))


def test_polygons_that_share_a_slanted_border_leave_no_gap_and_do_not_overlap() -> None:
    rng = np.random.default_rng(4)
    for _ in range(30):
        a, b = rng.uniform(0, 20, 2)
        left = [(0, 0), (0, a), (20, b), (20, 0)]
        right = [(0, a), (0, 20), (20, 20), (20, b)]
        assert drawn(Outlines.of([1, 2], [[left], [right]]), (20, 20)).all()


def test_an_overlap_names_both_objects_and_the_pixels_they_share() -> None:
    square, shifted = [(0, 0), (0, 4), (4, 4), (4, 0)], [(2, 2), (2, 6), (6, 6), (6, 2)]
    labels = np.zeros((8, 8), np.uint32)
    assert draw_outlines(Outlines.of([6, 4], [[square], [shifted]]), labels)[1] == (6, 4, 4)
    runs = Runs(np.array([6, 4], np.uint32), np.array([0, 1, 2]), np.array([0, 7]), np.array([10, 20]))
    assert draw_runs(runs, np.zeros((8, 8), np.uint32)) == (6, 4, 3)


def test_polygons_of_one_object_may_cover_each_other() -> None:
    square, shifted = [(0, 0), (0, 4), (4, 4), (4, 0)], [(2, 2), (2, 6), (6, 6), (6, 2)]
    assert np.count_nonzero(drawn(Outlines.of([6], [[square]]), (8, 8))) == 16
    labels = np.zeros((8, 8), np.uint32)
    assert draw_outlines(Outlines.of([6, 6], [[square], [shifted]]), labels)[1] is None
    assert np.count_nonzero(labels) == 28


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e300])
def test_coordinates_that_no_image_has_are_refused(value: float) -> None:
    with pytest.raises(InputError, match="finite coordinates"):
        draw_outlines(Outlines.of([1], [[[(0, 0), (0, value), (1, 1)]]]), np.zeros((2, 2), np.uint32))
