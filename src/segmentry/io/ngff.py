"""The metadata of OME-Zarr (https://ngff.openmicroscopy.org): what they say of a grid, and a grid in their words."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from segmentry.errors import InputError
from segmentry.image import AXES, SPATIAL, Affine, Grid, normalise_unit, unit_ratio
from segmentry.io.format import Description

__all__ = ["attributes_of", "channel_names", "level_shapes", "read_grid"]

Ranges = Sequence[tuple[float, float]]

#: A level below this many pixels along Y and X is the last of a pyramid.
SMALLEST = 512

_UNIT_NAMES = {"nm": "nanometer", "um": "micrometer", "mm": "millimeter", "cm": "centimeter", "m": "meter"}
#: Units of length that a Grid does not have, in one that it has.
_OTHER_UNITS: dict[str | None, tuple[str, float]] = {
    "angstrom": ("nm", 0.1),
    "picometer": ("nm", 0.001),
    "decimeter": ("cm", 10.0),
    "inch": ("cm", 2.54),
    "kilometer": ("m", 1000.0),
}
_SECONDS: dict[str | None, float] = {
    "nanosecond": 1e-9,
    "microsecond": 1e-6,
    "millisecond": 1e-3,
    "second": 1.0,
    "minute": 60.0,
    "hour": 3600.0,
    "day": 86400.0,
}
_COLOURS = {"red": "FF0000", "green": "00FF00", "blue": "0000FF"}
_CYCLE = ("00FF00", "FF00FF", "00FFFF", "FFFF00", "FF0000", "0000FF")


def read_grid(pyramid: Mapping[str, Any], shape: Sequence[int], name: str) -> tuple[Grid, list[int]]:
    """Return the grid of the first level of a pyramid, and the order that brings its axes to that of the grid.

    Spacing is ``None`` where a spatial axis has no scale or no unit of length that is known.
    """
    axes = _read_axes(pyramid, len(shape), name)
    letters = [letter for letter, _ in axes]
    order = [letters.index(a) for a in AXES if a in letters]
    scale, offset = _read_transform(pyramid, len(shape))
    interval = None
    lengths: list[tuple[str, float, float, str]] = []
    for i in order:
        letter, word = axes[i]
        unit, factor = _OTHER_UNITS.get(word) or (normalise_unit(word), 1.0)
        if scale is None:
            continue
        if letter == "T" and word in _SECONDS:
            interval = scale[i] * _SECONDS[word]
        elif letter in SPATIAL and unit is not None:
            lengths.append((letter, scale[i] * factor, offset[i] * factor, unit))
    axes_of_grid, sizes = "".join(letters[i] for i in order), tuple(int(shape[i]) for i in order)
    if len(lengths) < sum(a in SPATIAL for a in letters):
        return Grid(axes_of_grid, sizes, interval=interval), order
    unit = lengths[-1][3]
    spacing = {a: size * unit_ratio(own, unit) for a, size, _, own in lengths}
    start = {a: first * unit_ratio(own, unit) for a, _, first, own in lengths}
    return Grid(axes_of_grid, sizes, tuple(spacing.values()), unit, interval, _affine(spacing, start)), order


def _read_axes(pyramid: Mapping[str, Any], ndim: int, name: str) -> list[tuple[str, str | None]]:
    """Return letter and unit of each axis; before 0.4 axes had names only, before 0.3 they were always TCZYX."""
    raw = [a if isinstance(a, dict) else {"name": a} for a in pyramid.get("axes", AXES)]
    kinds = {"time": "T", "channel": "C"}
    axes = [(kinds.get(str(a.get("type"))) or str(a["name"]).upper(), a.get("unit")) for a in raw]
    letters = {letter for letter, _ in axes}
    if not len(axes) == len(letters) == ndim or not {"Y", "X"} <= letters <= set(AXES):
        named = ", ".join(letter for letter, _ in axes)
        raise InputError(f"{name} names its {ndim} axes {named}: they must be distinct ones of T, C, Z, Y, X")
    return axes


def _read_transform(pyramid: Mapping[str, Any], ndim: int) -> tuple[list[float] | None, list[float]]:
    """Return scale and offset per axis of the first level; no scale where it is not said in a way that we know."""
    steps = [
        *pyramid["datasets"][0].get("coordinateTransformations", ()),
        *pyramid.get("coordinateTransformations", ()),
    ]
    if not steps or any(step["type"] not in ("scale", "translation", "identity") or "path" in step for step in steps):
        return None, [0.0] * ndim
    scale, offset = np.ones(ndim), np.zeros(ndim)
    for step in steps:
        if step["type"] == "scale":
            factor = np.array(step["scale"], dtype=np.float64).reshape(ndim)
            scale, offset = scale * factor, offset * factor
        elif step["type"] == "translation":
            offset = offset + np.array(step["translation"], dtype=np.float64).reshape(ndim)
    return scale.tolist(), offset.tolist()


def _affine(spacing: Mapping[str, float], start: Mapping[str, float]) -> Affine | None:
    if not any(start.values()):
        return None
    rows = [[spacing.get(a, 1.0) if a == b else 0.0 for b in "XYZ"] + [start.get(a, 0.0)] for a in "XYZ"]
    return (*(tuple(row) for row in rows), (0.0, 0.0, 0.0, 1.0))


def channel_names(meta: Mapping[str, Any], grid: Grid) -> tuple[str, ...]:
    """Return the names of the channels, made up where the file has none."""
    if "C" not in grid.axes:
        return ()
    said = meta.get("omero", {}).get("channels", [])
    names = [str(channel.get("label") or "") for channel in said[: grid.length("C")]]
    names += [""] * (grid.length("C") - len(names))
    return tuple(name or f"channel {i}" for i, name in enumerate(names))


def level_shapes(shape: tuple[int, ...]) -> list[tuple[int, ...]]:
    """Return the shape of each level of a pyramid: Y and X are halved, rounding up.

    >>> level_shapes((3, 1025, 400))
    [(3, 1025, 400), (3, 513, 200), (3, 257, 100)]
    """
    shapes = [shape]
    while max(shapes[-1][-2:]) >= SMALLEST:
        shapes.append((*shape[:-2], *(-(-n // 2) for n in shapes[-1][-2:])))
    return shapes


def attributes_of(
    description: Description, dtype: np.dtype[Any], version: str, name: str, ranges: Ranges = ()
) -> dict[str, Any]:
    """Return the attributes of a group that holds an image or labels.

    Parameters
    ----------
    ranges
        Lowest and highest value per channel, which viewers show first.
    """
    # integers of 8 bytes would not survive the mean, which is computed in float64
    averaged = description.kind == "image" and (dtype.kind == "f" or (dtype.kind in "iu" and dtype.itemsize < 8))
    pyramid: dict[str, Any] = ({"name": name} if name else {}) | {
        "type": "mean" if averaged else "nearest",
        "axes": [_axis(a, description.grid) for a in description.grid.axes],
        "datasets": _datasets(description.grid, averaged),
    }
    meta: dict[str, Any] = {"multiscales": [pyramid]}
    if description.kind != "image":
        meta["image-label"] = {"version": version}
    if description.channels:
        meta["omero"] = {"channels": _omero(description.channels, ranges)}
    if version == "0.5":
        meta = {"ome": {"version": version, **meta}}
    else:
        pyramid["version"] = version
    return {**meta, **json.loads(description.to_json())}


def _axis(letter: str, grid: Grid) -> dict[str, str]:
    if letter == "C":
        return {"name": "c", "type": "channel"}
    kind, unit = ("time", "second" if grid.interval else None) if letter == "T" else ("space", grid.unit)
    return {"name": letter.lower(), "type": kind} | ({"unit": _UNIT_NAMES.get(unit, unit)} if unit else {})


def _datasets(grid: Grid, averaged: bool) -> list[dict[str, Any]]:
    size = dict(zip(grid.spatial, grid.spacing or (1.0,) * len(grid.spatial), strict=True))
    size["T"] = grid.interval or 1.0
    start = _start(grid)
    datasets = []
    factors = dict.fromkeys(grid.axes, 1)
    shapes = level_shapes(grid.shape)
    for level, shape in enumerate(shapes):
        halved = zip(grid.axes, shape, shapes[max(level - 1, 0)], strict=True)
        factors = {a: factors[a] * (2 if m < n else 1) for a, m, n in halved}
        # the mean of two pixels lies between them
        shift = {a: (factors[a] - 1) / 2 if averaged else 0.0 for a in grid.axes}
        offset = [start.get(a, 0.0) + shift[a] * size.get(a, 1.0) for a in grid.axes]
        steps: list[dict[str, Any]] = [{"type": "scale", "scale": [size.get(a, 1.0) * factors[a] for a in grid.axes]}]
        if any(offset):
            steps.append({"type": "translation", "translation": offset})
        datasets.append({"path": str(level), "coordinateTransformations": steps})
    return datasets


def _start(grid: Grid) -> dict[str, float]:
    """Return where the first pixel lies per axis, as far as a translation can say it."""
    if grid.affine is None or grid.spacing is None:
        return {}
    size = dict(zip(grid.spatial, grid.spacing, strict=True))
    for i, a in enumerate("XYZ"):
        straight = tuple(size.get(a, grid.affine[i][i]) if i == j else 0.0 for j in range(3))
        if grid.affine[i][:3] != straight:
            return {}
    return {a: grid.affine["XYZ".index(a)][3] for a in grid.spatial}


def _omero(names: Sequence[str], ranges: Ranges) -> list[dict[str, Any]]:
    channels = []
    for i, name in enumerate(names):
        low, high = ranges[i] if ranges and ranges[i][0] <= ranges[i][1] else (0.0, 1.0)
        colour = _COLOURS.get(name, _CYCLE[i % len(_CYCLE)] if len(names) > 1 else "FFFFFF")
        window = {"start": low, "end": high, "min": low, "max": high}
        channels.append({"label": name, "color": colour, "active": True, "window": window})
    return channels
