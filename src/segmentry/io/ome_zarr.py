"""OME-Zarr 0.4 and 0.5: images and labels as pyramids of chunks, read and written piece by piece.

Chunks have 512 x 512 pixels, those of volumes 64 x 128 x 128, so that a chunk is at most about a million pixels in
either case; each level of the pyramid halves Y and X.
"""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segmentry.errors import InputError, OutputError
from segmentry.image import AXES, Array, Grid, Image, Region, Transposed
from segmentry.io.format import Description, Format, as_instances
from segmentry.io.ngff import attributes_of, channel_names, level_shapes, read_grid
from segmentry.result import Instances

__all__ = ["FORMATS", "OmeZarr"]

#: Pixels that are in memory at a time while writing.
REGION = 2**23
#: Largest chunk that is opened, in bytes: a reader must unpack a chunk as a whole.
MAX_CHUNK = 2**31
PLANE, VOLUME = (512, 512), (64, 128, 128)


class OmeZarr(Format):
    """OME-Zarr folders.

    Parameters
    ----------
    version
        Version that is written: ``"0.5"`` (Zarr 3) or ``"0.4"`` (Zarr 2); both are read.
    """

    name = "OME-Zarr"
    suffixes = (".ome.zarr", ".zarr")
    writes = frozenset({"image", "labels"})

    def __init__(self, version: str = "0.5") -> None:
        self.version = version

    def sniff(self, path: Path, head: bytes) -> bool:
        """Say whether a folder is a Zarr array or group."""
        return not head and any((path / name).is_file() for name in ("zarr.json", ".zgroup", ".zarray"))

    def read(self, path: Path) -> Image:
        """Open level 0 of the image in a folder without reading its pixels."""
        return _image(_only_image(_opened(path), path.name), path.name)

    def read_labels(self, path: Path) -> Instances:
        """Read the labels in a folder, or those in its ``labels/`` where the folder itself holds intensities."""
        node = _opened(path)
        inner = None if _is_labels(node) else _child(node, "labels")
        if inner is not None:
            node = _only_image(inner, f"{path.name}/labels")
        image = _image(_only_image(node, path.name), path.name)
        if image.grid.length("C") > 1:
            raise InputError(f"{path.name} has {image.grid.length('C')} channels: labels have one id per pixel")
        image = image.channel(0)
        _check_memory(path, image.grid)
        return as_instances(image)

    def write(self, path: Path, image: Image, kind: str = "image") -> None:
        """Write an image region by region, then the levels of its pyramid."""
        description = Description(image.grid, image.channels, kind, image.provenance)
        version = _version_around(path) or self.version
        group = _create(path, description, image.dtype, version, image.name)
        full = group["0"]
        ranges = [(math.inf, -math.inf)] * len(image.channels)
        for region in _regions(full.shape, full.chunks, REGION):
            block = image.read(region)
            full[region] = block
            if ranges:
                _widen(ranges, block, region, image.grid.axes.index("C"))
        group.attrs.put(attributes_of(description, image.dtype, version, image.name, ranges))
        _finish_pyramid(path)

    def nested(self, path: Path) -> bool:
        """Say whether a path is ``IMAGE.zarr/labels/NAME``: labels that belong to an image that is there."""
        return path.parent.name == "labels" and self.sniff(path.parent.parent, b"") and path.parent.parent.is_dir()

    def settle(self, path: Path) -> None:
        """List labels that were written into an image among the labels of that image."""
        import zarr

        if not self.nested(path):
            return
        new = _version_around(path) != "0.4"
        group = zarr.open_group(str(path.parent), mode="a", zarr_format=3 if new else 2, use_consolidated=False)
        said: Any = group.attrs.get("ome", {}) if new else group.attrs
        names = [*said.get("labels", []), path.name]
        listed = {"labels": sorted(set(names))}
        group.attrs.update({"ome": {"version": "0.5", **listed}} if new else listed)


FORMATS = (OmeZarr(),)


def _version_around(path: Path) -> str | None:
    """Return the version of the image into which labels are written; ``None`` for what stands alone."""
    for folder in path.parents:
        if folder.name == "labels" and (folder.parent / "zarr.json").is_file():
            return "0.5"
        if folder.name == "labels" and (folder.parent / ".zgroup").is_file():
            return "0.4"
    return None


def _finish_pyramid(path: Path) -> None:
    """Fill every level below the first from the one above it: labels by every second pixel, images by the mean."""
    import zarr

    group = zarr.open_group(str(path), mode="r+", use_consolidated=False)
    (pyramid,) = _ome(group)["multiscales"]
    levels: list[Any] = [group[dataset["path"]] for dataset in pyramid["datasets"]]
    for upper, lower in itertools.pairwise(levels):
        factors = [2 if m < n else 1 for m, n in zip(lower.shape, upper.shape, strict=True)]
        for region in _regions(lower.shape, lower.chunks, REGION // 4):
            block = upper[tuple(slice(s.start * f, s.stop * f) for s, f in zip(region, factors, strict=True))]
            if pyramid["type"] == "mean":
                lower[region] = _mean(block, factors)
            else:
                lower[region] = block[tuple(slice(None, None, f) for f in factors)]


class _Pixels:
    """A Zarr array that gives NumPy arrays in native byte order."""

    def __init__(self, array: Any) -> None:
        self._array = array
        self.shape = tuple(int(n) for n in array.shape)
        self.dtype = np.dtype(array.dtype).newbyteorder("=")

    def __getitem__(self, key: Region) -> NDArray[Any]:
        return np.asarray(self._array[key]).astype(self.dtype, copy=False)


def _opened(path: Path) -> Any:
    import zarr

    return zarr.open(str(path), mode="r", use_consolidated=False)


def _is_group(node: Any) -> bool:
    return hasattr(node, "group_keys")


def _ome(node: Any) -> Mapping[str, Any]:
    """Return the OME metadata of a node: in 0.5 they have an attribute of their own."""
    attributes = node.attrs.asdict()
    found = attributes.get("ome", attributes)
    return found if isinstance(found, dict) else {}


def _description(node: Any) -> Description | None:
    return Description.from_json(json.dumps({"segmentry": node.attrs.get("segmentry")}))


def _is_labels(node: Any) -> bool:
    said = _description(node)
    return "image-label" in _ome(node) or (said is not None and said.kind != "image")


def _child(node: Any, name: str) -> Any:
    """Return a member of a group, ``None`` where there is none."""
    return node[name] if _is_group(node) and name in node else None


def _only_image(node: Any, name: str) -> Any:
    """Return the node itself where it is an image, else the one image in it."""
    if not _is_group(node) or "multiscales" in _ome(node):
        return node
    if "plate" in _ome(node):
        raise InputError(f"{name} is a plate of many images: open one of them, for example {name}/A/1/0")
    groups = sorted(str(key) for key in itertools.islice(node.group_keys(), 1000))
    inside = [key for key in groups if "multiscales" in _ome(node[key])]
    if len(inside) == 1:
        return node[inside[0]]
    inside = inside or sorted(str(key) for key in itertools.islice(node.array_keys(), 1000))
    if not inside:
        raise InputError(f"{name} is a Zarr group without an image")
    shown = ", ".join(inside[:8]) + (" …" if len(inside) > 8 else "")
    raise InputError(f"{name} holds {len(inside)} arrays or images ({shown}): open one of them, as {name}/{inside[0]}")


def _image(node: Any, name: str) -> Image:
    if not _is_group(node):
        return Image(_checked(node, name), _plain_grid(node, name), (), name)
    meta = _ome(node)
    pyramid = meta["multiscales"][0]
    where = pyramid["datasets"][0]["path"]
    array = _child(node, where)
    if array is None or _is_group(array):
        raise InputError(f"{name} says that its pixels are in {where!r}, but has no such array")
    pixels: Array = _checked(array, name)
    grid, order = read_grid(pyramid, pixels.shape, name)
    if order != sorted(order):
        pixels = Transposed(pixels, order)
    said = _description(node)
    if said is not None and (said.grid.axes, said.grid.shape) == (grid.axes, grid.shape):
        return Image(pixels, said.grid, said.channels, name, said.provenance, said.kind)
    kind = "labels" if "image-label" in meta else "image"
    return Image(pixels, grid, channel_names(meta, grid), name, kind=kind)


def _checked(array: Any, name: str) -> _Pixels:
    chunk = math.prod(array.chunks) * np.dtype(array.dtype).itemsize
    if chunk > MAX_CHUNK:
        raise InputError(f"{name} has chunks of {chunk / 1e9:.3g} GB, each of which must be unpacked whole: rechunk it")
    return _Pixels(array)


def _plain_grid(array: Any, name: str) -> Grid:
    axes = "".join(str(key).upper() for key in getattr(array.metadata, "dimension_names", None) or ())
    if len(axes) == array.ndim and set(axes) <= set(AXES):
        return Grid(axes, array.shape)
    if array.ndim not in (2, 3):
        raise InputError(f"{name} is a Zarr array of shape {array.shape} whose axes nothing names: 2 or 3 are clear")
    return Grid("ZYX"[-array.ndim :], array.shape)


def _check_memory(path: Path, grid: Grid) -> None:
    import psutil

    needed = 4 * grid.size
    if needed > psutil.virtual_memory().available:
        raise InputError(f"{path.name} has labels of {needed / 1e9:.3g} GB, more than the free memory of this computer")


def _create(path: Path, description: Description, dtype: np.dtype[Any], version: str, name: str) -> Any:
    """Make the group with its metadata and with every level of the pyramid, as yet without pixels."""
    import zarr

    if path.exists():
        raise OutputError(f"{path} exists already: choose another name")
    if dtype.kind == "f" and dtype.itemsize > 8:
        raise OutputError(f"OME-Zarr can't hold pixels of type {dtype}: convert them to float64")
    grid, new = description.grid, version == "0.5"
    attributes = attributes_of(description, dtype, version, name)
    group = zarr.create_group(store=str(path), zarr_format=3 if new else 2, attributes=attributes)
    compressor: Any = {"name": "zstd", "configuration": {"level": 3}} if new else {"id": "zstd", "level": 3}
    core = VOLUME if "Z" in grid.axes else PLANE
    chunks = (1,) * (len(grid.shape) - len(core)) + core
    for level, shape in enumerate(level_shapes(grid.shape)):
        group.create_array(
            str(level),
            shape=shape,
            chunks=tuple(min(c, n) for c, n in zip(chunks, shape, strict=True)),
            dtype=dtype.newbyteorder("="),
            compressors=compressor,
            fill_value=0,
            chunk_key_encoding={"name": "default" if new else "v2", "separator": "/"},
            dimension_names=list(grid.axes.lower()) if new else None,
        )
    return group


def _widen(ranges: list[tuple[float, float]], block: NDArray[Any], region: Region, place: int) -> None:
    """Extend the (lowest, highest) finite value of each channel by those of a region."""
    for channel, values in enumerate(np.moveaxis(block, place, 0), region[place].start):
        finite = values[np.isfinite(values)]
        if finite.size:
            low, high = ranges[channel]
            ranges[channel] = (min(low, float(finite.min())), max(high, float(finite.max())))


def _regions(shape: Sequence[int], chunks: Sequence[int], budget: int) -> Iterator[Region]:
    """Cut an array along its chunks into regions of at most `budget` pixels (one chunk at least)."""
    steps = list(chunks)
    for axis in reversed(range(len(shape))):
        fit = budget // math.prod(steps)
        steps[axis] = min(chunks[axis] * max(1, fit), shape[axis])
    for corner in itertools.product(*(range(0, n, step) for n, step in zip(shape, steps, strict=True))):
        yield tuple(slice(a, min(a + step, n)) for a, step, n in zip(corner, steps, shape, strict=True))


def _mean(block: NDArray[Any], factors: Sequence[int]) -> NDArray[Any]:
    total = block.astype(np.float64)
    with np.errstate(all="ignore"):
        for axis, factor in enumerate(factors):
            if factor == 2:
                starts = np.arange(0, total.shape[axis], 2)
                counts = np.minimum(2, total.shape[axis] - starts)
                sums = np.add.reduceat(total, starts, axis=axis)
                total = sums / counts.reshape([-1 if i == axis else 1 for i in range(total.ndim)])
        return (total if block.dtype.kind == "f" else np.rint(total)).astype(block.dtype)
