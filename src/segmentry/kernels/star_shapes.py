"""Smooth random bodies painted into volumes, pressed against each other, and filled with light.

A body is an ellipsoid, bent along its longest axis, whose radius varies with the direction by a few harmonics. Its
level is 0 in its middle and 1 on its surface. Only sums, products, quotients and square roots are taken of pixels, so
that every machine finds the same. Planes are volumes of one slice.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from segmentry.kernels.jit import compiled

__all__ = ["DEGREES", "REACH", "Bodies", "Ownership", "fill", "majority", "paint"]

#: Degrees of the harmonics, the first column of `Bodies.lobes` in their order.
DEGREES = (2, 3, 4, 5, 6, 7)
#: Coefficients of the even powers 0 … 6 of Legendre's polynomials of those degrees, and of Chebyshev's, which stand for
#: them in a plane; those of odd degree times the argument.
LEGENDRE = np.array(
    [
        [-1 / 2, 3 / 2, 0, 0],
        [-3 / 2, 5 / 2, 0, 0],
        [3 / 8, -30 / 8, 35 / 8, 0],
        [15 / 8, -70 / 8, 63 / 8, 0],
        [-5 / 16, 105 / 16, -315 / 16, 231 / 16],
        [-35 / 16, 315 / 16, -693 / 16, 429 / 16],
    ]
)
CHEBYSHEV = np.array(
    [[-1, 2, 0, 0], [-3, 4, 0, 0], [1, -8, 8, 0], [5, -20, 16, 0], [-1, 18, -48, 32], [-7, 56, -112, 64]], np.float64
)
#: Least radius in any direction, as a share of the mean one.
LEAST = 0.2
#: How far beyond its surface the level of a body is known, for the clefts between bodies.
REACH = 1.35


class Bodies(NamedTuple):
    """Many bodies; all lengths are in one unit, all axes in the order z, y, x.

    Parameters
    ----------
    centres : (n, 3) float64
    frames : (n, 3, 3) float64, rotation whose columns are the axes of the body
    axes : (n, 3) float64, half axes, the longest first
    bends : (n,) float64, how far the ends lie off, as a share of the longest half axis
    lobes : (n, 6, 4) float64: for each of :data:`DEGREES`, a height as a share of the radius and its direction
    radii : (n,) float64, of the ball (disc) as large
    """

    centres: NDArray[np.float64]
    frames: NDArray[np.float64]
    axes: NDArray[np.float64]
    bends: NDArray[np.float64]
    lobes: NDArray[np.float64]
    radii: NDArray[np.float64]


class Ownership(NamedTuple):
    """Which body each pixel belongs to, and by how much; arrays (Z, Y, X).

    Parameters
    ----------
    labels : uint32, 0 for none
    power : float32, radius² (level² - 1) of the body with the least of it, infinite where no body is near
    second : float32, that of the body with the next
    """

    labels: NDArray[np.uint32]
    power: NDArray[np.float32]
    second: NDArray[np.float32]

    @classmethod
    def empty(cls, shape: tuple[int, ...]) -> Ownership:
        """Return what no body has been painted into."""
        far = np.full(shape, np.inf, np.float32)
        return cls(np.zeros(shape, np.uint32), far, far.copy())


def paint(bodies: Bodies, first: int, steps: NDArray[np.float64], owned: Ownership, reach: float = REACH) -> None:
    """Add bodies to those painted; where they overlap, a plane parts them (a power diagram of Laguerre).

    Parameters
    ----------
    first
        Label of the first; the others count on.
    steps : (3,) size of a pixel
    owned
        Changed in place.
    reach
        Level up to which bodies are known of; 1 where nobody asks for the second.
    """
    flat = owned.labels.shape[0] == 1
    _paint(*bodies, first, steps, flat, reach, *owned)


def fill(
    bodies: Bodies,
    ids: NDArray[np.int64],
    steps: NDArray[np.float64],
    owned: Ownership,
    looks: NDArray[np.float64],
    spots: tuple[NDArray[np.float64], NDArray[np.int64]],
    texture: tuple[NDArray[np.float32], NDArray[np.int64]],
    out: NDArray[np.float32],
) -> None:
    """Add the stain of bodies to a volume.

    Parameters
    ----------
    ids : (n,) label of each body, whose pixels it fills; 0 for a body that fills all of its own, over whatever is there
    steps : (3,) size of a pixel
    looks : (n, 4) brightness, dome, rim and amplitude of the texture of each
    spots
        (m, 5) float64 middle, radius and height of each spot (negative: how much darker), and (n + 1,) where those of
        each body begin.
    texture
        (Z, Y, X) tile that repeats itself, and (n, 3) where each body begins in it.
    out : (Z, Y, X) float32, added to
    """
    flat = out.shape[0] == 1
    _fill(*bodies, ids, steps, flat, *owned, looks, *spots, *texture, out)


@compiled
def _level(
    z: float, y: float, x: float, frame: NDArray[np.float64], axes: NDArray[np.float64], bend: float,
    lobes: NDArray[np.float64], flat: bool, most: float,
) -> float:  # fmt: skip
    """Return the level of a point that is given from the middle of a body, or infinity beyond `most` half axes."""
    u = frame[0, 0] * z + frame[1, 0] * y + frame[2, 0] * x
    v = frame[0, 1] * z + frame[1, 1] * y + frame[2, 1] * x
    w = frame[0, 2] * z + frame[1, 2] * y + frame[2, 2] * x
    v -= bend * (u * u / axes[0] - axes[0] / 3)
    u /= axes[0]
    v /= axes[1]
    w /= axes[2]
    far = np.sqrt(u * u + v * v + w * w)
    if far < 1e-9:
        return 0.0
    if far > most:
        return np.inf
    radius = 1.0
    for i in range(len(lobes)):
        along = (u * lobes[i, 1] + v * lobes[i, 2] + w * lobes[i, 3]) / far
        c = CHEBYSHEV[i] if flat else LEGENDRE[i]
        square = along * along
        height = ((c[3] * square + c[2]) * square + c[1]) * square + c[0]
        radius += lobes[i, 0] * (height * along if i % 2 else height)
    return float(far / max(radius, LEAST))


@compiled
def _box(
    centre: NDArray[np.float64], frame: NDArray[np.float64], axes: NDArray[np.float64], bend: float,
    steps: NDArray[np.float64], shape: tuple[int, int, int], most: float,
) -> Any:  # fmt: skip
    """Return the first and one past the last pixel per axis that a body can hold."""
    box = np.empty((3, 2), np.int64)
    for i in range(3):
        half = 0.0
        for j in range(3):
            half += (frame[i, j] * axes[j]) ** 2
        half = most * np.sqrt(half) + abs(frame[i, 1] * bend) * axes[0] * (most * most + 1)
        box[i, 0] = max(0, int(np.floor((centre[i] - half) / steps[i])))
        box[i, 1] = min(shape[i], int(np.floor((centre[i] + half) / steps[i])) + 1)
    return box


@compiled
def _paint(
    centres: NDArray[np.float64], frames: NDArray[np.float64], axes: NDArray[np.float64], bends: NDArray[np.float64],
    lobes: NDArray[np.float64], radii: NDArray[np.float64], first: int, steps: NDArray[np.float64], flat: bool,
    reach: float, labels: NDArray[np.uint32], power: NDArray[np.float32], second: NDArray[np.float32],
) -> None:  # fmt: skip
    for k in range(len(radii)):
        frame, half, bend, heights = frames[k], axes[k], bends[k], lobes[k]
        wide, square = 1 + np.abs(heights[:, 0]).sum(), radii[k] * radii[k]
        most, farthest = reach * wide, square * (reach * reach - 1)
        longest, bow = half.max(), abs(bend) * half[0] * (most * most + 1)
        box = _box(centres[k], frame, half, bend, steps, labels.shape, most)
        for z in range(box[0, 0], box[0, 1]):
            dz = 0.0 if flat else (z + 0.5) * steps[0] - centres[k, 0]
            for y in range(box[1, 0], box[1, 1]):
                dy = (y + 0.5) * steps[1] - centres[k, 1]
                for x in range(box[2, 0], box[2, 1]):
                    dx = (x + 0.5) * steps[2] - centres[k, 2]
                    # Nothing more is computed where even the longest axis would not be long enough.
                    limit = power[z, y, x] if reach <= 1 else second[z, y, x]
                    near = most if limit >= farthest else wide * np.sqrt(max(limit / square + 1, 0.0))
                    if dz * dz + dy * dy + dx * dx > (near * longest + bow) ** 2:
                        continue
                    level = _level(dz, dy, dx, frame, half, bend, heights, flat, near)
                    if level > reach:
                        continue
                    here = np.float32(square * (level * level - 1))
                    if here < power[z, y, x]:
                        second[z, y, x] = power[z, y, x]
                        power[z, y, x] = here
                        labels[z, y, x] = first + k if here < 0 else 0
                    elif here < second[z, y, x]:
                        second[z, y, x] = here


@compiled
def _fill(
    centres: NDArray[np.float64], frames: NDArray[np.float64], axes: NDArray[np.float64], bends: NDArray[np.float64],
    lobes: NDArray[np.float64], radii: NDArray[np.float64], ids: NDArray[np.int64], steps: NDArray[np.float64],
    flat: bool, labels: NDArray[np.uint32], power: NDArray[np.float32], second: NDArray[np.float32],
    looks: NDArray[np.float64], spots: NDArray[np.float64], begin: NDArray[np.int64], tile: NDArray[np.float32],
    shifts: NDArray[np.int64], out: NDArray[np.float32],
) -> None:  # fmt: skip
    for k in range(len(radii)):
        frame, half, bend, heights = frames[k], axes[k], bends[k], lobes[k]
        most = 1 + np.abs(heights[:, 0]).sum()
        box = _box(centres[k], frame, half, bend, steps, out.shape, most)
        square = radii[k] * radii[k]
        mine, look = spots[begin[k] : begin[k + 1]], looks[k]
        for z in range(box[0, 0], box[0, 1]):
            pz = centres[k, 0] if flat else (z + 0.5) * steps[0]
            for y in range(box[1, 0], box[1, 1]):
                py = (y + 0.5) * steps[1]
                for x in range(box[2, 0], box[2, 1]):
                    px = (x + 0.5) * steps[2]
                    if ids[k] > 0:
                        if labels[z, y, x] != ids[k]:
                            continue
                        depth = 1 - np.sqrt(max(power[z, y, x] / square + 1, 0.0))
                        depth = min(depth, (second[z, y, x] - power[z, y, x]) / (4 * square))
                    else:
                        dz, dy, dx = pz - centres[k, 0], py - centres[k, 1], px - centres[k, 2]
                        depth = 1 - _level(dz, dy, dx, frame, half, bend, heights, flat, most)
                    if depth < 0:
                        continue
                    grain = tile[
                        (z + shifts[k, 0]) % tile.shape[0],
                        (y + shifts[k, 1]) % tile.shape[1],
                        (x + shifts[k, 2]) % tile.shape[2],
                    ]
                    out[z, y, x] += np.float32(_stain(depth, grain, look, mine, pz, py, px))


@compiled
def _stain(
    depth: float, grain: float, look: NDArray[np.float64], spots: NDArray[np.float64], z: float, y: float, x: float
) -> float:
    """Return how much stain there is at a depth below the surface, which is a share of the radius."""
    amount = 1 - look[1] + look[1] * np.sqrt(depth * (2 - depth))
    amount *= 1 + look[2] * max(0.0, 1 - depth / 0.3)
    amount *= max(0.0, 1 + look[3] * grain)
    for i in range(len(spots)):
        off = (z - spots[i, 0]) ** 2 + (y - spots[i, 1]) ** 2 + (x - spots[i, 2]) ** 2
        near = 1 - off / (spots[i, 3] * spots[i, 3])
        if near > 0:
            amount = amount + spots[i, 4] * near * near if spots[i, 4] > 0 else amount * (1 + spots[i, 4] * near)
    return float(look[0] * amount)


@compiled
def majority(labels: NDArray[np.uint32], size: int) -> NDArray[np.uint32]:
    """Return the commonest label of each block of `size` x `size` pixels of (Z, Y, X); of two, the first."""
    depth, height, width = labels.shape[0], labels.shape[1] // size, labels.shape[2] // size
    out = np.empty((depth, height, width), np.uint32)
    for z in range(depth):
        for y in range(height):
            for x in range(width):
                block = labels[z, y * size : (y + 1) * size, x * size : (x + 1) * size].copy().ravel()
                most = 0
                for value in block:
                    count = (block == value).sum()
                    if count > most:
                        most = count
                        out[z, y, x] = value
    return out
