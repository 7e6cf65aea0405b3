import json

import numpy as np
import pandas as pd
import pytest
from scipy.ndimage import center_of_mass

from segmentry.app.cli import run
from segmentry.counting import count_file, dots_of_files
from segmentry.errors import InputError
from segmentry.image import Image
from segmentry.io import read_table, write
from segmentry.simulation import simulate_nuclei
from segmentry.trained_models import load_density_model, load_pixel_model

FEW = ["--features", "gaussian_smoothing", "--sigmas", "1,3.5", "--dot-sigma", "2", "--set", "n_trees=8"]


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Four images, and their dots: two in tables, two painted; the last image has none."""
    top = tmp_path_factory.mktemp("counted")
    (top / "images").mkdir()
    (top / "dots").mkdir()
    for i in range(5):
        image, truth = simulate_nuclei((60, 64), i, radius=5)
        write(top / "images" / f"{i}.tif", image)
        labels = np.asarray(truth.labels[...])
        places = np.array(center_of_mass(labels > 0, labels, truth.ids))
        if i < 2:
            pd.DataFrame(places, columns=["y", "x"]).to_csv(top / "dots" / f"{i}.csv", index=False)
        elif i < 4:
            marks = np.zeros((60, 64), np.uint8)
            marks[tuple(np.rint(places).astype(int).T)] = 1
            write(top / "dots" / f"{i}.tif", Image.from_array(marks, spacing=image.grid.spacing))
    return top


@pytest.fixture(scope="module")
def model(folders):
    path = folders / "model.safetensors"
    given = ["--images", str(folders / "images"), "--dots", str(folders / "dots"), "-o", str(path), *FEW]
    assert run(["train", "density_counting", *given]) == 0
    return path


def test_tables_and_painted_dots_are_read_together(folders):
    found = dots_of_files(folders / "images", folders / "dots")
    truths = [len(simulate_nuclei((60, 64), i, radius=5)[1]) for i in range(4)]
    assert [len(one.places) for one in found] == truths
    assert [one.image.name for one in found] == [f"{i}.tif" for i in range(4)]
    one = dots_of_files(folders / "images" / "4.tif", folders / "dots" / "1.csv")
    assert len(one[0].places) == truths[1]


def test_wrong_dots_are_named(folders, tmp_path):
    (tmp_path / "9.csv").write_text("y,x\n1,2\n")
    with pytest.raises(InputError, match=r"no image called '9'"):
        dots_of_files(folders / "images", tmp_path)
    (tmp_path / "9.csv").rename(tmp_path / "0.csv").write_text("y,x\n100,2\n")
    with pytest.raises(InputError, match=r"0: 1 of 1 dots lie outside 0.tif"):
        dots_of_files(folders / "images", tmp_path)
    write(tmp_path / "0.tif", Image.from_array(np.zeros((5, 5), np.uint8)))
    with pytest.raises(InputError, match=r"two files are called '0'"):
        dots_of_files(folders / "images", tmp_path)
    with pytest.raises(InputError, match=r"does not exist"):
        dots_of_files(folders / "images", tmp_path / "none")


def test_a_series_is_counted_time_by_time(folders, model, tmp_path):
    known = load_density_model(model)
    frames = [simulate_nuclei((60, 64), i, radius=5)[0] for i in (0, 4)]
    write(tmp_path / "series.tif", Image.from_array(np.stack([f.read() for f in frames]), "TYX"))
    assert count_file(tmp_path / "series.tif", known) == [known.count(frame) for frame in frames]


def test_counts_on_the_command_line(folders, model, tmp_path, capsys):
    capsys.readouterr()
    given = ["count", str(folders / "images"), "--model", str(model)]
    assert run([*given, "--json", "-o", str(tmp_path / "counts.csv")]) == 0
    said = json.loads(capsys.readouterr().out)
    known = load_density_model(model)
    numbers = [known.count(simulate_nuclei((60, 64), i, radius=5)[0]).number for i in range(5)]
    assert [row["count"] for row in said["counts"]] == pytest.approx(numbers)
    assert said["total"]["low"] < said["total"]["count"] < said["total"]["high"]
    assert said["total"]["count"] == pytest.approx(sum(numbers))
    assert read_table(tmp_path / "counts.csv")["count"].tolist() == pytest.approx(numbers)
    assert run(given) == 0
    assert len(capsys.readouterr().out.strip().splitlines()) == 7


def test_a_model_of_another_kind_is_refused(folders, model, capsys):
    assert run(["count", str(folders / "images"), "--model", str(folders / "images" / "0.tif")]) == 1
    assert run(["count", str(folders / "images"), "--model", "none.safetensors"]) == 1
    with pytest.raises(InputError, match=r"density"):
        load_pixel_model(model)
    said = capsys.readouterr().err.strip().splitlines()
    assert len(said) == 2
    assert "does not exist" in said[1]


@pytest.mark.parametrize(
    ("method", "options", "said"),
    [
        ("density_counting", ["--images", "x", "--dots", "y", "--labels", "x"], "--labels"),
        ("density_counting", ["--images", "x", "--dots", "y", "--stages", "2"], "--stages"),
        ("density_counting", ["--images", "x"], "--dots"),
        ("pixel_classifier", ["--dots", "x"], "--dots"),
        ("pixel_classifier", ["--dot-sigma", "3"], "--dot-sigma"),
    ],
)
def test_options_that_say_nothing_are_refused(method, options, said, tmp_path, capsys):
    assert run(["train", method, "-o", str(tmp_path / "m"), *options]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line


def test_what_training_says(folders, tmp_path, capsys):
    out = tmp_path / "m.safetensors"
    given = ["train", "density_counting", "--images", str(folders / "images"), "--dots", str(folders / "dots"), *FEW]
    assert run([*given, "-o", str(out), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["scores"]["pieces"] == 4
    assert 0 <= said["scores"]["relative_error"] < 0.5
    assert run([*given, "-o", str(out)]) == 1
    assert "exists already" in capsys.readouterr().err
    assert run([*given, "-o", str(out), "--overwrite"]) == 0
    assert "relative error" in capsys.readouterr().out
