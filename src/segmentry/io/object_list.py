"""Objects that a file lists one by one (COCO JSON, GeoJSON, ImageJ ROIs): what these formats share."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from segmentry.errors import InputError, OutputError
from segmentry.image import Grid
from segmentry.io.format import Description, check_claim
from segmentry.result import MAX_ID, Instances

if TYPE_CHECKING:
    from segmentry.kernels.contours import Outlines, Overlap, Runs

__all__ = ["Entry", "Said", "describe", "draw_objects", "extent", "gather", "only_plane", "settled_ids", "understand"]

#: Largest number of bytes of labels that the objects of a file may cover, per byte of the file: a rectangle of any
#: size takes some hundred bytes.
MAX_COVER = 2**17


@dataclass(frozen=True)
class Said:
    """What segmentry says of all objects of a file that it wrote.

    Parameters
    ----------
    description
        Geometry and provenance.
    names
        Name of each class, background first.
    classified
        Whether the objects have classes.
    """

    description: Description
    names: tuple[str, ...]
    classified: bool


@dataclass(frozen=True)
class Entry:
    """One object as a file lists it: its id, its score, and its class as an index into the names of the classes."""

    id: int
    score: float | None = None
    kind: int | None = None


def describe(labels: Instances, provenance: Mapping[str, Any]) -> dict[str, Any]:
    """Return what to put under the key ``"segmentry"`` of a file, for :func:`understand` to read."""
    content: dict[str, Any] = json.loads(Description(labels.grid, (), "labels", provenance).to_json())["segmentry"]
    return content | {"names": list(labels.names), "classified": labels.classes is not None}


def understand(content: Any) -> Said | None:
    """Return what stands under the key ``"segmentry"``, or ``None`` where it is none of ours or is damaged."""
    description = Description.from_json(json.dumps({"segmentry": content}))
    if description is None or description.kind != "labels" or "C" in description.grid.axes:
        return None
    names = content.get("names")
    if not isinstance(names, list) or not names:
        return None
    return Said(description, tuple(str(name) for name in names), bool(content.get("classified")))


def only_plane(labels: Instances, form: str) -> NDArray[np.uint32]:
    """Return the labels of the single plane that there is, or refuse to write volumes and time series."""
    array = np.asarray(labels.labels[...])
    if math.prod(array.shape[:-2]) != 1:
        raise OutputError(
            f"{form} holds one plane, these labels have axes {labels.grid.axes} of {labels.grid.shape}: "
            "write .ome.tif, or ImageJ ROIs (.zip)"
        )
    return np.ascontiguousarray(array.reshape(array.shape[-2:]))


def settled_ids(given: Sequence[Any], places: Sequence[Any] = ()) -> list[int]:
    """Return the ids that a file gives if all can be ids and no two in one place are the same, else 1 … n.

    >>> settled_ids(["7", 4294967295]), settled_ids(["7", "cell"]), settled_ids([7, 7])
    ([7, 4294967295], [1, 2], [1, 2])
    """
    texts = [str(value) for value in given]
    if all(text.isascii() and text.isdecimal() and len(text) < 20 and 0 < int(text) <= MAX_ID for text in texts):
        ids = [int(text) for text in texts]
        if len(set(zip(ids, places or [0] * len(ids), strict=True))) == len(ids):
            return ids
    return list(range(1, len(texts) + 1))


def extent(outlines: Outlines) -> tuple[int, int]:
    """Return the shape of the smallest image that holds all polygons."""
    highest = outlines.points.max(axis=0)
    return math.ceil(highest[0]), math.ceil(highest[1])


def draw_objects(
    path: Path, shape: tuple[int, ...], planes: Mapping[int, Outlines], runs: Runs | None = None
) -> NDArray[np.uint32]:
    """Return a label image of the objects that a file lists.

    Parameters
    ----------
    path
        The file.
    shape
        Of the label image: (…, Y, X).
    planes
        Polygons of each plane, the planes counted in raster order.
    runs
        More objects, of plane 0, flattened down the columns.

    Raises
    ------
    InputError
        When objects share pixels, when an object covers none, or when they need more memory than a file of this size
        can ask for.
    """
    from segmentry.kernels.contours import draw_outlines, draw_runs

    _check_memory(path, shape, planes, runs)
    labels = np.zeros(shape, np.uint32)
    frames = labels.reshape(-1, *shape[-2:])
    listed: set[int] = set()
    found: set[int] = set()
    for plane, outlines in planes.items():
        drawn, overlap = draw_outlines(outlines, frames[plane])
        _refuse(path, overlap)
        listed.update(outlines.ids.tolist())
        found.update(outlines.ids[drawn > 0].tolist())
    if runs is not None:
        _refuse(path, draw_runs(runs, frames[0], columns=True))
        listed.update(runs.ids.tolist())
        found.update(np.repeat(runs.ids, np.diff(runs.offsets))[runs.lengths > 0].tolist())
    if listed != found:
        lost = sorted(listed - found)
        raise InputError(
            f"{path.name}: {len(lost)} of {len(listed)} objects cover no pixel centre of the image "
            f"(first: object {lost[0]}), which a label image can't hold: remove them from the file"
        )
    return labels


def gather(labels: NDArray[np.uint32], grid: Grid, entries: Sequence[Entry], names: tuple[str, ...]) -> Instances:
    """Return the objects of a label image with what a file lists of each; of an id listed twice, the first counts."""
    by_id = {entry.id: entry for entry in reversed(entries)}
    listed = [by_id[number] for number in sorted(by_id)]
    kinds = [entry.kind for entry in listed]
    with np.errstate(over="ignore"):
        scores = np.array([np.nan if entry.score is None else entry.score for entry in listed], np.float32)
    return Instances(
        labels,
        grid,
        np.array([entry.id for entry in listed], np.uint32),
        None if all(entry.score is None for entry in listed) else scores,
        None if not kinds or None in kinds else np.array(kinds, np.int32),
        names,
    )


def _check_memory(path: Path, shape: tuple[int, ...], planes: Mapping[int, Outlines], runs: Runs | None) -> None:
    """Refuse labels larger than the memory; of those that fit, pages are taken only where objects lie."""
    import psutil

    covered = 0 if runs is None else int(runs.lengths.sum())
    for outlines in planes.values():
        if len(outlines.ids):
            first = outlines.rings[outlines.polygons[:-1]]
            low = np.clip(np.minimum.reduceat(outlines.points, first), 0, shape[-2:])
            high = np.clip(np.maximum.reduceat(outlines.points, first), 0, shape[-2:])
            covered += int(np.prod(high - low, axis=1).sum())
    check_claim(path, (min(covered, math.prod(shape)),), 4, MAX_COVER)
    if 4 * math.prod(shape) > psutil.virtual_memory().available:
        raise InputError(f"{path.name}: labels of {shape} pixels do not fit in memory")


def _refuse(path: Path, overlap: Overlap | None) -> None:
    if overlap is not None:
        other, object_id, shared = overlap
        raise InputError(
            f"{path.name}: objects {other} and {object_id} share {shared} pixel{'s' if shared > 1 else ''}; a label "
            "image has one object per pixel: remove one of them, or separate them"
        )
