import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import distance_transform_edt
from skimage.measure import label

from segmentry.errors import UnknownNameError
from segmentry.image import Grid
from segmentry.learn.objects import own_distance
from segmentry.learn.representation import Head, activated, offsets, representation, representations
from segmentry.metrics import match_objects
from segmentry.result import Instances
from segmentry.testing import check_representation, perfect_maps

NAMES = ("background", "object")


def balls(rng, shape, count, radii):
    """Balls that touch and overlap: what lies nearer to a centre, as a share of the radius, belongs to it."""
    labels, near = np.zeros(shape, np.int64), np.full(shape, 1.0)
    places = np.indices(shape)
    for number in range(1, count + 1):
        centre = [rng.uniform(0, n) for n in shape]
        away = np.sqrt(sum((p - c) ** 2 for p, c in zip(places, centre, strict=True))) / rng.uniform(*radii)
        labels[away < near], near = number, np.minimum(near, away)
    pieces = label(labels)  # what others leave of a ball may be in pieces: each is an object
    sizes = np.bincount(pieces.ravel())
    return np.where(np.isin(pieces, np.flatnonzero(sizes < 80)), 0, pieces).astype(np.int64)


@pytest.mark.parametrize("name", ["boundary", "distance"])
@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6), ndim=st.sampled_from([2, 3]))
def test_touching_balls_come_back(name, seed, ndim):
    shape = (70, 80) if ndim == 2 else (24, 30, 28)
    labels = balls(np.random.default_rng(seed), shape, 12, (5, 12) if ndim == 2 else (5, 9))
    kind, grid = representation(name), Grid("ZYX"[3 - ndim :], shape)
    found = kind.decode(perfect_maps(kind, labels, (1.0,) * ndim), grid, NAMES)
    truth = Instances.from_labels(labels, grid)
    assert (np.asarray(found.labels) > 0).tolist() == (labels > 0).tolist()
    matching = match_objects(found, truth)
    # Rims are as thin as objects are small, so that slivers that balls leave of each other come back a little larger.
    assert len(matching.matched(0.5)) >= 0.9 * matching.n_true
    assert len(matching.matched(0.7)) >= 0.7 * matching.n_true


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (3.0, 1.0, 1.0)])
def test_objects_that_lie_apart_come_back_exactly(spacing):
    labels = np.zeros((12, 40, 40), np.int64)
    labels[2:9, 3:17, 4:18], labels[3:10, 20:36, 6:30], labels[0, 0, 39] = 5, 9, 2
    for kind in (representation("boundary"), representation("distance")):
        grid = Grid("ZYX", labels.shape, spacing, "um")
        found = np.asarray(kind.decode(perfect_maps(kind, labels, spacing), grid, NAMES).labels)
        pairs = {(a, b) for a, b in zip(found.ravel(), labels.ravel(), strict=True) if b in (5, 9)}
        assert len(pairs) == 2
        assert all(a > 0 for a, _ in pairs)


def test_classes_come_back_exactly_with_their_probabilities():
    labels = np.random.default_rng(0).integers(0, 3, (5, 6, 7))
    kind = representation("classes")
    grid = Grid("ZYX", labels.shape)
    found = kind.decode(perfect_maps(kind, labels, (1, 1, 1), ("none", "a", "b")), grid, ("none", "a", "b"))
    assert np.array_equal(found.classes, labels)
    assert np.array_equal(found.probabilities.argmax(axis=0), labels)


@pytest.mark.parametrize("name", list(representations()))
def test_every_representation_keeps_its_promises(name):
    check_representation(representation(name))


def test_distances_are_those_to_the_next_object_or_background():
    labels = balls(np.random.default_rng(3), (50, 60), 9, (6, 14))
    distance, largest = own_distance(labels, (2.0, 1.0))
    for number in np.unique(labels[labels > 0]):
        mine = labels == number
        # Beyond the edge of the array the object goes on, so the reference sees it repeated there.
        wide = np.pad(mine, 60, mode="edge")
        inner = distance_transform_edt(wide, (2.0, 1.0))[60:-60, 60:-60]
        touches = mine[0].any() or mine[-1].any() or mine[:, 0].any() or mine[:, -1].any()
        if not touches:
            np.testing.assert_allclose(distance[mine], np.maximum(inner[mine] - 0.5, 0), atol=1e-4)
        assert largest[mine] == pytest.approx(distance[mine].max())
    assert not distance[labels == 0].any()


def test_scores_become_probabilities_and_shares():
    heads = (Head("a", "classes", 3), Head("b", "shares", 1), Head("c", "numbers", 2))
    scores = np.random.default_rng(0).normal(0, 50, (6, 4, 5)).astype(np.float32)
    found = activated(scores.copy(), heads)
    assert offsets(heads) == {"a": slice(0, 3), "b": slice(3, 4), "c": slice(4, 6)}
    np.testing.assert_allclose(found[:3].sum(axis=0), 1, rtol=1e-5)
    assert np.array_equal(found[:3].argmax(axis=0), scores[:3].argmax(axis=0))
    np.testing.assert_allclose(found[3], 1 / (1 + np.exp(-scores[3].astype(np.float64))), atol=1e-6)
    assert np.array_equal(found[4:], scores[4:])


def test_an_unknown_representation_is_refused_with_the_nearest():
    with pytest.raises(UnknownNameError, match="boundary"):
        representation("boundry")
