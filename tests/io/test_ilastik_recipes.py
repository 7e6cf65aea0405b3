"""Projects of ilastik serve as recipes: what their forests say is what is found, whatever they look at."""

import json
import shutil

import h5py
import numpy as np
import pytest
from ilastik_projects import PROJECTS, SHARED, add_block, add_data, objects, replaced, two_channels, without
from scipy.ndimage import gaussian_filter, label

from segmentry.app.cli import run as command
from segmentry.errors import SegmentryError
from segmentry.features import Feature, FeatureBank
from segmentry.ilastik import FEATURE_NAMES
from segmentry.image import Grid, Image
from segmentry.io import read_labels, write
from segmentry.io.ilastik_project import read_project
from segmentry.recipe import Recipe
from segmentry.trained_models import load_pixel_model

IMAGES = {"two_channels": "CYX", "in_time": "ZYX", "autocontext": "YX", "embedded": "CYX"}
SIZES = {"C": 2, "Z": 9, "Y": 30, "X": 40, "T": 2}


def picture(axes, seed=0):
    """Return smooth noise about as strong as the samples that the recorded forests learned from."""
    shape = tuple(SIZES[a] for a in axes)
    noise = gaussian_filter(np.random.default_rng(seed).normal(size=shape), [0 if a in "CT" else 1.0 for a in axes])
    return Image.from_array((noise / noise.std() * 1.5).astype(np.float32), axes)


def walked(stage, pixels, grid):
    """Return the probabilities by a plain walk through the stored trees, over the columns that the project names."""
    columns = []
    for column in stage.columns:
        bank = FeatureBank((Feature(FEATURE_NAMES[column.feature], column.scale),), planes=column.flat)
        values = bank.compute(pixels, grid)
        columns.append(values.reshape(grid.length("C"), -1, *grid.spatial_shape)[column.channel, column.plane].ravel())
    values = np.stack(columns)
    votes = np.zeros((len(stage.names), values.shape[1]))
    for forest in stage.classifier.forests:
        for tree in forest.trees:
            at = np.zeros(values.shape[1], int)
            while (tree.feature[at] >= 0).any():
                inner = tree.feature[at] >= 0
                seen = values[np.maximum(tree.feature[at], 0), np.arange(len(at))]
                further = np.where(seen < tree.threshold[at], tree.left[at], tree.right[at])
                at = np.where(inner, further, at)
            votes[np.array(forest.labels) - 1] += tree.weights[at].T
    return (votes / votes.sum(axis=0)).reshape(-1, *grid.spatial_shape)


def expected_of(path, image):
    """Return the probabilities of the last stage; later ones see those before as whole numbers up to 255."""
    pixels, grid = image.read().astype(np.float32), image.grid
    for stage in (stages := read_project(path).stages):
        found = walked(stage, pixels, grid)
        if stage is not stages[-1]:
            first = image.read().astype(np.float32).reshape(-1, *grid.spatial_shape)
            pixels = np.concatenate([first, np.floor(found.astype(np.float32) * 255)]).astype(np.float32)
            grid = Grid("C" + grid.spatial, pixels.shape)
    return found


@pytest.mark.parametrize("name", IMAGES)
def test_the_probabilities_are_those_of_a_walk_through_the_stored_trees(name, tmp_path):
    path = PROJECTS[name](tmp_path / "a.ilp")
    image = picture(IMAGES[name])
    expected = expected_of(path, image)
    assert len(np.unique(expected)) > 1
    outcome = Recipe.read(path).run(image, probabilities=True)
    names = read_project(path).stages[-1].names
    assert outcome.result.names == names
    assert np.abs(outcome.result.probabilities - expected).max() < 1e-6
    assert np.array_equal(outcome.result.classes, outcome.result.probabilities.argmax(axis=0))
    tiled = Recipe.read(path).run(image, probabilities=True, tile=8, threads=2)
    assert np.array_equal(tiled.result.probabilities, outcome.result.probabilities)


@pytest.mark.parametrize("name", ["two_channels", "in_time", "autocontext"])
def test_a_project_and_the_recipe_that_it_becomes_give_the_same_labels(name, tmp_path, capsys):
    project = PROJECTS[name](tmp_path / "a.ilp")
    axes = "TZYX" if name == "in_time" else IMAGES[name]
    source = write(tmp_path / "image.ome.tif", picture(axes))
    assert command(["convert", str(project), str(tmp_path / "sub" / "a.yaml")]) == 0
    assert "a.yaml: recipe" in capsys.readouterr().err
    assert command(["segment", str(source), "-o", str(tmp_path / "one"), "-r", str(project)]) == 0
    project.unlink()
    assert command(["segment", str(source), "-o", str(tmp_path / "two"), "-r", str(tmp_path / "sub" / "a.yaml")]) == 0
    one, two = (read_labels(tmp_path / o / "image" / "labels.ome.tif").labels[...] for o in ("one", "two"))
    assert np.array_equal(one, two)
    assert one.any()
    assert command(["convert", str(tmp_path / "gone.ilp"), str(tmp_path / "b.yaml")]) == 1


def test_a_recipe_is_written_as_json_too_and_never_over_another(tmp_path):
    project = two_channels(tmp_path / "a.ilp")
    assert command(["convert", str(project), str(tmp_path / "r.json")]) == 0
    assert json.loads((tmp_path / "r.json").read_text())["method"]["pixel_classifier"]["model"] == "r.safetensors"
    assert Recipe.read(tmp_path / "r.json").method.knowledge().names == ("cells", "rest")
    before = (tmp_path / "r.json").read_bytes()
    assert command(["convert", str(project), str(tmp_path / "r.json")]) == 1
    assert command(["convert", str(project), str(tmp_path / "r.yaml")]) == 1, "the model is there already"
    assert command(["convert", str(project), str(tmp_path / "r.png")]) == 1
    assert (tmp_path / "r.json").read_bytes() == before
    assert not (tmp_path / "r.yaml").exists()


def test_objects_are_those_of_smoothed_and_thresholded_probabilities(tmp_path):
    path = objects(tmp_path / "a.ilp", "Object Classification (from pixel classification)")
    values = {"Channel": 1, "CoreChannel": 1, "LowThreshold": 0.6, "HighThreshold": 0.7, "MinSize": 3, "MaxSize": 200}
    sigmas = (0.5, 0.8, 1.0)
    for name, value in (values | {f"SmootherSigma/{a}": s for a, s in zip("zyx", sigmas, strict=True)}).items():
        replaced(path, f"ThresholdTwoLevels/{name}", value)
    image = picture("CZYX", seed=5)
    outcome = Recipe.read(path).run(image)
    probable = gaussian_filter(expected_of(path, image)[1].astype(np.float32), sigmas, truncate=2, mode="mirror")
    parts, count = label(probable >= np.float32(0.6))
    cores, number = label(probable >= np.float32(0.7))
    large = np.flatnonzero(np.bincount(cores.ravel(), minlength=number + 1) >= 3)[1:]
    sizes = np.bincount(parts.ravel(), minlength=count + 1)
    cored = set(parts[np.isin(cores, large)].tolist())
    kept = [i for i in range(1, count + 1) if i in cored and 3 <= sizes[i] <= 200]
    assert 3 < len(kept) < len(set(parts[probable >= np.float32(0.7)].tolist()))
    found = np.asarray(outcome.instances.labels)
    assert np.array_equal(found > 0, np.isin(parts, kept))
    assert len({(a, b) for a, b in zip(found[found > 0], parts[found > 0], strict=True)}) == len(kept)
    assert len(outcome.instances) == len(kept)


def test_a_threshold_is_reached_by_what_lies_at_it(tmp_path):
    path = objects(tmp_path / "a.ilp", "Object Classification (from pixel classification)")
    image = picture("CZYX", seed=4)
    probable = load_pixel_model(path).probabilities(image)[1]
    level = float(np.sort(np.unique(probable))[-2])
    sizes = {"MinSize": 1, "MaxSize": 10**6, "CurOperator": 0, "Channel": 1, "CoreChannel": 1, "LowThreshold": level}
    for name, value in {**sizes, "SmootherSigma/x": 0.0}.items():
        replaced(path, f"ThresholdTwoLevels/{name}", value)
    found = Recipe.read(path).run(image).instances.labels
    assert np.array_equal(np.asarray(found) > 0, probable >= np.float32(level))


def test_objects_of_several_channels_become_classes_and_that_is_said(tmp_path, capsys):
    path = objects(tmp_path / "a.ilp", "Object Classification (from pixel classification)")
    assert command(["convert", str(path), str(tmp_path / "a.yaml")]) == 0
    said = capsys.readouterr().err
    assert "not carried over: objects by hysteresis over several channels" in said
    assert "no objects are sorted" in said
    assert Recipe.read(tmp_path / "a.yaml").method.name == "pixel_classifier"


def test_images_with_other_channels_are_told(tmp_path, capsys):
    project = two_channels(tmp_path / "a.ilp")
    source = write(tmp_path / "one.tif", picture("YX"))
    assert command(["segment", str(source), "-o", str(tmp_path / "o"), "-r", str(project)]) == 1
    assert "trained on 2 channels" in capsys.readouterr().err


def test_classes_whose_names_ilastik_lets_be_the_same_are_kept_apart(tmp_path):
    path = two_channels(tmp_path / "a.ilp")
    place = "PixelClassification/LabelNames"
    replaced(path, place, ["näme\n'x'".encode(), "näme\n'x'".encode()])
    model = load_pixel_model(path)
    assert model.names == ("näme 'x'", "näme 'x' (2)")
    assert command(["convert", str(path), str(tmp_path / "a.yaml")]) == 0
    assert Recipe.read(tmp_path / "a.yaml").method.knowledge().names == model.names


REFUSED = ["Object Classification (from prediction image)", "Object Classification (from binary image)"]


@pytest.mark.parametrize("workflow", REFUSED)
def test_projects_without_a_classifier_of_pixels_are_one_line(workflow, tmp_path, capsys):
    path = objects(tmp_path / "a.ilp", workflow)
    source = write(tmp_path / "one.tif", picture("ZYX"))
    for words in (["segment", str(source), "-o", str(tmp_path / "o"), "-r", str(path)],
                  ["convert", str(path), str(tmp_path / "a.yaml")],
                  ["train", "pixel_classifier", "--project", str(path), "-o", str(tmp_path / "m")]):  # fmt: skip
        assert command(words) == 1
        assert len(capsys.readouterr().err.strip().splitlines()) == 1


def test_untrained_projects_of_ilastik_are_one_line(tmp_path, capsys):
    if not SHARED.is_dir():
        pytest.skip("../shared/data is absent: no project without a classifier")
    for name, said in (("PixelClassNoClassifier.ilp", "classifier"), ("PixelClassNoData.ilp", "data")):
        source = SHARED / "Data_1channel.png"
        assert command(["segment", str(source), "-o", str(tmp_path / "o"), "-r", str(SHARED / name)]) == 1
        error = capsys.readouterr().err.strip()
        assert said in error
        assert len(error.splitlines()) == 1


def test_what_was_labelled_in_a_project_is_learned_again(tmp_path, capsys):
    if not SHARED.is_dir():
        pytest.skip("../shared/data is absent: no project with labels and their image")
    for name in ("PixelClass.ilp", "Data_1channel.png"):
        shutil.copy(SHARED / name, tmp_path / name)
    project, out = tmp_path / "PixelClass.ilp", tmp_path / "m.safetensors"
    words = ["train", "pixel_classifier", "--project", str(project), "-o", str(out), "--set", "n_trees=20"]
    assert command(words) == 0
    assert "Label 1, Label 2, from 1 image" in capsys.readouterr().err
    model, stage = load_pixel_model(out), read_project(project).stages[0]
    assert model.names == stage.names
    assert sum(bank.n_planes(Grid("YX", (9, 9))) for bank in model.stages[0].banks) == len(stage.columns)
    from segmentry.io import read

    found = model.probabilities(read(tmp_path / "Data_1channel.png")).argmax(axis=0)
    theirs = load_pixel_model(project).probabilities(read(tmp_path / "Data_1channel.png")).argmax(axis=0)
    assert (found == theirs).mean() > 0.97
    (tmp_path / "Data_1channel.png").unlink()
    assert command([*words, "--overwrite"]) == 1
    assert "--images" in capsys.readouterr().err
    assert command([*words, "--overwrite", "--images", str(SHARED)]) == 0


def test_labels_on_an_image_within_the_project_are_learned(tmp_path):
    path = PROJECTS["embedded"](tmp_path / "a.ilp")
    with h5py.File(path, "a") as file:
        marks = np.zeros((1, 4, 4), np.uint8)
        marks[0, :2], marks[0, 2:] = 1, 2
        add_block(file["PixelClassification"], 0, 0, (0, 3, 5), marks, "cyx")
    out = tmp_path / "m.safetensors"
    words = ["train", "pixel_classifier", "--project", str(path), "-o", str(out), "--classifier", "fast_trees"]
    assert command([*words, "--features", "gaussian_smoothing", "--sigmas", "1,1.6"]) == 0
    model = load_pixel_model(out)
    assert model.names == ("Label 1", "Label 2")
    assert [f.sigma for f in model.stages[0].banks[0].features] == [1, 1.6]
    assert len(model.channels) == 2


@pytest.mark.parametrize(("name", "axes"), [("two_channels", "CYX"), ("autocontext", "YX"), ("objects", "CZYX")])
def test_a_project_that_lacks_anything_is_used_or_refused_in_one_line(name, axes, tmp_path):
    workflow = "Object Classification (from pixel classification)"
    whole = tmp_path / "whole.ilp"
    objects(whole, workflow) if name == "objects" else PROJECTS[name](whole)
    image = picture(axes)
    places = []
    with h5py.File(whole) as file:
        file.visititems(lambda place, item: places.append((place, isinstance(item, h5py.Dataset))))
    garbage = (np.zeros(0), b"\xff\xfe", np.array([np.nan] * 3), np.array([-(2**62)]), np.full((2, 2), 2**31))
    rng = np.random.default_rng(0)
    for place, is_data in places:
        if rng.random() > (0.03 if "/Forest" in place else 0.5):
            continue
        for i, value in enumerate((None, *garbage) if is_data else (None,)):
            if i and i != 1 + len(place) % len(garbage):
                continue
            path = tmp_path / "broken.ilp"
            shutil.copy(whole, path)
            without(path, place) if value is None else replaced(path, place, value)
            try:
                Recipe.read(path).run(image)
            except SegmentryError as error:
                assert "\n" not in str(error), place


def test_a_missing_shape_of_the_data_is_told(tmp_path):
    path = two_channels(tmp_path / "a.ilp")
    with h5py.File(path, "a") as file:
        del file["Input Data/infos/lane0000"]
        add_data(file, 0, "cells.h5/volume/raw", "yxc", (30, 40))
    with pytest.raises(SegmentryError, match=r"add an image|features"):
        Recipe.read(path).run(picture("CYX"))
