"""DICOM, read only: a folder with the slices of one series, or a single file with one or many frames.

Slices are sorted by where they lie along their normal; their distance is that of their positions, not a header's claim.
The affine turns DICOM's (left, posterior, superior) into (right, anterior, superior). Values are rescaled to what they
mean (Hounsfield units, dose); ``MONOCHROME1`` only says how to show them, so they are kept as they are.
"""

from __future__ import annotations

import itertools
import warnings
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segmentry.errors import InputError, MissingExtraError
from segmentry.image import AXES, RGB, Affine, Grid, Image
from segmentry.io.format import ALWAYS_FINE, Format, check_claim

__all__ = ["FORMATS", "Dicom"]

#: Files of a folder that are looked at to know whether it is a series.
LOOKED_AT = 16
#: Most frames in a file.
MAX_FRAMES = 2**17
#: How far the distances of slices may differ, as a part of the distance: positions are written rounded.
TOLERANCE = 0.1

#: What all frames of a volume must agree in, and where a file of many frames has it.
_ALIKE = {
    "Rows": "",
    "Columns": "",
    "ImageOrientationPatient": "PlaneOrientationSequence",
    "PixelSpacing": "PixelMeasuresSequence",
}


class Dicom(Format):
    """DICOM files and folders."""

    name = "DICOM"
    suffixes = (".dcm",)
    extra = "dicom"

    def sniff(self, path: Path, head: bytes) -> bool:
        """Look for the mark of a DICOM file, in a folder in its first files."""
        if head:
            return head[128:132] == b"DICM"
        likely = (p for p in path.iterdir() if p.suffix.lower() in ("", ".dcm", ".ima") or p.suffix[1:].isdigit())
        return any(_is_dicom(p) for p in itertools.islice(likely, LOOKED_AT))

    def read(self, path: Path) -> Image:
        """Read one file, or all slices of the one series in a folder."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return _image(_series(path) if path.is_dir() else _frames(path), path.name)


FORMATS = (Dicom(),)


@dataclass(frozen=True)
class _Frame:
    """One frame of one file; `data` has everything but the pixels."""

    path: Path
    data: Any
    index: int

    def get(self, key: str, group: str = "") -> Any:
        """Return an attribute: that of the frame, else that shared by all frames, else that of the file."""
        for name, place in (("PerFrameFunctionalGroupsSequence", self.index), ("SharedFunctionalGroupsSequence", 0)):
            items = self.data.get(name) or ()
            inner = items[place].get(group) if group and place < len(items) else None
            if inner and inner[0].get(key) is not None:
                return inner[0].get(key)
        return self.data.get(key)

    def numbers(self, key: str, group: str, count: int) -> NDArray[np.float64] | None:
        """Return an attribute of `count` numbers, ``None`` where there is none."""
        values = self.get(key, group)
        return None if values is None or np.size(values) != count else np.array(values, np.float64).reshape(count)

    @property
    def spacing(self) -> NDArray[np.float64] | None:
        """Millimetres between rows and between columns."""
        return self.numbers("PixelSpacing", "PixelMeasuresSequence", 2)

    @property
    def orientation(self) -> NDArray[np.float64] | None:
        """Unit vectors along a row, along a column and along the normal: shape (3, 3)."""
        vectors = self.numbers("ImageOrientationPatient", "PlaneOrientationSequence", 6)
        return None if vectors is None else np.array([vectors[:3], vectors[3:], np.cross(vectors[:3], vectors[3:])])

    @property
    def position(self) -> NDArray[np.float64] | None:
        """Where the first pixel lies, in millimetres to the left, back and top; ``None`` without an orientation."""
        start, orientation = self.numbers("ImagePositionPatient", "PlanePositionSequence", 3), self.orientation
        if start is None or orientation is None:
            return None
        offsets = np.atleast_1d(np.array(self.data.get("GridFrameOffsetVector") or 0, np.float64))
        return np.asarray(start + orientation[2] * (offsets[self.index % offsets.size] - offsets[0]))

    @property
    def scaling(self) -> tuple[float, float]:
        """Slope and intercept from stored values to what they mean."""
        slope = self.get("RescaleSlope", "PixelValueTransformationSequence") or self.data.get("DoseGridScaling") or 1
        return float(slope), float(self.get("RescaleIntercept", "PixelValueTransformationSequence") or 0)


# --- files


def _pydicom() -> Any:
    try:
        import pydicom
    except ImportError as error:
        raise MissingExtraError("reading DICOM", "dicom") from error
    return pydicom


def _is_dicom(path: Path) -> bool:
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(132)[128:] == b"DICM"


def _frames(path: Path) -> list[_Frame]:
    """Return the frames of a file, none where it is no image."""
    pydicom = _pydicom()
    meta = pydicom.filereader.read_file_meta_info(path)
    if meta.get("TransferSyntaxUID") == pydicom.uid.DeflatedExplicitVRLittleEndian:
        _check_deflated(path, int(meta.get("FileMetaInformationGroupLength") or 0))
    data = pydicom.dcmread(path, stop_before_pixels=True)
    if not data.get("Rows") or not data.get("Columns"):
        return []
    if "TotalPixelMatrixColumns" in data:
        raise InputError(f"{path.name} is a whole slide in tiles, which is not supported: convert it to OME-Zarr")
    count = int(data.get("NumberOfFrames") or 1)
    if not 0 < count <= MAX_FRAMES:
        raise InputError(f"{path.name} claims {count} frames, which can't be")
    sizes = (count, int(data.Rows), int(data.Columns), int(data.get("SamplesPerPixel") or 1))
    check_claim(path, sizes, max(1, int(data.get("BitsAllocated") or 8) // 8))
    return [_Frame(path, data, i) for i in range(count)]


def _check_deflated(path: Path, meta_length: int) -> None:
    """Refuse a deflated file that unpacks to too much, because pydicom unpacks it as a whole."""
    unpacker, size = zlib.decompressobj(-zlib.MAX_WBITS), 0
    with path.open("rb") as file:
        file.seek(144 + meta_length)
        while packed := file.read(2**16):
            size += len(unpacker.decompress(packed))
            if size > ALWAYS_FINE:
                raise InputError(f"{path.name} unpacks to more than {ALWAYS_FINE:,} bytes: it is damaged")


def _series(folder: Path) -> list[_Frame]:
    """Return the frames of the one series in a folder."""
    series: dict[str, list[_Frame]] = {}
    for path in sorted(folder.iterdir()):
        if _is_dicom(path) and (frames := _frames(path)):
            series.setdefault(str(frames[0].get("SeriesInstanceUID")), []).extend(frames)
    if len(series) > 1:
        found = [f"{str(f[0].get('SeriesDescription') or 'unnamed')[:40]!r} ({len(f)} slices)" for f in series.values()]
        listed = ", ".join(found[:6]) + (" …" if len(found) > 6 else "")
        raise InputError(f"{folder.name} holds {len(found)} series, {listed}: put each in a folder of its own")
    return next(iter(series.values()), [])


# --- geometry


def _image(frames: Sequence[_Frame], name: str) -> Image:
    if not frames:
        raise InputError(f"{name} holds no DICOM image (is it a report, a plan or a directory of files?)")
    for key, group in _ALIKE.items():
        found = sorted({str(frame.get(key, group)) for frame in frames})
        if len(found) > 1:
            raise InputError(f"{name} holds slices that differ in {key} ({', '.join(found)[:90]}): separate them")
    frames, lead, step = _ordered(frames, name)
    data = _pixels(frames, name)
    letters = lead + "YX" + "C" * (data.ndim - 3)
    data = data if lead else data[0]
    data = data.transpose([letters.index(a) for a in AXES if a in letters])
    grid = _grid(frames[0], "".join(a for a in AXES if a in letters), data.shape, step)
    return Image(data, grid, RGB if grid.length("C") == 3 else (), name)


def _ordered(frames: Sequence[_Frame], name: str) -> tuple[Sequence[_Frame], str, NDArray[np.float64] | None]:
    """Return the frames in order, the axis along which they lie, and the step from one to the next, where known."""
    first = frames[0]
    if len(frames) == 1:
        thickness = first.get("SliceThickness", "PixelMeasuresSequence") or 1
        return frames, "", None if first.orientation is None else first.orientation[2] * float(thickness)
    positions = [frame.position for frame in frames if frame.position is not None]
    if len(positions) == len(frames) and first.orientation is not None:
        places = np.array(positions)
        along = places @ first.orientation[2]
        order = np.argsort(along, kind="stable")
        _check_gaps(along[order], [_label(frames[i]) for i in order], name)
        return [frames[i] for i in order], "Z", (places[order[-1]] - places[order[0]]) / (len(frames) - 1)
    if _interval(first) is not None:
        return frames, "T", None
    return sorted(frames, key=lambda frame: int(frame.get("InstanceNumber") or 0)), "Z", None


def _label(frame: _Frame) -> str:
    return frame.path.name + (f" frame {frame.index + 1}" if "NumberOfFrames" in frame.data else "")


def _check_gaps(along: NDArray[np.float64], names: Sequence[str], name: str) -> None:
    gaps = np.diff(along)
    usual = float(np.median(gaps))
    least = int(np.argmin(gaps))
    if gaps[least] < 1e-3:
        raise InputError(
            f"{name} holds {names[least]} and {names[least + 1]} at the same place (several times, echoes or "
            "reconstructions?): put each volume in a folder of its own"
        )
    worst = int(np.argmax(np.abs(gaps - usual)))
    if abs(gaps[worst] - usual) > TOLERANCE * usual:
        raise InputError(
            f"{name} has a gap of {gaps[worst]:.4g} mm between {names[worst]} and {names[worst + 1]}, but "
            f"{usual:.4g} mm between other slices: slices are missing or of several volumes"
        )


def _interval(frame: _Frame) -> float | None:
    """Return the seconds between the frames of a film, 0 where it is one that does not tell."""
    time, rate = frame.data.get("FrameTime"), frame.data.get("CineRate")
    if time is not None:
        return float(time) / 1000
    return 1 / float(rate) if rate else 0.0 if "FrameTimeVector" in frame.data else None


def _grid(frame: _Frame, axes: str, shape: tuple[int, ...], step: NDArray[np.float64] | None) -> Grid:
    interval = _interval(frame) if "T" in axes else None
    pixel, vectors, start = frame.spacing, frame.orientation, frame.position
    if pixel is None:
        return Grid(axes, shape, interval=interval or None)
    affine: Affine | None = None
    if vectors is not None and start is not None and step is not None:
        matrix = np.eye(4)
        matrix[:3] = np.column_stack([vectors[0] * pixel[1], vectors[1] * pixel[0], step, start])
        matrix[:2] *= -1
        affine = tuple(tuple(row) for row in (matrix + 0.0).tolist())  # no -0.0
    spacing: list[float] = pixel.tolist()
    if "Z" in axes:
        between = frame.get("SpacingBetweenSlices")
        if step is not None and vectors is not None:
            between = step @ vectors[2]
        if between is None:
            return Grid(axes, shape)
        spacing = [abs(float(between)), *spacing]
    return Grid(axes, shape, tuple(spacing), "mm", interval or None, affine)


# --- pixels


def _pixels(frames: Sequence[_Frame], name: str) -> NDArray[Any]:
    """Return the rescaled pixels of all frames: shape (frames, Y, X), or (frames, Y, X, 3) in colour."""
    places: dict[Path, list[int]] = {}
    for i, frame in enumerate(frames):
        places.setdefault(frame.path, []).append(i)
    out = np.empty(0)
    for path, indices in places.items():
        stored = _decoded(path)
        if not out.size:
            out = np.empty((len(frames), *stored.shape[1:]), _target(frames, stored))
        for i in indices:
            out[i] = _rescaled(stored[frames[i].index], frames[i].scaling, out.dtype, name)
    return out


def _decoded(path: Path) -> NDArray[Any]:
    """Return the stored pixels of a file: shape (frames, Y, X) or (frames, Y, X, 3)."""
    pydicom = _pydicom()
    data = pydicom.dcmread(path)
    try:
        array = pydicom.pixels.pixel_array(data)
    except RuntimeError as error:
        if "Unable to dec" not in str(error):
            raise
        syntax = data.file_meta.TransferSyntaxUID.name
        raise InputError(
            f"{path.name} has pixels packed as {syntax}, which no installed decoder unpacks: "
            "pip install pylibjpeg pylibjpeg-libjpeg pylibjpeg-openjpeg pyjpegls, or it is damaged"
        ) from error
    if data.get("PhotometricInterpretation") == "PALETTE COLOR":
        array = pydicom.pixels.apply_color_lut(array, data)
    return np.asarray(array if int(data.get("NumberOfFrames") or 1) > 1 else array[None])


def _target(frames: Sequence[_Frame], stored: NDArray[Any]) -> np.dtype[Any]:
    """Return the type of rescaled pixels: an integer where slopes and intercepts are."""
    scalings = {frame.scaling for frame in frames}
    if scalings == {(1.0, 0.0)}:
        return stored.dtype.newbyteorder("=")
    if stored.dtype.kind in "iu" and all(value.is_integer() for pair in scalings for value in pair):
        bits = int(frames[0].data.get("BitsStored") or stored.itemsize * 8)
        low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1)) if stored.dtype.kind == "i" else (0, 2**bits)
        ends = [value * slope + intercept for slope, intercept in scalings for value in (low, high - 1)]
        for kind in (np.int16, np.int32, np.int64):
            if np.iinfo(kind).min <= min(ends) and max(ends) <= np.iinfo(kind).max:
                return np.dtype(kind)
    return np.result_type(stored, np.float32)


def _rescaled(stored: NDArray[Any], scaling: tuple[float, float], target: np.dtype[Any], name: str) -> NDArray[Any]:
    if scaling == (1.0, 0.0) and stored.dtype == target:
        return stored
    values = stored * np.float64(scaling[0]) + scaling[1]
    if target.kind != "f" and not np.iinfo(target).min <= values.min() <= values.max() <= np.iinfo(target).max:
        raise InputError(f"{name} holds values of more bits than it says: it is damaged")
    return values.astype(target)
