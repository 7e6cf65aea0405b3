"""Random forests of VIGRA from their HDF5 form, as plain arrays.

A group has ``_options`` and ``_ext_param`` (one number per dataset; the class labels), and per tree a group ``Tree_…``
with ``topology`` (integers) and ``parameters`` (double). The topology begins with the numbers of features and of
classes; then lie the nodes, the root first. A node is ``type, address in parameters, left, right, feature`` with the
parameters ``weight, threshold``, or, with bit 30 of its type set, a leaf ``type, address`` with the parameters
``weight, one number per class``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segmentry.errors import InputError
from segmentry.io.hdf5_values import Place

__all__ = ["Forest", "Tree", "read_forest"]

ROOT = 2
SPLIT, LEAF = 0, 1 << 30
MOST_CLASSES, MOST_FEATURES = 10_000, 1_000_000


@dataclass(frozen=True, eq=False)
class Tree:
    """A tree as arrays with an entry per node: the root first, children after their parents.

    Parameters
    ----------
    feature
        Column that the node looks at, int32; -1 in a leaf.
    threshold
        Float64; samples whose value is below it go left, all others right. Features are float32, compared as float64.
    left, right
        Numbers of the children, int32; -1 in a leaf.
    weights
        (node, class), float64: what a leaf adds to the votes of each class; 0 in nodes that split.
    """

    feature: NDArray[np.int32]
    threshold: NDArray[np.float64]
    left: NDArray[np.int32]
    right: NDArray[np.int32]
    weights: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Forest:
    """A random forest.

    The probability of a class is its share of the weights of the leaves that a sample falls into, over all trees.
    A sample with a feature that is not a number has no class: its probabilities are 0.

    Parameters
    ----------
    trees
        In the order in which VIGRA adds their votes.
    labels
        What the classes are called, per column of the weights; ascending.
    n_features
        How many columns a sample has.
    below_is_left
        How a node compares: true where values *below* the threshold go left, as in VIGRA; false where values at it
        do, too.
    options
        How it was trained: VIGRA's options by their names.
    """

    trees: tuple[Tree, ...]
    labels: tuple[int, ...]
    n_features: int
    options: Mapping[str, float]
    below_is_left: bool = True


def read_forest(place: Place) -> Forest:
    """Read the forest that VIGRA wrote to a group.

    Raises
    ------
    InputError
        When it is no forest of classes, splits otherwise than by one feature, or is damaged.
    """
    options, about = place.place("_options"), place.place("_ext_param")
    if options is None or about is None:
        raise InputError(f"{place.where} has no _options and _ext_param: it is no random forest of VIGRA")
    if _count(about, "problem_type_", 1) != 1:
        raise InputError(f"{place.where} is a forest for regression: only those of classes can be read")
    n_classes = _count(about, "class_count_", MOST_CLASSES)
    n_features = _count(about, "column_count_", MOST_FEATURES)
    said = {name: options.number(name) or 0.0 for name in options.names()}
    groups = [inner for name, inner in place.places() if not name.startswith("_")]
    if len(groups) != said.get("tree_count_") or not groups:
        raise InputError(
            f"{place.where} has {len(groups)} trees but says {said.get('tree_count_', 0):g}: it is damaged"
        )
    weighted = bool(said.get("predict_weighted_"))
    trees = tuple(_tree(group, n_features, n_classes, weighted) for group in groups)
    return Forest(trees, _labels(about, n_classes), n_features, said)


def _labels(about: Place, n_classes: int) -> tuple[int, ...]:
    labels = about.numbers("labels", ndim=1)
    if labels is None:
        raise InputError(f"{about.where} does not name the classes: the file is damaged")
    found = labels.astype(np.int64) if np.isfinite(labels).all() and (abs(labels) < 2**31).all() else labels[:0]
    if len(found) != n_classes or (np.diff(found) <= 0).any():
        raise about.wrong("labels", f"{labels[:9].tolist()}", f"{n_classes} ascending labels")
    return tuple(found.tolist())


def _count(place: Place, name: str, most: int) -> int:
    number = place.number(name)
    if number is None or not 0 <= number <= most or number != int(number):
        raise place.wrong(name, f"{number}", f"a number up to {most:,}")
    return int(number)


def _tree(place: Place, n_features: int, n_classes: int, weighted: bool) -> Tree:
    """Number the nodes level by level: so children follow their parents, and what is met twice is a cycle."""
    topology, parameters = place.numbers("topology", "iu", 1), place.numbers("parameters", "f", 1)
    if topology is None or parameters is None:
        raise InputError(f"{place.where} has no topology and parameters: the file is damaged")
    if len(topology) < 4 or tuple(topology[:2]) != (n_features, n_classes):
        raise place.wrong("topology", f"{topology[:4].tolist()}…", f"[{n_features}, {n_classes}, …]")
    nodes, values = topology.astype(np.int64), parameters.astype(np.float64)
    seen = np.zeros(len(nodes), bool)
    levels: list[tuple[NDArray[Any], ...]] = []
    level, count = np.array([ROOT]), 1
    while level.size:
        if level.min() < ROOT or level.max() + 2 > len(nodes) or seen[level].any() or _repeats(level):
            raise InputError(f"{place.where} has nodes outside it, or that lead back: the file is damaged")
        seen[level] = True
        leaf, address = nodes[level] == LEAF, nodes[level + 1]
        inner = level[~leaf]
        _check_splits(place, nodes, inner, n_features)
        if address.min() < 0 or (address + np.where(leaf, n_classes + 1, 2)).max() > len(values):
            raise InputError(f"{place.where} has nodes without parameters: the file is damaged")
        first = count + 2 * np.arange(inner.size)
        levels.append((leaf, inner, address, first))
        level = np.stack([nodes[inner + 2], nodes[inner + 3]], axis=1).ravel()
        count += level.size
    return _assembled(place, levels, count, nodes, values, n_classes, weighted)


def _repeats(level: NDArray[Any]) -> bool:
    return np.unique(level).size < level.size


def _check_splits(place: Place, nodes: NDArray[Any], inner: NDArray[Any], n_features: int) -> None:
    kinds = set(nodes[inner].tolist()) - {SPLIT}
    if kinds:
        named = {1: "hyperplanes", 2: "hyperspheres"}.get(kinds.pop(), "something unknown")
        raise InputError(f"{place.where} splits by {named}: only splits by one feature can be carried over")
    if inner.size == 0:
        return
    if inner.max() + 5 > len(nodes) or not 0 <= nodes[inner + 4].min() <= nodes[inner + 4].max() < n_features:
        raise InputError(f"{place.where} splits by features that there are not ({n_features}): the file is damaged")


def _assembled(
    place: Place,
    levels: list[tuple[NDArray[Any], ...]],
    count: int,
    nodes: NDArray[Any],
    values: NDArray[np.float64],
    n_classes: int,
    weighted: bool,
) -> Tree:
    leaf, address = (np.concatenate([level[i] for level in levels]) for i in (0, 2))
    inner, first = (np.concatenate([level[i] for level in levels]) for i in (1, 3))
    feature, left, right = (np.full(count, -1, np.int32) for _ in range(3))
    threshold, weights = np.zeros(count), np.zeros((count, n_classes))
    feature[~leaf], threshold[~leaf] = nodes[inner + 4], values[address[~leaf] + 1]
    left[~leaf], right[~leaf] = first, first + 1
    votes = values[address[leaf][:, np.newaxis] + 1 + np.arange(n_classes)]
    weights[leaf] = votes * values[address[leaf]][:, np.newaxis] if weighted else votes
    sums = weights[leaf].sum(axis=1)
    if not (np.isfinite(threshold).all() and np.isfinite(sums).all() and (weights >= 0).all() and (sums > 0).all()):
        raise InputError(f"{place.where} has thresholds or weights that are no numbers: the file is damaged")
    return Tree(feature, threshold, left, right, weights)
