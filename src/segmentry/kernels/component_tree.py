"""The tree of connected regions above every level of an image, and what each of its nodes measures.

A node is a connected region of the pixels at or above a level; its parent is the region around it at the next lower
level. Pixels are taken from high to low and united with their neighbours (Berger et al. 2007,
doi:10.1109/ICIP.2007.4379949; Najman & Couprie 2006, doi:10.1109/TIP.2006.877518). All sums are of integers, with
places counted from a pixel of the node's own tree, so that they depend on nothing but the connected region at the
lowest level.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from segmentry.kernels.jit import compiled
from segmentry.kernels.watershed import neighbour_offsets

__all__ = ["Tree", "chosen_nodes", "component_tree"]

#: Level of the frame around the padded image.
FRAME = 255


@dataclass(frozen=True, eq=False)
class Tree:
    """Nodes in an order in which parents come before their children.

    Parameters
    ----------
    parent : (n,) int32 array
        The node around each node, -1 for the outermost.
    level : (n,) uint8 array
    area : (n,) int64 array
        Number of pixels.
    intensity : (n,) int64 array
        Sum of the values over the pixels.
    rim, slope : (n,) int64 arrays
        Number of pixels on the border of the node, and the sum of the slopes there.
    moments : (n, 3, 3) int64 array
        Sums of the products of places along each pair of axes.
    places : (n, 3) int64 array
        Sums of places; axes that are missing come first and are 0.
    node : int32 array of the shape of the image
        The innermost node of each pixel, -1 outside all.
    """

    parent: NDArray[np.int32]
    level: NDArray[np.uint8]
    area: NDArray[np.int64]
    intensity: NDArray[np.int64]
    rim: NDArray[np.int64]
    slope: NDArray[np.int64]
    moments: NDArray[np.int64]
    places: NDArray[np.int64]
    node: NDArray[np.int32]

    def covariance(self, ndim: int) -> NDArray[np.float64]:
        """Return the (n, ndim, ndim) covariance of the places of each node's pixels, those taken as filled boxes."""
        area = self.area[:, None].astype(np.float64)
        mean = self.places[:, 3 - ndim :] / area
        second = self.moments[:, 3 - ndim :, 3 - ndim :] / area[:, :, None]
        return np.asarray(second - mean[:, :, None] * mean[:, None, :] + np.eye(ndim) / 12)


def component_tree(levels: NDArray[np.uint8], values: NDArray[np.int32], slopes: NDArray[np.int32]) -> Tree:
    """Return the tree of the connected regions (8 and 26 neighbours) of each level but 0.

    Parameters
    ----------
    levels : uint8 array below 255, two- or three-dimensional
    values, slopes : int32 arrays of the same shape
        What is summed over the pixels of a node, and over those of its border.
    """
    frame = [(1, 1)] * levels.ndim
    padded = np.pad(levels, frame, constant_values=FRAME)
    offsets = neighbour_offsets(padded.shape, full=True)
    order, parent = _tree(padded.ravel(), offsets)
    node_of, above, level = _nodes(padded.ravel(), order, parent)
    n = len(level)
    sums = np.zeros((n, 4), np.int64)
    places, moments = np.zeros((n, 3), np.int64), np.zeros((n, 3, 3), np.int64)
    shape = np.array((1,) * (3 - levels.ndim) + padded.shape, np.int64)
    flat = [np.pad(a, frame).ravel() for a in (values, slopes)]
    _measure(padded.ravel(), flat[0], flat[1], offsets, order, node_of, above, shape, sums, places, moments)
    inner = node_of.reshape(padded.shape)[(slice(1, -1),) * levels.ndim].copy()
    return Tree(above, level, sums[:, 0], sums[:, 1], sums[:, 2], sums[:, 3], moments, places, inner)


def chosen_nodes(tree: Tree, worth: NDArray[np.float64]) -> tuple[NDArray[np.uint32], NDArray[np.int64]]:
    """Choose nodes none of which lies in another, so that the sum of their worth is the largest possible.

    Parameters
    ----------
    tree
    worth : (n,) array
        What each node is worth; nodes of 0 are never chosen. A node is preferred to those in it if it is worth as much.

    Returns
    -------
    labels : uint32 array of the shape of the image; 1 … n in the order of the nodes, 0 outside those chosen
    chosen : (n,) positions of the chosen nodes in the tree
    """
    label = np.zeros(len(worth), np.uint32)
    chosen = _choose(tree.parent, np.ascontiguousarray(worth, np.float64), label)
    return np.where(tree.node >= 0, label[tree.node], 0).astype(np.uint32) if len(label) else _empty(tree), chosen


def _empty(tree: Tree) -> NDArray[np.uint32]:
    return np.zeros(tree.node.shape, np.uint32)


@compiled
def _tree(levels: NDArray[np.uint8], offsets: NDArray[np.int64]) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Return the pixels from high to low, and for each pixel one of its node or, for the last one, of the parent's."""
    start = np.zeros(257, np.int64)
    for i in range(levels.size):
        if 0 < levels[i] < FRAME:
            start[FRAME - levels[i] + 1] += 1
    for level in range(1, 257):
        start[level] += start[level - 1]
    order = np.empty(start[256], np.int32)
    for i in range(levels.size):
        if 0 < levels[i] < FRAME:
            order[start[FRAME - levels[i]]] = i
            start[FRAME - levels[i]] += 1
    parent = np.full(levels.size, -1, np.int32)
    root = np.full(levels.size, -1, np.int32)
    for k in range(order.size):
        i = order[k]
        parent[i] = i
        root[i] = i
        for offset in offsets:
            j = i + offset
            if root[j] < 0:
                continue
            while root[j] != j:
                root[j] = root[root[j]]
                j = root[j]
            if j != i:
                root[j] = i
                parent[j] = i
    for k in range(order.size - 1, -1, -1):
        i = order[k]
        j = parent[i]
        if levels[parent[j]] == levels[j]:
            parent[i] = parent[j]
    return order, parent


@compiled
def _nodes(
    levels: NDArray[np.uint8], order: NDArray[np.int32], parent: NDArray[np.int32]
) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.uint8]]:
    """Return the node of each pixel, the parent of each node and its level; parents come first."""
    node_of = np.full(levels.size, -1, np.int32)
    count = 0
    for i in order:
        if parent[i] == i or levels[parent[i]] != levels[i]:
            count += 1
    above = np.empty(count, np.int32)
    level = np.empty(count, np.uint8)
    count = 0
    for k in range(order.size - 1, -1, -1):
        i = order[k]
        j = parent[i]
        if j != i and levels[j] == levels[i]:
            node_of[i] = node_of[j]
            continue
        node_of[i] = count
        above[count] = -1 if j == i else node_of[j]
        level[count] = levels[i]
        count += 1
    return node_of, above, level


@compiled
def _measure(
    levels: NDArray[np.uint8], values: NDArray[np.int32], slopes: NDArray[np.int32], offsets: NDArray[np.int64],
    order: NDArray[np.int32], node_of: NDArray[np.int32], above: NDArray[np.int32], shape: NDArray[np.int64],
    sums: NDArray[np.int64], places: NDArray[np.int64], moments: NDArray[np.int64],
) -> None:  # fmt: skip
    """Add each pixel to its node, and from the innermost outwards each node to its parent."""
    plane, width = shape[1] * shape[2], shape[2]
    origin = np.empty(above.size, np.int64)
    place = np.empty(3, np.int64)
    for k in range(order.size - 1, -1, -1):
        i = order[k]
        node = node_of[i]
        if sums[node, 0] == 0:
            origin[node] = i if above[node] < 0 else origin[above[node]]
        zero = origin[node]
        place[0] = i // plane - zero // plane
        place[1] = i % plane // width - zero % plane // width
        place[2] = i % width - zero % width
        sums[node, 0] += 1
        sums[node, 1] += values[i]
        for a in range(3):
            places[node, a] += place[a]
            for b in range(3):
                moments[node, a, b] += place[a] * place[b]
        lowest, outer = levels[i], i
        for offset in offsets:
            if levels[i + offset] < lowest:
                lowest, outer = levels[i + offset], i + offset
        if outer != i:
            sums[node, 2] += 1
            sums[node, 3] += slopes[i]
            if lowest > 0:
                sums[node_of[outer], 2] -= 1
                sums[node_of[outer], 3] -= slopes[i]
    for node in range(above.size - 1, -1, -1):
        up = above[node]
        if up >= 0:
            for a in range(4):
                sums[up, a] += sums[node, a]
            for a in range(3):
                places[up, a] += places[node, a]
                for b in range(3):
                    moments[up, a, b] += moments[node, a, b]


@compiled
def _choose(parent: NDArray[np.int32], worth: NDArray[np.float64], label: NDArray[np.uint32]) -> NDArray[np.int64]:
    inside = np.zeros(parent.size)
    for node in range(parent.size - 1, -1, -1):
        best = max(worth[node], inside[node])
        if parent[node] >= 0:
            inside[parent[node]] += best
    chosen = np.empty(parent.size, np.int64)
    count = 0
    for node in range(parent.size):
        up = parent[node]
        if up >= 0 and label[up] > 0:
            label[node] = label[up]
        elif worth[node] > 0 and worth[node] >= inside[node]:
            chosen[count] = node
            count += 1
            label[node] = count
    return chosen[:count]
