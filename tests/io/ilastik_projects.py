"""Small projects of ilastik, laid out as its serializers lay them out, with forests that VIGRA trained and wrote."""

from __future__ import annotations

import functools
import gzip
import io
import json
from pathlib import Path

import h5py
import numpy as np
import pytest

from segmentry.errors import InputError
from segmentry.io.ilastik_project import read_project

RECORDED = Path(__file__).parents[1] / "reference" / "vigra_forest.h5.gz"
SORTING = Path(__file__).parents[1] / "reference" / "ilastik_objects.h5.gz"
SHARED = Path(__file__).parents[2].parent / "shared" / "data" / "ilastik"
FEATURES = (
    "GaussianSmoothing",
    "LaplacianOfGaussian",
    "GaussianGradientMagnitude",
    "DifferenceOfGaussians",
    "StructureTensorEigenvalues",
    "HessianOfGaussianEigenvalues",
)
SCALES = (0.3, 0.7, 1.0, 1.6, 3.5, 5.0, 10.0)
PARALLEL = "clazyflow.classifiers.parallelVigraRfLazyflowClassifier\nParallelVigraRfLazyflowClassifier\np0\n."
SINGLE = "clazyflow.classifiers.vigraRfLazyflowClassifier\nVigraRfLazyflowClassifier\np0\n."


@functools.cache
def unpacked():
    return gzip.decompress(RECORDED.read_bytes())


def recorded():
    """Return the file of forests that VIGRA wrote, with what it predicts by them."""
    return h5py.File(io.BytesIO(unpacked()), "r")


def tags(axes):
    kinds = {"c": 1, "t": 8}
    listed = [{"key": a, "typeFlags": kinds.get(a, 2), "resolution": 0, "description": ""} for a in axes]
    return json.dumps({"axes": listed}).encode()


def begin(path, workflow, roles=("Raw Data", "Prediction Mask")):
    file = h5py.File(path, "w")
    file["workflowName"], file["ilastikVersion"], file["currentApplet"] = workflow.encode(), b"1.4.1", 2
    file["Input Data/Role Names"] = [role.encode() for role in roles]
    file["Input Data/StorageVersion"] = b"0.2"
    file.create_group("Input Data/local_data")
    file.create_group("Input Data/infos")
    return file


def add_data(file, lane, path, axes, shape, role="Raw Data", **more):
    place = file.require_group(f"Input Data/infos/lane{lane:04d}/{role}")
    about = {
        "axistags": tags(axes),
        "shape": np.array(shape),
        "allowLabels": True,
        "display_mode": b"default",
        "nickname": b"image",
        "location": b"FileSystem",
        "filePath": path.encode(),
        "datasetId": b"8e227442",
        "__class__": b"RelativeFilesystemDatasetInfo",
    }
    for name, value in (about | more).items():
        place[name] = value


def add_features(file, chosen, flat=True, name="FeatureSelections"):
    """Choose features: a mapping of names to sigmas."""
    place = file.create_group(name)
    place["FeatureIds"] = [feature.encode() for feature in FEATURES]
    place["Scales"] = SCALES
    place["SelectionMatrix"] = [[scale in chosen.get(feature, ()) for scale in SCALES] for feature in FEATURES]
    if flat is not None:
        place["ComputeIn2d"] = np.broadcast_to(flat, len(SCALES))


def add_classifier(place, forests, known=(1, 2), kind=PARALLEL):
    inner = place.create_group("ClassifierForests")
    with recorded() as source:
        for number, name in enumerate(forests):
            inner.copy(source[f"{name}/forest"], f"Forest{number:04d}" if kind == PARALLEL else "forest")
    inner["known_labels"] = np.array(known, np.uint32)
    inner["pickled_type"] = kind.encode()


def add_names(place, names=("Label 1", "Label 2")):
    for name in ("LabelColors", "PmapColors"):
        place[name] = [[255, 225, 25 + number] for number in range(len(names))]
        place[name].attrs["isEmpty"] = False
    place["LabelNames"] = [name.encode() for name in names]
    place["LabelNames"].attrs["isEmpty"] = False


def add_block(place, lane, number, start, values, axes):
    """Store labels: the block begins at `start`."""
    data = place.require_group(f"LabelSets/labels{lane:03d}").create_dataset(f"block{number:04d}", data=values)
    ends = np.add(start, values.shape)
    data.attrs["blockSlice"] = ("[" + ",".join(f"{a}:{b}" for a, b in zip(start, ends, strict=True)) + "]").encode()
    data.attrs["axistags"] = tags(axes)


def add_stage(file, forests, names=("Label 1", "Label 2"), known=(1, 2), name="PixelClassification", kind=PARALLEL):
    place = file.create_group(name)
    add_names(place, names)
    place.create_group("LabelSets/labels000")
    if forests:
        add_classifier(place, forests, known, kind)
    return place


def two_channels(path):
    """Pixel classification of a flat image of two channels; eight columns."""
    with begin(path, "Pixel Classification") as file:
        add_data(file, 0, "cells.h5/volume/raw", "yxc", (30, 40, 2), drange=np.array([0, 255]))
        file.create_group("Input Data/infos/lane0000/Prediction Mask")
        add_features(
            file,
            {"GaussianSmoothing": (0.3,), "LaplacianOfGaussian": (0.7,), "HessianOfGaussianEigenvalues": (1.6,)},
        )
        place = add_stage(file, ["eight", "eight"], ("cells", "rest"))
        add_block(place, 0, 0, (3, 4, 0), np.array([[[1], [0]], [[0], [2]]], np.uint8), "yxc")
    return path


def in_time(path):
    """Pixel classification of a volume in time; six columns, two lanes."""
    with begin(path, "Pixel Classification") as file:
        add_data(file, 0, "/far/away/one.tif:/far/away/two.tif", "tzyxc", (2, 9, 20, 21, 1))
        add_data(file, 1, r"C:\data\three.tif", "txyzc", (3, 22, 20, 9, 1), role="Raw Data")
        add_features(
            file,
            {
                "GaussianGradientMagnitude": (1.0,),
                "HessianOfGaussianEigenvalues": (1.0,),
                "StructureTensorEigenvalues": (3.5,),
            },
            [False, False, False, False, True, True, True],
        )
        place = add_stage(file, ["six"], kind=SINGLE)
        add_block(place, 0, 0, (1, 2, 3, 4, 0), np.full((1, 1, 2, 2, 1), 1, np.uint8), "tzyxc")
        add_block(place, 0, 1, (1, 2, 4, 5, 0), np.full((1, 1, 1, 1, 1), 2, np.uint8), "tzyxc")
        add_block(place, 1, 0, (2, 20, 3, 8, 0), np.full((1, 1, 2, 1, 1), 2, np.uint8), "txyzc")
    return path


def autocontext(path):
    """Two stages: three classes of three columns, then two of eight columns over four channels."""
    with begin(path, "AutocontextTwoStage") as file:
        add_data(file, 0, "a.png", "yxc", (30, 40, 1))
        add_features(file, {"GaussianSmoothing": (1.0,), "StructureTensorEigenvalues": (1.6,)})
        place = add_stage(file, ["three"], ("a", "b", "c"), (1, 2, 3))
        add_block(place, 0, 0, (0, 0, 0), np.full((1, 1, 1), 3, np.uint8), "yxc")
        add_features(
            file, {"GaussianSmoothing": (1.0,), "GaussianGradientMagnitude": (3.5,)}, name="FeatureSelections01"
        )
        place = add_stage(file, ["eight"], name="PixelClassification01")
        add_block(place, 0, 0, (29, 39, 0), np.full((1, 1, 1), 2, np.uint8), "yxc")
    return path


def add_table(place, features):
    for group, inner in features.items():
        for name, about in inner.items():
            holder = place.create_group(f"{group}/{name}")
            for key, value in about.items():
                holder[key] = value


def objects(path, workflow="Object Classification (from prediction image)"):
    """Object classification: seven columns, three classes of which one was never labelled."""
    roles = {"from binary image": "Segmentation Image", "from prediction image": "Prediction Maps"}
    second = next((role for text, role in roles.items() if text in workflow), None)
    with begin(path, workflow, ("Raw Data", second) if second else ("Raw Data",)) as file:
        add_data(file, 0, "raw.h5/raw", "zyxc", (9, 20, 21, 2))
        if second:
            add_data(file, 0, "maps.h5/exported_data", "zyxc", (9, 20, 21, 2), role=second)
        else:
            add_features(file, {"GaussianSmoothing": (0.3, 0.7), "LaplacianOfGaussian": (0.7, 1.0)})
            add_stage(file, ["eight"])
        if "binary" not in workflow:
            sizes = {"CurOperator": 1, "MinSize": 5, "MaxSize": 900, "HighThreshold": 0.75, "LowThreshold": 0.25}
            for name, value in {**sizes, "Channel": 1, "CoreChannel": 0}.items():
                file[f"ThresholdTwoLevels/{name}"] = value
            for axis, sigma in zip("zyx", (0.5, 1.0, 2.0), strict=True):
                file[f"ThresholdTwoLevels/SmootherSigma/{axis}"] = sigma
        mean = {"Mean in neighborhood": {"margin": [3, 4, 5], "group": b"Intensity Distribution"}}
        features = {"Standard Object Features": {**mean, "Mean": {}, "Count": {"tooltip": b"size"}, "Kurtosis": {}}}
        add_table(file.create_group("ObjectExtraction/Features"), features)
        frame = file.create_group("ObjectExtraction/RegionFeatures/0000/[[0], [1]]")
        widths = {"Count": 1, "Mean": 2, "Kurtosis": 2, "Mean in neighborhood": 2}
        for name, width in widths.items():
            frame[f"Standard Object Features/{name}"] = np.ones((5, width), np.float32)
        frame["Default features/RegionCenter"] = np.arange(15, dtype=np.float32).reshape(5, 3)
        place = file.create_group("ObjectClassification")
        add_table(place.create_group("SelectedFeatures"), features)
        add_names(place, ("live", "unsure", "dead"))
        place["LabelInputs/0000/0"] = np.array([0.0, 1, 0, 3, 0])
        add_classifier(place, ["unseen"], (1, 3))
    return path


def sorting():
    """Return the file of a forest of bright pixels and one of kinds of objects, as VIGRA wrote them."""
    return h5py.File(io.BytesIO(gzip.decompress(SORTING.read_bytes())), "r")


def sorted_objects(path, workflow="Object Classification (from pixel classification)"):
    """Object classification with all that it takes: bright pixels, objects of these, three kinds of them."""
    second = {"(from binary image)": "Segmentation Image", "(from prediction image)": "Prediction Maps"}
    role = next((role for text, role in second.items() if text in workflow), None)
    with begin(path, workflow, ("Raw Data", role) if role else ("Raw Data",)) as file, sorting() as source:
        add_data(file, 0, "raw.h5/raw", "yxc", (60, 70, 2))
        if role:
            add_data(file, 0, "maps.h5/exported_data", "yxc", (60, 70, 2), role=role)
        else:
            add_features(file, {"GaussianSmoothing": (0.3,)})
            place = add_stage(file, [], ("rest", "object"))
            source.copy("pixels/forest", place.create_group("ClassifierForests"), "Forest0000")
            place["ClassifierForests/pickled_type"] = PARALLEL.encode()
            sizes = {
                "CurOperator": 0,
                "MinSize": 3,
                "MaxSize": 900,
                "LowThreshold": 0.5,
                "Channel": 1,
                "CoreChannel": 0,
            }
            for name, value in sizes.items():
                file[f"ThresholdTwoLevels/{name}"] = value
            for axis in "zyx":
                file[f"ThresholdTwoLevels/SmootherSigma/{axis}"] = 0.0
        features = {}
        for group, name in zip(source["objects/groups"].asstr(), source["objects/names"].asstr(), strict=True):
            features.setdefault(group, {})[name] = {"margin": [4, 4]} if "neighborhood" in name else {}
        add_table(file.create_group("ObjectExtraction/Features"), features)
        place = file.create_group("ObjectClassification")
        add_table(place.create_group("SelectedFeatures"), features)
        add_names(place, ("round", "background", "long"))
        source.copy("objects/forest", place.create_group("ClassifierForests"), "Forest0000")
        place["ClassifierForests/pickled_type"] = PARALLEL.encode()
    return path


def embedded(path):
    """Pixel classification of an array within the project."""
    with begin(path, "Pixel Classification") as file:
        inner = "Input Data/local_data/8e227442"
        file[inner] = np.arange(2 * 30 * 40, dtype=np.uint16).reshape(2, 30, 40)
        file[inner].attrs["axistags"] = tags("cyx")
        add_data(file, 0, inner, "cyx", (2, 30, 40), location=b"ProjectInternal", inner_path=inner.encode())
        add_features(
            file,
            {"GaussianSmoothing": (0.3,), "LaplacianOfGaussian": (0.7,), "HessianOfGaussianEigenvalues": (1.6,)},
        )
        add_stage(file, ["eight"])
    return path


PROJECTS = {make.__name__: make for make in (two_channels, in_time, autocontext, objects, embedded, sorted_objects)}


def replaced(path, name, value):
    with h5py.File(path, "a") as file:
        if name in file:
            del file[name]
        file[name] = value
    return path


def without(path, name):
    with h5py.File(path, "a") as file:
        del file[name]
    return path


def refusal(path):
    with pytest.raises(InputError) as error:
        read_project(path)
    assert "\n" not in str(error.value)
    assert str(path) in str(error.value)
    return str(error.value)
