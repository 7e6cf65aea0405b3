"""From marks to the places that are marked: rows are compared at full speed, and only what differs is looked at."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from segmentry.kernels.jit import compiled

__all__ = ["marked"]


@compiled
def marked(marks: NDArray[np.uint8], places: NDArray[np.int64]) -> int:
    """Write where marks, each 0 or 1, are 1; return how many are.

    Parameters
    ----------
    marks : (N,) array
    places : (N + 1,) array that is written to
    """
    n = 0
    for x in range(marks.size):
        # Where marks come is not to be foreseen, so the loop has no branch: it costs less to write in vain.
        places[n] = x
        n += marks[x]
    return n
