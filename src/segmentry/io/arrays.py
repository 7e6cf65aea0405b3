"""NumPy's own files: ``.npy`` with one array, ``.npz`` with several.

A ``.npy`` that segmentry writes has a second array behind the first, the description of the image as UTF-8: programs
that know nothing of it load the image alone. A ``.npz`` has the arrays ``pixels`` and ``description``. Neither ever
holds or loads a pickle.
"""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import IO, Any, ClassVar

import numpy as np
from numpy.lib import format as npy

from segmentry.errors import InputError
from segmentry.image import Image
from segmentry.io.arrange import Native, Source, bands, guess_axes
from segmentry.io.format import Description, Format, check_claim

__all__ = ["FORMATS", "Npy", "Npz"]

#: Bytes that a description may have.
LONGEST = 2**26

Header = tuple[tuple[int, ...], bool, np.dtype[Any]]


class Npy(Format):
    """One array; mapped into memory when large."""

    name: ClassVar[str] = "NumPy .npy"
    suffixes: ClassVar[tuple[str, ...]] = (".npy",)
    writes: ClassVar[frozenset[str]] = frozenset({"image", "labels"})

    def sniff(self, path: Path, head: bytes) -> bool:
        """Say whether the file begins as an array does."""
        return head.startswith(npy.MAGIC_PREFIX) and path.is_file()

    def read(self, path: Path) -> Image:
        """Open the array."""
        with path.open("rb") as file:
            shape, fortran, dtype = _header(file, path.name)
            start, length = file.tell(), _length(shape, dtype)
            if start + length > path.stat().st_size:
                raise InputError(f"{path.name} ends before the {length:,} bytes of pixels that its header promises")
            file.seek(start + length)
            description = _description(file)
        if not length:
            raise InputError(f"{path.name} holds an array of shape {shape}: there is no pixel to work on")
        data = np.memmap(path, dtype, "r", start, shape, "F" if fortran else "C")
        return _as_image(data, path.name, description)

    def write(self, path: Path, image: Image, kind: str = "image") -> None:
        """Write the array a band of rows at a time, and the description behind it."""
        with path.open("wb") as file:
            _write_pixels(file, image)
            text = Description(image.grid, image.channels, kind, image.provenance).to_json()
            npy.write_array(file, np.frombuffer(text.encode(), np.uint8), allow_pickle=False)


class Npz(Format):
    """Several arrays in a zip file, of which one is the image."""

    name: ClassVar[str] = "NumPy .npz"
    suffixes: ClassVar[tuple[str, ...]] = (".npz",)
    writes: ClassVar[frozenset[str]] = frozenset({"image", "labels"})

    def sniff(self, path: Path, head: bytes) -> bool:
        """Say whether the file is a zip whose first entry is an array."""
        first = head[30 : 30 + int.from_bytes(head[26:28], "little")]
        return head.startswith(b"PK\x03\x04") and first.endswith(b".npy") and path.is_file()

    def read(self, path: Path) -> Image:
        """Read the only array that can be an image."""
        with zipfile.ZipFile(path) as archive:
            key = _chosen(archive, path.name)
            with archive.open(f"{key}.npy") as file:
                shape, _, dtype = _header(file, path.name)
            check_claim(path, shape, dtype.itemsize)
            with archive.open(f"{key}.npy") as file:
                data = npy.read_array(file, allow_pickle=False)
            description = None
            if key == "pixels" and "description.npy" in archive.namelist():
                with archive.open("description.npy") as file:
                    description = _description(file)
        return _as_image(data, path.name, description)

    def write(self, path: Path, image: Image, kind: str = "image") -> None:
        """Write the arrays ``pixels`` and ``description``, compressed."""
        text = Description(image.grid, image.channels, kind, image.provenance).to_json()
        with zipfile.ZipFile(path, "w") as archive:
            with archive.open(_entry("pixels.npy"), "w", force_zip64=True) as file:
                _write_pixels(file, image)
            with archive.open(_entry("description.npy"), "w") as file:
                npy.write_array(file, np.frombuffer(text.encode(), np.uint8), allow_pickle=False)


def _as_image(data: np.ndarray[Any, Any], name: str, description: Description | None) -> Image:
    told = description is not None and description.grid.shape == data.shape
    axes = description.grid.axes if told and description else guess_axes(name, data.shape, data.dtype)
    return Source(data, axes, name, Native(description=description)).image()


def _header(file: IO[bytes], name: str) -> Header:
    """Read the header of an array, refusing what is no array of numbers."""
    version = npy.read_magic(file)
    if version not in ((1, 0), (2, 0)):
        raise InputError(f"{name} is a .npy of version {version}, which holds no plain numbers")
    shape, fortran, dtype = npy.read_array_header_1_0(file) if version == (1, 0) else npy.read_array_header_2_0(file)
    if dtype.hasobject:
        raise InputError(
            f"{name} is a pickle, which is never loaded since it could run code: "
            "save the label image itself, from Cellpose as TIFF or PNG"
        )
    if dtype.kind not in "biuf":
        raise InputError(f"{name} holds values of type {dtype}: bool, integer or real is needed")
    return shape, fortran, dtype


def _length(shape: tuple[int, ...], dtype: np.dtype[Any]) -> int:
    length = dtype.itemsize
    for n in shape:
        length *= n
    return length


def _description(file: IO[bytes]) -> Description | None:
    """Read our description where one follows."""
    try:
        shape, _, dtype = _header(file, "")
        length = _length(shape, dtype)
        return Description.from_json(file.read(length)) if dtype == np.uint8 and length < LONGEST else None
    except (ValueError, InputError):
        return None


def _write_pixels(file: IO[bytes], image: Image) -> None:
    dtype = image.dtype.newbyteorder("=")
    header = {"descr": npy.dtype_to_descr(dtype), "fortran_order": False, "shape": image.grid.shape}
    npy.write_array_header_1_0(file, header)
    for band in bands(image.grid.shape):
        file.write(np.ascontiguousarray(image.read(band), dtype).tobytes())


def _entry(name: str) -> zipfile.ZipInfo:
    """Return a zip entry without the time of writing."""
    entry = zipfile.ZipInfo(name)
    entry.compress_type = zipfile.ZIP_DEFLATED
    return entry


def _chosen(archive: zipfile.ZipFile, name: str) -> str:
    """Return the key of the image: ours, or the only array of numbers with rows and columns."""
    found: dict[str, str] = {}
    for entry in archive.namelist():
        if not entry.endswith(".npy"):
            continue
        with archive.open(entry) as file:
            try:
                shape, _, dtype = _header(file, name)
            except (ValueError, InputError):
                continue
        if len(shape) >= 2:
            found[entry.removesuffix(".npy")] = f"{dtype} {shape}"
    if "pixels" in found:
        return "pixels"
    if len(found) == 1:
        return next(iter(found))
    keys = ", ".join(f"{key} ({what})" for key, what in sorted(found.items()))
    raise InputError(f"{name} holds {len(found)} arrays that may be the image: {keys or 'none'}; save one as .npy")


FORMATS = (Npy(), Npz())
