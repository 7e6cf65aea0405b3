"""TIFF: OME-TIFF, ImageJ hyperstacks and plain files are read; OME-TIFF is written.

Of several images in a file the largest is read, the first among equals; of a pyramid the full resolution. A pixel size
is taken from OME-XML or from ImageJ's description. The resolution tags of other files count only in centimetres and
where a pixel is smaller than 10 µm: coarser ones describe print (96 dpi are 265 µm), not what was imaged. Pixels are
the stored numbers: palettes and inverted greys are a matter of display, as in ImageJ.
"""

from __future__ import annotations

import logging
import math
import re
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from segmentry.errors import InputError
from segmentry.image import AXES, RGB, Array, Image, normalise_unit, unit_ratio
from segmentry.io.arrange import BAND, LAZY_FROM, Native, Source, nbytes
from segmentry.io.format import Description, Format, check_claim
from segmentry.io.ome_xml import SECONDS, from_xml, planes_claimed, stored_type, to_xml
from segmentry.io.tiff_segments import Segments

__all__ = ["FORMATS", "Tiff"]

MAGIC = (b"II*\x00", b"MM\x00*", b"II+\x00", b"MM\x00+")
#: How much the compressions pack at most; those that are not listed can pack a constant image almost without bound.
RATIO = {1: 1.01, 5: 1400, 8: 1100, 32946: 1100, 32773: 130}
BOUNDLESS = 200_000
#: Pixels larger than this (µm) in a plain resolution tag are those of a print.
COARSEST = 10.0
#: Larger files need 64-bit offsets; the rest up to 4 GiB is for what compression and tables may add.
CLASSIC = 3.8e9
MOST_PLANES = 10_000_000
TILED_FROM, PYRAMID_FROM, TOP = 1024, 4096, 1024

_quiet: ContextVar[bool] = ContextVar("_quiet", default=False)


class Tiff(Format):
    """TIFF, OME-TIFF and BigTIFF."""

    name: ClassVar[str] = "TIFF"
    suffixes: ClassVar[tuple[str, ...]] = (".ome.tif", ".ome.tiff", ".tif", ".tiff")
    writes: ClassVar[frozenset[str]] = frozenset({"image", "labels"})

    def sniff(self, path: Path, head: bytes) -> bool:
        """Say whether the file begins as TIFF or BigTIFF does."""
        return head.startswith(MAGIC) and path.is_file()

    def read(self, path: Path) -> Image:
        """Open the largest image of the file; lazily when it is large."""
        import tifffile

        with _without_chatter():
            tif = tifffile.TiffFile(path)
            try:
                source = _source(path, tif)
            except BaseException:
                tif.close()
                raise
            return source.image()

    def write(self, path: Path, image: Image, kind: str = "image") -> None:
        """Write OME-TIFF, a band of rows at a time, with a pyramid where planes are large."""
        import tifffile

        stored = stored_type(image.dtype)
        description = Description(image.grid, image.channels, kind, image.provenance)
        pyramid = max(image.grid.shape[-2:]) > PYRAMID_FROM
        shrink = _mean if kind == "image" and image.dtype.kind != "b" else _nearest
        text: bytes | None = to_xml(description, image.dtype)
        big = nbytes(image.grid.shape, stored) * (4 / 3 if pyramid else 1) > CLASSIC
        small_integers = kind == "image" and stored.kind in "iu" and stored.itemsize <= 2
        with tifffile.TiffWriter(path, bigtiff=big) as tif:
            for place in np.ndindex(*image.grid.shape[:-2]):
                plane = _Plane(image.data, place, stored)
                options = {
                    "description": text,
                    "compression": "zlib",
                    "compressionargs": {"level": 4},  # twice as fast as 6 and as small
                    "predictor": 2 if small_integers else None,
                    "photometric": "minisblack",
                    "metadata": None,
                    "software": "segmentry",
                    **_resolution(image),
                }
                _write_plane(tif, plane, pyramid, shrink, path.parent, options)
                text = None


@contextmanager
def _without_chatter() -> Iterator[None]:
    """Keep tifffile's log records of this thread to ourselves: what matters is raised."""
    logging.getLogger("tifffile").addFilter(_is_heard)
    token = _quiet.set(True)
    try:
        yield
    finally:
        _quiet.reset(token)


def _is_heard(_: logging.LogRecord) -> bool:
    return not _quiet.get()


def _source(path: Path, tif: Any) -> Source:
    """Say what the largest image of an open file is."""
    if planes_claimed(tif.ome_metadata or "") > MOST_PLANES:  # tifffile would make room for each
        raise InputError(f"{path.name} claims more than {MOST_PLANES:,} planes: it is damaged or not what it says")
    if not len(tif.pages):  # counting them finds those that go round in a circle, which ``series`` follows for ever
        raise InputError(f"{path.name} holds no image")
    all_series = [series for series in tif.series if series.dtype is not None]
    if not all_series:
        raise InputError(f"{path.name} holds no image")
    series = max(all_series, key=lambda s: s.size)
    shape, page = tuple(int(n) for n in series.shape), series.keyframe
    if not series.is_multifile:
        packed = 8 * series.dtype.itemsize / max(int(np.max(page.bitspersample)), 1)
        for claim in (shape, page.chunks):
            ratio = RATIO.get(int(page.compression), BOUNDLESS) * packed
            check_claim(path, claim, series.dtype.itemsize, ratio)
    axes = _mapped(path.name, series.axes, shape)
    sizes = dict(zip(axes, shape, strict=True))
    native = _native(tif, series, sizes)
    if page.photometric in (2, 6) and sizes.get("C") in (3, 4) and len(native.channels) != sizes["C"]:
        native = replace(native, channels=(*RGB, "alpha")[: sizes["C"]])
    data, close = _pixels(path, tif, series)
    return Source(data, axes, path.name, native, close)


def _native(tif: Any, series: Any, sizes: dict[str, int]) -> Native:
    if series.kind == "ome":
        return from_xml(tif.ome_metadata or "", sizes)
    native = Native()
    if series.kind == "imagej":
        native = _imagej(series.keyframe, tif.imagej_metadata or {}, sizes)
    elif series.kind == "shaped" and tif.shaped_metadata:
        native = _scale(series.keyframe, tif.shaped_metadata[0])
    elif tif.is_lsm or tif.is_svs:
        native = _of_makers(tif)
    return native if native.spacing else replace(native, **_of_tags(series.keyframe))


def _of_makers(tif: Any) -> Native:
    """Return the pixel size of Zeiss .lsm (metres per voxel) and of Aperio .svs slides (micrometres per pixel)."""
    if tif.is_lsm:
        said = tif.lsm_metadata or {}
        sizes = {axis: float(said.get(f"VoxelSize{axis}", 0)) * 1e6 for axis in "ZYX"}
        return Native({axis: size for axis, size in sizes.items() if size > 0}, "um")
    found = re.search(r"\|\s*MPP\s*=\s*([0-9.]+)", str(tif.pages[0].description))
    return Native(dict.fromkeys("YX", float(found.group(1))), "um") if found else Native()


def _pixels(path: Path, tif: Any, series: Any) -> tuple[Array, Callable[[], object]]:
    """Return something that slices, and what closes it; a small image is in memory already."""
    if nbytes(series.shape, series.dtype) <= LAZY_FROM:
        return series.asarray(), tif.close
    if series.dataoffset is not None:
        kind = np.dtype(tif.byteorder + series.dtype.char)
        return np.memmap(path, kind, "r", int(series.dataoffset), tuple(series.shape)), tif.close
    return Segments(series), tif.close


def _mapped(name: str, axes: str, shape: tuple[int, ...]) -> str:
    """Return the letters of a file's axes as ours: samples are channels, pages without a meaning planes, then times."""
    letters = [a if n > 1 or a in "YX" else "_" for a, n in zip(axes, shape, strict=True)]
    if "S" in letters and "C" not in letters:
        letters[letters.index("S")] = "C"
    unknown = [i for i, a in enumerate(letters) if a in "IQR"]
    free = [a for a in "ZT" if a not in letters]
    if len(unknown) == 1 and free:
        letters[unknown[0]] = free[0]
    if not set(letters) <= {*AXES, "_"} or len(unknown) > 1:
        raise InputError(
            f"{name} has axes {axes!r} of lengths {shape}, which can't be mapped to {AXES!r}: "
            "save it as OME-TIFF or as an ImageJ hyperstack, whose axes have names"
        )
    return "".join(letters)


def _imagej(page: Any, said: dict[str, Any], sizes: dict[str, int]) -> Native:
    """Return pixel size, interval and channel names as ImageJ understands its own description."""
    native = _scale(page, {"spacing": 1.0} | said)  # ImageJ leaves out a depth of 1
    second, interval = SECONDS.get(str(said.get("tunit", "sec"))), said.get("finterval")
    if second and isinstance(interval, (int, float)):
        native = replace(native, interval=interval * second)
    labels, count = said.get("Labels"), sizes.get("C", 1)
    if isinstance(labels, list) and len(labels) == sizes.get("T", 1) * sizes.get("Z", 1) * count:
        names = [set(labels[i::count]) for i in range(count)]
        if all(len(n) == 1 for n in names) and len(set.union(*names)) == count:
            native = replace(native, channels=tuple(n.pop() for n in names))
    return native


def _scale(page: Any, said: dict[str, Any]) -> Native:
    """Return spacing from the resolution tags in the unit that a description names, and the depth that it says."""
    unit = _unit(said.get("unit"))
    x, y = _pixel_size(page, "XResolution"), _pixel_size(page, "YResolution")
    if unit is None or not x or not y:
        return Native()
    spacing = {"X": x, "Y": y}
    depth, zunit = said.get("spacing"), _unit(said.get("zunit")) or unit
    if isinstance(depth, (int, float)):
        spacing["Z"] = abs(float(depth)) * (1.0 if zunit == unit else unit_ratio(zunit, unit))
    return Native(spacing, unit)


def _unit(text: object) -> str | None:
    return normalise_unit(str(text).replace("\\u00B5", "µ")) if text else None


def _pixel_size(page: Any, tag: str) -> float | None:
    """Return the reciprocal of a resolution tag."""
    value = page.tags.valueof(tag)
    if not isinstance(value, tuple) or len(value) != 2 or not all(value):
        return None
    return float(value[1] / value[0])


def _of_tags(page: Any) -> dict[str, Any]:
    """Return the pixel size of a plain file, where its resolution tags are fine enough to mean one."""
    x, y = _pixel_size(page, "XResolution"), _pixel_size(page, "YResolution")
    if page.tags.valueof("ResolutionUnit") != 3 or not x or not y or max(x, y) * 1e4 >= COARSEST:
        return {}
    return {"spacing": {"X": x * 1e4, "Y": y * 1e4}, "unit": "um"}


def _resolution(image: Image) -> dict[str, Any]:
    """Return the resolution tags, pixels per centimetre, for programs that don't read OME-XML."""
    grid = image.grid
    if grid.spacing is None or grid.unit is None:
        return {}
    per_cm = [1 / (s * unit_ratio(grid.unit, "cm")) for s in grid.spacing[:-3:-1]]
    if not all(1e-3 < r < 2**32 - 1 for r in per_cm):
        return {}
    return {"resolution": tuple(per_cm), "resolutionunit": "CENTIMETER"}


class _Plane:
    """One plane of an image, read a few rows at a time, in the type that it is stored with."""

    def __init__(self, data: Array, place: tuple[int, ...], stored: np.dtype[Any]) -> None:
        self._data, self._place = data, tuple(slice(i, i + 1) for i in place)
        self.shape = data.shape[-2:]
        self.dtype = stored

    def rows(self, top: int, bottom: int) -> NDArray[Any]:
        part = np.asarray(self._data[(*self._place, slice(top, bottom), slice(None))])
        return part.reshape(part.shape[-2:]).astype(self.dtype, copy=False)


Shrink = Callable[[NDArray[Any]], NDArray[Any]]


def _write_plane(tif: Any, plane: _Plane, pyramid: bool, shrink: Shrink, folder: Path, options: dict[str, Any]) -> None:
    """Write a plane and, where asked, ever smaller copies of it; what is not written yet is kept on disk."""
    if max(plane.shape) <= TILED_FROM:
        tif.write(plane.rows(0, plane.shape[0]), **options)
        return
    count = math.ceil(math.log2(max(plane.shape) / TOP)) if pyramid else 0
    for level in range(count + 1):
        height, width = plane.shape
        with tempfile.TemporaryFile(dir=folder) as scratch:
            half = -(-height // 2), -(-width // 2)
            smaller = np.memmap(scratch, plane.dtype, "w+", shape=half) if level < count else None
            place = {"subifds": count} if level == 0 else {"subfiletype": 1}
            tif.write(
                _tiles(plane, smaller, shrink),
                shape=plane.shape,
                dtype=plane.dtype,
                tile=(BAND, BAND),
                **options | place | ({} if level == 0 else {"description": None}),
            )
        if smaller is not None:
            plane = _Plane(smaller, (), plane.dtype)


def _tiles(plane: _Plane, smaller: NDArray[Any] | None, shrink: Shrink) -> Iterator[NDArray[Any]]:
    """Yield the tiles of a plane in raster order, and fill the next smaller plane on the way."""
    height, width = plane.shape
    for top in range(0, height, BAND):
        band = plane.rows(top, min(top + BAND, height))
        if smaller is not None:
            smaller[top // 2 : top // 2 + BAND // 2] = shrink(band)
        for left in range(0, width, BAND):
            yield band[:, left : left + BAND]


def _nearest(band: NDArray[Any]) -> NDArray[Any]:
    return band[::2, ::2]


def _mean(band: NDArray[Any]) -> NDArray[Any]:
    """Return the mean of 2x2 pixels; an odd last row or column counts twice."""
    even = np.pad(band, [(0, n % 2) for n in band.shape], mode="edge")
    mean = np.zeros((even.shape[0] // 2, even.shape[1] // 2))
    for y, x in np.ndindex(2, 2):
        mean += even[y::2, x::2] / 4
    return (np.rint(mean) if band.dtype.kind in "iu" else mean).astype(band.dtype)


FORMATS = (Tiff(),)
