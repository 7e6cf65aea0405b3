"""Train and use a network by commands, as a person with two folders does."""

import hashlib
import json
import subprocess
import sys

import numpy as np
import pytest
import tifffile
import yaml

from segmentry.app.cli import run as command
from segmentry.image import Image
from segmentry.io import read_labels
from segmentry.learn.network_file import load_network
from segmentry.methods.unet import UNet
from segmentry.run import run

pytest.importorskip("torch")
FEW = [
    "--set", "steps=24", "--set", "check_every=12", "--set", "batch=4", "--set", "patch=[32,32]",
    "--set", "learning_rate=0.01", "--set", "architecture.widths=[8,8,16]",
    "--set", "architecture.strides=[[2,2],[2,2]]", "--set", "architecture.deep_supervision=false",
]  # fmt: skip


@pytest.fixture
def place(tmp_path, monkeypatch):
    """Folders of discs, with their classes and their ids."""
    monkeypatch.chdir(tmp_path)
    for folder in ("images", "classes", "ids"):
        (tmp_path / folder).mkdir()
    rng = np.random.default_rng(0)
    at = np.indices((48, 64))
    for i in range(4):
        ids = np.zeros((48, 64), np.uint8)
        for number in range(1, 6):
            centre = rng.uniform(6, (42, 58))
            ids[(sum((p - c) ** 2 for p, c in zip(at, centre, strict=True)) < 36) & (ids == 0)] = number
        pixels = np.clip(100 * (ids > 0) + rng.normal(50, 12, ids.shape), 0, 255).astype(np.uint8)
        tifffile.imwrite(f"images/{i}.tif", pixels)
        tifffile.imwrite(f"classes/{i}.tif", (ids > 0).astype(np.uint8))
        tifffile.imwrite(f"ids/{i}.tif", ids)
    return tmp_path


def test_two_folders_become_a_network_that_segments(place, capsys):
    words = ["--images", "images", "--labels", "classes", "-o", "n.safetensors", "--licence", "CC0-1.0"]
    assert command(["train", "unet", *words, *FEW]) == 0
    said = capsys.readouterr().err
    assert "4 images (1 held out), classes background, foreground" in said
    assert "best so far" in said
    network = load_network("n.safetensors")
    assert network.card["licence"] == "CC0-1.0"
    assert network.card["score"] > 0.8
    assert (place / "n.png").stat().st_size > 1000
    assert not (place / "n.safetensors.training").exists()
    assert command(["segment", "images/0.tif", "-o", "out", "--method", "unet", "--set", "model=n.safetensors"]) == 0
    found = read_labels("out/0/labels.ome.tif")
    truth = tifffile.imread("classes/0.tif") > 0
    told = np.asarray(found.labels) > 0
    assert (told & truth).sum() / (told | truth).sum() > 0.7
    # The same from Python, by the network's file.
    same = run(UNet(model="n.safetensors"), Image.from_array(tifffile.imread("images/0.tif"), "YX"))
    assert np.array_equal(same.instances.labels, found.labels)
    assert command(["replay", "out/0"]) == 0


def test_a_plan_is_printed_edited_and_followed(place, capsys):
    words = ["--images", "images", "--labels", "ids", "--task", "instances"]
    assert command(["train", "unet", *words, "-o", "n", "--plan-only", *FEW]) == 0
    printed = capsys.readouterr().out
    assert "# objects: 20" in printed
    plan = yaml.safe_load(printed)
    assert plan["representation"] == "boundary"
    plan["steps"], plan["check_every"] = 4, 4
    (place / "plan.yaml").write_text(yaml.safe_dump(plan))
    assert command(["train", "unet", *words, "-o", "n.safetensors", "--plan", "plan.yaml", "--json"]) == 0
    assert [row["step"] for row in json.loads(capsys.readouterr().out)["history"]] == [4]


def test_painted_pixels_are_labels_too(place):
    (place / "strokes").mkdir()
    for i in range(4):
        classes = tifffile.imread(f"classes/{i}.tif")
        painted = np.where(np.random.default_rng(i).random(classes.shape) < 0.1, classes + 1, 0)
        tifffile.imwrite(f"strokes/{i}.tif", painted.astype(np.uint8))
    words = ["--images", "images", "--labels", "strokes", "--unlabelled", "0", "--classes", "background,disc"]
    assert command(["train", "unet", "-o", "n.safetensors", *FEW, *words]) == 0
    network = load_network("n.safetensors")
    assert network.names == ("background", "disc")
    assert network.card["data"]["unlabelled"] == pytest.approx(0.9, abs=0.02)
    assert network.card["score"] > 0.7


@pytest.mark.parametrize("method", ["cellpose", "stardist"])
def test_networks_for_objects_learn_and_find_them(place, method, capsys):
    words = ["train", method, "--images", "images", "--labels", "ids", "-o", "n.safetensors", *FEW]
    assert command([*words, "--set", "steps=36"]) == 0
    network = load_network("n.safetensors")
    assert network.representation.name == {"cellpose": "flows", "stardist": "stars"}[method]
    assert 10 < network.diameter < 13
    assert command(["segment", "images/0.tif", "-o", "out", "--method", method, "--set", "model=n.safetensors"]) == 0
    assert "n.safetensors: mean average precision" in capsys.readouterr().err


def test_a_network_begins_with_another(place, capsys):
    words = ["train", "unet", "--images", "images", "--json"]
    assert command([*words, "--labels", "classes", "-o", "first.safetensors", *FEW]) == 0
    first = json.loads(capsys.readouterr().out)
    more = ["-o", "second.safetensors", "--start", "first.safetensors", *FEW[:8], "--set", "check_every=1"]
    assert command([*words, "--labels", "classes", *more]) == 0
    second = json.loads(capsys.readouterr().out)
    assert second["history"][0]["score"] > first["score"] - 0.05  # after one step
    network = load_network("second.safetensors")
    assert network.architecture.widths == (8, 8, 16)
    assert network.card["plan"]["learning_rate"] == 0.0005  # a quarter of the usual
    assert network.card["started_from"] == hashlib.sha256((place / "first.safetensors").read_bytes()).hexdigest()
    # Images that are smaller than its levels like are filled up.
    (place / "small").mkdir()
    for i in range(4):
        tifffile.imwrite(f"small/{i}.tif", tifffile.imread(f"images/{i}.tif")[:21, :23])
        tifffile.imwrite(f"classes/{i}.tif", tifffile.imread(f"classes/{i}.tif")[:21, :23])
    small = ["train", "unet", "--images", "small", "--labels", "classes", "-o", "small.safetensors"]
    assert command([*small, "--start", "first.safetensors", "--set", "steps=1", "--set", "batch=1"]) == 0
    assert load_network("small.safetensors").card["plan"]["patch"] == [24, 24]
    # Other labels: all but the last layer is taken over.
    more = ["--labels", "ids", "--task", "instances", "-o", "ids.safetensors", "--start", "first.safetensors"]
    assert command([*words, *more, "--set", "steps=1", "--set", "check_every=1", "--set", "learning_rate=1e-9"]) == 0
    found, other = load_network("ids.safetensors"), load_network("first.safetensors")
    assert (found.representation.name, found.architecture.outputs) == ("boundary", 3)
    assert np.allclose(found.arrays["down.1.layers.0.0.weight"], other.arrays["down.1.layers.0.0.weight"], atol=1e-6)


def test_a_network_runs_in_8_bit_if_its_score_keeps(place, capsys):
    pytest.importorskip("openvino")
    labelled = ["--images", "images", "--labels", "classes"]
    assert command(["train", "unet", *labelled, "-o", "n.safetensors", *FEW]) == 0
    ready = ["weights", "int8", "n.safetensors", *labelled, "-o", "fast.safetensors"]
    capsys.readouterr()
    assert command([*ready, "--most-lost", "-0.9"]) == 1
    assert "--most-lost allows more" in capsys.readouterr().err
    assert not (place / "fast.safetensors").exists()
    assert command([*ready, "--most-lost", "0.02"]) == 0
    assert "in 8 bit" in capsys.readouterr().err
    card = load_network("fast.safetensors").card["int8"]
    assert card["images"] == 4
    assert card["score"] > card["score_in_float32"] - 0.02
    for precision in ("float32", "int8"):
        words = ["segment", "images/0.tif", "-o", precision, "--method", "unet", "--set", "model=fast.safetensors"]
        assert command([*words, "--set", f"precision={precision}"]) == 0
    exact, fast = (np.asarray(read_labels(f"{one}/0/labels.ome.tif").labels) > 0 for one in ("float32", "int8"))
    assert (exact != fast).mean() < 0.02
    # Labels of another kind are told.
    assert command([*ready[:4], "images", "--labels", "ids", "-o", "other.safetensors"]) == 1
    assert "the network tells 2 classes" in capsys.readouterr().err


def test_a_killed_training_goes_on(place):
    words = ["train", "unet", "--images", "images", "--labels", "classes", "-o", "n.safetensors", *FEW]
    words += ["--set", "steps=100000", "--set", "check_every=5"]
    with subprocess.Popen([sys.executable, "-m", "segmentry", *words], stderr=subprocess.PIPE, text=True) as job:
        for line in job.stderr:
            if "best so far" in line:
                break
        job.kill()
    assert (place / "n.safetensors.training").exists()
    assert not (place / "n.safetensors").exists()
    # Nothing is left half-written, and it goes on from there: another plan is refused in one line.
    assert command([*words, "--resume", "--set", "steps=200"]) == 1


WRONG = [
    (["--images", "images", "--labels", "none"], "does not exist"),
    (["--images", "images", "--labels", "empty"], "holds no file"),
    (["--images", "other", "--labels", "classes"], "names must agree"),
    (["--images", "images", "--labels", "larger"], "don't fit"),
    (["--images", "images", "--labels", "blank"], "all labels are empty"),
    (["--images", "nan", "--labels", "classes"], "no pixel of the image is a finite number"),
    (["--images", "images", "--labels", "classes", "--device", "cuda"], "is not there"),
    (["--images", "images", "--labels", "classes", "--classes", "one"], "2 classes|1 classes"),
    (["--images", "images", "--labels", "classes", "--representation", "boundry"], "boundary"),
    (["--images", "images", "--labels", "classes", "--set", "stpes=3"], "stpes"),
    (["--images", "images", "--labels", "classes", "--plan", "images/0.tif"], "can't be read|no mapping"),
    (["--images", "images", "--labels", "classes", "--set", "held_out=all"], "held_out is 'all'"),
    (["--images", "images", "--labels", "classes", "--set", "representation=distance"], "labels are classes"),
    (["--images", "images", "--labels", "classes", "--set", "architecture.outputs=7"], "needs architecture.outputs 2"),
    (["--images", "images", "--labels", "classes", "--resume"], "no training to go on with"),
    (["--images", "images", "--labels", "classes", "--start", "images/0.tif"], "0.tif"),
    (["--images", "images", "--labels", "classes", "--set", "patch=[31,32]"], "must be multiples of the network's"),
    (["--images", "images", "--labels", "classes", "--set", "patch=[32]"], "patch"),
]


@pytest.mark.parametrize(("words", "said"), WRONG, ids=[said for _, said in WRONG])
def test_what_can_not_be_trained_is_told_in_one_line(place, capsys, words, said):
    for folder in ("empty", "other", "larger", "blank", "nan"):
        (place / folder).mkdir()
    for i in range(4):
        tifffile.imwrite(f"other/z{i}.tif", np.zeros((48, 64), np.uint8))
        tifffile.imwrite(f"larger/{i}.tif", np.ones((49, 64), np.uint8))
        tifffile.imwrite(f"blank/{i}.tif", np.zeros((48, 64), np.uint8))
        tifffile.imwrite(f"nan/{i}.tif", np.full((48, 64), np.nan, np.float32))
    assert command(["train", "unet", "-o", "n.safetensors", *FEW, *words]) in (1, 2)
    lines = [line for line in capsys.readouterr().err.splitlines() if "error" in line]
    assert len(lines) == 1
    assert any(part in lines[0] for part in said.split("|")), lines[0]
    assert not (place / "n.safetensors").exists()
