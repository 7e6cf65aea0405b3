"""Projects of ilastik (``.ilp``): what they say, read without ilastik or VIGRA.

Pixel classification, autocontext and object classification are understood: input data, chosen features, labels and
trained classifiers. A project is HDF5. Parts of it are pickled Python objects: these are never loaded.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from segmentry.errors import InputError, SegmentryError, nearest, one_line
from segmentry.io.hdf5 import MAGIC
from segmentry.io.hdf5_values import Place, check_heaps
from segmentry.io.ilastik_data import Lane, read_lanes
from segmentry.io.ilastik_objects import ObjectStage, Thresholding, fits, read_objects, read_thresholding
from segmentry.io.ilastik_pixels import (
    Classifier,
    Colour,
    Column,
    Labels,
    Selection,
    named,
    read_classifier,
    read_colours,
    read_labels,
    read_names,
    read_selection,
)

__all__ = ["WORKFLOWS", "PixelStage", "Project", "read_project"]

#: Workflows by their names in the file, with the number of stages of pixel classification.
WORKFLOWS = {
    "Pixel Classification": 1,
    "AutocontextTwoStage": 2,
    "AutocontextThreeStage": 3,
    "AutocontextFourStage": 4,
    "Object Classification (from pixel classification)": 1,
    "Object Classification (from prediction image)": 0,
    "Object Classification (from binary image)": 0,
}
#: What a user reads for them.
SHOWN = {"AutocontextTwoStage": "Autocontext (2-stage)"}


@dataclass(frozen=True, eq=False)
class PixelStage:
    """One classification of pixels.

    Parameters
    ----------
    selection
        The chosen features; ``None`` where none were.
    columns
        What the classifier sees, in its order; empty where the project does not say the shape of its images. Other
        images may have other columns: ask `selection`.
    n_channels
        Channels of its input: those of the image, and in a later stage of autocontext after them one per class of the
        stage before: the probability, in the type of the image's pixels (of uint8: times 255, rounded down).
    names, colours, probability_colours
        Of the classes; the first is class 1.
    labels
        Per lane.
    classifier
        ``None`` where there is none that can be carried over.
    missing
        Why there is none.
    """

    selection: Selection | None
    columns: tuple[Column, ...]
    n_channels: int
    names: tuple[str, ...]
    colours: tuple[Colour, ...]
    probability_colours: tuple[Colour, ...]
    labels: tuple[Labels, ...]
    classifier: Classifier | None
    missing: str


@dataclass(frozen=True, eq=False)
class Project:
    """What a project says.

    Parameters
    ----------
    path
        The file.
    workflow, version
        Name of the workflow as the file has it, and version of ilastik.
    lanes
        The input data.
    stages
        Classifications of pixels, one after the other; none where objects are found in images of others.
    thresholding
        How objects are found in probabilities, where they are.
    objects
        Classification of objects, where there is one.
    left_out
        What the project has that can't be carried over, a sentence each.
    """

    path: Path
    workflow: str
    version: str
    lanes: tuple[Lane, ...]
    stages: tuple[PixelStage, ...]
    thresholding: Thresholding | None
    objects: ObjectStage | None
    left_out: tuple[str, ...]

    def check_trained(self, pixels: bool = True, objects: bool = True) -> None:
        """Refuse a project that lacks a classifier.

        Parameters
        ----------
        pixels, objects
            Of what one is needed.

        Raises
        ------
        InputError
            With what it lacks, and what to do.
        """
        parts: list[tuple[str, PixelStage | ObjectStage]] = (
            [("pixels", stage) for stage in self.stages] if pixels else []
        )
        parts += [("objects", self.objects)] if objects and self.objects is not None else []
        for what, part in parts:
            if part.classifier is not None:
                continue
            if part.missing:
                again = "retrain here from its labels" if what == "pixels" else "train it again in ilastik, and save"
                raise InputError(f"{self.path.name}: {part.missing}; {again}")
            advice = "open it in ilastik, switch on Live Update, save"
            if _labelled(part):
                here = "; or retrain here from its labels" if what == "pixels" else ""
                said = f"has labels but no trained classifier of {what}: {advice}{here}"
            else:
                said = f"has neither labels nor a trained classifier of {what}: {advice}"
            raise InputError(f"{self.path.name} {said}")


def read_project(path: str | os.PathLike[str]) -> Project:
    """Read a project of ilastik.

    Raises
    ------
    InputError
        When the file is no project, of a workflow that is not understood, without data, with neither a classifier nor
        labels, or damaged.
    """
    import h5py

    place = Path(path)
    _check_begins(place)
    with _clear_errors(place):
        check_heaps(place)
        with h5py.File(place, "r", locking=False) as file:
            return _project(Place(file, place))


def _project(root: Place) -> Project:
    workflow = _workflow(root)
    notes: list[str] = []
    lanes = read_lanes(root, notes)
    if not lanes:
        raise InputError("it has no input data: add an image to it in ilastik, label it, and save")
    stages: list[PixelStage] = []
    for number in range(WORKFLOWS[workflow]):
        stages.append(_stage(root, number, lanes, stages[-1] if stages else None, notes))
    found = root.place("ThresholdTwoLevels")
    thresholding = read_thresholding(found, notes) if found is not None else None
    objects = read_objects(root, len(lanes)) if workflow.startswith("Object") else None
    if objects is not None and objects.classifier is not None and not fits(objects.features, objects.classifier):
        missing = "its classifier of objects was trained with other features than are chosen now"
        objects = replace(objects, classifier=None, missing=missing)
    parts: list[PixelStage | ObjectStage] = [*stages, *([objects] if objects is not None else [])]
    for part in parts:
        notes += [part.missing] if part.missing else []
    if not any(part.classifier is not None or _labelled(part) for part in parts):
        raise InputError("it has neither a trained classifier nor labels: label something in ilastik, and save")
    version = root.text("ilastikVersion")
    return Project(root.path, workflow, version, lanes, tuple(stages), thresholding, objects, tuple(notes))


def _workflow(root: Place) -> str:
    if root.dataset("workflowName") is None:
        if root.dataset("ilastikVersion") is not None:
            raise InputError("it is of an ilastik older than 1.0: open it in a newer one, and save")
        listed = ", ".join(root.names()[:8]) or "nothing"
        raise InputError(f"it is HDF5 but no project of ilastik: it names no workflow (it has {listed})")
    name = root.text("workflowName")
    if name not in WORKFLOWS:
        known = ", ".join(
            SHOWN.get(known, known) for known in WORKFLOWS if "Three" not in known and "Four" not in known
        )
        raise InputError(f"its workflow {name[:80]!r} is not understood (understood: {known})")
    return name


def _stage(
    root: Place, number: int, lanes: tuple[Lane, ...], before: PixelStage | None, notes: list[str]
) -> PixelStage:
    suffix = f"{number:02d}" if number else ""
    place = root.place(f"PixelClassification{suffix}")
    if place is None:
        raise InputError(f"it has no PixelClassification{suffix}: it was never saved there, or is damaged")
    selection = read_selection(root.place(f"FeatureSelections{suffix}"), notes)
    raw = lanes[0].raw
    n_channels = raw.length("C") + (len(before.names) if before is not None else 0)
    labels = read_labels(place, lanes, notes)
    classifier, missing = read_classifier(place.place("ClassifierForests"))
    shape = [raw.length(a) for a in "ZYX" if a in raw.axes]
    columns: tuple[Column, ...] = ()
    if selection is not None and selection.unknown:
        notes.append(f"its features {', '.join(selection.unknown)[:200]} are none of ilastik's own")
    elif selection is not None and shape:
        columns = selection.columns(n_channels, shape)
    if classifier is not None and columns and len(columns) != classifier.n_features:
        there, given = classifier.n_features, len(columns)
        missing = f"its classifier looks at {there} columns, its features and images give {given}"
        classifier = None
    names = named(read_names(place), [lane.classes for lane in labels], classifier)
    colours = read_colours(place, "LabelColors"), read_colours(place, "PmapColors")
    return PixelStage(selection, columns, n_channels, names, *colours, labels, classifier, missing)


def _labelled(part: PixelStage | ObjectStage) -> bool:
    return any(labels.classes.size for labels in part.labels)


def _check_begins(path: Path) -> None:
    if not path.exists():
        siblings = [p.name for p in path.parent.glob("*.ilp")] if path.parent.is_dir() else []
        raise InputError(f"{path} does not exist{nearest(path.name, siblings) if siblings else ''}")
    if path.is_dir():
        raise InputError(f"{path} is a folder, not a project of ilastik (.ilp)")
    with path.open("rb") as file:
        head = file.read(len(MAGIC))
    if head != MAGIC:
        raise InputError(f"{path} is not HDF5, as projects of ilastik (.ilp) are: it begins with {head!r}")


@contextmanager
def _clear_errors(path: Path) -> Iterator[Any]:
    """Turn what is raised on damaged files into one line that names the file."""
    try:
        yield
    except SegmentryError as error:
        raise InputError(f"{path}: {one_line(error)}") from error
    except MemoryError as error:
        raise InputError(f"{path} claims more than fits in memory: it is damaged") from error
    except Exception as error:  # HDF5 raises whatever it likes on damaged files
        raise InputError(f"{path} can't be read as a project of ilastik: {one_line(error)}") from error
