"""Replay: make an output again from its own record, and say whether it is the same, byte for byte."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from segmentry.errors import InputError
from segmentry.io import read_labels, read_provenance
from segmentry.io.digest import sha256
from segmentry.job import RECORD, Options, load_record, segment_file
from segmentry.recipe import Recipe, differences
from segmentry.run import Progress
from segmentry.tiling import slabs

__all__ = ["Replay", "output_folders", "replay"]


@dataclass
class Replay:
    """What a replay found.

    Parameters
    ----------
    folder
        The output.
    same
        Files that came out byte for byte as they lie there.
    differences
        What differs, a line each; empty when everything is the same.
    """

    folder: Path
    same: list[str] = field(default_factory=list)
    differences: list[str] = field(default_factory=list)


def output_folders(path: str | os.PathLike[str]) -> list[Path]:
    """Return the outputs that a path means: the output folder itself, one it holds, or the one that a file lies in.

    Raises
    ------
    InputError
        When there is none.
    """
    path = Path(path)
    if path.is_dir() and (path / RECORD).exists():
        return [path]
    if (path.parent / RECORD).exists() and path.exists():
        return [path.parent]
    found = sorted(p.parent for p in path.glob(f"*/{RECORD}")) if path.is_dir() else []
    if not found:
        raise InputError(f"{path} is no output of segmentry: there is no {RECORD} in it or beside it")
    return found


def replay(
    folder: str | os.PathLike[str], source: str | os.PathLike[str] | None = None, progress: Progress | None = None
) -> Replay:
    """Make an output again and compare.

    Parameters
    ----------
    folder
        An output folder.
    source
        The input, where it no longer lies where the record says.

    Raises
    ------
    InputError
        When the record is damaged or the input is gone.
    """
    folder = Path(folder)
    record = load_record(folder)
    found = Replay(folder)
    recipe = Recipe.from_dict(record["recipe"])
    options = Options.from_dict(record["options"])
    place = Path(source or record["path"])
    if not place.exists():
        raise InputError(f"the input {place} is gone: say where it is with --input FILE")
    if sha256(place) != record["input"].get("sha256"):
        found.differences.append(f"the input {place} is not the one that was segmented: its content differs")
    found.differences += _edited(folder, record)
    with tempfile.TemporaryDirectory(prefix="segmentry-replay-") as aside:
        again = Path(aside) / folder.name
        fresh = segment_file(place, again, recipe, options, progress=progress)
        for name, recorded in record["outputs"].items():
            there = folder / name
            if not there.exists():
                found.differences.append(f"{name} is missing")
            elif name not in fresh["outputs"]:
                found.differences.append(f"{name} is not made any more")
            elif sha256(there) == fresh["outputs"][name] == recorded:
                found.same.append(name)
            else:
                found.differences.append(_how(name, there, again / name, recorded))
    if found.differences:
        learned = (dict(record.get("learned") or {}), fresh["learned"])
        found.differences += differences(*learned, "learned")
        changed = differences(record["versions"], fresh["versions"])
        found.differences += [f"version of {line}" for line in changed]
    return found


def _edited(folder: Path, record: Mapping[str, Any]) -> list[str]:
    """Return where the record differs from what the labels say of themselves."""
    labels = next((folder / n for n in record["outputs"] if n.startswith("labels.") and (folder / n).exists()), None)
    said = read_provenance(labels) if labels is not None else {}
    if not said:
        return []
    pairs = differences({k: said.get(k) for k in ("recipe", "options")}, {k: record[k] for k in ("recipe", "options")})
    assert labels is not None
    return [f"{line} ({labels.name} was made with the first, {RECORD} says the second)" for line in pairs]


def _how(name: str, old: Path, new: Path, recorded: str) -> str:
    if sha256(old) != recorded:
        return f"{name} was changed after it was made"
    if not name.startswith("labels."):
        return f"{name} differs"
    one, other = read_labels(old), read_labels(new)
    if one.grid.shape != other.grid.shape:
        return f"{name} differs: shape {one.grid.shape} became {other.grid.shape}"
    changed = sum(int((np.asarray(one.labels[r]) != np.asarray(other.labels[r])).sum()) for r in slabs(one.grid.shape))
    if not changed and len(one) == len(other):
        return f"{name} differs in what it says of itself; the labels are the same"
    return (
        f"{name} differs: {len(one):,} objects became {len(other):,}, {changed:,} of {one.grid.size:,} pixels changed"
    )
