"""Trained networks on the command line: looked at, listed, and given to other programs."""

import json
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from segmentry.app.cli import run
from segmentry.learn.bioimage_reading import load_bioimage
from segmentry.learn.engines import engine
from segmentry.learn.network_file import save_network
from small_network import CARD, small_network


@pytest.fixture
def network(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return save_network("nuclei.safetensors", small_network())


def test_what_is_known_of_a_network_is_told(network, capsys):
    assert run(["weights", "info", "nuclei.safetensors"]) == 0
    said = capsys.readouterr().out
    for part in ("boundary of background, núcleo", "DNA", "0.5, 0.5", "CC-BY-4.0", "dice: 0.9", "3x3"):
        assert part in said


def test_what_is_known_is_told_as_json(network, capsys):
    assert run(["weights", "info", "nuclei.safetensors", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["card"] == CARD
    assert said["architecture"]["widths"] == [4]
    assert said["numbers"] == sum(array.size for array in small_network().arrays.values())
    assert len(said["sha256"]) == 64


def test_a_network_becomes_an_onnx_file_that_runs_alone(network, capsys):
    assert run(["weights", "export", "nuclei.safetensors", "nuclei.onnx"]) == 0
    image = np.random.default_rng(0).normal(size=(2, 1, 20, 30)).astype(np.float32)
    scores = onnxruntime.InferenceSession("nuclei.onnx").run(None, {"image": image})[0]
    assert np.abs(scores - engine(small_network(), "onnxruntime")(image)).max() < 1e-4
    assert run(["weights", "export", "nuclei.safetensors", "nuclei.onnx"]) == 1
    assert "exists already" in capsys.readouterr().err
    assert run(["weights", "export", "nuclei.safetensors", "nuclei.onnx", "--overwrite"]) == 0


def test_a_network_becomes_a_package_and_is_listed(network, tmp_path, capsys):
    assert run(["weights", "export", "nuclei.safetensors", "nuclei.zip"]) == 0
    assert load_bioimage("nuclei.zip").names == ("background", "núcleo")
    (tmp_path / "broken.safetensors").write_bytes(b"nothing")
    assert run(["weights", "list", "."]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines if ". " in line or "." in line.split()[0]] == [
        "broken.safetensors",
        "nuclei.safetensors",
        "nuclei.zip",
    ]
    assert "not in the safetensors format" in lines[1] + lines[2]
    assert run(["weights", "list", "--json", str(tmp_path)]) == 0
    assert [len(entry) > 2 for entry in json.loads(capsys.readouterr().out)] == [False, True, True]


def test_networks_that_come_along_are_found_by_name(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert run(["weights", "list", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [Path(entry["file"]).stem for entry in found] == ["nuclei", "nuclei_3d", "nuclei_fast"]
    assert run(["weights", "info", "nuclei", "--json"]) == 0
    card = json.loads(capsys.readouterr().out)["card"]
    assert card["licence"] == "CC0-1.0"
    assert run(["weights", "export", "nuclei_fast", "fast.onnx"]) == 0
    assert (tmp_path / "fast.onnx").stat().st_size < 12e6


@pytest.mark.parametrize(
    ("arguments", "code", "line"),
    [
        (["info", "none.safetensors"], 1, "does not exist"),
        (["info", "."], 1, "is a folder"),
        (["export", "nuclei.safetensors", "nuclei.pth"], 2, "must end in .onnx or .zip"),
        (["export", "none.safetensors", "nuclei.onnx"], 1, "does not exist"),
        (["list", "nowhere"], 1, "is no folder"),
    ],
)
def test_what_can_not_be_done_is_said_in_a_line(arguments, code, line, network, capsys):
    assert run(["weights", *arguments]) == code
    said = capsys.readouterr().err
    assert line in said
    assert said.count("\n") == 1
