"""How far rays reach from every pixel of an object before they leave it: what star-convex shapes are learned from.

Pixels lie at whole numbers, so that rays of a direction pass through the same pixels, on the same way, around each of
them. All pixels of an object are followed at once, in steps: those still within it are a mask, and after the next step
they are those of the mask that the object, moved back by the step, covers too.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from segmentry.kernels.jit import compiled

__all__ = ["ray_lengths"]

#: Steps between two looks whether any pixel is left, and pixels followed together, which the nearest cache holds.
LOOK, TOGETHER = 4, 8192


def ray_lengths(
    numbers: NDArray[np.uint32], boxes: Sequence[tuple[slice, ...] | None], directions: NDArray[np.float64]
) -> NDArray[np.float32]:
    """Return how far each ray goes from each pixel before it leaves the object of the pixel.

    Rays are followed in steps of the length of their direction, up to the first that ends in the pixel of something
    else, or beyond the array. In planes the last counts to the edge between the pixels, about, as in StarDist; in
    volumes up to where the ray leaves the last voxel of the object.

    Parameters
    ----------
    numbers : (Y, X) or (Z, Y, X) uint32 array
        Objects 1 … n, 0 elsewhere.
    boxes
        Where object k + 1 lies, if anywhere.
    directions : (rays, 3) float64 array
        Of rays, in pixels: z, y, x; none is longer than 1.

    Returns
    -------
    (rays, *spatial) float32 array; 0 outside of objects.
    """
    deep = numbers.ndim == 3
    full = (1,) * (3 - numbers.ndim) + numbers.shape
    found = np.zeros((len(directions), *full), np.float32)
    fastest = np.abs(directions).max(axis=1)
    longest = max((s.stop - s.start for box in boxes if box is not None for s in box), default=0)
    count = int(np.ceil((longest + 1) / fastest.min())) + LOOK
    places, times = _ways(directions, count)
    if not deep:
        last = (1 - 0.5 / fastest).astype(np.float32)
        times = (np.arange(1, count + 1, dtype=np.float32) - last[:, None])[:, :, None]
    for k, box in enumerate(boxes):
        if box is not None:
            place = (slice(0, 1),) * (3 - numbers.ndim) + box
            own = np.pad(numbers.reshape(full)[place] == k + 1, [(int(deep),) * 2, (1, 1), (1, 1)])
            # The mask is of the type that counts steps (in volumes, thirds of them): one instruction is for many then.
            kind = np.min_scalar_type(int(times.shape[2] * (max(own.shape) / fastest.min() + 1)))
            march = _march_deep if deep else _march
            march(own.astype(kind) * np.iinfo(kind).max, places, times, found[(slice(None), *place)])
    return found.reshape(len(directions), *numbers.shape)


@compiled
def _ways(directions: NDArray[np.float64], count: int) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Return the pixels that each step enters, up to three, from the start of the ray, and when it enters them.

    The last of them is that in which the step ends, at the latest; a step that enters fewer has it several times.
    """
    places = np.empty((len(directions), count, 3, 3), np.int32)
    times = np.empty((len(directions), count, 3), np.float32)
    place, target = np.empty(3), np.empty(3)
    for k in range(len(directions)):
        for s in range(count):
            for axis in range(3):
                place[axis] = np.floor(s * directions[k, axis] + 0.5)
                target[axis] = np.floor((s + 1) * directions[k, axis] + 0.5)
                places[k, s, :, axis] = np.int32(target[axis])
            times[k, s] = s + 1
            for entered in range(3):
                best, soonest = -1, np.inf
                for axis in range(3):
                    if place[axis] != target[axis]:
                        when = (max(place[axis], target[axis]) - 0.5) / directions[k, axis]
                        if when < soonest:
                            best, soonest = axis, when
                if best < 0:
                    break
                place[best] = target[best]
                for axis in range(3):
                    places[k, s, entered, axis] = np.int32(place[axis])
                times[k, s, entered:] = soonest
    return places, times


@compiled
def _march(
    own: NDArray[np.uint8], places: NDArray[np.int32], times: NDArray[np.float32], found: NDArray[np.float32]
) -> None:
    """Follow the rays of an object in a plane: all bits of its pixels are set, none of the others, nor at the rim."""
    _, height, width = own.shape
    flat = own.ravel()
    alive, steps = np.zeros(min(TOGETHER, -(-len(flat) // 8) * 8), flat.dtype), np.empty_like(flat)
    for k in range(len(places)):
        steps[:] = 0
        for start in range(0, len(flat), TOGETHER):
            stop = min(start + TOGETHER, len(flat))
            alive[: stop - start] = flat[start:stop]
            alive[stop - start :] = 0
            step = 0
            while step % LOOK or _any(alive.view(np.uint64)):
                end = _offset(places[k, step, 2], height, width)
                low, high = max(start, -end), min(stop, len(flat) - end)
                if low < high:
                    _step(alive[low - start : high - start], steps[low:high], flat[low + end : high + end])
                step += 1
        for y in range(1, height - 1):
            _write(flat, steps, times[k].ravel(), y * width + 1, found[k, 0, y - 1])


@compiled
def _march_deep(
    own: NDArray[np.uint8], places: NDArray[np.int32], times: NDArray[np.float32], found: NDArray[np.float32]
) -> None:
    """Follow the rays of an object in a volume, in thirds of steps."""
    depth, height, width = own.shape
    flat = own.ravel()
    alive, thirds = np.zeros(min(TOGETHER, -(-len(flat) // 8) * 8), flat.dtype), np.empty_like(flat)
    for k in range(len(places)):
        thirds[:] = 0
        for start in range(0, len(flat), TOGETHER):
            stop = min(start + TOGETHER, len(flat))
            alive[: stop - start] = flat[start:stop]
            alive[stop - start :] = 0
            step = 0
            while step % LOOK or _any(alive.view(np.uint64)):
                one, two, end = [_offset(place, height, width) for place in places[k, step]]
                low, high = max(start, -min(one, two, end)), min(stop, len(flat) - max(one, two, end))
                if low < high:
                    _step_deep(
                        alive[low - start : high - start],
                        thirds[low:high],
                        flat[low + one : high + one],
                        flat[low + two : high + two],
                        flat[low + end : high + end],
                    )
                step += 1
        for z in range(1, depth - 1):
            for y in range(1, height - 1):
                _write(flat, thirds, times[k].ravel(), (z * height + y) * width + 1, found[k, z - 1, y - 1])


@compiled
def _offset(place: NDArray[np.int32], height: int, width: int) -> int:
    return int((np.int64(place[0]) * height + place[1]) * width + place[2])


@compiled
def _any(words: NDArray[np.uint64]) -> bool:
    left = np.uint64(0)
    for i in range(len(words)):
        left |= words[i]
    return bool(left != 0)


@compiled
def _step(alive: NDArray[np.uint8], steps: NDArray[np.uint8], end: NDArray[np.uint8]) -> None:
    for i in range(len(alive)):
        stays = alive[i] & end[i]
        alive[i] = stays
        steps[i] += stays & 1


@compiled
def _step_deep(
    alive: NDArray[np.uint8],
    thirds: NDArray[np.uint8],
    one: NDArray[np.uint8],
    two: NDArray[np.uint8],
    end: NDArray[np.uint8],
) -> None:
    """Go on by one step; a ray that ends beside the object left it by the first pixel on its way that is another's."""
    for i in range(len(alive)):
        before, first = alive[i], one[i]
        stays = before & end[i]
        alive[i] = stays
        thirds[i] += (stays & 3) | ((before ^ stays) & ((first & 1) + (first & two[i] & 1)))


@compiled
def _write(
    flat: NDArray[np.uint8], steps: NDArray[np.uint8], times: NDArray[np.float32], start: int, row: NDArray[np.float32]
) -> None:
    mine, last = flat[start : start + len(row)], steps[start : start + len(row)]
    for x in range(len(row)):
        if mine[x]:
            row[x] = times[last[x]]
