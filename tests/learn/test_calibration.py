import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segmentry.learn.calibration import calibrated, calibration


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10**6), power=st.floats(0.3, 4))
def test_calibrated_scores_are_the_share_that_is_right(seed, power):
    rng = np.random.default_rng(seed)
    scores = rng.random(4000).astype(np.float32)
    hits = rng.random(4000) < scores**power
    curve = calibration(scores, hits)
    fresh = rng.random(2000).astype(np.float32)
    assert np.abs(calibrated(fresh, curve) - fresh**power).mean() < 0.05


def test_shares_never_fall_and_lie_within_what_can_be():
    rng = np.random.default_rng(0)
    curve = np.array(calibration(rng.random(500).astype(np.float32), rng.random(500) < 0.5))
    assert (np.diff(curve[:, 0]) > 0).all()
    assert (np.diff(curve[:, 1]) >= 0).all()
    assert curve.min() > 0
    assert curve.max() < 1


def test_of_few_objects_nothing_is_said():
    scores = np.linspace(0, 1, 49, dtype=np.float32)
    assert calibration(scores, scores > 0.5) == ()
    assert calibrated(scores, ()) is scores


@pytest.mark.parametrize("hits", [0, 1])
def test_all_right_or_all_wrong(hits):
    curve = calibration(np.full(100, 0.7, np.float32), np.full(100, bool(hits)))
    assert calibrated(np.array([0.1, 0.7, 1.0], np.float32), curve) == pytest.approx(hits, abs=0.1)
