"""Pieces of surface: which points between pixels it passes, and how much of it lies at each.

The surface of a mask passes every point at which 2 x 2 (x 2) pixels meet of which some are in the mask and some are
not. Its piece there is that of marching squares (cubes; Lorensen & Cline 1987, doi:10.1145/37402.37422): it runs
through the middles between neighbours of which one is in the mask. Where that leaves a choice, it goes around the fewer
of the pixels, keeps those apart that touch at no more than an edge, and fills a chain of points with the triangles of
the largest area in a cube. A mask and its complement have the same surface.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from functools import cache

import numpy as np
from numpy.typing import NDArray

__all__ = ["piece_sizes", "surface_codes", "surface_points"]

Point = tuple[int, ...]


def surface_codes(mask: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Return for each point at which pixels meet, those at the edge of the array too, which of them are in a mask.

    Parameters
    ----------
    mask : (Y, X) or (Z, Y, X) bool array
        Beyond it lies background.

    Returns
    -------
    uint8 array, longer by 1 along each axis; bit i stands for the i-th of the 2 x 2 (x 2) pixels in raster order.
    """
    codes = np.ascontiguousarray(mask).view(np.uint8)
    for axis in reversed(range(mask.ndim)):
        pairs = np.zeros([n + (i == axis) for i, n in enumerate(codes.shape)], np.uint8)
        before, after = ([slice(None)] * axis + [part] for part in (slice(1, None), slice(-1)))
        pairs[*before] = codes
        pairs[*after] |= codes << np.uint8(2 ** (mask.ndim - 1 - axis))
        codes = pairs
    return codes


def surface_points(codes: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Return which points have pixels in the mask beside them as well as pixels outside it."""
    full = np.uint8(2 ** (2**codes.ndim) - 1)
    points: NDArray[np.bool_] = (codes != 0) & (codes != full)
    return points


def piece_sizes(spacing: Sequence[float]) -> NDArray[np.float64]:
    """Return for each code how large the piece of surface is: its length in 2D, its area in 3D.

    >>> piece_sizes((3, 4))[[0, 1, 3, 6, 14, 15]]
    array([0. , 2.5, 4. , 5. , 2.5, 0. ])
    """
    steps = np.asarray(spacing, np.float64)
    pieces = _lines() * steps if len(steps) == 2 else _normals() * (steps.prod() / steps)
    sizes: NDArray[np.float64] = np.sqrt((pieces**2).sum(axis=2)).sum(axis=1)
    return sizes


@cache
def _lines() -> NDArray[np.float64]:
    """Return the lines of each code of four pixels as vectors, as an array (code, line, axis)."""
    table = np.zeros((16, 2, 2))
    ring = [(0, 0), (0, 1), (1, 1), (1, 0)]
    for code, inside in _codes(2):
        for i, (begin, end) in enumerate(_cuts(ring, inside)):
            table[code, i] = np.subtract(end, begin) / 2
    return table


@cache
def _normals() -> NDArray[np.float64]:
    """Return the triangles of each code of eight pixels: normals as long as their area, (code, triangle, axis)."""
    table = np.zeros((256, 4, 3))
    for code, inside in _codes(3):
        normals = [normal for chain in _chains(inside) for normal in _filled(chain)]
        # Points have twice their coordinates, and two sides of a triangle span twice its area.
        table[code, : len(normals)] = np.reshape(normals, (-1, 3)) / 8
    return table


def _codes(ndim: int) -> list[tuple[int, set[Point]]]:
    """Return all codes with the pixels around which the surface goes: those inside, or those outside if fewer."""
    corners = list(itertools.product((0, 1), repeat=ndim))
    found = []
    for code in range(2 ** len(corners)):
        inside = {corner for i, corner in enumerate(corners) if code >> i & 1}
        found.append((code, inside if 2 * len(inside) <= len(corners) else set(corners) - inside))
    return found


def _cuts(ring: Sequence[Point], inside: set[Point]) -> list[tuple[Point, Point]]:
    """Return the lines that part the pixels inside from the others among four in a ring, each from side to side."""
    kind = [corner in inside for corner in ring]
    middle = [tuple(a + b for a, b in zip(ring[i], ring[i - 1], strict=True)) for i in range(4)]
    if kind[0] == kind[2] != kind[1] == kind[3]:
        return [(middle[i], middle[(i + 1) % 4]) for i in range(4) if kind[i]]
    crossed = [middle[i] for i in range(4) if kind[i] != kind[i - 1]]
    return [(crossed[0], crossed[1])] if crossed else []


def _chains(inside: set[Point]) -> list[list[Point]]:
    """Return the closed chains of points in which the surface meets the faces of a cube of eight pixels."""
    beside: dict[Point, list[Point]] = {}
    for axis, side in itertools.product(range(3), (0, 1)):
        ring = [(*p[:axis], side, *p[axis:]) for p in ((0, 0), (0, 1), (1, 1), (1, 0))]
        for begin, end in _cuts(ring, inside):
            beside.setdefault(begin, []).append(end)
            beside.setdefault(end, []).append(begin)
    chains = []
    while beside:
        chain = [next(iter(beside))]
        while further := [p for p in beside.pop(chain[-1]) if p in beside]:
            chain.append(further[0])
        chains.append(chain)
    return chains


def _filled(chain: Sequence[Point]) -> list[tuple[int, ...]]:
    """Return the normals of triangles that fill a closed chain: of all ways to do so, that of the largest area."""
    if len(chain) < 3:
        return []
    ways = []
    for i in range(1, len(chain) - 1):
        own = _cross(chain[0], chain[i], chain[-1])
        ways.append([*_filled(chain[: i + 1]), own, *_filled(chain[i:])])
    return max(ways, key=lambda way: math.fsum(math.hypot(*normal) for normal in way))


def _cross(a: Point, b: Point, c: Point) -> tuple[int, ...]:
    u, v = ([q - p for p, q in zip(a, end, strict=True)] for end in (b, c))
    return tuple(u[i - 2] * v[i - 1] - u[i - 1] * v[i - 2] for i in range(3))
