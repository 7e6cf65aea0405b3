"""The command that counts."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from segmentry.app.cli.console import note, print_json, show_table

__all__ = ["count"]


def count(
    images: Annotated[list[Path], Parameter(name="IMAGE", negative="")],
    /,
    *,
    model: Path,
    out: Annotated[Path | None, Parameter(name=["--out", "-o"])] = None,
    channel: str | None = None,
    overwrite: Annotated[bool, Parameter(negative="")] = False,
    json: Annotated[bool, Parameter(negative="")] = False,
) -> None:
    """Count objects without outlines, by a model that learned from dots.

    segmentry count images --model colonies.safetensors

    Parameters
    ----------
    images
        Images, folders of them, or patterns.
    model
        File of the model, made by `segmentry train density_counting`.
    out
        Table to write (.csv, .parquet).
    channel
        Name or number of the channel to look at; all that the model knows when nothing is said.
    overwrite
        Replace a table that exists.
    json
        Print the counts as JSON.
    """
    import math

    import pandas as pd

    from segmentry.counting import count_file
    from segmentry.errors import InputError
    from segmentry.io import find_inputs, write_table
    from segmentry.io.tables import MEANINGS
    from segmentry.trained import file_sha256
    from segmentry.trained_models import load_density_model

    if not images:
        raise InputError("no image is given")
    known = load_density_model(model)
    files = find_inputs(images)
    rows: list[dict[str, Any]] = []
    for file in files:
        found = count_file(file, known, channel)
        for time, one in enumerate(found):
            when = {"time": time} if len(found) > 1 else {}
            rows.append({"image": str(file), **when, "count": one.number, "low": one.low, "high": one.high})
    numbers = [row["count"] for row in rows]
    low, high = known.errors.interval(numbers)
    total = {"count": sum(numbers), "low": low, "high": high}
    if out is not None:
        counts = pd.DataFrame(rows)
        counts.attrs[MEANINGS] = _TOLD
        write_table(out, counts, overwrite=overwrite)
        note(f"{out}: {len(rows):,} counts")
    if json:
        print_json({"model": str(model), "sha256": file_sha256(model), "counts": rows, "total": total})
        return
    shown = [*rows, {"image": "all", **total}] if len(rows) > 1 else rows
    table = []
    for row in shown:
        place = row["image"] + (f", time {row['time']}" if "time" in row else "")
        between = "not known" if math.isnan(row["low"]) else f"{row['low']:,.1f} … {row['high']:,.1f}"
        table.append([place, f"{row['count']:,.1f}", between])
    show_table("", ["image", "count", "95 of 100 times between"], table)


_TOLD = {
    "image": "File of the image.",
    "time": "Number of the time point, the first being 0.",
    "count": "Number of objects.",
    "low": "The true number is hardly lower (95 % interval, with high).",
    "high": "The true number is hardly higher (95 % interval, with low).",
}
