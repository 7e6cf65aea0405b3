"""Networks in whole numbers of 8 bit: what is kept, what is refused."""

from dataclasses import replace

import numpy as np
import pytest

from segmentry.errors import InputError, ParameterError
from segmentry.learn.engines import engine
from segmentry.learn.int8 import input_ranges
from segmentry.learn.network_file import load_network, save_network
from segmentry.learn.onnx_graph import with_weights
from small_network import small_network

openvino = pytest.importorskip("openvino")


def batch(dimensions=2, seed=0, channels=1):
    return np.random.default_rng(seed).normal(size=(2, channels, *(20, 24, 28)[:dimensions])).astype(np.float32)


def ranged(network, *batches):
    model = openvino.Core().read_model(with_weights(network.graph, network.arrays))
    return replace(network, ranges=input_ranges(model, batches))


@pytest.mark.parametrize("dimensions", [2, 3])
def test_scores_in_8_bit_are_close_and_convolutions_are_in_8_bit(dimensions):
    network = ranged(small_network(dimensions), batch(dimensions))
    exact, fast = engine(network, "openvino", threads=1), engine(network, threads=1, precision="int8")
    assert fast.device.endswith("in int8")
    seen = batch(dimensions, seed=1)
    wanted, found = exact(seen), fast(seen)
    # But where what comes in lies beyond the range of what was seen before.
    assert np.quantile(np.abs(found - wanted), 0.99) < 0.03 * np.ptp(wanted)
    assert np.abs(found - wanted).max() > 0
    assert np.array_equal(found, fast(seen))
    kinds = [node.get_rt_info() for node in fast._compiled.get_runtime_model().get_ops()]
    told = [str(kind["primitiveType"].astype(str)) for kind in kinds if "onvol" in str(kind["layerType"].astype(str))]
    assert sum("I8" in kind.upper() for kind in told) == 2, told  # not the third, which is the head


def test_ranges_are_those_of_what_comes_in():
    one, other = batch(seed=2), 3 * batch(seed=3)
    network = ranged(small_network(), one, other)
    assert list(network.ranges) == ["down.0.layers.0.0.weight", "down.0.layers.1.0.weight"]
    low, high = network.ranges["down.0.layers.0.0.weight"]
    assert low == pytest.approx(min(np.quantile(b, 1e-4) for b in (one, other)), rel=1e-5)
    assert high == pytest.approx(max(np.quantile(b, 1 - 1e-4) for b in (one, other)), rel=1e-5)
    assert network.ranges["down.0.layers.1.0.weight"][0] == 0  # after a ReLU


def test_what_is_beyond_the_range_is_cut_off_and_zero_stays_zero():
    network = ranged(small_network(), batch())
    fast = engine(network, threads=1, precision="int8")
    high = np.full((1, 1, 16, 16), network.ranges["down.0.layers.0.0.weight"][1], np.float32)
    assert np.allclose(fast(high), fast(10 * high))
    nothing = np.zeros((1, 1, 16, 16), np.float32)
    exact = engine(network, "openvino", threads=1)(nothing)
    assert np.abs(fast(nothing) - exact).max() < 0.02 * np.ptp(engine(network, "openvino", threads=1)(batch()))


def test_ranges_lie_in_the_file(tmp_path):
    network = ranged(small_network(), batch())
    again = load_network(save_network(tmp_path / "n.safetensors", network))
    assert again.ranges == {name: tuple(np.float32(ends).tolist()) for name, ends in network.ranges.items()}
    assert set(again.arrays) == set(network.arrays)


@pytest.mark.parametrize(
    "ranges", [{"nothing": (0.0, 1.0)}, {"heads.0.bias": (0.0, 1.0)}]
    + [{"heads.0.weight": ends} for ends in ((1.0, 2.0), (-1.0, np.nan), (0.0, np.inf))],
)  # fmt: skip
def test_ranges_that_can_not_be_are_refused(ranges):
    with pytest.raises(InputError, match="range"):
        replace(small_network(), ranges=ranges)


def test_8_bit_that_can_not_be_is_refused_with_what_to_do():
    with pytest.raises(ParameterError, match="segmentry weights int8 NETWORK"):
        engine(small_network(), precision="int8")
    network = ranged(small_network(), batch())
    for how in ({"name": "torch"}, {"name": "onnxruntime"}, {"device": "cuda"}):
        with pytest.raises(ParameterError, match="leave out engine and device"):
            engine(network, precision="int8", **how)
