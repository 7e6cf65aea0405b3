"""GeoJSON as QuPath reads and writes it, against shapely."""

from __future__ import annotations

import json
import uuid
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from listed_objects import assert_damage_is_one_line, assert_same, instances
from shapely.geometry import shape

from segmentry.errors import InputError, OutputError
from segmentry.image import Grid
from segmentry.io import read_labels, read_provenance, write_labels
from segmentry.result import Instances

some = settings(max_examples=25, deadline=None)

LABELS = np.array([[7, 7, 7, 0], [7, 0, 7, 9], [7, 7, 7, 0], [0, 0, 0, 9]], np.uint32)


def square(x: float, y: float, size: float) -> list[list[float]]:
    return [[x, y], [x + size, y], [x + size, y + size], [x, y + size], [x, y]]


def feature(ring: list[list[float]], **properties: Any) -> dict[str, Any]:
    return {"type": "Feature", "geometry": {"type": "Polygon", "coordinates": [ring]}, "properties": properties}


def file_of(folder: Path, content: Any) -> Path:
    path = folder / "foreign.geojson"
    path.write_text(
        json.dumps({"type": "FeatureCollection", "features": content} if type(content) is tuple else content)
    )
    return path


@given(instances(("YX", "ZYX")))
@some
def test_everything_comes_back(tmp_path_factory: pytest.TempPathFactory, given_labels: Instances) -> None:
    path = write_labels(tmp_path_factory.mktemp("geojson") / "a.geojson", given_labels, provenance={"seed": 1})
    assert_same(read_labels(path), given_labels)
    assert read_provenance(path) == {"seed": 1}


@given(instances(("YX",)))
@some
def test_polygons_are_valid_and_have_the_area_of_their_object(
    tmp_path_factory: pytest.TempPathFactory, given_labels: Instances
) -> None:
    path = write_labels(tmp_path_factory.mktemp("geojson") / "a.geojson", given_labels)
    labels = np.asarray(given_labels.labels[...])
    features = json.loads(path.read_text())["features"]
    assert [int(f["properties"]["name"]) for f in features] == given_labels.ids.tolist()
    for f in features:
        outline = shape(f["geometry"])
        rows, columns = np.nonzero(labels == int(f["properties"]["name"]))
        assert outline.is_valid
        assert outline.area == len(rows)
        assert shapely.contains_xy(outline, columns + 0.5, rows + 0.5).all()
        for polygon in getattr(outline, "geoms", [outline]):
            assert polygon.exterior.is_ccw  # as RFC 7946 wants it


def test_an_object_is_a_detection_as_qupath_writes_one(tmp_path: Path) -> None:
    kinds = np.array([1, 2], np.int32)
    scores = np.array([0.5, 0.25], np.float32)
    given_labels = Instances(LABELS, Grid("YX", (4, 4)), np.array([7, 9], np.uint32), scores, kinds, ("no", "a", "b"))
    content = json.loads(write_labels(tmp_path / "a.geojson", given_labels).read_text())
    assert content["type"] == "FeatureCollection"
    first, second = content["features"]
    assert first["type"] == "Feature"
    assert str(uuid.UUID(first["id"])) == first["id"] != second["id"]
    assert first["properties"]["objectType"] == "detection"
    assert first["properties"]["name"] == "7"
    assert first["properties"]["measurements"] == {"score": 0.5}
    assert first["properties"]["classification"]["name"] == "a"
    assert all(0 <= part <= 255 for part in first["properties"]["classification"]["color"])
    assert first["geometry"] == {
        "type": "Polygon",
        "coordinates": [
            [[0, 0], [3, 0], [3, 3], [0, 3], [0, 0]],
            [[1, 2], [2, 2], [2, 1], [1, 1], [1, 2]],
        ],
    }
    assert second["geometry"]["type"] == "MultiPolygon"


def test_reads_what_qupath_exports(tmp_path: Path) -> None:
    back = read_labels(
        file_of(
            tmp_path,
            [
                feature(square(0, 0, 2), objectType="detection", classification={"name": "Tumor", "color": [1, 2, 3]}),
                feature(square(2.2, 0, 2), classification={"names": ["Tumor", "Positive"]}, name="left"),
                feature(square(0, 2, 1.6), measurements=[{"name": "Detection probability", "value": 0.75}]),
            ],
        )
    )
    assert np.asarray(back.labels[...]).tolist() == [[1, 1, 2, 2, 0], [1, 1, 2, 2, 0], [3, 3, 0, 0, 0], [3, 3, 0, 0, 0]]
    assert back.names == ("background", "Tumor", "Tumor: Positive", "object")
    assert back.classes is not None
    assert back.classes.tolist() == [1, 2, 3]
    assert back.scores is not None
    assert back.scores[2] == 0.75
    assert back.grid.spacing is None


def test_ids_outlive_an_edit_in_qupath(tmp_path: Path) -> None:
    path = write_labels(tmp_path / "a.geojson", Instances.from_labels(LABELS))
    content = json.loads(path.read_text())
    del content["segmentry"]
    content["features"].reverse()
    assert np.array_equal(read_labels(file_of(tmp_path, content)).labels[...], LABELS)


def test_an_object_added_beyond_the_image_makes_it_larger(tmp_path: Path) -> None:
    content = json.loads(write_labels(tmp_path / "a.geojson", Instances.from_labels(LABELS)).read_text())
    content["features"].append(feature(square(6, 5, 1), name="11"))
    assert read_labels(file_of(tmp_path, content)).grid.shape == (6, 7)


def test_a_single_feature_is_read(tmp_path: Path) -> None:
    assert read_labels(file_of(tmp_path, feature(square(1, 0, 2), name="12"))).ids.tolist() == [12]


def test_objects_that_overlap_are_refused(tmp_path: Path) -> None:
    child = feature(square(1, 1, 2), name="8")
    for content in (
        (feature(square(0, 0, 3), name="5"), child),
        (feature(square(0, 0, 3), name="5", childObjects=[child]),),
    ):
        with pytest.raises(InputError, match="objects 5 and 8 share 4 pixels"):
            read_labels(file_of(tmp_path, content))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ((feature(square(-1, 0, 3)),), "negative coordinates"),
        ((feature(square(0.6, 0.6, 0.2)),), "1 of 1 objects cover no pixel centre"),
        (({"type": "Feature", "geometry": {"type": "Point", "coordinates": [1, 2]}},), "outline is a Point"),
        (({"type": "Feature", "geometry": None},), "outline is a nothing"),
        (({"type": "Feature", "geometry": {"type": "MultiPolygon", "coordinates": []}},), "empty MultiPolygon"),
        ((), "no objects, and does not say how large"),
    ],
)
def test_what_is_no_area_is_refused(tmp_path: Path, content: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_labels(file_of(tmp_path, content))


def test_objects_of_several_planes_are_refused(tmp_path: Path) -> None:
    other = feature(square(0, 0, 2))
    other["geometry"]["plane"] = {"c": -1, "z": 3, "t": 0}
    with pytest.raises(InputError, match="several planes"):
        read_labels(file_of(tmp_path, (feature(square(0, 0, 2)), other)))


def test_time_series_are_refused(tmp_path: Path) -> None:
    labels = Instances.from_labels(np.ones((2, 3, 4), np.uint32), Grid("TYX", (2, 3, 4)))
    with pytest.raises(OutputError, match="GeoJSON holds one plane"):
        write_labels(tmp_path / "a.geojson", labels)


def test_the_same_objects_give_the_same_bytes(tmp_path: Path) -> None:
    labels = Instances.from_labels(LABELS)
    first, second = (write_labels(tmp_path / name / "a.geojson", labels).read_bytes() for name in "xy")
    assert first == second


def test_damaged_files_are_refused_in_one_line(tmp_path: Path) -> None:
    assert_damage_is_one_line(write_labels(tmp_path / "a.geojson", Instances.from_labels(LABELS)))


@pytest.mark.parametrize("size", [6e4, 1e9, 1e30, 1e400])
def test_impossible_sizes_are_refused(tmp_path: Path, size: float) -> None:
    with pytest.raises(InputError):
        read_labels(file_of(tmp_path, (feature(square(0, 0, size)),)))
