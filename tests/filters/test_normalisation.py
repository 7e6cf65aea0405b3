import numpy as np
import pytest

from segmentry.filters.min_max import MinMax
from segmentry.filters.z_score import ZScore
from segmentry.image import Image
from segmentry.methods.otsu import Otsu
from segmentry.run import run

RNG = np.random.default_rng(0)
IMAGES = {
    "real": RNG.normal(-5, 3, (77, 91)),
    "integer": RNG.integers(-50, 60_000, (40, 51)).astype(np.int32),
    "wide": RNG.integers(0, 2**31, (30, 40)),
    "tiny": RNG.normal(0, 1e-6, (31, 31)).astype(np.float32),
}


@pytest.mark.parametrize("pixels", IMAGES.values(), ids=IMAGES)
def test_z_scores_have_mean_0_and_deviation_1(pixels):
    step = ZScore().prepared(Image.from_array(pixels))
    assert step.scale_[0] == pytest.approx((pixels.mean(), pixels.std()), rel=1e-12, abs=1e-12)
    found = step.apply(Image.from_array(pixels)).read()
    assert (found.mean(), found.std()) == pytest.approx((0, 1), abs=1e-3)


@pytest.mark.parametrize("pixels", IMAGES.values(), ids=IMAGES)
def test_robust_scores_use_the_exact_median_and_mad(pixels):
    single = pixels.astype(np.float32)
    median = np.quantile(single, 0.5, method="inverted_cdf")
    mad = np.quantile(np.abs(pixels.astype(float) - median).astype(np.float32), 0.5, method="inverted_cdf")
    step = ZScore(robust=True).prepared(Image.from_array(pixels))
    assert step.scale_[0] == pytest.approx((median, 1.482602218505602 * float(mad)), rel=1e-7, abs=0)


def test_robust_scores_dont_see_a_few_very_bright_pixels():
    pixels = RNG.normal(100, 5, (100, 100))
    pixels[:10, :10] = 1e9
    step = ZScore(robust=True).prepared(Image.from_array(pixels))
    assert step.scale_[0] == pytest.approx((100, 5), rel=0.05)


def test_channels_are_scaled_apart_over_all_time_points():
    pixels = RNG.normal(0, 1, (3, 2, 20, 20)) * np.array([1, 7]).reshape(1, 2, 1, 1) + np.arange(3).reshape(3, 1, 1, 1)
    found = ZScore().apply(Image.from_array(pixels, "TCYX")).read()
    assert found.mean(axis=(0, 2, 3)) == pytest.approx([0, 0], abs=1e-5)
    assert found.std(axis=(0, 2, 3)) == pytest.approx([1, 1], abs=1e-5)
    assert found[2].mean() > found[0].mean()
    spread = MinMax().apply(Image.from_array(pixels, "TCYX")).read()
    assert spread.min(axis=(0, 2, 3)) == pytest.approx([0, 0])
    assert spread.max(axis=(0, 2, 3)) == pytest.approx([1, 1])


@pytest.mark.parametrize("step", [ZScore(), ZScore(robust=True), MinMax()])
def test_what_is_learned_does_not_depend_on_tiles(step):
    image = Image.from_array(RNG.normal(20, 4, (150, 170)).astype(np.float32))
    whole, tiled = (run(Otsu(), image, filters=[step], tile=tile).filters[0] for tile in (None, 31))
    assert whole == tiled


def test_pixels_that_are_no_numbers_dont_count():
    pixels = np.array([[1.0, np.nan, 2.0], [np.inf, 7.0, 2.0]])
    assert ZScore().prepared(Image.from_array(pixels)).scale_[0] == pytest.approx((3, np.std([1, 2, 7, 2])))
    assert ZScore(robust=True).prepared(Image.from_array(pixels)).scale_[0][0] == 2
    assert MinMax().prepared(Image.from_array(pixels)).range_ == ((1, 7),)
