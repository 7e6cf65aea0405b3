"""Votes of the neighbourhood on which object a pixel belongs to."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from segmentry.kernels.jit import compiled

__all__ = ["smooth_labels"]

#: What lies beyond the edge of the array: it has no vote.
NOBODY = np.uint32(2**32 - 1)


def smooth_labels(labels: NDArray[np.uint32], steps: Sequence[float], radius: float) -> NDArray[np.uint32]:
    """Round the outlines of objects towards the background.

    A pixel of an object stays unless there is more background than object in the ball around it; other objects don't
    count. A pixel of the background is gained by an object that has more than half of the ball.

    Parameters
    ----------
    labels : (Y, X) or (Z, Y, X) array of ids 1 … n, 0 for background
    steps
        Distance between neighbours along each axis.
    radius
        Of the ball, in the same unit.
    """
    from scipy.ndimage import maximum_filter, minimum_filter

    reach = [int(radius * (1 + 1e-9) / step) for step in steps]
    padded = np.pad(labels, [(r, r) for r in reach], constant_values=NOBODY)
    strides = [int(np.prod(padded.shape[i + 1 :])) for i in range(labels.ndim)]
    ball = [
        sum(k * stride for k, stride in zip(at, strides, strict=True))
        for at in itertools.product(*(range(-r, r + 1) for r in reach))
        if sum((k * step) ** 2 for k, step in zip(at, steps, strict=True)) <= radius**2 * (1 + 1e-9)
    ]
    size = [2 * r + 1 for r in reach]
    mixed = minimum_filter(labels, size, mode="nearest") != maximum_filter(labels, size, mode="nearest")
    places = np.flatnonzero(np.pad(mixed, [(r, r) for r in reach]))
    found = labels.copy()
    found[mixed] = _vote(padded.ravel(), places, np.array(ball, np.int64))
    return found


@compiled
def _vote(labels: NDArray[np.uint32], places: NDArray[np.int64], ball: NDArray[np.int64]) -> NDArray[np.uint32]:
    elected = np.empty(places.size, np.uint32)
    rivals = np.empty(ball.size, np.uint32)
    votes = np.empty(ball.size, np.int64)
    for place in range(places.size):
        i = places[place]
        mine = labels[i]
        own, empty, others, known = 0, 0, 0, 0
        for step in ball:
            there = labels[i + step]
            if there == NOBODY:
                continue
            if there == mine:
                own += 1
            if there == 0:
                empty += 1
            elif mine == 0:
                others += 1
                k = 0
                while k < known and rivals[k] != there:
                    k += 1
                if k == known:
                    rivals[k], votes[k] = there, 0
                    known += 1
                votes[k] += 1
        if mine > 0:
            elected[place] = mine if own >= empty else 0
        else:
            elected[place] = 0
            for k in range(known):
                if 2 * votes[k] > empty + others:
                    elected[place] = rivals[k]
    return elected
