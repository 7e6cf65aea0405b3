import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tifffile

from segmentry import catalog, segment
from segmentry.app.cli import run
from segmentry.image import Image
from segmentry.io import read_labels, write
from segmentry.recipe import Recipe
from segmentry.testing import sample_image


@pytest.fixture
def image(tmp_path):
    return write(tmp_path / "cells.tif", sample_image("YX", "u2", spacing=True))


@pytest.mark.parametrize("axes", ["YX", "ZYX", "TYX"])
@pytest.mark.parametrize("method", [m for m in catalog.names("method") if not catalog.step("method", m).trained])
def test_command_line_python_and_recipe_give_identical_labels(tmp_path, method, axes):
    image = sample_image(axes, "u1")
    path = write(tmp_path / "image.tif", image)
    (tmp_path / "recipe.yaml").write_text(f"segmentry: 1\nmethod: {method}\n")
    assert run(["segment", str(path), "-o", str(tmp_path / "one"), "-m", method]) == 0
    assert run(["segment", str(path), "-o", str(tmp_path / "two"), "-r", str(tmp_path / "recipe.yaml")]) == 0
    one, two = (tifffile.imread(tmp_path / o / "image" / "labels.ome.tif") for o in ("one", "two"))
    python = np.asarray(segment(image, method).instances.labels)
    assert np.array_equal(one, two)
    assert np.array_equal(one, python)
    assert one.any()


def test_filters_and_cleaners_are_said_on_the_command_line(image, tmp_path):
    given = ["--filter", "gaussian:sigma=1.5 um", "--filter", "normalise:low=2,high=99", "--clean", "fill_holes"]
    given += ["--set", "depth=2", "--set", "gaussian.sigma=2"]
    code = run(["segment", str(image), "-o", str(tmp_path / "o"), "-m", "watershed", *given])
    assert code == 0
    recipe = Recipe.from_dict(json.loads((tmp_path / "o" / "cells" / "run.json").read_text())["recipe"])
    assert recipe.filters[0].sigma.value == 2
    assert recipe.filters[1].low == 2
    assert recipe.method.depth.value == 2
    assert recipe.cleaning[0].name == "fill_holes"


WRONG = {
    "unknown command": (["segmnt"], 2, "Did you mean"),
    "unknown option": (["segment", "{image}", "--otu", "x"], 2, "--otu"),
    "no output": (["segment", "{image}"], 2, "--out"),
    "unknown method": (["segment", "{image}", "-o", "{out}", "-m", "otus"], 2, "did you mean 'otsu'"),
    "unknown parameter": (["segment", "{image}", "-o", "{out}", "--set", "diametr=1"], 2, "did you mean 'diameter'"),
    "parameter out of bounds": (["segment", "{image}", "-o", "{out}", "--set", "diameter=-1"], 2, "zero or more"),
    "parameter without value": (["segment", "{image}", "-o", "{out}", "--set", "diameter"], 2, "key=value"),
    "unknown step": (["segment", "{image}", "-o", "{out}", "--set", "gausian.sigma=1"], 2, "no step 'gausian'"),
    "unknown filter": (["segment", "{image}", "-o", "{out}", "--filter", "gaus"], 2, "gaussian"),
    "recipe and method": (["segment", "{image}", "-o", "{out}", "-r", "x.yaml", "-m", "otsu"], 2, "leave out --method"),
    "no such recipe": (["segment", "{image}", "-o", "{out}", "-r", "nowhere.yaml"], 1, "nowhere.yaml"),
    "bad spacing": (["segment", "{image}", "-o", "{out}", "--spacing", "1,x"], 2, "0.5,0.2,0.2um"),
    "bad unit": (["segment", "{image}", "-o", "{out}", "--spacing", "1pc"], 2, "'pc'"),
    "no such file": (["segment", "nowhere.tif", "-o", "{out}"], 1, "nowhere.tif does not exist"),
    "no match": (["segment", "nowhere*.tif", "-o", "{out}"], 1, "no file matches"),
    "no such device": (["segment", "{image}", "-o", "{out}", "--device", "cuda"], 2, "cuda"),
    "tile of zero": (["segment", "{image}", "-o", "{out}", "--tile", "0"], 2, "tile"),
    "too many spacings": (["segment", "{image}", "-o", "{out}", "--spacing", "1,1,1um"], 1, "3 numbers"),
    "no such output": (["replay", "{out}"], 1, "no output of segmentry"),
    "not labels": (["evaluate", "{image}", "nowhere.tif"], 1, "nowhere.tif"),
    "no such score": (["evaluate", "{image}", "{image}", "--metrics", "dize"], 2, "did you mean 'dice'"),
    "no threshold": (["evaluate", "{image}", "{image}", "--thresholds", "0.5,x"], 2, "--thresholds 'x'"),
    "no tolerance": (["evaluate", "{image}", "{image}", "--tolerance", "far"], 2, "--tolerance 'far'"),
    "no such format": (["convert", "{image}", "{out}/x.xyz"], 1, "suffix"),
    "no such step": (["methods", "otus"], 2, "did you mean 'otsu'"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_use_is_one_line_and_an_exit_code(case, image, tmp_path, capsys):
    words, code, said = WRONG[case]
    filled = [w.format(image=image, out=tmp_path / "out") for w in words]
    assert run(filled) == code
    captured = capsys.readouterr()
    lines = [line for line in captured.err.splitlines() if "error" in line]
    assert len(lines) == 1
    assert said in lines[0]
    assert captured.out == ""
    assert not (tmp_path / "out").exists() or not any((tmp_path / "out").iterdir())


def test_some_bad_inputs_of_several_give_exit_code_three(tmp_path, capsys):
    for i in range(5):
        write(tmp_path / "in" / f"c{i}.png", sample_image(seed=i))
    (tmp_path / "in" / "c3.png").write_bytes(b"not an image at all")
    assert run(["segment", str(tmp_path / "in"), "-o", str(tmp_path / "out"), "--json"]) == 3
    captured = capsys.readouterr()
    report = json.loads(captured.out)
    assert len(report["done"]) == 4
    assert list(report["failed"]) == [str(tmp_path / "in" / "c3.png")]
    assert "c3.png" in captured.err


def test_a_dry_run_says_what_would_happen_and_writes_nothing(image, tmp_path, capsys):
    assert run(["segment", str(image), "-o", str(tmp_path / "out"), "--dry-run"]) == 0
    said = capsys.readouterr().out
    assert "nuclei" in said
    assert "(48, 56)" in said
    assert not (tmp_path / "out").exists()


def test_the_demo_finds_the_coins(tmp_path, capsys):
    assert run(["demo", "-o", str(tmp_path / "demo")]) == 0
    said = capsys.readouterr().out
    assert "24 objects" in said
    for name in ("labels.ome.tif", "objects.csv", "overview.png", "run.json"):
        path = tmp_path / "demo" / "coins" / name
        assert path.exists()
        assert str(path) in said


def test_replay_says_identical_then_names_the_edit(image, tmp_path, capsys):
    run(["segment", str(image), "-o", str(tmp_path / "o"), "-m", "watershed"])
    capsys.readouterr()
    assert run(["replay", str(tmp_path / "o")]) == 0
    assert "identical, byte for byte" in capsys.readouterr().out
    record = tmp_path / "o" / "cells" / "run.json"
    record.write_text(record.read_text().replace('"depth": 1.0', '"depth": 0.0'))
    assert run(["replay", str(tmp_path / "o"), "--json"]) == 1
    assert "depth: 1.0 → 0.0" in json.loads(capsys.readouterr().out)[0]["differences"][0]


def test_labels_are_evaluated_and_measured(image, tmp_path, capsys):
    run(["segment", str(image), "-o", str(tmp_path / "o"), "-m", "otsu"])
    labels = tmp_path / "o" / "cells" / "labels.ome.tif"
    capsys.readouterr()
    assert run(["evaluate", str(labels), str(labels), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["scores"]["ap"]["0.95"]["pooled"] == 1
    assert report["definitions"]["ap"]["definition"].startswith("TP / (TP + FP + FN)")
    assert run(["evaluate", str(tmp_path / "o"), str(tmp_path / "o"), "--metrics", "ap,accuracy"]) == 0
    said = capsys.readouterr().out
    assert "ap at 0.95" in said
    assert "accuracy: High wherever one class fills most of the image" in said
    assert "true objects: " in said.splitlines()[-2]
    table = tmp_path / "table.csv"
    assert run(["measure", str(labels), "--image", str(image), "-o", str(table), "--spacing", "2um"]) == 0
    assert pd.read_csv(table)["area_um2"].sum() == 4 * (tifffile.imread(labels) > 0).sum()
    assert run(["measure", str(labels)]) == 0
    assert capsys.readouterr().out.startswith("id,class,score,area_um2")


def test_a_report_is_written_and_replaced_when_that_is_said(image, tmp_path, capsys):
    run(["segment", str(image), "-o", str(tmp_path / "o"), "-m", "otsu"])
    run(["segment", str(image), "-o", str(tmp_path / "p"), "-m", "triangle"])
    labels, other = (tmp_path / folder / "cells" / "labels.ome.tif" for folder in "op")
    words = ["evaluate", str(labels), str(other), "-o", str(tmp_path / "report"), "--images", str(image)]
    words += ["--thresholds", "0.5, 0.75", "--tolerance", "1.5", "--spacing", "0.5um", "--against", str(other)]
    capsys.readouterr()
    assert run(words) == 0
    said = capsys.readouterr()
    assert "report.html" in said.err
    assert "Compared, image by image" in said.out
    record = json.loads((tmp_path / "report" / "report.json").read_text("utf-8"))
    assert record["rules"]["thresholds"] == [0.5, 0.75]
    assert record["rules"]["tolerance"] == "1.5 px"
    assert record["unit"] == "um"
    assert run(words) == 1
    assert "exists already" in capsys.readouterr().err
    assert run([*words, "--overwrite"]) == 0


@pytest.mark.parametrize(("command", "name", "part"), [("metrics", "surface_dice", "tolerance"),
                                                       ("properties", "solidity", "hull")])  # fmt: skip
def test_scores_and_properties_are_listed_and_explained(command, name, part, capsys):
    assert run([command]) == 0
    assert name in capsys.readouterr().out
    assert run([command, name]) == 0
    assert part in capsys.readouterr().out
    assert run([command, "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert run([command, name, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"name": name, **listed[name]}
    assert run([command, name[:-1]]) == 2
    assert f"did you mean '{name}'" in capsys.readouterr().err


@pytest.mark.parametrize(
    "suffix", [".png", ".npy", ".npz", ".h5", ".zarr", ".nii.gz", ".json", ".geojson", ".zip", ".ome.tif"]
)
def test_labels_go_to_every_format_and_back(image, tmp_path, suffix):
    run(["segment", str(image), "-o", str(tmp_path / "o"), "-m", "watershed"])
    labels = tmp_path / "o" / "cells" / "labels.ome.tif"
    there, back = tmp_path / f"there{suffix}", tmp_path / "back.ome.tif"
    assert run(["convert", str(labels), str(there)]) == 0
    assert run(["convert", str(there), str(back)]) == 0
    before, after = read_labels(labels), read_labels(back)
    assert np.array_equal(before.labels, after.labels)
    assert before.grid == after.grid


def test_a_16_bit_png_refuses_what_it_cannot_hold(tmp_path, capsys):
    path = write(tmp_path / "big.npy", Image.from_array(np.array([[0, 70_000]], np.uint32)), kind="labels")
    assert run(["convert", str(path), str(tmp_path / "big.png")]) == 1
    assert "65,535" in capsys.readouterr().err
    assert not (tmp_path / "big.png").exists()


def test_every_step_is_listed_and_explained(capsys):
    assert run(["methods"]) == 0
    listed = capsys.readouterr().out
    for kind in catalog.KINDS:
        for name, step in catalog.steps(kind).items():
            assert name in listed
            assert run(["methods", name]) == 0
            explained = capsys.readouterr().out
            for parameter in step.parameters():
                assert parameter.name in explained
    assert run(["methods", "kmeans", "--json"]) == 0
    schema = json.loads(capsys.readouterr().out)["parameters"]["properties"]
    assert schema["n_classes"] == {
        "default": 3, "description": schema["n_classes"]["description"], "maximum": 64, "minimum": 2,
        "title": "N Classes", "type": "integer",
    }  # fmt: skip


def test_doctor_reports_the_installation(capsys):
    assert run(["doctor", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["device"]["name"] == "CPU"
    assert "TIFF" in report["formats"]


def test_an_interrupted_run_leaves_nothing_half_written(tmp_path):
    source = write(tmp_path / "big.tif", Image.from_array(np.random.default_rng(0).random((2500, 2500), np.float32)))
    out = tmp_path / "out"
    command = [sys.executable, "-m", "segmentry", "segment", str(source), "-o", str(out), "--filter", "background"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        while not list(out.glob(".*.partial")) and process.poll() is None:
            time.sleep(0.005)
        time.sleep(0.5)
        process.send_signal(2)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "interrupted" in err
    assert "Traceback" not in err
    assert not out.exists() or not list(out.iterdir())


def test_help_needs_neither_numpy_nor_numba():
    code = "import sys\nfrom segmentry.app.cli import run\nrun(['--help'])\nprint(*sys.modules, file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = done.stderr.split()
    assert not {"numpy", "numba", "scipy", "skimage", "pydantic", "torch"} & set(loaded)
    assert "segment" in done.stdout


def test_a_method_needs_no_other():
    code = "import sys\nfrom segmentry import catalog\ncatalog.step('method', 'otsu')\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    found = {name for name in done.stdout.split() if name.startswith("segmentry.methods.")}
    assert found == {"segmentry.methods.otsu"}


def test_importing_the_package_does_nothing(tmp_path):
    code = (
        "import socket, sys, logging, builtins\n"
        "def no(*a, **k): raise AssertionError('a socket')\n"
        "socket.socket = no\n"
        "import segmentry, segmentry.run, segmentry.recipe, segmentry.io\n"
        "assert 'torch' not in sys.modules and not logging.getLogger('segmentry').handlers\n"
        "assert not logging.getLogger().handlers\n"
    )
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, check=True)
    assert not list(Path(tmp_path).iterdir())
