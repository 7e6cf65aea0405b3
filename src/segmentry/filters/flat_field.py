"""The field of shading that a stack of images shares, and the offset of the camera under it.

Every image is ``truth × flat + dark``. The images are averaged over cells of a coarse grid; at each cell their values
are sorted, as in BaSiC (Peng et al. 2017): where all places see the same mixture of things, every rank is
``level × flat``, whatever lies where in which image. The flat field is a penalised spline (Eilers & Marx 1996) fitted
to all ranks by least absolute deviations.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from segmentry.kernels.splines import at_points, fit

__all__ = ["Cells", "averaged", "camera_offset", "flat_field", "levels"]

CELLS = 64
#: Rounds of reweighting with a coarse spline without penalty, then with all its pieces.
ROUNDS = (8, 12)
COARSE = 4
#: How much a spline coefficient may differ from the line between its neighbours, relative to the field.
BEND = 0.05
#: Neighbouring cells belong to the same objects, and sorted ranks follow one another: they don't count in full.
SHARED, SHARED_PER_IMAGE = 8, 3
#: The least deviation that counts, relative to the mean.
FINEST = 1e-3

Stack = NDArray[np.float64]


@dataclass(frozen=True)
class Cells:
    """The coarse grid: where the cells of an axis begin (and the last one ends), and where their centres lie."""

    edges: tuple[NDArray[np.int64], NDArray[np.int64]]
    places: tuple[NDArray[np.float64], NDArray[np.float64]]

    @classmethod
    def over(cls, shape: tuple[int, int]) -> Cells:
        """Return the cells of an image, at most 64 per axis; places run from 0 to 1."""
        edges = [np.round(np.linspace(0, n, min(CELLS, n) + 1)).astype(np.int64) for n in shape]
        places = [(e[:-1] + e[1:] - 1) / 2 / max(n - 1, 1) for e, n in zip(edges, shape, strict=True)]
        return cls((edges[0], edges[1]), (places[0], places[1]))


def averaged(rows: NDArray[np.generic], edges: NDArray[np.int64], columns: NDArray[np.int64]) -> Stack:
    """Return the mean of each cell in a band of rows, NaN where no value of it is finite."""
    values = rows.astype(np.float64)
    fine = np.isfinite(values)
    sums, counts = (
        np.add.reduceat(np.add.reduceat(part, edges[:-1] - edges[0], axis=0), columns[:-1], axis=1)
        for part in (np.where(fine, values, 0.0), fine.astype(np.float64))
    )
    return np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)


def flat_field(stack: Stack, cells: Cells, pieces: int) -> NDArray[np.float64]:
    """Return the lattice of the flat field of images (images, cells, cells), whose mean is 1."""
    ranks = np.sort(stack, axis=0)
    field = np.ones(stack.shape[1:])
    flat = np.ones((pieces + 3,) * 2)
    level = np.median(ranks, axis=(1, 2))
    mean = float(np.abs(level).mean())
    if mean == 0:
        return flat
    spread = np.full(len(ranks), np.inf)
    for number in range(sum(ROUNDS)):
        last = number >= ROUNDS[0]
        far = np.abs(ranks - level[:, None, None] * field)
        spread = np.minimum(spread, 1.4826 * np.median(far, axis=(1, 2)) + FINEST * mean)
        width = spread[:, None, None]
        weight = 1 / (np.maximum(far / width, 0.5) * width * width)
        worth = _over_ranks(weight, level**2)
        wanted = _over_ranks(weight * ranks, level) / np.maximum(worth, np.finfo(float).tiny)
        use = pieces if last else min(pieces, COARSE)
        shared = SHARED + SHARED_PER_IMAGE * len(ranks)
        stiffness = shared / BEND**2 * (use + 3) ** 2 / float(worth.sum()) if last else 1e-4
        flat = fit(wanted, worth, cells.places, use, stiffness)
        field = at_points(flat, cells.places)
        flat, field = flat / field.mean(), field / field.mean()
        level = (weight * field * ranks).sum(axis=(1, 2)) / (weight * field * field).sum(axis=(1, 2))
    return flat


def _over_ranks(values: Stack, factors: NDArray[np.float64]) -> Stack:
    return np.asarray((values * factors[:, None, None]).sum(axis=0))


def levels(stack: Stack, field: NDArray[np.float64], dark: float) -> NDArray[np.float64]:
    """Return the level of the background of each image: the median of what it is without the shading."""
    return np.asarray(np.median((stack - dark) / field, axis=(1, 2)))


def camera_offset(stack: Stack, cells: Cells, pieces: int) -> float:
    """Return the constant that the camera adds, as far as the images tell; 0 where they don't.

    Two things tell it, each for what its own error makes it worth. Objects of the same kind lie everywhere, so that
    their excess over the background is proportional to the flat field. Images of different level have backgrounds of
    the same form once the offset is taken away.
    """
    if len(stack) < 2 or stack.min() < 0:
        return 0.0
    dark = 0.0
    for _ in range(3):
        field = at_points(flat_field(stack - dark, cells, pieces), cells.places)
        level = levels(stack, field, dark)
        ground = float(np.median(level)) * field + dark
        if ground.min() <= 0:
            return 0.0
        choices = np.linspace(0, 0.98 * min(float(ground.min()), float(stack.min())), 99)
        excess = stack - dark - level[:, None, None] * field
        chance = -0.5 * (choices / ground.mean()) ** 2
        chance += _by_level(stack, ground, excess, choices) + _by_objects(excess, ground, dark, choices)
        dark = float(choices[np.argmax(chance)])
    return dark


def _by_level(
    stack: Stack, ground: NDArray[np.float64], excess: Stack, choices: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the log likelihood of offsets by how the slope of images against the background goes with their level."""
    middle = float(ground.mean())
    across = (ground - middle).ravel()
    found = np.array([_line(across, image.ravel()) for image in stack]) - (middle, 0)
    offset, slope = found[:, 0], found[:, 1] - 1
    power = float((offset**2).sum())
    if np.abs(across).max() < FINEST * middle or power == 0:
        return np.zeros(len(choices))
    trend = float((offset * slope).sum()) / power
    noise = 1.4826 * float(np.median(np.abs(excess)))
    error = float(((slope - trend * offset) ** 2).mean() + (noise / middle) ** 2) / power * len(stack)
    return np.asarray(-0.5 * (1 / (middle - choices) - trend) ** 2 / max(error, 1e-12 / middle**2))


def _line(x: NDArray[np.float64], y: NDArray[np.float64]) -> tuple[float, float]:
    """Return the height at 0 and the slope of the line of least absolute deviations."""
    height, slope = float(np.median(y)), 0.0
    for _ in range(15):
        far = np.abs(y - height - slope * x)
        weight = 1 / np.maximum(far, np.median(far) / 2 + 1e-12)
        total, mean_x, mean_y = weight.sum(), (weight * x).sum(), (weight * y).sum()
        mean_x, mean_y = mean_x / total, mean_y / total
        power = float((weight * (x - mean_x) ** 2).sum())
        slope = float((weight * (x - mean_x) * (y - mean_y)).sum()) / power if power > 0 else 0.0
        height = float(mean_y - slope * mean_x)
    return height, slope


def _by_objects(
    excess: Stack, ground: NDArray[np.float64], dark: float, choices: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the log likelihood of offsets by how the excess of objects goes with the flat field under it."""
    from scipy.ndimage import generate_binary_structure, label

    ratio = excess / (ground - dark)
    noise = 1.4826 * np.median(np.abs(ratio[:, ground <= np.quantile(ground, 0.1)]))
    bright = ratio > 10 * noise + FINEST
    structure = generate_binary_structure(3, 1)
    structure[[0, 2]] = False
    count = label(bright, structure)[1]
    if count < 20 or np.ptp(ground) < FINEST * ground.mean():
        return np.zeros(len(choices))
    heights = np.log(excess[bright])
    under = np.broadcast_to(ground, bright.shape)[bright]
    chance = []
    for choice in choices:
        x = np.log(under - choice)
        x -= x.mean()
        y = heights - np.log(under - choice)
        y -= y.mean()
        power = float((x * x).sum())
        slope = float((x * y).sum()) / power
        error = float(((y - slope * x) ** 2).mean()) / (power * count / len(x))  # the cells of an object count once
        chance.append(-0.5 * slope * slope / max(error, 1e-12))
    return np.array(chance)
