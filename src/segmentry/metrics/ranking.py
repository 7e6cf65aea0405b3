"""Scores of objects that have a score of their own: how right those are that the method is sure of.

Predicted objects are taken by falling score, equal ones in order. Those without a score come last.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from segmentry.errors import InputError
from segmentry.metrics.matching import Matching
from segmentry.metrics.metric import metric

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "THRESHOLDS", "Ranking", "calibration_error", "coco_ap", "coco_ap50", "coco_ap75", "rank_objects", "reliability",
]  # fmt: skip

#: The IoU thresholds of COCO.
THRESHOLDS = tuple(round(0.5 + 0.05 * i, 2) for i in range(10))
#: The recalls at which COCO reads off the precision, in the floating point numbers that it compares with.
RECALLS = np.linspace(0, 1, 101)
BINS = 10
LIN = "Lin et al. 2014, doi:10.1007/978-3-319-10602-1_48"
CAVEAT = "Other than with COCO's own program, all predicted objects count, not just the best 100 of an image."


@dataclass(frozen=True, eq=False)
class Ranking:
    """The predicted objects of one image by falling score, and what they overlap.

    Parameters
    ----------
    scores : (n,) array
        Falling; NaN, last, where there is none.
    n_true
        Number of true objects.
    pairs : (m, 2) array
        Rank of a predicted object and position of a true one: each pair that shares pixels. By rank, then by falling
        IoU; of equal ones the later true object first, as COCO has it.
    iou : (m,) array
        Intersection over union of each pair.
    """

    scores: NDArray[np.float64]
    n_true: int
    pairs: NDArray[np.int64]
    iou: NDArray[np.float64]

    def take(self, threshold: float) -> NDArray[np.int64]:
        """Return the position of the true object that each predicted one takes, -1 for none.

        By COCO's rule: one by one, each takes the free true object of the highest IoU of `threshold` or more.
        """
        near = self.pairs[self.iou >= threshold]
        taken = np.full(len(self.scores), -1, np.int64)
        # Above half, no object has a second one to choose: only the others are to be gone through one by one.
        rivals = np.bincount(near[:, 0], minlength=len(self.scores))
        sought = np.bincount(near[:, 1], minlength=self.n_true)
        alone = (rivals[near[:, 0]] == 1) & (sought[near[:, 1]] == 1)
        taken[near[alone, 0]] = near[alone, 1]
        free = np.ones(self.n_true, np.bool_)
        for rank, true in near[~alone].tolist():
            if taken[rank] < 0 and free[true]:
                taken[rank], free[true] = true, False
        return taken

    @cached_property
    def taken(self) -> NDArray[np.int64]:
        """What each predicted object takes at each of the ten :data:`THRESHOLDS`: (10, n)."""
        return np.stack([self.take(threshold) for threshold in THRESHOLDS])


def rank_objects(matching: Matching, scores: ArrayLike | None) -> Ranking:
    """Return the predicted objects by falling score.

    Parameters
    ----------
    matching
        Their overlaps with the true ones.
    scores
        One per predicted object, NaN where it is unknown; ``None``: all are unknown.

    Raises
    ------
    InputError
        When there are not as many scores as predicted objects.
    """
    n = matching.n_predicted
    known = np.full(n, math.nan) if scores is None else np.asarray(scores, np.float64)
    if known.shape != (n,):
        raise InputError(f"{known.size:,} scores for {n:,} predicted objects: give one for each")
    order = np.argsort(-known, kind="stable")
    rank = np.empty(n, np.int64)
    rank[order] = np.arange(n)
    pairs = np.stack([rank[matching.pairs[:, 0]], matching.pairs[:, 1]], axis=1)
    by = np.lexsort((-pairs[:, 1], -matching.iou, pairs[:, 0]))
    return Ranking(known[order], matching.n_true, pairs[by], matching.iou[by])


@metric(Ranking, source=LIN, caveat=CAVEAT)
def coco_ap(rankings: Sequence[Ranking]) -> float:
    """COCO's average precision: the mean over recalls of 0, 0.01 … 1 of the highest precision at that recall or more,
    when predicted objects are accepted down to any score; the mean of that over the IoU of 0.50, 0.55 … 0.95.
    """
    return _average_precision(rankings, range(len(THRESHOLDS)))


@metric(Ranking, source=LIN, caveat=CAVEAT)
def coco_ap50(rankings: Sequence[Ranking]) -> float:
    """COCO's average precision at an IoU of 0.50."""
    return _average_precision(rankings, [THRESHOLDS.index(0.5)])


@metric(Ranking, source=LIN, caveat=CAVEAT)
def coco_ap75(rankings: Sequence[Ranking]) -> float:
    """COCO's average precision at an IoU of 0.75."""
    return _average_precision(rankings, [THRESHOLDS.index(0.75)])


@metric(
    Ranking,
    best=0,
    worst=1,
    source="Naeini et al. 2015, doi:10.1609/aaai.v29i1.9602",
    caveat="In ten bins of score; of few objects it is above 0 by chance. Objects that are missed don't count.",
)
def calibration_error(rankings: Sequence[Ranking]) -> float:
    """Expected calibration error: how far the mean score of predicted objects is off the share of them that is right
    (at an IoU of 0.50), on average over objects in bins of like score.
    """
    number, score, right = _binned(rankings, 0.5, BINS)
    return float(np.abs(score - right).sum() / number.sum()) if number.sum() else math.nan


def reliability(rankings: Sequence[Ranking], threshold: float = 0.5, bins: int = BINS) -> pd.DataFrame:
    """Return how right predicted objects of like score are: a row per bin of score that holds some.

    Columns: ``from`` and ``to`` (scores above and up to), ``n`` (predicted objects), ``score`` (their mean) and
    ``right`` (the share that takes a true object at an IoU of `threshold`). Scores that are right on average are equal
    to that share. Objects without a score are left out.
    """
    import pandas as pd

    number, score, right = _binned(rankings, threshold, bins)
    edges = np.linspace(0, 1, bins + 1)
    some = number > 0
    number, score, right = number[some], score[some], right[some]
    columns = {"from": edges[:-1][some], "to": edges[1:][some], "n": number}
    return pd.DataFrame({**columns, "score": score / number, "right": right / number})


def _binned(
    rankings: Sequence[Ranking], threshold: float, bins: int
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]:
    """Return, for each bin of score, the number of predicted objects, the sum of their scores, and how many are right.

    Objects without a score are left out.
    """
    scores = np.concatenate([np.empty(0), *(r.scores for r in rankings)])
    right = np.concatenate([np.empty(0, np.bool_), *(_right(r, threshold) for r in rankings)])
    known = ~np.isnan(scores)
    scores, right = scores[known], right[known]
    place = np.searchsorted(np.linspace(0, 1, bins + 1)[1:-1], scores)
    number = np.bincount(place, minlength=bins).astype(np.int64)
    return number, _sums(place, scores, bins), _sums(place, right, bins)


def _sums(place: NDArray[np.intp], values: NDArray[Any], bins: int) -> NDArray[np.float64]:
    return np.asarray(np.bincount(place, values, bins), np.float64)


def _right(ranking: Ranking, threshold: float) -> NDArray[np.bool_]:
    at = THRESHOLDS.index(threshold) if threshold in THRESHOLDS else None
    return np.asarray((ranking.take(threshold) if at is None else ranking.taken[at]) >= 0)


def _average_precision(rankings: Sequence[Ranking], which: Sequence[int]) -> float:
    """Return the mean over some thresholds of the precision, itself the mean over the recalls.

    NaN where there is nothing to find, or where no predicted object has a score.
    """
    n_true = sum(r.n_true for r in rankings)
    scores = np.concatenate([np.empty(0), *(r.scores for r in rankings)])
    if not n_true or (len(scores) and np.isnan(scores).all()):
        return math.nan
    order = np.argsort(-scores, kind="stable")
    found = []
    for at in which:
        right = np.concatenate([np.empty(0, np.bool_), *(r.taken[at] >= 0 for r in rankings)])
        ranks = np.flatnonzero(right[order])
        hits = np.arange(1, len(ranks) + 1)
        # The precision is highest where a right object was just accepted.
        best = np.maximum.accumulate((hits / (ranks + 1))[::-1])[::-1]
        first = np.searchsorted(hits / n_true, RECALLS)
        found.append(best[first[first < len(best)]].sum() / len(RECALLS))
    return float(np.mean(found))
