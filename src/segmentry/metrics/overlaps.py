"""Scores of objects by their pixels: how much of every object is covered, without a threshold.

The adapted Rand error and the variation of information compare two divisions of the same pixels into segments. Here
those are the pixels of the true objects; what no predicted object covers of them is one more predicted segment. What
was predicted elsewhere does not count.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from segmentry.metrics.matching import Matching
from segmentry.metrics.metric import Ratio, metric

__all__ = ["aji", "aji_plus", "are", "seg", "vi", "vi_merge", "vi_split"]

MEILA = "Meilă 2007, doi:10.1016/j.jmva.2006.11.013"
INSIDE = (
    "Made for cells that fill the image. What was predicted outside of true objects costs nothing; what is missed of "
    "them is one predicted segment across all, so that rims missing of many objects count as if they were merged."
)


@metric(
    Matching,
    empty=1,
    source="Kumar et al. 2017, doi:10.1109/TMI.2017.2677499",
    caveat="A predicted object over several true ones is counted once for each of them: it costs more than objects "
    "that are missed. AJI+ does without that.",
)
def aji(matching: Matching) -> Ratio:
    """Aggregated Jaccard index: every true object takes the predicted one of highest IoU; the pixels they share / the
    pixels of their unions and of the predicted objects that none took. How much is right of all pixels of objects.
    """
    order = np.argsort(-matching.iou, kind="stable")
    _, first = np.unique(matching.pairs[order, 1], return_index=True)
    return _aggregated(matching, order[first])


@metric(Matching, empty=1, source="Graham et al. 2019, doi:10.1016/j.media.2019.101563")
def aji_plus(matching: Matching) -> Ratio:
    """AJI with pairs one to one, chosen so that their IoU add up to most: the pixels that pairs share / the pixels of
    their unions and of all objects left over.
    """
    from segmentry.kernels.assignment import best_assignment

    return _aggregated(matching, best_assignment(matching.pairs, matching.iou, matching.n_predicted, matching.n_true))


@metric(Matching, source="Maška et al. 2014, doi:10.1093/bioinformatics/btu080", caveat="False objects cost nothing.")
def seg(matching: Matching) -> Ratio:
    """SEG of the Cell Tracking Challenge: the mean over true objects of the IoU with the predicted object that covers
    more than half of it, 0 where there is none.
    """
    covers = 2 * matching.shared > matching.true_sizes[matching.pairs[:, 1]]
    return Ratio(float(matching.iou[covers].sum()), matching.n_true)


@metric(
    Matching,
    best=0,
    worst=1,
    source="Arganda-Carreras et al. 2015, doi:10.3389/fnana.2015.00142",
    caveat=f"{INSIDE} Objects weigh by the square of their pixels.",
)
def are(matching: Matching) -> Ratio:
    """Adapted Rand error: 1 - F1 of the pairs of pixels that lie in one segment, predicted against true."""
    pixels, true, predicted = _segments(matching)
    together, apart = _couples(pixels), _couples(true) + _couples(predicted)
    return Ratio(apart - 2 * together, apart)


@metric(Matching, best=0, worst=np.inf, unit="bits", source=MEILA, caveat=INSIDE)
def vi(matching: Matching) -> Ratio:
    """Variation of information H(P|T) + H(T|P): what is still unknown, per pixel, of either division into segments
    once the other is known; `vi_split` + `vi_merge`.
    """
    split, merge = vi_split.function(matching), vi_merge.function(matching)
    return Ratio(split.numerator + merge.numerator, split.denominator)


@metric(Matching, best=0, worst=np.inf, unit="bits", source=MEILA, caveat=INSIDE)
def vi_split(matching: Matching) -> Ratio:
    """H(P|T): the part of the variation of information that comes of true objects in several predicted segments."""
    pixels, true, _ = _segments(matching, each=True)
    return Ratio(float((pixels * np.log2(true / pixels)).sum()), int(matching.true_sizes.sum()))


@metric(Matching, best=0, worst=np.inf, unit="bits", source=MEILA, caveat=INSIDE)
def vi_merge(matching: Matching) -> Ratio:
    """H(T|P): the part of the variation of information that comes of several true objects in a predicted segment."""
    pixels, _, predicted = _segments(matching, each=True)
    return Ratio(float((pixels * np.log2(predicted / pixels)).sum()), int(matching.true_sizes.sum()))


def _aggregated(matching: Matching, rows: NDArray[np.int64]) -> Ratio:
    """Return the pixels that some pairs share, and those of their unions and of all objects in none of them."""
    predicted, true = matching.pairs[rows].T
    unused, missed = np.ones(matching.n_predicted, np.bool_), np.ones(matching.n_true, np.bool_)
    unused[predicted], missed[true] = False, False
    shared = int(matching.shared[rows].sum())
    paired = matching.predicted_sizes[predicted].sum() + matching.true_sizes[true].sum() - shared
    return Ratio(shared, int(paired + matching.predicted_sizes[unused].sum() + matching.true_sizes[missed].sum()))


def _segments(
    matching: Matching, each: bool = False
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return the pixels of true objects: by pair of segments, by true and by predicted segment.

    With `each`, those of a segment are told for each pair it is in.
    """
    predicted, true = matching.pairs.T
    covered = _sums(true, matching.shared, matching.n_true)
    bare = matching.true_sizes - covered
    left = np.flatnonzero(bare)
    predicted = np.concatenate((predicted, np.full(len(left), matching.n_predicted)))
    true = np.concatenate((true, left))
    pixels = np.concatenate((matching.shared.astype(np.float64), bare[left]))
    inside = _sums(predicted, pixels, matching.n_predicted + 1)
    sizes = matching.true_sizes.astype(np.float64)
    return (pixels, sizes[true], inside[predicted]) if each else (pixels, sizes, inside)


def _sums(of: NDArray[np.int64], pixels: NDArray[Any], n: int) -> NDArray[np.float64]:
    return np.asarray(np.bincount(of, pixels, n), np.float64)


def _couples(pixels: NDArray[np.float64]) -> float:
    """Return the number of ordered pairs of two pixels within segments of so many."""
    return float((pixels * (pixels - 1)).sum())
