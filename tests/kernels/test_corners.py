import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from segmentry.kernels.contacts import add_contacts, no_contacts
from segmentry.kernels.corners import count_cubes, count_quads
from segmentry.kernels.crossings import count_crossings
from segmentry.kernels.marks import marked

SHAPES = st.tuples(*[st.integers(1, 4)] * 3)


def padded(index, margin):
    return np.ascontiguousarray(np.pad(index, [(m, m) for m in margin]), np.uint32), np.array(margin, np.int64)


def patterns(index, axes, n):
    """Return how often each pattern occurs for each object 1 … n, one window after the other."""
    around = np.pad(index, [(1, 1) if axis in axes else (0, 0) for axis in range(3)])
    windows = np.lib.stride_tricks.sliding_window_view(around, (2,) * len(axes), axes)
    windows = windows.reshape(-1, 2 ** len(axes))
    found = np.zeros((n + 1, 2 ** windows.shape[1]), np.int64)
    for window, k in itertools.product(windows, range(1, n + 1)):
        found[k, sum(1 << bit for bit, value in enumerate(window) if value == k)] += 1
    return found


@given(arrays(np.uint8, st.integers(1, 40), elements=st.integers(0, 1)))
def test_marked_places_are_those_that_are_not_zero(marks):
    places = np.empty(marks.size + 1, np.int64)
    assert places[: marked(marks, places)].tolist() == np.flatnonzero(marks).tolist()


@given(arrays(np.uint32, st.tuples(st.just(1), st.integers(1, 6), st.integers(1, 6)), elements=st.integers(0, 4)))
def test_patterns_in_a_plane_are_counted_as_one_by_one(index):
    found = np.zeros((5, 16), np.int64)
    count_quads(*padded(index, (0, 1, 1)), np.array([0, 1, 1]), found)
    assert found[1:, 1:15].tolist() == patterns(index, (1, 2), 4)[1:, 1:15].tolist()


@given(SHAPES.flatmap(lambda shape: arrays(np.uint32, shape, elements=st.integers(0, 9))))
def test_patterns_in_space_are_counted_as_one_by_one(index):
    found = np.zeros((10, 256), np.int64)
    count_cubes(*padded(index, (1, 2, 1)), np.ones(3, np.int64), np.eye(256, dtype=np.int8), found)
    assert found[1:, 1:255].tolist() == patterns(index, (0, 1, 2), 9)[1:, 1:255].tolist()


@given(SHAPES.flatmap(lambda shape: arrays(np.uint32, shape, elements=st.integers(0, 3))))
def test_planes_one_by_one_count_the_crossings_of_the_whole(index):
    steps = np.array([(1, 2, -3), (1, -1, 0), (0, 1, 1)])
    whole, margin = padded(index, (1, 2, 3))
    total = np.zeros((3, 4), np.int64)
    for z in range(len(index)):
        first, last = np.array([z == 0, 1, 1], np.int64), np.array([z == len(index) - 1, 1, 1], np.int64)
        count_crossings(np.ascontiguousarray(whole[z : z + 3]), margin, first, last, steps, total)
    apart, _ = padded(index, (3, 3, 3))
    for step, found in zip(steps, total, strict=True):
        stepped = np.roll(apart, step, (0, 1, 2))
        assert found[1:].tolist() == [np.count_nonzero((apart == k) != (stepped == k)) for k in (1, 2, 3)]


@pytest.mark.parametrize("margin", [(1, 1, 1), (2, 5, 3), (0, 1, 1)])
def test_more_pairs_than_there_is_room_for_are_all_kept(margin):
    index = np.random.default_rng(0).permutation(24 * 25 * 26).reshape(24, 25, 26).astype(np.uint32)
    pairs, faces, _, n = add_contacts(*padded(index, margin), *no_contacts(room=8))
    found = {(a, b): count for (a, b), count in zip(pairs[:n].tolist(), faces[:n].tolist(), strict=True)}
    expected = {}
    for axis in range(3):
        moved = np.moveaxis(index, axis, 0)
        for a, b in zip(moved[:-1].ravel().tolist(), moved[1:].ravel().tolist(), strict=True):
            if a and b and margin[axis]:
                expected[min(a, b), max(a, b)] = [int(axis == i) for i in range(3)]
    assert found == expected
