"""Images: numbers on a grid whose geometry is known.

A :class:`Grid` says which axes an array has, how long they are and how large a pixel is. An :class:`Image` is an array
(or anything that slices like one, read only where asked) on a grid, with named channels.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from segmentry.errors import InputError, UnknownNameError, nearest

__all__ = ["AXES", "SPATIAL", "Affine", "Array", "Grid", "Image", "Region", "normalise_unit"]

AXES = "TCZYX"
SPATIAL = "ZYX"
RGB = ("red", "green", "blue")

Region: TypeAlias = tuple[slice, ...]
Affine: TypeAlias = tuple[tuple[float, ...], ...]

_UNITS = {
    "nm": "nm nanometer nanometers nanometre nanometres",
    "um": "um µm μm micron microns micrometer micrometers micrometre micrometres",
    "mm": "mm millimeter millimeters millimetre millimetres",
    "cm": "cm centimeter centimeters centimetre centimetres",
    "m": "m meter meters metre metres",
}
_UNIT_OF = {word: unit for unit, words in _UNITS.items() for word in words.split()}
_METRES = {"nm": 1e-9, "um": 1e-6, "mm": 1e-3, "cm": 1e-2, "m": 1.0}


def normalise_unit(unit: str | None) -> str | None:
    """Return ``nm``, ``um``, ``mm``, ``cm`` or ``m`` for any common spelling, ``None`` for what is no length.

    >>> normalise_unit("µm"), normalise_unit("Micrometer"), normalise_unit("pixel")
    ('um', 'um', None)
    """
    return _UNIT_OF.get(unit.strip().lower()) if unit else None


def unit_ratio(unit: str, target: str) -> float:
    """Return how many `target` units one `unit` is.

    >>> unit_ratio("mm", "um")
    1000.0
    """
    return float(f"{_METRES[unit] / _METRES[target]:.12g}")


class Array(Protocol):
    """What the data of an image can be: it has a shape and a type, and slicing it reads pixels."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    @property
    def dtype(self) -> np.dtype[Any]: ...

    def __getitem__(self, key: Any, /) -> Any: ...


@dataclass(frozen=True, slots=True)
class Grid:
    """The geometry of an array.

    Parameters
    ----------
    axes
        Names of the axes in array order: an ordered subset of ``"TCZYX"`` that ends in ``"YX"``.
    shape
        Length of each axis, in pixels; 1 or more.
    spacing
        Distance between pixel centres along each *spatial* axis, in the order of `axes`; ``None`` where it is unknown.
    unit
        Unit of `spacing`: ``nm``, ``um``, ``mm``, ``cm`` or ``m``. Known exactly when `spacing` is.
    interval
        Seconds between two time points, ``None`` where unknown.
    affine
        4x4 matrix from voxel index (x, y, z) to world coordinates (right, anterior, superior) in `unit`, as NIfTI has
        it; ``None`` where the file says nothing about the world.
    cut
        For a window of a larger image: per spatial axis, whether the window's (first, last) face lies inside that
        image rather than at its edge. ``None`` for a whole image.

    Raises
    ------
    InputError
        When axes, shape and spacing don't fit together.

    Examples
    --------
    >>> grid = Grid("ZYX", (10, 64, 64), spacing=(2.0, 0.5, 0.5), unit="um")
    >>> grid.spatial, grid.anisotropy
    ('ZYX', (4.0, 1.0, 1.0))
    """

    axes: str
    shape: tuple[int, ...]
    spacing: tuple[float, ...] | None = None
    unit: str | None = None
    interval: float | None = None
    affine: Affine | None = field(default=None, repr=False)
    cut: tuple[tuple[bool, bool], ...] | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if [a for a in AXES if a in self.axes] != list(self.axes) or not self.axes.endswith("YX"):
            raise InputError(f"axes {self.axes!r} must be an ordered subset of {AXES!r} that ends in 'YX'")
        if len(self.shape) != len(self.axes):
            raise InputError(f"axes {self.axes!r} name {len(self.axes)} axes, the array has {len(self.shape)}")
        if any(n < 1 for n in self.shape):
            raise InputError(f"shape {self.shape} has an axis of length zero: there is no pixel to work on")
        if self.spacing is not None:
            object.__setattr__(self, "spacing", tuple(float(s) for s in self.spacing))
        if (self.spacing is None) != (self.unit is None):
            raise InputError(f"spacing ({self.spacing}) and unit ({self.unit}) must be given together")
        if self.spacing is not None:
            if len(self.spacing) != len(self.spatial):
                raise InputError(f"spacing {self.spacing} must have one number per axis of {self.spatial!r}")
            if not all(math.isfinite(s) and s > 0 for s in self.spacing):
                raise InputError(f"spacing {self.spacing} must be positive and finite")
            if self.unit not in _METRES:
                raise InputError(f"unit {self.unit!r} is not one of {', '.join(_METRES)}")
        if self.interval is not None and not (isinstance(self.interval, int | float) and 0 < self.interval < math.inf):
            raise InputError(f"interval {self.interval!r} must be a positive number of seconds")
        if self.affine is not None and not _is_affine(self.affine):
            raise InputError(f"affine {self.affine!r} must be a 4x4 matrix of finite numbers")

    @property
    def spatial(self) -> str:
        """The spatial axes: ``"YX"`` or ``"ZYX"``."""
        return SPATIAL if SPATIAL in self.axes else SPATIAL[1:]

    @property
    def spatial_shape(self) -> tuple[int, ...]:
        """Length of each spatial axis."""
        return self.shape[-len(self.spatial) :]

    @property
    def anisotropy(self) -> tuple[float, ...]:
        """Spacing per spatial axis relative to the finest axis; all 1 where spacing is unknown."""
        if self.spacing is None:
            return (1.0,) * len(self.spatial)
        finest = min(self.spacing)
        return tuple(s / finest for s in self.spacing)

    @property
    def size(self) -> int:
        """Number of pixels, over all axes."""
        return math.prod(self.shape)

    def length(self, axis: str) -> int:
        """Return the length of one axis; 1 where the grid does not have it."""
        return self.shape[self.axes.index(axis)] if axis in self.axes else 1

    def without(self, *axes: str) -> Grid:
        """Return the grid without some of the axes (``"T"``, ``"C"`` or ``"Z"``)."""
        kept = [i for i, a in enumerate(self.axes) if a not in axes]
        names = "".join(self.axes[i] for i in kept)
        spatial = [i for i, a in enumerate(self.spatial) if a not in axes]
        flat = len(spatial) < len(self.spatial)
        return replace(
            self,
            axes=names,
            shape=tuple(self.shape[i] for i in kept),
            spacing=None if self.spacing is None else tuple(self.spacing[i] for i in spatial),
            interval=self.interval if "T" in names else None,
            affine=None if flat else self.affine,
            cut=None if self.cut is None else tuple(self.cut[i] for i in spatial),
        )

    def with_axis(self, axis: str, length: int) -> Grid:
        """Return the grid with an axis ``"T"`` or ``"C"`` of the given length added or replaced."""
        names = "".join(a for a in AXES if a in self.axes or a == axis)
        return replace(self, axes=names, shape=tuple(length if a == axis else self.length(a) for a in names))

    def at_spatial(self, region: Region) -> Grid:
        """Return the grid of a region given as one slice (start, stop) per spatial axis: its shape and its place."""
        bounds = [s.indices(n)[:2] for s, n in zip(region, self.spatial_shape, strict=True)]
        sizes = dict(zip(self.spatial, (b - a for a, b in bounds), strict=True))
        offset = dict(zip(self.spatial, (a for a, _ in bounds), strict=True))
        return replace(
            self,
            shape=tuple(sizes.get(a, n) for a, n in zip(self.axes, self.shape, strict=True)),
            affine=self.affine and _moved(self.affine, tuple(offset.get(a, 0) for a in "XYZ")),
        )


def _is_affine(affine: Any) -> bool:
    try:
        matrix = np.array(affine, np.float64)
    except (TypeError, ValueError):
        return False
    return matrix.shape == (4, 4) and bool(np.isfinite(matrix).all())


def _moved(affine: Affine, offset: Sequence[float]) -> Affine:
    """Return an affine whose voxel 0 lies `offset` (x, y, z) voxels further on."""
    matrix = np.array(affine, dtype=np.float64)
    matrix[:3, 3] += matrix[:3, :3] @ np.asarray(offset, dtype=np.float64)
    return tuple(tuple(float(v) for v in row) for row in matrix)


@dataclass(frozen=True, eq=False)
class Image:
    """Intensities on a grid.

    Parameters
    ----------
    data
        Array of ``grid.shape``; bool, integer or real. NumPy, or anything lazy that slices (zarr, HDF5, memory map).
    grid
        Axes, shape and pixel size.
    channels
        One name per channel, when the grid has an axis ``"C"``; made up (``"channel 0"`` …) where not given.
    name
        What the image is called in messages.
    provenance
        How the file says that it was made, for outputs of segmentry; empty otherwise.
    kind
        ``"labels"`` or ``"classes"`` where a file says that its pixels are that.

    Examples
    --------
    >>> image = Image.from_array(np.zeros((3, 4), np.uint8), spacing=(0.5, 0.5), unit="um")
    >>> image.grid.axes, image.grid.shape
    ('YX', (3, 4))
    """

    data: Array
    grid: Grid
    channels: tuple[str, ...] = ()
    name: str = ""
    provenance: Mapping[str, Any] = field(default_factory=dict, repr=False)
    kind: str = "image"

    def __post_init__(self) -> None:
        if tuple(self.data.shape) != self.grid.shape:
            raise InputError(f"the array has shape {tuple(self.data.shape)}, its grid {self.grid.shape}")
        if np.dtype(self.data.dtype).kind not in "biuf":
            raise InputError(f"pixels of type {self.data.dtype} are not supported: bool, integer or real is needed")
        count = self.grid.length("C") if "C" in self.grid.axes else 0
        if not self.channels:
            object.__setattr__(self, "channels", tuple(f"channel {i}" for i in range(count)))
        if len(self.channels) != count:
            raise InputError(f"{len(self.channels)} channel names {self.channels} for {count} channels")

    @classmethod
    def from_array(
        cls,
        array: Any,
        axes: str | None = None,
        *,
        spacing: Sequence[float] | None = None,
        unit: str | None = None,
        channels: Sequence[str] = (),
        name: str = "",
    ) -> Image:
        """Make an image of an array whose axes may come in any order.

        Parameters
        ----------
        array
            Anything that has a shape and a type, or nested lists of numbers.
        axes
            The axes as they stand in `array`, for example ``"YXC"``; ``"YX"`` or ``"ZYX"`` when not given.
        spacing
            Per spatial axis in the order Z, Y, X; `unit` is ``um`` when not given.

        Raises
        ------
        InputError
            When the axes can't be known: a 3-dimensional array that may be a colour image, or more than three axes.
        """
        data = array if hasattr(array, "dtype") and hasattr(array, "shape") else np.asarray(array)
        given = (axes or _guess_axes(tuple(data.shape))).upper()
        if len(set(given)) != len(given) or not set(given) <= set(AXES) or not {"Y", "X"} <= set(given):
            raise InputError(f"axes {given!r} must be distinct letters of {AXES!r}, with Y and X among them")
        if len(given) != len(data.shape):
            raise InputError(f"axes {given!r} name {len(given)} axes, the array has shape {tuple(data.shape)}")
        order = tuple(given.index(a) for a in AXES if a in given)
        if order != tuple(range(len(order))):
            data = data.transpose(order) if isinstance(data, np.ndarray) else Transposed(data, order)
        scale = None if spacing is None else tuple(float(s) for s in spacing)
        size = tuple(int(n) for n in data.shape)
        grid = Grid("".join(given[i] for i in order), size, scale, unit or ("um" if scale else None))
        names = tuple(channels) or (RGB if given.endswith("C") and grid.length("C") == 3 else ())
        return cls(data, grid, names, name)

    def __repr__(self) -> str:
        size = "" if self.grid.spacing is None else f", {self.grid.spacing} {self.grid.unit}"
        names = f", channels {', '.join(self.channels)}" if self.channels else ""
        return f"Image({self.grid.axes} {self.grid.shape} {self.dtype}{size}{names})"

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the pixels."""
        return np.dtype(self.data.dtype)

    @property
    def is_rgb(self) -> bool:
        """Whether the channels are red, green and blue (and possibly alpha)."""
        return self.channels[:3] == RGB and self.channels[3:] in ((), ("alpha",))

    def read(self, region: Region | None = None) -> NDArray[Any]:
        """Return the pixels of a region (one slice per axis), or all of them, as a NumPy array."""
        return np.asarray(self.data[region if region is not None else (slice(None),) * len(self.grid.shape)])

    def load(self) -> Image:
        """Return the same image with all its pixels in memory."""
        return self if isinstance(self.data, np.ndarray) else replace(self, data=self.read())

    def with_data(self, data: Array, grid: Grid | None = None) -> Image:
        """Return an image of other pixels with the same channels and name."""
        return replace(self, data=data, grid=grid or self.grid)

    def channel(self, which: str | int) -> Image:
        """Return one channel, by name or by number, as an image without the axis ``"C"``."""
        if "C" not in self.grid.axes:
            if which in (0, "0"):
                return self
            raise UnknownNameError(f"channel {which!r} asked for, but {self.name or 'the image'} has one channel only")
        names = list(self.channels)
        if isinstance(which, str) and which in names:
            index = names.index(which)
        elif str(which).isdigit() and int(which) < len(names):
            index = int(which)
        else:
            hint = nearest(str(which), names)
            raise UnknownNameError(f"no channel {which!r} in {self.name or 'the image'}{hint}")
        return Image(self._taken("C", index), self.grid.without("C"), (), self.name, self.provenance)

    def at(self, axis: str, index: int) -> Image:
        """Return one time point (``axis="T"``) or one plane (``axis="Z"``) as an image without that axis."""
        return Image(self._taken(axis, index), self.grid.without(axis), self.channels, self.name, self.provenance)

    def window(self, region: Region) -> Image:
        """Return a spatial region (one slice per spatial axis), read into memory, all other axes whole."""
        by_axis = dict(zip(self.grid.spatial, region, strict=True))
        data = self.read(tuple(by_axis.get(a, slice(None)) for a in self.grid.axes))
        return self.with_data(data, self.grid.at_spatial(region))

    def _taken(self, axis: str, index: int) -> Array:
        place = self.grid.axes.index(axis)
        if isinstance(self.data, np.ndarray):
            view: NDArray[Any] = np.moveaxis(self.data, place, 0)[index]
            return view
        return Taken(self.data, place, index)


def _guess_axes(shape: tuple[int, ...]) -> str:
    if len(shape) == 2:
        return "YX"
    if len(shape) == 3 and shape[-1] not in (3, 4):
        return "ZYX"
    if len(shape) == 3:
        raise InputError(f"shape {shape} may be a colour image or a volume: say axes='YXC' or axes='ZYX'")
    raise InputError(f"the axes of an array of shape {shape} can't be known: say them, for example axes='CYX'")


class Transposed:
    """A lazy array with its axes in another order."""

    def __init__(self, data: Array, order: Sequence[int]) -> None:
        self._data, self._order = data, tuple(order)
        self.shape = tuple(int(data.shape[i]) for i in order)
        self.dtype = np.dtype(data.dtype)

    def __getitem__(self, key: Region) -> NDArray[Any]:
        inner: list[slice] = [slice(None)] * len(self._order)
        for place, part in zip(self._order, key, strict=True):
            inner[place] = part
        return np.asarray(self._data[tuple(inner)]).transpose(self._order)


class Taken:
    """A lazy array with one axis fixed at an index."""

    def __init__(self, data: Array, place: int, index: int) -> None:
        self._data, self._place, self._index = data, place, index
        self.shape = tuple(int(n) for i, n in enumerate(data.shape) if i != place)
        self.dtype = np.dtype(data.dtype)

    def __getitem__(self, key: Region) -> NDArray[Any]:
        inner = list(key)
        inner.insert(self._place, slice(self._index, self._index + 1))
        return np.asarray(self._data[tuple(inner)]).squeeze(self._place)
