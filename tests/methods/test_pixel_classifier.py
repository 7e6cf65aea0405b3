"""The method runs from recipes, says what it needs, keeps the classes in order, and can be made again."""

import hashlib
import json
import os
import pickle
from pathlib import Path

import numpy as np
import pytest

from segmentry.app.cli import run as command
from segmentry.errors import InputError, ParameterError
from segmentry.io import read_labels, write
from segmentry.methods.pixel_classifier import PixelClassifier
from segmentry.recipe import Recipe
from segmentry.run import run
from segmentry.testing import sample_image
from segmentry.trained_models import save_pixel_model
from taught import NAMES, model_file, taught


def sha256(path):
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


@pytest.fixture
def place(tmp_path):
    """A folder with a model, a recipe that names it by its name alone, and an image elsewhere."""
    save_pixel_model(tmp_path / "kept" / "m.safetensors", taught())
    (tmp_path / "kept" / "r.yaml").write_text(recipe(sha256(tmp_path / "kept" / "m.safetensors")))
    write(tmp_path / "image.tif", sample_image(seed=4))
    return tmp_path


def recipe(digest=""):
    return f"segmentry: 1\nmethod: {{pixel_classifier: {{model: m.safetensors, sha256: '{digest}'}}}}\n"


def test_classes_are_the_most_probable_and_the_background_comes_first():
    model = taught()
    outcome = run(PixelClassifier.with_model(model), sample_image(seed=4), probabilities=True)
    expected = model.probabilities(sample_image(seed=4))
    assert np.array_equal(outcome.result.probabilities, expected)
    assert np.array_equal(outcome.result.classes, expected.argmax(axis=0))
    bright = sample_image(seed=4).read() > 60
    assert (np.asarray(outcome.result.classes > 0) == bright).mean() > 0.95
    turned = run(PixelClassifier.with_model(model, background="cell"), sample_image(seed=4))
    assert turned.result.names == ("cell", "background")
    assert np.array_equal(turned.result.classes, 1 - outcome.result.classes)
    with pytest.raises(ParameterError, match=r"no class 'cel' \(did you mean 'cell'"):
        run(PixelClassifier.with_model(model, background="cel"), sample_image())


def test_command_line_python_and_recipe_give_identical_labels_from_any_folder(place, tmp_path, monkeypatch):
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    image = str(place / "image.tif")
    assert command(["segment", image, "-o", "one", "-r", "../kept/r.yaml"]) == 0
    model = os.path.relpath(place / "kept" / "m.safetensors")
    assert command(["segment", image, "-o", "two", "-m", "pixel_classifier", "--set", f"model={model}"]) == 0
    python = run(PixelClassifier(model=str(place / "kept" / "m.safetensors")), sample_image(seed=4))
    for out in ("one", "two"):
        labels = read_labels(Path(out) / "image" / "labels.ome.tif").labels
        assert np.array_equal(labels, python.instances.labels)
    record = json.loads(Path("one/image/run.json").read_text())
    assert record["learned"]["pixel_classifier"]["sha256_"] == sha256(place / "kept" / "m.safetensors")


def test_an_output_is_made_again_byte_for_byte_until_the_model_changes(place, monkeypatch, capsys):
    monkeypatch.chdir(place)
    assert command(["segment", "image.tif", "-o", "out", "-r", "kept/r.yaml", "--save-probabilities"]) == 0
    monkeypatch.chdir("/")
    assert command(["replay", str(place / "out")]) == 0
    assert "identical, byte for byte" in capsys.readouterr().out
    save_pixel_model(place / "kept" / "m.safetensors", taught(every=5), overwrite=True)
    assert command(["replay", str(place / "out")]) == 1
    said = capsys.readouterr().err
    assert "is another than the recipe means" in said
    (place / "kept" / "m.safetensors").unlink()
    assert command(["replay", str(place / "out")]) == 1
    assert "m.safetensors does not exist" in capsys.readouterr().err


def test_a_model_that_was_not_pinned_and_has_changed_is_named_by_replay(place, monkeypatch, capsys):
    monkeypatch.chdir(place)
    (place / "kept" / "r.yaml").write_text(recipe())
    assert command(["segment", "image.tif", "-o", "out", "-r", "kept/r.yaml"]) == 0
    before = sha256("kept/m.safetensors")
    save_pixel_model("kept/m.safetensors", taught(every=5), overwrite=True)
    capsys.readouterr()
    assert command(["replay", "out"]) == 1
    said = capsys.readouterr()
    assert f"pixel_classifier.sha256_: {before[:50]}" in said.out
    assert f"→ {sha256('kept/m.safetensors')[:50]}" in said.out


def test_an_output_of_another_model_is_not_kept(place, monkeypatch, capsys):
    monkeypatch.chdir(place)
    (place / "kept" / "r.yaml").write_text(recipe())
    words = ["segment", "image.tif", "-o", "out", "-r", "kept/r.yaml", "--resume"]
    assert command(words) == 0
    assert command(words) == 0
    save_pixel_model("kept/m.safetensors", taught(every=5), overwrite=True)
    assert command(words) == 1
    assert "was made with another model" in capsys.readouterr().err


def test_a_wrong_hash_is_refused_with_both(place, capsys):
    (place / "kept" / "r.yaml").write_text(recipe("0" * 64))
    words = ["segment", str(place / "image.tif"), "-o", str(place / "out"), "-r", str(place / "kept" / "r.yaml")]
    assert command(words) == 1
    said = capsys.readouterr().err
    assert sha256(place / "kept" / "m.safetensors")[:12] in said
    assert "000000000000" in said
    assert not (place / "out").exists() or not any((place / "out").iterdir())
    (place / "kept" / "r.yaml").write_text(recipe("12ab"))
    assert command(words) == 2


NO_MODELS = {
    "none": ("", 1, "needs a model"),
    "gone": ("gone.safetensors", 1, "does not exist"),
    "a folder": ("kept", 1, "does not exist as a file"),
    "an image": ("image.tif", 1, "not in the safetensors format"),
    "damaged": ("damaged", 1, "damaged"),
    "cut short": ("short", 1, "damaged"),
    "a damaged project": ("broken.ilp", 1, "broken.ilp"),
    "a pickle": ("pickled", 1, "pickles and other files are not opened"),
}


@pytest.mark.parametrize("case", NO_MODELS)
@pytest.mark.parametrize("step", ["pixel_classifier", "pixel_probability"])
def test_no_model_is_one_line(case, step, place, monkeypatch, capsys):
    monkeypatch.chdir(place)
    whole = Path("kept/m.safetensors").read_bytes()
    Path("damaged").write_bytes(whole[:-9] + b"12345" + whole[-4:])
    Path("short").write_bytes(whole[:-100])
    Path("broken.ilp").write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(400))
    Path("pickled").write_bytes(pickle.dumps([1, 2]))
    model, code, said = NO_MODELS[case]
    given = ["-m", step] if step == "pixel_classifier" else ["--filter", step]
    words = ["segment", "image.tif", "-o", "out", *given, *(["--set", f"{step}.model={model}"] if model else [])]
    assert command(words) == code
    lines = [line for line in capsys.readouterr().err.splitlines() if "error" in line]
    assert len(lines) == 1
    assert said in lines[0]


def test_a_file_that_is_replaced_is_read_again_and_a_prepared_step_keeps_to_its_own(tmp_path):
    path = save_pixel_model(tmp_path / "m", taught())
    step = PixelClassifier(model=str(path))
    first = run(step, sample_image())
    save_pixel_model(path, taught(every=5, kind="random_forest"), overwrite=True)
    second = run(step, sample_image())
    assert first.segmenter.sha256_ != second.segmenter.sha256_ == sha256(path)
    assert second.segmenter.knowledge().stages[0].classifier.name == "random_forest"
    again = run(first.segmenter, sample_image())
    assert np.array_equal(again.result.classes, first.result.classes)
    with pytest.raises(InputError, match="another than the recipe means"):
        run(PixelClassifier(**{**first.segmenter.settings(), **first.segmenter.fitted()}), sample_image())


def test_steps_are_equal_by_what_they_do_and_can_be_sent_to_other_processes():
    one, other = PixelClassifier(model=model_file()), PixelClassifier(model=model_file())
    one.knowledge()
    assert one == other
    assert hash(one) == hash(other)
    assert one != PixelClassifier(model=model_file(), background="cell")
    model = taught()
    in_memory = PixelClassifier.with_model(model)
    assert in_memory == PixelClassifier.with_model(model) != PixelClassifier.with_model(taught())
    assert in_memory != PixelClassifier()
    sent = pickle.loads(pickle.dumps(in_memory))
    assert np.array_equal(sent.segment(sample_image()).classes, in_memory.segment(sample_image()).classes)


def test_a_recipe_in_a_working_directory_or_a_text_names_models_as_they_are(monkeypatch):
    monkeypatch.chdir(Path(model_file()).parent)
    made = Recipe.parse("segmentry: 1\nmethod: {pixel_classifier: {model: one.safetensors}}")
    assert made.run(sample_image()).result.names == NAMES
