"""What became of every object: found, merged with others, split, badly outlined or missed.

A predicted and a true object that match, one to one at an IoU of the threshold or more, are *correct* and *found*. Of
the others it is said what went wrong. An object *lies in* another when more than half of its pixels do. In this order:

- A true object that lies in a predicted one together with another true object is *merged*. So is one that lies in a
  predicted object that matches another: that one swallowed it, and stays correct.
- A predicted object in which two or more true ones lie is a *merge*.
- A true object in which two or more predicted ones lie is *split*. A predicted object that lies in a true one together
  with another predicted object is a *part*; so is one that lies in a true object that matches another.
- A true object of which predicted objects cover less than a tenth is *missed*; a predicted one of which true objects
  cover less than a tenth is *extra*.
- The rest is *poor*: it is there, but its outline is wrong.

So whenever a true object is merged, there is a merge or a correct object that it lies in. Specks in a large object
that was not found make it split, not missed.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from segmentry.metrics.matching import Matching
from segmentry.metrics.metric import Ratio, metric

__all__ = [
    "CORRECT", "EXTRA", "FOUND", "MERGE", "MERGED", "MISSED", "PART", "POOR", "SPLIT", "Fates", "count_bias",
    "count_error", "extra_rate", "fates", "merge_rate", "missed_rate", "split_rate",
]  # fmt: skip

FOUND, MERGED, SPLIT, MISSED = "found", "merged", "split", "missed"
CORRECT, MERGE, PART, EXTRA = "correct", "merge", "part", "extra"
POOR = "poor"
#: Of objects that are missed or extra, less than one in so many pixels is covered.
TENTH = 10
#: IoU at which objects match in the rates of errors.
THRESHOLD = 0.5


class Fates(NamedTuple):
    """What became of each object, as text.

    Parameters
    ----------
    predicted
        ``"correct"``, ``"merge"``, ``"part"``, ``"poor"`` or ``"extra"``.
    true
        ``"found"``, ``"merged"``, ``"split"``, ``"poor"`` or ``"missed"``.
    """

    predicted: NDArray[np.str_]
    true: NDArray[np.str_]


def fates(matching: Matching, threshold: float = THRESHOLD) -> Fates:
    """Return what became of each object, matched at an IoU of `threshold`."""
    predicted, true = matching.pairs.T
    rows = matching.matched(threshold)
    correct, found = np.zeros(matching.n_predicted, np.bool_), np.zeros(matching.n_true, np.bool_)
    correct[predicted[rows]], found[true[rows]] = True, True
    in_predicted = 2 * matching.shared > matching.true_sizes[true]
    in_true = 2 * matching.shared > matching.predicted_sizes[predicted]
    merge = np.bincount(predicted[in_predicted], minlength=matching.n_predicted) > 1
    split = np.bincount(true[in_true], minlength=matching.n_true) > 1
    merged, part = np.zeros(matching.n_true, np.bool_), np.zeros(matching.n_predicted, np.bool_)
    merged[true[in_predicted & (merge | correct)[predicted]]] = True
    part[predicted[in_true & (split | found)[true]]] = True
    extra = _bare(predicted, matching.shared, matching.predicted_sizes)
    missed = _bare(true, matching.shared, matching.true_sizes)
    return Fates(
        np.select([correct, merge, part, extra], [CORRECT, MERGE, PART, EXTRA], POOR),
        np.select([found, merged, split, missed], [FOUND, MERGED, SPLIT, MISSED], POOR),
    )


@metric(Matching, best=0, worst=1)
def merge_rate(matching: Matching) -> Ratio:
    """True objects that are merged with others in one predicted object / true objects."""
    return _share(fates(matching).true, MERGED)


@metric(Matching, best=0, worst=1)
def split_rate(matching: Matching) -> Ratio:
    """True objects that are split into several predicted ones / true objects."""
    return _share(fates(matching).true, SPLIT)


@metric(Matching, best=0, worst=1)
def missed_rate(matching: Matching) -> Ratio:
    """True objects of which predicted ones cover less than a tenth / true objects."""
    return _share(fates(matching).true, MISSED)


@metric(Matching, best=0, worst=1)
def extra_rate(matching: Matching) -> Ratio:
    """Predicted objects of which true ones cover less than a tenth / predicted objects."""
    return _share(fates(matching).predicted, EXTRA)


@metric(Matching, best=0, worst=np.inf, caveat="Misses and false objects of one image make up for each other.")
def count_error(matching: Matching) -> Ratio:
    """|Predicted - true| / true objects: how far their number is off, added up over images where pooled."""
    return Ratio(abs(matching.n_predicted - matching.n_true), matching.n_true)


@metric(
    Matching, best=0, worst=np.inf, lowest=-1, caveat="Misses and false objects make up for each other, of any image."
)  # fmt: skip
def count_bias(matching: Matching) -> Ratio:
    """(Predicted - true) / true objects: above 0 where there are too many, down to -1 where there are none."""
    return Ratio(matching.n_predicted - matching.n_true, matching.n_true)


def _bare(of: NDArray[np.int64], shared: NDArray[np.int64], sizes: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return which objects have less than a tenth of their pixels in any of the other side."""
    return np.asarray(TENTH * np.bincount(of, shared, len(sizes)) < sizes)


def _share(fates: NDArray[np.str_], fate: str) -> Ratio:
    return Ratio(int((fates == fate).sum()), len(fates))
