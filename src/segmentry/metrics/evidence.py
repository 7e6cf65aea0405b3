"""What metrics are computed from: a predicted and a true result of one image, and what is counted of both.

Regions can be ignored: their pixels don't count, and objects that lie in them with more than half of their pixels are
left out as if they were not there.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from segmentry.errors import InputError
from segmentry.image import Array, Grid, Region
from segmentry.labelling import lookup, survey
from segmentry.metrics.detection import Matches
from segmentry.metrics.matching import Matching, match_objects
from segmentry.metrics.pixels import PixelCounts
from segmentry.metrics.ranking import Ranking, rank_objects
from segmentry.metrics.surfaces import Surfaces, surfaces
from segmentry.result import Instances, Result, Semantic
from segmentry.tiling import slabs

__all__ = ["Evidence", "check_fit"]

#: Pixel sizes that differ by less than this part of themselves are the same.
SAME_SPACING = 1e-3


@dataclass(frozen=True, eq=False)
class Evidence:
    """A predicted and a true result of one image.

    Parameters
    ----------
    predicted, truth
        On grids of one shape, at one time point. Pixels of classes are judged class by class where both are semantic,
        objects where both are not.
    ignore
        Of the same shape, true where nothing counts; ``None``: everything counts.
    tolerance
        Distance at which two surfaces still agree, in the unit of the grid; ``None``: twice the smallest side of a
        pixel.
    """

    predicted: Result
    truth: Result
    ignore: Array | None = None
    tolerance: float | None = None
    _surfaces: dict[int, Surfaces] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        check_fit(self.predicted.grid, self.truth.grid)
        if self.ignore is not None and tuple(self.ignore.shape) != self.truth.grid.shape:
            raise InputError(f"the region to ignore has shape {tuple(self.ignore.shape)}, the truth {self.grid.shape}")

    @property
    def grid(self) -> Grid:
        """The geometry of both; that of the prediction where the truth does not know its pixel size."""
        return self.truth.grid if self.truth.grid.spacing else self.predicted.grid

    @property
    def of_classes(self) -> bool:
        """Whether classes are judged, not objects."""
        return isinstance(self.truth, Semantic) and isinstance(self.predicted, Semantic)

    @functools.cached_property
    def objects(self) -> tuple[Instances, Instances]:
        """The predicted and the true objects, without those that are ignored."""
        found = self.predicted.instances(), self.truth.instances()
        return found if self.ignore is None else (_without(found[0], self.ignore), _without(found[1], self.ignore))

    @functools.cached_property
    def matching(self) -> Matching:
        """The overlaps of all objects."""
        return match_objects(*self.objects)

    def matches(self, threshold: float) -> Matches:
        """Return how many objects match at a threshold."""
        rows = self.matching.matched(threshold)
        tp = len(rows)
        total = float(self.matching.iou[rows].sum())
        return Matches(tp, self.matching.n_predicted - tp, self.matching.n_true - tp, total)

    @functools.cached_property
    def ranking(self) -> Ranking:
        """The predicted objects by their scores."""
        return rank_objects(self.matching, self.objects[0].scores)

    @functools.cached_property
    def confusion(self) -> NDArray[np.int64]:
        """Numbers of pixels by true class (rows) and predicted class; of objects, whether there is one or none."""
        n = len(self.classes) + 1
        found = np.zeros(n * n, np.int64)
        for a, b, ignored in self._slabs():
            pairs = (b.astype(np.int64) * n + a).ravel()
            found += np.bincount(pairs if ignored is None else pairs[~ignored.ravel()], minlength=n * n)
        return found.reshape(n, n)

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes but the background."""
        if not self.of_classes:
            return ("foreground",)
        names, others = self.truth.semantic().names, self.predicted.semantic().names
        return (names if len(names) >= len(others) else others)[1:]

    def pixels(self, kind: int) -> PixelCounts:
        """Return the numbers of pixels of a class, counted from 1."""
        table = self.confusion
        shared, predicted, true = table[kind, kind], table[:, kind].sum(), table[kind].sum()
        return PixelCounts(int(shared), int(predicted), int(true), int(table.sum()))

    def surfaces(self, kind: int) -> Surfaces:
        """Return the distances between the surfaces of a class, counted from 1."""
        if kind not in self._surfaces:
            self._surfaces[kind] = self._between_surfaces(kind)
        return self._surfaces[kind]

    def _between_surfaces(self, kind: int) -> Surfaces:
        shape = self.grid.shape
        a, b = np.zeros(shape, np.bool_), np.zeros(shape, np.bool_)
        for region, (ours, theirs, ignored) in zip(slabs(shape), self._slabs(), strict=True):
            counted = True if ignored is None else ~ignored
            a[region] = (ours == kind) & counted
            b[region] = (theirs == kind) & counted
        spacing = self.grid.spacing or (1.0,) * len(shape)
        return surfaces(a, b, spacing, 2 * min(spacing) if self.tolerance is None else self.tolerance)

    def _slabs(self) -> Iterator[tuple[NDArray[np.integer], NDArray[np.integer], NDArray[np.bool_] | None]]:
        """Yield predicted and true classes, or whether there is an object, and what is ignored, slab by slab."""
        for region in slabs(self.grid.shape):
            yield self._classes(self.predicted, 0, region), self._classes(self.truth, 1, region), self._ignored(region)

    def _classes(self, result: Result, which: int, region: Region) -> NDArray[np.integer]:
        if self.of_classes:
            return np.asarray(result.semantic().classes[region])
        return (np.asarray(self.objects[which].labels[region]) > 0).view(np.uint8)

    def _ignored(self, region: Region) -> NDArray[np.bool_] | None:
        return None if self.ignore is None else np.asarray(self.ignore[region]).astype(np.bool_, copy=False)


def check_fit(predicted: Grid, truth: Grid) -> None:
    """Refuse two results that are not of one image.

    Raises
    ------
    InputError
        When shapes, axes or known pixel sizes differ; both are told.
    """
    if predicted.shape != truth.shape or predicted.axes != truth.axes:
        raise InputError(
            f"predicted labels have shape {predicted.shape} ({predicted.axes}), the truth {truth.shape} "
            f"({truth.axes}): they must be of one image"
        )
    if predicted.spacing and truth.spacing:
        same = np.allclose(predicted.spacing, truth.spacing, rtol=SAME_SPACING, atol=0)
        if not same or predicted.unit != truth.unit:
            raise InputError(
                f"predicted labels have pixels of {predicted.spacing} {predicted.unit}, the truth of {truth.spacing} "
                f"{truth.unit}: say which is right with --spacing"
            )


class _Masked:
    """Labels without some objects, and without any object where a mask is true."""

    def __init__(self, labels: Array, mask: Array, kept: NDArray[np.uint32]) -> None:
        self._labels, self._mask, self._kept = labels, mask, kept
        self.shape, self.dtype = tuple(labels.shape), np.dtype(np.uint32)

    def __getitem__(self, key: Region) -> NDArray[np.uint32]:
        found = lookup(np.asarray(self._labels[key]), self._kept, self._kept)
        found[np.asarray(self._mask[key]).astype(np.bool_, copy=False)] = 0
        return found


def _without(instances: Instances, ignore: Array) -> Instances:
    """Return the objects that lie in a mask with at most half of their pixels, as far as they lie outside of it."""
    held = survey(instances.labels)
    numbers = np.arange(1, len(held.ids) + 1, dtype=np.uint32)
    inside = np.zeros(len(held.ids) + 1, np.int64)
    for region in slabs(instances.grid.shape):
        index = lookup(np.asarray(instances.labels[region]), held.ids, numbers)
        ignored = np.asarray(ignore[region]).astype(np.bool_, copy=False)
        inside += np.bincount(index[ignored], minlength=len(inside))
    kept = held.ids[2 * inside[1:] <= held.sizes]
    return instances.with_labels(_Masked(instances.labels, ignore, kept), kept)
