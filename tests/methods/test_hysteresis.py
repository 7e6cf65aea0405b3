"""Hysteresis whose objects touch by faces only, and whose cores must have a size."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter, label

from segmentry.image import Image
from segmentry.methods.hysteresis import Hysteresis
from segmentry.run import run


@pytest.mark.parametrize("shape", [(60, 70), (12, 30, 33)])
@pytest.mark.parametrize("connectivity", ["faces", "corners"])
def test_it_is_what_scipy_finds(shape, connectivity):
    noise = gaussian_filter(np.random.default_rng(len(shape)).random(shape), 0.8).astype(np.float32)
    low, high = np.quantile(noise, [0.7, 0.9])
    step = Hysteresis(low=low, high=high, connectivity=connectivity, min_core=4)
    structure = np.ones((3,) * len(shape)) if connectivity == "corners" else None
    parts, _ = label(noise > low, structure)
    cores, _ = label(noise > high, structure)
    kept = {int(p) for p in parts[np.isin(cores, np.flatnonzero(np.bincount(cores.ravel()) >= 4)[1:])]}
    found = run(step, Image.from_array(noise)).instances
    assert len(found) == len(kept) > 3
    assert np.array_equal(np.asarray(found.labels) > 0, np.isin(parts, list(kept)))
    pairs = zip(found.labels.ravel().tolist(), parts.ravel().tolist(), strict=True)
    assert len({pair for pair in pairs if pair[0]}) == len(kept)
    tiled = run(step, Image.from_array(noise), tile=9, threads=2).instances
    assert np.array_equal(tiled.labels, found.labels)
    assert np.array_equal(tiled.scores, found.scores)


def test_squares_that_meet_at_a_corner_are_one_or_two():
    pixels = np.zeros((8, 8), np.uint8)
    pixels[1:3, 1:3] = pixels[3:5, 3:5] = 9
    assert len(Hysteresis(low=4, high=4).segment(Image.from_array(pixels))) == 1
    assert len(Hysteresis(low=4, high=4, connectivity="faces").segment(Image.from_array(pixels))) == 2
    assert len(Hysteresis(low=4, high=4, connectivity="faces", min_core=5).segment(Image.from_array(pixels))) == 0
