"""Which object stars tell, where it ends classes of pixels do."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.measure import label

from segmentry.image import Grid
from segmentry.learn.representation import representation
from segmentry.metrics import match_objects
from segmentry.result import Instances
from segmentry.testing import check_representation, perfect_maps

NAMES = ("background", "nucleus")


def ellipses(rng, shape, count):
    """Ellipses or ellipsoids, of which the first lie on top, whole pieces only."""
    labels = np.zeros(shape, np.int64)
    for number in range(1, count + 1):
        centre = np.array([rng.uniform(0, n) for n in shape]).reshape(-1, *(1,) * len(shape))
        radii = rng.uniform(4, 9, len(shape)).reshape(centre.shape)
        labels[(((np.indices(shape) - centre) / radii) ** 2).sum(axis=0) < 1] = number
    pieces = label(labels)
    sizes = np.bincount(pieces.ravel())
    return np.where(np.isin(pieces, np.flatnonzero(sizes < 80)), 0, pieces).astype(np.int64)


@pytest.mark.parametrize("block", [1, 2])
@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6), ndim=st.sampled_from([2, 3]))
def test_crowds_come_back_with_exact_foreground(block, seed, ndim):
    shape = (70, 80) if ndim == 2 else (22, 30, 28)
    labels = ellipses(np.random.default_rng(seed), shape, 14 if ndim == 2 else 8)
    kind, grid = representation("outlined", block=block), Grid("ZYX"[3 - ndim :], shape)
    found = kind.decode(perfect_maps(kind, labels, (1.0,) * ndim), grid, NAMES)
    truth = Instances.from_labels(labels, grid)
    seen = np.asarray(found.labels) > 0
    assert not seen[labels == 0].any()
    assert seen[labels > 0].mean() > 0.9
    matching = match_objects(found, truth)
    most, close = (0.9, 0.75) if ndim == 2 else (0.6, 0.5)  # of balls of a few pixels, some hide behind others
    assert len(matching.matched(0.5)) >= most * matching.n_true
    assert len(matching.matched(0.75)) >= close * matching.n_true


@pytest.mark.parametrize("block", [1, 2])
def test_promises_hold_for_pixels_and_for_blocks(block):
    check_representation(representation("outlined", block=block))


@pytest.mark.parametrize("block", [1, 2])
def test_foreground_without_a_middle_is_no_object(block):
    kind, grid = representation("outlined", block=block), Grid("YX", (40, 40))
    labels = np.zeros((40, 40), np.int64)
    labels[5:20, 5:20] = 1
    maps = perfect_maps(kind, labels, (1.0, 1.0))
    maps[0] = 0
    assert not len(kind.decode(maps, grid, NAMES))


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6), axes=st.sampled_from([(0,), (1,), (0, 1)]))
def test_blocks_of_a_mirrored_image_are_those_of_the_image(seed, axes):
    labels = ellipses(np.random.default_rng(seed), (64, 96), 14)
    kind = representation("outlined", block=2)
    turned = perfect_maps(kind, np.flip(labels, axes).copy(), (1.0, 1.0))
    back = kind.mirrored(np.flip(turned, [axis + 1 for axis in axes]), axes)
    np.testing.assert_allclose(back, perfect_maps(kind, labels, (1.0, 1.0)), atol=1e-5)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6), zoom=st.floats(0.6, 2.5))
def test_blocks_are_found_again_at_another_size(seed, zoom):
    """As many objects, in the same places, as when each pixel has its own distances; wherever a part begins."""
    rng = np.random.default_rng(seed)
    labels = ellipses(rng, (90, 81), 10)
    shape = tuple(round(n / zoom) for n in labels.shape)
    found = {}
    for block in (1, 2):
        kind = representation("outlined", block=block)
        maps = perfect_maps(kind, labels, (1.0, 1.0))
        lazy = kind.resized(maps, (len(maps), *shape), (1.0, 1.0))
        whole = lazy[tuple(slice(0, n) for n in lazy.shape)]
        first = tuple(int(rng.integers(0, n)) for n in lazy.shape)
        last = tuple(int(rng.integers(a, n)) + 1 for a, n in zip(first, lazy.shape, strict=True))
        part = tuple(slice(a, b) for a, b in zip(first, last, strict=True))
        np.testing.assert_array_equal(lazy[part], whole[part])
        found[block] = kind.decode(whole, Grid("YX", shape), NAMES)
    alike = match_objects(found[2], found[1])
    assert len(alike.matched(0.5)) >= max(len(found[1]), len(found[2])) - 1
