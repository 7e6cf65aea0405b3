"""Projects of ilastik that classify objects: kinds and probabilities are those of VIGRA, on the command line."""

from pathlib import Path

import h5py
import numpy as np
import pytest
from ilastik_projects import objects, replaced, sorted_objects, sorting, two_channels, without

from segmentry.app.cli import run as command
from segmentry.cleaning.object_classifier import ObjectClassifierStep
from segmentry.errors import SegmentryError
from segmentry.ilastik_recipes import recipe_of
from segmentry.image import Grid, Image
from segmentry.io import read_labels, read_table, write, write_labels
from segmentry.object_classification import ObjectModel
from segmentry.recipe import Recipe
from segmentry.result import Instances

RECORDED = Path(__file__).parents[1] / "reference" / "ilastik_objects.npz"
NAMES = ("background", "round", "background (2)", "long")


def scene():
    """Return an image of two channels, the first bright in objects, and the objects."""
    with np.load(RECORDED) as file:
        image, labels = file["project/image"], file["project/labels"]
    return Image.from_array(image, "CYX"), Instances.from_labels(labels.astype(np.uint32))


def probabilities():
    with sorting() as file:
        return file["objects/probabilities"][()]


def check(found):
    """Compare objects with those that VIGRA knew, and their kinds and sureness with what it said of them."""
    _, expected = scene()
    assert np.array_equal(np.asarray(found.labels[...]), expected.labels)
    assert found.names == NAMES
    assert np.array_equal(found.classes, probabilities().argmax(axis=1) + 1)
    assert np.abs(found.scores - probabilities().max(axis=1)).max() < 1e-6
    assert len(set(found.classes.tolist())) == 3


def test_a_project_and_the_recipe_that_it_becomes_sort_objects_as_ilastik(tmp_path, capsys):
    project = sorted_objects(tmp_path / "a.ilp")
    source = write(tmp_path / "image.ome.tif", scene()[0])
    assert command(["segment", str(source), "-o", str(tmp_path / "one"), "-r", str(project)]) == 0
    check(read_labels(tmp_path / "one" / "image" / "labels.ome.tif"))
    recipe = tmp_path / "sub" / "a.yaml"
    assert command(["convert", str(project), str(recipe)]) == 0
    assert "not carried over" not in capsys.readouterr().err
    project.unlink()
    assert command(["segment", str(source), "-o", str(tmp_path / "two"), "-r", str(recipe), "--tile", "24"]) == 0
    check(read_labels(tmp_path / "two" / "image" / "labels.ome.tif"))
    before = recipe.read_bytes()
    recipe.unlink()
    recipe.with_suffix(".safetensors").unlink()
    sorted_objects(project)
    assert command(["convert", str(project), str(recipe)]) == 1, "the model of objects is there already"
    assert not recipe.exists()
    assert command(["convert", str(project), str(recipe), "--overwrite"]) == 0
    assert recipe.read_bytes() == before


WORKFLOWS = ("from pixel classification", "from prediction image", "from binary image")


@pytest.mark.parametrize("workflow", WORKFLOWS)
def test_labels_that_exist_are_sorted_by_a_project(workflow, tmp_path, capsys):
    project = sorted_objects(tmp_path / "a.ilp", f"Object Classification ({workflow})")
    image, labels = scene()
    source, seen = write_labels(tmp_path / "labels.tif", labels), write(tmp_path / "image.ome.tif", image)
    words = ["classify", str(source), "--model", str(project), "-o", str(tmp_path / "sorted.ome.tif")]
    assert command([*words, "--image", str(seen), "--table", str(tmp_path / "kinds.csv")]) == 0
    table = read_table(tmp_path / "kinds.csv")
    shares = table[[f"probability_{name}" for name in NAMES[1:]]].to_numpy()
    assert np.abs(shares - probabilities()).max() < 1e-6
    found = read_labels(tmp_path / "sorted.ome.tif")
    assert np.array_equal(found.classes, probabilities().argmax(axis=1) + 1)
    if workflow != WORKFLOWS[0]:
        capsys.readouterr()
        assert command(["convert", str(project), str(tmp_path / "r.yaml")]) == 1
        said = capsys.readouterr().err.strip()
        assert "no pixel classifier" in said
        assert len(said.splitlines()) == 1


def test_what_does_not_fit_the_project_is_one_line(tmp_path, capsys):
    project = sorted_objects(tmp_path / "a.ilp")
    image, labels = scene()
    source = write_labels(tmp_path / "labels.tif", labels)
    solid = write_labels(tmp_path / "solid.tif", Instances.from_labels(np.ones((3, 9, 9), np.uint32)))
    one = write(tmp_path / "one.tif", image.channel(0))
    cut = write(tmp_path / "cut.tif", Image.from_array(image.read()[:, 1:], "CYX"))
    for labelled, seen, said in (
        (source, None, "give the image"),
        (source, one, "have 2 channels; this one has 1"),
        (source, cut, "must fit"),
        (solid, one, "axes YX"),
    ):
        words = ["classify", str(labelled), "--model", str(project), "-o", str(tmp_path / "out.tif")]
        assert command([*words, "--image", str(seen)] if seen else words) == 1
        error = capsys.readouterr().err.strip()
        assert said in error
        assert len(error.splitlines()) == 1


def test_a_series_is_sorted_frame_by_frame(tmp_path):
    model = ObjectModel.load(sorted_objects(tmp_path / "a.ilp"))
    image, labels = scene()
    other = np.flip(image.read(), axis=2).copy()
    turned = np.flip(labels.labels, axis=1)
    series = Image.from_array(np.stack([image.read(), other, image.read()]), "TCYX")
    shifted = np.where(turned > 0, turned + len(labels), 0)
    late = np.where(labels.labels > 0, labels.labels + 2 * len(labels), 0)
    followed = Instances.from_labels(
        np.stack([labels.labels, shifted, late]).astype(np.uint32), Grid("TYX", (3, *turned.shape))
    )
    table = model.predict(followed, series)
    shares = table[[f"probability_{name}" for name in model.names]].to_numpy()
    assert np.abs(shares[: len(labels)] - probabilities()).max() < 1e-6
    assert np.array_equal(shares[: len(labels)], shares[2 * len(labels) :])
    alone = model.predict(Instances.from_labels(turned.copy()), Image.from_array(other, "CYX"))
    assert np.array_equal(shares[len(labels) : 2 * len(labels)], alone[list(table.columns[4:7])].to_numpy())


def test_no_objects_have_no_kinds(tmp_path):
    model = ObjectModel.load(sorted_objects(tmp_path / "a.ilp"))
    image, labels = scene()
    found = model.classify(Instances.from_labels(np.zeros_like(labels.labels)), image)
    assert len(found) == 0


def test_scores_are_of_the_objects_unless_those_of_classes_are_asked_for(tmp_path):
    project = str(sorted_objects(tmp_path / "a.ilp"))
    image, labels = scene()
    assert ObjectClassifierStep(model=project).sort(labels, image).scores is labels.scores
    check(ObjectClassifierStep(model=project, score="class").sort(labels, image))


@pytest.mark.parametrize(
    ("group", "name", "about"),
    [
        ("2D Skeleton Features", "Branch Count", {}),
        ("3D Convex Hull Features", "Convexity", {}),
        ("Standard Object Features", "Histogram", {}),
        ("Standard Object Features", "Sum in neighborhood in neighborhood", {"margin": [3, 3]}),
    ],
)
def test_features_that_are_not_known_leave_objects_without_kinds_and_that_is_said(group, name, about, tmp_path, capsys):
    project = sorted_objects(tmp_path / "a.ilp")
    with h5py.File(project, "a") as file:
        place = file.create_group(f"ObjectClassification/SelectedFeatures/{group}/{name}")
        for key, value in about.items():
            place[key] = value
    assert command(["convert", str(project), str(tmp_path / "a.yaml")]) == 0
    said = capsys.readouterr().err
    assert f"objects are not sorted into classes: its features of objects {name} ({group})" in said
    found = Recipe.read(tmp_path / "a.yaml").run(scene()[0]).instances
    assert np.array_equal(found.labels, scene()[1].labels)
    assert found.names == ("background", "object")
    with pytest.raises(SegmentryError, match="can't be computed"):
        ObjectModel.load(project)


def test_a_classifier_of_other_features_is_not_used(tmp_path, capsys):
    project = sorted_objects(tmp_path / "a.ilp")
    without(project, "ObjectClassification/SelectedFeatures/Standard Object Features/Count")
    source = write(tmp_path / "image.ome.tif", scene()[0])
    assert command(["segment", str(source), "-o", str(tmp_path / "one"), "-r", str(project)]) == 0
    assert "not sorted into classes" in capsys.readouterr().err
    assert read_labels(tmp_path / "one" / "image" / "labels.ome.tif").names == ("background", "object")


@pytest.mark.parametrize(("volume", "said"), [(12, ""), (20, ""), (9, "convex hulls are not those of VIGRA 1.11")])
def test_convex_hulls_that_are_no_boxes_are_told(volume, said, tmp_path):
    project = sorted_objects(tmp_path / "a.ilp")
    with h5py.File(project, "a") as file:
        frame = file.create_group("ObjectExtraction/RegionFeatures/0000/[[0], [1]]")
        frame["Default features/Coord<Minimum>"] = np.array([[0, 0], [5, 7]], np.float32)
        frame["Default features/Coord<Maximum>"] = np.array([[0, 0], [9, 10]], np.float32)
        frame["2D Convex Hull Features/HullVolume"] = np.array([[0], [volume]], np.float32)
    assert said in " ".join(recipe_of(project)[1])
    assert bool(said) == (len(recipe_of(project)[1]) > 0)


def test_without_a_classifier_of_objects_these_are_found_and_it_is_said(tmp_path, capsys):
    project = without(sorted_objects(tmp_path / "a.ilp"), "ObjectClassification/ClassifierForests")
    assert command(["convert", str(project), str(tmp_path / "a.yaml")]) == 0
    said = capsys.readouterr().err
    assert "not sorted into classes" in said
    assert "switch on Live Update" in said
    assert len(Recipe.read(tmp_path / "a.yaml").run(scene()[0]).instances) == len(scene()[1])


def test_damaged_parts_of_objects_are_one_line(tmp_path):
    whole = sorted_objects(tmp_path / "whole.ilp")
    places = []
    with h5py.File(whole) as file:
        file.visititems(lambda place, item: places.append((place, isinstance(item, h5py.Dataset))))
    places = [(place, data) for place, data in places if place.startswith("Object")]
    garbage = (np.zeros(0), b"\xff\xfe", np.array([np.nan] * 3), np.array([-(2**62)]), np.full((2, 2), 2**31))
    image, labels = scene()
    rng = np.random.default_rng(1)
    bad = 0
    for number, (place, is_data) in enumerate(places):
        if rng.random() > (0.3 if "/Forest" in place else 0.6):
            continue
        path = tmp_path / f"{number}.ilp"
        path.write_bytes(whole.read_bytes())
        replaced(path, place, garbage[number % len(garbage)]) if is_data else without(path, place)
        try:
            ObjectModel.load(path).classify(labels, image)
        except SegmentryError as error:
            bad += 1
            assert "\n" not in str(error), place
    assert bad > 5


def test_a_file_whose_features_are_damaged_is_refused(tmp_path):
    model = ObjectModel.load(sorted_objects(tmp_path / "a.ilp"))
    saved = model.save(tmp_path / "m.safetensors")
    again = ObjectModel.load(saved)
    assert again.features == model.features
    good = model.features.to_dict()
    for key, value in (
        *(("ilastik", v) for v in ("x", [["a"]], [[1, 2]], [["Standard Object Features", "Taste"]], [])),
        *(("axes", v) for v in ("XY", None)),
        *(("n_channels", v) for v in (0, 1.5, True, 1)),
        *(("margin", v) for v in ([], [4], [4, -1], [4, 0.5], "44", [0, 0])),
        ("more", 1),
    ):
        with pytest.raises(SegmentryError):
            type(model.features).from_dict({**good, key: value})
    with pytest.raises(SegmentryError, match="does not classify objects"):
        ObjectModel.load(two_channels(tmp_path / "p.ilp"))
    with pytest.raises(SegmentryError):
        ObjectModel.load(objects(tmp_path / "o.ilp")).predict(scene()[1], scene()[0])
