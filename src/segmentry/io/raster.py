"""Ordinary picture files: PNG, JPEG, BMP, WebP and single GIF pictures are read; PNG is written.

Palettes become red, green and blue, or grey, for an image, and stay numbers for labels. A transparency is a channel
``"alpha"``, unless it is opaque everywhere. The resolution of a picture counts as pixel size only where a pixel is
smaller than 10 µm: coarser ones describe print. JPEG and the like can't be written: they lose pixels, or what is known
of them.
"""

from __future__ import annotations

import importlib
import io
import math
import struct
import warnings
import zlib
from pathlib import Path
from typing import Any, BinaryIO, ClassVar

import numpy as np
from numpy.typing import NDArray

from segmentry.errors import InputError, OutputError
from segmentry.image import RGB, Image, unit_ratio
from segmentry.io.arrange import Native, Source
from segmentry.io.format import MAX_RATIO, Description, Format, as_instances, check_claim
from segmentry.result import Instances

__all__ = ["FORMATS", "Picture", "Png"]

PNG_MAGIC = b"\x89PNG\r\n\x1a\n"
#: Where our description stands among the texts of a PNG.
KEYWORD = "segmentry"
#: Pixels larger than this (µm) are those of a print.
COARSEST = 10.0
LARGEST_ID = 65_535
#: How many bytes Pillow takes at a time for one sample.
COPIES = 5
NAMES = {2: ("grey", "alpha"), 3: RGB, 4: (*RGB, "alpha")}
#: Modes of Pillow whose pixels are taken as they are.
PLAIN = ("1", "L", "LA", "I;16", "RGB", "RGBA")
ORIENTATION = 0x0112


class Picture(Format):
    """JPEG, BMP, WebP and GIF."""

    name: ClassVar[str] = "JPEG, BMP, WebP or GIF"
    suffixes: ClassVar[tuple[str, ...]] = (".jpg", ".jpeg", ".bmp", ".webp", ".gif")

    def sniff(self, path: Path, head: bytes) -> bool:
        """Say whether the file begins as one of these does."""
        return _kind(head) not in (None, "Png") and path.is_file()

    def read(self, path: Path) -> Image:
        """Read the picture, upright."""
        return _read(path, as_labels=False)

    def read_labels(self, path: Path) -> Instances:
        """Read the picture as ids: those of a palette where there is one."""
        image = _read(path, as_labels=True)
        if image.channels:
            raise InputError(f"{path.name} is in colour: labels have one id per pixel")
        return as_instances(image)


class Png(Picture):
    """PNG, with 1 to 16 bits per channel."""

    name: ClassVar[str] = "PNG"
    suffixes: ClassVar[tuple[str, ...]] = (".png",)
    writes: ClassVar[frozenset[str]] = frozenset({"image", "labels"})

    def sniff(self, path: Path, head: bytes) -> bool:
        """Say whether the file begins as PNG does."""
        return _kind(head) == "Png" and path.is_file()

    def write(self, path: Path, image: Image, kind: str = "image") -> None:
        """Write one plane: bool, uint8 or uint16, grey or in colour; labels with 16 bits."""
        grid = image.grid
        if grid.length("T") * grid.length("Z") > 1:
            raise OutputError(
                f"{path.name}: PNG holds one plane, not {grid.axes} {grid.shape}: save as .ome.tif or .zarr"
            )
        count = grid.length("C")
        if count not in (1, 3, 4) and image.channels[1:] != ("alpha",):
            raise OutputError(f"{path.name}: PNG holds 1, 3 or 4 channels, not {count}: save as .ome.tif or .zarr")
        plane = image.read().reshape(count, *grid.shape[-2:])
        if kind == "labels":
            plane = _short_ids(path.name, plane)
        if plane.dtype not in (np.uint8, np.uint16) and (plane.dtype != bool or count > 1):
            what = f"{plane.dtype}{' in colour' if count > 1 else ''}"
            raise OutputError(f"{path.name}: PNG holds no pixels of type {what}: save as .ome.tif or .zarr")
        description = Description(grid, image.channels, kind, image.provenance)
        text = _chunk(b"tEXt", f"{KEYWORD}\0{description.to_json()}".encode("ascii"))
        encoded = _encoded(np.moveaxis(plane, 0, -1))
        start = len(PNG_MAGIC) + 25  # texts come after the header, whose length is fixed
        path.write_bytes(encoded[:start] + _resolution(image) + text + encoded[start:])


def _kind(head: bytes) -> str | None:
    """Return what a file is by its first bytes, in Pillow's words."""
    if head.startswith(PNG_MAGIC):
        return "Png"
    if head.startswith(b"\xff\xd8\xff"):
        return "Jpeg"
    if head.startswith((b"GIF87a", b"GIF89a")):
        return "Gif"
    if head.startswith(b"RIFF") and head[8:12] == b"WEBP":
        return "WebP"
    if head.startswith(b"BM") and head[14:18] in {struct.pack("<I", n) for n in (12, 40, 52, 56, 64, 108, 124)}:
        return "Bmp"
    return None


def _read(path: Path, *, as_labels: bool) -> Image:
    with path.open("rb") as file, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow warns of damaged notes that don't matter here
        picture, bits = _opened(file)
        if getattr(picture, "is_animated", False):
            raise InputError(f"{path.name} is an animation of {picture.n_frames} pictures: save it as a TIFF stack")
        width, height = picture.size
        check_claim(path, (height, width, len(picture.getbands())), COPIES, COPIES * MAX_RATIO * max(1, 8 // bits))
        deep = bits == 16 and picture.mode != "I;16"  # Pillow would reduce these to 8 bits
        data = _upright(_deep(file) if deep else _pixels(picture, as_labels), picture)
        native = _native(picture)
    if native.description is None:
        data = _without_opaque(data)
    axes = "YX" if data.ndim == 2 else "YXC"
    names = native.channels or NAMES.get(data.shape[-1], ()) if axes == "YXC" else ()
    return Source(data, axes, path.name, Native(native.spacing, native.unit, None, names, native.description)).image()


def _opened(file: BinaryIO) -> tuple[Any, int]:
    """Open a picture with Pillow, and say how many bits a sample has.

    Pillow's own limit on sizes is passed by: ``check_claim`` judges them.
    """
    head = file.read(32)
    file.seek(0)
    kind = _kind(head)
    picture = getattr(importlib.import_module(f"PIL.{kind}ImagePlugin"), f"{kind}ImageFile")(file)
    return picture, head[len(PNG_MAGIC) + 16] if kind == "Png" else 8


def _pixels(picture: Any, as_labels: bool) -> NDArray[Any]:
    """Return pixels of shape (rows, columns) or (rows, columns, channels)."""
    if picture.mode == "P" and as_labels:
        return np.array(picture)
    if picture.mode in ("P", "PA"):
        clear = picture.mode == "PA" or "transparency" in picture.info
        return np.array(picture.convert(("L" if _is_grey(picture) else "RGB") + ("A" if clear else "")))
    return np.array(picture if picture.mode in PLAIN else picture.convert("RGB"))


def _is_grey(picture: Any) -> bool:
    """Whether the palette of a picture has no colours."""
    palette = np.reshape(picture.getpalette("RGB"), (-1, 3))
    return bool((palette == palette[:, :1]).all())


def _deep(file: BinaryIO) -> NDArray[Any]:
    """Return the pixels of a PNG with 16 bits per sample, refusing one with damage, which libpng would pass over."""
    import imagecodecs

    file.seek(0)
    content = file.read()
    at, kind = len(PNG_MAGIC), b""
    while kind != b"IEND":
        length, kind = struct.unpack(">I4s", content[at : at + 8])
        end = at + 8 + length
        if zlib.crc32(content[at + 4 : end]) != int.from_bytes(content[end : end + 4], "big"):
            raise ValueError(f"its chunk {kind.decode('latin-1')} is damaged")
        at = end + 4
    return np.asarray(imagecodecs.png_decode(content))


def _upright(data: NDArray[Any], picture: Any) -> NDArray[Any]:
    """Turn a picture as its EXIF orientation says."""
    turn = picture.getexif().get(ORIENTATION, 1) if "exif" in picture.info else 1
    if turn in (5, 6, 7, 8):
        data = data.swapaxes(0, 1)
    if turn in (3, 4, 7, 8):
        data = data[::-1]
    return data[:, ::-1] if turn in (2, 3, 6, 7) else data


def _native(picture: Any) -> Native:
    """Return our description and the pixel size of a picture."""
    description = Description.from_json(picture.info.get(KEYWORD, ""))
    per_inch = picture.info.get("dpi", (0, 0))
    if not all(math.isfinite(n) and n > 25_400 / COARSEST for n in per_inch):
        return Native(description=description)
    # whole pixels per metre are what PNG and BMP store
    x, y = (1e6 / round(float(n) / 0.0254) for n in per_inch)
    return Native({"X": x, "Y": y}, "um", description=description)


def _without_opaque(data: NDArray[Any]) -> NDArray[Any]:
    """Drop an alpha that is opaque everywhere."""
    if data.ndim == 2 or data.shape[-1] not in (2, 4) or not (data[..., -1] == np.iinfo(data.dtype).max).all():
        return data
    return data[..., 0] if data.shape[-1] == 2 else data[..., :3]


def _short_ids(name: str, labels: NDArray[Any]) -> NDArray[np.uint16]:
    if labels.max() > LARGEST_ID:
        count = len(np.unique(labels[labels > 0]))
        raise OutputError(
            f"{name}: PNG holds ids up to {LARGEST_ID:,}; the largest of these {count:,} objects is {labels.max():,}: "
            "save as .ome.tif or .zarr"
        )
    return labels.astype(np.uint16)


def _encoded(plane: NDArray[Any]) -> bytes:
    if plane.dtype == bool:
        from PIL import Image as Pillow

        buffer = io.BytesIO()
        Pillow.fromarray(plane[..., 0]).save(buffer, "PNG")
        return buffer.getvalue()
    import imagecodecs

    return bytes(imagecodecs.png_encode(plane.copy()))


def _resolution(image: Image) -> bytes:
    """Return the chunk with pixels per metre where they are known, the same along both axes, and fit."""
    grid = image.grid
    if grid.spacing is None or grid.unit is None or grid.spacing[-1] != grid.spacing[-2]:
        return b""
    per_metre = round(min(1 / (grid.spacing[-1] * unit_ratio(grid.unit, "m")), 2**32))
    return _chunk(b"pHYs", struct.pack(">IIB", per_metre, per_metre, 1)) if 0 < per_metre < 2**31 else b""


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


FORMATS = (Png(), Picture())
