"""Laplace's equation on a grid of conductances: what each free pixel must be, when some are held at 0 or 1.

Conjugate gradients, preconditioned by a multigrid: unknowns that are strongly bound to each other are joined, twice per
level, and the joined systems are solved by two rounds of conjugate gradients each (the K-cycle of Notay & Vassilevski
2008). So weak links, across which the solution jumps, stay visible on all levels, and the number
of rounds hardly grows with the image.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from segmentry.errors import InputError
from segmentry.kernels.jit import compiled

__all__ = ["solve_laplace"]

#: Systems up to this size are solved by their inverse.
DIRECT = 200
#: An unknown is left to smoothing alone when so much more than its links binds it to what is held.
HELD = 1.25
#: Groups are joined a second time where smoothing takes at most this many sweeps to level out what joining hides.
LOOSEST = 8.0
ROUNDS = 200
FREE = -1


def solve_laplace(
    weights: NDArray[np.float32], held: NDArray[np.int32], n_classes: int, tolerance: float = 1e-4
) -> NDArray[np.float32]:
    """Return for each pixel how probable it is that a random walker from there meets each class first.

    Parameters
    ----------
    weights : (axes, *shape) float32 array
        Conductance from each pixel to the next along each axis, above 0; of the last pixel of an axis it is not used.
    held : int32 array of `shape`
        Class of each pixel whose class is known, -1 elsewhere; each class occurs.
    n_classes
        Number of classes, 2 or more.
    tolerance
        Largest error of a probability that is estimated when the solver stops.

    Returns
    -------
    (n_classes, *shape) float32 array that sums to 1 over its first axis.
    """
    if held.size >= 2**31 // (2 * held.ndim):
        raise InputError(f"{held.size:,} pixels are too many for one system of equations: resample the image")
    found = np.zeros((n_classes, held.size), np.float32)
    flat = held.ravel()
    for k in range(n_classes):
        found[k] = flat == k
    free = flat == FREE
    count = int(np.count_nonzero(free))
    if count:
        number = np.full(flat.size, FREE, np.int32)
        number[free] = np.arange(count, dtype=np.int32)
        shape = np.array(held.shape, np.int64)
        matrix, sources = _graph(weights.reshape(len(shape), -1), flat, number, shape, count, n_classes)
        levels = _levels(_Matrix(*matrix))
        rest = np.ones(count)
        for k in range(1, n_classes):
            part = np.clip(_solve(levels, sources[k], tolerance), 0, rest)
            found[k, free] = part
            rest -= part
        found[0, free] = rest
    return found.reshape(n_classes, *held.shape)


@dataclass(frozen=True)
class _Matrix:
    """A symmetric matrix: what lies off the diagonal with its sign turned, in compressed rows, and the diagonal."""

    begin: NDArray[np.int32]
    column: NDArray[np.int32]
    link: NDArray[np.float64]
    diagonal: NDArray[np.float64]


@dataclass(frozen=True)
class _Level:
    """A matrix, and which unknown of the next coarser level each of its own is part of; or its inverse."""

    matrix: _Matrix
    parent: NDArray[np.int32] | None = None
    inverse: NDArray[np.float64] | None = None


def _levels(matrix: _Matrix) -> list[_Level]:
    """Return coarser and coarser systems, down to one that is solved by its inverse."""
    levels = []
    while len(matrix.diagonal) > DIRECT:
        apart: NDArray[np.float64] = np.zeros(len(matrix.diagonal))
        pair, count = _joined(*_parts(matrix), apart)
        middle = _Matrix(*_coarser(*_parts(matrix), pair, count))
        stiff = np.bincount(pair[pair >= 0], matrix.diagonal[pair >= 0], count).astype(np.float64)
        group, count = _joined(*_parts(middle), stiff)
        levels.append(_Level(matrix, np.append(group, np.int32(FREE))[pair]))
        matrix = _Matrix(*_coarser(*_parts(middle), group, count))
    dense = np.diag(matrix.diagonal)
    rows = np.repeat(np.arange(len(matrix.diagonal)), np.diff(matrix.begin))
    dense[rows, matrix.column] -= matrix.link
    inverse: NDArray[np.float64] = np.asarray(np.linalg.inv(dense), np.float64)
    return [*levels, _Level(matrix, None, inverse)]


def _solve(levels: list[_Level], source: NDArray[np.float64], tolerance: float) -> NDArray[np.float64]:
    """Return the solution by conjugate gradients whose preconditioner may change from round to round."""
    found = np.zeros(len(source))
    residual = source.copy()
    direction = image = None
    for _ in range(ROUNDS):
        error = _cycle(levels, 0, residual)
        if direction is not None and image is not None:
            error -= _dot(error, image) / _dot(direction, image) * direction
        direction, image = error, _times(*_parts(levels[0].matrix), error)
        height = _dot(direction, image)
        if height <= 0:
            break
        share = _dot(direction, residual) / height
        found += share * direction
        residual -= share * image
        if np.abs(share * direction).max() < tolerance:
            break
    return found


def _cycle(levels: list[_Level], depth: int, source: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return about the solution: smoothing, correction on the coarser level, smoothing in the other direction."""
    level = levels[depth]
    if level.inverse is not None:
        return np.asarray(level.inverse @ source)
    assert level.parent is not None
    parts = _parts(level.matrix)
    found = np.zeros(len(source))
    _smooth(*parts, source, found, True)
    coarse = np.zeros(len(levels[depth + 1].matrix.diagonal))
    _restrict(*parts, source, found, level.parent, coarse)
    _prolong(level.parent, _accelerated(levels, depth + 1, coarse), found)
    _smooth(*parts, source, found, False)
    return found


def _accelerated(levels: list[_Level], depth: int, source: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return about the solution by at most two rounds of conjugate gradients, each with a cycle."""
    first = _cycle(levels, depth, source)
    if levels[depth].inverse is not None:
        return first
    parts = _parts(levels[depth].matrix)
    image = _times(*parts, first)
    height = _dot(first, image)
    if height <= 0:
        return first
    share = _dot(first, source) / height
    left = source - share * image
    if _dot(left, left) <= 0.0625 * _dot(source, source):
        return share * first
    second = _cycle(levels, depth, left)
    second -= _dot(second, image) / height * first
    height = _dot(second, _times(*parts, second))
    return share * first + (_dot(second, left) / height * second if height > 0 else 0)


def _parts(matrix: _Matrix) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.float64], NDArray[np.float64]]:
    return matrix.begin, matrix.column, matrix.link, matrix.diagonal


@compiled
def _graph(
    weights: NDArray[np.float32], held: NDArray[np.int32], number: NDArray[np.int32], shape: NDArray[np.int64],
    count: int, n_classes: int,
) -> tuple[
    tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.float64], NDArray[np.float64]], NDArray[np.float64]
]:  # fmt: skip
    """Return the matrix of the free pixels, and what flows to them from held ones, class by class."""
    ndim = shape.size
    begin = np.zeros(count + 1, np.int32)
    column = np.empty(count * 2 * ndim, np.int32)
    link = np.empty(count * 2 * ndim, np.float64)
    diagonal = np.zeros(count)
    sources = np.zeros((n_classes, count))
    filled = 0
    for i in range(held.size):
        k = number[i]
        if k < 0:
            continue
        stride = held.size
        for axis in range(ndim):
            stride //= shape[axis]
            at = (i // stride) % shape[axis]
            for forward in range(2):
                if at == (shape[axis] - 1 if forward else 0):
                    continue
                j = i + stride if forward else i - stride
                weight = np.float64(weights[axis, i if forward else j])
                diagonal[k] += weight
                if number[j] < 0:
                    sources[held[j], k] += weight
                else:
                    column[filled], link[filled] = number[j], weight
                    filled += 1
        begin[k + 1] = filled
    return (begin, column[:filled].copy(), link[:filled].copy(), diagonal), sources


@compiled
def _joined(
    begin: NDArray[np.int32], column: NDArray[np.int32], link: NDArray[np.float64], diagonal: NDArray[np.float64],
    stiff: NDArray[np.float64],
) -> tuple[NDArray[np.int32], int]:  # fmt: skip
    """Give each unknown a group: pairs that are bound most to each other, or nearly so, then those bound to a pair.

    What is held firmly gets none (-1). `stiff` is what a link must stand up to, divided by LOOSEST; 0 asks nothing.
    """
    group = np.full(diagonal.size, -2, np.int32)
    strongest = np.zeros(diagonal.size)
    for i in range(diagonal.size):
        total = 0.0
        for e in range(begin[i], begin[i + 1]):
            total += link[e]
            strongest[i] = max(strongest[i], link[e])
        if diagonal[i] >= HELD * total:
            group[i] = -1
    count = 0
    for i in range(diagonal.size):
        if group[i] != -2:
            continue
        most = 0.25 * strongest[i]
        partner = -1
        for e in range(begin[i], begin[i + 1]):
            j = column[e]
            bound = LOOSEST * link[e] >= min(stiff[i], stiff[j]) and link[e] > 0.25 * strongest[j]
            if bound and group[j] == -2 and link[e] > most:
                most, partner = link[e], j
        if partner >= 0:
            group[i] = group[partner] = count
            count += 1
    joined = group.copy()
    for i in range(diagonal.size):
        if joined[i] != -2:
            continue
        most = 0.0
        best = -1
        for e in range(begin[i], begin[i + 1]):
            j = column[e]
            if group[j] != -1 and link[e] > most and LOOSEST * link[e] >= stiff[i]:
                most, best = link[e], j
        if best >= 0 and group[best] >= 0:
            joined[i] = group[best]
        else:
            joined[i] = count
            if best >= 0 and joined[best] == -2:
                joined[best] = count
            count += 1
    return joined, count


@compiled
def _coarser(
    begin: NDArray[np.int32], column: NDArray[np.int32], link: NDArray[np.float64], diagonal: NDArray[np.float64],
    group: NDArray[np.int32], count: int,
) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.float64], NDArray[np.float64]]:  # fmt: skip
    """Return the matrix of groups: links between two of them add up, those within one are gone."""
    first = np.zeros(count + 1, np.int32)
    for g in group:
        if g >= 0:
            first[g + 1] += 1
    for g in range(count):
        first[g + 1] += first[g]
    member = np.empty(first[count], np.int32)
    place = first[:count].copy()
    for i in range(group.size):
        if group[i] >= 0:
            member[place[group[i]]] = i
            place[group[i]] += 1
    new_begin = np.zeros(count + 1, np.int32)
    new_column = np.empty(column.size, np.int32)
    new_link = np.empty(column.size, np.float64)
    new_diagonal = np.zeros(count)
    where = np.full(count, -1, np.int32)
    filled = 0
    for g in range(count):
        start = filled
        for i in member[first[g] : first[g + 1]]:
            ground = diagonal[i]
            for e in range(begin[i], begin[i + 1]):
                ground -= link[e]
            new_diagonal[g] += max(ground, 0.0)
            for e in range(begin[i], begin[i + 1]):
                h = group[column[e]]
                if h < 0:
                    new_diagonal[g] += link[e]
                elif h != g and where[h] >= start:
                    new_link[where[h]] += link[e]
                elif h != g:
                    where[h] = filled
                    new_column[filled], new_link[filled] = h, link[e]
                    filled += 1
        new_begin[g + 1] = filled
        for e in range(start, filled):
            new_diagonal[g] += new_link[e]
    return new_begin, new_column[:filled].copy(), new_link[:filled].copy(), new_diagonal


@compiled
def _smooth(
    begin: NDArray[np.int32], column: NDArray[np.int32], link: NDArray[np.float64], diagonal: NDArray[np.float64],
    source: NDArray[np.float64], found: NDArray[np.float64], forward: bool,
) -> None:  # fmt: skip
    """Set each unknown to what its neighbours ask for, one after the other (Gauss & Seidel)."""
    for n in range(diagonal.size):
        i = n if forward else diagonal.size - 1 - n
        total = source[i]
        for e in range(begin[i], begin[i + 1]):
            total += link[e] * found[column[e]]
        found[i] = total / diagonal[i]


@compiled
def _restrict(
    begin: NDArray[np.int32], column: NDArray[np.int32], link: NDArray[np.float64], diagonal: NDArray[np.float64],
    source: NDArray[np.float64], found: NDArray[np.float64], parent: NDArray[np.int32], coarse: NDArray[np.float64],
) -> None:  # fmt: skip
    """Add what is still missing at each unknown to its parent."""
    for i in range(diagonal.size):
        if parent[i] >= 0:
            left = source[i] - diagonal[i] * found[i]
            for e in range(begin[i], begin[i + 1]):
                left += link[e] * found[column[e]]
            coarse[parent[i]] += left


@compiled
def _prolong(parent: NDArray[np.int32], coarse: NDArray[np.float64], found: NDArray[np.float64]) -> None:
    for i in range(parent.size):
        if parent[i] >= 0:
            found[i] += coarse[parent[i]]


@compiled
def _times(
    begin: NDArray[np.int32], column: NDArray[np.int32], link: NDArray[np.float64], diagonal: NDArray[np.float64],
    vector: NDArray[np.float64],
) -> NDArray[np.float64]:  # fmt: skip
    product = np.empty(vector.size)
    for i in range(vector.size):
        total = diagonal[i] * vector[i]
        for e in range(begin[i], begin[i + 1]):
            total -= link[e] * vector[column[e]]
        product[i] = total
    return product


@compiled
def _dot(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    total = 0.0
    for i in range(one.size):
        total += one[i] * other[i]
    return total
