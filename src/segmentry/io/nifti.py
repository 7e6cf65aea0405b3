"""NIfTI-1 and NIfTI-2 (https://nifti.nimh.nih.gov): medical volumes in one file, plain or gzipped.

The file's axes X, Y, Z, T, C become TCZYX; axes of length 1 other than Y and X are dropped, unless the file is ours and
says otherwise. A plain file is read when it is sliced, a gzipped one at once.
"""

from __future__ import annotations

import gzip
import io
import itertools
import json
import math
import warnings
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segmentry.errors import InputError, OutputError
from segmentry.image import AXES, Affine, Array, Grid, Image, Region, normalise_unit
from segmentry.io.format import Description, Format, check_claim

__all__ = ["FORMATS", "Nifti"]

#: Largest header that is read, in bytes, with its extensions.
MAX_OFFSET = 2**26
#: Pixels that are in memory at a time while writing.
REGION = 2**23

#: The intent of voxels that are indices of labels.
LABEL = 1002

_GZIP = b"\x1f\x8b"
#: The unit that NIfTI has for each of ours, and how many of it one of ours is.
_UNITS = {"nm": ("micron", 1e-3), "um": ("micron", 1.0), "mm": ("mm", 1.0), "cm": ("mm", 10.0), "m": ("meter", 1.0)}
_SECONDS = {"sec": 1.0, "msec": 1e-3, "usec": 1e-6}
#: Types that NIfTI lacks, and the wider ones that hold their values.
_WIDER = {"bool": "uint8", "float16": "float32"}
_GEOMETRY = ("pixdim", "xyzt_units", "sform_code", "srow_x", "srow_y", "srow_z")


class Nifti(Format):
    """NIfTI files."""

    name = "NIfTI"
    suffixes = (".nii.gz", ".nii")
    writes = frozenset({"image", "labels"})

    def sniff(self, path: Path, head: bytes) -> bool:
        """Look for the magic, in a gzipped file after unpacking its first bytes."""
        if head.startswith(_GZIP):
            try:
                head = _start(path, 540)
            except (OSError, EOFError, zlib.error):
                return False
        return head[344:348] == b"n+1\0" or head[4:8] == b"n+2\0"

    def read(self, path: Path) -> Image:
        """Open a file: a plain one lazily, a gzipped one at once."""
        header = _header(path)
        letters, sizes, dtype = _layout(header, path)
        lengths = dict(zip(letters, sizes, strict=True))
        said, narrow = _said(header, lengths)
        grid = said.grid if said else _native_grid(header, lengths)
        raw, whole = _raw(path, int(header["vox_offset"]), sizes, dtype)
        data: Array = _Voxels(raw, letters, grid.axes, _scaling(header))
        if whole or narrow:
            data = _narrowed(data[(slice(None),) * len(grid.axes)], narrow)
        if said:
            return Image(data, grid, said.channels, path.name, said.provenance, said.kind)
        colours = ("red", "green", "blue", "alpha")[: grid.length("C")] if letters.startswith("C") else ()
        kind = "labels" if header["intent_code"] == LABEL else "image"
        return Image(data, grid, colours, path.name, kind=kind)

    def write(self, path: Path, image: Image, kind: str = "image") -> None:
        """Write an image plane by plane, with the description of what NIfTI has no field for as an extension."""
        from nibabel.nifti1 import Nifti1Extension

        name = _WIDER.get(image.dtype.name, image.dtype.name)
        if np.dtype(name).itemsize > 8:
            raise OutputError(f"NIfTI can't hold pixels of type {image.dtype}: convert them to float64")
        header = _header_of(image.grid, kind)
        header.set_data_dtype(np.dtype(name))
        described = json.loads(Description(image.grid, image.channels, kind, image.provenance).to_json())
        text = json.dumps(described | {"dtype": image.dtype.name}, sort_keys=True)
        header.extensions.append(Nifti1Extension("comment", text.encode()))
        with path.open("wb") as file:
            if path.name.lower().endswith(".gz"):
                with gzip.GzipFile("", "wb", compresslevel=3, fileobj=file, mtime=0) as packed:
                    _write(packed, header, image)
            else:
                _write(file, header, image)


FORMATS = (Nifti(),)


class _Stored:
    """The voxels of a plain file in its own axes and type, read from it when they are sliced."""

    def __init__(self, path: Path, offset: int, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        self._path, self._offset, self.shape, self.dtype = path, offset, shape, dtype

    def __getitem__(self, key: Region) -> NDArray[Any]:
        from nibabel.fileslice import fileslice

        with self._path.open("rb") as file:
            return np.asarray(fileslice(file, key, self.shape, self.dtype, self._offset, "F"))


class _Voxels:
    """Voxels in the axes of a grid, scaled and in native byte order, read from those of a file when they are sliced."""

    def __init__(self, raw: Any, letters: str, axes: str, scaling: tuple[float, float] | None) -> None:
        self._raw, self._letters, self._axes, self._scaling = raw, letters, axes, scaling
        self.shape = tuple(int(raw.shape[letters.index(a)]) if a in letters else 1 for a in axes)
        stored = np.dtype(raw.dtype).newbyteorder("=")
        self.dtype = stored if scaling is None else np.result_type(stored, np.float32)

    def __getitem__(self, key: Region) -> NDArray[Any]:
        wanted = dict(zip(self._axes, key, strict=True))
        block = np.asarray(self._raw[tuple(wanted.get(a, slice(None)) for a in self._letters)])
        length = dict(zip(self._letters, block.shape, strict=True))
        block = block.transpose([self._letters.index(a) for a in AXES if a in self._letters])
        # an axis that only one of both sides has is of length 1
        block = block.reshape([length.get(a, len(range(*wanted[a].indices(1)))) for a in self._axes])
        block = block.astype(self.dtype, copy=False)
        if self._scaling is None:
            return block
        with np.errstate(all="ignore"):
            return np.asarray(block * self.dtype.type(self._scaling[0]) + self.dtype.type(self._scaling[1]))


def _start(path: Path, size: int) -> bytes:
    """Return the first bytes of a file, unpacked."""
    with path.open("rb") as file:
        packed = file.read(2) == _GZIP
        file.seek(0)
        return gzip.GzipFile(fileobj=file).read(size) if packed else file.read(size)


def _header(path: Path) -> Any:
    """Return the header of a file with its extensions."""
    from nibabel.nifti1 import Nifti1Header
    from nibabel.nifti2 import Nifti2Header

    start = _start(path, 540)
    kind = Nifti1Header if start[344:348] == b"n+1\0" else Nifti2Header
    size = kind.template_dtype.itemsize
    offset = int(kind(start[:size], check=False)["vox_offset"])
    if not size < offset <= MAX_OFFSET:
        raise InputError(f"{path.name} says that its voxels begin at byte {offset}, which can't be: it is damaged")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        header = kind.from_fileobj(io.BytesIO(_start(path, offset)), check=False)
    if header["pixdim"][0] not in (-1, 1):
        # the standard: anything else counts as 1
        header["pixdim"][0] = 1
    return header


def _layout(header: Any, path: Path) -> tuple[str, tuple[int, ...], np.dtype[Any]]:
    """Return letter and length of the file's axes, fastest first, without empty ones at the end, and the type."""
    sizes = [int(n) for n in header.get_data_shape()]
    while len(sizes) > 2 and sizes[-1] == 1:
        sizes.pop()
    if not 2 <= len(sizes) <= 5:
        raise InputError(
            f"{path.name} has {len(sizes)} axes: NIfTI images with 2 to 5 (X, Y, Z, time, channel) are read"
        )
    letters = "XYZTC"[: len(sizes)]
    dtype = np.dtype(header.get_data_dtype())
    if dtype.names is None:
        return letters, tuple(sizes), dtype
    if "C" in letters:
        raise InputError(f"{path.name} has colours in channels, which is not supported")
    return "C" + letters, (len(dtype.names), *sizes), np.dtype(np.uint8)


def _scaling(header: Any) -> tuple[float, float] | None:
    slope, inter = header.get_slope_inter()
    return None if slope is None or (slope, inter) == (1, 0) else (float(slope), float(inter))


def _raw(path: Path, offset: int, sizes: tuple[int, ...], dtype: np.dtype[Any]) -> tuple[Any, bool]:
    """Return the voxels in the file's own axes, and whether they are in memory."""
    size = math.prod(sizes) * dtype.itemsize
    with path.open("rb") as file:
        packed = file.read(2) == _GZIP
        check_claim(path, sizes, dtype.itemsize)
        if not packed:
            if offset + size > path.stat().st_size:
                raise InputError(f"{path.name} ends before its {size:,} bytes of voxels do: it is cut off")
            return _Stored(path, offset, sizes, dtype), False
        file.seek(0)
        unpacked = gzip.GzipFile(fileobj=file)
        unpacked.seek(offset)
        buffer = bytearray(size)
        view, filled = memoryview(buffer), 0
        while filled < size and (count := unpacked.readinto(view[filled : filled + 2**24])):
            filled += count
        # reading on makes gzip compare its checksum, where the voxels are the last thing in the file
        unpacked.read(1)
    if filled < size:
        raise InputError(f"{path.name} ends before its {size:,} bytes of voxels do: it is cut off")
    return np.frombuffer(buffer, dtype).reshape(sizes, order="F"), True


def _native_grid(header: Any, lengths: dict[str, int]) -> Grid:
    axes = "".join(a for a in AXES if a in "YX" or lengths.get(a, 1) > 1)
    try:
        length_unit, time_unit = header.get_xyzt_units()
    except KeyError:
        length_unit = time_unit = "unknown"
    # the shortest decimal number that is the file's, which has single precision
    zooms = dict(zip("XYZT", (float(str(z)) for z in header["pixdim"][1:5]), strict=True))
    spacing = tuple(abs(zooms[a]) for a in axes if a in "ZYX")
    known = all(0 < s < np.inf for s in spacing)
    seconds = zooms["T"] * _SECONDS.get(time_unit, 0.0)
    affine: Affine | None = None
    if header["sform_code"] > 0 or header["qform_code"] > 0:
        matrix = header.get_best_affine()
        affine = tuple(tuple(row) for row in matrix.tolist()) if np.isfinite(matrix).all() else None
    return Grid(
        axes,
        tuple(lengths.get(a, 1) for a in axes),
        spacing if known else None,
        (normalise_unit(length_unit) or "mm") if known else None,
        seconds if "T" in axes and 0 < seconds < np.inf else None,
        affine,
    )


def _said(header: Any, lengths: dict[str, int]) -> tuple[Description | None, str]:
    """Return our description where it agrees with the header, and the name of the narrower type it tells of."""
    for extension in header.extensions:
        said = Description.from_json(extension.content)
        if said is None or any(said.grid.length(a) != lengths.get(a, 1) for a in AXES):
            continue
        own = _header_of(said.grid, said.kind)
        if all(np.array_equal(own[key], header[key]) for key in _GEOMETRY):
            name = json.loads(extension.content).get("dtype")
            return said, name if _WIDER.get(name) == header.get_data_dtype().name else ""
    return None, ""


def _narrowed(data: NDArray[Any], name: str) -> NDArray[Any]:
    """Return the values in a narrower type, or as they are where another program put some that it can't hold."""
    if not name:
        return data
    with np.errstate(over="ignore"):
        narrow = data.astype(name)
    return narrow if np.array_equal(narrow, data, equal_nan=data.dtype.kind == "f") else data


# --- writing


def _header_of(grid: Grid, kind: str) -> Any:
    """Return the header of a file, but for the type of its voxels."""
    from nibabel.nifti1 import Nifti1Header
    from nibabel.nifti2 import Nifti2Header

    letters = "XYZTC" if "C" in grid.axes else "XYZT" if "T" in grid.axes else "XYZ"
    sizes = [grid.length(a) for a in letters]
    header = (Nifti1Header if max(sizes) < 2**15 else Nifti2Header)(endianness="<")
    header.set_data_shape(sizes)
    unit, factor = _UNITS[grid.unit] if grid.unit else ("unknown", 1.0)
    spacing = dict(zip(grid.spatial, grid.spacing or (), strict=False))
    zooms = {a: size * factor for a, size in spacing.items()} | {"T": grid.interval or 0.0}
    with np.errstate(all="ignore"):
        header.set_zooms([zooms.get(a, 1.0) for a in letters])
        header.set_xyzt_units(unit, "sec" if grid.interval else "unknown")
        if grid.affine is not None:
            header.set_sform(np.diag([factor, factor, factor, 1.0]) @ np.array(grid.affine), "aligned")
    header.set_slope_inter(1, 0)
    if kind != "image":
        header.set_intent(LABEL)
    elif "C" in letters:
        header.set_intent("vector")
    return header


def _write(file: Any, header: Any, image: Image) -> None:
    """Write the header and all voxels, X fastest and channels slowest, as NIfTI has them."""
    header.write_to(file)
    dtype = header.get_data_dtype()
    length = {a: image.grid.length(a) for a in AXES}
    planes = min(length["Z"], max(1, REGION // (length["Y"] * length["X"])))
    rows = min(length["Y"], max(1, REGION // length["X"]))
    for c, t, z, y in itertools.product(
        range(length["C"]), range(length["T"]), range(0, length["Z"], planes), range(0, length["Y"], rows)
    ):
        part = {
            "C": slice(c, c + 1),
            "T": slice(t, t + 1),
            "Z": slice(z, z + planes),
            "Y": slice(y, y + rows),
            "X": slice(None),
        }
        file.write(image.read(tuple(part[a] for a in image.grid.axes)).astype(dtype).tobytes())
