"""Commands on files that exist: convert, clean, check."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from segmentry.app.cli.console import counted, note, print_json, show_table

__all__ = ["check", "clean", "convert"]


def convert(
    source: Annotated[Path, Parameter(name="INPUT")],
    target: Annotated[Path, Parameter(name="OUTPUT")],
    /,
    *,
    labels: Annotated[bool, Parameter(negative="")] = False,
    spacing: str | None = None,
    axes: str | None = None,
    overwrite: Annotated[bool, Parameter(negative="")] = False,
) -> None:
    """Convert an image or labels to the format that the suffix of OUTPUT names, keeping pixel size and names.

    A project of ilastik (.ilp) becomes a recipe, with its classifier in a file beside it.

    Parameters
    ----------
    source
        File to read.
    target
        File to write.
    labels
        Treat the pixels as object ids. Outlines (COCO .json, .geojson, ROI .zip) always are.
    spacing
        Pixel size instead of that in the file: `0.5,0.2,0.2um`.
    axes
        What the axes are where the file does not say or is wrong: `TYX`, `CYX` …
    overwrite
        Replace a file that exists.
    """
    from segmentry.app.cli.arguments import make_options
    from segmentry.conversion import convert_file, convert_project

    if source.suffix.lower() == ".ilp":
        for left in convert_project(source, target, overwrite=overwrite):
            note(f"not carried over: {left}")
        return note(f"{target}: recipe")
    what = convert_file(source, target, as_labels=labels, options=make_options(spacing, axes=axes), overwrite=overwrite)
    return note(f"{target}: {_described(what)}")


def clean(
    labels: Annotated[Path, Parameter(name="LABELS")],
    /,
    *,
    out: Annotated[Path, Parameter(name=["--out", "-o"])],
    clean: Annotated[list[str] | None, Parameter(name="--clean", negative="")] = None,
    image: Path | None = None,
    spacing: str | None = None,
    axes: str | None = None,
    overwrite: Annotated[bool, Parameter(negative="")] = False,
) -> None:
    """Clean labels that exist: mended by hand, or made by another program. Ids are kept.

    segmentry clean labels.tif -o clean.tif --clean fill_holes --clean drop_small:min_size=30

    Parameters
    ----------
    labels
        Label file.
    out
        Label file to write; its suffix names the format.
    clean
        Step to take, as `name` or `name:key=value,…`; may be given again.
    image
        Image that the labels are of, for steps that measure intensities.
    spacing
        Pixel size instead of that in the file: `0.5,0.2,0.2um`.
    axes
        What the axes are where the file does not say or is wrong: `TYX`, `ZYX` …
    overwrite
        Replace a file that exists.
    """
    from segmentry.app.cli.arguments import make_cleaners, make_options
    from segmentry.conversion import clean_file

    options = make_options(spacing, axes=axes)
    what = clean_file(labels, out, make_cleaners(clean or ()), image=image, options=options, overwrite=overwrite)
    note(f"{out}: {_described(what)}")


def check(
    labels: Annotated[Path, Parameter(name="LABELS")],
    /,
    *,
    axes: str | None = None,
    table: Path | None = None,
    json: Annotated[bool, Parameter(negative="")] = False,
) -> int:
    """Look for fragments, holes, single pixels and wrong ids in labels, and say what mends them.

    The exit code is 1 where there is a problem.

    Parameters
    ----------
    labels
        Label file.
    axes
        What the axes are where the file does not say or is wrong: `TYX`, `ZYX` …
    table
        Table that should be of these labels: whether it still is.
    json
        Print as JSON.
    """
    from segmentry.app.cli.arguments import make_options
    from segmentry.conversion import check_file

    report = check_file(labels, make_options(axes=axes), table)
    if json:
        print_json(report.to_dict())
        return int(not report.fine)
    print(f"{labels.name}: {counted(report.objects, 'object')}{', no problem' if report.fine else ''}")
    rows = [
        [f.kind, f"{f.count:,} {f.says}", ", ".join(map(str, f.ids)) + " …" * (f.count > len(f.ids) > 0), f.mended_by]
        for f in report.findings
    ]
    if rows:
        show_table("", ["", "what", "ids", "mended by"], rows)
    return int(not report.fine)


def _described(what: Any) -> str:
    grid = what.grid
    kind = counted(len(what), "object") if hasattr(what, "ids") else f"image of {what.dtype}"
    size = "" if grid.spacing is None else f", {' x '.join(f'{s:g}' for s in grid.spacing)} {grid.unit}"
    return f"{kind}, {grid.axes} {' x '.join(str(n) for n in grid.shape)}{size}"
