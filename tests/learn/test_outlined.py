"""Which object stars and flows tell, where it ends classes of pixels do."""

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


@pytest.mark.parametrize("by", ["stars", "flows"])
@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6), ndim=st.sampled_from([2, 3]))
def test_crowds_come_back_with_exact_foreground(by, seed, ndim):
    shape = (70, 80) if ndim == 2 else (22, 30, 28)
    labels = ellipses(np.random.default_rng(seed), shape, 14 if ndim == 2 else 8)
    kind, grid = representation("outlined", by=by), Grid("ZYX"[3 - ndim :], shape)
    found = kind.decode(perfect_maps(kind, labels, (1.0,) * ndim), grid, NAMES)
    truth = Instances.from_labels(labels, grid)
    seen = np.asarray(found.labels) > 0
    assert not seen[labels == 0].any()
    assert seen[labels > 0].mean() > 0.9
    matching = match_objects(found, truth)
    assert len(matching.matched(0.5)) >= 0.85 * matching.n_true
    assert len(matching.matched(0.75)) >= 0.75 * matching.n_true


def test_flows_tell_what_stars_can_not():
    """A spiral arm is no star, and flows lead along it."""
    y, x = np.indices((90, 90)) - 45
    radius, angle = np.hypot(y, x), np.arctan2(y, x)
    arm = (radius > 18) & (radius < 30) & (angle > -2.5)
    labels = arm.astype(np.int64)
    grid = Grid("YX", labels.shape)
    maps = perfect_maps(representation("outlined"), labels, (1.0, 1.0))
    found = representation("outlined", by="flows").decode(maps, grid, NAMES)
    assert np.array_equal(np.asarray(found.labels) > 0, arm)
    assert len(found) == 1


@pytest.mark.parametrize("by", ["stars", "flows"])
def test_promises_hold_by_either(by):
    check_representation(representation("outlined", by=by))


def test_foreground_without_a_middle_is_no_object():
    kind, grid = representation("outlined"), Grid("YX", (40, 40))
    labels = np.zeros((40, 40), np.int64)
    labels[5:20, 5:20] = 1
    maps = perfect_maps(kind, labels, (1.0, 1.0))
    maps[0] = 0
    assert not len(kind.decode(maps, grid, NAMES))
