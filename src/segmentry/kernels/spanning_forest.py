"""Growth from seeds over the boundaries of a graph, lowest first: a minimum spanning forest rooted in the seeds.

This is the watershed on the edges of a graph (Cousty et al. 2009, doi:10.1109/TPAMI.2008.173), by Prim's rule with a
queue for each height. Boundaries may count less for one label, the background.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from segmentry.kernels.jit import compiled
from segmentry.kernels.supervoxel_graph import SupervoxelGraph, both_ways

#: Heights are below this; so high is what is never reached.
NEVER = 2**16

__all__ = ["NEVER", "grow_forest", "lean", "rival_heights"]


def lean(graph: SupervoxelGraph, bias: float, closed: NDArray[np.bool_] | None = None) -> SupervoxelGraph:
    """Return a graph without the boundaries over which nothing grows, and without those of some supervoxels.

    Over a boundary that counts more than the highest boundary on another way from one of its supervoxels to the other,
    nothing grows, wherever the seeds are: what is left is a minimum spanning tree and, the further the bias is from 1,
    some more. Forests are the same as on the whole graph where no two heights are, and minimum spanning ones always.

    Parameters
    ----------
    bias
        That of :func:`grow_forest`.
    closed : (n + 1,) array
        The supervoxels that nothing may enter or leave; none if not given.
    """
    count = len(graph.starts) - 2
    first, second, heights = _in_order(*graph, np.zeros(count + 1, np.bool_) if closed is None else closed)
    needed = _needed(first, second, heights, count, bias)
    first, second = first[needed], second[needed]
    order = np.argsort(first, kind="stable")
    starts = np.searchsorted(first[order], np.arange(count + 2)).astype(np.int64)
    return SupervoxelGraph(*both_ways(starts, second[order], heights[needed][order].astype(np.uint16)))


def grow_forest(
    graph: SupervoxelGraph, seeds: NDArray[np.uint32], background: int, bias: float
) -> tuple[NDArray[np.uint32], NDArray[np.int32]]:
    """Grow seeds over the lowest boundaries first, until all that can be reached is divided.

    A supervoxel goes to the label that reaches it over the path whose highest boundary is lowest, as long as no label
    is biased.

    Parameters
    ----------
    graph
        Of n supervoxels.
    seeds : (n + 1,) array
        Label of the supervoxels to grow from, 0 elsewhere.
    background
        The label for which boundaries count `bias` times their height.
    bias
        Above 0, at most 1; below 1 the background wins where boundaries are about as high.

    Returns
    -------
    labels : (n + 1,) array
        0 where no seed reaches.
    reached : (n + 1,) int32 array
        The highest boundary on the way from the seed, as it counts; `NEVER` where no seed reaches.
    """
    labels = seeds.astype(np.uint32)
    return labels, _grow(*graph, labels, background, bias)


def rival_heights(
    graph: SupervoxelGraph, labels: NDArray[np.uint32], reached: NDArray[np.int32], background: int, bias: float
) -> NDArray[np.int32]:
    """Return the height of the best path to each supervoxel from a seed of another label; `NEVER` where there is none.

    Parameters are those of :func:`grow_forest` and what it returns.
    """
    return _rivals(*graph, labels, reached, background, bias)


@compiled
def _in_order(
    starts: NDArray[np.int64], neighbours: NDArray[np.int32], heights: NDArray[np.uint16], closed: NDArray[np.bool_]
) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int32]]:
    """Return both supervoxels and the height of each boundary between those that are not closed, lowest first."""
    begin = np.zeros(NEVER + 1, np.int64)
    for i in range(closed.size):
        for k in range(starts[i], starts[i + 1]):
            if i < neighbours[k] and not closed[i] and not closed[neighbours[k]]:
                begin[heights[k] + 1] += 1
    for level in range(NEVER):
        begin[level + 1] += begin[level]
    first, second = np.empty(begin[-1], np.int32), np.empty(begin[-1], np.int32)
    ordered = np.empty(begin[-1], np.int32)
    for i in range(closed.size):
        for k in range(starts[i], starts[i + 1]):
            if i < neighbours[k] and not closed[i] and not closed[neighbours[k]]:
                at = begin[heights[k]]
                begin[heights[k]] += 1
                first[at], second[at], ordered[at] = i, neighbours[k], heights[k]
    return first, second, ordered


@compiled
def _needed(
    first: NDArray[np.int32], second: NDArray[np.int32], heights: NDArray[np.int32], count: int, bias: float
) -> NDArray[np.bool_]:
    """Return which of the boundaries, lowest first, count no more than the lowest way around them is high.

    Sets are joined by rank, without shortening the paths to their roots: so these are short, and tell over which height
    two supervoxels came together.
    """
    parent = np.arange(count + 1).astype(np.int32)
    rank = np.zeros(count + 1, np.uint8)
    joined = np.full(count + 1, NEVER, np.int32)
    for k in range(first.size):
        i, j = first[k], second[k]
        while parent[i] != i:
            i = parent[i]
        while parent[j] != j:
            j = parent[j]
        if i != j:
            if rank[i] < rank[j]:
                i, j = j, i
            rank[i] += rank[i] == rank[j]
            parent[j], joined[j] = i, heights[k]
    needed = np.empty(first.size, np.bool_)
    for k in range(first.size):
        i, j, around = first[k], second[k], np.int32(0)
        while i != j:
            if joined[i] > joined[j]:
                i, j = j, i
            i, around = parent[i], joined[i]
        needed[k] = around >= int(heights[k] * bias + 0.5)
    return needed


@compiled
def _as_counted(height: Any, label: Any, background: int, bias: float) -> int:
    """Return what a boundary counts for a label."""
    return int(height * bias + 0.5) if label == background else int(height)


@compiled
def _append(
    node: int, level: int, head: NDArray[np.int32], tail: NDArray[np.int32], nodes: NDArray[np.int32],
    following: NDArray[np.int32], n: int,
) -> int:  # fmt: skip
    """Append a supervoxel to the queue of a level, as entry n; return the number of entries."""
    nodes[n] = node
    following[n] = -1
    if head[level] < 0:
        head[level] = n
    else:
        following[tail[level]] = n
    tail[level] = n
    return n + 1


@compiled
def _grow(
    starts: NDArray[np.int64], neighbours: NDArray[np.int32], heights: NDArray[np.uint16], labels: NDArray[np.uint32],
    background: int, bias: float,
) -> NDArray[np.int32]:  # fmt: skip
    """Fill the zeros of labels; return at which height each was reached.

    An entry of the queues is a supervoxel; the neighbour over which it is reached at the lowest height so far is kept
    in `sources`. Once reached over some height, what lies lower behind it is reached at that height.
    """
    head, tail = np.full(NEVER, -1, np.int32), np.empty(NEVER, np.int32)
    nodes = np.empty(neighbours.size + labels.size, np.int32)
    following = np.empty(neighbours.size + labels.size, np.int32)
    # The lowest height so far of what waits, -1 for what waits no more: one number to be looked at per boundary.
    least = np.full(labels.size, NEVER, np.int32)
    reached = np.full(labels.size, NEVER, np.int32)
    sources = np.zeros(labels.size, np.int32)
    n = 0
    for i in range(1, labels.size):
        if labels[i] > 0:
            least[i], sources[i] = 0, i
            n = _append(i, 0, head, tail, nodes, following, n)
    for level in range(NEVER):
        at = head[level]
        while at >= 0:
            i = nodes[at]
            if least[i] >= 0:
                least[i], reached[i] = -1, level
                label = labels[sources[i]]
                labels[i] = label
                factor = bias if label == background else 1.0
                for k in range(starts[i], starts[i + 1]):
                    j = neighbours[k]
                    if level < least[j]:
                        counted = max(level, int(heights[k] * factor + 0.5))
                        if counted < least[j]:
                            least[j], sources[j] = counted, i
                            n = _append(j, counted, head, tail, nodes, following, n)
            at = following[at]
    return reached


@compiled
def _rivals(
    starts: NDArray[np.int64], neighbours: NDArray[np.int32], heights: NDArray[np.uint16], labels: NDArray[np.uint32],
    reached: NDArray[np.int32], background: int, bias: float,
) -> NDArray[np.int32]:  # fmt: skip
    """Let the labels on the other side of each border grow into the supervoxels of a label, as if it were not there."""
    head, tail = np.full(NEVER, -1, np.int32), np.empty(NEVER, np.int32)
    nodes = np.empty(neighbours.size + labels.size, np.int32)
    following = np.empty(neighbours.size + labels.size, np.int32)
    rivals = np.full(labels.size, NEVER, np.int32)
    carried = np.zeros(labels.size, np.uint32)
    n = 0
    for i in range(1, labels.size):
        for k in range(starts[i], starts[i + 1]):
            other = labels[neighbours[k]]
            if other != labels[i] and labels[i] > 0 and other > 0:
                counted = max(reached[neighbours[k]], _as_counted(heights[k], other, background, bias))
                if counted < rivals[i]:
                    rivals[i], carried[i] = counted, other
        if rivals[i] < NEVER:
            n = _append(i, rivals[i], head, tail, nodes, following, n)
    for level in range(NEVER):
        at = head[level]
        while at >= 0:
            i = nodes[at]
            if rivals[i] == level:
                for k in range(starts[i], starts[i + 1]):
                    j = neighbours[k]
                    if labels[j] == labels[i]:
                        counted = max(level, _as_counted(heights[k], carried[i], background, bias))
                        if counted < rivals[j]:
                            rivals[j], carried[j] = counted, carried[i]
                            n = _append(j, counted, head, tail, nodes, following, n)
            at = following[at]
    return rivals
