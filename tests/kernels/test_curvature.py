import numpy as np
import pytest
from skimage.segmentation import morphsnakes

from segmentry.kernels.curvature import MovingRegion


@pytest.fixture(autouse=True)
def fresh_turns(monkeypatch):
    """scikit-image keeps the order of its two operators from call to call; each test starts with the first."""
    one, other = morphsnakes.sup_inf, morphsnakes.inf_sup
    turns = morphsnakes._fcycle([lambda u: one(other(u)), lambda u: other(one(u))])
    monkeypatch.setattr(morphsnakes, "_curvop", turns)


@pytest.mark.parametrize("shape", [(50, 61), (20, 23, 26)])
def test_smoothing_is_scikit_images_away_from_the_edge(shape):
    rng = np.random.default_rng(0)
    mask = rng.random(shape) < 0.5
    region, theirs = MovingRegion(mask), np.int8(mask)
    for times in range(1, 4):
        region.smooth()
        theirs = morphsnakes._curvop(theirs)
        inner = tuple(slice(2 * times, -2 * times) for _ in shape)
        assert np.array_equal(region.mask[inner], theirs[inner] > 0)


def test_the_edge_of_the_image_is_no_outline():
    mask = np.zeros((30, 40), bool)
    mask[:12, :15] = True
    region = MovingRegion(mask)
    region.spread(np.ones(mask.shape, bool), grow=False)
    assert np.array_equal(region.mask, np.pad(np.ones((11, 14), bool), ((0, 19), (0, 26))))
    full = MovingRegion(np.ones((5, 6, 7), bool))
    full.smooth()
    assert full.mask.all()


def test_axes_whose_pixels_lie_far_apart_are_not_smoothed():
    mask = np.random.default_rng(1).random((5, 30, 31)) < 0.5
    volume = MovingRegion(mask, [False, True, True])
    volume.smooth()
    for plane, found in zip(mask, volume.mask, strict=True):
        alone = MovingRegion(plane)
        alone.smooth()
        assert np.array_equal(found, alone.mask)


@pytest.mark.parametrize("smoothing", [1, 2])
def test_leaving_out_whole_rounds_changes_nothing(smoothing):
    image = np.random.default_rng(2).normal(0, 1, (40, 41)).astype(np.float32)
    image[10:30, 12:33] += 2

    def stepper(region):
        def step():
            counted.append(1)
            region.follow_means(image, 1, 1)
            for _ in range(smoothing):
                region.smooth()

        return step

    for iterations in (0, 1, 2, 7, 60, 61):
        counted = []
        plain, quick = MovingRegion(image > 1), MovingRegion(image > 1)
        step = stepper(plain)
        for _ in range(iterations):
            step()
        counted = []
        assert np.array_equal(quick.run(stepper(quick), iterations), plain.mask)
        assert len(counted) <= iterations
    assert len(counted) < 61


def test_axes_left_out_are_not_spread_along():
    mask = np.zeros((3, 9, 9), bool)
    mask[1, 4, 4] = True
    region = MovingRegion(mask, [False, True, True])
    region.spread(np.ones(mask.shape, bool), grow=True)
    assert region.mask.sum() == region.mask[1, 3:6, 3:6].sum() == 9
