"""Files of microscope makers, read only: Nikon .nd2, Leica .lif, Olympus .oif and .oib (Zeiss .czi: ``zeiss``).

Each holds one image; of a file with several (positions, scenes, series) none is picked: one must be exported. A Nikon
file stays open for as long as its image is used, and is read when that is sliced; a Leica file is mapped into memory.
"""

from __future__ import annotations

import importlib
import itertools
import logging
import threading
import warnings
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segmentry.errors import InputError, MissingExtraError
from segmentry.image import AXES, RGB, SPATIAL, Grid, Image, Region, normalise_unit, unit_ratio
from segmentry.io.format import Format, check_claim

__all__ = ["FORMATS", "Lif", "Nd2", "Oif", "Sliced", "check_axes", "library", "quiet", "unique_names"]

_SECONDS = {"s": 1.0, "ms": 1e-3, "us": 1e-6}
_OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_JPEG_2000 = b"\x00\x00\x00\x0cjP  "


class Nd2(Format):
    """Nikon NIS-Elements files."""

    name = "Nikon ND2"
    suffixes = (".nd2",)
    extra = "nikon"

    def sniff(self, path: Path, head: bytes) -> bool:
        """Look for the mark; old files are JPEG 2000 inside, which only the suffix tells from others."""
        return head[:4] == b"\xda\xce\xbe\x0a" or (head[:8] == _JPEG_2000 and path.suffix.lower() == ".nd2")

    def read(self, path: Path) -> Image:
        """Open a file without reading its frames."""
        with quiet(), ExitStack() as stack:
            file = stack.enter_context(library("nd2", "reading Nikon .nd2 files", self.extra).ND2File(path))
            image = _nd2_image(file, path)
            weakref.finalize(image.data, file.close)
            stack.pop_all()
            return image


class Lif(Format):
    """Leica LAS X files."""

    name = "Leica LIF"
    suffixes = (".lif",)
    extra = "leica"

    def sniff(self, path: Path, head: bytes) -> bool:
        """Look for the mark; the same opens Leica's .lof files, which are not read."""
        return head[:4] == b"\x70\0\0\0" and head[8:9] == b"\x2a" and path.suffix.lower() == ".lif"

    def read(self, path: Path) -> Image:
        """Open the only image of a file; its pixels are mapped into memory."""
        with quiet(), library("liffile", "reading Leica .lif files", self.extra).LifFile(path) as file:
            images = list(file.images)
            if len(images) != 1:
                raise _several(path, [image.name for image in images])
            return _lif_image(images[0], path)


class Oif(Format):
    """Olympus FluoView files: .oif with its folder, or .oib with all in one file."""

    name = "Olympus OIF"
    suffixes = (".oif", ".oib")
    extra = "olympus"

    def sniff(self, path: Path, head: bytes) -> bool:
        """Look for the mark of what is inside, which many programs use, and for the suffix."""
        marks = {".oib": (_OLE,), ".oif": (b"\xff\xfe[\0", b"[")}
        return head.startswith(marks.get(path.suffix.lower(), (b"ZZ",)))

    def read(self, path: Path) -> Image:
        """Read the image of a file."""
        with quiet(), library("oiffile", "reading Olympus .oif and .oib files", self.extra).OifFile(path) as file:
            return _oif_image(file, path)


FORMATS = (Nd2(), Lif(), Oif())


def library(name: str, what: str, extra: str | None) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise MissingExtraError(what, str(extra)) from error


def _several(path: Path, names: Sequence[str]) -> InputError:
    listed = ", ".join(repr(name[:40]) for name in names[:6]) + (" …" if len(names) > 6 else "")
    return InputError(f"{path.name} holds {len(names)} images ({listed}): export the one that is meant as OME-TIFF")


def check_axes(path: Path, sizes: Mapping[str, int]) -> None:
    """Refuse axes that an image does not have."""
    other = {axis: n for axis, n in sizes.items() if axis not in AXES and n > 1}
    if other:
        listed = ", ".join(f"{n} along its axis {axis!r}" for axis, n in other.items())
        raise InputError(f"{path.name} holds several images, {listed}: export the one that is meant as OME-TIFF")


def unique_names(names: Sequence[str], grid: Grid) -> tuple[str, ...]:
    """Return a name for each channel: those given, numbered where they repeat, made up where they are missing."""
    if "C" not in grid.axes or len(names) != grid.length("C"):
        return ()
    return tuple(
        name if names.count(name) == 1 and name else f"{name or 'channel'} {i}" for i, name in enumerate(names)
    )


@contextmanager
def quiet() -> Iterator[None]:
    """Keep what the libraries would say of damaged or unusual files from standard error."""
    loggers = [logging.getLogger(name) for name in ("liffile", "nd2", "oiffile", "tifffile")]
    before = [logger.disabled for logger in loggers]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            for logger in loggers:
                logger.disabled = True
            yield
        finally:
            for logger, state in zip(loggers, before, strict=True):
                logger.disabled = state


class Sliced:
    """An array that a function reads region by region, by one thread at a time."""

    def __init__(self, shape: tuple[int, ...], dtype: Any, read: Callable[[Region], NDArray[Any]]) -> None:
        self.shape, self.dtype = shape, np.dtype(dtype).newbyteorder("=")
        self._read, self._lock = read, threading.Lock()

    def __getitem__(self, key: Region) -> NDArray[Any]:
        with self._lock:
            return np.array(self._read(key), self.dtype)


# --- Nikon


def _nd2_image(file: Any, path: Path) -> Image:
    sizes = dict(file.sizes)
    colours = sizes.pop("S", 1)
    check_axes(path, sizes)
    names = [channel.channel.name for channel in file.metadata.channels or ()]
    if colours > 1:
        names = [*RGB, "alpha"][:colours] if len(names) == 1 else [f"{n} {c}" for n in names for c in RGB]
        sizes["C"] = sizes.get("C", 1) * colours
    axes = "".join(a for a in AXES if a in "YX" or sizes.get(a, 1) > 1)
    shape = tuple(int(sizes.get(a, 1)) for a in axes)
    loops = [a for a in sizes if a in "TZ"]

    def read(key: Region) -> NDArray[Any]:
        ranges = {a: range(n)[part] for a, n, part in zip(axes, shape, key, strict=True)}
        inside = tuple(dict(zip(axes, key, strict=True)).get(a, slice(None)) for a in "CYX")
        frames = []
        for t, z in itertools.product(*(ranges.get(a, range(1)) for a in "TZ")):
            place = [{"T": t, "Z": z}[a] for a in loops]
            number = np.ravel_multi_index(place, [sizes[a] for a in loops]) if loops else 0
            frame = file.read_frame(int(number)).reshape(-1, sizes.get("Y", 1), sizes.get("X", 1), colours)
            # (channel, Y, X, colour) to (channel x colour, Y, X)
            frames.append(np.moveaxis(frame, -1, 1).reshape(-1, *frame.shape[1:3])[inside])
        lengths = [len(ranges.get(a, range(1))) for a in "TZ"]
        block = np.reshape(frames, (*lengths, *frames[0].shape)).swapaxes(1, 2)
        return block.reshape([len(part) for part in ranges.values()])

    grid = Grid(axes, shape, *_nd2_spacing(file, axes), _nd2_interval(file) if "T" in axes else None)
    return Image(Sliced(shape, file.dtype, read), grid, unique_names(names, grid), path.name)


def _nd2_spacing(file: Any, axes: str) -> tuple[tuple[float, ...] | None, str | None]:
    known = dict(zip("XYZ", (float(s) for s in file.voxel_size()), strict=True))
    spacing = tuple(known[a] for a in axes if a in SPATIAL)
    channels = file.metadata.channels
    calibrated = dict(zip("XYZ", channels[0].volume.axesCalibrated if channels else "", strict=False))
    if not all(calibrated.get(a) and 0 < known[a] < np.inf for a in axes if a in SPATIAL):
        return None, None
    return spacing, "um"


def _nd2_interval(file: Any) -> float | None:
    for loop in file.experiment:
        if loop.type in ("TimeLoop", "NETimeLoop"):
            periods = getattr(loop.parameters, "periods", None) or [loop.parameters]
            measured = getattr(periods[0].periodDiff, "avg", None)
            period = float(measured or periods[0].periodMs or 0)
            return period / 1000 if len(periods) == 1 and period > 0 else None
    return None


# --- Leica


def _lif_image(image: Any, path: Path) -> Image:
    sizes = {str(axis): int(n) for axis, n in image.sizes.items()}
    given = ["C" if axis == "S" and "C" not in sizes else axis for axis in sizes]
    check_axes(path, dict(zip(given, sizes.values(), strict=True)))
    check_claim(path, tuple(sizes.values()), image.dtype.itemsize)
    # colours may be stored as blue, green, red, which only a copy can have in the right order
    data = image.asarray(out=None if "S" in sizes else "memmap")
    data = data.transpose([given.index(a) for a in AXES if a in given])
    axes = "".join(a for a in AXES if a in given)
    step = {a: abs(float(c[-1] - c[0])) / (len(c) - 1) for a, c in image.coords.items() if len(c) > 1}
    # Leica gives lengths in metres
    spacing = tuple(step.get(a, 0.0) * 1e6 for a in axes if a in SPATIAL)
    known = all(0 < s < np.inf for s in spacing)
    grid = Grid(axes, data.shape, spacing if known else None, "um" if known else None, step.get("T") or None)
    names = list(RGB) if "S" in sizes else [_lif_channel(c) for c in image.xml_element.iter("ChannelDescription")]
    return Image(Sliced(data.shape, data.dtype, lambda key: data[key]), grid, unique_names(names, grid), path.name)


def _lif_channel(element: Any) -> str:
    """Return the dye of a channel, else the colour that it is shown in."""
    for found in element.iter("ChannelProperty"):
        if found.findtext("Key") == "DyeName":
            return str(found.findtext("Value"))
    return str(element.get("LUTName") or "")


# --- Olympus


def _oif_image(file: Any, path: Path) -> Image:
    sizes = {a: int(n) for a, n in zip(file.axes, file.shape, strict=True) if n > 1}
    check_axes(path, sizes)
    if path.suffix.lower() == ".oib":
        check_claim(path, tuple(sizes.values()), file.dtype.itemsize)
    # the first series is the longest; others are previews
    data = np.asarray(file.series[0].asarray())
    letters = str(file.series[0].axes) + "YX"
    if len(letters) != data.ndim or any(sizes.get(a, 1) != n for a, n in zip(letters, data.shape, strict=True)):
        raise InputError(
            f"{path.name} says that it has {sizes}, but its planes are {data.shape}: export it as OME-TIFF"
        )
    axes = "".join(a for a in AXES if a in letters and (a in "YX" or sizes.get(a, 1) > 1))
    order = [letters.index(a) for a in axes]
    data = data.transpose(order + [i for i in range(data.ndim) if i not in order]).reshape([sizes[a] for a in axes])
    steps = _oif_steps(file.mainfile)
    spacing = tuple(steps.get(a, 0.0) for a in axes if a in SPATIAL)
    known = all(0 < s < np.inf for s in spacing)
    grid = Grid(axes, data.shape, spacing if known else None, "um" if known else None, steps.get("T"))
    numbers = range(1, grid.length("C") + 1)
    sections = [file.mainfile.get(f"GUI Channel {i} Parameters", {}) for i in numbers]
    names = [str(section.get("DyeName") or section.get("CH Name") or "") for section in sections]
    return Image(data, grid, unique_names(names, grid), path.name)


def _oif_steps(about: Mapping[str, Any]) -> dict[str, float]:
    """Return the micrometres between pixels along each spatial axis, and the seconds between time points."""
    steps = {}
    reference = about.get("Reference Image Parameter", {})
    for axis, side in (("X", "Width"), ("Y", "Height")):
        unit = normalise_unit(reference.get(f"{side}Unit"))
        if unit:
            steps[axis] = float(reference.get(f"{side}ConvertValue") or 0) * unit_ratio(unit, "um")
    for i in range(8):
        section = about.get(f"Axis {i} Parameters Common", {})
        axis, word, step = section.get("AxisCode"), section.get("UnitName"), abs(float(section.get("Interval") or 0))
        unit = normalise_unit(word)
        if axis == "Z" and unit:
            steps["Z"] = step * unit_ratio(unit, "um")
        elif axis == "T" and word in _SECONDS and step > 0:
            steps["T"] = step * _SECONDS[word]
    return steps
