"""The main job: one input file becomes a folder with labels, a table, a picture and the record of what was done."""

from __future__ import annotations

import json
import os
import platform
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

import segmentry
from segmentry.analysis.measure import Measure
from segmentry.errors import InputError, OutputError, one_line
from segmentry.image import SPATIAL, Image, Transposed
from segmentry.io import read, write, write_labels, write_table, written_whole
from segmentry.io.digest import sha256
from segmentry.overview import Overview
from segmentry.picture import draw_overview
from segmentry.recipe import Recipe
from segmentry.result import Panoptic, Semantic
from segmentry.run import Outcome, Progress

__all__ = ["RECORD", "Options", "load_record", "segment_file"]

RECORD = "run.json"
FORMAT = 1
#: Labels of images that are read piece by piece, beyond this many pixels, go to OME-Zarr instead of OME-TIFF.
LARGE = 2**26
#: How hard a picture is compressed: more takes twice as long and saves nothing.
PACKED = 3
_LIBRARIES = ("numpy", "scipy", "scikit-image", "numba", "pandas", "tifffile", "imagecodecs", "Pillow", "zarr")


@dataclass(frozen=True)
class Options:
    """What is said about an input beside the recipe, because it changes what comes out.

    Parameters
    ----------
    spacing, unit
        Pixel size per spatial axis that replaces that of the file; one number stands for all axes.
    probabilities
        Save the probability of each class, where the method gives it.
    axes
        What the axes are, instead of what the file says, in the order in which they are read: a letter each.
    """

    spacing: tuple[float, ...] | None = None
    unit: str | None = None
    probabilities: bool = False
    axes: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the options as plain data."""
        return {
            "axes": self.axes,
            "spacing": self.spacing and list(self.spacing),
            "unit": self.unit,
            "probabilities": self.probabilities,
        }

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Options:
        """Return the options in plain data."""
        spacing = content.get("spacing")
        size = spacing and tuple(float(s) for s in spacing)
        return cls(size, content.get("unit"), bool(content.get("probabilities")), content.get("axes"))

    def applied(self, image: Image) -> Image:
        """Return the image with the axes and the pixel size that were given.

        Raises
        ------
        InputError
            When the numbers don't fit the axes.
        """
        if self.axes is not None:
            image = _renamed(image, self.axes.upper())
        if self.spacing is None:
            return image
        axes = image.grid.spatial
        spacing = self.spacing * len(axes) if len(self.spacing) == 1 else self.spacing
        if len(spacing) != len(axes):
            raise InputError(f"spacing {self.spacing} has {len(spacing)} numbers; the image has the axes {axes}")
        return replace(image, grid=replace(image.grid, spacing=spacing, unit=self.unit or "um", affine=None))


def segment_file(
    source: str | os.PathLike[str],
    folder: str | os.PathLike[str],
    recipe: Recipe,
    options: Options | None = None,
    *,
    overwrite: bool = False,
    tile: int | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Segment one file into a folder, which appears whole or not at all.

    Parameters
    ----------
    source
        File (or folder that is an image) to read.
    folder
        Where ``labels.ome.tif`` (or ``labels.zarr``), ``objects.csv``, ``overview.png`` and ``run.json`` go;
        ``classes.ome.tif`` as well for a semantic method, and ``NAME.csv`` for each further analysis.
    recipe, options
        What is done.
    overwrite
        Replace an existing folder.
    tile, progress
        As in :func:`segmentry.run.run`.

    Returns
    -------
    dict
        The record that was written to ``run.json``.

    Raises
    ------
    SegmentryError
        When the file can't be read, the method can't be used on it, or the folder exists or can't be written.
    """
    started = time.monotonic()
    source, folder = Path(source), Path(folder)
    if folder.exists() and not overwrite:
        raise OutputError(f"{folder} exists already: use --overwrite to replace it, or --resume to keep what is done")
    with written_whole(folder, overwrite) as aside:
        aside.mkdir()
        image = options.applied(read(source)) if options else read(source)
        outcome = recipe.run(
            image,
            probabilities=bool(options and options.probabilities),
            tile=tile,
            workspace=aside.parent,
            progress=progress,
        )
        provenance = {
            "segmentry": segmentry.__version__,
            "input": {"name": source.name, "sha256": sha256(source)},
            "recipe": recipe.to_dict(),
            "options": (options or Options()).to_dict(),
            "learned": _learned(outcome),
        }
        if progress:
            progress("writing", 1.0)
        _write_outputs(aside, image, outcome, recipe, provenance, bool(options and options.probabilities))
        record = {
            "format": FORMAT,
            **provenance,
            "path": str(source.resolve()),
            "image": _described(image),
            "objects": len(outcome.instances),
            "device": outcome.segmenter.runs_on(),
            "seconds": round(time.monotonic() - started, 3),
            "peak_memory_mb": _peak_memory(),
            "warnings": list(outcome.notes),
            "versions": dict(_versions()),
            "outputs": {p.name: sha256(p) for p in sorted(aside.iterdir())},
        }
        text = json.dumps(record, indent=2, ensure_ascii=False)
        (aside / RECORD).write_text(text + "\n", "utf-8")
    return record


def _renamed(image: Image, axes: str) -> Image:
    """Return an image whose axes are called otherwise; the pixel size stays with the axes that keep their name."""
    grid = image.grid
    if len(axes) != len(grid.axes):
        raise InputError(f"axes {axes!r} given for an image that is read as {grid.axes} {grid.shape}: a letter each")
    known = dict(zip(grid.spatial, grid.spacing or (), strict=False))
    kept = {new for new, old in zip(axes, grid.axes, strict=True) if new == old}
    spatial = [a for a in SPATIAL if a in axes]
    spacing = [known[a] for a in spatial] if all(a in kept and a in known for a in spatial) else None
    channels = image.channels if "C" in kept else ()
    found = Image.from_array(image.data, axes, spacing=spacing, unit=grid.unit if spacing else None, channels=channels)
    return replace(found, name=image.name, provenance=image.provenance, kind=image.kind)


def load_record(folder: Path) -> dict[str, Any]:
    """Return the record of an output folder.

    Raises
    ------
    InputError
        When there is none, or it is damaged.
    """
    try:
        record = json.loads((folder / RECORD).read_text("utf-8"))
        if record["format"] != FORMAT:
            raise InputError(f"{folder / RECORD} has format {record['format']!r}; this program reads {FORMAT}")
        if not isinstance(record["path"], str):
            raise InputError(f"{folder / RECORD} is damaged: path is not a text")
        for key in ("input", "recipe", "options", "outputs", "versions"):
            if not isinstance(record[key], dict):
                raise InputError(f"{folder / RECORD} is damaged: {key} is not a mapping")
    except FileNotFoundError:
        raise InputError(f"{folder} has no {RECORD}: it is not an output of segmentry") from None
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{folder / RECORD} is damaged: {one_line(error)}") from error
    found: dict[str, Any] = record
    return found


def _write_outputs(
    folder: Path,
    image: Image,
    outcome: Outcome,
    recipe: Recipe,
    provenance: Mapping[str, Any],
    probabilities: bool,
) -> None:
    instances = outcome.instances
    large = not isinstance(image.data, np.ndarray) and instances.grid.size > LARGE
    end = ".zarr" if large else ".ome.tif"
    write_labels(folder / f"labels{end}", instances, provenance=provenance)
    semantic = outcome.result if isinstance(outcome.result, Semantic) else None
    if semantic is not None:
        classes = Image(semantic.classes, semantic.grid, (), "", provenance)
        write(folder / f"classes{end}", classes, kind="classes")
        if probabilities and semantic.probabilities is not None:
            grid = semantic.grid.with_axis("C", len(semantic.names))
            data = _channels_in_place(semantic.probabilities, grid.axes.index("C"))
            write(folder / f"probabilities{end}", Image(data, grid, semantic.names, "", provenance))
    steps = [s for s in recipe.analyses if s.name != Measure.name]
    measure = next((s for s in recipe.analyses if isinstance(s, Measure)), Measure(planes=recipe.planes))
    result = outcome.result if semantic is None else Panoptic(semantic, instances)
    table = measure.analyse(result, image)
    write_table(folder / "objects.csv", table)
    for step in steps:
        step.analyse(result, image).to_csv(folder / f"{step.name}.csv", index=False, lineterminator="\n")
    _write_picture(folder / "overview.png", image, outcome, recipe, provenance)


def _write_picture(path: Path, image: Image, outcome: Outcome, recipe: Recipe, provenance: Mapping[str, Any]) -> None:
    from PIL.PngImagePlugin import PngInfo

    channel = None if any(step.colour for step in recipe.filters) else recipe.channel
    shown = image if channel is None else image.channel(channel)
    thresholds = outcome.segmenter.thresholds()
    histogram = Overview(outcome.filtered).histogram() if thresholds else None
    count = len(outcome.instances)
    title = f"{provenance['input']['name']}   ·   {recipe.method.name}   ·   {count:,} object{'s' * (count != 1)}"
    picture = draw_overview(shown, outcome.instances, title, histogram, thresholds)
    notes = PngInfo()
    notes.add_itxt("segmentry", json.dumps(provenance, sort_keys=True))
    picture.save(path, pnginfo=notes, compress_level=PACKED)


def _channels_in_place(probabilities: Any, place: int) -> Any:
    """Return probabilities with their first axis moved to where channels stand."""
    order = [*range(1, place + 1), 0, *range(place + 1, len(probabilities.shape))]
    return Transposed(probabilities, order) if place else probabilities


def _learned(outcome: Outcome) -> dict[str, Any]:
    steps = (*outcome.filters, outcome.segmenter, *outcome.cleaners)
    return {step.name: found for step in steps if (found := step.fitted())}


def _described(image: Image) -> dict[str, Any]:
    grid = image.grid
    return {
        "axes": grid.axes,
        "shape": list(grid.shape),
        "spacing": grid.spacing and list(grid.spacing),
        "unit": grid.unit,
        "type": str(image.dtype),
        "channels": list(image.channels),
    }


@cache
def _versions() -> dict[str, str]:
    found = {"segmentry": segmentry.__version__, "python": platform.python_version()}
    return found | {name: version(name) for name in _LIBRARIES}


def _peak_memory() -> int:
    """Return the largest resident memory of this process so far, in megabytes."""
    if sys.platform == "win32":
        import psutil

        return int(psutil.Process().memory_info().peak_wset // 2**20)
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return int(peak // (2**20 if sys.platform == "darwin" else 2**10))
