"""How often straight lines through the pixels of an image enter or leave each object."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from segmentry.kernels.jit import compiled
from segmentry.kernels.marks import marked

__all__ = ["count_crossings"]


@compiled
def count_crossings(
    index: NDArray[np.uint32], margin: NDArray[np.int64], first: NDArray[np.int64], last: NDArray[np.int64],
    steps: NDArray[np.int64], counts: NDArray[np.int64],
) -> None:  # fmt: skip
    """Add, for each direction and each object, the steps from pixel to pixel that lead into it or out of it.

    Parameters
    ----------
    index : (Z, Y, X) array
        Number of the object at each pixel, 1 … n; 0 where there is none.
    margin : (3,) array
        How many pixels along each axis, on either side, are there only to be looked at; no step is longer.
    first, last : (3,) arrays
        Per axis, 1 where the image begins or ends: there the steps that come from beyond it are counted too.
    steps : (m, 3) array
        From a pixel to the next on a line, along Z, Y and X.
    counts : (m, n + 1) array that is added to
        Column 0 means nothing.
    """
    depth, height, width = index.shape
    flat = index.ravel()
    for m in range(steps.shape[0]):
        dz, dy, dx = steps[m]
        count = counts[m]
        offset = (dz * height + dy) * width + dx
        left = margin[2] - first[2] * max(dx, 0)
        size = width - margin[2] + last[2] * max(-dx, 0) - left
        marks, places = np.empty(size, np.uint8), np.empty(size + 1, np.int64)
        for z in range(margin[0] - first[0] * max(dz, 0), depth - margin[0] + last[0] * max(-dz, 0)):
            for y in range(margin[1] - first[1] * max(dy, 0), height - margin[1] + last[1] * max(-dy, 0)):
                begin = (z * height + y) * width + left
                here = flat[begin : begin + size]
                there = flat[begin + offset : begin + offset + size]
                _mark(here, there, marks)
                for t in range(marked(marks, places)):
                    x = places[t]
                    count[here[x]] += 1
                    count[there[x]] += 1


@compiled
def _mark(here: NDArray[np.uint32], there: NDArray[np.uint32], marks: NDArray[np.uint8]) -> None:
    for x in range(marks.size):
        marks[x] = here[x] != there[x]
