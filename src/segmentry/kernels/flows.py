"""Flows: the way from every pixel of an object to its centre, and the objects whose pixels flow together.

Heat that is put in at the centre of an object spreads through it, and nowhere else; it flows away from the centre, so
that its gradient leads there, around every bend (Stringer 2021, doi:10.1038/s41592-020-01018-x). All arrays have three
axes here, the first of which has one place for a plane.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segmentry.kernels.components import label_components
from segmentry.kernels.jit import compiled

__all__ = ["heat_flows", "sinks"]

#: Steps along the flow that are taken one by one, and how often what was reached is looked up where it leads to.
STEPS, DOUBLINGS = 4, 6
#: A sink is a pixel that so many others end at, and no pixel so near has more; it takes in pixels so near where more
#: than so many end.
CROWD, APART, NEAR, FEW = 10, 2, 5, 2


def heat_flows(
    numbers: NDArray[np.uint32], boxes: Sequence[tuple[slice, ...] | None], ratio: Sequence[float]
) -> NDArray[np.float32]:
    """Return the directions in which heat leads to the centre of each object.

    Parameters
    ----------
    numbers : (Y, X) or (Z, Y, X) uint32 array
        Objects 1 … n, 0 elsewhere.
    boxes
        Where object k + 1 lies, if anywhere.
    ratio
        Size of a pixel along each axis, 1 for the finest.

    Returns
    -------
    (axes, *spatial) float32 array of directions of length 1 in space, along each axis; 0 outside of objects, and where
    an object is a single pixel.
    """
    ndim = numbers.ndim
    volume = np.ascontiguousarray(numbers).reshape((1,) * (3 - ndim) + numbers.shape)
    corners = np.zeros((len(boxes), 6), np.int64)
    for box, corner in zip(boxes, corners, strict=True):
        if box is not None:
            full = (slice(0, 1),) * (3 - ndim) + box
            corner[:] = [end for s in full for end in (s.start, s.stop)]
    flows = np.zeros((3, *volume.shape), np.float32)
    sizes = np.array((1.0,) * (3 - ndim) + tuple(ratio))
    _spread(volume, corners, sizes, ndim, flows)
    found: NDArray[np.float32] = flows[3 - ndim :].reshape(ndim, *numbers.shape)
    return found


def sinks(
    flows: NDArray[np.float32], mask: NDArray[np.bool_], ratio: Sequence[float]
) -> tuple[NDArray[np.uint32], int]:
    """Return the objects 1 … n whose pixels flow to the same place, and their number.

    A pixel goes no way out of the connected part of the mask that it lies in.

    Parameters
    ----------
    flows : (axes, *spatial) float32 array
        Steps in space, of about the length of the finest pixel.
    mask : bool array
        Pixels of objects.
    ratio
        Size of a pixel along each axis, 1 for the finest.
    """
    ndim, shape = mask.ndim, mask.shape
    full = (1,) * (3 - ndim) + shape
    parts, _ = label_components(mask)
    steps = _steps(
        np.ascontiguousarray(flows, np.float32).reshape(ndim, *full),
        mask.reshape(full),
        (1 / np.array(ratio)).astype(np.float32),
    )
    pixels = np.flatnonzero(mask)
    numbers: NDArray[Any] = np.zeros(mask.size, np.int32 if mask.size < 2**31 else np.int64)
    numbers[pixels] = np.arange(len(pixels))
    place = np.empty(len(pixels), numbers.dtype)
    if ndim == 2:
        _walk_plane(steps[0], parts, pixels, numbers, place)
    else:
        _walk(steps, parts, pixels, numbers, place)
    for _ in range(DOUBLINGS):
        place = place[place]
    crowds = np.zeros(mask.size, np.int32)
    crowds[pixels] = np.bincount(place, minlength=len(pixels))
    found = np.zeros(mask.size, np.uint32)
    count = _gather(crowds.reshape(full), parts.reshape(full), pixels, place, found)
    return found.reshape(shape), count


@compiled
def _spread(
    numbers: NDArray[np.uint32],
    corners: NDArray[np.int64],
    ratio: NDArray[np.float64],
    ndim: int,
    flows: NDArray[np.float32],
) -> None:
    """Let heat spread in each object, and write where it comes from."""
    for k in range(len(corners)):
        z0, z1, y0, y1, x0, x1 = corners[k]
        if x1 > x0:
            own = numbers[z0:z1, y0:y1, x0:x1] == np.uint32(k + 1)
            heat = _heated(own, ratio, ndim)
            _point(own, heat, ratio, flows[:, z0:z1, y0:y1, x0:x1])


@compiled
def _heated(own: NDArray[np.bool_], ratio: NDArray[np.float64], ndim: int) -> NDArray[np.float32]:
    """Return the heat in an object, with a pixel around it, after it had time to reach every end."""
    depth, height, width = own.shape
    heat = np.zeros((depth + 2, height + 2, width + 2), np.float32)
    other, mask = np.zeros_like(heat), np.zeros_like(heat)
    for z in range(depth):
        for y in range(height):
            for x in range(width):
                mask[z + 1, y + 1, x + 1] = np.float32(1) if own[z, y, x] else np.float32(0)
    cz, cy, cx = _centre(own, ratio)
    rounds = 2 * ((depth if ndim == 3 else 0) + height + width + 2)
    # Each axis passes on a third, or less where pixels are longer.
    shares = (1 / (3 * ratio * ratio)).astype(np.float32)
    # All planes but those around the object are one row here: what runs over its edges meets pixels that are none.
    row, plane = width + 2, (height + 2) * (width + 2)
    inside = mask.ravel()[plane:-plane]
    for _ in range(rounds):
        heat[cz + 1, cy + 1, cx + 1] += np.float32(1)
        _pass_on(heat.ravel(), other.ravel(), plane, 1, shares[2])
        if ndim == 2:
            _pass_on_within(other.ravel(), heat.ravel(), plane, row, shares[1], inside)
        else:
            _pass_on(other.ravel(), heat.ravel(), plane, row, shares[1])
            _pass_on_within(heat.ravel(), other.ravel(), plane, plane, shares[0], inside)
            heat, other = other, heat
    return heat


@compiled
def _pass_on(heat: NDArray[np.float32], into: NDArray[np.float32], rim: int, step: int, share: np.float32) -> None:
    """Spread heat to the pixels so many places before and behind, but for those at either end."""
    stop, middle = len(heat) - rim, np.float32(1) - np.float32(2) * share
    before, here, behind = heat[rim - step : stop - step], heat[rim:stop], heat[rim + step : stop + step]
    found = into[rim:stop]
    for i in range(len(found)):
        found[i] = share * (before[i] + behind[i]) + middle * here[i]


@compiled
def _pass_on_within(
    heat: NDArray[np.float32],
    into: NDArray[np.float32],
    rim: int,
    step: int,
    share: np.float32,
    inside: NDArray[np.float32],
) -> None:
    """Spread heat in the same way; there is none outside."""
    stop, middle = len(heat) - rim, np.float32(1) - np.float32(2) * share
    before, here, behind = heat[rim - step : stop - step], heat[rim:stop], heat[rim + step : stop + step]
    found = into[rim:stop]
    for i in range(len(found)):
        found[i] = inside[i] * (share * (before[i] + behind[i]) + middle * here[i])


@compiled
def _centre(own: NDArray[np.bool_], ratio: NDArray[np.float64]) -> tuple[int, int, int]:
    """Return the pixel of an object that is nearest to the mean of all."""
    depth, height, width = own.shape
    mz, my, mx, count = 0.0, 0.0, 0.0, 0
    for z in range(depth):
        for y in range(height):
            for x in range(width):
                if own[z, y, x]:
                    mz, my, mx, count = mz + z, my + y, mx + x, count + 1
    mz, my, mx = mz / count, my / count, mx / count
    best, cz, cy, cx = np.inf, 0, 0, 0
    for z in range(depth):
        for y in range(height):
            for x in range(width):
                if own[z, y, x]:
                    dz, dy, dx = (z - mz) * ratio[0], (y - my) * ratio[1], (x - mx) * ratio[2]
                    away = dz * dz + dy * dy + dx * dx
                    if away < best:
                        best, cz, cy, cx = away, z, y, x
    return cz, cy, cx


@compiled
def _point(
    own: NDArray[np.bool_], heat: NDArray[np.float32], ratio: NDArray[np.float64], flows: NDArray[np.float32]
) -> None:
    """Write the direction in which heat grows."""
    depth, height, width = own.shape
    for z in range(depth):
        for y in range(height):
            for x in range(width):
                if own[z, y, x]:
                    dz = (heat[z + 2, y + 1, x + 1] - heat[z, y + 1, x + 1]) / ratio[0]
                    dy = (heat[z + 1, y + 2, x + 1] - heat[z + 1, y, x + 1]) / ratio[1]
                    dx = (heat[z + 1, y + 1, x + 2] - heat[z + 1, y + 1, x]) / ratio[2]
                    length = np.sqrt(dz * dz + dy * dy + dx * dx)
                    if length > 0:
                        flows[0, z, y, x] = dz / length
                        flows[1, z, y, x] = dy / length
                        flows[2, z, y, x] = dx / length


@compiled
def _steps(flows: NDArray[np.float32], mask: NDArray[np.bool_], scale: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return flows in pixels, of each pixel side by side, and none outside of the mask."""
    ndim, depth, height, width = flows.shape
    steps = np.zeros((depth, height, width, ndim), np.float32)
    for z in range(depth):
        for y in range(height):
            for x in range(width):
                if mask[z, y, x]:
                    for axis in range(ndim):
                        steps[z, y, x, axis] = flows[axis, z, y, x] * scale[axis]
    return steps


@compiled
def _walk(
    steps: NDArray[np.float32],
    parts: NDArray[np.uint32],
    pixels: NDArray[np.int64],
    numbers: NDArray[Any],
    place: NDArray[Any],
) -> None:
    """Write the number of the pixel near which some steps along the flow end, of each pixel of the mask."""
    depth, height, width, _ = steps.shape
    for number in range(len(pixels)):
        at = pixels[number]
        z0, y0, x0 = at // (height * width), at // width % height, at % width
        part = parts[z0, y0, x0]
        z, y, x = np.float32(z0), np.float32(y0), np.float32(x0)
        for _ in range(STEPS):
            dz, dy, dx = _step(steps, z, y, x)
            z = min(max(z + dz, np.float32(0)), np.float32(depth - 1))
            y = min(max(y + dy, np.float32(0)), np.float32(height - 1))
            x = min(max(x + dx, np.float32(0)), np.float32(width - 1))
            if dz * dz + dy * dy + dx * dx < np.float32(1e-6):
                break
        iz, iy, ix = int(z + np.float32(0.5)), int(y + np.float32(0.5)), int(x + np.float32(0.5))
        inside = parts[iz, iy, ix] == part
        place[number] = numbers[(iz * height + iy) * width + ix] if inside else number


@compiled
def _walk_plane(
    steps: NDArray[np.float32],
    parts: NDArray[np.uint32],
    pixels: NDArray[np.int64],
    numbers: NDArray[Any],
    place: NDArray[Any],
) -> None:
    """Do as :func:`_walk` does in a plane: to the same pixels, three times as fast."""
    height, width, _ = steps.shape
    bottom, right, one, half = np.float32(height - 1), np.float32(width - 1), np.float32(1), np.float32(0.5)
    for number in range(len(pixels)):
        y0, x0 = pixels[number] // width, pixels[number] % width
        y, x = np.float32(y0), np.float32(x0)
        for _ in range(STEPS):
            top, left = np.int64(y), np.int64(x)
            low, far = min(top + 1, height - 1), min(left + 1, width - 1)
            ty, tx = y - np.float32(top), x - np.float32(left)
            a, b, c, d = (one - ty) * (one - tx), (one - ty) * tx, ty * (one - tx), ty * tx
            dy = a * steps[top, left, 0] + b * steps[top, far, 0] + c * steps[low, left, 0] + d * steps[low, far, 0]
            dx = a * steps[top, left, 1] + b * steps[top, far, 1] + c * steps[low, left, 1] + d * steps[low, far, 1]
            y = min(max(y + dy, np.float32(0)), bottom)
            x = min(max(x + dx, np.float32(0)), right)
            if dy * dy + dx * dx < np.float32(1e-6):
                break
        iy, ix = np.int64(y + half), np.int64(x + half)
        place[number] = numbers[iy * width + ix] if parts[iy, ix] == parts[y0, x0] else number


@compiled
def _step(
    steps: NDArray[np.float32], z: np.float32, y: np.float32, x: np.float32
) -> tuple[np.float32, np.float32, np.float32]:
    """Return the step at a place between pixels of a volume."""
    depth, height, width = steps.shape[:3]
    z0, y0, x0 = np.int64(z), np.int64(y), np.int64(x)
    tz, ty, tx = z - np.float32(z0), y - np.float32(y0), x - np.float32(x0)
    y1, x1 = min(y0 + 1, height - 1), min(x0 + 1, width - 1)
    dz, dy, dx = np.float32(0), np.float32(0), np.float32(0)
    for i in range(2 if tz > 0 else 1):
        share = tz if i else np.float32(1) - tz
        plane = steps[min(z0 + i, depth - 1)]
        a, b = share * (1 - ty) * (1 - tx), share * (1 - ty) * tx
        c, d = share * ty * (1 - tx), share * ty * tx
        p, q, r, s = plane[y0, x0], plane[y0, x1], plane[y1, x0], plane[y1, x1]
        dz += a * p[0] + b * q[0] + c * r[0] + d * s[0]
        dy += a * p[1] + b * q[1] + c * r[1] + d * s[1]
        dx += a * p[2] + b * q[2] + c * r[2] + d * s[2]
    return dz, dy, dx


@compiled
def _gather(
    crowds: NDArray[np.int32],
    parts: NDArray[np.uint32],
    pixels: NDArray[np.int64],
    place: NDArray[Any],
    found: NDArray[np.uint32],
) -> int:
    """Number the pixels by the sink that they end at; of sinks that want the same pixel, the larger gets it."""
    depth, height, width = crowds.shape
    seeds = _crowded(crowds, parts)
    owner = np.zeros(crowds.size, np.uint32)
    order = np.argsort(crowds.ravel()[seeds], kind="mergesort")
    seen, waiting = np.zeros(crowds.size, np.uint32), np.empty((2 * NEAR + 1) ** 3, np.int64)
    for number in range(1, len(seeds) + 1):
        start = seeds[order[number - 1]]
        sz, sy, sx = start // (height * width), start // width % height, start % width
        waiting[0], count, next_one = start, 1, 0
        seen[start] = number
        while next_one < count:
            at = waiting[next_one]
            next_one += 1
            owner[at] = number
            z, y, x = at // (height * width), at // width % height, at % width
            for nz in range(max(z - 1, sz - NEAR, 0), min(z + 1, sz + NEAR, depth - 1) + 1):
                for ny in range(max(y - 1, sy - NEAR, 0), min(y + 1, sy + NEAR, height - 1) + 1):
                    for nx in range(max(x - 1, sx - NEAR, 0), min(x + 1, sx + NEAR, width - 1) + 1):
                        to = (nz * height + ny) * width + nx
                        fits = crowds[nz, ny, nx] > FEW and parts[nz, ny, nx] == parts[sz, sy, sx]
                        if fits and seen[to] != number:
                            seen[to] = number
                            waiting[count] = to
                            count += 1
    for i in range(len(place)):
        found[pixels[i]] = owner[pixels[place[i]]]
    return len(seeds)


@compiled
def _crowded(crowds: NDArray[np.int32], parts: NDArray[np.uint32]) -> NDArray[np.int64]:
    """Return where most pixels end within a part, nearby; of several such places the first."""
    depth, height, width = crowds.shape
    found = np.empty(crowds.size // (CROWD + 1) + 1, np.int64)
    count = 0
    for z in range(depth):
        for y in range(height):
            for x in range(width):
                here = crowds[z, y, x]
                if here <= CROWD:
                    continue
                highest = True
                for nz in range(max(z - APART, 0), min(z + APART, depth - 1) + 1):
                    for ny in range(max(y - APART, 0), min(y + APART, height - 1) + 1):
                        for nx in range(max(x - APART, 0), min(x + APART, width - 1) + 1):
                            other = crowds[nz, ny, nx]
                            first = (nz, ny, nx) < (z, y, x)
                            if parts[nz, ny, nx] == parts[z, y, x] and (other > here or (other == here and first)):
                                highest = False
                if highest:
                    found[count] = (z * height + y) * width + x
                    count += 1
    return found[:count]
