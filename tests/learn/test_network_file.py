import json
import pickle
import time
from dataclasses import replace

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import helper
from safetensors.numpy import save

from segmentry.errors import InputError, OutputError
from segmentry.learn import load_model
from segmentry.learn.architecture import Architecture
from segmentry.learn.network_file import load_network, save_network
from segmentry.learn.onnx_graph import read_graph, with_weights, without_weights
from segmentry.learn.safe_file import write_safely
from segmentry.learn.scaling import Scaling
from segmentry.learn.weights import check_weights, expected_weights
from small_network import CARD, elsewhere, graph_with, small_network


@pytest.mark.parametrize("dimensions", [2, 3])
def test_a_network_comes_back_as_it_was(dimensions, tmp_path):
    made = small_network(dimensions, channels=2)
    path = save_network(tmp_path / "one.safetensors", made)
    again = load_network(path)
    for part in ("architecture", "representation", "names", "channels", "scaling", "spacing", "unit", "tile", "graph"):
        assert getattr(again, part) == getattr(made, part)
    assert again.card == CARD
    assert set(again.arrays) == set(made.arrays)
    for name, array in made.arrays.items():
        assert again.arrays[name].dtype == array.dtype
        assert np.array_equal(again.arrays[name], array)
        assert again.arrays[name].shape == array.shape
    assert save_network(tmp_path / "two.safetensors", again).read_bytes() == path.read_bytes()


def test_others_may_read_a_network_who_may_read_other_files(tmp_path):
    path = save_network(tmp_path / "n.safetensors", small_network())
    (tmp_path / "other").write_bytes(b"")
    assert path.stat().st_mode == (tmp_path / "other").stat().st_mode


def test_a_file_is_not_replaced_unless_that_is_asked_for(tmp_path):
    path = save_network(tmp_path / "n", small_network())
    with pytest.raises(OutputError, match="exists already"):
        save_network(path, small_network())
    save_network(path, small_network(seed=1), overwrite=True)
    for card in ({"score": np.ones(3)}, {"score": float("nan")}):
        with pytest.raises(InputError, match="no plain data"):
            save_network(path, small_network(card=card), overwrite=True)
    assert np.array_equal(load_network(path).arrays["heads.0.bias"], small_network(seed=1).arrays["heads.0.bias"])


def test_networks_and_classifiers_are_not_mistaken_for_each_other(tmp_path):
    path = save_network(tmp_path / "n", small_network())
    with pytest.raises(InputError, match="it is a network, not a classifier"):
        load_model(path)
    write_safely(path, {"format": 1, "kind": "random_forest"}, {}, "model", True)
    with pytest.raises(InputError, match="'random_forest', no network"):
        load_network(path)


@pytest.mark.parametrize(
    ("said", "line"),
    [
        ({"names": ()}, "different names"),
        ({"names": ("a", "a")}, "different names"),
        ({"names": ("a", "b\nc")}, "line of text"),
        ({"spacing": (0.5,)}, "for each of 2 axes"),
        ({"spacing": (0.5, 0.0)}, "above 0"),
        ({"spacing": (0.5, float("inf"))}, "above 0"),
        ({"spacing": None}, "together"),
        ({"tile": (8,)}, "for each of 2 axes"),
        ({"tile": (8, 0)}, "multiples"),
        ({"tile": (8, 2**20)}, "multiples"),
        ({"scaling": Scaling(by="fixed", fixed=((0.0, 1.0), (0.0, 1.0)))}, "fixed scaling of 2"),
        ({"graph": b"\x08"}, "no ONNX graph"),
        ({"card": [1]}, "mapping"),
    ],
)
def test_a_network_that_makes_no_sense_is_refused(said, line):
    with pytest.raises(InputError, match=line):
        small_network(**said)


def test_channels_that_are_too_many_are_refused():
    with pytest.raises(InputError, match="as many names"):
        replace(small_network(), channels=("a", "b"))


def refused(path, content):
    """Return the line in which a file is refused."""
    path.write_bytes(content)
    begun = time.process_time()
    with pytest.raises(InputError) as caught:
        load_network(path)
    assert time.process_time() - begun < 1.5
    line = str(caught.value)
    assert "\n" not in line
    assert len(line) < 500
    return line


class Bomb:
    def __reduce__(self):
        return pytest.fail, ("a pickle was loaded",)


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (b"", "not in the safetensors format"),
        (pickle.dumps(Bomb()), "not in the safetensors format"),
        (b"PK\x03\x04" + bytes(100), "not in the safetensors format"),
        (save({"a": np.ones(3)}), "not written by this program"),
        (save({"a": np.ones(3)}, {"segmentry": "[" * 100_000}), "damaged"),
        (save({"a": np.ones(3)}, {"segmentry": "[" * 500 + "]" * 500}), "too deep"),
        (save({"a": np.ones(3)}, {"segmentry": '{"kind": "network", "format": 9}'}), "format 9"),
        (save({"a": np.ones(3)}, {"segmentry": '{"kind": "network", "format": 1}'}), "it should say"),
        (save({}, {"segmentry": "x" * 2**24}), "too large"),
    ],
)
def test_other_files_are_refused(content, line, tmp_path):
    assert line in refused(tmp_path / "network", content)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("networks")


@pytest.fixture(scope="module")
def saved(place):
    return save_network(place / "whole", small_network()).read_bytes()


@given(at=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_a_flipped_bit_is_noticed(at, bit, saved, place):
    damaged = bytearray(saved)
    damaged[int(at * len(damaged))] ^= 1 << bit
    refused(place / "damaged", bytes(damaged))


@given(at=st.floats(0, 1, exclude_max=True), more=st.binary(max_size=20))
def test_a_cut_file_is_noticed(at, more, saved, place):
    refused(place / "cut", saved[: int(at * len(saved))] + more)


def told(path, change):
    """Return the line in which a file is refused that is whole, but in which someone made things up."""
    save_network(path, small_network(), overwrite=True)
    content = path.read_bytes()
    length = int.from_bytes(content[:8], "little")
    said = json.loads(json.loads(content[8 : 8 + length])["__metadata__"]["segmentry"])
    del said["sha256"]
    made = small_network()
    arrays = {**made.arrays, "graph.onnx": np.frombuffer(made.graph, np.uint8)}
    change(said, arrays)
    write_safely(path, said, arrays, "network", True)
    return refused(path, path.read_bytes())


def setting(path, value):
    def change(said, arrays):
        *way, last = path.split(".")
        for part in way:
            said = said[part]
        said[last] = value

    return change


def array(name, value):
    return lambda _, arrays: arrays.update({name: value})


ONES = np.ones((4, 1, 3, 3), np.float32)


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (setting("architecture.widths", [2**40]), "less than or equal to 4096"),
        (setting("architecture.widths", [4096]), "must be float32 of shape (4096, 1, 3, 3)"),
        (setting("architecture.code", "import os"), "no parameter 'code'"),
        (setting("architecture.outputs", 7), "takes 3 numbers per pixel"),
        (setting("representation", "rays"), "this program knows"),
        (setting("representation", ["classes"]), "is no str"),
        (setting("parameters.width", -1), "greater than 0"),
        (setting("scaling.by", "magic"), "scaling.by"),
        (setting("names", ["a", 1]), "line of text"),
        (setting("tile", [8, "8"]), "multiples"),
        (setting("spacing", [1, "1"]), "above 0"),
        (setting("card", []), "card is no dict"),
        (setting("more", 1), "it should say"),
        (lambda _, arrays: arrays.pop("heads.0.bias"), "'heads.0.bias' is missing"),
        (array("other", np.ones(1)), "'other' is not one of the network's"),
        (array("down.0.layers.0.0.weight", ONES[:3]), "of shape (4, 1, 3, 3)"),
        (array("down.0.layers.0.0.weight", ONES.astype(np.float16)), "must be float32"),
        (array("down.0.layers.0.0.weight", ONES * np.inf), "not finite"),
        (array("down.0.layers.0.1.running_var", -np.ones(4, np.float32)), "negative"),
        (array("graph.onnx", np.ones((2, 2), np.uint8)), "no row of bytes"),
        (array("graph.onnx", np.zeros(2**24 + 1, np.uint8)), "may have"),
        (array("graph.onnx", np.full(99, 255, np.uint8)), "no ONNX graph"),
    ],
)
def test_parts_that_make_no_network_are_refused(change, line, tmp_path):
    assert line in told(tmp_path / "n", change)


def changed(change):
    model = onnx.load_from_string(small_network().graph)
    change(model)
    return model.SerializeToString()


def holding(**attribute):
    def change(model):
        model.graph.node[0].attribute.append(helper.make_attribute(*next(iter(attribute.items()))))

    return change


def secret(model):
    model.graph.initializer.append(elsewhere("secret", [3], location="/etc/passwd"))


HOSTILE = {
    "a file of the reader's": (secret, "'secret', and there is none"),
    "another shape": (lambda m: m.graph.initializer[0].dims.append(2), "another shape or type"),
    "another type": (lambda m: setattr(m.graph.initializer[0], "data_type", 7), "another shape or type"),
    "twice": (lambda m: m.graph.initializer.append(m.graph.initializer[0]), "several arrays of one name"),
    "a loop": (holding(body=helper.make_graph([], "g", [], [])), "graphs or sparse arrays within"),
    "a node's file": (holding(value=elsewhere("v", [3], location="/etc/passwd")), "another file"),
    "an operator of others": (lambda m: setattr(m.graph.node[0], "domain", "evil"), "only ONNX's own"),
    "functions": (lambda m: m.functions.add(name="f", domain="d"), "functions"),
    "two inputs": (lambda m: m.graph.input.add(name="other"), "takes or gives something else"),
    "other outputs": (lambda m: m.graph.output.pop(), "takes or gives something else"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_graphs_that_would_do_more_than_compute_are_refused(case):
    change, line = HOSTILE[case]
    with pytest.raises(InputError, match=line):
        small_network(graph=changed(change))


@given(st.data())
def test_any_change_of_a_graph_is_refused_or_harmless(data):
    whole = bytearray(small_network().graph)
    for _ in range(data.draw(st.integers(1, 5))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    try:
        read_graph(bytes(whole), small_network().arrays)
    except InputError:
        return


@pytest.mark.parametrize("dimensions", [2, 3])
def test_weights_are_put_in_and_taken_out_as_onnx_itself_does(dimensions):
    made = small_network(dimensions)
    whole = onnx.load_from_string(with_weights(made.graph, made.arrays))
    onnx.checker.check_model(whole, full_check=True)
    for tensor in whole.graph.initializer:
        assert np.array_equal(onnx.numpy_helper.to_array(tensor), made.arrays[tensor.name])
    bare = without_weights(whole.SerializeToString(), made.arrays.keys())
    assert len(bare) < 3000
    assert b"a note" not in bare
    assert with_weights(bare, made.arrays) == with_weights(made.graph, made.arrays)
    found = read_graph(bare, made.arrays)
    assert found.inputs[0].shape == (None, 1, *(None,) * dimensions)
    assert (found.version, found.operators) == (18, {"Conv", "BatchNormalization", "Relu"})
    assert read_graph(whole.SerializeToString()).outputs == found.outputs


PLANS = [
    {"widths": (4, 6, 6), "strides": ((2, 2), (1, 2)), "residual": True, "stem": (2, 2)},
    {"widths": (4, 4, 8, 8), "strides": ((1, 2, 2), (2, 2, 2), (2, 2, 2)), "deep_supervision": True},
    {"widths": (4, 4), "strides": ((1, 1),), "residual": True, "convolutions": 3, "normalisation": "instance"},
    {"widths": (5,), "strides": (), "kernels": ((1, 3, 3),), "deep_supervision": True},
    {"widths": (4, 8), "strides": ((1, 2, 2),), "kernels": ((1, 3, 3), (3, 3, 3)), "residual": True},
]


@pytest.mark.parametrize("plan", PLANS, ids=range(len(PLANS)))
def test_weights_are_expected_as_torch_makes_them(plan):
    pytest.importorskip("torch")
    from segmentry.learn.networks.build import build

    architecture = Architecture(channels=2, outputs=3, **plan)
    arrays = {name: array.numpy() for name, array in build(architecture).state_dict().items()}
    assert {name: array.shape for name, array in arrays.items()} == expected_weights(architecture)
    check_weights(arrays, expected_weights(architecture))


def test_a_graph_without_arrays_is_refused():
    with pytest.raises(InputError, match="there is none"):
        with_weights(graph_with(small_network().architecture), {})
