"""Two methods on the same images: by how much the scores differ, and whether that may be chance.

Both are judged on every image, and the differences of their scores are what is tested: images that are hard for both
don't count. The test turns the signs of the differences at random (Fisher's permutation test for pairs, 1935): if the
methods were alike, each difference could as well have had the other sign. The p value is the share of sign changes that
give a mean difference at least as large as the one that was seen; it is exact for up to 12 images, else from 10,000
draws.
"""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from segmentry.errors import InputError
from segmentry.metrics.metric import metrics
from segmentry.metrics.scores import SetScores

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["compare", "sign_test"]

EXACT = 12
DRAWS = 10_000


def compare(one: SetScores, other: SetScores) -> pd.DataFrame:
    """Return a row per score: its means on the images where both have it, the difference, its interval, and p.

    Raises
    ------
    InputError
        When they are not of the same images.
    """
    import pandas as pd

    if [i.name for i in one.images] != [i.name for i in other.images]:
        raise InputError("the two sets of results are not of the same images: they can't be compared")
    rows = []
    for key in one.found:
        if key not in other.found:
            continue
        known = metrics()[key[0]]
        images = zip(one.images, other.images, strict=True)
        pairs = [(a.found.get(key, math.nan), b.found.get(key, math.nan)) for a, b in images]
        values = np.array([[known.value(a), known.value(b)] for a, b in pairs], np.float64).reshape(-1, 2)
        values = values[np.isfinite(values).all(axis=1)]
        difference = values[:, 0] - values[:, 1]
        low, high = _interval(difference)
        mean = values.mean(axis=0) if len(values) else (math.nan, math.nan)
        row = {"metric": key[0], "of": key[1], "n": len(values), "mean": mean[0], "mean_of_other": mean[1]}
        gap = float(difference.mean()) if len(values) else math.nan
        rows.append({**row, "difference": gap, "low": low, "high": high, "p": sign_test(difference)})
    return pd.DataFrame(rows)


def sign_test(differences: NDArray[np.float64]) -> float:
    """Return the two-sided p value of paired differences whose signs might as well be the other way round.

    NaN for fewer than two; 1 where all are 0.
    """
    n = len(differences)
    if n < 2:
        return math.nan
    seen = abs(differences.sum()) * (1 - 1e-12)
    if n <= EXACT:
        signs = np.array(list(itertools.product((1.0, -1.0), repeat=n)))
        return float((np.abs(signs @ differences) >= seen).mean())
    rng = np.random.default_rng(0)
    extreme = 1  # what was seen is one of the draws, so that p is never 0
    for _ in range(DRAWS // 1000):
        signs = rng.choice(np.array([1.0, -1.0]), (1000, n))
        extreme += int((np.abs(signs @ differences) >= seen).sum())
    return extreme / (DRAWS + 1)


def _interval(differences: NDArray[np.float64]) -> tuple[float, float]:
    n = len(differences)
    if n < 2:
        return math.nan, math.nan
    drawn = np.random.default_rng(0).multinomial(n, [1 / n] * n, 2000) @ differences / n
    low, high = np.percentile(drawn, [2.5, 97.5])
    return float(low), float(high)
