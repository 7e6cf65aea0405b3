import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segmentry.image import Image
from segmentry.learn.prediction import Predictor, fitted_length, placed_tiles
from segmentry.learn.representation import Head
from segmentry.learn.scaling import Scaling
from segmentry.overview import Overview

NUMBERS = (Head("same", "numbers", 1),)
PLAIN = Scaling(by="fixed", fixed=((0, 1),), limit=1e6)


def predicted(image, scores, **how):
    given = {"heads": NUMBERS, "scaling": PLAIN, "tile": (16, 24), "multiple": (4, 8), **how}
    predictor = Predictor(scores, **given)
    into = np.zeros((predictor.outputs, *image.grid.spatial_shape), np.float32)
    return predictor.predict(image, given["scaling"].measured(Overview(image)), into)


@settings(max_examples=80, deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, 90), st.integers(1, 9), st.integers(1, 5)), min_size=1, max_size=3),
    st.floats(0, 0.9),
)
def test_weights_of_tiles_are_one_in_sum(axes, overlap):
    shape, times, multiple = zip(*axes, strict=True)
    longest = [k * m for k, m in zip(times, multiple, strict=True)]
    lengths = [fitted_length(*axis, overlap) for axis in zip(shape, longest, multiple, strict=True)]
    total = np.zeros(shape)
    for region, weights in placed_tiles(shape, lengths, multiple, [round(n * overlap) for n in longest]):
        part = np.ones([s.stop - s.start for s in region])
        for axis, weight in enumerate(weights):
            assert len(weight) == part.shape[axis]
            assert region[axis].start % multiple[axis] == 0
            part = part * weight.reshape((-1,) + (1,) * (len(shape) - axis - 1))
        total[region] += part
    np.testing.assert_allclose(total, 1, atol=1e-5)


def test_tiles_are_no_longer_than_they_must_be():
    assert fitted_length(1024, 512, 16, 0.125) == 384  # three, which have 64 pixels in common
    assert fitted_length(513, 512, 1, 0) == 257
    assert fitted_length(500, 512, 16, 0.25) == 512
    assert fitted_length(20, 512, 16, 0.25) == 32


@pytest.mark.parametrize("shape", [(5, 7), (16, 24), (17, 100), (61, 59)])
def test_a_network_that_changes_nothing_gives_the_image_in_tiles_of_the_right_size(shape):
    image = Image.from_array(np.random.default_rng(0).normal(size=shape).astype(np.float32))
    seen = []

    def scores(batch):
        seen.append(batch.shape[2:])
        return batch

    found = predicted(image, scores)
    np.testing.assert_allclose(found[0], image.data, rtol=1e-5, atol=1e-6)
    assert all(h % 4 == 0 and w % 8 == 0 and h <= 16 and w <= 24 for h, w in seen)


def test_mirrored_tiles_are_turned_back_before_the_mean():
    image = Image.from_array(np.random.default_rng(1).normal(size=(30, 50)).astype(np.float32))

    def shifted(batch):  # a network that prefers one direction
        return np.roll(batch, 1, axis=3)

    plain, mean = predicted(image, shifted), predicted(image, shifted, flips=True, tile=(32, 64))
    inner = (0, slice(5, -5), slice(5, -5))
    expected = (np.roll(image.data, 1, axis=1) + np.roll(image.data, -1, axis=1)) / 2
    np.testing.assert_allclose(mean[inner], expected[inner[1:]], atol=1e-5)
    assert not np.allclose(plain[inner], expected[inner[1:]], atol=1e-2)


def test_probabilities_stay_probabilities_where_tiles_overlap():
    image = Image.from_array(np.random.default_rng(2).normal(size=(50, 70)).astype(np.float32))
    found = predicted(image, lambda b: np.concatenate([b, -b, 2 * b], 1), heads=(Head("k", "classes", 3),))
    np.testing.assert_allclose(found.sum(axis=0), 1, atol=1e-5)


def test_scaling_is_of_the_whole_image_and_forgives_what_is_not_finite():
    pixels = np.linspace(0, 100, 40 * 60, dtype=np.float32).reshape(40, 60)
    pixels[0, 0] = np.nan
    image = Image.from_array(pixels)
    scale = Scaling(low=10, high=90).measured(Overview(image))
    assert scale[0] == pytest.approx((10, 80), rel=1e-2)
    found = Scaling().applied(pixels[None], scale)
    assert np.isfinite(found).all()
    deviation = Scaling(by="deviation").measured(Overview(image))
    assert deviation[0] == pytest.approx((np.nanmean(pixels), np.nanstd(pixels)), rel=1e-3)
