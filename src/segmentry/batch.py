"""Many inputs: each becomes a folder, one that fails is named and the others go on, a stopped run can be resumed."""

from __future__ import annotations

import glob
import os
import shutil
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from threading import Thread
from typing import Any

from segmentry.errors import Cancelled, OutputError, SegmentryError, one_line
from segmentry.io.digest import sha256
from segmentry.job import Options, load_record, segment_file
from segmentry.recipe import Recipe, differences
from segmentry.run import Progress
from segmentry.trained import file_sha256

__all__ = ["Batch", "output_names", "segment_files"]

SUFFIXES = (".ome.tif", ".ome.tiff", ".ome.zarr", ".nii.gz")


@dataclass
class Batch:
    """What became of the inputs.

    Parameters
    ----------
    done
        Record of each output made now.
    kept
        Outputs that were there already and fit the recipe.
    failed
        Inputs with the reason why there is no output.
    """

    done: list[dict[str, Any]] = field(default_factory=list)
    kept: list[Path] = field(default_factory=list)
    failed: dict[Path, str] = field(default_factory=dict)


def segment_files(
    inputs: Sequence[str | os.PathLike[str]],
    out: str | os.PathLike[str],
    recipe: Recipe,
    options: Options | None = None,
    *,
    resume: bool = False,
    overwrite: bool = False,
    tile: int | None = None,
    progress: Callable[[Path], Progress] | None = None,
) -> Batch:
    """Segment files one after the other into folders of ``out`` that bear their names.

    Parameters
    ----------
    inputs
        Files, or folders that are images.
    out
        Folder of all outputs.
    recipe, options, tile
        As in :func:`segmentry.job.segment_file`.
    resume
        Keep outputs that are complete and were made of the same input by the same recipe; make the others.
    overwrite
        Replace outputs that are there.
    progress
        Gives the progress callback for an input.

    Raises
    ------
    OutputError
        Before anything is done, when outputs exist and neither `resume` nor `overwrite` is true.
    """
    sources, out = [Path(source) for source in inputs], Path(out)
    batch = Batch()
    folders = [out / name for name in output_names(sources)]
    taken = [folder for folder in folders if folder.exists()]
    if taken and not (resume or overwrite):
        more = f" and {len(taken) - 1} more" if len(taken) > 1 else ""
        raise OutputError(
            f"{taken[0]}{more} exist already: use --resume to keep what is done, --overwrite to replace it"
        )
    # What tables are made of takes a third of a second to be loaded, which the first image need not wait for.
    Thread(target=import_module, args=("pandas",), daemon=True).start()
    for source, folder in zip(sources, folders, strict=True):
        try:
            if resume and folder.exists() and not overwrite:
                _check_same(source, folder, recipe, options or Options())
                batch.kept.append(folder)
                continue
            _clear_leftovers(folder)
            tell = progress(source) if progress else None
            batch.done.append(
                segment_file(source, folder, recipe, options, overwrite=overwrite, tile=tile, progress=tell)
            )
        except Cancelled:
            raise
        except SegmentryError as error:
            batch.failed[source] = one_line(error)
        except MemoryError:
            batch.failed[source] = "not enough memory"
    return batch


def output_names(sources: Sequence[Path]) -> list[str]:
    """Return the name of each input's folder: its own without suffix, with it, or with its folder's name before it.

    Raises
    ------
    OutputError
        When two inputs still have one name.

    >>> output_names([Path("a/x.tif"), Path("a/y.tif"), Path("a/y.png"), Path("b/z.ome.tif")])
    ['x', 'y.tif', 'y.png', 'z']
    """
    ways = ([_stem(s.name) for s in sources], [s.name for s in sources], [f"{s.parent.name}-{s.name}" for s in sources])
    counts = [Counter(name.lower() for name in way) for way in ways]
    found = []
    for names in zip(*ways, strict=True):
        free = [name for name, count in zip(names, counts, strict=True) if count[name.lower()] == 1]
        if not free:
            raise OutputError(f"several inputs are called {names[-1]}: segment them into different folders")
        found.append(free[0])
    return found


def _clear_leftovers(folder: Path) -> None:
    """Remove what a killed run left of this one output; those of others may be in the making."""
    for left in folder.parent.glob(f".{glob.escape(folder.name)}.{'?' * 8}.partial"):
        shutil.rmtree(left, ignore_errors=True)


def _stem(name: str) -> str:
    for suffix in SUFFIXES:
        if name.lower().endswith(suffix):
            return name[: -len(suffix)] or name
    return Path(name).stem or name


def _check_same(source: Path, folder: Path, recipe: Recipe, options: Options) -> None:
    """Refuse to keep an output that was made otherwise than what is asked for now."""
    record = load_record(folder)
    asked = {"recipe": recipe.to_dict(), "options": options.to_dict()}
    changed = differences({key: record[key] for key in asked}, asked)
    if changed:
        raise OutputError(f"{folder} was made otherwise ({changed[0]}): use --overwrite or another folder")
    if record["input"].get("sha256") != sha256(source):
        raise OutputError(f"{folder} was made of other data than {source} holds now: use --overwrite")
    used = {one["sha256_"] for one in dict(record.get("learned") or {}).values() if "sha256_" in one}
    for step in (*recipe.filters, recipe.method, *recipe.cleaning):
        model = getattr(step, "model", "") if step.trained else ""
        if model and used and file_sha256(Path(model)) not in used:
            raise OutputError(f"{folder} was made with another model than {model} is now: use --overwrite")
