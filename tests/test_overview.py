import numpy as np
import pytest

from segmentry import tiling
from segmentry.errors import InputError
from segmentry.image import Image
from segmentry.overview import Overview


@pytest.fixture
def small_slabs(monkeypatch):
    monkeypatch.setattr(tiling, "SLAB_PIXELS", 50)


def test_integers_are_counted_exactly():
    pixels = np.random.default_rng(0).integers(3, 900, (40, 30)).astype(np.uint16)
    histogram = Overview(Image.from_array(pixels)).histogram()
    assert histogram.exact
    assert histogram.counts.tolist() == np.bincount(pixels.ravel())[pixels.min() :].tolist()


@pytest.mark.parametrize("dtype", ["u1", "i2", "f4", "f8"])
@pytest.mark.usefixtures("small_slabs")
def test_statistics_stream_to_the_same_numbers(dtype):
    pixels = (np.random.default_rng(1).normal(0, 30, (3, 2, 20, 10))).astype(dtype)
    overview = Overview(Image.from_array(pixels, "TCYX"))
    for c in range(2):
        assert overview.range(c) == (pixels[:, c].min(), pixels[:, c].max())
        assert overview.histogram(c).counts.sum() == 600
        low, high = overview.range(c)
        near = np.percentile(pixels[:, c], 40, method="inverted_cdf")
        assert abs(overview.histogram(c).percentile(40) - near) <= (high - low) / 65_536


def test_what_is_not_finite_does_not_count():
    overview = Overview(Image.from_array([[1.0, np.nan, 3.0], [np.inf, 2.0, -np.inf]]))
    assert overview.range() == (1, 3)
    assert overview.n_lost == 3
    assert overview.histogram().counts.sum() == 3
    assert np.isfinite(overview.sample(10)).all()


def test_a_sample_is_the_same_each_time_and_even():
    image = Image.from_array(np.arange(10_000).reshape(100, 100))
    one, other = Overview(image).sample(500, seed=3), Overview(image).sample(500, seed=3)
    assert np.array_equal(one, other)
    assert 490 <= len(one) <= 510
    assert abs(one.mean() - 5000) < 500


def test_a_range_that_overflows_is_refused():
    with pytest.raises(InputError, match="span too much"):
        Overview(Image.from_array([[-1.7e308, 1.7e308]])).histogram()
