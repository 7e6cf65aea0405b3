import json

import numpy as np
import pytest

from segmentry import read, read_labels
from segmentry.app.cli import run
from segmentry.io import read_provenance
from segmentry.simulation import Scene, random_scene, simulate, simulate_nuclei
from segmentry.training import by_name


def test_one_image_with_its_truth_and_how_it_was_made(tmp_path, capsys):
    place = tmp_path / "n.tif"
    command = ["simulate", "-o", str(place), "--shape", "6,40,44", "--seed", "3", "--spacing", "2,1,1um"]
    assert run([*command, "--set", "clumping=0.9", "--radius", "5"]) == 0
    assert "the truth is" in capsys.readouterr().err
    scene = Scene(clumping=0.9, radius=5)
    wanted, truth = simulate(scene, (6, 40, 44), 3, spacing=(2, 1, 1))
    image, labels = read(place), read_labels(tmp_path / "n-labels.tif")
    assert np.array_equal(image.read(), wanted.read())
    assert np.array_equal(labels.labels[...], truth.labels)
    assert image.grid == labels.grid == wanted.grid
    for path in (place, tmp_path / "n-labels.tif"):
        made = read_provenance(path)["simulated"]
        assert Scene(**made["scene"]) == scene
        assert made["seed"] == 3


def test_a_set_is_two_folders_whose_names_agree(tmp_path, capsys):
    out = tmp_path / "set"
    command = ["simulate", "-o", str(out), "--count", "3", "--shape", "40,40", "--seed", "7"]
    assert run([*command, "--random", "--set", "radius=4", "--kind", "histology", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    images, labels = by_name(out / "images"), by_name(out / "labels")
    assert list(images) == list(labels)
    assert told["objects"] == sum(len(read_labels(p)) for p in labels.values())
    rows = json.loads((out / "scenes.json").read_text())["images"]
    for number, (row, path) in enumerate(zip(rows, images.values(), strict=True)):
        scene = random_scene(7 + number, 2, "histology").with_(radius=4)
        assert Scene(**row["scene"]) == scene
        assert np.array_equal(read(path).read(), simulate(scene, (40, 40), row["seed"])[0].read())
    assert run(command) == 1
    assert run(["simulate", "-o", str(out), "--shape", "20,20", "--count", "2", "--overwrite"]) == 0
    assert len(by_name(out / "images")) == 2


def test_a_plain_scene_is_that_of_simulate_nuclei(tmp_path):
    assert (
        run(["simulate", "-o", str(tmp_path / "p.png"), "--kind", "plain", "--shape", "50,60", "--density", "0.1"]) == 0
    )
    assert np.array_equal(read(tmp_path / "p.png").read(), simulate_nuclei((50, 60), density=0.1)[0].read())


def test_all_parameters_are_listed(capsys):
    assert run(["simulate", "--parameters"]) == 0
    said = capsys.readouterr().out
    assert all(name in said for name in Scene().settings())
    assert run(["simulate", "--parameters", "--kind", "histology", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert {name: item["default"] for name, item in listed.items()} == Scene(kind="histology").settings()


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--shape", "a,b"], 2, "whole numbers"),
        (["--shape", "5"], 1, "two or three"),
        (["--density", "7"], 2, "density"),
        (["--set", "radus=3"], 2, "did you mean 'radius'"),
        (["--set", "radius"], 2, "key=value"),
        (["--seed", "-1"], 2, "negative"),
        (["--kind", "xray"], 2, "kind"),
        (["--kind", "plain", "--random"], 2, "plain"),
        (["--kind", "plain", "--set", "blur=1"], 2, "plain"),
        (["--kind", "plain", "--density", "7"], 1, "density"),
        (["--kind", "histology", "--shape", "4,9,9"], 1, "planes"),
        (["--spacing", "1,1,1"], 1, "one per axis"),
        (["--count", "0"], 1, "between 1"),
    ],
)
def test_what_can_not_be_made_is_said_in_one_line(tmp_path, capsys, arguments, code, said):
    assert run(["simulate", "-o", str(tmp_path / "n.tif"), *arguments]) == code
    said_so = capsys.readouterr().err.strip()
    assert said in said_so
    assert "\n" not in said_so
    assert not list(tmp_path.iterdir())


def test_nothing_is_replaced_that_may_not_be(tmp_path, capsys):
    command = ["simulate", "-o", str(tmp_path / "n.tif"), "--shape", "20,20"]
    (tmp_path / "n-labels.tif").write_text("mine")
    assert run(command) == 1
    assert "exists already" in capsys.readouterr().err
    assert [p.name for p in tmp_path.iterdir()] == ["n-labels.tif"]
    assert run([*command, "--overwrite"]) == 0
    assert run(["simulate", "-o", str(tmp_path), "--count", "2", "--overwrite"]) == 1
    assert "not replaced" in capsys.readouterr().err
    assert run(["simulate", "-o", str(tmp_path / "n.zip"), "--shape", "20,20"]) == 1
    assert not list(tmp_path.glob("*.zip"))
    assert run(["simulate"]) == 2
    assert "-o" in capsys.readouterr().err
