import numpy as np
import pytest
from scipy.stats import nbinom, poisson, t

from segmentry.learn.count_errors import CountErrors


def blocks(rng, images, each=9, mean=8.0, spread=0.0, ratio=1.0):
    """Return true and predicted numbers of blocks; images differ by a gamma of relative deviation `spread`."""
    predicted = rng.uniform(0.3, 1.7, (images, each)) * mean
    share = rng.gamma(1 / spread**2, spread**2, (images, 1)) if spread else np.ones((images, 1))
    true = rng.poisson(predicted * share * ratio)
    return true.ravel(), predicted.ravel(), np.repeat(np.arange(images), each)


def test_ratio_dispersion_and_spread_are_found():
    rng = np.random.default_rng(0)
    plain = CountErrors.of(*blocks(rng, 400, ratio=1.3))
    assert plain.ratio == pytest.approx(1.3, rel=0.02)
    assert plain.dispersion == pytest.approx(1, rel=0.06)
    assert plain.spread < 0.1
    assert (plain.blocks, plain.images) == (3200, 399)
    assert CountErrors.of(*blocks(rng, 400, spread=0.3)).spread == pytest.approx(0.3, rel=0.15)


@pytest.mark.parametrize(("images", "spread"), [(1, 0.0), (4, 0.0), (4, 0.2), (10, 0.2)])
def test_the_interval_holds_as_often_as_it_says(images, spread):
    rng = np.random.default_rng(1)
    held = 0
    for _ in range(400):
        errors = CountErrors.of(*blocks(rng, images, spread=spread))
        amount = 72 * rng.uniform(0.3, 2)
        true = poisson.rvs(amount, random_state=rng)
        if spread:
            n = 1 / spread**2
            true = nbinom.rvs(n, n / (n + amount), random_state=rng)
        low, high = errors.interval(amount * errors.ratio)
        held += low <= true <= high
    assert 0.925 <= held / 400 <= 0.995


def test_the_interval_of_a_sum_is_narrower_than_the_sum_of_intervals():
    errors = CountErrors(1.0, 1.0, 0.1, 400.0, 0.1, 90, 9)
    low, high = errors.interval([100.0] * 4)
    one = errors.interval(100.0)
    assert (high - low) < 4 * (one[1] - one[0])
    assert (low + high) / 2 == pytest.approx(400)
    single, joint = 400 + 400**2 / 400, 0.01 * (4 * 100**2 + 0.1 * 400**2)
    degrees = (single + joint) ** 2 / (single**2 / 90 + joint**2 / 9)
    assert high - 400 == pytest.approx(t.ppf(0.975, degrees) * np.sqrt(single + joint))
    assert errors.interval(0.0)[0] == 0


def test_it_comes_back_from_plain_data_and_stands_nothing():
    errors = CountErrors.of([3, 4, 0], [3.5, 4.5, 0.1], [0, 0, 0])
    assert CountErrors.from_dict(errors.to_dict()) == errors
    nothing = CountErrors.of([0.0], [0.0], [0])
    assert nothing.blocks == 0
    assert np.isnan(nothing.interval(3)).all()
