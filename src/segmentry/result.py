"""Results: what any way of segmenting gives, in three views that follow from each other.

:class:`Semantic` has a class per pixel, :class:`Instances` an object per pixel, :class:`Panoptic` both. Each gives the
other two, so that every later step understands every method.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from segmentry.errors import InputError
from segmentry.image import Array, Grid, Image
from segmentry.labelling import Store, connect, lookup, mean_over, survey
from segmentry.tiling import slabs

__all__ = ["Instances", "Panoptic", "Result", "Semantic", "as_labels"]

MAX_ID = 2**32 - 1


@dataclass(frozen=True, eq=False)
class Semantic:
    """A class for each pixel.

    Parameters
    ----------
    classes
        uint8 or uint16 array of ``grid.shape``: an index into `names`; 0 is background.
    grid
        Geometry, without an axis ``"C"``.
    names
        Name of each class, background first.
    probabilities
        float32 array of ``(len(names), *grid.shape)`` that sums to 1 over its first axis, or ``None``.
    confidence
        uint16 array of ``grid.shape``: the probability of the class that was chosen, times 65,535; derived from
        `probabilities` where these are given alone.
    """

    classes: Array
    grid: Grid
    names: tuple[str, ...] = ("background", "foreground")
    probabilities: Array | None = None
    confidence: Array | None = None

    def __post_init__(self) -> None:
        _check_shape("classes", self.classes, self.grid)
        if self.confidence is not None:
            _check_shape("confidence", self.confidence, self.grid)
        if self.probabilities is not None and tuple(self.probabilities.shape) != (len(self.names), *self.grid.shape):
            raise InputError(
                f"probabilities have shape {tuple(self.probabilities.shape)}; "
                f"{len(self.names)} classes on a grid of {self.grid.shape} need {(len(self.names), *self.grid.shape)}"
            )

    def __repr__(self) -> str:
        return f"Semantic({', '.join(self.names)}; {self.grid.axes} {self.grid.shape})"

    def semantic(self) -> Semantic:
        """Return this result."""
        return self

    def sureness(self) -> Array | None:
        """Return how probable the class of each pixel is, as uint16 of 65,535; ``None`` where it is not known."""
        if self.confidence is not None or self.probabilities is None:
            return self.confidence
        classes = np.asarray(self.classes[...])[None].astype(np.intp)
        chosen = np.take_along_axis(np.asarray(self.probabilities[...]), classes, axis=0)[0]
        sure: NDArray[np.uint16] = np.rint(chosen * np.float32(65_535)).astype(np.uint16)
        return sure

    def instances(self, planes: bool = False, into: Store | None = None) -> Instances:
        """Return the connected regions of each class but the background as objects.

        Pixels touch when they share a face, an edge or a corner; time points never touch, nor planes where `planes`.
        The score of an object is the mean probability of its class over its pixels; unknown without probabilities.
        The labels are written to `into`, an array of zeros, where it is given.
        """
        labels: Store = np.zeros(self.grid.shape, np.uint32) if into is None else into
        ndim = 2 if planes else len(self.grid.spatial)
        kinds = connect(self.classes, labels, ndim)
        sure = self.sureness()
        scores = None if sure is None else mean_over(labels, sure, len(kinds))
        return Instances(labels, self.grid, np.arange(1, len(kinds) + 1, dtype=np.uint32), scores, kinds, self.names)

    def panoptic(self) -> Panoptic:
        """Return the classes with their connected regions as things."""
        return Panoptic(self, self.instances())


@dataclass(frozen=True, eq=False)
class Instances:
    """An object for each pixel.

    Parameters
    ----------
    labels
        uint32 array of ``grid.shape``: the id of the object at each pixel, 0 where there is none.
    grid
        Geometry, without an axis ``"C"``.
    ids
        The ids that occur in `labels`, ascending.
    scores
        Per id, how sure the method is, 0 … 1; ``None`` where the method can't say.
    classes
        Per id, an index into `names`; ``None`` when there is one kind of object.
    names
        Name of each class, background first.
    """

    labels: Array
    grid: Grid
    ids: NDArray[np.uint32]
    scores: NDArray[np.float32] | None = None
    classes: NDArray[np.int32] | None = None
    names: tuple[str, ...] = ("background", "object")

    def __post_init__(self) -> None:
        _check_shape("labels", self.labels, self.grid)
        if np.dtype(self.labels.dtype) != np.uint32:
            raise InputError(f"labels must be uint32, not {self.labels.dtype}: use Instances.from_labels")
        for what, values in (("scores", self.scores), ("classes", self.classes)):
            if values is not None and len(values) != len(self.ids):
                raise InputError(f"{len(values)} {what} for {len(self.ids)} objects")

    @classmethod
    def from_labels(cls, labels: ArrayLike, grid: Grid | None = None) -> Instances:
        """Make a result of an array of object ids, which are kept as they are.

        Raises
        ------
        InputError
            When ids are negative, fractional or above 4,294,967,295.
        """
        array = as_labels(np.asarray(labels))
        return cls(array, grid or Image.from_array(array).grid, survey(array).ids)

    def __len__(self) -> int:
        return len(self.ids)

    def __repr__(self) -> str:
        return f"Instances({len(self):,} objects; {self.grid.axes} {self.grid.shape})"

    def semantic(self) -> Semantic:
        """Return the class of each pixel; probabilities are not known any more."""
        kinds = self.classes if self.classes is not None else np.ones(len(self.ids), np.int32)
        kind = np.uint8 if len(self.names) <= 256 else np.uint16
        return Semantic(lookup(np.asarray(self.labels[...]), self.ids, kinds.astype(kind)), self.grid, self.names)

    def instances(self) -> Instances:
        """Return this result."""
        return self

    def panoptic(self) -> Panoptic:
        """Return the objects with the class of each pixel."""
        return Panoptic(self.semantic(), self)

    def keep(self, kept: NDArray[np.bool_]) -> Instances:
        """Return only the objects for which `kept` (one truth per id) is true; their ids stay."""
        if kept.all():
            return self
        labels = lookup(np.asarray(self.labels[...]), self.ids[kept], self.ids[kept])
        return self.with_labels(labels, self.ids[kept])

    def with_labels(
        self,
        labels: Array,
        ids: NDArray[np.uint32],
        grid: Grid | None = None,
        origins: NDArray[np.uint32] | None = None,
    ) -> Instances:
        """Return other labels whose `ids` are a part of these, each with its score and class.

        With `origins`, one of these ids for each of the new ones, ids may be new: they take score and class from there.
        """
        at = np.searchsorted(self.ids, ids if origins is None else origins)
        return replace(
            self,
            labels=labels,
            grid=grid or self.grid,
            ids=ids,
            scores=None if self.scores is None else self.scores[at],
            classes=None if self.classes is None else self.classes[at],
        )

    def renumbered(self, into: Store | None = None) -> Instances:
        """Return the same objects with ids 1 … n in raster order of their first pixel.

        Objects without a pixel are left out. The labels are written to `into` where it is given.
        """
        held = survey(self.labels)
        order = np.argsort(held.first)
        fresh = np.empty(len(order), np.uint32)
        fresh[order] = np.arange(1, len(order) + 1, dtype=np.uint32)
        labels: Store = np.zeros(self.grid.shape, np.uint32) if into is None else into
        for region in slabs(labels.shape):
            labels[region] = lookup(np.asarray(self.labels[region]), held.ids, fresh)
        at = np.searchsorted(self.ids, held.ids)[order]
        return replace(
            self,
            labels=labels,
            ids=np.arange(1, len(order) + 1, dtype=np.uint32),
            scores=None if self.scores is None else self.scores[at],
            classes=None if self.classes is None else self.classes[at],
        )


@dataclass(frozen=True, eq=False)
class Panoptic:
    """Things and stuff (Kirillov et al. 2019, doi:10.1109/CVPR.2019.00963): a class per pixel, and objects on some.

    Parameters
    ----------
    classes
        The class of each pixel.
    things
        The objects; a pixel of no object is stuff of its class.
    """

    classes: Semantic
    things: Instances

    def __post_init__(self) -> None:
        if self.classes.grid.shape != self.things.grid.shape:
            raise InputError(f"classes on {self.classes.grid.shape} and things on {self.things.grid.shape} don't fit")

    def __repr__(self) -> str:
        return f"Panoptic({len(self.things):,} things; {', '.join(self.names)}; {self.grid.axes} {self.grid.shape})"

    @property
    def grid(self) -> Grid:
        """Geometry of both parts."""
        return self.classes.grid

    @property
    def names(self) -> tuple[str, ...]:
        """Name of each class, background first."""
        return self.classes.names

    def semantic(self) -> Semantic:
        """Return the class of each pixel."""
        return self.classes

    def instances(self) -> Instances:
        """Return the objects."""
        return self.things

    def panoptic(self) -> Panoptic:
        """Return this result."""
        return self


Result: TypeAlias = Semantic | Instances | Panoptic


def as_labels(array: NDArray[Any]) -> NDArray[np.uint32]:
    """Return an array of ids as uint32, refusing what can't be ids.

    >>> as_labels(np.array([[0.0, 7.0]]))
    array([[0, 7]], dtype=uint32)
    """
    if array.dtype == np.uint32:
        return array
    if array.dtype.kind not in "biuf":
        raise InputError(f"labels of type {array.dtype} are not integers")
    if array.dtype.kind == "f" and not np.array_equal(array, np.floor(array)):
        raise InputError("labels must be whole numbers; these have fractions: is this an image of intensities?")
    if array.size and array.dtype.itemsize * 8 > 16 and (array.min() < 0 or array.max() > MAX_ID):
        raise InputError(f"labels must lie between 0 and {MAX_ID}; found {array.min()} to {array.max()}")
    if array.size and array.dtype.kind == "i" and array.min() < 0:
        raise InputError(f"labels must not be negative; found {array.min()}")
    return array.astype(np.uint32)


def _check_shape(what: str, array: Array, grid: Grid) -> None:
    if "C" in grid.axes:
        raise InputError(f"{what} have no channels: use grid.without('C')")
    if tuple(array.shape) != grid.shape:
        raise InputError(f"{what} have shape {tuple(array.shape)}, their grid {grid.shape}")
