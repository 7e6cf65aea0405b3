"""How probable the middle of an object is, and how far it reaches in many directions: for star-convex shapes."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from segmentry.errors import ParameterError
from segmentry.image import Array, Grid, Region
from segmentry.kernels.stars import Stars as Shapes
from segmentry.learn.blocks import BLOCK
from segmentry.learn.objects import own_distance, ray_lengths_of
from segmentry.learn.representation import UNLABELLED, Head, Maps, Representation
from segmentry.result import Instances
from segmentry.tiling import cores, grow, inside, tile_shape

__all__ = ["Stars", "Survey", "of_blocks", "of_pixels", "rays"]

#: Turn from one ray in a volume to the next, which spreads them evenly.
GOLDEN = (3 - math.sqrt(5)) * math.pi
#: Length of a tile in which they are looked for, by the number of axes.
TILE = {2: 512, 3: 64}


#: From a part of the maps, pixels in it, the region of the part, and the shape of the image, to where shapes are, in
#: pixels of the image (n, axes), and what is told of them (n, numbers).
Told: TypeAlias = Callable[
    [NDArray[np.float32], NDArray[np.int64], Region, Sequence[int]], tuple[NDArray[np.float64], NDArray[np.float32]]
]


@dataclass(frozen=True, eq=False)
class Survey:
    """The objects of a whole image.

    Parameters
    ----------
    shapes
        Points and lengths of rays, best first.
    scores, kinds
        Of each; no kinds where there is but one.
    start
        Position of the window in which they are asked for.
    """

    shapes: Shapes
    scores: NDArray[np.float32]
    kinds: NDArray[np.int32] | None
    start: tuple[int, ...]

    def within(self, region: Region) -> Survey:
        """Return the same objects, to be decoded in a window."""
        return replace(self, start=tuple(s.start for s in region))


class Stars(Representation):
    """How probable the middle of an object is, and the distances to its edge: for round objects, however crowded."""

    name: ClassVar[str] = "stars"
    task: ClassVar[Literal["instances"]] = "instances"
    source: ClassVar[str] = "Schmidt et al. 2018, doi:10.1007/978-3-030-00934-2_30"
    shapes: ClassVar[Literal["any", "round"]] = "round"
    tunable: ClassVar[Mapping[str, tuple[float | str, ...]]] = {
        "threshold": (0.3, 0.4, 0.5, 0.6, 0.7),
        "max_overlap": (0.2, 0.3, 0.4, 0.5),
    }

    n_rays: int = Field(default=32, ge=3, le=1024, description="Directions in which distances are told.")
    anisotropy: tuple[float, ...] = Field(
        default=(),
        max_length=3,
        description="Length of a pixel along each axis, relative to each other, for which rays are spread evenly; none:"
        " that of the images.",
    )
    grid: tuple[int, ...] = Field(
        default=(),
        max_length=3,
        description="How many pixels along each axis have one of the maps; none: each has one.",
    )
    apart: int = Field(
        default=2,
        ge=0,
        le=1000,
        description="A pixel proposes an object if it is the most probable one of a box that reaches so far; 0:"
        " every pixel does, as in StarDist, which takes longer.",
    )
    border: int = Field(
        default=0, ge=0, le=1000, description="How many of the maps' pixels at each edge propose nothing."
    )
    threshold: float = Field(
        default=0.5, gt=0, lt=1, description="Probability from which on a pixel can be the middle of an object."
    )
    max_overlap: float = Field(
        default=0.4,
        ge=0,
        le=1,
        description="Share of the smaller of two objects that may lie in both; else the less probable is dropped.",
    )

    def heads(self, names: Sequence[str], dimensions: int) -> tuple[Head, ...]:
        found = (Head("probability", "shares", 1), Head("distances", "numbers", self.n_rays, 0.2))
        return (*found, Head("kinds", "classes", len(names))) if len(names) > 2 else found

    def encode(self, labels: NDArray[np.int64], spacing: Sequence[float]) -> Maps:
        lengths = self.reach(labels, spacing)
        lengths[:, labels <= 0] = np.nan
        return {"probability": self.middles(labels, *own_distance(labels, spacing)), "distances": lengths}

    def middles(
        self, labels: NDArray[np.int64], distance: NDArray[np.float32], largest: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """Return how probable each pixel is the middle of an object, of what :func:`own_distance` gives."""
        probability = (distance / np.maximum(largest, 1e-6)).astype(np.float32)
        probability[labels == UNLABELLED] = np.nan
        return probability[None]

    def reach(self, labels: NDArray[np.int64], spacing: Sequence[float]) -> NDArray[np.float32]:
        """Return the distances to the edge of each pixel's object, 0 outside of objects."""
        directions, _ = rays(self.n_rays, labels.ndim, self._ratio(spacing))
        return ray_lengths_of(labels, directions)

    def survey(self, maps: Array, grid: Grid, told: Told | None = None) -> Survey:
        from segmentry.kernels.maxima import local_maxima
        from segmentry.kernels.stars import unsuppressed

        shape, ndim = grid.spatial_shape, len(grid.spatial)
        steps = np.array(self.grid or (1,) * ndim)
        apart = tuple(int(max(self.apart, step)) if self.apart else 0 for step in steps)
        first, last = self.border * steps, np.array(shape) - self.border * steps
        look = told or of_pixels
        points, numbers = list[NDArray[np.float64]](), list[NDArray[np.float32]]()
        for core in cores(shape, tile_shape(shape, TILE[ndim])):
            window = grow(core, apart, shape)
            part = np.asarray(maps[(slice(None), *window)], np.float32)
            found = local_maxima(np.ascontiguousarray(part[0]), apart, self.threshold)
            local = inside(core, window)
            found = found[((found >= [s.start for s in local]) & (found < [s.stop for s in local])).all(axis=1)]
            at = found + [s.start for s in window]
            fine = ((at >= first) & (at < last)).all(axis=1)
            place, values = look(part, found[fine], window, shape)
            numbers.append(values)
            points.append(np.pad(place, [(0, 0), (3 - ndim, 0)]))
        # The best first; of those that are as good, the first in raster order, whatever the tiles.
        known, place = np.concatenate(numbers), np.concatenate(points)
        order = np.lexsort((*place.T[::-1], -known[:, 0]))
        known, place = known[order], place[order]
        lengths = np.ascontiguousarray(np.maximum(known[:, 1 : 1 + self.n_rays], 0))
        kept = unsuppressed(
            Shapes(place, lengths), *rays(self.n_rays, ndim, self._ratio(grid.anisotropy)), self.max_overlap
        )
        several = known.shape[1] > 1 + self.n_rays
        kinds = 1 + known[kept, 2 + self.n_rays :].argmax(axis=1).astype(np.int32) if several else None
        return Survey(Shapes(place[kept], lengths[kept]), known[kept, 0], kinds, (0,) * ndim)

    def decode(
        self, maps: NDArray[np.float32], grid: Grid, names: Sequence[str], survey: Survey | None = None
    ) -> Instances:
        from segmentry.kernels.stars import paint_stars

        known = survey or self.survey(maps, grid)
        directions, faces = rays(self.n_rays, len(grid.spatial), self._ratio(grid.anisotropy))
        labels = np.zeros(grid.spatial_shape, np.uint32)
        ids = np.arange(1, len(known.scores) + 1, dtype=np.uint32)
        paint_stars(known.shapes, ids, directions, faces, known.start, labels)
        seen = np.unique(labels)
        seen = seen[seen > 0].astype(np.uint32)
        number = seen.astype(np.int64) - 1
        kinds = None if known.kinds is None else known.kinds[number]
        return Instances(labels, grid, seen, np.clip(known.scores[number], 0, 1), kinds, tuple(names)).renumbered()

    def mirrored(self, maps: NDArray[np.float32], axes: tuple[int, ...]) -> NDArray[np.float32]:
        if maps.ndim != 3 or self.n_rays % 2:
            raise ParameterError(
                "flips: rays of shapes in volumes, or an odd number, have no mirror image: leave it out"
            )
        number = np.arange(self.n_rays)
        if 1 in axes:
            number = self.n_rays // 2 - number
        if 0 in axes:
            number = -number
        return np.concatenate([maps[:1], maps[1 + number % self.n_rays], maps[1 + self.n_rays :]])

    def lengths(self, zoom: Sequence[float], spacing: Sequence[float]) -> NDArray[np.float32]:
        directions, _ = rays(self.n_rays, len(zoom), self._ratio(spacing))
        shorter = np.linalg.norm(directions[:, 3 - len(zoom) :] / np.array(zoom), axis=1)
        return np.concatenate([[1.0], shorter]).astype(np.float32)

    def _ratio(self, spacing: Sequence[float]) -> tuple[float, ...]:
        sizes = self.anisotropy if len(self.anisotropy) == len(spacing) else spacing
        return tuple(s / min(sizes) for s in sizes)


def of_pixels(
    part: NDArray[np.float32], at: NDArray[np.int64], region: Region, _shape: Sequence[int]
) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
    """Return what each pixel tells of the shape around it."""
    return (at + [s.start for s in region]).astype(np.float64), part[(slice(None), *at.T)].T


def of_blocks(
    part: NDArray[np.float32], at: NDArray[np.int64], region: Region, shape: Sequence[int]
) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
    """Return what the blocks of pixels tell; the first map has a number for each pixel."""
    start = np.array([s.start for s in region])
    block = np.minimum((at + start) // BLOCK, np.array(shape) // BLOCK - 1)
    fine = (block >= 0).all(axis=1)
    at, block = at[fine], block[fine]
    inner = np.indices((BLOCK,) * len(shape)).reshape(len(shape), -1).T
    pixels = (BLOCK * block - start)[:, None] + inner
    numbers = part[(slice(1, None), *np.moveaxis(pixels, -1, 0))]
    told = np.moveaxis(numbers, 0, 1).reshape(len(at), (len(part) - 1) * len(inner))
    centre = BLOCK * block + (BLOCK - 1) / 2
    return centre, np.concatenate([part[(slice(0, 1), *at.T)].T, told], axis=1)


def rays(count: int, dimensions: int, ratio: Sequence[float]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return directions that are spread evenly in space, and which of them span a face.

    Parameters
    ----------
    count, dimensions
        How many, on a circle or a sphere.
    ratio
        Size of a pixel along each axis, 1 for the finest.

    Returns
    -------
    directions : (count, 3) float64 array
        In pixels: z, y, x; of length 1.
    faces : (faces, dimensions) int64 array
        Numbers of neighbouring rays.
    """
    number = np.arange(count)
    if dimensions == 2:
        angle = 2 * np.pi * number / count
        points = np.stack([np.zeros(count), np.sin(angle), np.cos(angle)], axis=1) / np.array([1.0, *ratio])
        faces = np.stack([number, (number + 1) % count], axis=1)
    else:
        from scipy.spatial import ConvexHull

        height = np.linspace(-1, 1, count)
        radius = np.sqrt(np.maximum(1 - height**2, 0))
        around = [radius * np.sin(GOLDEN * number), radius * np.cos(GOLDEN * number)]
        points = np.stack([height, *around], axis=1) / np.array(ratio)
        faces = ConvexHull(points).simplices.astype(np.int64)
    return points / np.linalg.norm(points, axis=1, keepdims=True), faces
