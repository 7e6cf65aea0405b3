"""Pairs of ids that meet, counted, against NumPy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from segmentry.kernels.overlap import count_overlaps

IDS = st.one_of(st.sampled_from([0, 1, 2, 2**31, 2**32 - 1]), st.integers(0, 2**32 - 1))


def counted(one: NDArray[np.uint32], other: NDArray[np.uint32]) -> dict[tuple[int, int], int]:
    pairs, counts = np.unique(np.stack([one.ravel(), other.ravel()]), axis=1, return_counts=True)
    return {(int(a), int(b)): int(n) for (a, b), n in zip(pairs.T, counts, strict=True)}


@given(arrays(np.uint32, (5, 12), elements=IDS), arrays(np.uint32, (5, 12), elements=IDS), st.integers(1, 5))
def test_all_pairs_are_counted_in_order_however_the_image_is_cut(
    one: NDArray[np.uint32], other: NDArray[np.uint32], step: int
) -> None:
    found = count_overlaps((one[y : y + step], other[y : y + step]) for y in range(0, 5, step))
    listed = list(zip(found.first.tolist(), found.second.tolist(), strict=True))
    assert dict(zip(listed, found.shared.tolist(), strict=True)) == counted(one, other)
    assert listed == sorted(set(listed))
    assert found.first.dtype == found.second.dtype == np.uint32


@pytest.mark.parametrize("spread", [1, 3, 4096, 65_521])
def test_many_pairs_are_counted_whatever_the_gaps_between_ids(spread: int) -> None:
    rng = np.random.default_rng(spread)
    one, other = rng.integers(0, 60_000, (2, 40_000)).astype(np.uint32) * np.uint32(spread)
    found = count_overlaps([(one, other)])
    key = one.astype(np.uint64) << np.uint64(32) | other
    keys, counts = np.unique(key, return_counts=True)
    assert np.array_equal(found.first, keys >> np.uint64(32))
    assert np.array_equal(found.second, keys & np.uint64(2**32 - 1))
    assert np.array_equal(found.shared, counts)


def test_views_that_are_not_contiguous_are_counted_as_they_look() -> None:
    rng = np.random.default_rng(0)
    one, other = rng.integers(0, 4, (2, 30, 40)).astype(np.uint32)
    found = count_overlaps([(one[::2, 3:-1], other.reshape(40, 30).T[::2, 3:-1])])
    expected = counted(one[::2, 3:-1].copy(), other.reshape(40, 30).T[::2, 3:-1].copy())
    assert {(int(a), int(b)): int(n) for a, b, n in zip(*found, strict=True)} == expected


@pytest.mark.parametrize("blocks", [[], [(np.zeros((0, 3), np.uint32),) * 2]])
def test_nothing_has_no_pairs(blocks: list[tuple[NDArray[np.uint32], NDArray[np.uint32]]]) -> None:
    assert all(len(column) == 0 for column in count_overlaps(blocks))
