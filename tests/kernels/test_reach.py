import itertools

import numpy as np
import pytest

from segmentry.kernels.reach import distance_to_others, grow_labels
from segmentry.kernels.votes import smooth_labels

SHAPES = [
    ((23, 31), (1.0, 1.0)),
    ((17, 20), (2.5, 0.7)),
    ((9, 12, 11), (2.0, 1.0, 1.0)),
    ((1, 15, 13), (3.0, 1.0, 1.0)),
]


def scattered(shape, share, seed=0):
    rng = np.random.default_rng(seed)
    return np.where(rng.random(shape) < share, rng.integers(1, 9, shape), 0).astype(np.uint32)


def squared_ways(shape, steps):
    """Return the squared distances between all pairs of pixels."""
    places = np.stack(np.unravel_index(np.arange(np.prod(shape)), shape), axis=1) * np.array(steps)
    return ((places[:, None] - places[None]) ** 2).sum(axis=2)


@pytest.mark.parametrize(("shape", "steps"), SHAPES)
@pytest.mark.parametrize("limit", [0.0, 2.0, 6.5])
def test_the_nearest_object_wins_and_of_equally_near_ones_the_lowest_id(shape, steps, limit):
    labels = scattered(shape, 0.03)
    ways = squared_ways(shape, steps)[:, labels.ravel() > 0]
    owners = labels[labels > 0]
    nearest = ways.min(axis=1)
    tied = np.where(np.isclose(ways, nearest[:, None]), owners[None], 99).min(axis=1)
    expected = np.where(nearest <= limit**2 + 1e-9, tied, 0).reshape(shape)
    assert np.array_equal(grow_labels(labels, steps, limit), expected)


@pytest.mark.parametrize(("shape", "steps"), SHAPES)
@pytest.mark.parametrize("limit", [0.0, 2.0, 50.0])
def test_the_distance_is_that_to_the_nearest_pixel_of_another_object_or_none(shape, steps, limit):
    labels = np.repeat(np.repeat(scattered(shape, 0.9), 4, axis=-1), 4, axis=-2)[..., : shape[-2], : shape[-1]].copy()
    flat = labels.ravel()
    ways = np.sqrt(np.where(flat[:, None] == flat[None], np.inf, squared_ways(shape, steps)).min(axis=1))
    expected = np.where(flat == 0, 0, np.where(ways <= limit + 1e-9, ways, np.inf)).reshape(shape)
    assert np.allclose(distance_to_others(labels, steps, limit), expected)


def test_limits_that_are_not_whole_by_a_rounding_error_count_as_whole():
    labels = np.zeros((1, 9), np.uint32)
    labels[0, 0] = 1
    assert np.count_nonzero(grow_labels(labels, (1, 1), 0.3 / 0.1)) == 4


def voted(labels, steps, radius):
    """Return the outcome of the votes, pixel by pixel in plain Python."""
    reach = [int(radius / s) for s in steps]
    ball = [
        at
        for at in itertools.product(*(range(-r, r + 1) for r in reach))
        if sum((k * s) ** 2 for k, s in zip(at, steps, strict=True)) <= radius**2
    ]
    found = labels.copy()
    for place in np.ndindex(labels.shape):
        around = [tuple(p + k for p, k in zip(place, at, strict=True)) for at in ball]
        seen = [labels[p] for p in around if all(0 <= q < n for q, n in zip(p, labels.shape, strict=True))]
        counts = np.bincount(seen, minlength=10)
        own = labels[place]
        if own:
            found[place] = own if counts[own] >= counts[0] else 0
        else:
            winners = np.flatnonzero(2 * counts[1:] > counts.sum()) + 1
            found[place] = winners[0] if len(winners) else 0
    return found


@pytest.mark.parametrize(
    ("shape", "steps", "radius"),
    [((20, 24), (1, 1), 2), ((20, 24), (2, 1), 3.5), ((6, 9, 8), (2, 1, 1), 2), ((9, 9), (1, 1), 0)],
)
def test_votes_are_counted_as_they_are_by_hand(shape, steps, radius):
    labels = np.repeat(np.repeat(scattered(shape, 0.5, 3), 3, axis=-1), 3, axis=-2)[..., : shape[-2], : shape[-1]]
    assert np.array_equal(smooth_labels(labels, steps, radius), voted(labels, steps, radius))
