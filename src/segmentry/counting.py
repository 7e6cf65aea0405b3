"""Count objects in files by models that learned from dots: dots from images or tables, counts of images.

Dots are an image of the same name (1 a dot, 2 background, 3 an area in which each object has a dot) or a table of their
places in pixels: columns ``y`` and ``x``, and ``z`` of a volume, ``time`` of a series; also as ImageJ (``X``, ``Y``,
``Slice``) and napari (``axis-0`` …) call them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from segmentry.density_counting import Count, DensityModel
from segmentry.dots import Dots
from segmentry.errors import InputError, SegmentryError
from segmentry.image import Image
from segmentry.io import find_inputs, read, read_table
from segmentry.selection import filled, selected

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["count_file", "dots_of_files", "dots_of_table"]

TABLES = (".csv", ".parquet")


def dots_of_files(images: Path, dots: Path, channel: str | int | None = None) -> list[Dots]:
    """Return images and their dots, at each time point.

    Parameters
    ----------
    images, dots
        An image and its dots, or folders, in which names must agree, suffixes apart; images without dots are passed
        over.
    channel
        The channel to look at; all when ``None``.

    Raises
    ------
    SegmentryError
        When an image is missing, a file can't be read, or dots and image don't fit.
    """
    if not dots.exists():
        raise InputError(f"{dots} does not exist")
    tables = [p for p in sorted(dots.iterdir()) if p.suffix.lower() in TABLES] if dots.is_dir() else []
    alone = dots.suffix.lower() in TABLES and dots.is_file()
    marked = _named([dots] if alone else [*tables, *(() if tables and not _pictures(dots) else find_inputs([dots]))])
    named = _named(find_inputs([images]))
    if len(marked) == len(named) == 1:
        named = dict(zip(marked, named.values(), strict=True))
    found: list[Dots] = []
    for name, path in marked.items():
        if name not in named:
            raise InputError(f"{images} has no image called {name!r}, as the dots {path.name} are: names must agree")
        try:
            found += _marked(named[name], path, channel)
        except SegmentryError as error:
            raise type(error)(f"{name}: {error}") from error
    return found


def dots_of_table(table: pd.DataFrame, image: Image, channel: str = "") -> list[Dots]:
    """Return the dots in a table, at each time point of the image; each object has one.

    Raises
    ------
    InputError
        When a column is missing, or a place is no number or outside the image.
    """
    columns = {str(name).strip().lower(): name for name in table.columns}
    axes = image.grid.without("C").axes
    numbered = all(f"axis-{i}" in columns for i in range(len(axes)))
    places: dict[str, NDArray[np.float64]] = {}
    for i, axis in enumerate(axes):
        known = {"T": ("time", "t", "frame"), "Z": ("z", "slice")}.get(axis, (axis.lower(),))
        name = f"axis-{i}" if numbered else next((k for k in known if k in columns), None)
        if name is None:
            raise InputError(
                f"a table of dots needs a column {known[0]!r}; it has {', '.join(map(str, table.columns))}"
            )
        try:
            # ImageJ counts slices from 1.
            places[axis] = np.asarray(table[columns[name]], np.float64) - (name == "slice")
        except (TypeError, ValueError):
            raise InputError(f"the column {columns[name]!r} of a table of dots holds what is no number") from None
    spots = np.stack([places[axis] for axis in image.grid.spatial], axis=1)
    if "T" not in axes:
        return [Dots.at(image, spots, channel)]
    times = places["T"]
    if not np.isin(times, range(image.grid.length("T"))).all():
        raise InputError(f"a time of a dot is not one of 0 … {image.grid.length('T') - 1}")
    return [Dots.at(image.at("T", t), spots[times == t], channel) for t in np.unique(times).astype(int)]


def count_file(path: Path, model: DensityModel, channel: str | int | None = None) -> list[Count]:
    """Return the number of objects at each time point of an image.

    Raises
    ------
    SegmentryError
        When the file can't be read, or has other channels than the model was trained on.
    """
    seen, _ = filled(selected(read(path), channel, True, []), [])
    times = range(seen.grid.length("T")) if "T" in seen.grid.axes else None
    frames = [seen] if times is None else [seen.at("T", t) for t in times]
    return [model.count(frame) for frame in frames]


def _named(files: Sequence[Path]) -> dict[str, Path]:
    """Return files by their names without suffixes."""
    found: dict[str, Path] = {}
    for file in files:
        name = file.name.split(".", 1)[0]
        if name in found:
            raise InputError(f"two files are called {name!r}: {found[name].name} and {file.name}")
        found[name] = file
    return found


def _pictures(folder: Path) -> bool:
    """Whether a folder holds images as well."""
    try:
        return bool(find_inputs([folder]))
    except InputError:
        return False


def _marked(file: Path, dots: Path, channel: str | int | None) -> list[Dots]:
    """Return an image and its dots, at each time point."""
    whole = read(file)
    image, _ = filled(selected(whole, channel, True, []), [])
    image = image if image.name else replace(image, name=file.name)
    name = "" if channel is None or not whole.channels else str(channel)
    name = name if not name or name in whole.channels else whole.channels[int(name)]
    if dots.suffix.lower() in TABLES:
        return dots_of_table(read_table(dots), image, name)
    marks = read(dots)
    flat = image.grid.without("C")
    if marks.grid.axes != flat.axes or marks.grid.shape != flat.shape:
        raise InputError(f"dots are {marks.grid.axes} {marks.grid.shape}, the image is {flat.axes} {flat.shape}")
    painted: Any = marks.read()
    if "T" not in flat.axes:
        return [Dots.painted(image, painted, name)]
    there = [t for t in range(flat.length("T")) if painted[t].any()]
    return [Dots.painted(image.at("T", t), painted[t], name) for t in there]
