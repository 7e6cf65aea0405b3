"""Outlines and run lengths of all objects of a label image in one pass, and drawn back into one.

Outlines follow the edges between pixels (crack code, all objects at once), so neighbours share their border, a polygon
covers exactly the pixels of its object, and drawing it gives them back. Every ring is simple, and rings touch each
other in single points at most.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from segmentry.errors import InputError
from segmentry.kernels.borders import trace_borders
from segmentry.kernels.jit import compiled

__all__ = ["Outlines", "Overlap", "Runs", "draw_outlines", "draw_runs", "encode_runs", "trace_outlines"]

#: An object, another that it covers in part, and the number of pixels they share.
Overlap: TypeAlias = tuple[int, int, int]


@dataclass(frozen=True)
class Outlines:
    """Polygons in (y, x) corner coordinates: pixel (r, c) covers r … r + 1 by c … c + 1.

    Parameters
    ----------
    ids : (P,) uint32 array
        The object of each polygon. An object in several pieces has several polygons, one after the other.
    polygons : (P + 1,) int64 array
        Polygon i has the rings ``polygons[i]`` … ``polygons[i + 1] - 1``: its outer ring, then its holes.
    rings : (R + 1,) int64 array
        Ring i has the points ``rings[i]`` … ``rings[i + 1] - 1``. Its first point is not repeated at its end.
    points : (N, 2) array
        The corners of all rings. Traced outer rings run clockwise on the screen (y down), holes the other way round:
        read as (x, y), that is the order of GeoJSON (RFC 7946).
    """

    ids: NDArray[np.uint32]
    polygons: NDArray[np.int64]
    rings: NDArray[np.int64]
    points: NDArray[Any]

    @classmethod
    def of(cls, ids: Sequence[int], polygons: Sequence[Sequence[ArrayLike]]) -> Outlines:
        """Gather polygons that are given one by one, each as a list of rings of (y, x) points.

        >>> Outlines.of([7], [[[(0, 0), (0, 2), (1, 2)]]]).rings
        array([0, 3])
        """
        rings = [np.asarray(ring, np.float64).reshape(-1, 2) for polygon in polygons for ring in polygon]
        return cls(
            np.array(ids, np.uint32),
            _offsets([len(polygon) for polygon in polygons]),
            _offsets([len(ring) for ring in rings]),
            np.concatenate(rings) if rings else np.zeros((0, 2)),
        )

    def objects(self) -> Iterator[tuple[int, list[list[NDArray[Any]]]]]:
        """Give each object's id with its polygons, each a list of rings of (y, x) points."""
        rings = np.split(self.points, self.rings[1:-1])
        for number, own in groupby(range(len(self.ids)), self.ids.tolist().__getitem__):
            yield number, [rings[self.polygons[i] : self.polygons[i + 1]] for i in own]


@dataclass(frozen=True)
class Runs:
    """Stretches of pixels of one object in a flattened label image.

    Parameters
    ----------
    ids : (N,) uint32 array
        The objects, ascending.
    offsets : (N + 1,) int64 array
        Object i has the runs ``offsets[i]`` … ``offsets[i + 1] - 1``, in ascending order.
    starts, lengths : (M,) int64 arrays
        First pixel of each run in the flattened image, and number of pixels. A run goes on past the end of a line.
    """

    ids: NDArray[np.uint32]
    offsets: NDArray[np.int64]
    starts: NDArray[np.int64]
    lengths: NDArray[np.int64]


def trace_outlines(labels: NDArray[np.uint32]) -> Outlines:
    """Return the outlines of all objects.

    Each 4-connected piece of an object is one polygon, valid by the rules of simple features, whose area is the number
    of its pixels.

    Parameters
    ----------
    labels : (Y, X) array

    Returns
    -------
    Outlines with int32 points; ids ascend, the pieces of an object follow in raster order of their first pixel

    Examples
    --------
    >>> outlines = trace_outlines(np.array([[0, 5, 5]], np.uint32))
    >>> outlines.ids, outlines.points.tolist()
    (array([5], dtype=uint32), [[0, 1], [0, 3], [1, 3], [1, 1]])
    """
    points, rings, owners = trace_borders(labels)
    polygons = np.flatnonzero(owners[:, 2] == 0)
    return Outlines(owners[polygons, 0].astype(np.uint32), np.append(polygons, len(owners)), rings, points)


def encode_runs(labels: NDArray[np.uint32], columns: bool = False) -> Runs:
    """Return the runs of all objects.

    Parameters
    ----------
    labels : array of any shape
    columns
        Flatten down the columns, as COCO does, rather than along the rows.

    Examples
    --------
    >>> runs = encode_runs(np.array([[5, 5], [0, 5]], np.uint32))
    >>> runs.ids, runs.starts, runs.lengths
    (array([5], dtype=uint32), array([0, 3]), array([2, 1]))
    """
    flat = labels.ravel(order="F" if columns else "C")
    starts = np.append(0, np.flatnonzero(flat[1:] != flat[:-1]) + 1)
    lengths = np.diff(starts, append=flat.size)
    values = flat[starts]
    kept = np.flatnonzero(values)
    kept = kept[np.argsort(values[kept], kind="stable")]
    ids, first = np.unique(values[kept], return_index=True)
    return Runs(ids, np.append(first, len(kept)), starts[kept], lengths[kept])


def draw_outlines(outlines: Outlines, labels: NDArray[np.uint32]) -> tuple[NDArray[np.int64], Overlap | None]:
    """Draw polygons into a label image, in place; what lies outside of it is cut off.

    A pixel belongs to a polygon when a ray from its centre crosses the polygon's rings an odd number of times. An
    object's polygons may cover each other; drawing stops at the first object that covers another.

    Parameters
    ----------
    outlines
        Polygons with integer or real points.
    labels : (Y, X) C-contiguous array

    Returns
    -------
    drawn : number of pixels drawn for each polygon
    overlap : the first two objects that share pixels, ``None`` when there are none

    Raises
    ------
    InputError
        When a coordinate is no finite number, or too large for any image.
    """
    points = np.ascontiguousarray(outlines.points, np.float64)
    if not np.all(np.abs(points) < 2**31):
        raise InputError("outlines must have finite coordinates below 2,147,483,648")
    drawn = np.zeros(len(outlines.ids), np.int64)
    found = _draw(points, outlines.rings, outlines.polygons, outlines.ids, labels, drawn)
    return drawn, _overlap(found)


def draw_runs(runs: Runs, labels: NDArray[np.uint32], columns: bool = False) -> Overlap | None:
    """Draw runs into a label image, in place, up to the first object that covers another; return those two.

    Parameters
    ----------
    runs
        As :func:`encode_runs` gives them, within the image.
    labels : (Y, X) C-contiguous array
    columns
        Whether the image was flattened down the columns.
    """
    owners = np.repeat(runs.ids, np.diff(runs.offsets))
    return _overlap(_fill(owners, runs.starts, runs.lengths, columns, labels))


def _offsets(lengths: ArrayLike) -> NDArray[np.int64]:
    return np.append(0, np.cumsum(lengths, dtype=np.int64))


def _overlap(found: tuple[int, int, int]) -> Overlap | None:
    return (int(found[0]), int(found[1]), int(found[2])) if found[2] else None


@compiled
def _centres_below(value: float, size: int) -> int:
    """Count the pixel centres of an axis of `size` pixels that lie below a coordinate."""
    return int(min(max(np.ceil(value - 0.5), 0.0), float(size)))


@compiled
def _draw(
    points: NDArray[np.float64], rings: NDArray[np.int64], polygons: NDArray[np.int64], ids: NDArray[np.uint32],
    labels: NDArray[np.uint32], drawn: NDArray[np.int64],
) -> tuple[int, int, int]:  # fmt: skip
    """Flip all that lies right of each edge, within the polygon's box: flipped an odd number of times is inside."""
    height, width = labels.shape
    flips = np.zeros(0, np.bool_)
    other, shared = 0, 0
    for p in range(ids.size):
        if shared > 0 and ids[p] != ids[p - 1]:
            return other, ids[p - 1], shared
        inside = points[rings[polygons[p]] : rings[polygons[p + 1]]]
        if inside.size == 0:
            continue
        top, bottom = _centres_below(inside[:, 0].min(), height), _centres_below(inside[:, 0].max(), height)
        left, right = _centres_below(inside[:, 1].min(), width), _centres_below(inside[:, 1].max(), width)
        rows, columns = bottom - top, right - left + 1
        if flips.size < rows * columns:
            flips = np.zeros(rows * columns, np.bool_)
        for ring in range(polygons[p], polygons[p + 1]):
            before = rings[ring + 1] - 1
            for i in range(rings[ring], rings[ring + 1]):
                low, high = (i, before) if points[i, 0] < points[before, 0] else (before, i)
                before = i
                y, x = points[low]
                first, last = _centres_below(y, height), _centres_below(points[high, 0], height)
                slope = (points[high, 1] - x) / (points[high, 0] - y) if last > first else 0.0
                for row in range(first, last):
                    crossing = _centres_below(x + (row + 0.5 - y) * slope, width)
                    at = (row - top) * columns + min(max(crossing, left), right) - left
                    flips[at] = not flips[at]
        for row in range(rows):
            flip = flips[row * columns : (row + 1) * columns]
            out = labels[top + row]
            is_in = False
            for column in range(columns - 1):
                is_in ^= flip[column]
                if is_in:
                    value = out[left + column]
                    if value != 0 and value != ids[p]:
                        other = value if shared == 0 else other
                        shared += value == other
                    out[left + column] = ids[p]
                    drawn[p] += 1
            flip[:] = False
    return other, ids[ids.size - 1] if ids.size > 0 else 0, shared


@compiled
def _fill(
    owners: NDArray[np.uint32], starts: NDArray[np.int64], lengths: NDArray[np.int64], columns: bool,
    labels: NDArray[np.uint32],
) -> tuple[int, int, int]:  # fmt: skip
    height, width = labels.shape
    other, shared = 0, 0
    for run in range(owners.size):
        if shared > 0 and owners[run] != owners[run - 1]:
            return other, owners[run - 1], shared
        for pixel in range(starts[run], starts[run] + lengths[run]):
            y, x = (pixel % height, pixel // height) if columns else (pixel // width, pixel % width)
            value = labels[y, x]
            if value != 0 and value != owners[run]:
                other = value if shared == 0 else other
                shared += value == other
            labels[y, x] = owners[run]
    return other, owners[owners.size - 1] if owners.size > 0 else 0, shared
