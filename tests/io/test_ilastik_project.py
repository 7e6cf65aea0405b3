"""Projects of ilastik say what was chosen, labelled and trained, and what of it can't be carried over."""

from pathlib import Path

import h5py
import numpy as np
import pytest
from ilastik_projects import (
    SHARED,
    add_block,
    add_data,
    autocontext,
    embedded,
    in_time,
    objects,
    refusal,
    replaced,
    two_channels,
    without,
)

from segmentry.errors import InputError
from segmentry.io.ilastik_data import open_embedded
from segmentry.io.ilastik_pixels import FILTERS, Column, Selection
from segmentry.io.ilastik_project import read_project


def test_pixel_classification_of_two_channels(tmp_path):
    project = read_project(two_channels(tmp_path / "a.ilp"))
    assert (project.workflow, project.version, project.left_out) == ("Pixel Classification", "1.4.1", ())
    raw = project.lanes[0].raw
    assert (raw.files, raw.inside, raw.axes, raw.shape) == (("cells.h5",), "/volume/raw", "YXC", (30, 40, 2))
    assert (raw.role, raw.name, raw.display, raw.value_range) == ("Raw Data", "image", "default", (0, 255))
    stage = project.stages[0]
    assert (stage.names, stage.colours) == (("cells", "rest"), ((255, 225, 25), (255, 225, 26)))
    assert (stage.n_channels, stage.classifier.n_features, len(stage.classifier.forests)) == (2, 8, 2)
    short = [(column.feature[:8], column.scale, column.channel, column.plane) for column in stage.columns]
    assert short == [
        *[("Gaussian", 0.3, channel, 0) for channel in (0, 1)],
        *[("Laplacia", 0.7, channel, 0) for channel in (0, 1)],
        *[("HessianO", 1.6, channel, plane) for channel in (0, 1) for plane in (0, 1)],
    ]
    labels = stage.labels[0]
    assert (labels.axes, labels.shape) == ("YX", (30, 40))
    assert labels.places.tolist() == [[3, 4], [4, 5]]
    assert labels.classes.tolist() == [1, 2]
    project.check_trained()


def test_a_volume_in_time_with_two_lanes(tmp_path):
    project = read_project(in_time(tmp_path / "a.ilp"))
    first, second = project.lanes
    assert first.raw.files == ("/far/away/one.tif", "/far/away/two.tif")
    assert second.raw.files == (r"C:\data\three.tif",)
    stage = project.stages[0]
    assert stage.classifier.kind == "VigraRfLazyflowClassifier"
    assert [(c.feature[:5], c.plane, c.flat) for c in stage.columns] == [
        ("Gauss", 0, False),
        *[("Struc", plane, True) for plane in (0, 1)],
        *[("Hessi", plane, False) for plane in (0, 1, 2)],
    ]
    one, other = stage.labels
    assert (one.axes, one.shape) == ("TZYX", (2, 9, 20, 21))
    assert one.places.tolist() == [[1, 2, 3, 4], [1, 2, 3, 5], [1, 2, 4, 4], [1, 2, 4, 5]]
    assert one.classes.tolist() == [1, 1, 1, 2], "where blocks lie over each other the last wins"
    assert (other.shape, other.places.tolist()) == ((3, 9, 20, 22), [[2, 8, 3, 20], [2, 8, 4, 20]])


def test_autocontext_sees_the_classes_of_the_first_stage_after_the_image(tmp_path):
    first, second = read_project(autocontext(tmp_path / "a.ilp")).stages
    assert (first.n_channels, len(first.columns), first.classifier.labels) == (1, 3, (1, 2, 3))
    assert (second.n_channels, len(second.columns), second.classifier.labels) == (4, 8, (1, 2))
    assert [column.channel for column in second.columns] == [0, 1, 2, 3, 0, 1, 2, 3]
    assert (first.labels[0].places.tolist(), second.labels[0].places.tolist()) == ([[0, 0]], [[29, 39]])


def test_objects_of_probabilities(tmp_path):
    project = read_project(objects(tmp_path / "a.ilp"))
    assert project.stages == ()
    assert [data.role for data in project.lanes[0].inputs] == ["Raw Data", "Prediction Maps"]
    found = project.thresholding
    assert (found.method, found.low, found.high, found.sigma) == ("hysteresis", 0.25, 0.75, (0.5, 1, 2))
    assert (found.channel, found.core_channel, found.min_size, found.max_size) == (1, 0, 5, 900)
    stage = project.objects
    assert [(f.name, f.margin, f.width) for f in stage.features] == [
        ("Count", None, 1),
        ("Kurtosis", None, 2),
        ("Mean", None, 2),
        ("Mean in neighborhood", (5, 4, 3), 2),
    ]
    assert stage.names == ("live", "unsure", "dead")
    assert (stage.classifier.labels, stage.classifier.trained) == ((1, 2, 3), (1, 3))
    labels = stage.labels[0]
    assert (labels.lane, labels.time, labels.ids.tolist(), labels.classes.tolist()) == (0, 0, [1, 3], [1, 3])
    assert labels.centres.tolist() == [[5, 4, 3], [11, 10, 9]], "ilastik has x first"


@pytest.mark.parametrize("source", ["pixel classification", "binary image"])
def test_objects_of_other_sources(tmp_path, source):
    project = read_project(objects(tmp_path / "a.ilp", f"Object Classification (from {source})"))
    assert len(project.stages) == (source == "pixel classification")
    assert (project.thresholding is None) == (source == "binary image")
    project.check_trained()


def test_object_classifier_of_other_features_is_left_out(tmp_path):
    path = objects(tmp_path / "a.ilp")
    frame = "ObjectExtraction/RegionFeatures/0000/[[0], [1]]/Standard Object Features/Mean"
    project = read_project(replaced(path, frame, np.ones((5, 4), np.float32)))
    assert project.objects.classifier is None
    assert "other features" in project.left_out[0]
    with pytest.raises(InputError, match="train it again in ilastik"):
        project.check_trained()


def test_thresholds_of_older_projects(tmp_path):
    path = objects(tmp_path / "a.ilp")
    for name in ("CoreChannel", "SmootherSigma", "MinSize"):
        without(path, f"ThresholdTwoLevels/{name}")
    found = read_project(path).thresholding
    assert (found.core_channel, found.sigma, found.min_size) == (1, (1, 1, 1), 10)
    replaced(path, "ThresholdTwoLevels/CurOperator", 0)
    replaced(path, "ThresholdTwoLevels/SingleThreshold", 0.625)
    assert read_project(path).thresholding.low == 0.625
    replaced(path, "ThresholdTwoLevels/CurOperator", 2)
    assert "graph cut" in read_project(path).left_out[0]


def test_data_within_the_project(tmp_path):
    project = read_project(embedded(tmp_path / "a.ilp"))
    raw = project.lanes[0].raw
    assert (raw.files, raw.axes, raw.shape) == ((), "CYX", (2, 30, 40))
    image = open_embedded(project.path, raw)
    assert image.grid.axes == "CYX"
    assert image.read().ravel().tolist() == list(range(2400))


@pytest.mark.parametrize(("depth", "planes"), [(1, 2), (2, 2), (3, 3), (9, 3)])
def test_where_a_volume_is_too_thin_filters_work_by_slice(depth, planes):
    chosen = Selection(("HessianOfGaussianEigenvalues",), (3.5,), np.ones((1, 1), bool), (False,))
    columns = chosen.columns(1, (depth, 20, 30))
    assert [column.plane for column in columns] == list(range(planes))
    assert columns[0] == Column("HessianOfGaussianEigenvalues", 3.5, 0, 0, planes == 2, False)


def test_what_is_flat_where_the_project_does_not_say(tmp_path):
    chosen = Selection(tuple(FILTERS), (1.0,), np.ones((6, 1), bool), None)
    assert len(chosen.columns(3, (20, 30))) == len(chosen.columns(3, (1, 20, 30))) == 3 * 8
    assert len(chosen.columns(3, (20, 20, 30))) == 3 * 10
    path = without(two_channels(tmp_path / "a.ilp"), "FeatureSelections/ComputeIn2d")
    assert len(read_project(path).stages[0].columns) == 8


def test_files_are_found_where_they_are_said_to_be_or_beside_the_project(tmp_path):
    raw = read_project(in_time(tmp_path / "a.ilp")).lanes[0].raw
    assert raw.located(tmp_path / "a.ilp") == (Path("/far/away/one.tif"), Path("/far/away/two.tif"))
    (tmp_path / "two.tif").touch()
    assert raw.located(tmp_path / "a.ilp")[1] == tmp_path / "two.tif"
    raw = read_project(in_time(tmp_path / "a.ilp")).lanes[1].raw
    (tmp_path / "three.tif").touch()
    assert raw.located(tmp_path / "a.ilp") == (tmp_path / "three.tif",)


@pytest.mark.parametrize("kind", ["S", "vlen bytes", "vlen str"])
def test_texts_are_read_however_they_are_stored(tmp_path, kind):
    path, text = two_channels(tmp_path / "a.ilp"), "Zellen µ"
    dtype = {"S": f"S{len(text.encode()) + 3}", "vlen str": h5py.string_dtype()}.get(kind, h5py.string_dtype("ascii"))
    value = np.array([text if kind == "vlen str" else text.encode(), b"b" if kind == "S" else "b"], dtype=dtype)
    assert read_project(replaced(path, "PixelClassification/LabelNames", value)).stages[0].names == (text, "b")


def test_classes_without_a_name_are_named(tmp_path):
    path = two_channels(tmp_path / "a.ilp")
    without(path, "PixelClassification/LabelNames")
    assert read_project(path).stages[0].names == ("Label 1", "Label 2")


def test_labels_without_classifier_can_be_read_to_retrain(tmp_path):
    project = read_project(without(two_channels(tmp_path / "a.ilp"), "PixelClassification/ClassifierForests"))
    assert len(project.stages[0].labels[0].classes) == 2
    with pytest.raises(InputError, match=r"has labels but no trained .* Live Update, save; or retrain here"):
        project.check_trained()


def test_a_classifier_of_other_features_is_left_out(tmp_path):
    path = two_channels(tmp_path / "a.ilp")
    project = read_project(replaced(path, "FeatureSelections/SelectionMatrix", np.ones((6, 7), bool)))
    assert project.stages[0].classifier is None
    assert "looks at 8 columns, its features and images give 112" in project.left_out[0]


def test_classifiers_of_scikit_learn_are_left_out(tmp_path):
    path = two_channels(tmp_path / "a.ilp")
    kind = "clazyflow.classifiers.sklearnLazyflowClassifier\nSklearnLazyflowClassifier\np0\n."
    project = read_project(replaced(path, "PixelClassification/ClassifierForests/pickled_type", kind))
    assert "pickled one of scikit-learn: to load it would run" in project.left_out[0]


def test_what_can_not_be_carried_over_is_said(tmp_path):
    path = two_channels(tmp_path / "a.ilp")
    with h5py.File(path, "a") as file:
        add_data(file, 0, "mask.png", "yxc", (30, 40, 1), role="Prediction Mask")
        file["Input Data/infos/lane0000/Raw Data/subvolume_roi"] = [[0, 0, 0], [10, 10, 1]]
        file["FeatureSelections/FeatureListFilename"] = [b"list.txt"]
        names = [b"MyOwn", *file["FeatureSelections/FeatureIds"][1:]]
        del file["FeatureSelections/FeatureIds"]
        file["FeatureSelections/FeatureIds"] = names
        file.create_group("PixelClassification/LabelSets/labels000/block0001")["data"] = [1]
    said = " ".join(read_project(path).left_out)
    for part in ("prediction mask", "cut to a part", "file of its own", "MyOwn", "labels under a mask"):
        assert part in said


@pytest.mark.parametrize("count", [1, 300])
def test_labels_of_several_blocks_are_in_raster_order(tmp_path, count):
    path = two_channels(tmp_path / "a.ilp")
    places = np.random.default_rng(count).integers(0, (30, 40), (count, 2))
    with h5py.File(path, "a") as file:
        for number, (y, x) in enumerate(places.tolist()):
            add_block(file["PixelClassification"], 0, number + 1, (y, x, 0), np.full((1, 1, 1), 2, np.uint8), "yxc")
    labels = read_project(path).stages[0].labels[0]
    expected = np.zeros((30, 40), int)
    expected[3, 4] = 1
    expected[4, 5] = expected[tuple(places.T)] = 2
    assert labels.places.tolist() == np.argwhere(expected).tolist()
    assert labels.classes.tolist() == expected[expected > 0].tolist()


def test_examples_of_ilastik():
    if not SHARED.is_dir():
        pytest.skip("the shared data sets are not here")
    for name, n_columns, n_labelled in (("PixelClass", 25, 157), ("2464_PixelClassification_xy_input", 49, 131)):
        project = read_project(SHARED / f"{name}.ilp")
        stage = project.stages[0]
        assert (len(stage.columns), len(stage.labels[0].classes)) == (n_columns, n_labelled)
        assert sum(len(forest.trees) for forest in stage.classifier.forests) == 100
        told = zip(stage.columns, stage.classifier.feature_names, strict=True)
        assert all(f"(σ={column.scale})" in text for column, text in told)
        project.check_trained()
    assert "neither a trained classifier nor labels" in refusal(SHARED / "PixelClassNoClassifier.ilp")
    assert "no input data" in refusal(SHARED / "PixelClassNoData.ilp")
