"""How far measures of drawn shapes are from geometry, and how fast that falls with their size.

Each shape is drawn at twelve random positions and orientations, a pixel belonging to it when its centre does. The table
gives the mean of the absolute error, in percent of the true value, or in degrees for orientations.

Run: ``python benchmarks/shapes.py``
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from scipy.spatial.transform import Rotation
from scipy.special import ellipe, elliprg

from segmentry.analysis.measure import Measure
from segmentry.image import Grid
from segmentry.result import Instances

DRAWS = 12
#: Shape: half axes relative to the size, and whether it is a box.
SHAPES = {
    "disc": ((1.0, 1.0), False),
    "ellipse 2 : 1": ((2.0, 1.0), False),
    "rectangle 2 : 1": ((2.0, 1.0), True),
    "ball": ((1.0, 1.0, 1.0), False),
    "ellipsoid 3 : 2 : 1.5": ((3.0, 2.0, 1.5), False),
    "box 2 : 1.5 : 1": ((2.0, 1.5, 1.0), True),
}
SPACINGS = {2: ((1.0, 1.0), (1.0, 0.4)), 3: ((1.0, 1.0, 1.0), (2.5, 1.0, 1.0))}
SIZES = {2: (5, 10, 20, 40), 3: (4, 8, 16)}


def main() -> None:
    """Print the table, one for each number of dimensions."""
    for ndim in (2, 3):
        sizes = SIZES[ndim]
        print(f"| shape | spacing | measure | {' | '.join(f'shortest half axis {s}' for s in sizes)} |")
        print("|---|---|---|" + "---|" * len(sizes))
        for name, (axes, is_box) in SHAPES.items():
            for spacing in SPACINGS[ndim] if len(axes) == ndim else ():
                columns = [errors(np.array(axes), is_box, spacing, size) for size in sizes]
                for measure in columns[0]:
                    cells = " | ".join(_cell(measure, c[measure]) for c in columns)
                    print(f"| {name} | {' x '.join(f'{s:g}' for s in spacing)} | {measure} | {cells} |")
        print()


def errors(axes: np.ndarray, is_box: bool, spacing: tuple[float, ...], size: float) -> dict[str, float]:
    """Return the mean absolute error of each measure that geometry knows."""
    rng = np.random.default_rng(0)
    half = axes / axes.min() * size
    found: dict[str, list[float]] = {}
    for _ in range(DRAWS):
        turn, angle = _turn(len(axes), rng)
        row = Measure().analyse(drawn(half, is_box, turn, spacing, rng)).iloc[0]
        for name, true in truths(half, is_box).items():
            found.setdefault(name, []).append(abs(row[name] / true - 1))
        if len(axes) == 2 and half[0] > half[1]:
            gap = (row["orientation"] - angle) % math.pi
            found.setdefault("orientation", []).append(math.degrees(min(gap, math.pi - gap)))
    return {name: float(np.mean(values)) for name, values in found.items()}


def drawn(
    half: np.ndarray, is_box: bool, turn: np.ndarray, spacing: tuple[float, ...], rng: np.random.Generator
) -> Instances:
    """Return a shape with the given half axes, turned, its centre anywhere within a pixel."""
    steps = np.array(spacing)
    reach = np.abs(turn) @ half if is_box else np.sqrt((turn**2) @ half**2)
    shape = tuple(int(n) for n in np.ceil(2 * reach / steps) + 4)
    centre = (np.array(shape) / 2 + rng.uniform(-0.5, 0.5, len(shape))) * steps
    places = np.moveaxis(np.indices(shape), 0, -1) * steps - centre
    own = places @ turn / half
    inside = (np.abs(own) <= 1).all(axis=-1) if is_box else (own**2).sum(axis=-1) <= 1
    return Instances.from_labels(inside.astype(np.uint32), Grid("ZYX"[-len(shape) :], shape, spacing, "um"))


def truths(half: np.ndarray, is_box: bool) -> dict[str, float]:
    """Return what geometry says, by the names of the columns."""
    return dict(_of_box(half) if is_box else _of_ellipsoid(half))


def _of_ellipsoid(half: np.ndarray) -> Iterator[tuple[str, float]]:
    yield "feret_max_um", 2 * half.max()
    yield "feret_min_um", 2 * half.min()
    yield "major_axis_um", 2 * half.max()
    yield "minor_axis_um", 2 * half.min()
    if len(half) == 2:
        long, short = half.max(), half.min()
        yield "area_um2", math.pi * long * short
        yield "perimeter_um", 4 * long * ellipe(1 - (short / long) ** 2)
    else:
        a, b, c = half
        yield "volume_um3", 4 / 3 * math.pi * a * b * c
        yield "surface_um2", 4 * math.pi * elliprg((a * b) ** 2, (a * c) ** 2, (b * c) ** 2)
    yield "solidity", 1.0


def _of_box(half: np.ndarray) -> Iterator[tuple[str, float]]:
    yield "feret_max_um", 2 * math.sqrt((half**2).sum())
    yield "feret_min_um", 2 * half.min()
    if len(half) == 2:
        yield "area_um2", 4 * half.prod()
        yield "perimeter_um", 4 * half.sum()
    else:
        a, b, c = half
        yield "volume_um3", 8 * half.prod()
        yield "surface_um2", 8 * (a * b + a * c + b * c)
    yield "solidity", 1.0


def _turn(ndim: int, rng: np.random.Generator) -> tuple[np.ndarray, float]:
    """Return a random rotation, whose first column is the long axis; in the plane also its angle to the first axis."""
    if ndim == 3:
        return Rotation.random(rng=rng).as_matrix(), math.nan
    angle = rng.uniform(-math.pi / 2, math.pi / 2)
    cos, sin = math.cos(angle), math.sin(angle)
    return np.array([[cos, -sin], [sin, cos]]), angle


def _cell(measure: str, error: float) -> str:
    return f"{error:.2f}°" if measure == "orientation" else f"{error:.2%}"


if __name__ == "__main__":
    main()
