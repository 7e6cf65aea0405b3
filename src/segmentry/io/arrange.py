"""From the axes and bytes of a file to an image, and back in pieces: what the formats of plain arrays share."""

from __future__ import annotations

import math
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segmentry.errors import InputError
from segmentry.image import AXES, Array, Grid, Image, Region
from segmentry.io.format import Description

__all__ = ["BAND", "LAZY_FROM", "Arranged", "Native", "Source", "bands", "guess_axes", "nbytes"]

#: Images of more bytes than this are opened without reading their pixels.
LAZY_FROM = 64 * 2**20
#: Rows that are written at a time; a multiple of it is never needed in memory.
BAND = 512


class Arranged:
    """The pixels of an open file with their axes in another order, read where they are sliced.

    Parameters
    ----------
    data
        Anything that slices; byte order as in the file.
    order
        Per axis of the result, the axis of `data` that it is, or ``None`` for a new axis of length one. Axes of `data`
        that are not named have length one and are dropped.
    dtype
        Type of the result; that of `data` in the machine's byte order when not given.
    close
        Called once nothing refers to this array any more.
    """

    def __init__(
        self,
        data: Array,
        order: Sequence[int | None],
        dtype: np.dtype[Any] | None = None,
        close: Callable[[], object] | None = None,
    ) -> None:
        self._data, self._order = data, tuple(order)
        self.shape = tuple(1 if i is None else int(data.shape[i]) for i in order)
        self.dtype = dtype or np.dtype(data.dtype).newbyteorder("=")
        if close is not None:
            weakref.finalize(self, close)

    def __getitem__(self, key: Region) -> NDArray[Any]:
        inner = [slice(None)] * len(self._data.shape)
        for part, place in zip(key, self._order, strict=True):
            if place is not None:
                inner[place] = part
        block = np.asarray(self._data[tuple(inner)])
        named = [i for i in self._order if i is not None]
        dropped = [i for i in range(block.ndim) if i not in named]
        block = block.transpose(dropped + named)[(0,) * len(dropped)]
        block = block[tuple(np.newaxis if i is None else slice(None) for i in self._order)]
        block = block[tuple(part if i is None else slice(None) for part, i in zip(key, self._order, strict=True))]
        # a read-only block is a view of the mapped file, which the result must outlive
        return np.array(block, self.dtype, order="C", copy=None if block.flags.writeable else True)


@dataclass(frozen=True)
class Native:
    """What a file says of its pixels in its own words, as far as it does.

    Parameters
    ----------
    spacing, unit
        Per spatial axis the distance of pixels in `unit`.
    interval
        Seconds between time points.
    channels
        Names of the channels.
    description
        What segmentry said when it wrote the file; it wins over the rest where its shape agrees with that of the data.
    dtype
        Type that the pixels had before they were stored, where it differs.
    """

    spacing: Mapping[str, float] = field(default_factory=dict)
    unit: str | None = None
    interval: float | None = None
    channels: tuple[str, ...] = ()
    description: Description | None = None
    dtype: np.dtype[Any] | None = None


@dataclass(frozen=True, eq=False)
class Source:
    """Pixels as a file has them.

    Parameters
    ----------
    data, axes
        Anything that slices, and one letter per axis of it; letters that are none of ``"TCZYX"`` have length one.
    name
        What the file is called in messages.
    native
        What the file says of them.
    close
        Closes the file.
    """

    data: Array
    axes: str
    name: str
    native: Native = field(default_factory=Native)
    close: Callable[[], object] | None = None

    def image(self) -> Image:
        """Return the image in canonical order of axes: in memory, the file closed, when small; else opened lazily."""
        left_open = False
        try:
            grid, channels, provenance, kind = self._said()
            order = [self.axes.index(a) if a in self.axes else None for a in grid.axes]
            left_open = nbytes(grid.shape, self.data.dtype) > LAZY_FROM and type(self.data) is not np.ndarray
            pixels: Array = Arranged(self.data, order, self.native.dtype, self.close if left_open else None)
            if not left_open:
                pixels = pixels[(slice(None),) * len(order)]
            return Image(pixels, grid, channels, self.name, provenance, kind)
        finally:
            if self.close is not None and not left_open:
                self.close()

    def _said(self) -> tuple[Grid, tuple[str, ...], Mapping[str, Any], str]:
        sizes = self._sizes()
        native, told = self.native, self.native.description
        if told is not None and _agrees(told.grid, sizes):
            return told.grid, told.channels, told.provenance, told.kind
        axes = "".join(a for a in AXES if a in "YX" or sizes.get(a, 1) > 1)
        spatial = [native.spacing.get(a, 0.0) for a in axes if a in "ZYX"]
        known = native.unit is not None and all(math.isfinite(s) and s > 0 for s in spatial)
        grid = Grid(
            axes,
            tuple(sizes[a] for a in axes),
            tuple(spatial) if known else None,
            native.unit if known else None,
            native.interval if "T" in axes and native.interval and 0 < native.interval < math.inf else None,
        )
        return grid, native.channels if "C" in axes and len(native.channels) == sizes["C"] else (), {}, "image"

    def _sizes(self) -> dict[str, int]:
        """Length by axis, refusing what is no image."""
        shape = tuple(int(n) for n in self.data.shape)
        letters = [a for a in self.axes if a in AXES]
        strange = [a for a, n in zip(self.axes, shape, strict=True) if a not in AXES and n != 1]
        if strange or len(set(letters)) != len(letters) or not {"Y", "X"} <= set(letters):
            raise InputError(f"{self.name}: axes {self.axes!r} of shape {shape} are not among {AXES!r} with Y and X")
        if 0 in shape:
            raise InputError(f"{self.name}: its shape {shape} has an axis of length zero: there is no pixel to work on")
        return {a: n for a, n in zip(self.axes, shape, strict=True) if a in AXES}


def _agrees(grid: Grid, sizes: Mapping[str, int]) -> bool:
    """Whether a grid has the same axes and lengths, apart from axes of length one."""
    return all(grid.length(a) == sizes.get(a, 1) for a in AXES)


def nbytes(shape: Sequence[int], dtype: np.dtype[Any]) -> int:
    """Return how many bytes an array takes.

    >>> nbytes((2, 3), np.dtype("uint16"))
    12
    """
    return math.prod(shape) * np.dtype(dtype).itemsize


def guess_axes(name: str, shape: tuple[int, ...], dtype: np.dtype[Any]) -> str:
    """Return the axes of an array that a file says nothing about.

    Two axes are YX and three ZYX, except uint8 arrays that end in 3 or 4 and are wide otherwise: colour images, YXC.

    Raises
    ------
    InputError
        When a short last axis may be anything, or with more than three axes.

    Examples
    --------
    >>> guess_axes("a.npy", (9, 64, 64), np.dtype("uint16")), guess_axes("a.npy", (64, 64, 3), np.dtype("uint8"))
    ('ZYX', 'YXC')
    """
    if len(shape) == 2:
        return "YX"
    if len(shape) == 3 and shape[-1] > 4:
        return "ZYX"
    if len(shape) == 3 and shape[-1] in (3, 4) and dtype == np.uint8 and min(shape[:2]) > 16:
        return "YXC"
    raise InputError(
        f"{name}: which axes the shape {shape} has can't be known; open it in Python and say them, "
        "for example Image.from_array(array, axes='CYX')"
    )


def bands(shape: Sequence[int], rows: int = BAND) -> Iterator[Region]:
    """Cut an array into bands of rows, in the order of its pixels, so that it can be written piece by piece.

    >>> len(list(bands((2, 3, 1000, 10))))
    12
    """
    *lead, height, _ = shape
    for place in np.ndindex(*lead):
        for top in range(0, height, rows):
            yield (*(slice(i, i + 1) for i in place), slice(top, min(top + rows, height)), slice(None))
