"""Train pixel classifiers from files: images, and label images that are mostly 0; or what a project of ilastik holds.

How good a model is, strokes that it did not see tell: they are parted in three, and each third is judged by a model
that learned from the others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from segmentry.errors import InputError, SegmentryError
from segmentry.features import DEFAULT_FEATURES, FEATURES, SIGMAS, Feature, FeatureBank
from segmentry.ilastik import project_banks
from segmentry.image import Grid, Image
from segmentry.io import find_inputs, read
from segmentry.io.ilastik_data import Data, open_embedded
from segmentry.io.ilastik_project import read_project
from segmentry.learn.classifier import classifier
from segmentry.pixel_classification import PixelModel
from segmentry.result import as_labels
from segmentry.selection import filled, selected
from segmentry.strokes import Strokes, drawn_places, train_pixels

__all__ = [
    "AS_ILASTIK",
    "ProjectStrokes",
    "Teaching",
    "by_name",
    "held_out_scores",
    "strokes_of_files",
    "strokes_of_project",
    "train_pixel_classifier",
    "what_counts",
]

FOLDS = 3
#: What ilastik trains with where it differs from the defaults here, by the classifier.
AS_ILASTIK: dict[str, dict[str, Any]] = {"random_forest": {"sample_share": 1.0}}


@dataclass(frozen=True)
class Teaching:
    """How a pixel classifier learns.

    Parameters
    ----------
    classes
        Names of the classes 1, 2 …
    features, sigmas
        What pixels are told apart by, and at which scales; ilastik's offer for none.
    planes
        Look at each plane of a volume by itself.
    classifier
        ``random_forest``, ``fast_trees``, or ``scikit_learn``.
    parameters
        Of the classifier.
    stages
        2 for autocontext.
    seed
        Of what is left to chance.
    """

    classes: tuple[str, ...] = ()
    features: tuple[str, ...] = ()
    sigmas: tuple[float, ...] = ()
    planes: bool = False
    classifier: str = "random_forest"
    parameters: tuple[tuple[str, Any], ...] = ()
    stages: int = 1
    seed: int = 0

    def bank(self) -> FeatureBank:
        """Return the features."""
        if not self.features and not self.sigmas:
            return FeatureBank(DEFAULT_FEATURES, self.planes)
        names, sigmas = self.features or tuple(FEATURES), self.sigmas or SIGMAS
        return FeatureBank(tuple(Feature(name, sigma) for name in names for sigma in sigmas), self.planes)


def train_pixel_classifier(
    strokes: Sequence[Strokes], teaching: Teaching | None = None, banks: Sequence[FeatureBank] | None = None
) -> PixelModel:
    """Return a model that learned from strokes, with its scores on strokes that it did not see.

    Parameters
    ----------
    strokes
        Of one image or many.
    teaching
        How to learn.
    banks
        Features instead of those of `teaching`.

    Raises
    ------
    InputError, ParameterError, UnknownNameError
        When there is nothing to learn from, or a name is not known.
    """
    given = teaching or Teaching()
    chosen = tuple(banks or (given.bank(),))
    learner = classifier(given.classifier, **dict(given.parameters))
    more: dict[str, Any] = {"names": given.classes, "stages": given.stages, "seed": given.seed}
    model = train_pixels(strokes, chosen, learner, **more)
    return replace(model, scores=held_out_scores(strokes, model, given.seed))


def what_counts(model: PixelModel, grid: Grid) -> list[tuple[str, float]]:
    """Return the features that the last stage looks at, on images of such a grid, with their shares, largest first."""
    stage = model.stages[-1]
    more = tuple(f"probability of {name}" for name in model.names) if len(model.stages) > 1 else ()
    channels = (*(name or "image" for name in model.channels), *more)
    seen = grid.with_axis("C", len(channels)) if len(channels) > 1 else grid
    shares = stage.classifier.importance
    order = np.argsort(-shares, kind="stable")
    names = stage.names(seen, channels if len(channels) > 1 else ())
    return [(names[i], float(shares[i])) for i in order]


def held_out_scores(strokes: Sequence[Strokes], model: PixelModel, seed: int = 0) -> dict[str, Any]:
    """Return how many painted pixels are told right by models that did not see their strokes.

    Strokes are connected pixels of one class. Empty where a class has one stroke only.
    """
    stage = model.stages[0]
    drawn = drawn_places(strokes, seed)
    folds = _folds(strokes, drawn, seed)
    if folds is None:
        return {}
    features = np.concatenate([stage.at(s.image, points) for s, points in zip(strokes, drawn, strict=True)])
    kinds = _at(strokes, drawn) - 1
    learner = type(stage.classifier)(**stage.classifier.settings())
    told = np.zeros(len(kinds), np.int64)
    for fold in np.unique(folds):
        mine = folds == fold
        found = learner.fit(features[~mine], kinds[~mine], n_classes=len(model.names), seed=seed)
        told[mine] = found.predict(np.ascontiguousarray(features[mine].T)).argmax(axis=0)
    n = len(model.names)
    table = np.bincount(kinds * n + told, minlength=n * n).reshape(n, n)
    right = {name: float(table[i, i] / table[i].sum()) for i, name in enumerate(model.names) if table[i].any()}
    return {
        "what": f"strokes that were not learned from, in {FOLDS} parts; the first stage",
        "pixels": int(table.sum()),
        "accuracy": float(np.trace(table) / table.sum()),
        "right_of_class": right,
        "confusion": table.tolist(),
    }


def _at(strokes: Sequence[Strokes], places: Sequence[NDArray[np.int64]]) -> NDArray[np.int64]:
    return np.concatenate([s.classes[tuple(points.T)] for s, points in zip(strokes, places, strict=True)]).astype(int)


def _folds(strokes: Sequence[Strokes], places: Sequence[NDArray[np.int64]], seed: int) -> NDArray[np.int64] | None:
    """Give each of some painted pixels the part that its stroke belongs to; nothing where a class has one stroke."""
    from segmentry.kernels.components import label_components

    parts, count = [], 0
    for one, points in zip(strokes, places, strict=True):
        found, n = label_components(one.classes.astype(np.int32))
        parts.append(found[tuple(points.T)].astype(np.int64) + count)
        count += n
    stroke, kinds = np.concatenate(parts), _at(strokes, places)
    rng = np.random.default_rng(seed)
    folds = np.zeros(len(stroke), np.int64)
    for kind in np.unique(kinds):
        mine = rng.permutation(np.unique(stroke[kinds == kind]))
        if len(mine) < 2:
            return None
        place = np.zeros(count + 1, np.int64)
        place[mine] = np.arange(len(mine)) % FOLDS
        folds[kinds == kind] = place[stroke[kinds == kind]]
    return folds


def strokes_of_files(images: Path, labels: Path, channel: str | int | None = None) -> list[Strokes]:
    """Return the strokes in label images, 0 where nothing was painted, with the images of the same names.

    Parameters
    ----------
    images, labels
        An image and its labels, or folders; images without labels are passed over.
    channel
        The channel to look at; all when ``None``.

    Raises
    ------
    SegmentryError
        When an image is missing, a file can't be read, shapes differ, or there is no such channel.
    """
    painted, named = by_name(labels), by_name(images)
    if len(painted) == len(named) == 1:
        named = dict(zip(painted, named.values(), strict=True))
    found: list[Strokes] = []
    for name, path in painted.items():
        if name not in named:
            raise InputError(f"{images} has no image called {name!r}, as the labels {path.name} are: names must agree")
        try:
            found += _painted(named[name], path, channel)
        except SegmentryError as error:
            raise type(error)(f"{name}: {error}") from error
    return found


def by_name(path: Path) -> dict[str, Path]:
    """Return a file, or those of a folder, by their names without suffixes."""
    found: dict[str, Path] = {}
    for file in find_inputs([path]):
        name = file.name.split(".", 1)[0]
        if name in found:
            raise InputError(f"{path} has two files called {name!r}: {found[name].name} and {file.name}")
        found[name] = file
    return found


def _painted(file: Path, labels: Path, channel: str | int | None) -> list[Strokes]:
    """Return the strokes on an image; numbers stand in for pixels that have none, as in a run."""
    marks, image = read(labels), read(file)
    if "C" in marks.grid.axes:
        raise InputError(f"{labels.name} has channels; labels are one number per pixel")
    seen, _ = filled(selected(image, channel, True, []), [])
    name = "" if channel is None or not image.channels else str(channel)
    if name and name not in image.channels:
        name = image.channels[int(name)]
    return Strokes.of(seen, as_labels(marks.read()), name)


class ProjectStrokes(NamedTuple):
    """What was painted in a project of ilastik, the names of the classes, the features, and how many stages it has."""

    strokes: list[Strokes]
    names: tuple[str, ...]
    banks: tuple[FeatureBank, ...]
    stages: int


def strokes_of_project(path: Path, images: Path | None = None) -> ProjectStrokes:
    """Return what was painted in a project of ilastik; of autocontext, in the last stage with labels.

    Parameters
    ----------
    path
        The project.
    images
        Folder of its images, where they are neither where it says nor beside it.

    Raises
    ------
    InputError
        When it has no labels or features, or an image is missing or another.
    """
    project = read_project(path)
    labelled = [stage for stage in project.stages if any(len(marks.places) for marks in stage.labels)]
    if not labelled:
        raise InputError(f"{path.name} has no labels of pixels")
    stage = labelled[-1]
    found: list[Strokes] = []
    for lane, marks in zip(project.lanes, stage.labels, strict=False):
        if not len(marks.places):
            continue
        image, _ = filled(selected(_image(path, lane.raw, images), None, True, []), [])
        painted = np.zeros(marks.shape, np.uint32)
        painted[tuple(marks.places.T)] = marks.classes
        found += Strokes.of(image, _fitted(painted, marks.axes, image))
    return ProjectStrokes(found, stage.names, project_banks(stage), len(project.stages))


def _image(project: Path, raw: Data, folder: Path | None) -> Image:
    """Return an image of a project."""
    if raw.embedded:
        return open_embedded(project, raw)
    files = raw.located(project)
    if len(files) != 1:
        raise InputError(f"{project.name}: its image {raw.name!r} is {len(files)} files: make one of them")
    file = files[0] if files[0].exists() or folder is None else folder / files[0].name
    if not file.exists():
        raise InputError(f"{project.name}: its image {file} does not exist: give the folder it is in with --images")
    return read(f"{file}{raw.inside}")


def _fitted(painted: NDArray[np.uint32], axes: str, image: Image) -> NDArray[np.uint32]:
    """Return strokes on the axes of an image, which has none that is longer than 1 and missing."""
    kept = painted
    for axis in [a for a in axes if a not in image.grid.axes]:
        at = axes.index(axis)
        if kept.shape[at] != 1:
            raise InputError(f"labels have an axis {axis} of {kept.shape[at]}; the image has {image.grid.axes}")
        kept, axes = np.asarray(kept.take(0, axis=at)), axes.replace(axis, "")
    return kept
