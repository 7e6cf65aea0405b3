"""COCO JSON against pycocotools, in both directions."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from listed_objects import assert_damage_is_one_line, assert_same, instances
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO

from segmentry.errors import InputError, OutputError
from segmentry.image import Grid
from segmentry.io import read_labels, read_provenance, write_labels
from segmentry.result import Instances

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning:pycocotools")
some = settings(max_examples=25, deadline=None)

LABELS = np.array([[7, 7, 0, 9], [7, 0, 0, 9], [7, 7, 7, 9]], np.uint32)


def entry(number: int, segmentation: Any, **more: Any) -> dict[str, Any]:
    return {"id": number, "image_id": 1, "category_id": 3, "segmentation": segmentation, **more}


def file_of(folder: Path, *annotations: dict[str, Any], **more: Any) -> Path:
    images = [{"id": 1, "file_name": "a.png", "height": 4, "width": 6}]
    path = folder / "foreign.json"
    path.write_text(json.dumps({"images": images, "annotations": annotations, **more}))
    return path


@given(instances(("YX", "ZYX")))
@some
def test_everything_comes_back(tmp_path_factory: pytest.TempPathFactory, given_labels: Instances) -> None:
    path = write_labels(tmp_path_factory.mktemp("coco") / "a.json", given_labels, provenance={"seed": 1})
    assert_same(read_labels(path), given_labels)
    assert read_provenance(path) == {"seed": 1}


@given(instances(("YX",)))
@some
def test_pycocotools_reads_what_we_write(tmp_path_factory: pytest.TempPathFactory, given_labels: Instances) -> None:
    path = write_labels(tmp_path_factory.mktemp("coco") / "a.json", given_labels)
    content = json.loads(path.read_text())
    labels = np.asarray(given_labels.labels[...])
    assert [a["id"] for a in content["annotations"]] == given_labels.ids.tolist()
    for annotation in content["annotations"]:
        rle = annotation["segmentation"]
        mask = labels == annotation["id"]
        assert np.array_equal(coco_mask.decode(rle), mask)
        assert rle["counts"].encode() == coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))["counts"]
        assert annotation["area"] == coco_mask.area(rle)
        assert annotation["bbox"] == coco_mask.toBbox(rle).tolist()


def test_a_large_object_has_long_run_lengths_that_pycocotools_reads(tmp_path: Path) -> None:
    labels = np.zeros((900, 1100), np.uint32)
    labels[3:, 500:] = 5
    labels[10:400, 3:90] = 8
    path = write_labels(tmp_path / "a.json", Instances.from_labels(labels))
    for annotation in json.loads(path.read_text())["annotations"]:
        assert np.array_equal(coco_mask.decode(annotation["segmentation"]), labels == annotation["id"])


def test_the_coco_api_opens_our_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ids, kinds = np.array([7, 9], np.uint32), np.array([2, 1], np.int32)
    given_labels = Instances(LABELS, Grid("YX", LABELS.shape), ids, None, kinds, ("background", "b", "c"))
    path = write_labels(tmp_path / "field.coco.json", given_labels)
    coco = COCO(str(path))
    capsys.readouterr()
    assert coco.loadImgs(1)[0]["file_name"] == "field"
    assert [c["name"] for c in coco.loadCats(coco.getCatIds())] == ["b", "c"]
    assert np.array_equal(coco.annToMask(coco.loadAnns(9)[0]), LABELS == 9)
    assert coco.getAnnIds(catIds=[2]) == [7]


@given(st.integers(0, 2**32), st.booleans())
@some
def test_reads_run_lengths_of_pycocotools(
    tmp_path_factory: pytest.TempPathFactory, seed: int, compressed: bool
) -> None:
    labels = np.random.default_rng(seed).integers(0, 4, (40, 30)).astype(np.uint32)
    labels[:, :8] = 0
    annotations = []
    for number in np.unique(labels[labels > 0]).tolist():
        rle = coco_mask.encode(np.asfortranarray((labels == number).astype(np.uint8)))
        counts: Any = rle["counts"].decode()
        if not compressed:
            flat = (labels == number).ravel(order="F")
            changes = np.flatnonzero(np.diff(flat, prepend=False))
            counts = np.diff(changes, prepend=0, append=flat.size).tolist()
        annotations.append(entry(number, {"size": [40, 30], "counts": counts}))
    path = tmp_path_factory.mktemp("coco") / "foreign.json"
    path.write_text(json.dumps({"annotations": annotations}))
    assert np.array_equal(read_labels(path).labels[...], labels)


def test_reads_polygons_by_pixel_centres(tmp_path: Path) -> None:
    back = read_labels(
        file_of(
            tmp_path,
            entry(5, [[0, 0, 2, 0, 2, 2, 0, 2], [0, 3, 1, 3, 1, 4, 0, 4]], score=0.25),
            entry(6, [[2.4, 0.2, 6, 0.2, 6, 1.6, 2.4, 1.6]]),
            categories=[{"id": 3, "name": "nucleus"}, {"id": 1, "name": "cell"}],
        )
    )
    assert np.asarray(back.labels[...]).tolist() == [
        [5, 5, 6, 6, 6, 6],
        [5, 5, 6, 6, 6, 6],
        [0, 0, 0, 0, 0, 0],
        [5, 0, 0, 0, 0, 0],
    ]
    assert back.scores is not None
    assert back.scores[0] == 0.25
    assert np.isnan(back.scores[1])
    assert back.names == ("background", "cell", "nucleus")
    assert back.classes is not None
    assert back.classes.tolist() == [2, 2]


def test_ids_beyond_32_bits_are_numbered_afresh(tmp_path: Path) -> None:
    back = read_labels(
        file_of(
            tmp_path,
            entry(900100000139, [[0, 0, 2, 0, 2, 2, 0, 2]], iscrowd=1),
            entry(3, [[3, 0, 5, 0, 5, 2, 3, 2]]),
        )
    )
    assert back.ids.tolist() == [1, 2]


def test_objects_that_overlap_are_refused(tmp_path: Path) -> None:
    path = file_of(tmp_path, entry(5, [[0, 0, 3, 0, 3, 3, 0, 3]]), entry(6, [[2, 1, 6, 1, 6, 4, 2, 4]]))
    with pytest.raises(InputError, match="objects 5 and 6 share 2 pixels"):
        read_labels(path)
    counts = {"size": [4, 6], "counts": [0, 24]}
    with pytest.raises(InputError, match="objects 5 and 6 share 9 pixels"):
        read_labels(file_of(tmp_path, entry(5, [[0, 0, 3, 0, 3, 3, 0, 3]]), entry(6, counts)))


@pytest.mark.parametrize(
    ("segmentation", "message"),
    [
        ([[0.6, 0.6, 0.9, 0.6, 0.9, 0.9]], "1 of 1 objects cover no pixel centre"),
        ({"size": [4, 6], "counts": [24]}, "1 of 1 objects cover no pixel centre"),
        ({"size": [6, 4], "counts": [0, 24]}, r"size \[6, 4\], its image \[4, 6\]"),
        ({"size": [4, 6], "counts": [0, 25]}, "run lengths for 25 pixels, its image has 24"),
        ({"size": [4, 6], "counts": [30, -6]}, "run lengths for 24 pixels"),
        ({"size": [4, 6], "counts": "0\x7f"}, "damaged run lengths"),
        ({"size": [4, 6], "counts": "oooooooooooooooooooo0"}, "damaged run lengths"),
        ([], "annotation 5 has no segmentation"),
        ([[1, 2, 3, 4]], "three or more pairs"),
    ],
)
def test_what_is_no_object_is_refused(tmp_path: Path, segmentation: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_labels(file_of(tmp_path, entry(5, segmentation)))


def test_several_images_are_refused(tmp_path: Path) -> None:
    images = [{"id": i, "height": 4, "width": 6} for i in (1, 2)]
    with pytest.raises(InputError, match="objects of 2 images: give one per file"):
        read_labels(file_of(tmp_path, images=images))


def test_a_file_without_image_size_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not say how large its image is"):
        read_labels(file_of(tmp_path, entry(5, [[0, 0, 2, 0, 2, 2, 0, 2]]), images=[{"id": 1}]))


def test_volumes_are_refused(tmp_path: Path) -> None:
    labels = Instances.from_labels(np.ones((2, 3, 4), np.uint32), Grid("ZYX", (2, 3, 4)))
    with pytest.raises(OutputError, match="COCO JSON holds one plane"):
        write_labels(tmp_path / "a.json", labels)
    assert not (tmp_path / "a.json").exists()


def test_the_same_objects_give_the_same_bytes(tmp_path: Path) -> None:
    labels = Instances.from_labels(LABELS)
    first, second = (write_labels(tmp_path / name / "a.json", labels).read_bytes() for name in "xy")
    assert first == second


def test_another_json_is_not_taken_for_coco(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text('{"recipe": {"images": 3}}')
    with pytest.raises(InputError, match="no known format"):
        read_labels(tmp_path / "run.json")


def test_damaged_files_are_refused_in_one_line(tmp_path: Path) -> None:
    assert_damage_is_one_line(write_labels(tmp_path / "a.json", Instances.from_labels(LABELS)))


@pytest.mark.parametrize(("height", "width"), [(10**9, 10**9), (10**30, 4), (60_000, 60_000), (0, 5), (-3, 5)])
def test_impossible_image_sizes_are_refused(tmp_path: Path, height: int, width: int) -> None:
    counts = {"size": [height, width], "counts": [0, height * width]}
    images = [{"id": 1, "height": height, "width": width}]
    with pytest.raises(InputError):
        read_labels(file_of(tmp_path, entry(1, counts), images=images))
