import json
import pickle
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import save

from segmentry.errors import InputError, OutputError
from segmentry.learn import Model, classifier, load_model, save_model
from segmentry.learn.fast_trees import FastTrees
from segmentry.learn.random_forest import RandomForest

KINDS = {
    "random_forest": {"n_trees": 5},
    "fast_trees": {"n_trees": 8, "depth": 3},
    "scikit_learn": {"estimator": "GaussianNB", "options": {"var_smoothing": 1e-8}},
}
ROWS = np.random.default_rng(0).normal(size=(60, 4)).astype(np.float32)


def model(kind="random_forest", **said):
    made = classifier(kind, **KINDS[kind]).fit(ROWS, (ROWS[:, 0] > 0).astype(int))
    return Model(made, ("background", "núcleo"), **said)


@pytest.mark.parametrize("kind", KINDS)
def test_a_model_comes_back_as_it_was(kind, tmp_path):
    said = {
        "features": [{"name": "gaussian_smoothing", "sigma": 0.7}],
        "task": "objects",
        "colours": ((0, 0, 0), (255, 200, 1)),
        "channels": ("DAPI", "actin"),
        "provenance": {"files": {"a.tif": "12ab"}, "n": 3},
        "scores": {"accuracy": 0.25},
    }
    path = save_model(tmp_path / "one.model", model(kind, **said))
    again = load_model(path)
    assert {key: getattr(again, key) for key in said} == said
    assert again.names == ("background", "núcleo")
    assert again.classifier.settings() == model(kind).classifier.settings()
    assert np.array_equal(again.classifier.predict(ROWS.T), model(kind).classifier.predict(ROWS.T))
    assert save_model(tmp_path / "two.model", again).read_bytes() == path.read_bytes()


def test_a_file_is_not_replaced_unless_that_is_asked_for(tmp_path):
    path = save_model(tmp_path / "m", model())
    with pytest.raises(OutputError, match="exists already"):
        save_model(path, model())
    save_model(path, model("fast_trees"), overwrite=True)
    assert load_model(path).classifier.name == "fast_trees"
    with pytest.raises(InputError, match="no plain data"):
        save_model(path, model(scores={"f1": np.ones(3)}), overwrite=True)
    with pytest.raises(InputError, match="no plain data"):
        save_model(path, model(scores={"f1": float("nan")}), overwrite=True)
    assert load_model(path).classifier.name == "fast_trees"


@pytest.mark.parametrize(
    "said",
    [
        {"names": ("one",)},
        {"names": ("a", "a")},
        {"names": ("a", "b\nc")},
        {"colours": ((0, 0, 0),)},
        {"colours": ((0, 0, 0), (0, 0, 256))},
        {"channels": ("",)},
    ],
)
def test_a_model_that_makes_no_sense_is_refused(said):
    with pytest.raises(InputError):
        Model(**({"classifier": model().classifier, "names": ("a", "b")} | said))
    with pytest.raises(InputError, match="has not"):
        Model(classifier("fast_trees"), ("a", "b"))


def refused(path, content):
    """Return the line in which a file is refused."""
    path.write_bytes(content)
    begun = time.process_time()
    with pytest.raises(InputError) as caught:
        load_model(path)
    assert time.process_time() - begun < 1.5
    said = str(caught.value)
    assert "\n" not in said
    assert len(said) < 500
    return said


class Bomb:
    def __reduce__(self):
        return pytest.fail, ("a pickle was loaded",)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "not in the safetensors format"),
        (b"\x80\x04", "not in the safetensors format"),
        (pickle.dumps(Bomb()), "not in the safetensors format"),
        (b"PK\x03\x04" + bytes(100), "not in the safetensors format"),
        (b"\xff" * 8 + b"{" + bytes(50), "not in the safetensors format"),
        (save({"a": np.ones(3)}), "not written by this program"),
        (save({"a": np.ones(3)}, {"segmentry": "[" * 100_000}), "damaged"),
        (save({"a": np.ones(3)}, {"segmentry": "[" * 500 + "]" * 500}), "too deep"),
        (save({"a": np.ones(3)}, {"segmentry": '{"format": 1, "a": NaN}'}), "no number"),
        (save({"a": np.ones(3)}, {"segmentry": "7" * 5000}), "damaged"),
        (save({"a": np.ones(3)}, {"segmentry": '{"format": 2}'}), "format 2"),
        (save({"a": np.ones(3)}, {"segmentry": '{"format": 1}'}), "it should say"),
        (save({}, {"segmentry": "x" * 2**24}), "too large"),
    ],
)
def test_other_files_are_refused(content, said, tmp_path):
    assert said in refused(tmp_path / "model", content)


def test_folders_and_missing_files_are_refused(tmp_path):
    with pytest.raises(InputError, match="is a folder"):
        load_model(tmp_path)
    with pytest.raises(InputError, match="does not exist"):
        load_model(tmp_path / "none")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("models")


@pytest.fixture(scope="module")
def saved(place):
    return {kind: save_model(place / kind, model(kind)).read_bytes() for kind in KINDS}


@given(kind=st.sampled_from(list(KINDS)), at=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_a_flipped_bit_is_noticed(kind, at, bit, saved, place):
    damaged = bytearray(saved[kind])
    damaged[int(at * len(damaged))] ^= 1 << bit
    refused(place / "damaged", bytes(damaged))


@given(kind=st.sampled_from(list(KINDS)), at=st.floats(0, 1, exclude_max=True), more=st.binary(max_size=20))
def test_a_cut_file_is_noticed(kind, at, more, saved, place):
    refused(place / "cut", saved[kind][: int(at * len(saved[kind]))] + more)


@given(st.binary(max_size=300))
def test_bytes_of_any_kind_are_refused(content):
    import tempfile
    from pathlib import Path

    with tempfile.TemporaryDirectory() as folder:
        refused(Path(folder) / "any", content)
        refused(Path(folder) / "json", len(content).to_bytes(8, "little") + content)


def told(kind, monkeypatch, path, change, said=None):
    """Return the line in which a file is refused that is whole, but whose arrays or words someone made up."""
    made = model(kind)
    arrays = made.classifier.arrays()
    change(arrays)
    cls = type(made.classifier)
    with monkeypatch.context() as patch:
        patch.setattr(cls, "arrays", lambda _: arrays)
        patch.setattr(cls, "settings", lambda _: said or {**KINDS[kind]})
        content = save_model(path, made, overwrite=True).read_bytes()
    return refused(path, content)


def put(name, at, value):
    def change(arrays):
        arrays[name] = arrays[name].copy()
        arrays[name][at] = value

    return change


def replaced(name, array):
    return lambda arrays: arrays.update({name: array})


@pytest.mark.parametrize(
    ("kind", "change", "said"),
    [
        ("random_forest", lambda arrays: arrays.pop("child"), "child is missing"),
        ("random_forest", put("child", 0, -1), "behind it"),
        ("random_forest", put("child", 3, 1), "behind it"),
        ("random_forest", put("child", 0, 2**31 - 1), "behind it"),
        ("random_forest", put("row", 0, 99), "no distribution"),
        ("random_forest", put("row", 0, -1), "no distribution"),
        ("random_forest", put("feature", 0, 4), "there isn't"),
        ("random_forest", put("roots", 1, 0), "out of order"),
        ("random_forest", put("roots", -1, 10**6), "out of order"),
        ("random_forest", put("threshold", 0, np.nan), "not a number"),
        ("random_forest", put("distributions", 0, np.inf), "not finite"),
        ("random_forest", put("importance", 0, -1), "negative"),
        ("random_forest", replaced("feature", np.zeros(3, np.int32)), "different lengths"),
        ("random_forest", replaced("feature", np.zeros(3)), "must be int32"),
        ("random_forest", replaced("distributions", np.ones((3, 3), np.float32)), "must be float32"),
        ("random_forest", replaced("child", np.zeros(0, np.int32)), "must be int32"),
        ("random_forest", replaced("shape", np.array([4, 2**40])), "two numbers"),
        ("random_forest", replaced("shape", np.array([0, 2])), "two numbers"),
        ("random_forest", replaced("present", np.array([0, 2])), "ascend"),
        ("random_forest", replaced("present", np.array([1, 0])), "ascend"),
        ("fast_trees", put("chosen", 0, 4), "there isn't"),
        ("fast_trees", put("chosen", 0, -1), "there isn't"),
        ("fast_trees", put("tables", 0, np.nan), "not finite"),
        ("fast_trees", put("tables", 0, 1e30), "out of range"),
        ("fast_trees", put("thresholds", 0, np.nan), "not finite"),
        ("fast_trees", replaced("tables", np.ones((8, 4, 2), np.float32)), "must be float32"),
        ("fast_trees", replaced("gains", np.full(4, -1.0)), "out of range"),
        ("scikit_learn", put("features", 0, np.inf), "not finite"),
        ("scikit_learn", put("classes", 0, 2), "expected 0 to 1"),
        ("scikit_learn", replaced("classes", np.zeros(60, np.int64)), "don't hold all classes"),
        ("scikit_learn", put("seed", 0, -1), "seed is out of range"),
    ],
)
def test_arrays_that_are_no_classifier_are_refused(kind, change, said, monkeypatch, tmp_path):
    assert said in told(kind, monkeypatch, tmp_path / "m", change)


@pytest.mark.parametrize(
    ("kind", "settings", "said"),
    [
        ("random_forest", {"n_trees": 10**9}, "less than or equal"),
        ("random_forest", {"code": "import os"}, "no parameter"),
        ("fast_trees", {"n_trees": 9, "depth": 3}, "must be int32 of shape (9, 3)"),
        ("fast_trees", {"depth": 60}, "less than or equal"),
        ("scikit_learn", {"estimator": "Pipeline"}, "no classifier"),
        ("scikit_learn", {"estimator": "SVC", "options": {"max_iter": 10**7}}, "at most"),
    ],
)
def test_settings_that_are_out_of_bounds_are_refused(kind, settings, said, monkeypatch, tmp_path):
    assert said in told(kind, monkeypatch, tmp_path / "m", lambda _: None, settings)


@given(st.data())
def test_any_change_of_a_node_is_refused_or_harmless(data):
    kind = data.draw(st.sampled_from([RandomForest, FastTrees]))
    made = model(kind.name).classifier
    arrays = {name: array.copy() for name, array in made.arrays().items()}
    name = data.draw(st.sampled_from([n for n, a in arrays.items() if a.dtype.kind == "i"]))
    at = data.draw(st.integers(0, arrays[name].size - 1))
    limits = np.iinfo(arrays[name].dtype)
    near = st.integers(-3, arrays[name].size + 3)
    arrays[name].flat[at] = data.draw(near | st.integers(int(limits.min), int(limits.max)))
    try:
        again = kind.from_arrays(arrays, made.settings())
    except InputError:
        return
    found = again.predict(np.zeros((again.n_features, 20), np.float32))
    assert np.abs(found.sum(axis=0) - 1).max() < 1e-6


def test_what_a_file_says_is_json_and_numbers(saved):
    for content in saved.values():
        length = int.from_bytes(content[:8], "little")
        header = json.loads(content[8 : 8 + length])
        said = json.loads(header["__metadata__"]["segmentry"])
        assert said["names"] == ["background", "núcleo"]
        assert {part["dtype"] for name, part in header.items() if name != "__metadata__"} <= {
            "F32",
            "F64",
            "I32",
            "I64",
        }
