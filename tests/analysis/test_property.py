import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest

import segmentry.analysis.properties
from segmentry import write_labels
from segmentry.analysis.measure import Measure, measure
from segmentry.analysis.property import chosen, properties
from segmentry.app.cli import run as command
from segmentry.errors import ParameterError
from segmentry.image import Grid, Image
from segmentry.result import Instances

ROOT = Path(__file__).parents[2]
ADDED = '''
import numpy as np
from segmentry.analysis.moments import Moments
from segmentry.analysis.property import measured

@measured("length", needs=[Moments])
def gyration(objects):
    """Root of the mean squared distance of the pixels from the centroid."""
    return np.sqrt(np.trace(objects[Moments].covariances, axis1=1, axis2=2))
'''
LABELS = np.kron(np.array([[1, 0], [0, 7]]), np.ones((8, 8))).astype(np.uint32)


@pytest.fixture
def added(tmp_path, monkeypatch):
    """One more file with one function, as if it lay in the package."""
    (tmp_path / "compactness.py").write_text(ADDED, "utf-8")
    package = segmentry.analysis.properties
    monkeypatch.setattr(package, "__path__", [*package.__path__, str(tmp_path)])
    properties.cache_clear()
    yield
    sys.modules.pop("segmentry.analysis.properties.compactness", None)
    properties.cache_clear()


def test_a_property_is_one_function_and_appears_everywhere(added, tmp_path, capsys):
    instances = Instances.from_labels(LABELS, Grid("YX", LABELS.shape, (0.5, 0.5), "um"))
    table = measure(instances)
    assert table["gyration_um"].to_numpy() == pytest.approx(np.sqrt(2 * (64 - 1) / 12) * 0.5)
    assert table.attrs["meanings"]["gyration_um"] == properties()["gyration"].definition
    labels = write_labels(tmp_path / "labels.tif", instances)
    assert command(["measure", str(labels), "--properties", "compactness"]) == 0
    assert capsys.readouterr().out.splitlines()[0] == "id,class,score,gyration_um"
    assert command(["properties", "gyration"]) == 0
    assert "mean squared distance" in " ".join(capsys.readouterr().out.split())
    place = importlib.util.spec_from_file_location("generate", ROOT / "docs" / "generate.py")
    pages = importlib.util.module_from_spec(place)
    place.loader.exec_module(pages)
    assert "gyration" in pages.step_page(Measure)


def test_every_property_says_what_it_is_and_works_alone():
    for ndim in (2, 3):
        labels = np.zeros((6, 12, 14)[3 - ndim :], np.uint32)
        labels[..., 2:7, 3:9] = 4
        grid = Grid("ZYX"[3 - ndim :], labels.shape)
        for name, p in properties().items():
            assert len(p.definition) > 10
            assert p.definition.endswith(".")
            table = measure(
                Instances.from_labels(labels, grid), Image(labels.astype(np.uint8), grid), properties=[name]
            )
            wanted = ndim in p.dimensions and not p.with_probability
            assert (len(table.columns) > 3) == wanted, name


def test_names_of_properties_and_families_choose():
    assert [p.name for p in chosen(["solidity", "area"])] == ["area", "solidity"]
    assert {p.family for p in chosen(["size"])} == {"size"}
    assert all(p.by_default for p in chosen([]))
    with pytest.raises(ParameterError, match=r"'solidty' \(did you mean 'solidity'\?\)"):
        chosen(["solidty"])


def test_no_objects_give_a_table_without_rows_and_all_its_columns():
    for image in (None, Image.from_array(np.zeros((3, 4)))):
        some = measure(Instances.from_labels(np.ones((3, 4), np.uint32)), image, properties=list(properties()))
        none = measure(Instances.from_labels(np.zeros((3, 4), np.uint32)), image, properties=list(properties()))
        assert list(none.columns) == list(some.columns)
        assert len(none) == 0


def test_one_pixel_and_touching_objects_with_any_ids_have_all_their_numbers():
    labels = np.array([[2**32 - 1, 5], [9, 5]], np.uint32)
    table = measure(Instances.from_labels(labels), Image.from_array(np.array([[1.0, 2.0], [3.0, 4.0]])))
    assert table["id"].tolist() == [5, 9, 2**32 - 1]
    assert table["area_px"].tolist() == [2, 1, 1]
    assert table["n_neighbours"].tolist() == [2, 2, 2]
    assert table["median"].tolist() == [3, 3, 1]
    assert table["solidity"].tolist() == [1, 1, 1]
