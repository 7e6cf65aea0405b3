"""Tables of objects in files, each with the meaning of its columns and the hash of the labels that it was made of.

CSV files have both beside them, as the W3C's CSV on the Web wants it (``NAME.csv-metadata.json``). Parquet files hold
them in their schema, AnnData files in ``var`` and ``uns``.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from segmentry.errors import InputError, MissingExtraError, OutputError, nearest, one_line
from segmentry.io.files import written_whole

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["MEANINGS", "SHA256", "TABLES", "TOLD", "read_table", "write_table"]

#: Under which keys the attributes of a table hold what its columns mean, by their names, and the hash of its labels.
MEANINGS, SHA256 = "meanings", "labels_sha256"
TABLES = (".csv", ".parquet", ".h5ad")
#: What says which object a row is of; the rest is measured.
TOLD = {
    "id": "Id of the object in the labels.",
    "time": "Number of the time point, the first being 0.",
    "plane": "Number of the plane, the first being 0.",
    "time_s": "Seconds since the first time point.",
    "class": "Name of the object's class.",
    "score": "How sure the method is of the object, 0 … 1; missing where it can't say.",
}


def write_table(path: str | os.PathLike[str], table: pd.DataFrame, *, overwrite: bool = False) -> Path:
    """Save a table in the format that the suffix names: ``.csv``, ``.parquet`` or ``.h5ad`` (AnnData).

    Parameters
    ----------
    table
        With a row per object; ``attrs["labels_sha256"]`` and ``attrs["meanings"]``, which says by their names what
        columns mean, are saved where they are there.

    Raises
    ------
    OutputError
        When the suffix is another, or the file exists and `overwrite` is false.
    MissingExtraError
        When the format needs a library that is not there.
    """
    path = Path(path)
    write = {".csv": _write_csv, ".parquet": _write_parquet, ".h5ad": _write_anndata}.get(path.suffix.lower())
    if write is None:
        raise OutputError(f"{path.name}: tables are saved as {', '.join(TABLES)}{nearest(path.suffix, TABLES)}")
    if write is _write_csv and path.exists() and not overwrite:
        raise OutputError(f"{path} exists already: choose another name, or allow it to be overwritten")
    if write is _write_csv:
        with written_whole(_beside(path), overwrite=True) as aside:
            aside.write_text(_described(path.name, table), "utf-8")
    with written_whole(path, overwrite) as aside:
        write(aside, table)
    return path


def read_table(path: str | os.PathLike[str]) -> pd.DataFrame:
    """Open a table that :func:`write_table` saved, or any CSV or Parquet file with an object in each row.

    Raises
    ------
    InputError
        When the file can't be read.
    """
    path = Path(path)
    read = {".csv": _read_csv, ".parquet": _read_parquet, ".h5ad": _read_anndata}.get(path.suffix.lower())
    if read is None:
        raise InputError(f"{path.name}: tables are read from {', '.join(TABLES)}")
    if not path.is_file():
        raise InputError(f"{path} does not exist")
    try:
        return read(path)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise InputError(f"{path.name} can't be read as a table: {one_line(error)}") from error


def _beside(path: Path) -> Path:
    return path.with_name(f"{path.name}-metadata.json")


def _meanings(table: pd.DataFrame) -> Mapping[str, str]:
    found: Mapping[str, str] = table.attrs.get(MEANINGS, {})
    return found


def _described(name: str, table: pd.DataFrame) -> str:
    columns: list[dict[str, Any]] = []
    meanings = _meanings(table)
    for column, kind in table.dtypes.items():
        types = {"i": "integer", "u": "integer", "f": "double", "b": "boolean"}
        told = {"dc:description": meanings[str(column)]} if str(column) in meanings else {}
        columns.append({"titles": column, "datatype": types.get(kind.kind, "string"), **told})
    content: dict[str, Any] = {"@context": "http://www.w3.org/ns/csvw", "url": name}
    if SHA256 in table.attrs:
        content["dc:source"] = f"labels, sha256:{table.attrs[SHA256]}"
    content["tableSchema"] = {"columns": columns}
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"


def _write_csv(path: Path, table: pd.DataFrame) -> None:
    table.to_csv(path, index=False, lineterminator="\n")


def _read_csv(path: Path) -> pd.DataFrame:
    import pandas as pd

    table = pd.read_csv(path, float_precision="round_trip")
    beside = _beside(path)
    if beside.exists():
        source = str(json.loads(beside.read_text("utf-8")).get("dc:source", ""))
        if "sha256:" in source:
            table.attrs[SHA256] = source.rpartition("sha256:")[2]
    return table


def _write_parquet(path: Path, table: pd.DataFrame) -> None:
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as error:
        raise MissingExtraError("writing Parquet", "tables") from error
    found, meanings = pa.Table.from_pandas(table, preserve_index=False), _meanings(table)
    fields = [f.with_metadata({"description": meanings[f.name]}) if f.name in meanings else f for f in found.schema]
    pq.write_table(found.cast(pa.schema(fields, metadata=found.schema.metadata)), path)


def _read_parquet(path: Path) -> pd.DataFrame:
    try:
        import pyarrow.parquet as pq
    except ImportError as error:
        raise MissingExtraError("reading Parquet", "tables") from error
    table: pd.DataFrame = pq.read_table(path).to_pandas()
    return table


def _write_anndata(path: Path, table: pd.DataFrame) -> None:
    try:
        import anndata
    except ImportError as error:
        raise MissingExtraError("writing AnnData", "tables") from error
    import pandas as pd

    numbers = [c for c in table.columns if c not in TOLD and table[c].dtype.kind in "iuf"]
    told = table[[c for c in table.columns if c not in numbers]].reset_index(drop=True)
    when = told["time"].astype(str) + "-" if "time" in told else ""
    told.index = pd.Index((when + told["id"].astype(str)).to_list(), dtype=object)
    meanings = [_meanings(table).get(c, "") for c in numbers]
    var = pd.DataFrame({"meaning": meanings}, index=pd.Index(numbers, dtype=object))
    places = [c for axis in "xyz" for c in numbers if c.startswith(f"centroid_{axis}_")]
    found = anndata.AnnData(
        X=table[numbers].to_numpy(np.float64),
        obs=told,
        var=var,
        obsm={"spatial": table[places].to_numpy(np.float64)} if places else None,
        uns={SHA256: table.attrs[SHA256]} if SHA256 in table.attrs else None,
    )
    found.write_h5ad(path)


def _read_anndata(path: Path) -> pd.DataFrame:
    try:
        import anndata
    except ImportError as error:
        raise MissingExtraError("reading AnnData", "tables") from error
    import pandas as pd

    found = anndata.read_h5ad(path)
    numbers = pd.DataFrame(np.asarray(found.X), index=found.obs.index, columns=found.var_names)
    table: pd.DataFrame = pd.concat([found.obs, numbers], axis=1).reset_index(drop=True)
    if SHA256 in found.uns:
        table.attrs[SHA256] = str(found.uns[SHA256])
    return table
