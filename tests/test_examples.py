import ast
import re
import runpy
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image as Pictures

from segmentry import read, read_labels
from segmentry.testing import check_segmenter

EXAMPLES = Path(__file__).parents[1] / "examples"


@pytest.fixture
def example(tmp_path, monkeypatch, capsys):
    """Run an example in an empty folder and return what it prints, with the folder of its output and its names."""

    def run(name):
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, "argv", [f"{name}.py", "out"])
        names = runpy.run_path(str(EXAMPLES / f"{name}.py"), run_name="__main__")
        assert [path.name for path in tmp_path.iterdir()] == ["out"]
        with Pictures.open(tmp_path / "out" / f"{name}.png") as picture:
            assert min(picture.size) > 300
            assert np.asarray(picture).std() > 20
        return capsys.readouterr().out, tmp_path / "out", names

    return run


def test_coins_are_found_and_measured(example):
    said, out, _ = example("coins")
    assert said.startswith("24 coins")
    table = pd.read_csv(out / "objects.csv")
    assert len(table) == len(read_labels(out / "labels.ome.tif")) == 24
    assert table["elongation"].max() < 1.2  # each outline is a coin's, not a part of one


def test_colours_tell_the_stained_part_of_a_tissue(example):
    said, _, names = example("colours")
    tissue, brown = (int(percent) for percent in re.findall(r"(\d+)%", said))
    assert 63 < tissue < 73
    assert 54 < brown < 64
    pixels = np.moveaxis(names["image"].read(), 0, -1).astype(int)
    red, _, blue = pixels[names["brown"]].mean(axis=0)
    assert red - blue > 60  # brown, whereas the rest is bluish or white
    red, _, blue = pixels[~names["brown"]].mean(axis=0)
    assert red - blue < 20


def test_touching_balls_of_a_volume_are_parted(example):
    said, out, names = example("volume")
    assert said.startswith("32 balls found, 32 are there; F1 1.000")
    assert names["scores"]["dice"] > 0.98
    assert read(out / "balls.ome.tif").grid.spacing == (1.5, 0.5, 0.5)
    assert (read_labels(out / "labels.ome.tif").labels == names["outcome"].instances.labels).all()
    assert len(names["truth"].semantic().instances()) < 16  # without the watershed they hang together


def test_cells_are_counted_at_every_time_point(example):
    said, out, _ = example("time_series")
    counts = [int(n) for n in said.split(":")[1].split()]
    assert len(counts) == 12
    assert counts[0] == 5
    assert counts[-1] == 6
    assert sorted(counts) == counts
    assert pd.read_csv(out / "objects.csv").groupby("time").size().tolist() == counts


def test_a_recipe_is_run_and_replayed(example):
    said, out, names = example("recipe")
    count, _, replayed = said.partition(" objects; replayed: ")
    assert 200 < int(count) < 600
    assert replayed == "the same, byte for byte\n"
    assert {p.name for p in (out / "sky").iterdir()} == {
        "labels.ome.tif", "objects.csv", "objects.csv-metadata.json", "overview.png", "run.json",
    }  # fmt: skip
    assert names["record"]["recipe"] == names["recipe"].to_dict()


def test_small_balls_in_coarse_voxels_have_their_volume(example):
    said, _, _ = example("partial_volume")
    rows = [[float(n) for n in re.findall(r"([-+][\d.]+)%", line)] for line in said.splitlines()[1:]]
    assert len(rows) == 4
    assert max(abs(row[-1]) for row in rows) < 2
    assert min(min(li, triangle) for _, li, triangle, _ in rows) > 10
    assert rows[0][0] > 10  # Otsu's threshold, where the balls are as small as the planes are apart


def test_a_step_of_ones_own_keeps_the_promises_of_a_method(example, monkeypatch):
    said, _, names = example("own_step")
    assert said.startswith("24 coins; in tiles of 64 pixels: the same")
    step = names["LocalContrast"]
    monkeypatch.setattr(sys.modules["__main__"], step.__name__, step, raising=False)  # where pickle looks for it
    check_segmenter(step(sigma=2))


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.py")), ids=lambda path: path.stem)
def test_an_example_is_short_and_tested(path):
    text = path.read_text("utf-8")
    start = ast.parse(text).body[0].end_lineno
    assert sum(bool(line.strip()) for line in text.splitlines()[start:]) <= 45
    assert f'example("{path.stem}")' in Path(__file__).read_text("utf-8")
