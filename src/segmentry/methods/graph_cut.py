"""Graph cut: the best of all divisions into objects and background, by what pixels and outlines cost.

A pixel costs as much as its intensity is improbable in the class that it is given; an outline costs its length, less
where it follows an edge. Pixels are nodes of a graph whose minimum cut is the division that costs least of all there
are (Boykov & Jolly 2001). It works on noisy objects that differ from the background in intensity, and leaves no specks;
it fails on thin objects, whose outline is long for what they hold.
"""

from __future__ import annotations

import itertools
import math
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from segmentry.image import Grid
from segmentry.two_phases import TwoPhases
from segmentry.workspace import ensure_memory

__all__ = ["GraphCut", "minimum_cut"]

#: Costs are whole numbers of this part.
PARTS = 1000
#: How many times the memory of other methods the graph takes: about 700 bytes per pixel.
GRAPH = 15
#: The most that one pixel can cost: its intensity alone never makes it quite sure.
DEAREST = 4.0


class GraphCut(TwoPhases):
    """Finds noisy objects without specks or holes: the cheapest division of all."""

    name: ClassVar[str] = "graph_cut"
    source: ClassVar[str] = "Boykov & Jolly 2001, doi:10.1109/ICCV.2001.937505"

    smoothness: float = Field(
        5.0, ge=0, le=1000, description="What an outline costs per pixel of length; more drops more small objects."
    )
    edge: float | None = Field(
        None,
        gt=0,
        le=100,
        description="Step in intensity that makes outlines cheap, as a share of the step from background to object; "
        "none: the usual step between neighbours (root mean square).",
    )

    def region(self, pixels: NDArray[Any], grid: Grid) -> NDArray[np.bool_]:
        ensure_memory(GRAPH * pixels.size, "graph_cut makes a graph of the whole image", "resample the image")
        least = math.exp(-2 * DEAREST)
        probable = np.clip(self.likely(pixels).astype(np.float64), least, 1 - least)
        gain = np.clip(np.log(probable) - np.log1p(-probable), -DEAREST, DEAREST)
        links = [(step, _whole(cost)) for step, cost in self._outline(self.scaled(pixels), grid)]
        return minimum_cut(_whole(gain), links)

    def _outline(self, scaled: NDArray[np.float32], grid: Grid) -> list[tuple[tuple[int, ...], NDArray[np.float64]]]:
        """Return what it costs to part each pixel from its neighbour, for each step to a neighbour."""
        costs = []
        steps = half_neighbours(scaled.ndim)
        distances = [math.hypot(*(s * a for s, a in zip(step, grid.anisotropy, strict=True))) for step in steps]
        # An outline along the last axis cuts these links per pixel: together they cost one.
        crossed = sum(abs(step[-1]) / d for step, d in zip(steps, distances, strict=True))
        squared = [np.subtract(*pair(scaled, step), dtype=np.float64) ** 2 for step in steps]
        usual = sum(float(s.sum()) for s in squared) / max(sum(s.size for s in squared), 1)
        flat = 2 * (self.edge**2 if self.edge else max(usual, 1e-12))
        for step, distance, difference in zip(steps, distances, squared, strict=True):
            costs.append((step, self.smoothness / (distance * crossed) * np.exp(-difference / flat)))
        return costs


def _whole(cost: NDArray[np.float64]) -> NDArray[np.int32]:
    return np.rint(PARTS * cost).astype(np.int32)


def half_neighbours(ndim: int) -> list[tuple[int, ...]]:
    """Return the steps to one of each two opposite neighbours; in volumes over faces only, which saves memory."""
    steps = itertools.product((-1, 0, 1), repeat=ndim)
    return [step for step in steps if step > (0,) * ndim and (ndim < 3 or sum(map(abs, step)) == 1)]


def pair(array: NDArray[Any], step: tuple[int, ...]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the pixels that have a neighbour at a step, and these neighbours, in the same order."""
    here = tuple(slice(max(0, -s), n - max(0, s)) for s, n in zip(step, array.shape, strict=True))
    there = tuple(slice(max(0, s), n - max(0, -s)) for s, n in zip(step, array.shape, strict=True))
    return array[here], array[there]


def minimum_cut(gain: NDArray[np.int32], links: list[tuple[tuple[int, ...], NDArray[np.int32]]]) -> NDArray[np.bool_]:
    """Return the cheapest division; of several, the one with fewest pixels in it.

    Parameters
    ----------
    gain : int32 array
        By how much a pixel is cheaper inside than outside.
    links
        Steps to a neighbour, each with what it costs to part a pixel from that neighbour (0 or more).
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import breadth_first_order, maximum_flow

    places = np.arange(gain.size, dtype=np.int32).reshape(gain.shape)
    source, sink = gain.size, gain.size + 1
    wanted, unwanted = np.flatnonzero(gain > 0), np.flatnonzero(gain < 0)
    tails: list[NDArray[Any]] = [np.full(len(wanted), source, np.int32), unwanted]
    heads: list[NDArray[Any]] = [wanted, np.full(len(unwanted), sink, np.int32)]
    capacities: list[NDArray[Any]] = [gain.ravel()[wanted], -gain.ravel()[unwanted]]
    for step, cost in links:
        here, there = (side.ravel() for side in pair(places, step))
        tails += [here, there]
        heads += [there, here]
        capacities += [cost.ravel()] * 2
    entries = np.concatenate(capacities), (np.concatenate(tails), np.concatenate(heads))
    graph = coo_array(entries, shape=(gain.size + 2,) * 2).tocsr()
    left = graph - maximum_flow(graph, source, sink).flow
    left.eliminate_zeros()
    reached = breadth_first_order(left, source, return_predecessors=False)
    inside = np.zeros(gain.size + 2, np.bool_)
    inside[reached] = True
    return inside[:-2].reshape(gain.shape)
