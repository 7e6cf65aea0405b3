"""Object classification within an ilastik project: how objects are found, their features, labels and classifier."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segmentry.errors import InputError
from segmentry.io.hdf5_values import INTEGERS, Place, number_in
from segmentry.io.ilastik_pixels import Classifier, Colour, named, read_classifier, read_colours, read_names

__all__ = [
    "METHODS",
    "ObjectFeature",
    "ObjectLabels",
    "ObjectStage",
    "Thresholding",
    "fits",
    "read_objects",
    "read_thresholding",
]

#: How ilastik numbers its ways to make objects of probabilities.
METHODS = ("single", "hysteresis", "graph cut", "split hysteresis")
#: Group of features that are always computed and never looked at by the classifier.
ALWAYS = "Default features"
#: Groups of features of convex hulls.
HULLS = ("2D Convex Hull Features", "3D Convex Hull Features")
MOST_OBJECTS = 10_000_000


@dataclass(frozen=True)
class Thresholding:
    """How objects are made of probabilities: smoothed, thresholded, connected, those of wrong size dropped.

    Pixels at or above a threshold are in. Objects touch by faces. Sizes are in pixels; both bounds are kept.

    Parameters
    ----------
    method
        ``"single"``: objects are what lies at or above `low` in `channel`. ``"hysteresis"``: of these, the ones that
        share a pixel with a core: an object of right size of what lies at or above `high` in `core_channel`.
        ``"split hysteresis"``: as before, with one object per core. ``"graph cut"``.
    sigma
        Of the Gaussian (window 2 sigma) over the probabilities, per axis of ``"ZYX"``; nothing is smoothed where one of
        the axes that the image has is below 0.1.
    low, high
        From 0 to 1.
    channel, core_channel
        Numbers of the classes, from 0. Where cores are of another channel, `low` is compared with the sum of both.
    min_size, max_size
        Objects and cores of fewer or more pixels are dropped.
    """

    method: str
    sigma: tuple[float, float, float]
    low: float
    high: float
    channel: int
    core_channel: int
    min_size: int
    max_size: int


@dataclass(frozen=True)
class ObjectFeature:
    """A feature of objects.

    Parameters
    ----------
    group
        Which of ilastik's plug-ins it is of, such as ``"Standard Object Features"``.
    name
        Such as ``"Count"``, ``"Mean"`` or ``"Mean in neighborhood"``.
    margin
        How far the neighbourhood reaches, in pixels per axis of ``"ZYX"``; ``None`` for features without one.
    width
        How many columns it has, where the project has computed it; ``None`` where that is not known.
    """

    group: str
    name: str
    margin: tuple[float, float, float] | None = None
    width: int | None = None


@dataclass(frozen=True, eq=False)
class ObjectLabels:
    """Objects of one frame of one lane that a user gave a class.

    Parameters
    ----------
    lane, time
        Which, from 0.
    ids
        Numbers of the objects as ilastik connected them, int64.
    classes
        Which class each has, int64; 1 is the first of the names.
    centres
        Where their centres lie, float64 (object, axis of ``"ZYX"`` or ``"YX"``), by which they can be found again;
        ``None`` where the project has not stored them.
    """

    lane: int
    time: int
    ids: NDArray[np.int64]
    classes: NDArray[np.int64]
    centres: NDArray[np.float64] | None


@dataclass(frozen=True, eq=False)
class ObjectStage:
    """Classification of objects.

    The classifier sees the chosen features in the order given here, each with its columns: by channel for features of
    intensity, by axis for those of coordinates. What is not a finite number is 0.

    Parameters
    ----------
    features
        Those that were chosen, in the order of the classifier's columns.
    names, colours
        Of the classes.
    labels
        What the user labelled.
    classifier
        ``None`` where there is none that can be carried over.
    missing
        Why there is none.
    """

    features: tuple[ObjectFeature, ...]
    names: tuple[str, ...]
    colours: tuple[Colour, ...]
    labels: tuple[ObjectLabels, ...]
    classifier: Classifier | None
    missing: str


def read_thresholding(place: Place, notes: list[str]) -> Thresholding:
    """Return how objects are found, with ilastik's own defaults where the project does not say."""
    method = _whole(place, "CurOperator", 0, len(METHODS) - 1)
    low, high = _part(place, "LowThreshold", 0.2), _part(place, "HighThreshold", 0.5)
    if method == 0:
        low = _part(place, "SingleThreshold", low)  # as older projects have it
    channel = _whole(place, "Channel", 0)
    core = _whole(place, "CoreChannel", channel if method in (1, 3) else 0)
    inner = place.place("SmootherSigma")
    sigma = tuple(float(inner.number(axis, 1.0) or 0.0) if inner is not None else 1.0 for axis in "zyx")
    if not all(0 <= s < 1000 for s in sigma):
        raise place.wrong("SmootherSigma", f"{sigma}", "between 0 and 1000")
    if METHODS[method] == "graph cut":
        notes.append("its objects are found by a graph cut, which can't be carried over")
    sizes = _whole(place, "MinSize", 10), _whole(place, "MaxSize", 1_000_000)
    return Thresholding(METHODS[method], (sigma[0], sigma[1], sigma[2]), low, high, channel, core, *sizes)


def read_objects(root: Place, n_lanes: int) -> ObjectStage | None:
    """Return the classification of objects, ``None`` where the project has none."""
    place, extraction = root.place("ObjectClassification"), root.place("ObjectExtraction")
    if place is None:
        return None
    computed = _feature_table(extraction and extraction.place("Features"))
    chosen = _feature_table(place.place("SelectedFeatures")) or computed
    frames = _frames(extraction, n_lanes)
    widths = _widths(frames)
    features = tuple(
        ObjectFeature(group, name, computed.get((group, name), margin) or margin, widths.get((group, name)))
        for (group, name), margin in sorted(chosen.items())
        if group != ALWAYS
    )
    labels = _labels(place.place("LabelInputs"), frames, n_lanes)
    classifier, missing = read_classifier(place.place("ClassifierForests"))
    if classifier is not None and any(f.group in HULLS for f in features) and not _as_boxes(frames):
        classifier, missing = None, "its convex hulls are not those of VIGRA 1.11, which takes boxes for them"
    names = named(read_names(place), [frame.classes for frame in labels], classifier)
    return ObjectStage(features, names, read_colours(place, "LabelColors"), labels, classifier, missing)


def _feature_table(place: Place | None) -> dict[tuple[str, str], tuple[float, float, float] | None]:
    """Return the margin of each feature by group and name."""
    if place is None:
        return {}
    if place.names() == ["0"]:  # as older projects have it
        place = place.place("0") or place
    return {(group, name): _margin(about) for group, inner in place.places() for name, about in inner.places()}


def _margin(place: Place) -> tuple[float, float, float] | None:
    """Return a margin in the order ZYX; ilastik has XYZ, or one number for all."""
    found = place.numbers("margin")
    if found is None:
        return None
    reach = np.ravel(found).astype(float)
    if reach.size not in (1, 2, 3) or not ((reach >= 0) & (reach < 1e6)).all():
        raise place.wrong("margin", f"{reach[:4].tolist()}", "pixels per axis")
    x, y, z = (*reach, *([0.0] * (3 - reach.size))) if reach.size > 1 else (reach[0],) * 3
    return float(z), float(y), float(x)


def _frames(extraction: Place | None, n_lanes: int) -> dict[tuple[int, int], Place]:
    """Return the groups of computed features by lane and time: their names are like ``[[3], [4]]``."""
    stored = extraction and extraction.place("RegionFeatures")
    if stored is None:
        return {}
    found = {}
    for lane, inner in stored.places():
        for roi, frame in inner.places():
            start = re.match(r"\[\[(\d{1,9})", roi)
            if start and 0 <= number_in(lane) < n_lanes:
                found[number_in(lane), int(start[1])] = frame
    return found


def _widths(frames: dict[tuple[int, int], Place]) -> dict[tuple[str, str], int]:
    for frame in frames.values():
        found = {}
        for group, inner in frame.places():
            for name in inner.names():
                data: Any = inner.dataset(name)
                if data is not None and data.shape is not None and len(data.shape) == 2:
                    found[group, name] = int(data.shape[1])
        return found
    return {}


def _as_boxes(frames: dict[tuple[int, int], Place]) -> bool:
    """Return whether convex hulls are as large as the boxes of their objects, as far as the project has stored them."""
    for frame in frames.values():
        low, high = (_stored(frame, ALWAYS, f"Coord<{name}>") for name in ("Minimum", "Maximum"))
        for group in HULLS:
            volume = _stored(frame, group, "HullVolume")
            if volume is None or low is None or high is None or low.shape != high.shape:
                continue
            boxes = [np.prod(high - low + more, axis=1)[1:] for more in (0, 1)]  # older ilastik has the last pixel
            if not any(np.array_equal(box, volume[1:, 0]) for box in boxes):
                return False
    return True


def _stored(frame: Place, group: str, name: str) -> NDArray[Any] | None:
    inner = frame.place(group)
    return None if inner is None else inner.numbers(name, ndim=2)


def _labels(place: Place | None, frames: dict[tuple[int, int], Place], n_lanes: int) -> tuple[ObjectLabels, ...]:
    found: list[ObjectLabels] = []
    for lane, inner in place.places() if place is not None else ():
        if not 0 <= number_in(lane) < n_lanes:
            raise InputError(f"{inner.where} has labels of objects in a lane that there is not: the file is damaged")
        for time in inner.names():
            values = inner.numbers(time)
            if values is None or number_in(time) < 0:
                continue
            classes = np.ravel(values)
            if classes.size > MOST_OBJECTS or not (np.isfinite(classes) & (classes >= 0) & (classes < 256)).all():
                raise inner.wrong(time, f"{classes[:9].tolist()}", "classes of objects")
            ids = np.flatnonzero(classes)
            ids = ids[ids > 0]  # the background is no object
            if ids.size:
                key = number_in(lane), number_in(time)
                found.append(ObjectLabels(*key, ids, classes[ids].astype(np.int64), _centres(frames.get(key), ids)))
    return tuple(found)


def _centres(frame: Place | None, ids: NDArray[np.int64]) -> NDArray[np.float64] | None:
    found = None if frame is None else _stored(frame, ALWAYS, "RegionCenter")
    if found is None or found.shape[1] not in (2, 3) or ids.max() >= len(found):
        return None
    centres = found[ids][:, ::-1].astype(np.float64)
    return centres if np.isfinite(centres).all() else None


def _part(place: Place, name: str, default: float) -> float:
    number = float(place.number(name, default) or 0.0)
    if not 0 <= number <= 1:
        raise place.wrong(name, f"{number:g}", "from 0 to 1")
    return number


def _whole(place: Place, name: str, default: int, most: int = 2**53) -> int:
    found = place.numbers(name, INTEGERS + "f")
    number = default if found is None else found.item() if found.size == 1 else -1
    if not 0 <= number <= most or number != int(number):
        raise place.wrong(name, f"{number}", f"a whole number up to {most:,}")
    return int(number)


def fits(features: Sequence[ObjectFeature], classifier: Classifier) -> bool:
    """Say whether the features have as many columns as the classifier looks at, as far as that is known."""
    widths = [feature.width for feature in features]
    known = [width for width in widths if width is not None]
    return len(known) < len(widths) or sum(known) == classifier.n_features
