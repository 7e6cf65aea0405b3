"""What lies under the microscope: how much stain there is at each place, and what the truth is."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from segmentry.kernels.components import label_components
from segmentry.kernels.star_shapes import Bodies, Ownership, fill, majority, paint
from segmentry.simulation.layout import DIVIDING, Layout, Room, body, joined, lay_out
from segmentry.simulation.scene import Scene

__all__ = ["Specimen", "blurred", "clouds", "prepare"]

#: Size of the tile of texture, which repeats itself: of a plane, of a volume.
PLANE_TILE, VOLUME_TILE = (1, 256, 256), (48, 96, 96)
#: A nucleus of which less can be seen under another one is not outlined.
SEEN = 0.25
#: Deviation of white noise under a cubic B-spline.
KEPT = math.sqrt(151 / 315)
#: Least and largest radius of debris, in radii of nuclei.
SPECKS = (0.08, 0.3)


@dataclass(frozen=True)
class Specimen:
    """Stain, and truth.

    Parameters
    ----------
    nuclei : (Z, Y, X) float32
        About 1 in a nucleus, more where two lie over each other.
    cells : (Z, Y, X) bool
        Where a cell is.
    walls : (Z, Y, X) bool
        Where a cell ends; empty where the scene has no use for it.
    truth : (Z, Y', X') uint32
        The objects, on binned pixels.
    """

    nuclei: NDArray[np.float32]
    cells: NDArray[np.bool_]
    walls: NDArray[np.bool_]
    truth: NDArray[np.uint32]


def prepare(scene: Scene, room: Room, rng: np.random.Generator) -> Specimen:
    """Return a specimen drawn at random."""
    layout = lay_out(scene, room, rng)
    nuclei = _stained(scene, room, layout, rng)
    labels = _outlined(layout)
    cells = _cells(scene, room, layout, labels, rng)
    none = np.zeros((0, 0, 0), bool)
    walls = _walls(cells) if scene.kind == "membrane" else none
    truth = labels if scene.objects == "nuclei" else cells
    if scene.binning > 1:
        truth = majority(truth, scene.binning)
    return Specimen(nuclei, cells > 0, walls, _whole(truth))


def blurred(volume: NDArray[np.float32], sigma: float | NDArray[np.float64], steps: NDArray[np.float64]) -> None:
    """Blur in place by a Gaussian of a width in the unit of `steps`; a plane is blurred within itself."""
    from scipy.ndimage import gaussian_filter

    width = np.where(np.array(volume.shape) > 1, sigma / steps, 0.0)
    gaussian_filter(volume, width.tolist(), output=volume, truncate=4.0)


def clouds(size: float, room: Room, rng: np.random.Generator) -> NDArray[np.float32]:
    """Return smooth noise (Z, Y, X) about 0 with a deviation of about 1; `size` is that of its clouds."""
    coarse = [math.floor(n * s / size) + 5 for n, s in zip(room.shape, room.steps, strict=True)]
    field = rng.normal(size=coarse[1:] if room.flat else coarse).astype(np.float32)
    for axis in range(field.ndim):
        n, step = room.shape[axis - field.ndim], room.steps[axis - field.ndim]
        place = np.arange(n) * (step / size)
        first = place.astype(np.int64)
        field = _between(field, axis, first, place - first)
    return field.reshape(room.shape)


def _between(
    values: NDArray[np.float32], axis: int, first: NDArray[np.int64], share: NDArray[np.float64]
) -> NDArray[np.float32]:
    """Return values between those along an axis, by cubic B-splines, which keep the deviation of white noise."""
    s = share
    weights = [(1 - s) ** 3, 3 * s**3 - 6 * s**2 + 4, -3 * s**3 + 3 * s**2 + 3 * s + 1, s**3]
    along = [-1 if i == axis else 1 for i in range(values.ndim)]
    out = np.zeros(tuple(len(first) if i == axis else n for i, n in enumerate(values.shape)), np.float32)
    for i, weight in enumerate(weights):
        out += values.take(first + i, axis) * (weight / (6 * KEPT)).astype(np.float32).reshape(along)
    return out


def _stained(scene: Scene, room: Room, layout: Layout, rng: np.random.Generator) -> NDArray[np.float32]:
    """Return how much stain of nuclei there is, with debris, each out of focus as it is."""
    count = len(layout.blur)
    tile = _texture(scene, room, rng)
    shifts = rng.integers(0, 256, (count, 3))
    looks = np.tile([1.0, scene.dome, scene.rim, scene.chromatin], (count, 1))
    looks[:, 0] = np.exp(scene.brightness_spread * np.clip(rng.normal(size=count), -3, 3))
    looks[layout.dividing, 0] *= DIVIDING
    looks[layout.dividing, 2] = 0
    spots, begin = _spots(scene, room, layout, rng)
    ids = np.arange(1, count + 1)
    ids[layout.count :] = 0
    total = np.zeros(room.shape, np.float32)
    specks, bright = _debris(scene, room, layout.count, rng)
    everywhere = np.zeros(len(bright), np.int64)
    plain = np.stack([bright, np.full_like(bright, 0.5), 0 * bright, 0 * bright], axis=1)
    nothing = (np.zeros((0, 5)), np.zeros(len(bright) + 1, np.int64))
    fill(specks, everywhere, room.steps, layout.layers[0], plain, nothing, (tile, np.zeros((len(bright), 3), np.int64)),
         total)  # fmt: skip
    for blur in np.unique(layout.blur).tolist():
        part = total if blur == 0 else np.zeros(room.shape, np.float32)
        for level, owned in enumerate(layout.layers):
            chosen = np.flatnonzero((layout.blur == blur) & (layout.upper == bool(level)))
            some = Bodies(*(column[chosen] for column in layout.bodies))
            mine = [spots[begin[i] : begin[i + 1]] for i in chosen]
            ends = np.cumsum([0, *map(len, mine)])
            packed = np.concatenate([np.zeros((0, 5)), *mine])
            fill(some, ids[chosen], room.steps, owned, looks[chosen], (packed, ends), (tile, shifts[chosen]), part)
        if blur:
            blurred(part, blur, room.steps)
            total += part
    return total


def _texture(scene: Scene, room: Room, rng: np.random.Generator) -> NDArray[np.float32]:
    """Return noise of two grains with mean 0 and deviation 1, as a tile that repeats itself."""
    from scipy.ndimage import gaussian_filter

    shape = PLANE_TILE if room.flat else VOLUME_TILE
    total = np.zeros(shape, np.float32)
    for grain, weight in ((scene.grain, 0.8), (3 * scene.grain, 0.6)):
        sigma = [
            0.0 if n == 1 else min(grain * scene.radius / s, n / 4) for n, s in zip(shape, room.steps, strict=True)
        ]
        noise = gaussian_filter(rng.normal(size=shape), sigma, mode="wrap")
        total += (weight * (noise - noise.mean()) / max(float(noise.std()), 1e-9)).astype(np.float32)
    return total


def _spots(
    scene: Scene, room: Room, layout: Layout, rng: np.random.Generator
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return bright spots and dark nucleoli: middle, radius, height; and where those of each nucleus begin."""
    rows: list[list[float]] = []
    begin = [0]
    bodies = layout.bodies
    for k in range(len(layout.blur)):
        size = float(bodies.radii[k])
        plain = not layout.dividing[k]
        kinds = [(0.12, 0.3, 0.7)] * int(rng.poisson(scene.spots) * plain)
        kinds += [(0.25, -0.7, -0.2)] * int(rng.poisson(scene.nucleoli) * plain)
        for radius, low, high in kinds:
            place = rng.normal(size=3)
            place[2] *= not room.flat
            place *= rng.random() ** 0.5 * 0.75 / math.sqrt((place**2).sum())
            at = bodies.centres[k] + bodies.frames[k] @ (place * bodies.axes[k])
            rows.append([*at.tolist(), 2 * radius * size * rng.uniform(0.6, 1.4), rng.uniform(low, high)])
        begin.append(len(rows))
    return np.array(rows, np.float64).reshape(-1, 5), np.array(begin, np.int64)


def _debris(scene: Scene, room: Room, count: int, rng: np.random.Generator) -> tuple[Bodies, NDArray[np.float64]]:
    """Return specks, and how bright each is."""
    small = scene.with_(size_spread=0.0, roughness=0.1, elongation=1.5)
    specks = []
    for _ in range(int(rng.poisson(scene.debris * count))):
        one = body(small, room.flat, rng)
        share = rng.uniform(*SPECKS)
        place = (rng.random(3) * room.lengths)[None]
        specks.append(one._replace(centres=place, axes=one.axes * share, radii=one.radii * share))
    return joined(specks), np.exp(0.5 * rng.normal(size=len(specks)))


def _outlined(layout: Layout) -> NDArray[np.uint32]:
    """Return whose each pixel is, seen from above; of what is nearly hidden, the rest is of what hides it."""
    labels = layout.layers[0].labels.copy()
    if len(layout.layers) == 1:
        return labels
    above = layout.layers[1].labels
    size = max(layout.count, 0) + 1
    whole = np.bincount(labels.ravel(), minlength=size)
    labels[above > 0] = above[above > 0]
    seen = np.bincount(labels.ravel(), minlength=size)
    hidden = np.flatnonzero((seen < SEEN * whole) & (whole > 0) & (np.arange(size) > 0))
    for label in hidden.tolist():
        by = np.bincount(above[layout.layers[0].labels == label])
        by[0] = 0
        labels[labels == label] = by.argmax()
    return labels


def _cells(
    scene: Scene, room: Room, layout: Layout, labels: NDArray[np.uint32], rng: np.random.Generator
) -> NDArray[np.uint32]:
    """Return whose cell each pixel is: bodies around the nuclei, pressed against each other."""
    needed = scene.cytoplasm or scene.objects == "cells" or scene.kind == "membrane"
    if not needed:
        return labels
    rough = scene.with_(roughness=min(0.15, 2 * scene.roughness + 0.03), elongation=1.2, size_spread=0.0)
    around = []
    for k in range(layout.count):
        one = body(rough, room.flat, rng)
        around.append(
            one._replace(
                centres=layout.bodies.centres[k : k + 1],
                axes=one.axes * scene.cell_size,
                radii=one.radii * scene.cell_size,
            )
        )
    owned = Ownership.empty(room.shape)
    paint(joined(around), 1, room.steps, owned, 1.0)
    return np.where(labels > 0, labels, owned.labels)


def _walls(cells: NDArray[np.uint32]) -> NDArray[np.bool_]:
    """Return the pixels of cells whose next pixel along an axis is of another, or of none."""
    walls = np.zeros(cells.shape, bool)
    for axis in range(3):
        here = tuple(slice(0, -1) if i == axis else slice(None) for i in range(3))
        after = tuple(slice(1, None) if i == axis else slice(None) for i in range(3))
        walls[here] |= cells[here] != cells[after]
    return walls


def _whole(labels: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """Return objects of one piece each, the largest one of its own; other pieces go to an object that they touch."""
    pieces, count = label_components(labels, full=False)
    sizes = np.bincount(pieces.ravel(), minlength=count + 1)
    label_of = np.zeros(count + 1, np.uint32)
    label_of[pieces.ravel()] = labels.ravel()
    order = np.lexsort((np.arange(count + 1), -sizes))
    order = order[order > 0]
    _, first = np.unique(label_of[order], return_index=True)
    kept = np.zeros(count + 1, bool)
    kept[order[first]] = True
    lost = np.flatnonzero(~kept)[1:]
    if not len(lost):
        return labels
    given = np.where(kept, label_of, 0).astype(np.uint32)
    for axis in range(3):
        here = tuple(slice(0, -1) if i == axis else slice(None) for i in range(3))
        after = tuple(slice(1, None) if i == axis else slice(None) for i in range(3))
        for one, other in ((here, after), (after, here)):
            a, b = pieces[one].ravel(), pieces[other].ravel()
            met = (a > 0) & ~kept[a] & kept[b]
            given[a[met]] = label_of[b[met]]
    return given[pieces]
