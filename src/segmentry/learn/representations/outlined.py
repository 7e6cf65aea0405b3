"""Stars tell which object a pixel belongs to, classes of pixels where objects end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from segmentry.image import Array, Grid
from segmentry.learn.blocks import Resized, block_means, packed, unpacked
from segmentry.learn.objects import divided, own_distance
from segmentry.learn.representation import Head, Maps, Representation
from segmentry.learn.representations.boundary import INTERIOR, RIM, Boundary
from segmentry.learn.representations.stars import Stars, Survey, of_blocks, of_pixels, rays
from segmentry.result import Instances

__all__ = ["Outlined"]

#: Rays by the number of axes.
RAYS = {2: 16, 3: 48}


class Outlined(Representation):
    """Which object, told by stars; and where it ends, told of every pixel: for crowded objects, exactly."""

    name: ClassVar[str] = "outlined"
    task: ClassVar[Literal["instances"]] = "instances"
    tunable: ClassVar[Mapping[str, tuple[float | str, ...]]] = {
        "threshold": (0.3, 0.4, 0.5, 0.6),
        "seed_threshold": (0.2, 0.3, 0.4, 0.5, 0.6),
        "max_overlap": (0.2, 0.3, 0.4, 0.5),
        "min_size": (0, 10, 20, 40),
    }

    block: Literal[1, 2] = Field(
        default=1,
        description="Pixels along each axis that share distances, for networks with a stem of as many: fewer maps.",
    )
    threshold: float = Field(default=0.5, gt=0, lt=1, description="Probability from which on a pixel is of an object.")
    seed_threshold: float = Field(
        default=0.4, gt=0, lt=1, description="Probability from which on a pixel can be the middle of an object."
    )
    max_overlap: float = Field(
        default=0.4,
        ge=0,
        le=1,
        description="Share of the smaller of two stars that may lie in both; else the less probable is dropped.",
    )
    core: float = Field(
        default=0.5, gt=0, le=1, description="How much smaller stars are made before they grow through the foreground."
    )
    min_size: int = Field(default=0, ge=0, le=10**9, description="Objects of fewer pixels are dropped.")

    def heads(self, names: Sequence[str], dimensions: int) -> tuple[Head, ...]:
        return (
            Head("probability", "shares", 1, 2.0),
            Head("distances", "numbers", self._distance_maps(dimensions), 0.1),
            Head("parts", "classes", 3),
        )

    def encode(self, labels: NDArray[np.int64], spacing: Sequence[float]) -> Maps:
        stars, depths = self._stars(labels.ndim), own_distance(labels, spacing)
        lengths = stars.reach(labels, spacing)
        if self.block > 1:
            lengths = packed(block_means(lengths, labels > 0), labels.shape, np.nan)
        else:
            lengths[:, labels <= 0] = np.nan
        middles, parts = stars.middles(labels, *depths), Boundary().parts(labels, *depths)
        return {"probability": middles, "distances": lengths, "parts": parts}

    def survey(self, maps: Array, grid: Grid) -> Survey:
        n = len(grid.spatial)
        told = _First(maps, 1 + self._distance_maps(n))
        return self._stars(n).survey(told, grid, of_blocks if self.block > 1 else of_pixels)

    def decode(
        self, maps: NDArray[np.float32], grid: Grid, names: Sequence[str], survey: Survey | None = None
    ) -> Instances:
        from segmentry.kernels.stars import Stars as Shapes
        from segmentry.kernels.stars import paint_stars

        n, parts = len(grid.spatial), maps[-3:]
        foreground = parts[INTERIOR] + parts[RIM]
        mask = foreground > self.threshold
        known = survey or self.survey(maps, grid)
        directions, faces = rays(RAYS[n], n, [s / min(grid.anisotropy) for s in grid.anisotropy])
        seeds = np.where(mask, np.uint32(0), np.uint32(2**32 - 1))
        small = Shapes(known.shapes.points, known.shapes.lengths * np.float32(self.core))
        ids = np.arange(1, len(known.scores) + 1, dtype=np.uint32)
        paint_stars(small, ids, directions, faces, known.start, seeds)
        seeds[~mask] = 0
        return divided(parts[INTERIOR], seeds, mask, foreground, grid, tuple(names), self.min_size)

    def mirrored(self, maps: NDArray[np.float32], axes: tuple[int, ...]) -> NDArray[np.float32]:
        stars, rest = maps[:-3], maps[-3:]
        if self.block == 1:
            return np.concatenate([self._stars(maps.ndim - 1).mirrored(stars, axes), rest])
        # What stands in each pixel of a block was not to be mirrored, the blocks were.
        turned = tuple(axis + 1 for axis in axes)
        lengths = np.flip(unpacked(np.flip(stars[1:], turned)), turned)
        told = self._stars(maps.ndim - 1).mirrored(np.concatenate([lengths[:1], lengths]), axes)[1:]
        return np.concatenate([stars[:1], packed(told, maps.shape[1:]), rest])

    def lengths(self, zoom: Sequence[float], spacing: Sequence[float]) -> NDArray[np.float32]:
        return self._stars(len(zoom)).lengths(zoom, spacing)

    def resized(self, maps: Array, shape: Sequence[int], spacing: Sequence[float]) -> Array:
        if self.block == 1:
            return super().resized(maps, shape, spacing)
        zoom = [n / m for n, m in zip(maps.shape[1:], shape[1:], strict=True)]
        those = slice(1, 1 + self._distance_maps(len(zoom)))
        return Resized(maps, shape, those, self.lengths(zoom, spacing)[1:])

    def _distance_maps(self, dimensions: int) -> int:
        return RAYS[dimensions] // int(self.block**dimensions)

    def _stars(self, dimensions: int) -> Stars:
        return Stars(n_rays=RAYS[dimensions], threshold=self.seed_threshold, max_overlap=self.max_overlap)


class _First:
    """The first of some maps, which may be lazy."""

    def __init__(self, maps: Array, count: int) -> None:
        self._maps, self.dtype = maps, maps.dtype
        self.shape = (count, *maps.shape[1:])

    def __getitem__(self, key: tuple[Any, ...]) -> NDArray[Any]:
        return np.asarray(self._maps[(slice(*key[0].indices(self.shape[0])), *key[1:])])
