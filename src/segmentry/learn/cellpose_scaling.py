"""How Cellpose brings an image before its network: resized to the objects it knows, with margins, in tiles, averaged.

The network sees how all of a tile looks, its style. So its scores are the same as those of Cellpose only where tiles,
margins and sizes are the same, too; this gives them to rounding (Stringer 2021, doi:10.1038/s41592-020-01018-x, as of
Cellpose 3). Where tiles lie depends on the plane's shape alone.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = ["MULTIPLE", "TILE", "cellpose_scores", "cellpose_volume_scores", "margins", "resized", "starts", "taper"]

#: From (N, channels, y, x) numbers to (N, 3, y, x) scores.
Scores: TypeAlias = Callable[[NDArray[np.float32]], NDArray[np.float32]]

#: Length of a tile along both axes, and what a plane with its margins is made a multiple of.
TILE, MULTIPLE = 224, 16
#: Share of a tile that it has in common with the next on either side.
_OVERLAP = 0.1
#: How far from its edges a tile counts half, and over how many pixels that changes.
_EDGE, _SOFT = 20, 7.5


def cellpose_scores(
    network: Scores,
    plane: NDArray[np.float32],
    rescale: float = 1.0,
    batch: int = 8,
) -> NDArray[np.float32]:
    """Return the scores of a plane: flow along Y, flow along X, logit of an object, as (3, Y, X).

    Parameters
    ----------
    network
        Of Cellpose.
    plane : (channels, Y, X) float32 array
        Scaled intensities.
    rescale
        How many times longer the plane is made: the diameter that the network is made for by that of the objects.
    batch
        Tiles that the network is given at a time.
    """
    shape = plane.shape[1:]
    seen = plane if rescale == 1 else resized(plane, [max(1, int(n * rescale)) for n in shape])
    around = [margins(n) for n in seen.shape[1:]]
    padded = np.pad(seen, ((0, 0), *around))
    lengths = [min(n, TILE) for n in padded.shape[1:]]
    places = list(itertools.product(*(starts(n) for n in padded.shape[1:])))
    weight = taper(lengths[0])[:, None] * taper(lengths[1])
    total: NDArray[np.float32] | None = None
    count = np.zeros(padded.shape[1:])
    for first in range(0, len(places), batch):
        cuts = [tuple(slice(s, s + n) for s, n in zip(p, lengths, strict=True)) for p in places[first : first + batch]]
        for cut, scores in zip(cuts, network(np.stack([padded[:, *cut] for cut in cuts])), strict=True):
            if total is None:
                total = np.zeros((len(scores), *count.shape), np.float32)
            total[:, *cut] += scores * weight
            count[cut] += weight
    assert total is not None
    total /= count
    inner = [slice(before, before + n) for (before, _), n in zip(around, seen.shape[1:], strict=True)]
    found = np.ascontiguousarray(total[:, *inner])
    return found if rescale == 1 else resized(found, shape)


def cellpose_volume_scores(
    network: Scores, volume: NDArray[np.float32], rescale: float = 1.0, anisotropy: float = 1.0, batch: int = 8
) -> NDArray[np.float32]:
    """Return the scores of a volume: flow along Z, along Y, along X, logit of an object, as (4, Z, Y, X).

    The network sees all planes across each axis. Logits of the three are summed, and so are flows of the two that have
    them: as if of planes, they are two and three times as large.

    Parameters
    ----------
    network, rescale, batch
        As for :func:`cellpose_scores`.
    volume : (channels, Z, Y, X) float32 array
        Scaled intensities.
    anisotropy
        How many times farther planes are from each other than pixels of a plane.
    """
    shape = volume.shape[1:]
    along = (rescale * anisotropy, rescale, rescale)
    seen = resized(volume, [max(1, int(n * r)) for n, r in zip(shape, along, strict=True)])
    total = np.zeros((4, *seen.shape[1:]), np.float32)
    for across, flows in enumerate(((1, 2), (0, 2), (0, 1))):
        for i, plane in enumerate(np.moveaxis(seen, 1 + across, 0)):
            first, second, logit = cellpose_scores(network, plane, batch=batch)
            for part, found in ((flows[0], first), (flows[1], second), (3, logit)):
                np.moveaxis(total[part], across, 0)[i] += found
    return resized(total, shape)


def resized(maps: NDArray[np.float32], lengths: Sequence[int]) -> NDArray[np.float32]:
    """Return (channels, *spatial) maps with other lengths, linear between pixels' middles; nothing is smoothed before.

    Beyond the middles of the pixels at the edges, numbers are those of the edges.
    """
    for axis, new in enumerate(lengths, 1):
        old = maps.shape[axis]
        if new == old:
            continue
        at = np.clip((np.arange(new) + 0.5) * (old / new) - 0.5, 0, old - 1)
        low = np.minimum(at.astype(np.int64), max(old - 2, 0))
        share = (at - low).astype(np.float32).reshape((-1,) + (1,) * (maps.ndim - axis - 1))
        first, second = maps.take(low, axis), maps.take(np.minimum(low + 1, old - 1), axis)
        maps = first + (second - first) * share
    return maps


def margins(length: int) -> tuple[int, int]:
    """Return how many zeros go before and after an axis: to the next multiple, and half of one on either side."""
    lacking = -length % MULTIPLE
    return MULTIPLE // 2 + lacking // 2, MULTIPLE // 2 + lacking - lacking // 2


def starts(length: int) -> list[int]:
    """Return where tiles begin along an axis with its margins."""
    if length <= TILE:
        return [0]
    count = math.ceil((1 + 2 * _OVERLAP) * length / TILE)
    return [int(start) for start in np.linspace(0, length - TILE, count)]


def taper(length: int) -> NDArray[np.float64]:
    """Return how much the pixels of a tile count along an axis; in one that is shorter, those of the middle."""
    away = np.abs(np.arange(TILE) - (TILE - 1) / 2)
    weight: NDArray[np.float64] = 1 / (1 + np.exp((away - (TILE / 2 - _EDGE)) / _SOFT))
    first = TILE // 2 - length // 2
    return weight[first : first + length]
