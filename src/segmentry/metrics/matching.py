"""Scores of objects: which of them are found, at how strict an overlap.

A predicted and a true object match when the intersection over union (IoU) of their pixels reaches a threshold; each
object matches one at most, as many as possible. TP are the matches, FP the predicted objects left over, FN the true
ones.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from segmentry.errors import InputError
from segmentry.result import Instances
from segmentry.tiling import slabs

__all__ = ["Matching", "match_objects"]


@dataclass(frozen=True, eq=False)
class Matching:
    """The overlaps of two sets of objects.

    Parameters
    ----------
    predicted_ids, true_ids : uint32 arrays, ascending
        The ids that occur in the labels.
    predicted_sizes, true_sizes : int64 arrays
        Number of pixels of each.
    pairs : (m, 2) int64 array, ascending
        Position in `predicted_ids` and in `true_ids` of each pair that shares pixels.
    shared : (m,) int64 array
        Number of pixels that each pair shares.
    """

    predicted_ids: NDArray[np.uint32]
    true_ids: NDArray[np.uint32]
    predicted_sizes: NDArray[np.int64]
    true_sizes: NDArray[np.int64]
    pairs: NDArray[np.int64]
    shared: NDArray[np.int64]

    @property
    def n_predicted(self) -> int:
        """Number of predicted objects."""
        return len(self.predicted_ids)

    @property
    def n_true(self) -> int:
        """Number of true objects."""
        return len(self.true_ids)

    @cached_property
    def iou(self) -> NDArray[np.float64]:
        """Intersection over union of each pair."""
        union = self.predicted_sizes[self.pairs[:, 0]] + self.true_sizes[self.pairs[:, 1]] - self.shared
        return np.asarray(self.shared / union, np.float64)

    def matched(self, threshold: float) -> NDArray[np.int64]:
        """Return the rows of the pairs that match at an IoU of `threshold` or more (above 0).

        Each object is in one pair at most. The pairs are as many as possible and, of as many, those of largest IoU.
        """
        rows = np.flatnonzero(self.iou >= threshold)
        ours, theirs = self.pairs[rows].T
        # Above one half, most of either object lies in the other: neither can match a second one.
        if threshold > 0.5 or ((np.diff(ours) > 0).all() and np.bincount(theirs).max(initial=0) <= 1):
            return rows
        from segmentry.kernels.assignment import best_assignment

        weights = self.iou[rows] + len(rows)  # so that more pairs always weigh more
        return rows[best_assignment(self.pairs[rows], weights, self.n_predicted, self.n_true)]


def match_objects(predicted: Instances, truth: Instances) -> Matching:
    """Return the overlaps of predicted and true objects; memory grows with the objects, not with their square.

    Raises
    ------
    InputError
        When the shapes differ.
    """
    from segmentry.kernels.overlap import count_overlaps

    if predicted.grid.shape != truth.grid.shape:
        raise InputError(f"predicted labels have shape {predicted.grid.shape}, the truth {truth.grid.shape}")
    regions = slabs(predicted.grid.shape)
    found = count_overlaps((np.asarray(predicted.labels[r]), np.asarray(truth.labels[r])) for r in regions)
    ours, row, our_sizes = _objects(found.first, found.shared)
    theirs, column, their_sizes = _objects(found.second, found.shared)
    both = (row >= 0) & (column >= 0)
    pairs = np.stack([row[both], column[both]], axis=1)
    return Matching(ours, theirs, our_sizes, their_sizes, pairs, found.shared[both])


def _objects(
    ids: NDArray[np.uint32], pixels: NDArray[np.int64]
) -> tuple[NDArray[np.uint32], NDArray[np.int64], NDArray[np.int64]]:
    """Return the objects among some ids, the position of each id among them (-1 for 0), and the pixels of each."""
    found, place = np.unique(ids, return_inverse=True)
    sizes = np.zeros(len(found), np.int64)
    np.add.at(sizes, place, pixels)
    none = int(len(found) > 0 and found[0] == 0)
    return found[none:], place.astype(np.int64) - none, sizes[none:]
