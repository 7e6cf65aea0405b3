"""COCO JSON: one image's objects as run lengths (https://cocodataset.org/#format-data).

Written: one image, a category per class, and for each object its id, compressed run lengths, area, bounding box,
category and, where known, score. What COCO has no field for (pixel size, unit, names, provenance) stands under the key
``"segmentry"``.

Read: run lengths, compressed or not, and polygons (drawn by pixel centres, the polygons of one object together). Ids
are kept where all are distinct and fit into 32 bits; otherwise objects count 1 … n in the file's order. Keypoints,
captions and the like are passed over.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from segmentry.errors import InputError
from segmentry.image import Grid
from segmentry.io.format import Format
from segmentry.io.object_list import (
    Entry,
    Said,
    describe,
    draw_objects,
    gather,
    only_plane,
    settled_ids,
    understand,
)
from segmentry.result import Instances

if TYPE_CHECKING:
    from segmentry.kernels.contours import Runs

__all__ = ["FORMATS", "Coco"]

#: Groups of 5 bits that one run length may have: 2**34 pixels, more than any image in memory.
MAX_GROUPS = 7


class Coco(Format):
    """COCO JSON of one image."""

    name: ClassVar[str] = "COCO JSON"
    suffixes: ClassVar[tuple[str, ...]] = (".json", ".coco.json")
    writes: ClassVar[frozenset[str]] = frozenset({"labels"})
    holds_images: ClassVar[bool] = False

    def sniff(self, path: Path, head: bytes) -> bool:
        """Say whether this is a JSON object with one of the keys that a COCO file begins with."""
        begins = re.match(rb'(\xef\xbb\xbf)?\s*{.*"(images|annotations|categories)"\s*:\s*\[', head, re.DOTALL)
        return path.is_file() and begins is not None

    def read_labels(self, path: Path) -> Instances:
        """Draw all objects into one label image."""
        from segmentry.kernels.contours import Outlines

        content = _load(path)
        images, annotations = _listed(content, "images", path), _listed(content, "annotations", path)
        owners = {image.get("id") for image in images} | {a["image_id"] for a in annotations if "image_id" in a}
        if max(len(images), len(owners)) > 1:
            raise InputError(f"{path.name} has objects of {max(len(images), len(owners))} images: give one per file")
        height, width = shape = _shape(images, annotations, path)
        ids = settled_ids([annotation.get("id") for annotation in annotations])
        outlined: list[tuple[int, list[NDArray[np.float64]]]] = []
        counted: list[tuple[int, NDArray[np.int64]]] = []
        for number, annotation in zip(ids, annotations, strict=True):
            parts, what = annotation.get("segmentation"), f"{path.name}: annotation {annotation.get('id')}"
            if isinstance(parts, dict):
                counted.append((number, _counts(parts, shape, what)))
            elif parts:
                outlined += [(number, [_ring(part, what)]) for part in parts]
            else:
                raise InputError(f"{what} has no segmentation, only a box")
        outlines = Outlines.of([number for number, _ in outlined], [rings for _, rings in outlined])
        labels = draw_objects(path, (height, width), {0: outlines}, _runs(counted))
        said = _said(content)
        names, kinds = _categories(content, annotations, said)
        entries = [Entry(n, a.get("score"), k) for n, a, k in zip(ids, annotations, kinds, strict=True)]
        grid = said.description.grid if said else None
        if grid is None or grid.shape != (1,) * (len(grid.shape) - 2) + shape:
            grid = Grid("YX", shape)
        return gather(labels.reshape(grid.shape), grid, entries, names)

    def provenance(self, path: Path) -> Mapping[str, Any]:
        """Return how the file says that it was made."""
        said = _said(_load(path))
        return said.description.provenance if said else {}

    def write_labels(self, path: Path, labels: Instances, provenance: Mapping[str, Any]) -> None:
        """Write the objects of one plane."""
        from segmentry.kernels.contours import encode_runs

        plane = only_plane(labels, self.name)
        height, width = plane.shape
        down, along = encode_runs(plane, columns=True), encode_runs(plane)
        stem = re.sub(r"(\.coco)?\.json$", "", path.name, flags=re.IGNORECASE)
        at = np.searchsorted(labels.ids, down.ids)
        kinds = np.ones(len(at), np.int32) if labels.classes is None else labels.classes[at]
        annotations = [
            {
                "id": number,
                "image_id": 1,
                "category_id": kind,
                "segmentation": {"size": [height, width], "counts": text},
                "area": area,
                "bbox": box,
                "iscrowd": 0,
            }
            for number, kind, text, area, box in zip(
                down.ids.tolist(),
                kinds.tolist(),
                _compress(down, height * width),
                np.add.reduceat(down.lengths, down.offsets[:-1]).tolist() if len(at) else [],
                _boxes(down, along, height, width),
                strict=True,
            )
        ]
        if labels.scores is not None:
            for annotation, score in zip(annotations, labels.scores[at].tolist(), strict=True):
                if np.isfinite(score):
                    annotation["score"] = score
        content = {
            "images": [{"id": 1, "file_name": stem, "height": height, "width": width}],
            "categories": [
                {"id": i, "name": name, "supercategory": ""}
                for i, name in enumerate(labels.names)
                if i > 0 or 0 in kinds
            ],
            "annotations": annotations,
            "segmentry": describe(labels, provenance),
        }
        path.write_text(json.dumps(content, separators=(",", ":")), encoding="utf-8")


FORMATS = (Coco(),)


def _load(path: Path) -> dict[str, Any]:
    content = json.loads(path.read_bytes())
    if not isinstance(content, dict):
        raise InputError(f"{path.name} holds a JSON {type(content).__name__}, not a COCO object with images")
    return content


def _said(content: Mapping[str, Any]) -> Said | None:
    return understand(content.get("segmentry"))


def _listed(content: Mapping[str, Any], key: str, path: Path) -> list[dict[str, Any]]:
    items = content.get(key) or []
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise InputError(f"{path.name}: {key!r} must be a list of objects")
    return items


def _shape(
    images: Sequence[Mapping[str, Any]], annotations: Sequence[Mapping[str, Any]], path: Path
) -> tuple[int, int]:
    for image in images:
        if "height" in image and "width" in image:
            return int(image["height"]), int(image["width"])
    for annotation in annotations:
        if isinstance(annotation.get("segmentation"), dict):
            height, width = annotation["segmentation"]["size"]
            return int(height), int(width)
    raise InputError(f"{path.name} does not say how large its image is: add height and width to its entry in 'images'")


def _categories(
    content: Mapping[str, Any], annotations: Sequence[Mapping[str, Any]], said: Said | None
) -> tuple[tuple[str, ...], list[int | None]]:
    """Return the names of the classes, and the class of each object; the categories of others count from 1."""
    given = [annotation.get("category_id") for annotation in annotations]
    if said:
        whole = said.classified and all(isinstance(kind, int) and 0 <= kind < len(said.names) for kind in given)
        return said.names, given if whole else [None] * len(given)
    named = {category["id"]: str(category.get("name", category["id"])) for category in content.get("categories") or []}
    named |= {kind: str(kind) for kind in given if kind is not None and kind not in named}
    if not named or None in given:
        return ("background", "object"), [None] * len(given)
    order = sorted(named)
    return ("background", *(named[kind] for kind in order)), [order.index(kind) + 1 for kind in given]


def _ring(flat: Any, what: str) -> NDArray[np.float64]:
    """Return the (y, x) points of a polygon given as x and y in turn."""
    points = np.asarray(flat, np.float64)
    if points.ndim != 1 or points.size < 6 or points.size % 2:
        raise InputError(f"{what} has a polygon of {points.size} numbers: three or more pairs of x and y are needed")
    return points.reshape(-1, 2)[:, ::-1]


def _counts(segmentation: Mapping[str, Any], shape: tuple[int, int], what: str) -> NDArray[np.int64]:
    """Return run lengths, of background and object in turn."""
    counts = segmentation["counts"]
    values = _expand(counts, what) if isinstance(counts, str) else np.array(counts, np.int64)
    if tuple(segmentation.get("size", shape)) != shape:
        raise InputError(f"{what} has size {segmentation['size']}, its image {list(shape)}")
    total = sum(values.tolist())
    if values.min(initial=0) < 0 or total != shape[0] * shape[1]:
        raise InputError(f"{what} has run lengths for {total} pixels, its image has {shape[0] * shape[1]}")
    return values


def _runs(counted: Sequence[tuple[int, NDArray[np.int64]]]) -> Runs:
    from segmentry.kernels.contours import Runs

    counts = [values for _, values in counted]
    ends = [np.cumsum(values) for values in counts]
    return Runs(
        np.array([number for number, _ in counted], np.uint32),
        np.append(0, np.cumsum([len(values) // 2 for values in counts], dtype=np.int64)),
        np.concatenate([end[0 : len(end) // 2 * 2 : 2] for end in ends] or [np.zeros(0, np.int64)]),
        np.concatenate([values[1::2] for values in counts] or [np.zeros(0, np.int64)]),
    )


def _boxes(down: Runs, along: Runs, height: int, width: int) -> list[list[int]]:
    """Return x, y, width and height of each object: its runs ascend, so the first and the last one tell."""
    left, top = down.starts[down.offsets[:-1]] // height, along.starts[along.offsets[:-1]] // width
    right = (down.starts + down.lengths - 1)[down.offsets[1:] - 1] // height
    bottom = (along.starts + along.lengths - 1)[along.offsets[1:] - 1] // width
    boxes: list[list[int]] = np.stack([left, top, right - left + 1, bottom - top + 1], axis=1).tolist()
    return boxes


def _compress(runs: Runs, size: int) -> list[str]:
    """Return the run lengths of each object as COCO's text.

    Background and object in turn; from the fourth on each less the one before last; then groups of 5 bits with a sign
    in the last, lowest first, a sixth bit saying that more follow, as characters from ``0`` on.
    """
    if not len(runs.ids):
        return []
    ends = runs.starts + runs.lengths
    before = np.append(0, ends[:-1])
    before[runs.offsets[:-1]] = 0
    rest = size - ends[runs.offsets[1:] - 1]
    pairs = np.stack([runs.starts - before, runs.lengths], axis=1).ravel()
    counts = np.insert(pairs, 2 * runs.offsets[1:][rest > 0], rest[rest > 0])
    lengths = 2 * np.diff(runs.offsets) + (rest > 0)
    firsts = np.append(0, np.cumsum(lengths))
    later = np.flatnonzero(np.arange(len(counts)) - np.repeat(firsts[:-1], lengths) > 2)
    values = counts.copy()
    values[later] -= counts[later - 2]
    going = np.ones(len(values), np.bool_)
    groups = []
    while going.any():
        low = values & 31
        values >>= 5
        more = np.where(low & 16, values != -1, values != 0)
        groups.append(np.where(going, (low | more << 5) + 48, 0))
        going &= more
    table = np.stack(groups, axis=1).astype(np.uint8)
    text = table[table > 0].tobytes().decode("ascii")
    cuts = np.append(0, np.cumsum(np.count_nonzero(table, axis=1)))[firsts].tolist()
    return [text[a:b] for a, b in pairwise(cuts)]


def _expand(text: str, what: str) -> NDArray[np.int64]:
    """Return the run lengths in COCO's text."""
    codes = np.frombuffer(text.encode("utf-8"), np.uint8).astype(np.int64) - 48
    ends = np.flatnonzero(codes & 32 == 0)
    if not len(codes) or codes.min() < 0 or codes.max() > 63 or not len(ends) or ends[-1] != len(codes) - 1:
        raise InputError(f"{what} has damaged run lengths")
    begins = np.append(0, ends[:-1] + 1)
    places = np.arange(len(codes)) - np.repeat(begins, ends - begins + 1)
    if places.max() >= MAX_GROUPS:
        raise InputError(f"{what} has damaged run lengths")
    values = np.add.reduceat((codes & 31) << 5 * places, begins)
    values -= np.where(codes[ends] & 16, 1 << 5 * (places[ends] + 1), 0)
    values[1::2] = np.cumsum(values[1::2])
    values[2::2] = np.cumsum(values[2::2])
    return values
