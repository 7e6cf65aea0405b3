"""The command that tries methods out on an image that is made hard step by step."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from segmentry.app.cli.console import print_json, progress_bar, show_table

__all__ = ["degrade"]


def degrade(
    image: Annotated[Path, Parameter(name="IMAGE")],
    truth: Annotated[Path, Parameter(name="TRUTH")],
    /,
    *,
    out: Annotated[Path, Parameter(name=["--out", "-o"])],
    methods: str = "nuclei_classic,watershed,log_edges,otsu,local_mean",
    kinds: str | None = None,
    seed: int = 0,
    channel: str | None = None,
    overwrite: Annotated[bool, Parameter(negative="")] = False,
    json: Annotated[bool, Parameter(negative="")] = False,
) -> None:
    """Degrade an image step by step, and show how methods' scores fall, with and without the filter made for it.

    Writes scores.csv, scores.svg (a chart; needs the extra `charts`) and the degraded images into a folder.

    Parameters
    ----------
    image
        Image of one time point.
    truth
        Labels of its objects.
    out
        Folder for the results.
    methods
        Names of methods and of recipes that come along, with commas between them.
    kinds
        What to do to the image, with commas: noise, blur, illumination, contrast, anisotropy, partial_volume,
        artefacts. All when left out.
    seed
        Seed of the noise.
    channel
        Name or number (from 0) of the channel.
    overwrite
        Replace a folder that exists.
    json
        Print the scores as JSON.
    """
    from segmentry.trials import degrade_file

    with progress_bar(1) as bar:
        rows = degrade_file(
            image,
            truth,
            out,
            [m.strip() for m in methods.split(",")],
            [k.strip() for k in kinds.split(",")] if kinds else None,
            seed=seed,
            channel=channel,
            overwrite=overwrite,
            tell=bar(image),
        )
    if json:
        return print_json(rows)
    return show_table(f"AP at IoU 0.50, with the filter in brackets; all scores are in {out}", *_summary(rows))


def _summary(rows: list[dict[str, Any]]) -> tuple[list[str], list[list[str]]]:
    """Return a table with a line for each kind and amount and a column for each method."""
    methods = list(dict.fromkeys(row["method"] for row in rows))
    cells: dict[tuple[str, float], dict[str, str]] = {}
    for row in rows:
        line = cells.setdefault((row["kind"], row["amount"]), dict.fromkeys(methods, ""))
        line[row["method"]] += f" ({row['ap50']:.2f})" if row["filter"] else f"{row['ap50']:.2f}"
    return ["kind", "amount", *methods], [
        [kind, f"{amount:g}", *line.values()] for (kind, amount), line in cells.items()
    ]
