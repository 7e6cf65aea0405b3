import json

import anndata
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from segmentry.analysis.measure import labels_sha256, measure, stale
from segmentry.errors import InputError, OutputError
from segmentry.image import Grid, Image
from segmentry.io import read_table, write_table
from segmentry.result import Instances

LABELS = np.array([[0, 7, 7, 0], [2**32 - 1, 0, 7, 0], [2**32 - 1, 0, 0, 0]], np.uint32)
GRID = Grid("YX", (3, 4), (0.5, 0.5), "um")


@pytest.fixture
def table():
    image = Image(np.arange(24, dtype=np.uint16).reshape(2, 3, 4), Grid("CYX", (2, 3, 4)), ("DAPI", "GFP"))
    return measure(Instances.from_labels(LABELS, GRID), image)


@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".h5ad"])
def test_a_table_comes_back_with_its_numbers_and_the_hash_of_its_labels(suffix, table, tmp_path):
    path = write_table(tmp_path / f"objects{suffix}", table)
    found = read_table(path)
    assert found.attrs["labels_sha256"] == table.attrs["labels_sha256"]
    assert sorted(found.columns) == sorted(table.columns)
    for column in table.columns:
        if table[column].dtype.kind in "iuf":
            np.testing.assert_array_equal(found[column].to_numpy(np.float64), table[column].to_numpy(np.float64))
        elif column != "score":
            assert found[column].astype(str).tolist() == table[column].astype(str).tolist()


def test_csv_on_the_web_says_what_the_columns_are(table, tmp_path):
    write_table(tmp_path / "objects.csv", table)
    beside = json.loads((tmp_path / "objects.csv-metadata.json").read_text("utf-8"))
    assert beside["url"] == "objects.csv"
    columns = {c["titles"]: c for c in beside["tableSchema"]["columns"]}
    assert list(columns) == list(table.columns) == list(pd.read_csv(tmp_path / "objects.csv").columns)
    assert columns["id"]["datatype"] == "integer"
    assert columns["area_um2"]["datatype"] == "double"
    assert all(c["dc:description"] for c in columns.values())
    assert columns["mean_GFP"]["dc:description"] == columns["mean_DAPI"]["dc:description"]


def test_parquet_and_anndata_are_what_other_programs_expect(table, tmp_path):
    write_table(tmp_path / "objects.parquet", table)
    field = pq.read_schema(tmp_path / "objects.parquet").field("area_um2")
    assert b"pixel" in field.metadata[b"description"]
    write_table(tmp_path / "objects.h5ad", table)
    found = anndata.read_h5ad(tmp_path / "objects.h5ad")
    assert list(found.obs_names) == ["7", str(2**32 - 1)]
    assert found.obs["class"].tolist() == ["object"] * 2
    assert found.obsm["spatial"].tolist() == table[["centroid_x_um", "centroid_y_um"]].to_numpy().tolist()
    assert found[:, "mean_GFP"].X.ravel().tolist() == table["mean_GFP"].tolist()
    assert found.var.loc["mean_GFP", "meaning"]


def test_a_table_says_when_it_does_not_fit_any_more(table, tmp_path):
    instances = Instances.from_labels(LABELS, GRID)
    write_table(tmp_path / "objects.csv", table)
    found = read_table(tmp_path / "objects.csv")
    assert stale(found, instances) == ""
    other = LABELS.copy()
    other[0, 0] = 7
    assert "other labels" in stale(found, Instances.from_labels(other, GRID))
    (tmp_path / "objects.csv-metadata.json").unlink()
    assert stale(read_table(tmp_path / "objects.csv"), instances) == ""


def test_the_hash_is_of_shape_and_ids():
    assert labels_sha256(LABELS) == labels_sha256(np.asfortranarray(LABELS))
    assert labels_sha256(LABELS) != labels_sha256(LABELS.reshape(4, 3))


def test_what_can_not_be_saved_or_read_is_told(table, tmp_path):
    with pytest.raises(OutputError, match=r"\.xlsx.*\.csv"):
        write_table(tmp_path / "objects.xlsx", table)
    write_table(tmp_path / "objects.csv", table)
    with pytest.raises(OutputError, match="exists"):
        write_table(tmp_path / "objects.csv", table)
    with pytest.raises(InputError, match="does not exist"):
        read_table(tmp_path / "none.csv")
    for suffix in (".csv", ".parquet", ".h5ad"):
        bad = tmp_path / f"bad{suffix}"
        bad.write_bytes(b"\x00\xff" * 50)
        with pytest.raises(InputError, match="can't be read"):
            read_table(bad)
    (tmp_path / "objects.csv-metadata.json").write_text("{", "utf-8")
    with pytest.raises(InputError, match="can't be read"):
        read_table(tmp_path / "objects.csv")


def test_series_have_names_that_are_their_own(tmp_path):
    labels = np.ones((2, 3, 3), np.uint32)
    table = measure(Instances.from_labels(labels, Grid("TYX", labels.shape)))
    write_table(tmp_path / "objects.h5ad", table)
    assert list(anndata.read_h5ad(tmp_path / "objects.h5ad").obs_names) == ["0-1", "1-1"]
