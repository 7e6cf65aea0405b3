"""Kinds of objects from the command line and from files: a table of examples in, labels with classes out."""

import json

import numpy as np
import pandas as pd
import pytest

from segmentry import read_labels, write, write_labels
from segmentry.app.cli import run as command
from segmentry.cleaning.object_classifier import ObjectClassifierStep
from segmentry.errors import InputError, ParameterError
from segmentry.image import Grid, Image
from segmentry.io import read_provenance
from segmentry.job import Options, segment_file
from segmentry.kinds import train_object_classifier
from segmentry.object_classification import ObjectClassifier, ObjectModel
from segmentry.recipe import Recipe
from segmentry.replay import replay
from segmentry.result import Instances

KINDS = ["long", "round", "round", "long", "round", "long"]


@pytest.fixture
def place(tmp_path, monkeypatch):
    """Labels of long and round objects in two folders, each with its image."""
    monkeypatch.chdir(tmp_path)
    for seed, name in enumerate("ab"):
        rng = np.random.default_rng(seed)
        labels = np.zeros((20, 60), np.uint32)
        for i, kind in enumerate(KINDS):
            height, width = (12, 3) if kind == "long" else (6, 6)
            labels[3 : 3 + height + seed, 9 * i + 2 : 9 * i + 2 + width] = 10 + i
        instances = Instances.from_labels(labels, Grid("YX", labels.shape, (0.5, 0.5), "um"))
        write_labels(f"out/{name}/labels.ome.tif", instances, provenance={"by": name})
        write(f"{name}.tif", Image((labels + rng.integers(0, 9, labels.shape)).astype(np.uint8), instances.grid))
    return tmp_path


def examples(path, rows):
    pd.DataFrame(rows, columns=["image", "id", "class"]).to_csv(path, index=False)
    return path


def trained(place, rows, **settings):
    labels = [place / "out" / n / "labels.ome.tif" for n in "ab"]
    images = [place / f"{n}.tif" for n in "ab"]
    table = examples(place / "examples.csv", rows)
    return train_object_classifier(labels, images, table, place / "kinds.safetensors", **settings)


def test_examples_of_two_images_sort_the_objects_of_a_file(place, capsys):
    rows = [
        ("a.tif", 10, "long"),
        ("a.tif", 11, "round"),
        ("b.tif", 12, "round"),
        ("b.tif", 13, "long"),
        ("b.tif", 14, ""),
    ]
    model = trained(place, rows)
    assert model.provenance["examples"] == {"long": 2, "round": 2}
    assert [one["name"] for one in model.provenance["labels"]] == ["labels.ome.tif"] * 2
    arguments = ["classify", "out/b/labels.ome.tif", "--model", "kinds.safetensors", "-o", "sorted.ome.tif"]
    assert command([*arguments, "--image", "b.tif", "--table", "kinds.csv", "--suggest", "2"]) == 0
    said = capsys.readouterr()
    assert "6 objects in sorted.ome.tif: 3 long, 3 round" in said.err
    assert said.out.splitlines()[0] == "id,class,probability"
    assert len(said.out.splitlines()) == 3
    found = read_labels("sorted.ome.tif")
    assert found.ids.tolist() == list(range(10, 16))
    assert [found.names[k] for k in found.classes] == KINDS
    table = pd.read_csv("kinds.csv")
    assert table["class"].tolist() == KINDS
    assert table["probability"].between(0.5, 1).all()
    told = json.loads((place / "kinds.csv-metadata.json").read_text())["tableSchema"]["columns"]
    assert all("dc:description" in column for column in told)
    made = read_provenance("sorted.ome.tif")
    assert made["by"] == "b"
    assert made["classified"]["model"]["name"] == "kinds.safetensors"
    assert command(["measure", "sorted.ome.tif", "-o", "objects.csv"]) == 0
    assert pd.read_csv("objects.csv")["class"].tolist() == KINDS
    assert command(["classify", "sorted.ome.tif", "--model", "kinds.safetensors", "-o", "again.ome.tif"]) == 1
    assert "looks at intensities (one channel): give the image" in capsys.readouterr().err
    assert command(["classify", "sorted.ome.tif", "--model", "b.tif", "-o", "again.ome.tif"]) == 1
    assert "b.tif can't be used as a model" in capsys.readouterr().err
    assert not (place / "again.ome.tif").exists()


def test_one_file_needs_no_name_and_folders_tell_files_of_one_name_apart(place):
    table = place / "examples.csv"
    pd.DataFrame({"id": [10, 11], "class": [1, 2]}).to_csv(table, index=False)
    one = train_object_classifier([place / "out/a/labels.ome.tif"], [], table, place / "one.safetensors")
    assert one.names == ("1", "2")
    assert one.features.channels is None
    labels = [place / "out" / n / "labels.ome.tif" for n in "ab"]
    rows = [("a/labels.ome.tif", 10, "long"), ("b/labels.ome.tif", 11, "round")]
    settings = ObjectClassifier(["size", "shape"], seed=3)
    two = train_object_classifier(
        labels, [], examples(table, rows), place / "two.safetensors", settings, options=Options((1.0,), "um")
    )
    assert two.features.properties == ObjectModel.load(place / "two.safetensors").features.properties
    assert two.provenance["seed"] == 3
    assert two.provenance["spacing"] == [1.0, 1.0]
    with pytest.raises(InputError, match=r"may be 2 of the files: name folders as well \(folder/labels.ome.tif\)"):
        train_object_classifier(labels, [], examples(table, [("labels.ome.tif", 10, "x")]), place / "three")


@pytest.mark.parametrize(
    ("rows", "match"),
    [
        ([("c.tif", 10, "a")], r"image 'c.tif' is none of the files \(a.tif, b.tif\)"),
        ([("a.tif", 10, "a"), ("a.tif", 10, "b")], "object 10 is a and b: choose one"),
        ([("a.tif", 10.5, "a")], "id 10.5 of example 1 is no whole number"),
        ([("a.tif", 99, "a"), ("a.tif", 10, "b")], "no object 99 among the labels"),
        ([("a.tif", 10, None)], "no examples"),
    ],
)
def test_a_table_that_does_not_fit_is_refused(place, rows, match):
    with pytest.raises(InputError, match=match):
        trained(place, rows)
    assert not (place / "kinds.safetensors").exists()


def test_files_that_do_not_belong_together_are_refused(place):
    labels = [place / "out" / n / "labels.ome.tif" for n in "ab"]
    table = examples(place / "examples.csv", [("a.tif", 10, "a")])
    with pytest.raises(InputError, match="2 files of labels and 1 images"):
        train_object_classifier(labels, [place / "a.tif"], table, place / "kinds.safetensors")
    pd.DataFrame({"id": [10], "class": ["a"]}).to_csv(table, index=False)
    with pytest.raises(InputError, match="no column 'image'; it has id, class"):
        train_object_classifier(labels, [], table, place / "kinds.safetensors")


def test_a_recipe_sorts_what_it_finds_and_can_be_replayed(place):
    rows = [("a.tif", 10, "long"), ("a.tif", 11, "round"), ("b.tif", 12, "round"), ("b.tif", 13, "long")]
    trained(place, rows, classifier=ObjectClassifier(properties=["shape"]))
    bright = np.where(np.asarray(read_labels("out/a/labels.ome.tif").labels[...]) > 0, 200, 20).astype(np.uint8)
    source = write("cells.tif", Image(bright, Grid("YX", bright.shape, (0.5, 0.5), "um")))
    text = "{segmentry: 1, method: otsu, cleaning: [fill_holes, {object_classifier: {model: kinds.safetensors}}]}"
    (place / "recipe.yaml").write_text(text, "utf-8")
    segment_file(source, place / "done", Recipe.read(place / "recipe.yaml"))
    table = pd.read_csv(place / "done" / "objects.csv")
    assert table.sort_values("centroid_x_um")["class"].tolist() == KINDS
    found = read_labels(place / "done" / "labels.ome.tif")
    assert found.names == ("background", "long", "round")
    assert replay(place / "done").differences == []
    (place / "kinds.safetensors").unlink()
    with pytest.raises(InputError, match="does not exist"):
        segment_file(source, place / "again", Recipe.read(place / "recipe.yaml"))


def test_a_step_without_a_model_says_what_it_needs():
    labels = Instances.from_labels(np.ones((4, 4), np.uint32))
    with pytest.raises(ParameterError, match="object_classifier needs a model"):
        ObjectClassifierStep().apply(labels)
