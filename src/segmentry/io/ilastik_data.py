"""The input data that an ilastik project names: files beside or far from it, or arrays within it."""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath
from typing import Any

import numpy as np

from segmentry.errors import InputError
from segmentry.image import AXES, Image
from segmentry.io.arrange import LAZY_FROM, Native, Source, nbytes
from segmentry.io.hdf5_values import INTEGERS, Place, number_in

__all__ = ["Data", "Lane", "axes_of", "open_embedded", "read_lanes"]

GROUP = "Input Data"
#: A file within a list of them: a drive's letter has a colon of its own.
LISTED = re.compile(r"(?:[A-Za-z]:(?=[\\/]))?[^:;]+")
#: A file with datasets, and the path to one of them.
WITHIN = re.compile(r"(.+?\.(?:h5|hdf5|ilp|n5|npz|zarr))(/.*)", re.IGNORECASE)
#: Lengths of axes beyond this are no image.
LONGEST = 2**40


@dataclass(frozen=True)
class Data:
    """One input of a lane.

    Parameters
    ----------
    role
        What it is for: ``"Raw Data"``, ``"Prediction Maps"``, ``"Segmentation Image"``, ``"Prediction Mask"``, …
    files
        As stored: absolute, or relative to the project; several for a stack, each perhaps with ``*``. Empty for data
        within the project.
    inside
        Path of the dataset within each file, for files that hold several.
    embedded
        Path of the dataset within the project; empty for files.
    axes, shape
        Letters of ``"TCZYX"`` in the order of the file, and their lengths; empty where the project does not say.
    name
        The nickname.
    display
        How ilastik shows it: ``"default"``, ``"grayscale"``, ``"rgba"``, …
    value_range
        Smallest and largest value that ilastik takes it to have. It divides probabilities by it.
    """

    role: str
    files: tuple[str, ...] = ()
    inside: str = ""
    embedded: str = ""
    axes: str = ""
    shape: tuple[int, ...] = ()
    name: str = ""
    display: str = "default"
    value_range: tuple[float, float] | None = None

    def length(self, axis: str) -> int:
        """Return the length of an axis, 1 where there is none."""
        return self.shape[self.axes.index(axis)] if axis in self.axes else 1

    def located(self, project: Path) -> tuple[Path, ...]:
        """Return where the files lie: where they are said to be, else those of the same name beside the project."""
        found: list[Path] = []
        for file in self.files:
            said = project.parent / file
            beside = project.parent / PureWindowsPath(file).name
            for place in (said, beside):
                several = "*" in place.name and "**" not in place.name
                matches = sorted(place.parent.glob(place.name)) if several else [place]
                if matches and matches[0].exists():
                    found += matches
                    break
            else:
                found.append(said)
        return tuple(found)


@dataclass(frozen=True)
class Lane:
    """What belongs together: an image and what is said of it."""

    inputs: tuple[Data, ...]

    @property
    def raw(self) -> Data:
        """The image itself."""
        return self.inputs[0]


def read_lanes(root: Place, notes: list[str]) -> tuple[Lane, ...]:
    """Return the lanes of a project in their order; adds to `notes` what can't be carried over."""
    group = root.place(GROUP)
    infos = group and group.place("infos")
    if group is None or infos is None:
        return ()
    roles = group.texts("Role Names") or ("Raw Data",)
    lanes = []
    for name, place in sorted(infos.places(), key=lambda item: number_in(item[0])):
        # before there were roles, a lane was the one image
        inner = {roles[0]: place} if place.dataset("filePath") is not None else dict(place.places())
        found = [_data(inner[role], role, root, notes) for role in roles if role in inner and inner[role].names()]
        if not found or found[0].role != roles[0]:
            raise InputError(f"{place.where} has no {roles[0]!r}: the file is damaged")
        lanes.append(Lane(tuple(found)))
        if any(data.role.endswith("Mask") for data in found):
            notes.append(f"{name} has a prediction mask: ilastik leaves out what lies outside it, here it is not used")
    return tuple(lanes)


def axes_of(text: str, where: str) -> str:
    """Return the axes that VIGRA's description names.

    >>> axes_of('{"axes": [{"key": "y"}, {"key": "x"}, {"key": "c"}]}', "")
    'YXC'
    """
    try:
        axes = "".join(str(axis["key"]) for axis in json.loads(text)["axes"]).upper()
    except (ValueError, TypeError, KeyError, RecursionError):
        axes = "?"
    return _known(axes, where)


def open_embedded(project: Path, data: Data) -> Image:
    """Return the image that lies within the project; lazily when it is large.

    Raises
    ------
    InputError
        When it is not there, or claims more than the file can hold.
    """
    import h5py

    file = h5py.File(project, "r", locking=False)
    try:
        pixels = _within(Place(file, project), data.embedded)
        if pixels is None or pixels.dtype.kind not in "biuf" or len(pixels.shape or ()) != len(data.axes):
            raise InputError(f"{project.name} has no array of axes {data.axes!r} at {data.embedded}: it is damaged")
        loaded = pixels if nbytes(pixels.shape, pixels.dtype) > LAZY_FROM else pixels[()]
    except BaseException:
        file.close()
        raise
    return Source(loaded, data.axes, data.name or project.name, Native(), file.close).image()


def _data(place: Place, role: str, root: Place, notes: list[str]) -> Data:
    name, path = place.text("nickname"), place.text("filePath")
    shape = tuple(int(n) for n in _numbers(place, "shape"))
    axes = axes_of(place.text("axistags"), place.where) if place.dataset("axistags") is not None else ""
    axes = axes or _known(place.text("axisorder").upper(), place.where)
    limits = _numbers(place, "drange")
    value_range = (float(limits[0]), float(limits[1])) if len(limits) == 2 and np.isfinite(limits).all() else None
    files: tuple[str, ...] = ()
    inside, embedded = "", ""
    if place.text("location") == "ProjectInternal":
        embedded = place.text("inner_path") or f"{GROUP}/local_data/{place.text('datasetId')}"
        axes, shape = _embedded_axes(root, embedded, axes)
    else:
        files, inside = _files(path)
    if len(axes) != len(shape):
        axes, shape = "", ()
    if not all(1 <= n <= LONGEST for n in shape):
        raise place.wrong("shape", f"{shape}", "the lengths of an image's axes")
    if len(_numbers(place, "subvolume_roi")):
        notes.append(f"{place.where} is cut to a part of its image: all of it is used here")
    if "://" in path:
        notes.append(f"{place.where} lies at an address of the net, which is not fetched: {path[:100]}")
    return Data(role, files, inside, embedded, axes, shape, name, place.text("display_mode", "default"), value_range)


def _files(path: str) -> tuple[tuple[str, ...], str]:
    """Split what ilastik stores: several files with colons or semicolons between, each with a path within it."""
    listed = [path] if "://" in path else LISTED.findall(path)
    split = [WITHIN.fullmatch(file.replace("\\", "/")) for file in listed]
    files = tuple(found[1] if found else file for file, found in zip(listed, split, strict=True))
    inside = {found[2] for found in split if found}
    return tuple(dict.fromkeys(files)), inside.pop() if len(inside) == 1 else ":".join(sorted(inside))


def _embedded_axes(root: Place, embedded: str, axes: str) -> tuple[str, tuple[int, ...]]:
    pixels = _within(root, embedded)
    if pixels is None:
        raise InputError(f"{embedded} is not in the file, which says that it is: it is damaged")
    holder = Place(pixels.parent, root.path, "")
    said = holder.attribute(pixels.name.rsplit("/", 1)[-1], "axistags")
    return axes_of(said, embedded) if said else axes, tuple(int(n) for n in pixels.shape or ())


def _within(root: Place, path: str) -> Any:
    """Return the dataset at a path, each step of which is checked."""
    *groups, name = [part for part in path.split("/") if part] or [""]
    place: Place | None = root
    for part in groups[:20]:
        place = place and place.place(part)
    return place.dataset(name) if place is not None and name else None


def _numbers(place: Place, name: str) -> Any:
    data = place.dataset(name)
    if data is None or data.shape is None or data.dtype.kind not in INTEGERS + "f" or math.prod(data.shape) > 64:
        return ()
    return np.ravel(data[()])


def _known(axes: str, where: str) -> str:
    if len(set(axes)) != len(axes) or not set(axes) <= set(AXES):
        raise InputError(f"{where} has axes {axes[:20]!r}, which are not distinct letters of {AXES!r}")
    return axes
