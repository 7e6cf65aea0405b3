"""Carving objects out of an image with strokes, in a blink: supervoxels, the graph of those that touch, and a forest.

The image is divided once into supervoxels, the basins of its boundaries. A stroke inside the object and one outside are
then enough to divide the graph: every supervoxel goes to the stroke from which it is reached over the lowest boundaries
(Straehle et al. 2011, doi:10.1007/978-3-642-23623-5_82). Only supervoxels that change are painted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from segmentry.errors import InputError, ParameterError, UnknownNameError, nearest
from segmentry.filters.gaussian import sigma_pixels, smooth
from segmentry.gradients import slopes, steepness
from segmentry.image import Image
from segmentry.length import Length
from segmentry.result import Instances

if TYPE_CHECKING:
    from segmentry.kernels.supervoxel_graph import SupervoxelGraph

__all__ = ["BACKGROUND", "BIAS", "SIGMA", "Boundaries", "Carver", "Forest", "Supervoxels"]

Boundaries: TypeAlias = Literal["step", "bright", "dark"]

#: Scale of the boundaries and weight of those along which background grows, unless asked for otherwise.
SIGMA, BIAS = 1.6, 0.95
#: The label of the background among the seeds; objects have those above it.
BACKGROUND, OBJECT = 1, 2
#: Boundaries are this high at most.
TOP = 65_535
#: What the bend of a pixel that lies on no line counts, so that there is an order among those too.
OFF_LINES = 0.05


@dataclass(frozen=True, eq=False)
class Forest:
    """Supervoxels divided among labels; the first place of each array is that of no supervoxel.

    Parameters
    ----------
    labels
        The label of each supervoxel, 0 where none reaches it.
    sureness
        1 less the highest boundary on the way from its seed, as a share of that on the best way from a seed of another
        label: 0 where it could as well be the other's, 1 where no other could reach it.
    """

    labels: NDArray[np.uint32]
    sureness: NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Supervoxels:
    """An image divided into the basins of its boundaries, and how high these are.

    Parameters
    ----------
    ids
        The supervoxel of each pixel, 1 … n.
    sizes
        How many pixels each has; the first place is that of no supervoxel.
    graph
        Which of them touch.
    """

    ids: NDArray[np.uint32]
    sizes: NDArray[np.int64]
    graph: SupervoxelGraph

    @classmethod
    def of(cls, image: Image, sigma: Length, boundaries: Boundaries) -> Supervoxels:
        """Divide an image: one channel at one time point, finite.

        Parameters
        ----------
        sigma
            Scale of the boundaries: standard deviation of the bell curve that smooths the image.
        boundaries
            Whether they are steps of intensity, or lines brighter or darker than what is on both sides.
        """
        from segmentry.kernels.supervoxel_graph import touching
        from segmentry.kernels.watershed import deep_maxima, flood

        levels = boundary_levels(image, sigma, boundaries)
        everywhere = np.ones(levels.shape, np.bool_)
        basins = deep_maxima(np.uint16(TOP) - levels, everywhere, 0)
        ids = flood(levels, basins, everywhere)
        count = int(basins.max())
        return cls(ids, np.bincount(ids.ravel(), minlength=count + 1), touching(ids, levels, count))

    def __len__(self) -> int:
        return len(self.sizes) - 1

    def divided(self, seeds: NDArray[np.uint32], bias: float) -> Forest:
        """Grow the labels of some supervoxels, of which `BACKGROUND` is biased, over all others."""
        from segmentry.kernels.supervoxel_graph import CLOSED, NEVER, grow_forest, rival_heights

        labels, reached = grow_forest(self.graph, seeds, BACKGROUND, bias)
        rivals = rival_heights(self.graph, labels, reached, BACKGROUND, bias)
        sure = 1 - reached / np.maximum(rivals, 1)
        sure[rivals == NEVER] = 1
        labels[labels == CLOSED] = 0
        sure[labels == 0] = 0
        return Forest(labels, np.maximum(sure, 0).astype(np.float32))

    def mean(self, values: NDArray[Any], chosen: NDArray[np.bool_]) -> float:
        """Return the mean over the pixels of some supervoxels, of values that each supervoxel has; 0 without any."""
        sizes = self.sizes[chosen]
        return float((values[chosen] * sizes).sum() / max(int(sizes.sum()), 1))


def boundary_levels(image: Image, sigma: Length, boundaries: Boundaries) -> NDArray[np.uint16]:
    """Return how high the boundary is at each pixel, on a scale from 0 to 65,535 that the image fills."""
    spacing = image.grid.anisotropy
    pixels = smooth(image.read().astype(np.float32), sigma_pixels(sigma, image.grid))
    if boundaries == "step":
        heights = steepness(slopes(pixels, spacing))
    else:
        heights = _lines(-pixels if boundaries == "bright" else pixels, spacing)
        heights -= heights.min()
    highest = float(heights.max())
    return np.rint(heights * np.float32(TOP / highest if highest else 0)).astype(np.uint16)


def _lines(pixels: NDArray[np.float32], spacing: Sequence[float]) -> NDArray[np.float32]:
    """Return how much the image bends upwards across the darkest line through each pixel."""
    lead = 3 - pixels.ndim
    volume = pixels.reshape((1,) * lead + pixels.shape)
    steps = (1.0,) * lead + tuple(spacing)
    bends = np.empty_like(volume)
    for z in range(len(volume)):
        planes = [np.pad(volume[min(max(z + d, 0), len(volume) - 1)], 1, mode="edge") for d in (-1, 0, 1)]
        bends[z] = _most_bent(planes, steps, len(volume) == 1)
    return np.maximum(bends, OFF_LINES * bends).reshape(pixels.shape)


def _most_bent(planes: list[NDArray[np.float32]], steps: Sequence[float], flat: bool) -> NDArray[np.float32]:
    """Return the largest eigenvalue of the second derivatives in the middle one of three planes, padded by a pixel."""
    from segmentry.kernels.eigenvalues import eigenvalues

    def at(z: int, y: int, x: int) -> NDArray[np.float32]:
        height, width = planes[1].shape
        return planes[1 + z][1 + y : height - 1 + y, 1 + x : width - 1 + x]

    def second(a: tuple[int, int, int], b: tuple[int, int, int], area: float) -> NDArray[np.float32]:
        """Return the difference of differences along two steps."""
        if a == b:
            return (at(*a) - 2 * at(0, 0, 0) + at(*(-s for s in a))) * np.float32(1 / area)
        both, across = [s + t for s, t in zip(a, b, strict=True)], [s - t for s, t in zip(a, b, strict=True)]
        corners = at(*both) + at(*(-s for s in both)) - at(*across) - at(*(-s for s in across))
        return corners * np.float32(1 / (4 * area))

    z, y, x = (1, 0, 0), (0, 1, 0), (0, 0, 1)
    sz, sy, sx = steps
    if flat:
        yy, xx, yx = second(y, y, sy * sy), second(x, x, sx * sx), second(y, x, sy * sx)
        return np.asarray((yy + xx) / 2 + np.sqrt(((yy - xx) / 2) ** 2 + yx**2))
    pairs = ((x, x, sx * sx), (y, y, sy * sy), (z, z, sz * sz), (y, x, sy * sx), (z, x, sz * sx), (z, y, sz * sy))
    matrices = np.stack([second(*pair).ravel() for pair in pairs])
    values = np.empty((3, matrices.shape[1]), np.float32)
    eigenvalues(matrices, matrices.shape[1], values)
    return values[0].reshape(planes[1].shape[0] - 2, -1)


@dataclass(frozen=True, eq=False)
class _Stroke:
    supervoxels: NDArray[np.uint32]
    label: int


@dataclass(frozen=True, eq=False)
class _Kept:
    strokes: tuple[_Stroke, ...]
    held: NDArray[np.bool_]
    score: float


class Carver:
    """Carves objects out of an image, one after the other, with strokes in them and around them.

    Setting up takes seconds for a volume of 256 x 256 x 256 pixels; a stroke, and what follows from it, milliseconds.

    Parameters
    ----------
    image
        One channel at one time point, or an array of it.
    sigma
        Scale of the boundaries: a standard deviation in pixels, or a text such as ``"0.5 um"``.
    boundaries
        ``"step"`` where the object and its surroundings differ in intensity, ``"bright"`` or ``"dark"`` where a line
        of that kind (a membrane) runs between them.
    background_bias
        By what boundaries are multiplied where background grows over them, above 0 and at most 1: the less, the
        tighter objects are.
    spacing
        Pixel size of an array, one number per axis.

    Examples
    --------
    >>> carver = Carver([[0, 0, 9, 9, 9, 0, 0, 0]] * 5, sigma=0)
    >>> carver.stroke([(2, 3)])
    >>> carver.stroke([(2, 0), (2, 7)], "background")
    >>> carver.mask[2].astype(int)
    array([0, 0, 1, 1, 1, 0, 0, 0])
    """

    def __init__(
        self,
        image: Image | ArrayLike,
        *,
        sigma: float | str = SIGMA,
        boundaries: Boundaries = "step",
        background_bias: float = BIAS,
        spacing: Sequence[float] | None = None,
    ) -> None:
        from segmentry.kernels.supervoxel_graph import members

        if not isinstance(image, Image):
            image = Image.from_array(image, spacing=spacing)
        elif spacing is not None:
            raise ParameterError("spacing is that of an array; the image has its own")
        if not 0 < background_bias <= 1:
            raise ParameterError(f"background_bias {background_bias} must lie above 0 and not above 1")
        if boundaries not in ("step", "bright", "dark"):
            raise ParameterError(f"boundaries {boundaries!r} must be 'step', 'bright' or 'dark'")
        if "T" in image.grid.axes or "C" in image.grid.axes:
            raise InputError(f"carving works on one channel at one time point; the image has axes {image.grid.axes}")
        if not np.isfinite(image.read()).all():
            raise InputError("the image has pixels that are not finite: give them a value before carving")
        try:
            scale = Length.parse(sigma)
        except ValueError as error:
            raise ParameterError(f"sigma: {error}") from None
        self.grid = image.grid
        self.background_bias = background_bias
        self.supervoxels = Supervoxels.of(image, scale, boundaries)
        self._starts, self._places = members(self.supervoxels.ids, len(self.supervoxels))
        self._mask = np.zeros(image.grid.size, np.bool_)
        self._held = np.zeros(len(self.supervoxels) + 1, np.bool_)
        self._strokes: list[_Stroke] = []
        self._kept: dict[str, _Kept] = {}

    @property
    def mask(self) -> NDArray[np.bool_]:
        """Where the present object is: always the same array, which every stroke updates."""
        view = self._mask.reshape(self.grid.shape)
        view.flags.writeable = False
        return view

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the objects that were kept, in the order of their ids."""
        return tuple(self._kept)

    def stroke(self, where: ArrayLike, kind: Literal["object", "background"] = "object") -> None:
        """Say of some pixels that they belong to the object, or that they don't.

        Before there are strokes of both kinds, or objects that were kept, the object is what the strokes touch. Where
        strokes of both kinds touch one supervoxel, the later counts. Kept objects are not changed.

        Parameters
        ----------
        where
            Positions, one row (row, column) or (plane, row, column) for each, or an array of the image's shape that is
            not 0 on the stroke.

        Raises
        ------
        InputError
            When the stroke marks no pixel, leaves the image, or lies in objects that were kept only.
        """
        if kind not in ("object", "background"):
            raise ParameterError(f"a stroke is on the 'object' or on the 'background', not {kind!r}")
        touched = np.unique(self._touched(np.asarray(where)))
        if not len(touched):
            raise InputError("the stroke marks no pixel")
        free = touched[~self._closed()[touched]]
        if not len(free):
            name = next(name for name, kept in self._kept.items() if kept.held[touched[0]])
            raise InputError(f"the stroke lies in {name!r}, which is kept: reopen it to change it")
        self._strokes.append(_Stroke(free, OBJECT if kind == "object" else BACKGROUND))
        self._update()

    def undo(self) -> None:
        """Take the last stroke on the present object back."""
        if not self._strokes:
            raise InputError("there is no stroke to take back")
        self._strokes.pop()
        self._update()

    def clear(self) -> None:
        """Take all strokes on the present object back."""
        self._strokes.clear()
        self._update()

    def object(self) -> Instances:
        """Return the present object, with the id 1 and the mean of its pixels' sureness as score."""
        return self._instances([(self._held, self._score())] if self._held.any() else [])

    def sureness(self) -> NDArray[np.float32]:
        """Return how sure it is, 0 … 1, that each pixel is on the side of the present object's outline that it is on.

        It is 1 less the highest boundary on the way from the strokes of its own side, as a share of the highest on the
        way from the other side; 0 in objects that were kept, and wherever nothing is known.
        """
        return np.asarray(self._forest().sureness[self.supervoxels.ids])

    def keep(self, name: str) -> None:
        """Keep the present object under a name, and begin another; no later object will enter it."""
        if name in self._kept:
            raise InputError(f"there is an object {name!r} already: choose another name")
        if not self._held.any():
            raise InputError("there is no object to keep: draw a stroke on it first")
        self._kept[name] = _Kept(tuple(self._strokes), self._held.copy(), self._score())
        self.clear()

    def reopen(self, name: str) -> None:
        """Make an object that was kept the present one again, with its strokes."""
        if name not in self._kept:
            raise UnknownNameError(f"no object {name!r} was kept{nearest(name, self._kept)}")
        if self._strokes:
            raise InputError(f"keep or clear the present object before {name!r} is reopened")
        self._strokes.extend(self._kept.pop(name).strokes)
        self._update()

    def objects(self) -> Instances:
        """Return the objects that were kept, with ids 1 … n in the order of `names`."""
        return self._instances([(kept.held, kept.score) for kept in self._kept.values()])

    def _touched(self, where: NDArray[Any]) -> NDArray[np.uint32]:
        """Return the supervoxels of the pixels of a stroke."""
        shape = self.grid.shape
        positions = where.reshape(-1, len(shape)) if where.shape == (len(shape),) else where
        listed = positions.ndim == 2 and positions.shape[1] == len(shape) and positions.dtype.kind in "iu"
        if where.shape == shape and not listed:
            return self.supervoxels.ids[where != 0]
        if where.size == 0:
            return np.empty(0, np.uint32)
        if not listed:
            raise InputError(
                f"a stroke of shape {where.shape} and type {where.dtype} is neither whole positions, with "
                f"{len(shape)} numbers each, nor an array of the image's shape {shape}"
            )
        if (positions < 0).any() or (positions >= shape).any():
            raise InputError(f"the stroke leaves the image, whose shape is {shape}")
        return self.supervoxels.ids[tuple(positions.T)]

    def _closed(self) -> NDArray[np.bool_]:
        """Return which supervoxels are of objects that were kept."""
        closed = np.zeros_like(self._held)
        for kept in self._kept.values():
            closed |= kept.held
        return closed

    def _seeds(self) -> NDArray[np.uint32]:
        from segmentry.kernels.supervoxel_graph import CLOSED

        seeds = np.zeros(len(self._held), np.uint32)
        for stroke in self._strokes:
            seeds[stroke.supervoxels] = stroke.label
        seeds[self._closed()] = CLOSED
        return seeds

    def _forest(self) -> Forest:
        return self.supervoxels.divided(self._seeds(), self.background_bias)

    def _score(self) -> float:
        return self.supervoxels.mean(self._forest().sureness, self._held)

    def _update(self) -> None:
        """Divide the graph anew, and paint the supervoxels that changed sides."""
        from segmentry.kernels.supervoxel_graph import grow_forest, paint

        labels = self._seeds()
        if (labels == OBJECT).any() and (labels == BACKGROUND).any():
            labels, _ = grow_forest(self.supervoxels.graph, labels, BACKGROUND, self.background_bias)
        held = labels == OBJECT
        paint(self._mask, self._starts, self._places, np.flatnonzero(held != self._held), held)
        self._held = held

    def _instances(self, found: Sequence[tuple[NDArray[np.bool_], float]]) -> Instances:
        labels = np.zeros(len(self._held), np.uint32)
        for number, (held, _) in enumerate(found, start=1):
            labels[held] = number
        ids = np.arange(1, len(found) + 1, dtype=np.uint32)
        scores = np.array([score for _, score in found], np.float32)
        return Instances(labels[self.supervoxels.ids], self.grid, ids, scores)
