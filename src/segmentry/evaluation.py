"""Judge files against files: one pair, or every label image of a folder against the truth of the same name."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from segmentry.errors import InputError
from segmentry.io import find_inputs, read_labels
from segmentry.job import RECORD
from segmentry.metrics import DEFINITIONS, evaluate_images, evaluate_set

__all__ = ["evaluate", "pairs"]


def evaluate(predicted: str | os.PathLike[str], truth: str | os.PathLike[str]) -> dict[str, Any]:
    """Return the scores of each pair of files, and of all of them together.

    Raises
    ------
    InputError
        When files can't be paired or read, or shapes differ.
    """
    images = {}
    for name, (ours, theirs) in pairs(Path(predicted), Path(truth)).items():
        try:
            images[name] = evaluate_images(read_labels(ours), read_labels(theirs))
        except InputError as error:
            raise InputError(f"{name}: {error}") from error
    return {"definitions": dict(DEFINITIONS), "images": images, **evaluate_set(list(images.values()))}


def pairs(predicted: Path, truth: Path) -> dict[str, tuple[Path, Path]]:
    """Return predicted and true files that belong together, by name.

    Two files are a pair. In folders names must agree, suffixes apart; the output folders of a run count by their name.

    Raises
    ------
    InputError
        When the truth of an image is missing, or a prediction for a truth.
    """
    if not predicted.is_dir() and not truth.is_dir():
        return {predicted.name: (predicted, truth)}
    ours, theirs = _by_name(predicted), _by_name(truth)
    for one, other, what in ((ours, theirs, truth), (theirs, ours, predicted)):
        missing = sorted(set(one) - set(other))
        if missing:
            more = f" (and {len(missing) - 1} more)" if len(missing) > 1 else ""
            raise InputError(f"{what} has no labels called {missing[0]!r}{more}: names must agree, suffixes apart")
    return {name: (ours[name], theirs[name]) for name in sorted(ours)}


def _by_name(path: Path) -> dict[str, Path]:
    outputs = sorted(path.glob(f"*/{RECORD}"))
    if outputs:
        return {p.parent.name: next(iter(sorted(p.parent.glob("labels.*")))) for p in outputs}
    if (path / RECORD).exists():
        return {path.name: next(iter(sorted(path.glob("labels.*"))))}
    found: dict[str, Path] = {}
    for file in find_inputs([path], labels=True):
        name = file.name.split(".", 1)[0]
        if name in found:
            raise InputError(f"{path} has two files called {name!r}: {found[name].name} and {file.name}")
        found[name] = file
    return found
