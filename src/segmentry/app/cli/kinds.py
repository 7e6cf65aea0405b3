"""The command that tells kinds of objects apart."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from segmentry.app.cli.console import counted, note

__all__ = ["classify"]


def classify(
    labels: Annotated[Path, Parameter(name="LABELS")],
    /,
    *,
    model: Path,
    out: Annotated[Path, Parameter(name=["--out", "-o"])],
    image: Path | None = None,
    table: Path | None = None,
    suggest: int | None = None,
    spacing: str | None = None,
    axes: str | None = None,
    overwrite: Annotated[bool, Parameter(negative="")] = False,
) -> None:
    """Give objects their classes by a model that has learned from examples. Ids are kept.

    segmentry classify labels.tif --model kinds.safetensors --image image.tif -o sorted.tif --table kinds.csv

    Parameters
    ----------
    labels
        Label file.
    model
        File of the model, or project of ilastik (.ilp) that classifies objects.
    out
        Label file to write; its suffix names the format.
    image
        Image that the labels are of, for models that look at intensities.
    table
        Table to write (.csv, .parquet, .h5ad): class and probabilities of each object.
    suggest
        Print this many objects whose class the model would best be told next, as a table of examples.
    spacing
        Pixel size instead of that in the label file: `0.5,0.2,0.2um`.
    axes
        What the axes are where the file does not say or is wrong: `TYX`, `ZYX` …
    overwrite
        Replace files that exist.
    """
    from segmentry.app.cli.arguments import make_options
    from segmentry.kinds import classify_file
    from segmentry.object_classification import suggest as unsure

    options = make_options(spacing, axes=axes)
    found, told = classify_file(labels, model, out, image=image, table=table, options=options, overwrite=overwrite)
    if suggest is not None:
        print(unsure(told, suggest)[["id", "class", "probability"]].to_csv(index=False, lineterminator="\n"), end="")
    counts = told.drop_duplicates("id")["class"].value_counts()
    note(f"{counted(len(found), 'object')} in {out}: {', '.join(f'{n:,} {name}' for name, n in counts.items())}")
