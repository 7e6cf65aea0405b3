"""Zeiss .czi, read only: tiles of any packing become one image, which is read when it is sliced.

A file stays open for as long as its image is used.
"""

from __future__ import annotations

import math
import weakref
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray

from segmentry.errors import InputError
from segmentry.image import AXES, RGB, SPATIAL, Grid, Image, Region
from segmentry.io.format import Format
from segmentry.io.vendors import Sliced, check_axes, library, quiet, unique_names

__all__ = ["FORMATS", "Czi"]

#: Largest tile that is unpacked, in bytes.
MAX_TILE = 2**30
#: Most pixels of an image per pixel of its tiles.
MAX_EMPTY = 100


class Czi(Format):
    """Zeiss ZEN files."""

    name = "Zeiss CZI"
    suffixes = (".czi",)
    extra = "zeiss"

    def sniff(self, path: Path, head: bytes) -> bool:
        """Look for the mark."""
        return path.is_file() and head.startswith(b"ZISRAWFILE")

    def read(self, path: Path) -> Image:
        """Open a file without reading its tiles."""
        czifile = library("czifile", "reading Zeiss .czi files", self.extra)
        with quiet(), ExitStack() as stack:
            # czifile does not close a file that it fails to open
            handle = stack.enter_context(path.open("rb"))
            file = czifile.CziFile(handle)
            if any(entry.file_part != file.header.file_part for entry in file.subblock_directory):
                raise InputError(f"{path.name} has tiles in files beside it: export it as one .czi or as OME-TIFF")
            image = _czi_image(file, path)
            weakref.finalize(image.data, handle.close)
            stack.pop_all()
            return image


FORMATS = (Czi(),)


def _czi_image(file: Any, path: Path) -> Image:
    tiles = [entry for entry in file.filtered_subblock_directory if entry.stored_shape == entry.shape]
    if not tiles:
        raise InputError(f"{path.name} holds no tile in full resolution")
    own, stored = tiles[0].axes[:-1], np.dtype(tiles[0].dtype)
    if any(entry.axes[:-1] != own or entry.dtype != tiles[0].dtype for entry in tiles):
        raise InputError(f"{path.name} has tiles of different axes or types: export it as OME-TIFF")
    first = np.min([entry.start[:-1] for entry in tiles], axis=0)
    last = np.max([np.add(entry.start, entry.shape)[:-1] for entry in tiles], axis=0)
    sizes = {a: int(n) for a, n in zip(own, last - first, strict=True)}
    if math.prod(sizes.values()) > max(MAX_EMPTY * sum(math.prod(entry.shape[:-1]) for entry in tiles), 2**24):
        raise InputError(f"{path.name} has tiles that are too far apart to be of one image: it is damaged")
    colours = stored.shape[0] if stored.shape else 1
    if colours > 1 and sizes.get("C", 1) > 1:
        raise InputError(f"{path.name} has several channels of colours: export it as OME-TIFF")
    check_axes(path, sizes)
    sizes["C"] = max(sizes.get("C", 1), colours)
    axes = "".join(a for a in AXES if a in "YX" or sizes.get(a, 1) > 1)
    shape = tuple(sizes[a] for a in axes)

    def read(key: Region) -> NDArray[Any]:
        bounds = {a: part.indices(n) for a, n, part in zip(axes, shape, key, strict=True)}
        out = np.zeros([bounds[a][1] - bounds[a][0] for a in axes], stored.base)
        for entry in tiles:
            start = dict(zip(own, np.subtract(entry.start[:-1], first).tolist(), strict=True))
            size = dict(zip(own, entry.shape, strict=False)) | ({"C": colours} if colours > 1 else {})
            inner, outer = [], []
            for a in axes:
                low, high = max(start.get(a, 0), bounds[a][0]), min(start.get(a, 0) + size[a], bounds[a][1])
                inner.append(slice(low - start.get(a, 0), high - start.get(a, 0)))
                outer.append(slice(low - bounds[a][0], high - bounds[a][0]))
            if all(part.start < part.stop for part in outer):
                out[tuple(outer)] = _czi_tile(entry, axes, colours)[tuple(inner)]
        return out[tuple(slice(None, None, bounds[a][2]) for a in axes)]

    about = ElementTree.fromstring(file.metadata(raw=True) or "<none/>")
    spacing = tuple(_czi_step(about, a) for a in axes if a in SPATIAL)
    known = all(0 < s < np.inf for s in spacing)
    increment = float(about.findtext(".//Dimensions/T/Positions/Interval/Increment") or 0)
    interval = increment if increment > 0 and "T" in axes else None
    grid = Grid(axes, shape, spacing if known else None, "um" if known else None, interval)
    names = [str(c.get("Name") or "") for c in about.iterfind(".//Information/Image/Dimensions/Channels/Channel")]
    names = [*RGB, "alpha"][:colours] if colours > 1 else names
    return Image(Sliced(shape, stored.base, read), grid, unique_names(names, grid), path.name)


def _czi_step(about: ElementTree.Element, axis: str) -> float:
    """Return the micrometres between pixels along an axis, 0 where the file does not say; it says metres."""
    for distance in about.iterfind(".//Scaling/Items/Distance"):
        if distance.get("Id") == axis:
            return float(distance.findtext("Value") or 0) * 1e6
    return 0.0


def _czi_tile(entry: Any, axes: str, colours: int) -> NDArray[Any]:
    """Return the pixels of a tile in the axes of the image."""
    data = _czi_unpacked(entry)
    letters = entry.axes[:-1].replace("C", "c") + "C" if colours > 1 else entry.axes
    order = [letters.index(a) for a in axes]
    others = [i for i in range(len(letters)) if i not in order]
    return data.transpose(order + others).reshape([data.shape[i] for i in order])


def _czi_unpacked(entry: Any) -> NDArray[Any]:
    import imagecodecs

    stored = np.dtype(entry.dtype)
    size = math.prod(entry.stored_shape) * stored.base.itemsize
    if size > MAX_TILE:
        raise InputError(f"a tile claims {size / 1e9:.3g} GB: the file is damaged")
    segment = entry.data_segment()
    if entry.compression in (0, 1, 4):
        return np.asarray(segment.data(resize=False))
    raw = segment.data(raw=True)
    if entry.compression == 2:
        raw = imagecodecs.lzw_decode(raw, out=size)
    elif entry.compression == 5:
        raw = imagecodecs.zstd_decode(raw, out=size)
    elif entry.compression == 6:
        # the first byte is the length of a header, whose third says that low bytes come before all high bytes
        head = raw[0]
        split = head > 1 and raw[2] & 1
        raw = imagecodecs.zstd_decode(raw[head:], out=size)
        raw = np.frombuffer(raw, np.uint8).reshape(2, -1).T.tobytes() if split else raw
    else:
        raise InputError(f"its tiles are packed in a way (code {entry.compression}) that is not known")
    data = np.frombuffer(raw, stored.base).reshape(entry.stored_shape)
    # colours are stored as blue, green, red
    return data[..., [2, 1, 0, 3][: data.shape[-1]]] if data.shape[-1] > 1 else data
