"""Mean and spread in the box around each pixel, and how surely a pixel lies beyond its level.

Sums are of integers and slide: along the planes, down the columns, then along each row, so that a pixel costs the same
whatever the box, and has the same sum in any window that holds its box. Edges are mirrored. Results come in strips of
rows that fit a processor's cache; no array of sums as large as the image is made.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segmentry.kernels.jit import compiled

__all__ = ["STEPS", "box_statistics", "box_strips", "decide", "quantised"]

#: Intensities are counted in this many steps.
STEPS = 65_535
#: Pixels in a strip of rows, about: what is done to a strip stays in the cache.
STRIP = 2**15
#: Slope that brings the logistic curve close to that of the normal distribution.
SLOPE = 1.7

Rows = tuple[int, slice]


def quantised(pixels: NDArray[Any], low: float, high: float, turned: bool) -> NDArray[np.uint16]:
    """Return intensities as steps from `low` (0) to `high` (65,535), or the other way round where `turned`."""
    steps = np.empty(pixels.shape, np.uint16)
    source, target = pixels.reshape(-1), steps.reshape(-1)
    for start in range(0, pixels.size, STRIP):
        part = slice(start, start + STRIP)
        _quantise(source[part].astype(np.float64), low, high - low if high > low else 1.0, turned, target[part])
    return steps


def box_statistics(values: NDArray[Any], radius: tuple[int, ...]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the mean and the standard deviation of whole numbers in the box around each pixel.

    Parameters
    ----------
    values : (Y, X) or (Z, Y, X) array of integers
        Where the sum of squares over a box passes 64 bits, the deviation is wrong.
    radius
        Half the width of the box along each axis; it may exceed the array.
    """
    shape = (1,) * (3 - values.ndim) + values.shape
    mean, sd = np.empty(shape, np.float32), np.empty(shape, np.float32)
    for at, part, spread in box_strips(values, radius, 1):
        mean[at], sd[at] = part, spread
    return mean.reshape(values.shape), sd.reshape(values.shape)


def box_strips(
    values: NDArray[Any], radius: tuple[int, ...], unit: float
) -> Iterator[tuple[Rows, NDArray[np.float32], NDArray[np.float32]]]:
    """Yield mean and standard deviation strip by strip: plane and rows, and two arrays of them, divided by `unit`.

    The arrays are filled again for the next strip.
    """
    volume = np.ascontiguousarray(values).reshape((1,) * (3 - values.ndim) + values.shape)
    deep, tall, wide = (0,) * (3 - values.ndim) + radius
    depth, height, width = volume.shape
    planes, rows, columns = _mirrored(depth, deep), _mirrored(height, tall), _mirrored(width, wide)
    count = float(np.prod([2 * r + 1 for r in radius]))
    buffer = np.empty((2, max(1, min(height, STRIP // width)), width), np.float32)
    totals = np.empty((2, width), np.int64)
    sums, squares = _summed(volume, planes[: 2 * deep + 1]) if deep else (volume[0], volume[0])
    for z in range(depth):
        if deep:
            _exchange(sums, squares, volume[planes[z + 2 * deep + 1]], volume[planes[z]])
        else:
            sums = squares = volume[z]
        running = np.zeros((2, len(columns)), np.int64)
        for y in rows[: 2 * tall + 1]:
            line = sums[y].astype(np.int64)
            running[0, wide + 1 : wide + 1 + width] += line
            running[1, wide + 1 : wide + 1 + width] += squares[y] if deep else line * line
        for top in range(0, height, buffer.shape[1]):
            mean, sd = buffer[:, : min(height - top, buffer.shape[1])]
            _slide(sums, squares, not deep, rows[top:], tall, columns, wide, running, totals, count, unit, mean, sd)
            yield (z, slice(top, top + len(mean))), mean, sd


def decide(
    level: NDArray[np.float32],
    sd: NDArray[np.float32],
    steps: NDArray[np.uint16],
    classes: NDArray[np.uint8],
    confidence: NDArray[np.uint16],
) -> None:
    """Write 1 where steps lie below their level, and how probable the class is, in parts of 65,535.

    The probability follows from the distance to the level in local spreads, by a logistic curve that is nearly the
    normal one.
    """
    _decide(level, sd, steps, classes, confidence)


def _mirrored(n: int, radius: int) -> NDArray[np.int64]:
    """Return the places that stand at -radius - 1 … n - 1 + radius when an axis is mirrored at its ends."""
    return np.pad(np.arange(n), (radius + 1, radius), mode="symmetric")


def _summed(volume: NDArray[Any], chosen: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    sums = np.zeros(volume.shape[1:], np.int64)
    squares = np.zeros(volume.shape[1:], np.int64)
    for z in chosen:
        plane = volume[z].astype(np.int64)
        sums += plane
        squares += plane * plane
    return sums, squares


@compiled
def _quantise(values: NDArray[np.float64], low: float, width: float, turned: bool, steps: NDArray[np.uint16]) -> None:
    top = float(STEPS)
    scale = top / width
    for i in range(values.size):
        step = min(max((values[i] - low) * scale, 0.0), top)
        steps[i] = np.uint16(np.int32((top - step if turned else step) + 0.5))


@compiled
def _exchange(
    sums: NDArray[np.int64], squares: NDArray[np.int64], entering: NDArray[Any], leaving: NDArray[Any]
) -> None:
    """Add one plane to running sums and take another away."""
    for y in range(sums.shape[0]):
        total, square, new, old = sums[y], squares[y], entering[y], leaving[y]
        for x in range(total.size):
            a, b = np.int64(new[x]), np.int64(old[x])
            total[x] += a - b
            square[x] += a * a - b * b


@compiled
def _slide(
    sums: NDArray[Any], squares: NDArray[Any], plain: bool, rows: NDArray[np.int64], tall: int,
    columns: NDArray[np.int64], wide: int, running: NDArray[np.int64], totals: NDArray[np.int64],
    count: float, unit: float, mean: NDArray[np.float32], sd: NDArray[np.float32],
) -> None:  # fmt: skip
    """Fill a strip, carrying the sums of columns on; where `plain`, squares are those of `sums` themselves."""
    width = mean.shape[1]
    column, power = running[0], running[1]
    core, core_power = column[wide + 1 : wide + 1 + width], power[wide + 1 : wide + 1 + width]
    entering, entering_power = column[2 * wide + 1 :], power[2 * wide + 1 :]
    total, total_power = totals[0], totals[1]
    scale, scale_power = 1 / (count * unit), 1 / (count * unit) ** 2
    for i in range(mean.shape[0]):
        new, old = sums[rows[i + 2 * tall + 1]], sums[rows[i]]
        if plain:
            for x in range(width):
                a, b = np.int64(new[x]), np.int64(old[x])
                core[x] += a - b
                core_power[x] += a * a - b * b
        else:
            new_power, old_power = squares[rows[i + 2 * tall + 1]], squares[rows[i]]
            for x in range(width):
                core[x] += np.int64(new[x]) - np.int64(old[x])
                core_power[x] += np.int64(new_power[x]) - np.int64(old_power[x])
        for x in range(wide + 1):
            column[x], power[x] = core[columns[x]], core_power[columns[x]]
        for x in range(wide + 1 + width, columns.size):
            column[x], power[x] = core[columns[x]], core_power[columns[x]]
        box, box_power = np.int64(0), np.int64(0)
        for x in range(2 * wide + 1):
            box += column[x]
            box_power += power[x]
        for x in range(width):
            box += entering[x] - column[x]
            box_power += entering_power[x] - power[x]
            total[x] = box
            total_power[x] = box_power
        average, spread = mean[i], sd[i]
        for x in range(width):
            mass = float(total[x])
            average[x] = np.float32(mass * scale)
            # Both products are rounded alike, so that a box of equal values has no spread at all.
            excess = count * float(total_power[x]) - mass * mass
            spread[x] = np.sqrt(np.float32(max(excess, 0.0) * scale_power))


@compiled
def _decide(
    level: NDArray[np.float32],
    sd: NDArray[np.float32],
    steps: NDArray[np.uint16],
    classes: NDArray[np.uint8],
    confidence: NDArray[np.uint16],
) -> None:
    one, half, top, step = np.float32(1), np.float32(0.5), np.float32(STEPS), np.float32(1 / STEPS)
    slope, most = np.float32(SLOPE / 32), np.float32(0.75)
    for y in range(level.shape[0]):
        height, spread, value, chosen, sure = level[y], sd[y], steps[y], classes[y], confidence[y]
        for x in range(height.size):
            below = height[x] - np.float32(value[x]) * step
            chosen[x] = np.uint8(below > np.float32(0))
            far = min(slope * abs(below) / max(spread[x], step), most)
            # exp(32 far), as the 32nd power of the beginning of a series.
            odds = one + far + half * far * far
            odds = odds * odds
            odds = odds * odds
            odds = odds * odds
            odds = odds * odds
            odds = odds * odds
            # `max` changes nothing: it shows the compiler that nothing is divided by zero.
            sure[x] = np.uint16(np.int32((one - one / max(one + odds, one)) * top + half))
