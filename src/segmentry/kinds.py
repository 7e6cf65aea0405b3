"""Kinds of objects from files into files: a model trained on a table of examples, labels that get their classes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import segmentry
from segmentry.errors import InputError
from segmentry.image import Image
from segmentry.io import read, read_labels, read_provenance, read_table, write_labels, write_table
from segmentry.io.digest import sha256
from segmentry.job import Options
from segmentry.object_classification import ObjectClassifier, ObjectModel
from segmentry.result import Instances

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["classify_file", "train_object_classifier"]


def train_object_classifier(
    labels: Sequence[Path],
    images: Sequence[Path],
    examples: Path,
    target: Path,
    classifier: ObjectClassifier | None = None,
    *,
    options: Options | None = None,
    overwrite: bool = False,
) -> ObjectModel:
    """Learn kinds of objects from files, and write what was learned to another.

    Parameters
    ----------
    labels
        Files of labels.
    images
        What these are of, in the same order; empty to learn without intensities.
    examples
        Table with the columns ``id`` and ``class``: rows without a class are passed over. Where there are several
        files of labels it has a column ``image``: the name of the image or of the labels, with as many folders before
        it as are needed to know which is meant.
    target
        File to write.
    classifier
        What is looked at, and what learns from it.
    options
        Pixel size instead of that in the files.

    Raises
    ------
    SegmentryError
        When a file can't be read, the table does not fit, or the target exists.
    """
    if images and len(images) != len(labels):
        raise InputError(f"{len(labels)} files of labels and {len(images)} images: give an image for each, or none")
    clicked = _clicked(examples, labels, images)
    used = [k for k in range(len(labels)) if clicked[k]]
    given = [(_labels(labels[k], options), read(images[k]) if images else None, clicked[k]) for k in used]
    model = (classifier or ObjectClassifier()).fit(given)
    sources = [{"name": labels[k].name, "sha256": sha256(labels[k])} for k in used]
    said = {"segmentry": segmentry.__version__, "labels": sources, "table": sha256(examples), **model.provenance}
    model = replace(model, provenance=said)
    model.save(target, overwrite=overwrite)
    return model


def classify_file(
    source: Path,
    model: Path,
    target: Path,
    *,
    image: Path | None = None,
    table: Path | None = None,
    options: Options | None = None,
    overwrite: bool = False,
) -> tuple[Instances, pd.DataFrame]:
    """Give the labels in a file their classes and write them to another; return them with the table of probabilities.

    Parameters
    ----------
    source, target
        Files of labels.
    model
        File of an :class:`~segmentry.object_classification.ObjectModel`, or project of ilastik that classifies objects.
    image
        What the labels are of, where the model looks at intensities.
    table
        File of a table to write: class and probabilities of each object.
    options
        Pixel size instead of that in the files.

    Raises
    ------
    SegmentryError
        When a file can't be read, labels or image are not like those that were learned from, or the target exists.
    """
    trained = ObjectModel.load(model)
    labels = _labels(source, options)
    told = trained.predict(labels, None if image is None else read(image))
    found = trained.assigned(labels, told)
    if table is not None:
        write_table(table, told, overwrite=overwrite)
    done = {"model": {"name": model.name, "sha256": sha256(model)}, "classes": list(trained.names)}
    provenance = {**read_provenance(source), "classified": done}
    write_labels(target, found, provenance=provenance, overwrite=overwrite)
    return found, told


def _clicked(examples: Path, labels: Sequence[Path], images: Sequence[Path]) -> list[dict[int, str]]:
    """Return the classes of the examples by their ids, for each file of labels."""
    import pandas as pd

    table = read_table(examples)
    for name in ("id", "class", *(["image"] if len(labels) > 1 else [])):
        if name not in table:
            raise InputError(f"{examples.name} has no column {name!r}; it has {', '.join(map(str, table.columns))}")
    found: list[dict[int, str]] = [{} for _ in labels]
    table = table[table["class"].notna()]
    places = table["image"] if "image" in table else [None] * len(table)
    numbers = pd.to_numeric(table["id"], errors="coerce")
    for row, (place, number, kind) in enumerate(zip(places, numbers, table["class"], strict=True), 1):
        if not float(number).is_integer():
            raise InputError(f"{examples.name}: id {number} of example {row} is no whole number")
        there = found[0 if place is None else _meant(str(place), labels, images, examples.name)]
        if there.setdefault(int(number), str(kind)) != str(kind):
            raise InputError(f"{examples.name}: object {int(number)} is {there[int(number)]} and {kind}: choose one")
    return found


def _meant(place: str, labels: Sequence[Path], images: Sequence[Path], table: str) -> int:
    """Return the number of the files that a table means by a name."""
    parts = Path(place).parts
    pairs = [(one, *images[k : k + 1]) for k, one in enumerate(labels)]
    fits = [k for k, pair in enumerate(pairs) if any(path.parts[-len(parts) :] == parts for path in pair)]
    if len(fits) != 1:
        known = ", ".join(path.name for path in (images or labels)[:5])
        raise InputError(
            f"{table}: image {place!r} is none of the files ({known})"
            if not fits
            else f"{table}: image {place!r} may be {len(fits)} of the files: name folders as well (folder/{place})"
        )
    return fits[0]


def _labels(source: Path, options: Options | None) -> Instances:
    found = read_labels(source)
    if options is None or not (options.spacing or options.axes):
        return found
    seen = options.applied(Image(found.labels, found.grid))
    return replace(found, labels=seen.read(), grid=seen.grid)
