"""Carving objects out of an image with strokes, in a blink: supervoxels, the graph of those that touch, and a forest.

The image is divided into supervoxels once. A stroke inside the object and one outside are then enough: every supervoxel
goes to the stroke from which it is reached over the lowest boundaries (Straehle et al. 2011,
doi:10.1007/978-3-642-23623-5_82). Only supervoxels that change sides are painted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from segmentry.errors import InputError, ParameterError, UnknownNameError, nearest
from segmentry.image import Image
from segmentry.length import Length
from segmentry.result import Instances
from segmentry.supervoxels import BACKGROUND, BIAS, SIGMA, Boundaries, Forest, Supervoxels, divide

__all__ = ["Carver"]

OBJECT = BACKGROUND + 1


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
        from segmentry.kernels.spanning_forest import lean
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
        self._graph = lean(self.supervoxels.graph, background_bias)
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
        self._kept[name] = _Kept(tuple(self._strokes), self._held, self._score())
        self._strokes.clear()
        self._close()

    def reopen(self, name: str) -> None:
        """Make an object that was kept the present one again, with its strokes."""
        if name not in self._kept:
            raise UnknownNameError(f"no object {name!r} was kept{nearest(name, self._kept)}")
        if self._strokes:
            raise InputError(f"keep or clear the present object before {name!r} is reopened")
        self._strokes.extend(self._kept.pop(name).strokes)
        self._close()

    def objects(self) -> Instances:
        """Return the objects that were kept, with ids 1 … n in the order of `names`."""
        return self._instances([(kept.held, kept.score) for kept in self._kept.values()])

    def _touched(self, where: NDArray[Any]) -> NDArray[np.uint32]:
        """Return the supervoxels of the pixels of a stroke."""
        shape = self.grid.shape
        positions = where.reshape(-1, len(shape)) if where.shape == (len(shape),) else where
        listed = positions.ndim == 2 and positions.shape[1] == len(shape) and positions.dtype.kind in "iu"
        if where.shape == shape and not listed:
            return np.asarray(self.supervoxels.ids[where != 0])
        if where.size == 0:
            return np.empty(0, np.uint32)
        if not listed:
            raise InputError(
                f"a stroke of shape {where.shape} and type {where.dtype} is neither whole positions, with "
                f"{len(shape)} numbers each, nor an array of the image's shape {shape}"
            )
        if (positions < 0).any() or (positions >= shape).any():
            raise InputError(f"the stroke leaves the image, whose shape is {shape}")
        return np.asarray(self.supervoxels.ids[tuple(positions.T)])

    def _close(self) -> None:
        """Shut the objects that were kept, and no others, and divide what is left."""
        from segmentry.kernels.spanning_forest import lean

        self._graph = lean(self.supervoxels.graph, self.background_bias, self._closed())
        self._update()

    def _closed(self) -> NDArray[np.bool_]:
        """Return which supervoxels are of objects that were kept."""
        closed = np.zeros_like(self._held)
        for kept in self._kept.values():
            closed |= kept.held
        return closed

    def _seeds(self) -> NDArray[np.uint32]:
        seeds = np.zeros(len(self._held), np.uint32)
        for stroke in self._strokes:
            seeds[stroke.supervoxels] = stroke.label
        return seeds

    def _forest(self) -> Forest:
        return divide(self._graph, self._seeds(), self.background_bias)

    def _score(self) -> float:
        return self.supervoxels.mean(self._forest().sureness, self._held)

    def _update(self) -> None:
        """Divide the graph anew, and paint the supervoxels that changed sides."""
        from segmentry.kernels.spanning_forest import grow_forest
        from segmentry.kernels.supervoxel_graph import paint

        labels = self._seeds()
        if (labels == OBJECT).any() and (labels == BACKGROUND).any():
            labels, _ = grow_forest(self._graph, labels, BACKGROUND, self.background_bias)
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
