"""Equalisation by the histogram of the box around each pixel, with what is too frequent cut off.

Every column of the image keeps the histogram of the rows of the box; the histogram of the box slides along a row by
adding one column's and taking another's away, so that a pixel costs the same whatever the box (Perreault & Hébert 2007,
doi:10.1109/TIP.2007.902329). Counts are whole numbers: a pixel gets the same value in any window that holds its box.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from segmentry.kernels.jit import compiled

__all__ = ["equalise"]


def equalise(share: NDArray[np.float32], radius: tuple[int, ...], n_bins: int, clip: float) -> NDArray[np.float32]:
    """Return for each pixel the share of the box around it that is darker.

    Parameters
    ----------
    share : (Y, X) or (Z, Y, X) float32 array
        Intensities in 0 … 1; edges are mirrored.
    radius
        Half the width of the box along each axis.
    n_bins
        Number of bins of the histogram; within a bin the result rises linearly.
    clip
        Largest share of the box that one bin counts for; what exceeds it counts for all bins alike.

    Returns
    -------
    float32 array of the same shape, 0 … 1.
    """
    lead = (1,) * (3 - share.ndim)
    place = (share * np.float32(n_bins)).reshape(lead + share.shape)
    bins = np.minimum(place.astype(np.int16), n_bins - 1)
    reach = (0,) * len(lead) + radius
    padded = np.pad(bins, [(r, r) for r in reach], mode="symmetric")
    limit = max(1, int(clip * np.prod([2 * r + 1 for r in radius])))
    found = np.empty(place.shape, np.float32)
    _equalise(padded, place, reach[0], reach[1], reach[2], n_bins, limit, found)
    return found.reshape(share.shape)


@compiled
def _equalise(
    bins: NDArray[np.int16], place: NDArray[np.float32], deep: int, tall: int, wide: int,
    n_bins: int, limit: int, found: NDArray[np.float32],
) -> None:  # fmt: skip
    size = (2 * deep + 1) * (2 * tall + 1) * (2 * wide + 1)
    most = np.int32(min(limit, size))
    columns = np.empty((bins.shape[2], n_bins), np.int32)
    box = np.empty(n_bins, np.int32)
    nothing = np.zeros(n_bins, np.int32)
    for z in range(found.shape[0]):
        columns[:] = 0
        for dz in range(2 * deep + 1):
            for dy in range(2 * tall):
                _count(columns, bins[z + dz, dy], 1)
        for y in range(found.shape[1]):
            for dz in range(2 * deep + 1):
                _count(columns, bins[z + dz, y + 2 * tall], 1)
                if y > 0:
                    _count(columns, bins[z + dz, y - 1], -1)
            box[:] = 0
            for x in range(2 * wide):
                box += columns[x]
            for x in range(found.shape[2]):
                new, old = columns[x + 2 * wide], columns[x - 1] if x > 0 else nothing
                kept = np.int32(0)
                for b in range(n_bins):
                    box[b] += new[b] - old[b]
                    kept += min(box[b], most)
                here = bins[z + deep, y + tall, x + wide]
                below = np.int32(0)
                for b in range(here):
                    below += min(box[b], most)
                at = place[z, y, x]
                inside = (at - here) * min(box[here], most)
                found[z, y, x] = (below + inside + (size - kept) * at / n_bins) / size


@compiled
def _count(columns: NDArray[np.int32], row: NDArray[np.int16], step: int) -> None:
    for x in range(row.size):
        columns[x, row[x]] += np.int32(step)
