"""HDF5 as ilastik, Fiji and training sets use it.

The dataset ``exported_data`` is written with ilastik's ``axistags`` and ``axis_units``, and with the attribute
``element_size_um`` that Fiji reads. Files of others need not say their axes: two are YX, three ZYX, and of four a first
or last one of at most 4 are the channels.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from segmentry.errors import InputError
from segmentry.image import Grid, Image, normalise_unit, unit_ratio
from segmentry.io.arrange import BAND, LAZY_FROM, Native, Source, bands, guess_axes, nbytes
from segmentry.io.format import Description, Format, as_instances, check_claim
from segmentry.io.hdf5_values import check_heaps
from segmentry.result import Instances

__all__ = ["FORMATS", "Hdf5"]

#: Files up to this size are searched for a damage on which the HDF5 library never ends.
SEARCHED = 2**26

MAGIC = b"\x89HDF\r\n\x1a\n"
DATASET = "exported_data"
#: Names of datasets in the order in which they are taken.
FOR_IMAGES = (DATASET, "raw", "image", "images", "data")
FOR_LABELS = ("label", "labels", DATASET)
ATTRIBUTES = ("segmentry", "axistags", "axis_units", "element_size_um")
#: What vigra calls the kinds of axes.
_FLAGS = {"C": 1, "Z": 2, "Y": 2, "X": 2, "T": 8}


class Hdf5(Format):
    """One dataset of an HDF5 file."""

    name: ClassVar[str] = "HDF5"
    suffixes: ClassVar[tuple[str, ...]] = (".h5", ".hdf5", ".ilastik.h5")
    writes: ClassVar[frozenset[str]] = frozenset({"image", "labels"})

    def sniff(self, path: Path, head: bytes) -> bool:
        """Say whether the file begins as HDF5 does."""
        return head.startswith(MAGIC) and path.is_file()

    def read(self, path: Path) -> Image:
        """Open the dataset that is the image; lazily when it is large."""
        return _read(path, FOR_IMAGES)

    def read_labels(self, path: Path) -> Instances:
        """Read the dataset that has the ids."""
        image = _read(path, FOR_LABELS)
        if image.grid.length("C") > 1:
            raise InputError(f"{path.name} has {image.grid.length('C')} channels: labels have one id per pixel")
        image = image.channel(0)
        return as_instances(image)

    def write(self, path: Path, image: Image, kind: str = "image") -> None:
        """Write the dataset a band of rows at a time, in chunks, compressed without loss."""
        import h5py

        grid = image.grid
        chunks = (1,) * (len(grid.shape) - 2) + tuple(min(n, BAND) for n in grid.shape[-2:])
        with h5py.File(path, "w") as file:
            data = file.create_dataset(
                DATASET, grid.shape, image.dtype.newbyteorder("="), chunks=chunks, compression="gzip", shuffle=True
            )
            for band in bands(grid.shape):
                data[band] = image.read(band)
            data.attrs["segmentry"] = Description(grid, image.channels, kind, image.provenance).to_json()
            data.attrs["axistags"], data.attrs["axis_units"] = _axistags(grid)
            if grid.spacing is not None and grid.unit is not None:
                to_um = unit_ratio(grid.unit, "um")
                data.attrs["element_size_um"] = [1.0] * (3 - len(grid.spacing)) + [s * to_um for s in grid.spacing]


def _read(path: Path, preferred: tuple[str, ...]) -> Image:
    import h5py

    if path.stat().st_size <= SEARCHED:
        check_heaps(path)
    file = h5py.File(path, "r", locking=False)
    try:
        data = _chosen(path.name, file, preferred)
        for claim in (data.shape, data.chunks or ()):
            check_claim(path, claim, data.dtype.itemsize)
        attributes = {key: data.attrs[key] for key in ATTRIBUTES if key in data.attrs and _is_plain(data.attrs, key)}
        description = Description.from_json(attributes.get("segmentry", ""))
        if description is not None and description.grid.shape != data.shape:
            description = None
        said = _json(attributes.get("axistags", ""))
        axes = description.grid.axes if description else _tagged(said) or _guess(path.name, data.shape, data.dtype)
        native = _native(said, attributes, description)
        pixels = data if nbytes(data.shape, data.dtype) > LAZY_FROM else data[()]
    except BaseException:
        file.close()
        raise
    return Source(pixels, axes, path.name, native, file.close).image()


def _is_plain(attributes: Any, key: str) -> bool:
    """Say whether an attribute is text or numbers: h5py crashes on damaged ones of other types."""
    import h5py

    dtype = attributes.get_id(key).dtype
    return dtype.kind != "O" or h5py.check_string_dtype(dtype) is not None


def _chosen(name: str, file: Any, preferred: tuple[str, ...]) -> Any:
    """Return the dataset that is meant: the only one, or the first of the preferred names."""
    import h5py

    found: dict[str, Any] = {}

    def visit(place: str, item: object) -> None:
        if isinstance(item, h5py.Dataset) and len(item.shape or ()) >= 2 and item.dtype.kind in "biuf":
            found[place] = item

    file.visititems(visit)
    if len(found) == 1:
        return next(iter(found.values()))
    for wanted in preferred:
        matches = [place for place in found if place.rsplit("/", 1)[-1] == wanted]
        if len(matches) == 1:
            return found[matches[0]]
        if matches:
            break
    listed = ", ".join(f"{place} {item.shape}" for place, item in list(found.items())[:10]) or "none"
    raise InputError(
        f"{name} has {len(found)} datasets that may be meant: {listed}; "
        f"copy the one into a file of its own, or name it {preferred[0]!r}"
    )


def _json(text: Any) -> Any:
    try:
        return json.loads(text)
    except (ValueError, TypeError):
        return {}


def _tagged(said: Any) -> str:
    """Return the axes that ilastik's ``axistags`` name; empty where there are none."""
    try:
        return "".join(str(axis["key"]) for axis in said["axes"]).upper()
    except (KeyError, TypeError):
        return ""


def _guess(name: str, shape: tuple[int, ...], dtype: np.dtype[Any]) -> str:
    if len(shape) == 4 and (shape[0] <= 4) != (shape[-1] <= 4):
        return "CZYX" if shape[0] <= 4 else "ZYXC"
    return guess_axes(name, shape, dtype)


def _native(said: Any, attributes: Mapping[str, Any], description: Description | None) -> Native:
    """Return the pixel size of ``element_size_um``, else that of ``axistags`` with ``axis_units``."""
    size = np.ravel(attributes.get("element_size_um", ()))
    if size.dtype.kind in "iuf" and size.size in (2, 3):
        return Native(dict(zip("XYZ", size[::-1].tolist(), strict=False)), "um", description=description)
    units = _json(attributes.get("axis_units", ""))
    try:
        steps = {axis["key"].upper(): float(axis["resolution"]) for axis in said["axes"]}
        unit = normalise_unit(units["x"])
        spacing = {
            a: s * unit_ratio(normalise_unit(units[a.lower()]) or "", unit or "")
            for a, s in steps.items()
            if a in "ZYX"
        }
    except (KeyError, TypeError, AttributeError, ValueError):
        return Native(description=description)
    interval = steps.get("T") if units.get("t") in ("s", "sec") else None
    return Native(spacing, unit, interval, description=description)


def _axistags(grid: Grid) -> tuple[str, str]:
    """Return vigra's description of the axes with their resolution, and ilastik's of its units."""
    steps = dict(zip(grid.spatial, grid.spacing or (), strict=grid.spacing is not None)) | {"T": grid.interval or 0}
    axes = [
        {"key": a.lower(), "typeFlags": _FLAGS[a], "resolution": steps.get(a, 0), "description": ""} for a in grid.axes
    ]
    units = {
        a.lower(): (grid.unit or "" if a in "ZYX" else "sec" if a == "T" and grid.interval else "") for a in grid.axes
    }
    return json.dumps({"axes": axes}), json.dumps(units)


FORMATS = (Hdf5(),)
