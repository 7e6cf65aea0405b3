import itertools

import numpy as np
import pytest
from skimage import data

from segmentry import segment
from segmentry.image import Image
from segmentry.methods.graph_cut import half_neighbours, minimum_cut, pair


def cost(masks, gain, links):
    """What each of many divisions costs, summed plainly."""
    total = -(masks * gain).sum(axis=tuple(range(1, masks.ndim)))
    for step, price in links:
        here, there = pair(np.moveaxis(masks, 0, -1), (*step, 0))
        total += (price[..., None] * (here != there)).sum(axis=tuple(range(price.ndim)))
    return total


@pytest.mark.parametrize("shape", [(3, 4), (2, 2, 3)])
def test_no_division_of_all_is_cheaper(shape):
    masks = np.array(list(itertools.product((0, 1), repeat=12)), np.int64).reshape(-1, *shape)
    for seed in range(12):
        rng = np.random.default_rng(seed)
        gain = rng.integers(-100, 101, shape).astype(np.int32)
        links = [
            (step, rng.integers(0, 5 + 8 * seed, pair(gain, step)[0].shape).astype(np.int32))
            for step in half_neighbours(len(shape))
        ]
        found = minimum_cut(gain, links)
        costs = cost(masks, gain, links)
        assert cost(found[None].astype(np.int64), gain, links)[0] == costs.min()
        best = masks[costs == costs.min()]
        assert found.sum() == best.sum(axis=tuple(range(1, best.ndim))).min()


def test_without_a_price_for_outline_it_is_otsus_threshold():
    image = Image.from_array(data.coins())
    cut, otsu = segment(image, "graph_cut", smoothness=0).result, segment(image, "otsu").result
    assert np.array_equal(cut.classes, otsu.classes)


def test_cleans_what_noise_does_to_a_threshold():
    rng = np.random.default_rng(0)
    truth = np.hypot(*(np.indices((90, 90)) - 45)) < 25
    image = Image.from_array(np.rint(1000 + 400 * truth + rng.normal(0, 250, truth.shape)).astype(np.uint16))
    wrong = {name: (np.asarray(segment(image, name).result.classes) != truth).mean() for name in ("otsu", "graph_cut")}
    assert wrong["otsu"] > 0.15
    assert wrong["graph_cut"] < 0.04


def test_neither_scale_nor_offset_of_intensities_matters():
    pixels = data.coins()[:100, :100].astype(np.int32)
    one = np.asarray(segment(Image.from_array(pixels), "graph_cut").result.classes)
    other = np.asarray(segment(Image.from_array(pixels * 30 + 900), "graph_cut").result.classes)
    assert (one == other).mean() > 0.999
    dark = np.asarray(segment(Image.from_array(-pixels), "graph_cut", foreground="dark").result.classes)
    assert (dark == one).mean() > 0.98


def test_planes_far_apart_hold_each_other_less():
    rng = np.random.default_rng(3)
    pixels = rng.normal(100, 3, (7, 30, 30))
    pixels[:, :12] += 100
    # A bar in one plane alone costs its outline there, and its two sides where planes are close by.
    pixels[3, 20:24, 5:25] += 100
    near = segment(Image.from_array(pixels, spacing=(1, 1, 1)), "graph_cut", smoothness=3, edge=50).result
    far = segment(Image.from_array(pixels, spacing=(20, 1, 1)), "graph_cut", smoothness=3, edge=50).result
    bar = (3, slice(20, 24), slice(6, 24))
    assert not np.asarray(near.classes)[bar].any()
    assert np.asarray(far.classes)[bar].all()
