"""Rays from every pixel: followed one by one in plain Python here, all at once in the kernel."""

import numpy as np
import pytest

from segmentry.kernels.ray_lengths import ray_lengths


def directions(count, ndim, seed=0):
    rng = np.random.default_rng(seed)
    ways = rng.normal(size=(count, 3))
    ways[:, : 3 - ndim] = 0
    return ways / np.linalg.norm(ways, axis=1, keepdims=True)


def followed(own, at, way):
    """How far a ray goes from a pixel: in planes to the middle between pixels along its faster axis, in steps."""
    step = 1
    while True:
        place = np.floor(np.array(at) + step * way[3 - own.ndim :] + 0.5).astype(int)
        if (place < 0).any() or (place >= own.shape).any() or not own[tuple(place)]:
            return step - (1 - 0.5 / np.abs(way).max())
        step += 1


def lengths(own, ways):
    box = tuple(slice(0, n) for n in own.shape)
    return ray_lengths(own.astype(np.uint32), [box], ways)


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (7, 300), (40, 41), (300, 90)])
@pytest.mark.parametrize("full", [True, False])
def test_rays_in_planes_are_those_followed_one_by_one(shape, full):
    """300 steps need more than a byte to count them, and 27,000 pixels are followed in several parts."""
    rng = np.random.default_rng(1)
    own = np.ones(shape, bool) if full else rng.random(shape) < 0.85
    ways = directions(9, 2)
    found = lengths(own, ways)
    assert (found[:, ~own] == 0).all()
    inside = np.argwhere(own)
    for at in inside[rng.integers(0, len(inside), 60)]:
        for k, way in enumerate(ways):
            assert found[(k, *at)] == pytest.approx(followed(own, at, way), abs=1e-4)


def test_rays_in_volumes_end_where_they_leave_the_last_voxel():
    """In a box of voxels a ray ends at the first of its faces that it meets."""
    shape = (30, 12, 110)
    own, ways = np.ones(shape, bool), directions(11, 3)
    found = lengths(own, ways)
    rng = np.random.default_rng(2)
    for at in rng.integers(0, shape, (80, 3)):
        for k, way in enumerate(ways):
            faces = np.where(way > 0, np.array(shape) - 0.5, -0.5)
            assert found[(k, *at)] == pytest.approx(np.min((faces - at) / way), abs=1e-3)


def test_objects_don_t_see_each_other():
    numbers = np.zeros((20, 30), np.uint32)
    numbers[2:9, 3:12], numbers[9:15, 3:12], numbers[5:14, 12:25] = 1, 2, 3
    boxes = [(slice(2, 9), slice(3, 12)), (slice(9, 15), slice(3, 12)), None]
    ways = directions(5, 2)
    found = ray_lengths(numbers, boxes, ways)
    assert (found[:, numbers == 3] == 0).all()
    for number, box in enumerate(boxes[:2], 1):
        alone = lengths(numbers[box] == number, ways)
        assert np.array_equal(found[(slice(None), *box)], alone)
