"""Commands to try methods out: images with known truth, and what makes them hard."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from segmentry.app.cli.console import counted, note, print_json, progress_bar, show_table

__all__ = ["degrade", "simulate"]


def simulate(
    *,
    out: Annotated[Path, Parameter(name=["--out", "-o"])],
    shape: str = "512,512",
    seed: int = 0,
    spacing: str | None = None,
    radius: float = 9.0,
    density: float = 0.25,
    noise: float = 1.0,
    overwrite: Annotated[bool, Parameter(negative="")] = False,
) -> None:
    """Simulate an image of nuclei, and write its truth beside it as NAME-labels.

    segmentry simulate -o nuclei.tif --shape 512,512 --seed 1

    Parameters
    ----------
    out
        Image to write; its suffix names the format.
    shape
        Rows and columns, or planes, rows and columns.
    seed
        The same seed gives the same image.
    spacing
        Pixel size: `0.5,0.2,0.2um` or `0.2um`. Nuclei are round in space, not in pixels.
    radius
        Mean radius of a nucleus, in pixels of the finest axis.
    density
        Share of the image that nuclei are meant to cover.
    noise
        Factor on all noise; 0 gives none.
    overwrite
        Replace files that exist.
    """
    from segmentry.app.cli.arguments import make_options
    from segmentry.errors import ParameterError
    from segmentry.io import write, write_labels
    from segmentry.simulation import simulate_nuclei

    try:
        sizes = [int(n) for n in shape.split(",")]
    except ValueError:
        raise ParameterError(f"--shape {shape}: two or three whole numbers are needed, like 512,512") from None
    given = make_options(spacing)
    size = given.spacing * len(sizes) if given.spacing and len(given.spacing) == 1 else given.spacing
    unit = given.unit or "um"
    image, truth = simulate_nuclei(sizes, seed, spacing=size, unit=unit, radius=radius, density=density, noise=noise)
    stem, dot, suffix = out.name.partition(".")
    labels = out.with_name(f"{stem}-labels{dot}{suffix}")
    write(out, image, overwrite=overwrite)
    write_labels(labels, truth, overwrite=overwrite)
    note(f"{counted(len(truth), 'object')} in {out}; the truth is {labels}")


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
