"""Features of pixels: what a pixel classifier sees of the neighbourhood of each pixel, at several scales.

The features are those of ilastik (Berg et al. 2019, doi:10.1038/s41592-019-0582-9), with its values. At scale sigma the
image is first smoothed by a bell curve of sigma, or of the root of sigma² - 1 where sigma is above 1; then come filters
of sigma, 1 at most:

- ``gaussian_smoothing``, ``laplacian_of_gaussian``, ``gradient_magnitude``
- ``difference_of_gaussians``: smoothed by sigma, less smoothed by 0.66 sigma
- ``structure_tensor_eigenvalues``: of the products of slopes at half of sigma, smoothed by sigma
- ``hessian_of_gaussian_eigenvalues``: of the second derivatives

The first bell curve ends at 3.5 sigma, the filters at 2 sigma; edges are mirrored about the outermost pixel. A pixel
has the same bits in any window that holds its surroundings.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from segmentry.errors import InputError, ParameterError, nearest
from segmentry.image import Grid, Image, Region
from segmentry.tiling import cores, grow, inside, window_grid

__all__ = ["DEFAULT_FEATURES", "FEATURES", "SIGMAS", "Feature", "FeatureBank"]

#: The features in ilastik's order, and how many values they have in a plane and in a volume.
FEATURES = {
    "gaussian_smoothing": (1, 1),
    "laplacian_of_gaussian": (1, 1),
    "gradient_magnitude": (1, 1),
    "difference_of_gaussians": (1, 1),
    "structure_tensor_eigenvalues": (2, 3),
    "hessian_of_gaussian_eigenvalues": (2, 3),
}
#: The scales that ilastik offers.
SIGMAS = (0.3, 0.7, 1.0, 1.6, 3.5, 5.0, 10.0)
MAX_SIGMA = 500.0

#: Values that :meth:`FeatureBank.strips` holds at a time, about.
STRIP_VALUES = 2**23
#: Rows of a plane, planes of a volume, and values of a smoothed volume that are worked on at once.
ROWS, PLANES, SLAB = 64, 16, 2**22
#: Pixels on each side of the boxes in which single pixels are computed, in a plane and in a volume.
CELLS = ((64, 256), (16, 32, 256))


@dataclass(frozen=True)
class Feature:
    """One feature at one scale.

    Parameters
    ----------
    name
        One of `FEATURES`.
    sigma
        Scale in pixels.

    Raises
    ------
    ParameterError
        When there is no such feature, or the scale is not between 0 and 500.
    """

    name: str
    sigma: float

    def __post_init__(self) -> None:
        if self.name not in FEATURES:
            raise ParameterError(f"no feature {self.name!r}{nearest(self.name, FEATURES)}")
        if not 0 < self.sigma <= MAX_SIGMA:
            raise ParameterError(f"{self.name}: sigma {self.sigma!r} must be above 0, {MAX_SIGMA:g} at most")


#: All that ilastik offers: smoothing at every scale, the others from 0.7 on.
DEFAULT_FEATURES = tuple(
    Feature(name, sigma) for name in FEATURES for sigma in SIGMAS if sigma >= 0.7 or name == "gaussian_smoothing"
)


@dataclass(frozen=True)
class _Scale:
    """All features of one scale: the weights along Z, Y and X, and the planes of the first channel."""

    curves: tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]
    weights: NDArray[np.float32]
    planes: NDArray[np.int64]
    step: NDArray[np.int64]

    def where(self, channel: int) -> NDArray[np.int64]:
        """Return the plane of each value of a channel, -1 for what is not wanted."""
        return np.where(self.planes < 0, -1, self.planes + channel * self.step)


@dataclass(frozen=True)
class FeatureBank:
    """Features of pixels at several scales.

    Planes come in the order of the features; those of one feature channel by channel; eigenvalues the largest first.

    Parameters
    ----------
    features
        What is computed; every feature at one scale once.
    planes
        Whether each plane of a volume is looked at alone.
    spacing_aware
        Whether sigma counts pixels of the finest axis, so that it is the same length along all axes, and slopes are per
        such a pixel; otherwise pixels along each axis, as ilastik has it.

    Examples
    --------
    >>> bank = FeatureBank((Feature("gaussian_smoothing", 1.6), Feature("structure_tensor_eigenvalues", 1.0)))
    >>> bank.names(Grid("YX", (20, 30)))
    ['gaussian_smoothing 1.6', 'structure_tensor_eigenvalues 1.0 largest', 'structure_tensor_eigenvalues 1.0 smallest']
    >>> bank.compute(np.zeros((20, 30), np.float32), Grid("YX", (20, 30))).shape
    (3, 20, 30)
    """

    features: tuple[Feature, ...] = DEFAULT_FEATURES
    planes: bool = False
    spacing_aware: bool = False
    _known: dict[Any, tuple[_Scale, ...]] = field(default_factory=dict, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not self.features or len(set(self.features)) < len(self.features):
            raise ParameterError("a feature bank needs features, each at one scale once")

    def n_planes(self, grid: Grid) -> int:
        """Return how many values a pixel has."""
        return sum(self._sizes(grid)) * grid.length("C")

    def names(self, grid: Grid, channels: Sequence[str] = ()) -> list[str]:
        """Return what each plane is; with the name of its channel where the grid has channels."""
        named = channels or [f"channel {i}" for i in range(grid.length("C"))]
        which = ("largest", "smallest") if self._flat(grid) else ("largest", "middle", "smallest")
        found = []
        for feature, size in zip(self.features, self._sizes(grid), strict=True):
            for channel in named:
                title = f"{channel}: " * ("C" in grid.axes) + f"{feature.name} {float(feature.sigma)}"
                found += [title] if size == 1 else [f"{title} {one}" for one in which]
        return found

    def halo(self, grid: Grid) -> tuple[int, ...]:
        """Return how many pixels around a pixel, per spatial axis, its features depend on."""
        from segmentry.kernels.presmooth import MARGIN

        reach = [max(len(scale.curves[i]) for scale in self._scales(grid)) - 1 + MARGIN for i in range(3)]
        return tuple([0, *reach[1:]] if self._flat(grid) else reach)[-len(grid.spatial) :]

    def compute(
        self, pixels: NDArray[Any], grid: Grid, region: Region | None = None, out: NDArray[np.float32] | None = None
    ) -> NDArray[np.float32]:
        """Return the features of all pixels, or of those in a region, as (planes, *spatial) float32.

        Parameters
        ----------
        pixels
            One time point: the spatial axes, after the axis ``"C"`` where the grid has it; finite.
        grid
            That of the pixels; for a window, :func:`segmentry.tiling.window_grid`.
        region
            One slice (start, stop) per spatial axis of `pixels`, at least :meth:`halo` away from cut faces.
        out
            Where to write to.

        Raises
        ------
        InputError
            When pixels, grid, region and `out` don't fit together.
        """
        chosen = self._checked(pixels, grid, region)
        shape = (self.n_planes(grid), *(s.stop - s.start for s in chosen))
        found = np.empty(shape, np.float32) if out is None else out
        if found.shape != shape or found.dtype != np.float32 or not found.flags.c_contiguous:
            raise InputError(f"features are written to a contiguous float32 array of {shape}, not to {found.shape}")
        work = _Work(self._scales(grid), pixels, chosen, self._flat(grid))
        target = found.reshape(shape[0], *work.shape)
        for piece in cores(work.shape, work.piece(None)):
            work.fill(piece, target, (piece[0].start, piece[1].start))
        return found

    def strips(
        self, pixels: NDArray[Any], grid: Grid, region: Region | None = None, values: int = STRIP_VALUES
    ) -> Iterator[tuple[Region, NDArray[np.float32]]]:
        """Yield the features of :meth:`compute` strip by strip: the region in `pixels`, and (planes, *spatial).

        Strips are as large as the given number of values allows; the array is filled again for the next strip.
        """
        chosen = self._checked(pixels, grid, region)
        planes = self.n_planes(grid)
        work = _Work(self._scales(grid), pixels, chosen, self._flat(grid))
        size = work.piece(values // planes)
        buffer = np.empty(planes * math.prod(size), np.float32)
        for piece in cores(work.shape, size):
            shape = (planes, *(s.stop - s.start for s in piece))
            target = buffer[: math.prod(shape)].reshape(shape)
            work.fill(piece, target, (0, 0))
            place = tuple(slice(p.start + f, p.stop + f) for p, f in zip(piece, work.first, strict=True))
            place = place[-len(chosen) :]
            yield place, target.reshape(planes, *(s.stop - s.start for s in place))

    def at(self, image: Image, points: ArrayLike) -> NDArray[np.float32]:
        """Return the features of some pixels only, as (points, planes): the bits that :meth:`compute` gives.

        Parameters
        ----------
        image
            One time point, in memory or lazy: it is read around the points.
        points
            Their places, whole numbers, one row for each and one column per spatial axis.

        Raises
        ------
        InputError
            When a point lies outside the image.
        """
        grid = image.grid
        places = np.asarray(points, np.int64).reshape(-1, len(grid.spatial))
        if places.size and (places.min() < 0 or (places >= grid.spatial_shape).any()):
            raise InputError(f"points must lie in the image of {grid.spatial_shape}")
        found = np.empty((len(places), self.n_planes(grid)), np.float32)
        cells = CELLS[0] if len(grid.spatial) == 2 else CELLS[1]
        _, cell = np.unique(places // cells, axis=0, return_inverse=True)
        order = np.argsort(cell.ravel(), kind="stable")
        parts = np.split(order, np.flatnonzero(np.diff(cell.ravel()[order])) + 1) if len(order) else []
        for part in parts:
            here = places[part]
            box = tuple(slice(int(a), int(b) + 1) for a, b in zip(here.min(0), here.max(0), strict=True))
            window = grow(box, self.halo(grid), grid.spatial_shape)
            values = self.compute(image.window(window).read(), window_grid(grid, window), inside(box, window))
            found[part] = values[(slice(None), *(here - [s.start for s in box]).T)].T
        return found

    def _flat(self, grid: Grid) -> bool:
        """Whether planes are looked at alone: also where there is but one, as ilastik has it."""
        if self.planes or len(grid.spatial) == 2:
            return True
        return grid.spatial_shape[0] == 1 and (grid.cut is None or grid.cut[0] == (False, False))

    def _sizes(self, grid: Grid) -> list[int]:
        dimensions = 0 if self._flat(grid) else 1
        return [FEATURES[feature.name][dimensions] for feature in self.features]

    def _scales(self, grid: Grid) -> tuple[_Scale, ...]:
        """Return what is done at each scale."""
        units = grid.anisotropy if self.spacing_aware else (1.0,) * len(grid.spatial)
        units = (1.0,) * (3 - len(units)) + units
        key = self._flat(grid), units, grid.length("C")
        if key not in self._known:
            self._known[key] = _scales(self.features, self._sizes(grid), *key)
        return self._known[key]

    def _checked(self, pixels: NDArray[Any], grid: Grid, region: Region | None) -> Region:
        """Return the region as slices from start to stop; whole where there is none."""
        if "T" in grid.axes or pixels.shape != grid.shape:
            raise InputError(
                f"features need one time point; pixels are {pixels.shape}, their grid {grid.axes} {grid.shape}"
            )
        shape = grid.spatial_shape
        asked = region or (slice(None),) * len(shape)
        chosen = tuple(slice(*s.indices(n)[:2]) for s, n in zip(asked, shape, strict=True))
        for s, n, cut, far in zip(
            chosen, shape, grid.cut or ((False, False),) * len(shape), self.halo(grid), strict=True
        ):
            if s.start >= s.stop or (cut[0] and s.start < far) or (cut[1] and s.stop > n - far):
                raise InputError(f"the region {s.start}:{s.stop} of a window of {n} needs {far} pixels around it")
        return chosen


class _Work:
    """The pixels of a region, computed piece by piece."""

    def __init__(self, scales: tuple[_Scale, ...], pixels: NDArray[Any], region: Region, flat: bool) -> None:
        volume = (1,) * (3 - len(region)) + pixels.shape[-len(region) :]
        # Compiled loops know writable arrays only.
        self._channels = np.require(pixels, np.float32, ["C", "W"]).reshape(-1, *volume)
        self._scales, self._flat = scales, flat
        self.first = (0,) * (3 - len(region)) + tuple(s.start for s in region)
        self.shape = (1,) * (3 - len(region)) + tuple(s.stop - s.start for s in region)

    def piece(self, size: int | None) -> tuple[int, int, int]:
        """Return the shape of the pieces, of about `size` pixels at most where it is given."""
        depth, height, width = self.shape
        most = math.prod(self.shape) if size is None else size
        if self._flat:
            return 1, max(1, min(ROWS, height, most // width)), width
        rows = min(height, max(ROWS, SLAB // (PLANES * width) if size is None else ROWS))
        return max(1, min(PLANES, depth, most // (rows * width))), rows, width

    def fill(self, piece: Region, out: NDArray[np.float32], at: tuple[int, int]) -> None:
        """Write the features of a piece to (planes, Z, Y, X), from a plane and row on."""
        from segmentry.kernels.feature_bank import padded_width, plane_features
        from segmentry.kernels.feature_volumes import volume_features
        from segmentry.kernels.presmooth import MARGIN, smooth_slab

        z, y, x = (p.start + f for p, f in zip(piece, self.first, strict=True))
        planes, rows, width = (p.stop - p.start for p in piece)
        depth, height, length = self._channels.shape[1:]
        sides = (y, height - y - rows, x, length - x - width)
        middle = 0 if self._flat else rows + 2 * MARGIN
        lead = rows if self._flat else planes
        smooth = np.zeros((lead + 2 * MARGIN, max(middle, 1), padded_width(width)), np.float32)
        for channel, volume in enumerate(self._channels):
            for scale in self._scales:
                where = scale.where(channel)
                if self._flat:
                    alone, across, along = scale.curves
                    source = volume[z].reshape(height, 1, length)
                    smooth_slab(
                        source, (across, alone, along), (y, 0, x), (rows, 1, width), (MARGIN, 0, MARGIN), smooth
                    )
                    weights = scale.weights
                    plane_features(smooth[:, 0], (rows, width), sides, weights[1], weights[2], where, at, out)
                else:
                    smooth_slab(volume, scale.curves, (z, y, x), (planes, rows, width), (MARGIN,) * 3, smooth)
                    room = (z, depth - z - planes, *sides)
                    volume_features(smooth, (planes, rows, width), room, scale.weights, where, at, out)


def _scales(
    features: tuple[Feature, ...], sizes: Sequence[int], flat: bool, units: tuple[float, ...], channels: int
) -> tuple[_Scale, ...]:
    """Return what is done at each scale, for pixels of such a size along Z, Y and X."""
    starts = np.cumsum([0, *sizes[:-1]]) * channels
    slots = dict(zip(FEATURES, np.cumsum([0, *(n[0 if flat else 1] for n in FEATURES.values())]), strict=False))
    found = []
    for sigma in dict.fromkeys(feature.sigma for feature in features):
        planes = np.full(8 if flat else 10, -1, np.int64)
        step = np.zeros_like(planes)
        for feature, start, size in zip(features, starts, sizes, strict=True):
            if feature.sigma == sigma:
                slot = slice(slots[feature.name], slots[feature.name] + size)
                planes[slot], step[slot] = start + np.arange(size), size
        before = math.sqrt(sigma * sigma - 1) if sigma > 1 else sigma
        z, y, x = (_curve(before / unit, 0, 3.5).astype(np.float32) for unit in units)
        weights = np.stack([_weights(min(sigma, 1.0), unit) for unit in units])
        found.append(_Scale((np.ones(1, np.float32) if flat else z, y, x), weights, planes, step))
    return tuple(found)


def _curve(sigma: float, order: int, ratio: float) -> NDArray[np.float64]:
    """Return the weights of a derivative of a bell curve from its middle to its end, as VIGRA normalises them."""
    radius = max(math.floor(ratio * sigma + 0.5), 1)
    at = np.arange(-radius, radius + 1.0)
    bell = np.exp(-0.5 * (at / sigma) ** 2)
    if order == 0:
        curve = bell / bell.sum()
    elif order == 1:
        curve = at * bell / (at**2 * bell).sum()
    else:
        bend = (at**2 / sigma**2 - 1) * bell
        bend -= bend.mean()
        curve = bend * (2 / (bend * at**2).sum())
    return np.asarray(curve[radius:])


def _weights(sigma: float, unit: float) -> NDArray[np.float32]:
    """Return the weights of the filters along an axis whose pixels are `unit` long, as the kernels want them."""
    from segmentry.kernels.feature_bank import WEIGHTS

    found = np.zeros(WEIGHTS)
    # Below a tenth of a pixel a slope is the difference of the neighbours, and the bell curve leaves no digits of it.
    width = max(sigma / unit, 0.1)
    pieces = (
        (0, _curve(width, 0, 2.0)),
        (3, _curve(width, 1, 2.0)[1:] / unit),
        (5, _curve(width, 2, 2.0) / unit**2),
        (8, _curve(0.66 * width, 0, 2.0)),
        (10, _curve(0.5 * width, 0, 2.0)),
        (12, _curve(0.5 * width, 1, 2.0)[1:] / unit),
    )
    for start, curve in pieces:
        found[start : start + len(curve)] = curve
    return found.astype(np.float32)
