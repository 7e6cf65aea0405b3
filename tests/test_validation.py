import json
from dataclasses import replace

import numpy as np
import pytest

from segmentry import catalog, segment
from segmentry.app.cli import run
from segmentry.image import Grid, Image
from segmentry.io import read, read_labels, write, write_labels
from segmentry.result import Instances
from segmentry.testing import sample_image
from segmentry.validation import validate


def found_in(labels):
    return {f.name: (f.kind, f.count, f.ids) for f in validate(labels).findings}


def whole(shape=(20, 30)):
    labels = np.zeros(shape, np.uint32)
    labels[..., 2:8, 2:8], labels[..., 10:18, 10:18] = 1, 2
    return labels


def test_whole_objects_are_fine():
    report = validate(whole())
    assert report.fine
    assert report.findings == ()
    assert report.objects == 2


def spoilt():
    labels = whole()
    labels[4, 4] = 0
    labels[14, 20:22] = 2
    labels[1, 20] = 9
    labels[0, 25:28] = 7
    return labels


def test_each_problem_has_its_count_and_its_ids():
    assert found_in(spoilt()) == {
        "fragments": ("problem", 1, (2,)),
        "holes": ("problem", 1, (1,)),
        "single_pixels": ("problem", 1, (9,)),
        "at_the_edge": ("note", 1, (7,)),
        "gaps": ("note", 5, (3, 4, 5, 6, 8)),
        "order": ("note", 2, (7, 9)),
    }


def test_ids_out_of_order_are_noted():
    labels = whole()
    assert "order" not in found_in(labels)
    swapped = np.where(labels > 0, 3 - labels, 0)
    assert found_in(swapped) == {"order": ("note", 1, (2,))}


def test_what_is_said_to_mend_a_problem_mends_it():
    before = Instances.from_labels(spoilt())
    for finding in validate(before).findings:
        after = catalog.make("cleaner", finding.mended_by).apply(before)
        assert finding.name not in found_in(after)


@pytest.mark.parametrize("axes", ["TYX", "TZYX"])
def test_an_object_that_is_seen_twice_is_not_in_pieces(axes):
    shape = (3, 20, 30) if axes == "TYX" else (3, 4, 20, 30)
    labels = whole(shape)
    labels[1, ..., 2:8, 2:8] = 0
    labels[1, ..., 2:8, 20:28] = 1
    assert "fragments" not in found_in(Instances.from_labels(labels, Grid(axes, shape)))
    labels[2, ..., 2:8, 20:28] = 1
    assert found_in(Instances.from_labels(labels, Grid(axes, shape)))["fragments"] == ("problem", 1, (1,))


@pytest.mark.parametrize(
    ("values", "name", "count"),
    [
        (np.array([[0, -3], [2, -1]]), "negative", 2),
        (np.array([[0, 2**40]]), "too_large", 1),
        (np.array([[0.5, 1, 2.25]]), "fractions", 2),
        (np.array([[np.nan, 1]]), "fractions", 1),
    ],
)
def test_values_that_cannot_be_ids_are_counted(values, name, count):
    report = validate(values)
    assert [(f.name, f.count) for f in report.findings] == [(name, count)]
    assert not report.fine


def test_integers_and_whole_numbers_of_any_type_are_ids():
    for kind in ("u1", "i2", "i8", "u8", "f4", "f8"):
        assert validate(whole().astype(kind)).fine
    assert validate(whole() == 1).fine


def test_a_table_that_does_not_fit_the_pixels_is_a_problem():
    labels = Instances.from_labels(whole())
    scores = np.array([0.5, 1.5], np.float32)
    assert found_in(replace(labels, scores=scores)) == {"wrong_scores": ("problem", 1, (2,))}
    kinds = np.array([0, 1], np.int32)
    assert found_in(replace(labels, classes=kinds)) == {"wrong_classes": ("problem", 1, (1,))}
    more = replace(labels, ids=np.array([1, 2, 5], np.uint32))
    assert found_in(more) == {"without_pixels": ("problem", 1, (5,))}
    fewer = replace(labels, ids=np.array([1], np.uint32))
    assert found_in(fewer) == {"not_listed": ("problem", 1, (2,))}


def test_the_command_says_what_mends_and_leaves_with_one(tmp_path, capsys):
    path = write_labels(tmp_path / "labels.tif", Instances.from_labels(spoilt()))
    assert run(["check", str(path)]) == 1
    said = capsys.readouterr().out
    for word in ("several pieces", "split_fragments", "holes", "fill_holes", "3, 4, 5, 6, 8"):
        assert word in said
    steps = [f"--clean={name}" for name in ("split_fragments", "fill_holes", "drop_small:min_size=3")]
    assert run(["clean", str(path), "-o", str(tmp_path / "mended.tif"), *steps]) == 0
    assert run(["check", str(tmp_path / "mended.tif"), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["fine"]
    assert {f["name"] for f in report["findings"]} == {"at_the_edge", "gaps", "order"}


def test_a_picture_is_not_taken_for_labels(tmp_path, capsys):
    image = Image.from_array(np.random.default_rng(0).random((9, 9)).astype(np.float32))
    assert run(["check", str(write(tmp_path / "image.tif", image))]) == 1
    assert "no whole numbers" in capsys.readouterr().out
    colours = Image.from_array(np.zeros((9, 9, 3), np.uint8), "YXC")
    assert run(["check", str(write(tmp_path / "colours.tif", colours))]) == 1
    assert "3 channels" in capsys.readouterr().err
    assert run(["check", str(tmp_path / "nowhere.tif")]) == 1
    assert "does not exist" in capsys.readouterr().err


def test_a_stack_is_a_series_if_that_is_said(tmp_path):
    labels = whole((3, 20, 30))
    labels[1] = 0
    path = write_labels(tmp_path / "stack.tif", Instances.from_labels(labels))
    assert run(["check", str(path)]) == 1
    assert run(["check", str(path), "--axes", "TYX"]) == 0


def test_cleaned_labels_keep_pixel_size_scores_and_history(tmp_path):
    image = sample_image("YX", spacing=True)
    before = segment(image, "otsu").instances
    path = write_labels(tmp_path / "labels.ome.tif", before, provenance={"recipe": {"method": "otsu"}})
    out = tmp_path / "clean.ome.tif"
    picture = str(write(tmp_path / "cells.tif", image))
    steps = ["--clean", "drop_small:min_size=90 um2", "--clean", "drop_faint:min_contrast=2"]
    assert run(["clean", str(path), "-o", str(out), "--image", picture, *steps]) == 0
    after = read_labels(out)
    assert after.grid == before.grid
    assert 0 < len(after) < len(before)
    assert np.array_equal(after.scores, before.scores[np.isin(before.ids, after.ids)])
    history = read(out).provenance
    assert history["recipe"] == {"method": "otsu"}
    assert [next(iter(step)) for step in history["cleaned"]] == ["drop_small", "drop_faint"]


WRONG = {
    "no step": ([], 2, "name a step"),
    "unknown step": (["--clean", "fill_hole"], 2, "did you mean 'fill_holes'"),
    "unknown parameter": (["--clean", "drop_small:size=3"], 2, "min_size"),
    "no image": (["--clean", "drop_faint"], 1, "give the image that the labels are of (--image IMAGE)"),
    "no such image": (["--clean", "drop_faint", "--image", "nowhere.tif"], 1, "nowhere.tif does not exist"),
    "unit without pixel size": (["--clean", "expand:distance=2 um"], 2, "the image has no pixel size"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_use_of_clean_is_one_line_and_writes_nothing(case, tmp_path, capsys):
    words, code, said = WRONG[case]
    path = write_labels(tmp_path / "labels.tif", Instances.from_labels(whole()))
    assert run(["clean", str(path), "-o", str(tmp_path / "out.tif"), *words]) == code
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
    assert not (tmp_path / "out.tif").exists()
