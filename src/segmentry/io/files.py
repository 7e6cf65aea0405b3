"""Open and save files of any format: the one place where a format is chosen and a decoder's error becomes one line."""

from __future__ import annotations

import functools
import importlib
import os
import pkgutil
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

import segmentry.io
from segmentry.errors import InputError, MissingExtraError, OutputError, SegmentryError, nearest, one_line
from segmentry.image import Array, Image
from segmentry.io.format import Format
from segmentry.result import Instances

__all__ = ["formats", "read", "read_labels", "read_provenance", "write", "write_labels", "written_whole"]

HEAD = 4096
T = TypeVar("T")


@functools.cache
def formats() -> tuple[Format, ...]:
    """Return every known format: those of this package, then those of other packages (entry points)."""
    found: list[Format] = []
    for module in sorted(m.name for m in pkgutil.iter_modules(segmentry.io.__path__)):
        loaded = importlib.import_module(f"segmentry.io.{module}")
        found += getattr(loaded, "FORMATS", ())
    found += [point.load()() for point in entry_points(group="segmentry.formats")]
    return tuple(found)


def read(path: str | os.PathLike[str]) -> Image:
    """Open an image file or a folder that is one (OME-Zarr, a DICOM series).

    Large files of formats that allow it are opened lazily: their pixels are read when they are sliced.

    Raises
    ------
    InputError
        When the file does not exist, is of no known format, or is damaged.
    MissingExtraError
        When reading this format needs an optional library.
    """
    return _opened(path, lambda form, place: _guarded(form.read(place), place, form))


def read_labels(path: str | os.PathLike[str]) -> Instances:
    """Open a file of objects: a label image, or outlines (COCO JSON, GeoJSON, ImageJ ROIs) drawn into one.

    Raises
    ------
    InputError
        As :func:`read`, and when the pixels can't be ids (negative, fractional, several channels).
    """
    return _opened(path, lambda form, place: form.read_labels(place))


def read_provenance(path: str | os.PathLike[str]) -> Mapping[str, Any]:
    """Return how a file says that segmentry made it; empty where it says nothing."""
    return _opened(path, lambda form, place: form.provenance(place))


def write(path: str | os.PathLike[str], image: Image, *, kind: str = "image", overwrite: bool = False) -> Path:
    """Save an image in the format that the suffix of `path` names; the file appears whole or not at all.

    Raises
    ------
    OutputError
        When the file exists and `overwrite` is false, or the format can't hold the image.
    """
    if not isinstance(image, Image):
        raise InputError(f"what is written must be an Image, not {type(image).__name__}: use Image.from_array")
    form = _format_by_suffix(Path(path), kind)
    with written_whole(Path(path), overwrite) as aside:
        form.write(aside, image, kind)
    return Path(path)


def write_labels(
    path: str | os.PathLike[str],
    labels: Instances,
    *,
    provenance: Mapping[str, Any] | None = None,
    overwrite: bool = False,
) -> Path:
    """Save objects in the format that the suffix of `path` names; ids and pixel size are kept.

    Raises
    ------
    OutputError
        When the file exists and `overwrite` is false, or the format can't hold the ids.
    """
    if not isinstance(labels, Instances):
        raise InputError(f"objects must be Instances, not {type(labels).__name__}: outcome.instances, or from_labels")
    form = _format_by_suffix(Path(path), "labels")
    with written_whole(Path(path), overwrite) as aside:
        form.write_labels(aside, labels, provenance or {})
    form.settle(Path(path))
    return Path(path)


@contextmanager
def written_whole(path: Path, overwrite: bool = False) -> Iterator[Path]:
    """Give a path beside `path` to write to, and move what was written into place at the end, or remove it."""
    if path.exists() and not overwrite:
        raise OutputError(f"{path} exists already: choose another name, or allow it to be overwritten")
    made = [folder for folder in path.parents if not folder.exists()]
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        workshop = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=".partial", dir=path.parent))
    except OSError as error:
        raise OutputError(f"{path} can't be written: {one_line(error)}") from error
    try:
        aside = workshop / path.name
        yield aside
        if path.is_dir():
            _exchange(path, aside, workshop / "replaced")
        else:
            aside.replace(path)
    except OSError as error:
        raise OutputError(f"{path} can't be written: {one_line(error)}") from error
    finally:
        shutil.rmtree(workshop, ignore_errors=True)
        for folder in made:
            with suppress(OSError):  # it holds what was written
                folder.rmdir()


def _exchange(old: Path, new: Path, away: Path) -> None:
    """Put a folder in the place of another, which comes back where that fails."""
    old.rename(away)
    try:
        new.rename(old)
    except OSError:
        away.rename(old)
        raise


def _opened(path: str | os.PathLike[str], use: Callable[[Format, Path], T]) -> T:
    place = Path(path)
    form = _format_by_content(place)
    with _clear_errors(place, form):
        return use(form, place)


@contextmanager
def _clear_errors(place: Path, form: Format) -> Iterator[None]:
    """Turn whatever a decoder raises into one line that names the file."""
    try:
        yield
    except SegmentryError as error:
        if place.name in str(error) or isinstance(error, MissingExtraError):
            raise
        raise type(error)(f"{place}: {error}") from error
    except MemoryError as error:
        raise InputError(
            f"{place} does not fit in memory: convert it to .zarr, which is read piece by piece"
        ) from error
    except Exception as error:  # decoders of other projects raise whatever they like on damaged files
        raise InputError(f"{place} can't be read as {form.name}: {one_line(error)}") from error


class _Guarded:
    """A lazy array that reports damage met while slicing as opening a file does."""

    def __init__(self, data: Array, place: Path, form: Format) -> None:
        self._data, self._place, self._form = data, place, form
        self.shape, self.dtype = tuple(data.shape), np.dtype(data.dtype)

    def __getitem__(self, key: Any) -> Any:
        with _clear_errors(self._place, self._form):
            return self._data[key]


def _guarded(image: Image, place: Path, form: Format) -> Image:
    return image if isinstance(image.data, np.ndarray) else replace(image, data=_Guarded(image.data, place, form))


def _format_by_content(path: Path) -> Format:
    if not path.exists():
        siblings = [p.name for p in path.parent.iterdir()] if path.parent.is_dir() else []
        raise InputError(f"{path} does not exist{nearest(path.name, siblings) if len(siblings) < 500 else ''}")
    try:
        head = b"" if path.is_dir() else _head(path)
    except OSError as error:
        raise InputError(f"{path} can't be opened: {one_line(error)}") from error
    if not path.is_dir() and not head:
        raise InputError(f"{path} is empty (0 bytes)")
    for form in formats():
        if form.sniff(path, head):
            return form
    what = "folder" if path.is_dir() else "file"
    raise InputError(f"{path} is a {what} of no known format{_claimed(path)}; `segmentry doctor` lists the formats")


def _claimed(path: Path) -> str:
    named = [form.name for form in formats() if path.name.lower().endswith(form.suffixes)]
    return f" (its name says {named[0]}, its content does not: is it damaged?)" if named else ""


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(HEAD)


def _format_by_suffix(path: Path, kind: str) -> Format:
    wanted = "labels" if kind == "labels" else "image"
    for form in formats():
        if wanted == "labels" and form.nested(path):
            return form
    able = {suffix: form for form in formats() if wanted in form.writes for suffix in form.suffixes}
    for suffix in sorted(able, key=len, reverse=True):
        if path.name.lower().endswith(suffix):
            return able[suffix]
    raise OutputError(f"{path.name}: no format that writes {wanted} has this suffix (known: {', '.join(sorted(able))})")
