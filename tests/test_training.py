"""Strokes in files teach a model, the same by command and in Python; those that it did not see tell how good it is."""

import json

import numpy as np
import pytest

from segmentry.app.cli import run as command
from segmentry.errors import InputError, ParameterError, SegmentryError
from segmentry.image import Image
from segmentry.io import write
from segmentry.learn.classifier import classifier
from segmentry.methods.pixel_classifier import PixelClassifier
from segmentry.run import run
from segmentry.strokes import Strokes, suited, train_pixels
from segmentry.testing import sample_image
from segmentry.trained_models import load_pixel_model, save_pixel_model
from segmentry.training import Teaching, held_out_scores, strokes_of_files, train_pixel_classifier, what_counts
from taught import BANK, NAMES, strokes

FEW = ["--features", "gaussian_smoothing,gradient_magnitude", "--sigmas", "0.7,1.6", "--classifier", "fast_trees"]
TEACHING = Teaching(NAMES, ("gaussian_smoothing", "gradient_magnitude"), (0.7, 1.6), classifier="fast_trees")


def save(folder, name, axes="YX", suffix=".tif", **how):
    """Write a sample image and strokes on it."""
    (one,) = strokes(axes, **how)
    write(folder / "images" / f"{name}{suffix}", one.image)
    write(folder / "strokes" / f"{name}.tif", Image.from_array(one.classes.astype(np.uint8)), kind="labels")
    return one


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for seed, name in enumerate("ab"):
        save(tmp_path, name, seed=seed)
    write(tmp_path / "images" / "unpainted.tif", sample_image(seed=9))
    return tmp_path


def test_files_and_folders_by_command_and_in_python_give_one_model(place, capsys):
    words = ["train", "pixel_classifier", *FEW, "--classes", "background,cell"]
    assert command([*words, "--images", "images", "--labels", "strokes", "-o", "one.safetensors"]) == 0
    said = capsys.readouterr()
    assert "background, cell, from 2 images" in said.err
    assert "each told by a model that did not see its stroke" in said.err
    assert [line.split()[0] for line in said.out.split("\n") if line.strip()] == ["class", "all", "background", "cell"]
    model = train_pixel_classifier(strokes_of_files(place / "images", place / "strokes"), TEACHING)
    save_pixel_model("two.safetensors", model)
    assert (place / "one.safetensors").read_bytes() == (place / "two.safetensors").read_bytes()
    given = [strokes(seed=seed)[0] for seed in (0, 1)]
    save_pixel_model("three.safetensors", train_pixel_classifier(given, TEACHING))
    assert (place / "one.safetensors").read_bytes() == (place / "three.safetensors").read_bytes()
    assert command([*words, "--images", "images/a.tif", "--labels", "strokes/a.tif", "-o", "a", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["classes"] == ["background", "cell"]
    assert report["scores"]["accuracy"] > 0.9
    assert command(["segment", "images/b.tif", "-o", "out", "-m", "pixel_classifier", "--set", "model=a"]) == 0


@pytest.mark.parametrize("kind", ["random_forest", "fast_trees", "scikit_learn"])
def test_every_classifier_and_autocontext_are_trained_by_command(place, kind):
    setting = {"random_forest": "n_trees=5", "fast_trees": "n_trees=5", "scikit_learn": "estimator=GaussianNB"}[kind]
    words = ["--images", "images", "--labels", "strokes", "--features", "gaussian_smoothing", "--sigmas", "1"]
    words += ["--classifier", kind, "--set", setting, "--stages", "2", "--seed", "3"]
    assert command(["train", "pixel_classifier", *words, "-o", "m"]) == 0
    model = load_pixel_model("m")
    assert len(model.stages) == 2
    assert model.stages[0].classifier.name == kind
    assert (model.probabilities(sample_image(seed=4))[1] > 0.5).any()


def test_a_channel_of_many_is_learned_and_found_again(place):
    pair = sample_image("CYX", channels=("DAPI", "actin"))
    write("images/c.ome.tif", pair)
    write("strokes/c.ome.tif", Image.from_array(strokes()[0].classes.astype(np.uint8)), kind="labels")
    base = ["train", "pixel_classifier", *FEW, "--images", "images/c.ome.tif", "--labels", "strokes/c.ome.tif"]
    for out, channel in (("by-name", "actin"), ("by-number", "1")):
        assert command([*base, "-o", out, "--channel", channel]) == 0
        assert load_pixel_model(out).channels == ("actin",)
    assert command([*base, "-o", "all"]) == 0
    assert load_pixel_model("all").channels == ("DAPI", "actin")
    one = run(PixelClassifier(model="by-name"), pair)
    other = run(PixelClassifier(model="by-name"), pair, channel="actin")
    assert np.array_equal(one.result.classes, other.result.classes)
    assert command([*base, "-o", "x", "--channel", "actn"]) == 2


def test_strokes_in_a_series_and_in_a_volume(place):
    for axes in ("TYX", "ZYX"):
        image = sample_image(axes)
        painted = np.where(image.read() > 60, 2, 1) * (np.arange(image.grid.shape[0]) == 1)[:, None, None]
        write(f"images/{axes}.ome.tif", image)
        write(f"strokes/{axes}.tif", Image.from_array(painted.astype(np.uint8)), kind="labels")
        found = strokes_of_files(place / "images" / f"{axes}.ome.tif", place / "strokes" / f"{axes}.tif")
        assert [s.image.grid.axes for s in found] == [axes.replace("T", "")]
        if axes == "TYX":
            assert np.array_equal(found[0].image.read(), image.read()[1])
            assert np.array_equal(found[0].classes, painted[1])


def test_pixels_that_are_no_numbers_are_learned_as_a_run_sees_them(place):
    image = sample_image("YX", "f4")
    pixels = image.read().copy()
    pixels[4, :9] = np.nan
    write("images/n.tif", Image.from_array(pixels))
    write("strokes/n.tif", Image.from_array(strokes()[0].classes.astype(np.uint8)), kind="labels")
    (found,) = strokes_of_files(place / "images" / "n.tif", place / "strokes" / "n.tif")
    assert np.asarray(found.image.read())[4, 0] == np.nanmin(pixels)
    train_pixels([found], (BANK,), classifier("fast_trees", n_trees=2))


WRONG = {
    "nothing given": ([], 2, "--images and --labels, or --project"),
    "labels alone": (["--labels", "strokes"], 2, "--images and --labels"),
    "both": (["--project", "x.ilp", "--labels", "strokes"], 2, "leave out --labels"),
    "no such file": (["--images", "images", "--labels", "nowhere"], 1, "nowhere does not exist"),
    "no such project": (["--project", "x.ilp"], 1, "x.ilp"),
    "no such image": (["--images", "images/a.tif", "--labels", "strokes"], 1, "no image called 'b'"),
    "another shape": (["--images", "other.tif", "--labels", "strokes/a.tif"], 1, "don't fit"),
    "intensities": (["--images", "images/a.tif", "--labels", "real.tif"], 1, "fractions"),
    "colours": (["--images", "images/a.tif", "--labels", "colours.png"], 1, "has channels"),
    "nothing painted": (["--images", "images/a.tif", "--labels", "black.tif"], 1, "nothing to learn from"),
    "ids of objects": (["--images", "images/a.tif", "--labels", "ids.tif"], 1, "not ids of objects"),
    "no such feature": (["{files}", "--features", "gausian"], 2, "no feature 'gausian'"),
    "no number": (["--images", "images", "--labels", "strokes", "--sigmas", "0.7,x"], 2, "--sigmas"),
    "scale of nothing": (["--images", "images", "--labels", "strokes", "--sigmas", "0"], 2, "sigma 0"),
    "no such classifier": (["{files}", "--classifier", "forest"], 2, "random_forest"),
    "no such parameter": (["{files}", "--set", "n_tree=5"], 2, "n_trees"),
    "no value": (["{files}", "--set", "n_trees"], 2, "key=value"),
    "stages": (["{files}", "--stages", "0"], 2, "stages"),
    "seed": (["{files}", "--seed", "-1"], 2, "seed"),
    "same names": (["{files}", "--classes", "a,a"], 2, "different names"),
    "empty name": (["{files}", "--classes", "a,"], 2, "different names"),
    "exists": (["{files}", "-o", "strokes/a.tif"], 1, "exists already"),
    "a folder": (["{files}", "-o", "strokes", "--overwrite"], 1, "is a folder"),
    "another method": (["{files}", "other"], 2, ""),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_use_is_one_line_and_an_exit_code(case, place, capsys):
    write("other.tif", Image.from_array(np.zeros((9, 9), np.uint8)))
    write("real.tif", Image.from_array(np.full((48, 56), 0.5, np.float32)))
    write("black.tif", Image.from_array(np.zeros((48, 56), np.uint8)))
    write("ids.tif", Image.from_array(np.full((48, 56), 900, np.uint16)))
    write("colours.png", Image.from_array(np.zeros((48, 56, 3), np.uint8), "YXC"))
    words, code, said = WRONG[case]
    files = ["--images", "images", "--labels", "strokes", "--sigmas", "1.0"]
    filled = [w for word in words for w in (files if word == "{files}" else [word])]
    filled += [] if "-o" in words else ["-o", "m"]
    assert command(["train", "pixel_classifier", *filled]) == code
    lines = [line for line in capsys.readouterr().err.splitlines() if "error" in line]
    assert len(lines) == 1
    assert said in lines[0]
    assert not (place / "m").exists()
    assert (place / "strokes" / "a.tif").exists()


def test_images_that_differ_in_channels_are_told(place):
    save(place, "c", "CYX", channels=("x", "y"), suffix=".ome.tif")
    with pytest.raises(InputError, match="same axes and channels"):
        train_pixel_classifier(strokes_of_files(place / "images", place / "strokes"), TEACHING)
    write(place / "images" / "c.png", sample_image())
    with pytest.raises(SegmentryError, match="two files called 'c'"):
        strokes_of_files(place / "images", place / "strokes")


def test_scores_are_of_strokes_that_were_not_seen():
    """Noise can't be told apart, however well a forest remembers the pixels that it saw."""
    rng = np.random.default_rng(0)
    image = Image.from_array(rng.integers(0, 255, (64, 64), np.uint8))
    painted = np.zeros((64, 64), np.uint32)
    for i, (y, x) in enumerate(np.ndindex(8, 8)):
        painted[8 * y + 1 : 8 * y + 7, 8 * x + 3] = 1 + i % 2
    model = train_pixels([Strokes(image, painted)], (BANK,), classifier(n_trees=20, sample_share=1.0))
    told = model.probabilities(image).argmax(axis=0)[painted > 0] + 1
    assert (told == painted[painted > 0]).mean() > 0.95, "it remembers what it saw"
    scores = held_out_scores([Strokes(image, painted)], model)
    assert 0.35 < scores["accuracy"] < 0.65
    assert scores["pixels"] == (painted > 0).sum()
    assert np.sum(scores["confusion"]) == scores["pixels"]
    assert set(scores["right_of_class"]) == set(model.names)


def test_there_is_no_score_where_a_class_has_one_stroke_or_none(place, capsys):
    one = strokes()[0]
    painted = one.classes * (one.classes == 1)
    painted[40, 3:9] = 2
    model = train_pixel_classifier([Strokes(one.image, painted)], TEACHING)
    assert model.scores == {}
    three = Teaching((*NAMES, "never painted"), TEACHING.features, TEACHING.sigmas, classifier="fast_trees")
    scores = train_pixel_classifier([one], three).scores
    assert set(scores["right_of_class"]) == set(NAMES)
    write("one.tif", Image.from_array(painted.astype(np.uint8)))
    assert (
        command(["train", "pixel_classifier", *FEW, "--images", "images/a.tif", "--labels", "one.tif", "-o", "m"]) == 0
    )
    assert "no score" in capsys.readouterr().err


def test_what_is_no_name_or_number_is_refused_in_python():
    with pytest.raises(ParameterError, match="no feature"):
        Teaching(features=("x",)).bank()
    with pytest.raises(ParameterError, match="seed"):
        train_pixels(strokes(), (BANK,), classifier("fast_trees"), seed=-1)


def test_what_counts_is_told_by_name(tmp_path):
    image = sample_image("CYX")
    pixels = image.read().astype(np.float32)
    pixels[1] = np.random.default_rng(0).normal(size=pixels.shape[1:])
    image = Image(pixels, image.grid, ("cells", "noise"))
    painted = np.where(pixels[0] > 60, 2, np.where(pixels[0] < 25, 1, 0)).astype(np.uint32)
    for stages in (1, 2):
        model = train_pixel_classifier([Strokes(image, painted)], Teaching(stages=stages, sigmas=(1.0,)))
        told = what_counts(model, image.grid)
        assert sum(share for _, share in told) == pytest.approx(1)
        assert told[0][0].startswith("cells: " if stages == 1 else ("cells: ", "probability of"))


def test_few_painted_pixels_are_drawn_in_parts_unless_it_is_said_otherwise():
    assert suited(classifier(), 100).settings()["sample_share"] == 0.1
    assert suited(classifier(), 10).settings()["sample_share"] == 0.5
    assert suited(classifier(), 5000).settings()["sample_share"] == 1
    assert suited(classifier(sample_share=0.7), 100).settings()["sample_share"] == 0.7
    assert suited(classifier("fast_trees", feature_share=0.5), 100).settings()["feature_share"] == 0.5
    assert suited(classifier("fast_trees"), 100).settings()["learning_rate"] == 0.1
