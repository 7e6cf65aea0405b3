"""Regions that move by morphology: smoothing of their outline, growth, and the pull of an image.

A region is an array of 0 and 1, padded by one pixel. Each step looks at the neighbours of a pixel only, row by row, so
that one loop serves any number of dimensions (Márquez-Neila, Baumela & Álvarez 2014, doi:10.1109/TPAMI.2013.106).
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from segmentry.kernels.jit import compiled

__all__ = ["MovingRegion"]


class MovingRegion:
    """A region that is moved step by step.

    Parameters
    ----------
    mask : bool array
        Where the region is at first.
    axes
        Along which axes it is smoothed and spread; all unless given. Along others only the image moves it.
    """

    def __init__(self, mask: NDArray[np.bool_], axes: Sequence[bool] | None = None) -> None:
        shape = tuple(n + 2 for n in mask.shape)
        inner = tuple(slice(1, -1) for _ in shape)
        self._now, self._next = np.zeros(shape, np.uint8), np.zeros(shape, np.uint8)
        self._now[inner] = mask
        self._inner = inner
        strides = [int(np.prod(shape[i + 1 :])) for i in range(len(shape))]
        lines = np.indices((*mask.shape[:-1], 1)).reshape(len(shape), -1) + 1
        self._starts = np.asarray(np.array(strides) @ lines, np.int64)
        self._strides = np.array(strides, np.int64)
        used = [i for i in range(mask.ndim) if axes is None or axes[i]]
        steps = _steps(mask.ndim, used)
        self._around = steps[None] @ self._strides
        self._lines = _lines(steps, used) @ self._strides
        self._outwards = True

    @property
    def mask(self) -> NDArray[np.bool_]:
        """Where the region is now (a copy)."""
        return self._now[self._inner].astype(np.bool_)

    def smooth(self) -> None:
        """Move the outline by its curvature: fill what is hollow and take off what sticks out, in turns of order."""
        for hollow in (self._outwards, not self._outwards):
            self._sweep(self._lines, hollow)
        self._outwards = not self._outwards

    def spread(self, where: NDArray[np.bool_], grow: bool) -> None:
        """Grow or shrink by one pixel on all sides, in `where` only."""
        before = self._now
        self._sweep(self._around, grow)
        self._now[self._inner] = np.where(where, self._now[self._inner], before[self._inner])

    def follow_means(self, image: NDArray[np.float32], inner_weight: float, outer_weight: float) -> None:
        """Give each pixel at the outline to the side whose mean it is nearer to, in squares times a weight."""
        rows = image.reshape(len(self._starts), -1)
        total, within, count = _sums(self._now.reshape(-1), rows, self._starts)
        inside, outside = within / max(count, 1), (total - within) / max(image.size - count, 1)
        self._frame()
        args = (self._starts, self._strides, inside, outside, float(inner_weight), float(outer_weight))
        _follow_means(self._now.reshape(-1), self._next.reshape(-1), rows, *args)
        self._now, self._next = self._next, self._now

    def follow_slope(self, slope: NDArray[np.float32]) -> None:
        """Move the outline down a landscape whose slope per axis is given: towards where it is low."""
        rows = slope.reshape(len(slope), len(self._starts), -1)
        self._frame()
        _follow_slope(self._now.reshape(-1), self._next.reshape(-1), rows, self._starts, self._strides)
        self._now, self._next = self._next, self._now

    def run(self, step: Callable[[], None], iterations: int) -> NDArray[np.bool_]:
        """Repeat a step and return the region after that many.

        A region that comes back to what it was some steps before does so for ever: whole rounds of these are left out.
        """
        kept, since, patience, left = self._state(), 0, 1, iterations
        while left > 0:
            step()
            left, since = left - 1, since + 1
            if self._state() == kept:
                left, since = left % since, 0
            elif since == patience:
                kept, since, patience = self._state(), 0, 2 * patience
        return self.mask

    def _state(self) -> bytes:
        """Return all that the next step depends on."""
        return self._now[self._inner].tobytes() + bytes([self._outwards])

    def _frame(self) -> None:
        """Write what lies beyond the image: what lies at its edge, so that the edge is no outline."""
        for axis in range(self._now.ndim):
            edge = np.moveaxis(self._now, axis, 0)
            edge[0], edge[-1] = edge[1], edge[-2]

    def _sweep(self, elements: NDArray[np.int64], grow: bool) -> None:
        self._frame()
        width = self._now.shape[-1] - 2
        _sweep(self._now.reshape(-1), self._next.reshape(-1), self._starts, width, elements, 0 if grow else 1)
        self._next, self._now = self._now, self._next


def _steps(ndim: int, used: Sequence[int]) -> NDArray[np.int64]:
    """Return the steps to all neighbours along some of the axes."""
    ranges = [(-1, 0, 1) if axis in used else (0,) for axis in range(ndim)]
    return np.array([step for step in itertools.product(*ranges) if any(step)], np.int64)


def _lines(steps: NDArray[np.int64], used: Sequence[int]) -> NDArray[np.int64]:
    """Return the flat pieces of outline through a pixel, each as the steps to its pixels: lines, planes in volumes.

    They stand at right angles to an axis or to the diagonal between two.
    """
    normals: list[tuple[tuple[int, int], ...]] = [((axis, 1),) for axis in used]
    normals += [((one, 1), (other, sign)) for one, other in itertools.combinations(used, 2) for sign in (1, -1)]
    across = [sum(sign * steps[:, axis] for axis, sign in normal) for normal in normals]
    return np.stack([steps[turned == 0] for turned in across])


@compiled
def _sweep(
    source: NDArray[np.uint8], target: NDArray[np.uint8], starts: NDArray[np.int64], width: int,
    elements: NDArray[np.int64], flip: int,
) -> None:  # fmt: skip
    """Set pixels to 1 where each element holds a 1; with `flip`, the same with 0 and 1 exchanged.

    Row by row with one operation on all pixels of it, which compilers turn into wide instructions.
    """
    some = np.empty(width, np.uint8)
    every = np.empty(width, np.uint8)
    for start in starts:
        every[:] = 1
        for e in range(elements.shape[0]):
            some[:] = 0
            for offset in elements[e]:
                near = source[start + offset : start + offset + width]
                for x in range(width):
                    some[x] |= near[x] ^ flip
            for x in range(width):
                every[x] &= some[x]
        row = source[start : start + width]
        out = target[start : start + width]
        for x in range(width):
            out[x] = (every[x] | (row[x] ^ flip)) ^ flip


@compiled
def _sums(region: NDArray[np.uint8], image: NDArray[np.float32], starts: NDArray[np.int64]) -> tuple[float, float, int]:
    """Return the sum of an image, its sum in the region, and the number of pixels of that."""
    width = image.shape[1]
    total = np.zeros(width)
    within = np.zeros(width)
    count = np.zeros(width, np.int64)
    for r in range(image.shape[0]):
        row, inside = image[r], region[starts[r] : starts[r] + width]
        for x in range(width):
            total[x] += row[x]
            within[x] += row[x] * inside[x]
            count[x] += inside[x]
    return total.sum(), within.sum(), count.sum()


@compiled
def _follow_means(
    source: NDArray[np.uint8], target: NDArray[np.uint8], image: NDArray[np.float32], starts: NDArray[np.int64],
    strides: NDArray[np.int64], inside: float, outside: float, inner_weight: float, outer_weight: float,
) -> None:  # fmt: skip
    for r in range(image.shape[0]):
        for x in range(image.shape[1]):
            i = starts[r] + x
            at_outline = False
            for stride in strides:
                at_outline |= source[i - stride] != source[i + stride]
            target[i] = source[i]
            if at_outline:
                value = image[r, x]
                pull = inner_weight * (value - inside) ** 2 - outer_weight * (value - outside) ** 2
                if pull != 0:
                    target[i] = pull < 0


@compiled
def _follow_slope(
    source: NDArray[np.uint8], target: NDArray[np.uint8], slope: NDArray[np.float32], starts: NDArray[np.int64],
    strides: NDArray[np.int64],
) -> None:  # fmt: skip
    for r in range(slope.shape[1]):
        for x in range(slope.shape[2]):
            i = starts[r] + x
            pull = 0.0
            for axis in range(strides.size):
                change = np.int64(source[i + strides[axis]]) - np.int64(source[i - strides[axis]])
                if change != 0:
                    pull += slope[axis, r, x] * change
            target[i] = source[i] if pull == 0 else pull > 0
