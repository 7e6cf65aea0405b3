"""Scores of objects: which of them are found, at how strict an overlap.

A predicted and a true object match when the intersection over union (IoU) of their pixels reaches a threshold; each
object matches one at most, as many as possible. TP are the matches, FP the predicted objects left over, FN the true
ones.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from segmentry.errors import InputError
from segmentry.labelling import lookup, survey
from segmentry.result import Instances
from segmentry.tiling import slabs

__all__ = ["Matching", "average_precision", "f1", "match_objects", "precision", "recall"]


@dataclass(frozen=True, eq=False)
class Matching:
    """The overlaps of two sets of objects.

    Parameters
    ----------
    n_predicted, n_true
        Number of objects.
    pairs : (m, 2) array
        Position in ``predicted.ids`` and in ``truth.ids`` of each pair that shares pixels.
    iou : (m,) array
        Intersection over union of each pair.
    """

    n_predicted: int
    n_true: int
    pairs: NDArray[np.int64]
    iou: NDArray[np.float64]

    def true_positives(self, threshold: float) -> int:
        """Return the largest possible number of matches at an IoU of `threshold` or more (above 0)."""
        near = self.iou >= threshold
        rows, columns = self.pairs[near].T
        if len(np.unique(rows)) == len(rows) and len(np.unique(columns)) == len(columns):
            return len(rows)
        from scipy.sparse import csr_array
        from scipy.sparse.csgraph import maximum_bipartite_matching

        graph = csr_array((np.ones(len(rows), np.int8), (rows, columns)), shape=(self.n_predicted, self.n_true))
        return int((maximum_bipartite_matching(graph, perm_type="column") >= 0).sum())


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
    ours, theirs = survey(predicted.labels), survey(truth.labels)
    parts = []
    for region in slabs(predicted.grid.shape):
        a = lookup(np.asarray(predicted.labels[region]), ours.ids, np.arange(1, len(ours.ids) + 1, dtype=np.uint32))
        b = lookup(np.asarray(truth.labels[region]), theirs.ids, np.arange(1, len(theirs.ids) + 1, dtype=np.uint32))
        parts.append(count_overlaps(a.ravel(), b.ravel(), len(ours.ids)))
    rows = np.concatenate(parts)
    pairs, place = np.unique(rows[:, :2] - 1, axis=0, return_inverse=True)
    shared = np.bincount(place.ravel(), rows[:, 2], len(pairs))
    union = ours.sizes[pairs[:, 0]] + theirs.sizes[pairs[:, 1]] - shared
    return Matching(len(ours.ids), len(theirs.ids), pairs, shared / union)


def average_precision(tp: int, fp: int, fn: int) -> float:
    """TP / (TP + FP + FN), as in the DSB2018, StarDist and Cellpose papers; 1 where there is nothing to find."""
    return tp / (tp + fp + fn) if tp + fp + fn else 1.0


def f1(tp: int, fp: int, fn: int) -> float:
    """2 TP / (2 TP + FP + FN); 1 where there is nothing to find."""
    return 2 * tp / (2 * tp + fp + fn) if tp + fp + fn else 1.0


def precision(tp: int, fp: int) -> float:
    """TP / (TP + FP); NaN where nothing was predicted."""
    return tp / (tp + fp) if tp + fp else float("nan")


def recall(tp: int, fn: int) -> float:
    """TP / (TP + FN); NaN where there is nothing to find."""
    return tp / (tp + fn) if tp + fn else float("nan")
