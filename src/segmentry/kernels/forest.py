"""Forests of decision trees: packed into a few arrays, and asked for many pixels at once.

A node asks whether a feature lies above a threshold. Eight pixels go down a tree side by side, a level at a time and
without a branch, so that the processor never waits for one of them (lock-step); a leaf leads to itself until all eight
have arrived. A node is one 64-bit number, and both it and the features are compared as integers: of two floats the
larger has the larger integer, once the bits of negative numbers are turned.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from segmentry.errors import InputError
from segmentry.kernels.jit import compiled

__all__ = ["Forest", "Tree"]

#: So many pixels go through all trees before the next, so that their features stay in the cache.
BLOCK = 192
DEEPEST = 2000
_TOP = np.int64(2**31 - 1)


class Tree(NamedTuple):
    """A decision tree as other programs hold it: an entry per node, the root first.

    Parameters
    ----------
    feature : (n,) number of the feature that a node looks at; anything for a leaf
    threshold : (n,) what it is compared with
    left, right : (n,) the node where a pixel goes on whose feature is small, or large; negative for a leaf
    leaf : (n, n_classes) how much a leaf speaks for each class; anything for other nodes
    """

    feature: ArrayLike
    threshold: ArrayLike
    left: ArrayLike
    right: ArrayLike
    leaf: ArrayLike


@dataclass(frozen=True, eq=False)
class Forest:
    """Decision trees in a few arrays: the trees one after the other, the children of a node side by side behind it.

    Parameters
    ----------
    feature : (n,) int32 array, the feature that a node looks at; 0 for a leaf
    threshold : (n,) float32 array: the first child is next unless the feature lies above it, then the second is
    child : (n,) int32 array, place of the first child; 0 for a leaf
    row : (n,) int32 array, which of the distributions a leaf gives; 0 for other nodes
    distributions : (rows, n_classes) float32 array, not negative
    roots : (n_trees,) int32 array, place of the root of each tree, ascending
    n_features
        How many features a pixel has.

    Raises
    ------
    InputError
        When the arrays are no forest.
    """

    feature: NDArray[np.int32]
    threshold: NDArray[np.float32]
    child: NDArray[np.int32]
    row: NDArray[np.int32]
    distributions: NDArray[np.float32]
    roots: NDArray[np.int32]
    n_features: int

    def __post_init__(self) -> None:
        self._check_types()
        self._check_nodes()

    @classmethod
    def from_trees(cls, trees: Iterable[Tree], n_features: int, strict: bool = False) -> Forest:
        """Pack the trees of another program.

        Parameters
        ----------
        trees
            At least one.
        n_features
            How many features a pixel has.
        strict
            A pixel goes left where its feature is below the threshold; otherwise also where it equals it.

        Raises
        ------
        InputError
            When something is no tree: a node that is reached twice, or a number that is out of range.
        """
        parts = [_packed(tree, i, strict) for i, tree in enumerate(trees)]
        if not parts:
            raise InputError("a forest needs one tree at least; none was given")
        widths = {part.leaf.shape[1] for part in parts}
        if len(widths) > 1:
            raise InputError(f"the trees of a forest have different numbers of classes: {sorted(widths)}")
        starts = np.cumsum([0, *(len(part.child) for part in parts)])
        if starts[-1] > _TOP:
            raise InputError(f"a forest may have {_TOP} nodes; this one has {starts[-1]}")
        child = [np.where(part.child > 0, part.child + at, 0) for part, at in zip(parts, starts, strict=False)]
        inner = np.concatenate(child) > 0
        leaves = np.concatenate([part.leaf for part in parts])[~inner]
        distributions, number = np.unique(leaves.astype(np.float32), axis=0, return_inverse=True)
        row = np.zeros(len(inner), np.int32)
        row[~inner] = number.ravel()
        return cls(
            np.concatenate([part.feature for part in parts]).astype(np.int32),
            np.concatenate([part.threshold for part in parts]),
            np.concatenate(child).astype(np.int32),
            row,
            distributions,
            starts[:-1].astype(np.int32),
            n_features,
        )

    @property
    def n_classes(self) -> int:
        """How many classes it tells apart."""
        return int(self.distributions.shape[1])

    def packed(self) -> NDArray[np.int64]:
        """Return a number per node: threshold, steps to the first child, feature, from the highest bits to the lowest.

        Raises
        ------
        InputError
            When a tree is too large for the number of features.
        """
        steps = np.where(self.child > 0, self.child - np.arange(len(self.child)), 0)
        bits = self._bits()
        if steps.max() >> (32 - bits):
            raise InputError(
                f"a tree of {steps.max()} nodes and more over {self.n_features} features is too large: "
                f"limit the depth, or use fewer features"
            )
        key = np.where(self.child > 0, _sortable(self.threshold).astype(np.int64), _TOP)
        return (key << 32) | (steps << bits) | self.feature

    def predict(
        self, features: NDArray[np.float32], out: NDArray[np.float32], packed: NDArray[np.int64] | None = None
    ) -> None:
        """Write the probability of each class: the mean of the leaves, divided by its sum.

        Parameters
        ----------
        features : (n_features, n) array in C order
        out : (n_classes, n) array in C order
        packed
            What :meth:`packed` returned, to save time with small pieces.
        """
        nodes = self.packed() if packed is None else packed
        _predict(features, nodes, self._bits(), self.row, self.distributions, self.roots, out)

    def _bits(self) -> int:
        return max(1, (self.n_features - 1).bit_length())

    def _check_types(self) -> None:
        wanted = {"feature": "i4", "threshold": "f4", "child": "i4", "row": "i4", "distributions": "f4", "roots": "i4"}
        for name, kind in wanted.items():
            array = getattr(self, name)
            dimensions = 2 if name == "distributions" else 1
            if array.dtype != np.dtype(kind) or array.ndim != dimensions or not array.size:
                raise InputError(
                    f"a forest needs {name} as {np.dtype(kind)} in {dimensions} dimensions, not empty; "
                    f"it is {array.dtype} of shape {array.shape}"
                )
        lengths = {name: len(getattr(self, name)) for name in ("feature", "threshold", "child", "row")}
        if len(set(lengths.values())) > 1:
            raise InputError(f"the nodes of a forest have arrays of different lengths: {lengths}")
        if not 1 <= self.n_features <= 2**16:
            raise InputError(f"a forest may look at 1 to {2**16} features; this one says {self.n_features}")

    def _check_nodes(self) -> None:
        n, at = len(self.child), np.arange(len(self.child))
        if self.roots[0] != 0 or (np.diff(self.roots) <= 0).any() or self.roots[-1] >= n:
            raise InputError("the trees of a forest must start at 0 and follow each other: its roots are out of order")
        ends = np.append(self.roots[1:], n)[np.searchsorted(self.roots, at, side="right") - 1]
        inner = self.child != 0
        if (self.child[inner] <= at[inner]).any() or (self.child[inner].astype(np.int64) + 1 >= ends[inner]).any():
            raise InputError("a node of a forest has children that don't lie behind it in its tree")
        if (self.feature < 0).any() or (self.feature >= self.n_features).any():
            raise InputError(f"a node of a forest looks at a feature that there isn't: there are {self.n_features}")
        if (self.row < 0).any() or (self.row >= len(self.distributions)).any():
            raise InputError(f"a leaf of a forest has no distribution: there are {len(self.distributions)}")
        if np.isnan(self.threshold).any():
            raise InputError("a threshold of a forest is not a number")
        if not np.isfinite(self.distributions).all() or (self.distributions < 0).any():
            raise InputError("a distribution of a forest is negative or not finite")
        deepest = _deepest(self.child)
        if deepest > DEEPEST:
            raise InputError(f"a tree of a forest may have {DEEPEST} levels; this one has {deepest}")


class _Part(NamedTuple):
    """The nodes of one tree in their new order."""

    feature: NDArray[np.int64]
    threshold: NDArray[np.float32]
    child: NDArray[np.int64]
    leaf: NDArray[np.float64]


def _packed(tree: Tree, number: int, strict: bool) -> _Part:
    """Return the nodes of a tree level by level."""
    left, right = (np.asarray(a, np.int64) for a in (tree.left, tree.right))
    feature, threshold = np.asarray(tree.feature, np.int64), np.asarray(tree.threshold, np.float64)
    leaf = np.asarray(tree.leaf, np.float64)
    n = len(left)
    if (
        not n
        or {a.shape for a in (left, right, feature, threshold)} != {(n,)}
        or leaf.shape[:1] != (n,)
        or leaf.ndim != 2
    ):
        raise InputError(f"tree {number} has arrays that don't fit each other")
    if ((left < 0) != (right < 0)).any() or left.max() >= n or right.max() >= n:
        raise InputError(f"tree {number} has a node with one child, or with a child that there isn't")
    order, child = _by_level(left, right)
    if len(order) > n:
        raise InputError(f"tree {number} has a node that is reached in two ways")
    inner = child > 0
    at = threshold[order]
    near = at.astype(np.float32)
    above = near >= at if strict else near > at
    near[above] = np.nextafter(near[above], np.float32(-np.inf))
    return _Part(
        np.where(inner, feature[order], 0),
        np.where(inner, near, np.float32(0)),
        child,
        np.where(inner[:, None], 0, leaf[order]),
    )


def _by_level(left: NDArray[np.int64], right: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the nodes of a tree level by level, and where their first child is among these; 0 for leaves.

    Of a graph that is no tree, more nodes are returned than it has.
    """
    level = np.zeros(1, np.int64)
    orders, children = [], []
    found = 1
    while len(level) and found <= len(left):
        inner = left[level] >= 0
        below = found + 2 * (np.cumsum(inner) - inner)
        orders.append(level)
        children.append(np.where(inner, below, 0))
        level = np.stack([left[level[inner]], right[level[inner]]], axis=1).ravel()
        found += len(level)
    if found > len(left):
        return np.zeros(found, np.int64), np.zeros(found, np.int64)
    return np.concatenate(orders), np.concatenate(children)


def _sortable(values: NDArray[np.float32]) -> NDArray[np.int32]:
    """Return integers in the order of floats; zeros of both signs are one."""
    bits: NDArray[np.int32] = (values + np.float32(0)).view(np.int32)
    return bits ^ ((bits >> 31) & np.int32(2**31 - 1))


@compiled
def _deepest(child: NDArray[np.int32]) -> int:
    """Return how many steps it is at most from a root to a leaf; children must lie behind their parents."""
    depth = np.zeros(child.size, np.int32)
    deepest = 0
    for i in range(child.size):
        if child[i] > 0:
            for c in range(child[i], child[i] + 2):
                depth[c] = max(depth[c], depth[i] + 1)
                deepest = max(deepest, depth[c])
    return deepest


@compiled
def _predict(
    features: NDArray[np.float32], nodes: NDArray[np.int64], bits: int, row: NDArray[np.int32],
    distributions: NDArray[np.float32], roots: NDArray[np.int32], out: NDArray[np.float32],
) -> None:  # fmt: skip
    n_features, n = features.shape
    n_classes = distributions.shape[1]
    # The last pixels of a block that isn't full go down with it and are not asked where they arrived.
    keys = np.zeros((BLOCK, n_features), np.int32)
    at = np.empty(BLOCK, np.uint64)
    total = np.empty((BLOCK, n_classes), np.float64)
    for start in range(0, n, BLOCK):
        count = min(BLOCK, n - start)
        for f in range(n_features):
            for p in range(count):
                key = np.float32(features[f, start + p] + np.float32(0)).view(np.int32)
                keys[p, f] = key ^ ((key >> 31) & 0x7FFFFFFF)
        total[:] = 0
        for root in roots:
            _arrive(nodes, np.uint64(bits), np.uint64(root), keys, count, at)
            for p in range(count):
                r = row[at[p]]
                for c in range(n_classes):
                    total[p, c] += distributions[r, c]
        for p in range(count):
            whole = 0.0
            for c in range(n_classes):
                whole += total[p, c]
            for c in range(n_classes):
                out[c, start + p] = total[p, c] / whole if whole > 0 else 1 / n_classes


@compiled
def _arrive(
    nodes: NDArray[np.int64], bits: np.uint64, root: np.uint64, keys: NDArray[np.int32], count: int,
    at: NDArray[np.uint64],
) -> None:  # fmt: skip
    """Find the leaf of each pixel."""
    for start in range(0, count, 8):
        p = np.uint64(start)
        places = (root, root, root, root, root, root, root, root)
        moved = True
        while moved:
            before = _down(nodes, bits, keys, p, places)
            places = _down(nodes, bits, keys, p, before)
            moved = _differ(before, places)
        for i in range(8):
            at[start + i] = places[i]


Places = tuple[np.uint64, np.uint64, np.uint64, np.uint64, np.uint64, np.uint64, np.uint64, np.uint64]


@compiled
def _down(nodes: NDArray[np.int64], bits: np.uint64, keys: NDArray[np.int32], p: np.uint64, places: Places) -> Places:
    """Take eight pixels one level down."""
    a, b, c, d, e, f, g, h = places
    one = np.uint64(1)
    q = p + np.uint64(4)
    return (
        _next(nodes, bits, keys, p, a),
        _next(nodes, bits, keys, p + one, b),
        _next(nodes, bits, keys, p + np.uint64(2), c),
        _next(nodes, bits, keys, p + np.uint64(3), d),
        _next(nodes, bits, keys, q, e),
        _next(nodes, bits, keys, q + one, f),
        _next(nodes, bits, keys, q + np.uint64(2), g),
        _next(nodes, bits, keys, q + np.uint64(3), h),
    )


@compiled
def _next(nodes: NDArray[np.int64], bits: np.uint64, keys: NDArray[np.int32], p: np.uint64, i: np.uint64) -> np.uint64:
    node = nodes[i]
    low = np.uint64(node) & np.uint64(0xFFFFFFFF)
    feature = low & ((np.uint64(1) << bits) - np.uint64(1))
    found: np.uint64 = i + (low >> bits) + np.uint64(keys[p, feature] > np.int32(node >> 32))
    return found


@compiled
def _differ(some: Places, others: Places) -> bool:
    """Whether any of eight is not the same; without a branch."""
    a, b, c, d, e, f, g, h = some
    i, j, k, m, n, o, p, q = others
    differ: bool = ((a ^ i) | (b ^ j) | (c ^ k) | (d ^ m) | (e ^ n) | (f ^ o) | (g ^ p) | (h ^ q)) != np.uint64(0)
    return differ
