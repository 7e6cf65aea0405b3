"""Where nuclei lie and what shape they have: drawn one after the other, apart or against each other."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from segmentry.kernels.star_shapes import DEGREES, Bodies, Ownership, paint
from segmentry.simulation.scene import Scene

__all__ = ["Layout", "Room", "body", "joined", "lay_out"]

#: Points in a body by which it is found out what it would lie on.
POINTS = 96
#: Places that are tried for a nucleus, and nuclei without a place after which no more are tried.
TRIES, GIVEN_UP = 24, 30
#: How far nuclei that do not touch stay apart, in their radius.
APART = 1.15
#: Brightness of a nucleus in division, its size and how much longer than wide it is.
DIVIDING, DENSE, ROD = 2.2, 0.55, 3.0

PLAIN, PAIR, ROD_ALONE = 0, 1, 2


@dataclass(frozen=True)
class Room:
    """The pixels that a specimen is drawn on, always with three axes.

    Parameters
    ----------
    shape
        Pixels per axis; one plane for an image.
    steps : (3,) float64
        Size of a pixel, in pixels of the finest axis of the result.
    """

    shape: tuple[int, int, int]
    steps: NDArray[np.float64]
    flat: bool

    @property
    def lengths(self) -> NDArray[np.float64]:
        """Extent per axis; 0 across a plane."""
        return np.asarray(np.where([self.flat, False, False], 0.0, np.array(self.shape) * self.steps))

    @property
    def size(self) -> float:
        """Area or volume."""
        return float(math.prod(self.lengths[int(self.flat) :].tolist()))

    def where(self, points: NDArray[np.float64]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Return the flat indices of the points (n, 3) that lie inside, and which do."""
        index = np.floor(points / self.steps).astype(np.int64)
        if self.flat:
            index[:, 0] = 0
        inside = np.asarray(((index >= 0) & (index < self.shape)).all(axis=1))
        z, y, x = index[inside].T
        return (z * self.shape[1] + y) * self.shape[2] + x, inside


@dataclass
class Layout:
    """All nuclei of a specimen.

    Parameters
    ----------
    bodies
        Their shapes: those that are objects first, then those that are too blurred to be.
    count
        How many are objects.
    upper : (n,) bool
        Whether it lies over another one.
    blur : (n,) float64
        How far out of focus it is, in pixels of the finest axis.
    dividing : (n,) bool
    layers
        Whose each pixel is: among those that lie below, and above. Labels are places in `bodies`, from 1.
    """

    bodies: Bodies
    count: int
    upper: NDArray[np.bool_]
    blur: NDArray[np.float64]
    dividing: NDArray[np.bool_]
    layers: tuple[Ownership, ...]


def lay_out(scene: Scene, room: Room, rng: np.random.Generator) -> Layout:
    """Return nuclei that lie in a room as a scene asks for; less crowded where there is no place for more."""
    return _Placing(scene, room, rng).done()


def body(scene: Scene, flat: bool, rng: np.random.Generator, kind: int = PLAIN) -> Bodies:
    """Return one body around the origin with a shape drawn at random."""
    spread = scene.size_spread
    radius = scene.radius * math.exp(spread * float(np.clip(rng.normal(), -2.5, 2.5)))
    ratio = 1 + (scene.elongation - 1) * rng.uniform(0, 2)
    middle = rng.uniform(0, 1)
    bend = scene.bending * rng.uniform(0, 2) * (1 if rng.random() < 0.5 else -1)
    if kind != PLAIN:
        radius, ratio, bend = radius * DENSE, ROD * rng.uniform(0.7, 1.3), bend / 2
    axes = np.array([ratio, 1.0 if flat else ratio**middle, 1.0])
    axes *= radius / (math.sqrt(ratio) if flat else math.prod(axes) ** (1 / 3))
    lobes = np.zeros((len(DEGREES), 4))
    heights = rng.normal(size=len(DEGREES)) / np.array(DEGREES) ** 1.5
    heights *= scene.roughness / math.sqrt(sum(1 / d**3 for d in DEGREES) * (0.5 if flat else 0.2))
    lobes[:, 0] = np.clip(heights, -0.35, 0.35)
    directions = rng.normal(size=(len(DEGREES), 3))
    turn = rng.normal(size=(3, 3))
    if flat:
        directions[:, 2] = 0
    lobes[:, 1:] = directions / np.sqrt((directions**2).sum(axis=1, keepdims=True))
    frame = _turned(turn, flat)
    return Bodies(np.zeros((1, 3)), frame[None], axes[None], np.array([bend]), lobes[None], np.array([radius]))


def _turned(numbers: NDArray[np.float64], flat: bool) -> NDArray[np.float64]:
    """Return a rotation as random as the numbers (3, 3) are, by Gram and Schmidt; within the plane for a flat body."""
    if flat:
        along = np.array([0.0, numbers[0, 1], numbers[0, 2]]) / math.hypot(numbers[0, 1], numbers[0, 2])
        return np.stack([along, [0.0, -along[2], along[1]], [1.0, 0.0, 0.0]], axis=1)
    first = numbers[0] / math.sqrt((numbers[0] ** 2).sum())
    second = numbers[1] - first * (first * numbers[1]).sum()
    second /= math.sqrt((second**2).sum())
    third = np.array([first[i - 2] * second[i - 1] - first[i - 1] * second[i - 2] for i in range(3)])
    return np.stack([first, second, third], axis=1)


def joined(bodies: list[Bodies]) -> Bodies:
    """Return many bodies as one table."""
    if not bodies:
        return Bodies(*(np.zeros((0, *s)) for s in ((3,), (3, 3), (3,), (), (len(DEGREES), 4), ())))
    return Bodies(*(np.concatenate(column) for column in zip(*bodies, strict=True)))


def _ball(flat: bool) -> NDArray[np.float64]:
    """Return points (n, 3) evenly spread in a disc (z = 0 in the frame of a body) or ball."""
    i = np.arange(POINTS) + 0.5
    turns = i * (math.pi * (3 - math.sqrt(5)))
    if flat:
        far = np.sqrt(i / POINTS)
        return np.stack([far * np.cos(turns), far * np.sin(turns), np.zeros(POINTS)], axis=1)
    height = 1 - 2 * i / POINTS
    far = ((i * 0.754877666) % 1) ** (1 / 3)
    ring = np.sqrt(1 - height**2)
    return np.stack([far * ring * np.cos(turns), far * ring * np.sin(turns), far * height], axis=1)


def _points(one: Bodies, unit: NDArray[np.float64], flat: bool) -> NDArray[np.float64]:
    """Return where points of the unit ball lie in a body, from its middle."""
    frame, axes, bend, lobes = one.frames[0], one.axes[0], one.bends[0], one.lobes[0]
    far = np.maximum(np.linalg.norm(unit, axis=1), 1e-9)
    radius = np.ones(len(unit))
    for degree, (height, *direction) in zip(DEGREES, lobes.tolist(), strict=True):
        along = (unit @ np.array(direction)) / far
        before, here = np.ones_like(along), along
        for n in range(1, degree):
            after = 2 * along * here - before if flat else ((2 * n + 1) * along * here - n * before) / (n + 1)
            before, here = here, after
        radius += height * here
    local = unit * np.maximum(radius, 0.2)[:, None] * axes
    local[:, 1] += bend * (local[:, 0] ** 2 / axes[0] - axes[0] / 3)
    return np.asarray(local @ frame.T)


class _Placing:
    """Nuclei placed one by one."""

    def __init__(self, scene: Scene, room: Room, rng: np.random.Generator) -> None:
        self._scene, self._room, self._rng = scene, room, rng
        self._unit = _ball(room.flat)
        self._power = 2 if room.flat else 3
        layers = 2 if room.flat and scene.overlap else 1
        self._layers = tuple(Ownership.empty(room.shape) for _ in range(layers))
        self._placed: list[Bodies] = []
        self._facts: list[tuple[bool, float, bool]] = []
        self._ghosts: list[Bodies] = []
        self._ghost_blur: list[float] = []

    def done(self) -> Layout:
        scene, rng = self._scene, self._rng
        ball = math.pi if self._room.flat else 4 / 3 * math.pi
        wanted, covered, failed = scene.density * self._room.size, 0.0, 0
        while failed < GIVEN_UP:
            kind = PLAIN
            if rng.random() < scene.mitosis:
                kind = PAIR if rng.random() < 0.4 else ROD_ALONE
            one = body(scene, self._room.flat, rng, kind)
            volume = ball * float(one.radii[0]) ** self._power
            left = (wanted - covered) / volume
            if left <= 0:
                break
            blur = self._defocus()
            if blur > scene.lost * scene.radius:
                self._ghosts.append(one._replace(centres=self._anywhere()))
                self._ghost_blur.append(blur)
                covered += volume
                continue
            share = self._place(one, blur, kind, left)
            if share < 0:
                break
            failed = failed + 1 if share == 0 else 0
            covered += share * volume
        count = len(self._placed)
        facts = [*self._facts, *((False, blur, False) for blur in self._ghost_blur)]
        return Layout(
            joined(self._placed + self._ghosts),
            count,
            np.array([f[0] for f in facts], bool),
            np.array([f[1] for f in facts], np.float64),
            np.array([f[2] for f in facts], bool),
            self._layers,
        )

    def _defocus(self) -> float:
        """Return the blur of a nucleus, which has one of four values so that few images need be blurred."""
        if not self._room.flat or self._rng.random() >= self._scene.out_of_focus:
            return 0.0
        return self._scene.defocus * self._scene.radius * int(self._rng.integers(1, 5)) / 4

    def _anywhere(self) -> NDArray[np.float64]:
        return (self._rng.random(3) * self._room.lengths)[None]

    def _place(self, one: Bodies, blur: float, kind: int, left: float) -> float:
        """Place a nucleus, and return how much of it is new cover; 0 where there was no place for it.

        Where it covers more than is `left` to be covered, it is placed as likely as that is a part of it, so that the
        share is right in the mean; else -1 is returned, and all is done.
        """
        scene, rng = self._scene, self._rng
        offsets = _points(one, self._unit, self._room.flat)
        over = len(self._layers) > 1 and bool(self._placed) and rng.random() < scene.overlap
        against = bool(self._placed) and rng.random() < scene.clumping
        for _ in range(TRIES):
            if over:
                _, centre = self._beside(one, rng.uniform(0.5, 0.9))
                found = self._fits(one, centre, offsets, 1, 1.0, 0.0)
            elif against:
                centre, found = self._touching(one, offsets)
            else:
                centre = self._anywhere()
                found = self._fits(one, centre, offsets, 0, APART, 0.0)
            if found > 0:
                if rng.random() * found > left:
                    return -1.0
                self._add(one._replace(centres=centre), over, blur, kind)
                return found + (self._add_twin(one, centre, over, blur) if kind == PAIR else 0.0)
        if scene.pressing and not over:
            for _ in range(TRIES):
                centre = self._anywhere()
                found = self._fits(one, centre, offsets, 0, 1.0, scene.pressing)
                if found > 0:
                    if rng.random() * found > left:
                        return -1.0
                    self._add(one._replace(centres=centre), False, blur, kind)
                    return found
        return 0.0

    def _beside(self, one: Bodies, share: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the middle of a nucleus, and a place beside it, at a share of the distance at which balls touch."""
        other = self._placed[int(self._rng.integers(len(self._placed)))]
        direction = self._rng.normal(size=3)
        direction[0] *= not self._room.flat
        direction /= math.sqrt((direction**2).sum())
        return other.centres, other.centres + share * (one.radii[0] + other.radii[0]) * direction

    def _touching(self, one: Bodies, offsets: NDArray[np.float64]) -> tuple[NDArray[np.float64], float]:
        """Move a nucleus towards another one until they press against each other."""
        wanted = self._rng.uniform(0.2, 1) * max(self._scene.pressing, 1 / POINTS)
        near, far = self._beside(one, 1.0)
        for share in np.linspace(1.5, 0.5, 21):
            centre = near + share * (far - near)
            if self._taken(centre, offsets) >= wanted:
                return centre, self._fits(one, centre, offsets, 0, 1.0, max(self._scene.pressing, 2 / POINTS))
        return far, 0.0

    def _taken(self, centre: NDArray[np.float64], offsets: NDArray[np.float64]) -> float:
        at, _ = self._room.where(centre + offsets)
        return float(np.count_nonzero(self._layers[0].labels.ravel()[at])) / POINTS

    def _fits(
        self, one: Bodies, centre: NDArray[np.float64], offsets: NDArray[np.float64], layer: int, apart: float,
        most: float,
    ) -> float:  # fmt: skip
        """Return the share of a nucleus that is inside and on nothing; 0 where too much is on others."""
        at, inside = self._room.where(centre + apart * offsets)
        if inside.mean() < 0.1:
            return 0.0
        under = self._layers[layer].labels.ravel()[at]
        met = np.bincount(under[under > 0]) / POINTS
        if met.sum() > most:
            return 0.0
        for label in np.flatnonzero(met):
            if met[label] * (one.radii[0] / self._placed[label - 1].radii[0]) ** self._power > 1.5 * most:
                return 0.0
        return float(inside.mean() - met.sum())

    def _add(self, one: Bodies, over: bool, blur: float, kind: int) -> None:
        self._placed.append(one)
        self._facts.append((over, blur, kind != PLAIN))
        paint(one, len(self._placed), self._room.steps, self._layers[int(over)])

    def _add_twin(self, one: Bodies, centre: NDArray[np.float64], over: bool, blur: float) -> float:
        """Place the other half of a nucleus in division where there is room, and return how much of it is new cover."""
        side = one.frames[0][:, 1] * one.axes[0, 1] * float(self._rng.uniform(2.5, 4))
        offsets = _points(one, self._unit, self._room.flat)
        found = self._fits(one, centre + side, offsets, int(over), 1.0, 0.0)
        if found > 0:
            self._add(one._replace(centres=centre + side), over, blur, PAIR)
        return found
