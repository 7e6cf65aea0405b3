import numpy as np
import pandas as pd
import pytest

from segmentry.analysis.class_volumes import class_volumes
from segmentry.app.cli import run as command
from segmentry.cleaning.drop_small import DropSmall
from segmentry.image import Grid, Image
from segmentry.io import write
from segmentry.job import Options, segment_file
from segmentry.methods.kmeans import KMeans
from segmentry.recipe import Recipe
from segmentry.replay import replay
from segmentry.result import Instances, Panoptic, Semantic
from segmentry.run import run
from segmentry.testing import sample_image

RECIPE = Recipe.parse("{segmentry: 1, method: {kmeans: {}}, analyses: [class_volumes]}")


def test_classes_are_counted_and_their_probabilities_summed_in_physical_units():
    classes = np.array([[[0, 0, 1], [0, 2, 1]]], np.uint8)
    probabilities = np.zeros((3, *classes.shape), np.float32)
    probabilities[0], probabilities[1], probabilities[2] = 0.5, 0.25, 0.25
    grid = Grid("ZYX", (1, 2, 3), (2.0, 0.5, 0.5), "um")
    table = class_volumes(Semantic(classes, grid, ("background", "a", "b"), probabilities))
    assert table["class"].tolist() == ["background", "a", "b"]
    assert table["counted_volume_um3"].tolist() == [1.5, 1.0, 0.5]
    assert table["summed_volume_um3"].tolist() == [1.5, 0.75, 0.75]


def test_each_time_point_has_its_rows_and_unknown_sizes_are_in_pixels():
    image = sample_image("TYX")
    result = run(KMeans(), image, probabilities=True).result
    table = class_volumes(result)
    assert table["time"].tolist() == [0, 0, 0, 1, 1, 1]
    assert table.groupby("time")["counted_area_px"].sum().tolist() == [48 * 56] * 2
    assert table.groupby("time")["summed_area_px"].sum().to_numpy() == pytest.approx(48 * 56)
    assert table["counted_area_px"][4] == (np.asarray(result.classes)[1] == 1).sum()


def test_objects_without_probabilities_are_only_counted():
    labels = np.array([[0, 7, 7], [9, 9, 0]], np.uint32)
    grid = Grid("YX", (2, 3))
    table = class_volumes(Instances.from_labels(labels, grid))
    assert table["counted_area_px"].tolist() == [2, 4]
    assert table["summed_area_px"].isna().all()


def test_both_views_of_a_result_reach_an_analysis():
    image = sample_image("ZYX", spacing=True)
    outcome = run(KMeans(), image, cleaners=[DropSmall(min_size=30)], probabilities=True)
    both = Panoptic(outcome.result, outcome.instances)
    assert class_volumes(both).equals(class_volumes(outcome.result))


def test_a_recipe_writes_the_table_and_replays_it(tmp_path):
    source = write(tmp_path / "image.tif", sample_image("YX", "u2", spacing=True))
    segment_file(source, tmp_path / "out", RECIPE)
    names = {p.name for p in (tmp_path / "out").iterdir()}
    assert {"class_volumes.csv", "objects.csv"} <= names
    assert "probabilities.ome.tif" not in names  # they were kept for the table alone
    table = pd.read_csv(tmp_path / "out" / "class_volumes.csv")
    assert table["summed_area_um2"].sum() == pytest.approx(48 * 56)
    assert replay(tmp_path / "out").differences == []
    segment_file(source, tmp_path / "saved", RECIPE, Options(probabilities=True))
    assert (tmp_path / "saved" / "probabilities.ome.tif").exists()


def test_the_command_line_asks_for_analyses(tmp_path, capsys):
    source = write(tmp_path / "image.tif", Image(sample_image().read(), Grid("YX", (48, 56), (2.0, 2.0), "mm")))
    out = tmp_path / "out"
    assert command(["segment", str(source), "-o", str(out), "-m", "kmeans", "--analyse", "class_volumes"]) == 0
    assert pd.read_csv(out / "image" / "class_volumes.csv")["counted_area_mm2"].sum() == 4 * 48 * 56
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(RECIPE.to_yaml(), "utf-8")
    assert command(["segment", str(source), "-o", str(out), "-r", str(recipe), "--analyse", "measure"]) == 2
    assert "--analyse" in capsys.readouterr().err
