import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tifffile
from PIL import Image as Pictures

from segmentry.batch import output_names, segment_files
from segmentry.errors import InputError, OutputError
from segmentry.image import Grid, Image
from segmentry.io import read, read_labels, read_provenance, write, write_labels
from segmentry.job import Options, load_record, segment_file
from segmentry.recipe import Recipe
from segmentry.replay import output_folders
from segmentry.replay import replay as make_again
from segmentry.result import Instances
from segmentry.testing import sample_image

RECIPE = Recipe.parse("segmentry: 1\nmethod: {watershed: {depth: 1}}\ncleaning: [drop_small: {min_size: 9}]")
OTSU = Recipe.parse("segmentry: 1\nmethod: {otsu: {}}")


@pytest.fixture
def source(tmp_path):
    return write(tmp_path / "cells.tif", sample_image("YX", "u2", spacing=True))


def test_an_output_holds_labels_table_picture_and_record(source, tmp_path):
    record = segment_file(source, tmp_path / "out" / "cells", RECIPE)
    folder = tmp_path / "out" / "cells"
    assert sorted(p.name for p in folder.iterdir()) == [
        "labels.ome.tif", "objects.csv", "objects.csv-metadata.json", "overview.png", "run.json",
    ]  # fmt: skip
    labels = tifffile.imread(folder / "labels.ome.tif")
    table = pd.read_csv(folder / "objects.csv")
    assert labels.dtype == np.uint32
    assert table["id"].tolist() == np.unique(labels)[1:].tolist()
    assert len(table) == record["objects"] > 3
    for row in table.itertuples():
        assert row.area_um2 == (labels == row.id).sum()
    with Pictures.open(folder / "overview.png") as picture:
        assert picture.size[0] > 400
    assert read_labels(folder / "labels.ome.tif").grid.spacing == (1.0, 1.0)
    assert load_record(folder)["recipe"] == RECIPE.to_dict()
    assert read_provenance(folder / "labels.ome.tif")["recipe"] == RECIPE.to_dict()


def test_a_method_of_classes_writes_classes_and_probabilities(source, tmp_path):
    segment_file(source, tmp_path / "out", OTSU, Options(probabilities=True))
    classes = read(tmp_path / "out" / "classes.ome.tif")
    probabilities = read(tmp_path / "out" / "probabilities.ome.tif")
    assert set(np.unique(classes.read())) == {0, 1}
    assert probabilities.channels == ("background", "foreground")
    assert probabilities.grid.axes == "CYX"
    assert np.allclose(probabilities.read().sum(axis=0), 1)
    assert np.array_equal(probabilities.read().argmax(axis=0), classes.read())


def test_a_series_and_a_volume_keep_their_axes(tmp_path):
    source = write(tmp_path / "series.tif", sample_image("TZYX", "u1", spacing=True))
    segment_file(source, tmp_path / "out", OTSU, Options(probabilities=True))
    found = read_labels(tmp_path / "out" / "labels.ome.tif")
    assert found.grid.axes == "TZYX"
    assert found.grid.spacing == (2, 1, 1)
    assert read(tmp_path / "out" / "probabilities.ome.tif").grid.axes == "TCZYX"
    assert "time" in pd.read_csv(tmp_path / "out" / "objects.csv").columns


def test_an_image_without_objects_is_a_valid_result(tmp_path):
    source = write(tmp_path / "black.png", Image.from_array(np.zeros((20, 30), np.uint8)))
    record = segment_file(source, tmp_path / "out", RECIPE)
    assert record["objects"] == 0
    table = pd.read_csv(tmp_path / "out" / "objects.csv")
    assert len(table) == 0
    assert "area_px" in table.columns


def test_the_pixel_size_can_be_given(source, tmp_path):
    segment_file(source, tmp_path / "out", RECIPE, Options((0.5,), "mm"))
    assert read_labels(tmp_path / "out" / "labels.ome.tif").grid.spacing == (0.5, 0.5)
    assert "area_mm2" in pd.read_csv(tmp_path / "out" / "objects.csv").columns
    with pytest.raises(InputError, match="3 numbers"):
        segment_file(source, tmp_path / "other", RECIPE, Options((1, 1, 1), "um"))
    assert not (tmp_path / "other").exists()


def test_nothing_is_replaced_unless_asked_and_nothing_is_left_half_done(source, tmp_path):
    segment_file(source, tmp_path / "out" / "cells", RECIPE)
    before = (tmp_path / "out" / "cells" / "run.json").read_bytes()
    with pytest.raises(OutputError, match="--overwrite"):
        segment_file(source, tmp_path / "out" / "cells", OTSU)
    assert (tmp_path / "out" / "cells" / "run.json").read_bytes() == before
    segment_file(source, tmp_path / "out" / "cells", OTSU, overwrite=True)
    assert load_record(tmp_path / "out" / "cells")["recipe"] == OTSU.to_dict()
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["cells"]


def test_a_replay_is_byte_for_byte_the_same(source, tmp_path):
    segment_file(source, tmp_path / "out" / "cells", OTSU, Options((0.5,), "um", True))
    found = make_again(tmp_path / "out" / "cells")
    assert found.differences == []
    assert found.same == [
        "classes.ome.tif", "labels.ome.tif", "objects.csv", "objects.csv-metadata.json", "overview.png",
        "probabilities.ome.tif",
    ]  # fmt: skip
    assert output_folders(tmp_path / "out") == output_folders(tmp_path / "out" / "cells" / "labels.ome.tif")


def test_a_replay_names_the_parameter_that_was_edited(source, tmp_path):
    segment_file(source, tmp_path / "out", RECIPE)
    record = json.loads((tmp_path / "out" / "run.json").read_text())
    record["recipe"]["method"]["watershed"]["sigma"] = 4.0
    (tmp_path / "out" / "run.json").write_text(json.dumps(record))
    found = make_again(tmp_path / "out")
    assert found.differences[0].startswith("recipe.method.watershed.sigma: 1.0 → 4.0")
    assert any("objects became" in line for line in found.differences)


def test_a_replay_notices_changed_labels_and_changed_inputs(source, tmp_path):
    segment_file(source, tmp_path / "out", RECIPE)
    with (tmp_path / "out" / "objects.csv").open("a") as file:
        file.write("edited\n")
    assert make_again(tmp_path / "out").differences == ["objects.csv was changed after it was made"]
    write(source, sample_image("YX", "u2", seed=5), overwrite=True)
    assert "not the one that was segmented" in make_again(tmp_path / "out").differences[0]
    source.unlink()
    with pytest.raises(InputError, match="--input"):
        make_again(tmp_path / "out")


@pytest.mark.parametrize("text", ["", "{", "[]", '{"format": 1}', '{"format": 7}', "[" * 100_000])
def test_a_damaged_record_is_refused_in_one_line(tmp_path, text):
    (tmp_path / "run.json").write_text(text)
    with pytest.raises(InputError, match=r"run\.json") as caught:
        make_again(tmp_path)
    assert "\n" not in str(caught.value)


def folder_of_images(tmp_path, count):
    for i in range(count):
        write(tmp_path / "images" / f"cells{i:02}.png", sample_image("YX", "u1", seed=i))
    return sorted((tmp_path / "images").iterdir())


def contents(out):
    files = (p for p in out.rglob("*") if p.is_file() and p.name != "run.json")
    return {p.relative_to(out).as_posix(): p.read_bytes() for p in files}


def test_two_bad_files_of_many_are_named_and_the_others_done(tmp_path):
    images = folder_of_images(tmp_path, 8)
    images[2].write_bytes(images[2].read_bytes()[:90])
    images[5].write_bytes(b"")
    batch = segment_files(images, tmp_path / "out", RECIPE)
    assert len(batch.done) == 6
    assert list(batch.failed) == [images[2], images[5]]
    assert "empty" in batch.failed[images[5]]
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == [f"cells{i:02}" for i in (0, 1, 3, 4, 6, 7)]


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs a kill that can't be caught")
def test_a_killed_run_is_resumed_and_equals_an_uninterrupted_one(tmp_path):
    images = folder_of_images(tmp_path, 12)
    segment_files(images, tmp_path / "whole", RECIPE)
    command = [sys.executable, "-m", "segmentry", "segment", str(tmp_path / "images"), "-o", str(tmp_path / "out")]
    command += ["-m", "watershed", "--set", "depth=1", "--clean", "drop_small:min_size=9"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        while not (tmp_path / "out" / "cells03" / "run.json").exists() and process.poll() is None:
            time.sleep(0.005)
        os.kill(process.pid, signal.SIGKILL)
    done = {p.parent for p in (tmp_path / "out").glob("*/run.json")}
    assert len(done) < len(images)
    batch = segment_files(images, tmp_path / "out", RECIPE, resume=True)
    assert set(batch.kept) == done
    assert not batch.failed
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")


def test_resuming_with_another_recipe_does_not_mix(tmp_path):
    images = folder_of_images(tmp_path, 2)
    segment_files(images[:1], tmp_path / "out", RECIPE)
    batch = segment_files(images, tmp_path / "out", OTSU, resume=True)
    assert "made otherwise" in batch.failed[images[0]]
    assert len(batch.done) == 1


def test_outputs_have_names_of_their_own(tmp_path):
    assert output_names([tmp_path / "a.tif", tmp_path / "a.png"]) == ["a.tif", "a.png"]
    assert output_names([tmp_path / "b" / "x.nii.gz", tmp_path / "c" / "x.nii.gz"]) == ["b-x.nii.gz", "c-x.nii.gz"]
    with pytest.raises(OutputError, match="several inputs"):
        output_names([tmp_path / "1" / "b" / "x.tif", tmp_path / "2" / "b" / "x.tif"])


def test_axes_can_be_said_where_a_file_is_wrong(tmp_path):
    source = write(tmp_path / "stack.tif", sample_image("ZYX", "u1", spacing=True))
    segment_file(source, tmp_path / "out", OTSU, Options(axes="TYX"))
    found = read_labels(tmp_path / "out" / "labels.ome.tif")
    assert found.grid.axes == "TYX"
    assert found.grid.spacing == (1, 1)
    assert not make_again(tmp_path / "out").differences
    with pytest.raises(InputError, match="a letter each"):
        segment_file(source, tmp_path / "other", OTSU, Options(axes="YX"))


@pytest.mark.parametrize("suffix", [".ome.tif", ".png", ".npy", ".npz", ".h5", ".zarr", ".nii.gz", ".zip", ".json"])
def test_scores_and_classes_travel_with_the_labels(tmp_path, suffix):
    labels = np.zeros((9, 9), np.uint32)
    labels[1, 1:3], labels[4:6, 5], labels[7, 8] = 3, 40_000, 7
    scores, kinds = np.array([0.25, 1.0, 0.125], np.float32), np.array([2, 1, 2], np.int32)
    found = Instances.from_labels(labels)
    before = replace(found, scores=scores, classes=kinds, names=("background", "a", "b"))
    after = read_labels(write_labels(tmp_path / f"labels{suffix}", before))
    assert after.scores.tolist() == scores.tolist()
    assert after.classes.tolist() == kinds.tolist()
    assert after.names == before.names


@pytest.mark.parametrize("wrong", [{"ids": 3}, {"ids": "!"}, {"ids": "AAAA", "scores": None, "classes": None}, [], "x"])
def test_damaged_scores_are_left_out_and_the_labels_kept(tmp_path, wrong):
    labels = np.array([[0, 5]], np.uint32)
    path = write(tmp_path / "l.tif", Image(labels, Grid("YX", (1, 2)), provenance={"objects": wrong}), kind="labels")
    found = read_labels(path)
    assert found.ids.tolist() == [5]
    assert found.scores is None


def test_what_is_no_image_and_no_result_is_refused_in_one_line(tmp_path):
    with pytest.raises(InputError, match=r"Image\.from_array"):
        write(tmp_path / "x.tif", np.zeros((3, 3)))
    with pytest.raises(InputError, match=r"outcome\.instances"):
        write_labels(tmp_path / "x.tif", np.zeros((3, 3)))
    assert not list(tmp_path.iterdir())


def test_leftovers_of_other_outputs_are_not_touched(tmp_path):
    images = folder_of_images(tmp_path, 1)
    mine, other = (tmp_path / "out" / f".{name}.abcd1234.partial" for name in ("cells00", "cells07"))
    for left in (mine, other):
        left.mkdir(parents=True)
    segment_files(images, tmp_path / "out", RECIPE)
    assert not mine.exists()
    assert other.exists()


def test_an_output_that_cannot_be_replaced_stays(source, tmp_path, monkeypatch):
    segment_file(source, tmp_path / "out", RECIPE)
    before = contents(tmp_path / "out")
    rename = Path.rename

    def refuse(self, target):
        if self.parent.suffix == ".partial" and self.name == "out":
            raise PermissionError("no")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", refuse)
    with pytest.raises(OutputError, match="can't be written"):
        segment_file(source, tmp_path / "out", OTSU, overwrite=True)
    assert contents(tmp_path / "out") == before
