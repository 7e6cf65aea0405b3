"""The command that measures."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from segmentry.app.cli.console import counted, note

__all__ = ["measure"]


def measure(
    labels: Annotated[Path, Parameter(name="LABELS")],
    /,
    *,
    image: Path | None = None,
    nuclei: Path | None = None,
    out: Annotated[str, Parameter(name=["--out", "-o"])] = "-",
    properties: str | None = None,
    quantiles: str | None = None,
    surround: str | None = None,
    spacing: str | None = None,
    planes: Annotated[bool, Parameter(negative="")] = False,
    overwrite: Annotated[bool, Parameter(negative="")] = False,
) -> None:
    """Measure objects: position, size, shape, neighbours, intensity and texture, one row each.

    The columns are those of `segmentry properties`; each has its unit in its name.

    Parameters
    ----------
    labels
        Label file.
    image
        Image whose intensities are measured; all its channels are.
    nuclei
        Label file of nuclei. LABELS are cells then, and a row has the numbers of cell, nucleus and cytoplasm.
    out
        Table to write (.csv, .parquet, .h5ad), or - for CSV on standard output.
    properties
        What to measure: names of properties or families, with commas (`size,intensity,solidity`).
    quantiles
        Quantiles of intensity that the property `quantiles` gives: `0.1,0.9`.
    surround
        How far around an object its background reaches: `5` pixels, or `2um`.
    spacing
        Pixel size instead of that in the label file: `0.5,0.2,0.2um`.
    planes
        Measure areas in each plane of a volume.
    overwrite
        Replace a table that exists.
    """
    from segmentry.analysis.measure import Measure
    from segmentry.app.cli.arguments import make_options
    from segmentry.conversion import measure_file
    from segmentry.io import write_table

    asked: dict[str, Any] = {
        "planes": planes,
        "properties": [p.strip() for p in properties.split(",")] if properties else None,
        "quantiles": [q.strip() for q in quantiles.split(",")] if quantiles else None,
        "surround": surround,
    }
    step = Measure(**{key: value for key, value in asked.items() if value is not None})
    table = measure_file(labels, step, image=image, nuclei=nuclei, options=make_options(spacing))
    if out == "-":
        sys.stdout.write(table.to_csv(index=False, lineterminator="\n"))
        return
    write_table(Path(out), table, overwrite=overwrite)
    note(f"{counted(len(table), 'row')} in {out}")
