"""Scores of objects that mean something: the share of objects of such a score that are really there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = ["Calibration", "calibrated", "calibration"]

#: Scores as they come, ascending, and the share of objects of each that match a true one.
Calibration: TypeAlias = tuple[tuple[float, float], ...]

#: Objects that must be known, and points of a curve.
LEAST, POINTS = 50, 24


def calibration(scores: NDArray[np.floating], hits: NDArray[np.bool_]) -> Calibration:
    """Return which share of objects match a true one, by their score, where enough are known: never falling.

    Shares are those that neighbouring scores have in common as far as they would fall else (isotonic regression,
    Zadrozny & Elkan 2002, doi:10.1145/775047.775151); nothing is said to be certain: one hit and one miss are added.

    Parameters
    ----------
    scores : (n,) array, 0 … 1
        Of objects that were found in images held out.
    hits : (n,) bool array
        Whether each matches a true one.

    Returns
    -------
    Points between which shares lie on lines; none where less than 50 objects are known.
    """
    if len(scores) < LEAST:
        return ()
    from sklearn.isotonic import isotonic_regression

    order = np.argsort(scores, kind="stable")
    # A few bins of as many objects each: single objects make no steps.
    bins = np.array_split(order, min(POINTS, len(order) // 20 or 1))
    middle = np.array([float(np.mean(scores[b])) for b in bins])
    share = np.array([(float(hits[b].sum()) + 1) / (len(b) + 2) for b in bins])
    rising = isotonic_regression(share, sample_weight=np.array([float(len(b)) for b in bins]))
    middle, first = np.unique(middle.astype(np.float32), return_index=True)
    return tuple((round(float(m), 6), round(float(s), 6)) for m, s in zip(middle, rising[first], strict=True))


def calibrated(scores: NDArray[np.float32], curve: Sequence[tuple[float, float]]) -> NDArray[np.float32]:
    """Return the shares that scores stand for; themselves where nothing is known.

    Examples
    --------
    >>> calibrated(np.array([0.2, 0.75], np.float32), ((0.5, 0.25), (1.0, 0.75))).tolist()
    [0.25, 0.5]
    """
    if not curve:
        return scores
    known = np.array(curve, np.float64)
    return np.interp(scores, known[:, 0], known[:, 1]).astype(np.float32)
