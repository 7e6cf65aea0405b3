import numpy as np

from segmentry.kernels.decay import decay


def test_decay_is_the_exponential_to_some_millionths():
    x = np.linspace(0, 30, 5001).astype(np.float32)
    found = np.array([decay(v) for v in x])
    assert np.abs(found - np.exp(-x.astype(float))).max() < 4e-6
    assert (np.diff(found) <= 0).all()
    assert found[0] == 1
