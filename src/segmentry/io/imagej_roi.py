"""ImageJ's regions of interest: one ``.roi`` file, or a ``.zip`` of them as the ROI Manager saves it.

Written: for each object, and each plane it lies in, a ROI along pixel edges, named by the object's id: a traced polygon
where it is one ring, else a composite. The class is the ROI's group (its colour in ImageJ), the score its property
``score``, its plane the ROI's position. What ROIs have no field for (image size, pixel size, unit, names, provenance)
stands in the archive's comment; provenance is left out where the comment would get longer than a zip allows.

Read: polygons, freehand and traced outlines, rectangles, ovals and composites, drawn by pixel centres; a ROI of any
other type is refused. Ids are the names where all are numbers, distinct in each plane; otherwise objects count 1 … n in
the file's order. The files of other programs do not say how large their image is: the label image then reaches as far
as the ROIs. A ROI without a position lies in all planes, as in ImageJ; a position in a plain stack counts as Z.
Colours, strokes and channels are passed over.
"""

from __future__ import annotations

import json
import logging
import math
import re
import struct
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from segmentry.errors import InputError, OutputError
from segmentry.image import Grid
from segmentry.io.format import Format, check_claim
from segmentry.io.object_list import Entry, Said, describe, draw_objects, extent, gather, settled_ids, understand
from segmentry.result import Instances

if TYPE_CHECKING:
    from segmentry.kernels.contours import Outlines

__all__ = ["FORMATS", "ImagejRoi"]

MAGIC = b"Iout"
#: Fields of a polygon ROI have 16 bits with a sign; above, coordinates are written as float32, exact to 2**24.
MAX_SHORT, MAX_EXACT = 2**15 - 1, 2**24
MAX_GROUP = 255
MAX_COMMENT = 2**16 - 1
#: What no image reaches: planes, and rows of an oval or a rectangle.
MAX_LENGTH = 2**20
#: How often ROIs without a position are drawn, in all.
MAX_REPEATS = 2**16
#: Bytes of memory that a byte of a ROI takes once it is unpacked.
UNPACKED = 16
#: What the standard library raises on damaged zips.
DAMAGED_ZIP = (zipfile.BadZipFile, OSError, ValueError, NotImplementedError, struct.error)
#: Zip files can't say that they have no date.
NO_DATE = (1980, 1, 1, 0, 0, 0)


class ImagejRoi(Format):
    """ImageJ regions of interest: a zip of them, or a single one."""

    name: ClassVar[str] = "ImageJ ROI"
    suffixes: ClassVar[tuple[str, ...]] = (".zip", ".roi")
    writes: ClassVar[frozenset[str]] = frozenset({"labels"})
    holds_images: ClassVar[bool] = False

    def sniff(self, path: Path, head: bytes) -> bool:
        """Say whether this begins as a ROI does, or is a zip with ROIs in it, or one of ours without objects."""
        if not head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
            return head.startswith(MAGIC)
        try:
            with zipfile.ZipFile(path) as archive:
                return _said(archive) is not None or any(_is_roi(entry) for entry in archive.infolist())
        except DAMAGED_ZIP:
            return False

    def read_labels(self, path: Path) -> Instances:
        """Draw all regions into one label image."""
        if not zipfile.is_zipfile(path):
            return _instances(path, [_decoded(path.read_bytes(), path.stem)], None)
        with zipfile.ZipFile(path) as archive:
            entries = [entry for entry in archive.infolist() if _is_roi(entry)]
            check_claim(path, (sum(entry.file_size for entry in entries),), UNPACKED)
            rois = [_decoded(archive.read(entry), Path(entry.filename).stem) for entry in entries]
            return _instances(path, rois, _said(archive))

    def provenance(self, path: Path) -> Mapping[str, Any]:
        """Return how the archive's comment says that it was made."""
        if not zipfile.is_zipfile(path):
            return {}
        with zipfile.ZipFile(path) as archive:
            said = _said(archive)
        return said.description.provenance if said else {}

    def write_labels(self, path: Path, labels: Instances, provenance: Mapping[str, Any]) -> None:
        """Write the objects of all planes."""
        from segmentry.kernels.contours import trace_outlines

        if path.suffix.lower() == ".roi":
            raise OutputError(f"{path.name}: a .roi file has one region: write a .zip of them")
        if max(labels.grid.shape[-2:]) > MAX_EXACT:
            raise OutputError(f"ImageJ ROIs end at pixel {MAX_EXACT:,}, these labels have shape {labels.grid.shape}")
        if labels.classes is not None and len(labels.classes) and labels.classes.max() > MAX_GROUP:
            raise OutputError(f"ImageJ ROIs have {MAX_GROUP} groups, these objects {labels.classes.max()} classes")
        comment = json.dumps({"segmentry": describe(labels, provenance)})
        if len(comment) > MAX_COMMENT:
            comment = json.dumps({"segmentry": describe(labels, {})})
        if len(comment) > MAX_COMMENT:
            raise OutputError(f"the names of {len(labels.names)} classes are too long for a zip's comment")
        array = np.asarray(labels.labels[...])
        leading = array.shape[:-2]
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.comment = comment.encode("ascii")
            for index in np.ndindex(*leading):
                place = dict(zip(labels.grid.axes, index, strict=False))
                stack = int(np.ravel_multi_index(index, leading)) + 1 if leading else 0
                suffix = "".join(f"-{axis.lower()}{i + 1:04}" for axis, i in place.items())
                for number, polygons in trace_outlines(np.ascontiguousarray(array[index])).objects():
                    roi = _encoded(labels, number, polygons)
                    roi.position, roi.z_position, roi.t_position = stack, place.get("Z", -1) + 1, place.get("T", -1) + 1
                    entry = zipfile.ZipInfo(f"{number}{suffix}.roi", NO_DATE)
                    entry.compress_type, entry.create_system = zipfile.ZIP_DEFLATED, 3
                    archive.writestr(entry, roi.tobytes())


FORMATS = (ImagejRoi(),)


def _is_roi(entry: zipfile.ZipInfo) -> bool:
    """Say whether a zip's entry is a ROI; macOS adds entries of its own."""
    return entry.filename.lower().endswith(".roi") and not entry.filename.startswith("__MACOSX/")


def _said(archive: zipfile.ZipFile) -> Said | None:
    try:
        return understand(json.loads(archive.comment)["segmentry"])
    except (ValueError, KeyError, TypeError, ArithmeticError, RecursionError):
        return None


def _encoded(labels: Instances, number: int, polygons: Sequence[Sequence[NDArray[np.int32]]]) -> Any:
    """Return a ROI of an object's polygons, which lie in one plane."""
    import roifile

    rings = [ring[:, ::-1] for polygon in polygons for ring in polygon]
    points = np.concatenate(rings)
    roi = roifile.ImagejRoi(name=str(number), roitype=roifile.ROI_TYPE.TRACED)
    (roi.left, roi.top), (roi.right, roi.bottom) = points.min(axis=0).tolist(), points.max(axis=0).tolist()
    if len(rings) == 1 and points.max() <= MAX_SHORT and len(points) <= MAX_SHORT:
        roi.n_coordinates = len(points)
        roi.integer_coordinates = points - points.min(axis=0)
    else:
        roi.roitype = roifile.ROI_TYPE.RECT
        roi.multi_coordinates = np.concatenate([_path(ring) for ring in rings])
        roi.shape_roi_size = len(roi.multi_coordinates)
    at = np.searchsorted(labels.ids, number)
    if labels.classes is not None:
        roi.group = int(labels.classes[at])
    if labels.scores is not None and np.isfinite(labels.scores[at]):
        roi.props = f"score: {float(labels.scores[at])}\n"
    return roi


def _path(ring: NDArray[np.int32]) -> NDArray[np.float32]:
    """Return a ring of (x, y) points as ImageJ's path: 0 x y to move, 1 x y to draw a line, 4 to close."""
    path = np.ones((len(ring), 3), np.float32)
    path[0, 0] = 0
    path[:, 1:] = ring
    return np.append(path.ravel(), np.float32(4))


def _decoded(content: bytes, stem: str) -> Any:
    import roifile

    logger = logging.getLogger("roifile")
    if not logger.handlers:
        logger.addHandler(logging.NullHandler())
    roi = roifile.ImagejRoi.frombytes(content)
    roi.name = roi.name or stem
    return roi


def _instances(path: Path, rois: Sequence[Any], said: Said | None) -> Instances:
    from segmentry.kernels.contours import Outlines

    places = [_position(roi) for roi in rois]
    ids = settled_ids([roi.name for roi in rois], places)
    rings = [_rings(roi, path) for roi in rois]
    outlines = Outlines.of(ids, rings)
    if outlines.points.min(initial=0) < 0:
        raise InputError(f"{path.name} has ROIs with negative coordinates: they reach out of the image")
    grid = _grid(path, outlines, places, said)
    depth, times = grid.length("Z"), grid.length("T")
    if sum((depth if z == 0 else 1) * (times if t == 0 else 1) for z, t in places) > len(places) + MAX_REPEATS:
        raise InputError(f"{path.name} has ROIs that lie in all of {depth * times} planes: give them a position")
    planes: dict[int, list[int]] = {}
    for i, (z, t) in enumerate(places):
        for time in range(times) if t == 0 else [t - 1]:
            for plane in range(depth) if z == 0 else [z - 1]:
                planes.setdefault(time * depth + plane, []).append(i)
    drawings = {plane: Outlines.of([ids[i] for i in at], [rings[i] for i in at]) for plane, at in planes.items()}
    labels = draw_objects(path, grid.shape, drawings)
    names, kinds = _classes([roi.group for roi in rois], said)
    scores = [_score(roi) for roi in rois]
    entries = [Entry(n, score, kind) for n, score, kind in zip(ids, scores, kinds, strict=True)]
    return gather(labels, grid, entries, names)


def _classes(groups: Sequence[int], said: Said | None) -> tuple[tuple[str, ...], list[int | None]]:
    """Return the names of the classes, and the class of each object; groups of others are classes from 1."""
    if said and said.classified and max(groups, default=0) < len(said.names):
        return said.names, list(groups)
    if not any(groups):
        return said.names if said else ("background", "object"), [None] * len(groups)
    order = sorted(set(groups))
    names = ("background", *(f"group {group}" if group else "object" for group in order))
    return names, [order.index(group) + 1 for group in groups]


def _score(roi: Any) -> float | None:
    found = re.search(r"^score:\s*([-+.\deE]+)\s*$", roi.props, re.MULTILINE)
    return float(found[1]) if found else None


def _position(roi: Any) -> tuple[int, int]:
    """Return the plane and the time point of a ROI, from 1; 0 for all."""
    z, t = int(roi.z_position), int(roi.t_position)
    if z <= 0 and t <= 0:
        z = int(roi.position)
    return max(z, 0), max(t, 0)


def _grid(path: Path, outlines: Outlines, places: Sequence[tuple[int, int]], said: Said | None) -> Grid:
    """Return the grid that the file names, if its ROIs lie within; else the smallest one that holds them."""
    needed = dict.fromkeys("TZYX", 1)
    if places:
        needed["Y"], needed["X"] = extent(outlines)
        needed["Z"], needed["T"] = max(1, *(z for z, _ in places)), max(1, *(t for _, t in places))
    if needed["Z"] * needed["T"] > MAX_LENGTH:
        raise InputError(f"{path.name} has ROIs at plane {needed['Z']}, time point {needed['T']}: it is damaged")
    if said and all(said.description.grid.length(axis) >= n for axis, n in needed.items()):
        return said.description.grid
    if not places:
        raise InputError(f"{path.name} has no ROIs, and does not say how large its image is")
    axes = "".join(axis for axis in "TZYX" if axis in "YX" or needed[axis] > 1)
    return Grid(axes, tuple(needed[axis] for axis in axes))


def _rings(roi: Any, path: Path) -> list[NDArray[Any]]:
    """Return the rings of (y, x) points of a ROI that is an area, or refuse it."""
    import roifile

    kinds = roifile.ROI_TYPE
    spline = bool(roi.options & roifile.ROI_OPTIONS.SPLINE_FIT)
    rectangle = roi.roitype == kinds.RECT and roi.subtype == roifile.ROI_SUBTYPE.UNDEFINED
    rings: list[NDArray[Any]] = []
    if rectangle and roi.composite:
        rings = roi.coordinates(multi=True)
    elif rectangle and not roi.rounded_rect_arc_size:
        x, y, width, height = _box(roi, path)
        rings = [np.array([[x, y], [x + width, y], [x + width, y + height], [x, y + height]])]
    elif roi.roitype == kinds.OVAL:
        rings = [_ellipse(*_box(roi, path))]
    elif roi.roitype in (kinds.POLYGON, kinds.FREEHAND, kinds.TRACED) and not spline:
        rings = [roi.coordinates()]
    if not rings or min(map(len, rings)) < 3:
        words = ["spline-fitted"] * spline + ["rounded"] * bool(roi.rounded_rect_arc_size)
        words += [kind.name.lower() for kind in (roi.subtype, roi.roitype) if kind.name != "UNDEFINED"]
        raise InputError(
            f"{path.name}: ROI {roi.name!r} ({' '.join(words)}) is no area that can be drawn: remove it, or make it a "
            "polygon in ImageJ"
        )
    return [ring[:, ::-1] for ring in rings]


def _box(roi: Any, path: Path) -> tuple[float, float, float, float]:
    """Return left, top, width and height."""
    box = (roi.left, roi.top, roi.right - roi.left, roi.bottom - roi.top)
    if roi.subpixelrect:
        box = (roi.xd, roi.yd, roi.widthd, roi.heightd)
    if not all(abs(value) < MAX_LENGTH for value in box) or min(box[2:]) <= 0:
        raise InputError(f"{path.name}: ROI {roi.name!r} has the impossible left, top, width and height {box}")
    return box


def _ellipse(x: float, y: float, width: float, height: float) -> NDArray[np.float64]:
    """Return the outline of the pixels whose centre lies in an ellipse, as one ring of (x, y) points."""
    rows = np.arange(math.floor(y), math.ceil(y + height)) + 0.5
    reach = width / 2 * np.sqrt(np.clip(1 - ((rows - y - height / 2) / (height / 2)) ** 2, 0, None))
    right = np.stack([np.repeat(x + width / 2 + reach, 2), np.repeat(rows, 2)], axis=1)
    right[0::2, 1] -= 0.5
    right[1::2, 1] += 0.5
    left = right * (-1, 1) + (2 * x + width, 0)
    return np.concatenate([right, left[::-1]])
