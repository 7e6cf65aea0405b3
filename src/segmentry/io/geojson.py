"""GeoJSON as QuPath has it: objects as polygons in pixels of the full image (RFC 7946 geometry, x before y).

Written: a detection per object, along pixel edges, so that a polygon's area is its object's; named by its id, with a
classification where there are classes, and a measurement ``"score"`` where scores are known. What GeoJSON has no place
for (image size, pixel size, unit, names, provenance) stands under the key ``"segmentry"``.

Read: polygons and multipolygons of any objects, drawn by pixel centres. Ids are the names where all are distinct
numbers; otherwise objects count 1 … n in the file's order. A file of other programs does not say how large its image
is: the label image then reaches as far as its polygons. Of QuPath's cells the outline is taken; their nuclei would lie
in the same pixels, and are passed over.
"""

from __future__ import annotations

import colorsys
import json
import math
import re
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

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
    extent,
    gather,
    only_plane,
    settled_ids,
    understand,
)
from segmentry.result import Instances

__all__ = ["FORMATS", "GeoJson"]

#: QuPath tells objects apart by a UUID: ours follows from the id, so that the same objects give the same file.
NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "https://segmentry.readthedocs.io/objects")
#: Measurements of QuPath's own detectors that say how sure they are.
SCORES = ("score", "Detection probability")


class GeoJson(Format):
    """QuPath's GeoJSON of one plane."""

    name: ClassVar[str] = "GeoJSON"
    suffixes: ClassVar[tuple[str, ...]] = (".geojson",)
    writes: ClassVar[frozenset[str]] = frozenset({"labels"})
    holds_images: ClassVar[bool] = False

    def sniff(self, path: Path, head: bytes) -> bool:
        """Say whether this is JSON that begins with a feature or a collection of them."""
        start = re.match(rb'(\xef\xbb\xbf)?\s*[{\[].*"type"\s*:\s*"Feature(Collection)?"', head, re.DOTALL)
        return path.is_file() and start is not None

    def read_labels(self, path: Path) -> Instances:
        """Draw all objects into one label image."""
        from segmentry.kernels.contours import Outlines

        content = json.loads(path.read_bytes())
        features = list(_features(content))
        if len({_plane(feature) for feature in features}) > 1:
            raise InputError(f"{path.name} has objects of several planes or time points: export them one by one")
        ids = settled_ids([_properties(feature).get("name") for feature in features])
        polygons = [_polygons(feature, path) for feature in features]
        outlines = Outlines.of(
            [number for number, several in zip(ids, polygons, strict=True) for _ in several],
            [polygon for several in polygons for polygon in several],
        )
        if outlines.points.min(initial=0) < 0:
            raise InputError(f"{path.name} has negative coordinates: outlines must count from the image's corner")
        said = _said(content)
        grid = said.description.grid if said else None
        size = extent(outlines) if features else (1, 1)
        if grid is None or math.prod(grid.shape[:-2]) != 1 or any(np.array(grid.shape[-2:]) < size):
            if not features:
                raise InputError(f"{path.name} has no objects, and does not say how large its image is")
            grid = Grid("YX", size)
        labels = draw_objects(path, grid.shape, {0: outlines})
        names, kinds = _classes([_class_name(feature) for feature in features], said)
        scores = [_score(feature) for feature in features]
        entries = [Entry(n, score, kind) for n, score, kind in zip(ids, scores, kinds, strict=True)]
        return gather(labels, grid, entries, names)

    def provenance(self, path: Path) -> Mapping[str, Any]:
        """Return how the file says that it was made."""
        said = _said(json.loads(path.read_bytes()))
        return said.description.provenance if said else {}

    def write_labels(self, path: Path, labels: Instances, provenance: Mapping[str, Any]) -> None:
        """Write the objects of one plane."""
        from segmentry.kernels.contours import trace_outlines

        outlines = trace_outlines(only_plane(labels, self.name))
        features = []
        for number, polygons in outlines.objects():
            at = int(np.searchsorted(labels.ids, number))
            properties: dict[str, Any] = {"objectType": "detection", "name": str(number)}
            if labels.classes is not None:
                kind = int(labels.classes[at])
                properties["classification"] = {"name": labels.names[kind], "color": _color(kind)}
            if labels.scores is not None and np.isfinite(labels.scores[at]):
                properties["measurements"] = {"score": float(labels.scores[at])}
            shapes = [[_closed(ring) for ring in polygon] for polygon in polygons]
            several = len(shapes) > 1
            features.append(
                {
                    "type": "Feature",
                    "id": str(uuid.uuid5(NAMESPACE, str(number))),
                    "geometry": {
                        "type": "MultiPolygon" if several else "Polygon",
                        "coordinates": shapes if several else shapes[0],
                    },
                    "properties": properties,
                }
            )
        content = {"type": "FeatureCollection", "features": features, "segmentry": describe(labels, provenance)}
        path.write_text(json.dumps(content, separators=(",", ":")), encoding="utf-8")


FORMATS = (GeoJson(),)


def _said(content: Any) -> Said | None:
    return understand(content.get("segmentry")) if isinstance(content, dict) else None


def _features(content: Any) -> Iterator[dict[str, Any]]:
    """Give the features of a collection, a list or a single feature, each followed by its child objects."""
    if isinstance(content, dict) and content.get("type") == "FeatureCollection":
        content = content["features"]
    for feature in content if isinstance(content, list) else [content]:
        yield feature
        yield from _features(_properties(feature).get("childObjects", []))


def _properties(feature: Mapping[str, Any]) -> Mapping[str, Any]:
    return feature.get("properties") or {}


def _plane(feature: Mapping[str, Any]) -> tuple[int, int]:
    plane = (feature.get("geometry") or {}).get("plane") or {}
    return int(plane.get("z", 0)), int(plane.get("t", 0))


def _polygons(feature: Mapping[str, Any], path: Path) -> list[list[NDArray[np.float64]]]:
    """Return the polygons of a feature, each as rings of (y, x) points."""
    geometry = feature.get("geometry") or {"type": "nothing"}
    kind = geometry["type"]
    if kind not in ("Polygon", "MultiPolygon"):
        raise InputError(f"{path.name} has an object whose outline is a {kind}: only polygons have an area")
    polygons = [
        [np.array([point[1::-1] for point in ring], np.float64).reshape(-1, 2) for ring in polygon]
        for polygon in (geometry["coordinates"] if kind == "MultiPolygon" else [geometry["coordinates"]])
    ]
    if not polygons or any(not rings or min(map(len, rings)) < 3 for rings in polygons):
        raise InputError(f"{path.name} has an object whose outline is an empty {kind}")
    return polygons


def _closed(ring: NDArray[Any]) -> list[list[int]]:
    points: list[list[int]] = ring[:, ::-1].tolist()
    return [*points, points[0]]


def _class_name(feature: Mapping[str, Any]) -> str | None:
    given = _properties(feature).get("classification")
    if not given:
        return None
    return str(given["name"]) if "name" in given else ": ".join(given["names"])


def _classes(given: list[str | None], said: Said | None) -> tuple[tuple[str, ...], list[int | None]]:
    """Return the names of the classes, and the class of each object; ``"object"`` is what has none beside others."""
    if said and set(given) <= set(said.names):
        return said.names, [None if name is None else said.names.index(name) for name in given]
    if said and not any(given):
        return said.names, [None] * len(given)
    if not any(given):
        return ("background", "object"), [None] * len(given)
    filled = [name or "object" for name in given]
    names = ("background", *sorted(set(filled) - {"background"}))
    return names, [names.index(name) for name in filled]


def _score(feature: Mapping[str, Any]) -> float | None:
    given = _properties(feature).get("measurements") or {}
    if isinstance(given, list):
        given = {entry["name"]: entry["value"] for entry in given}
    return next((float(given[key]) for key in SCORES if key in given), None)


def _color(kind: int) -> list[int]:
    """Return a colour far from those of the classes before it: hues step by the golden ratio."""
    return [round(255 * part) for part in colorsys.hsv_to_rgb(kind * 0.618034 % 1, 0.8, 0.9)]
