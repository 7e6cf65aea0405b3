"""Stars or flows tell which object a pixel belongs to, classes of pixels where objects end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from segmentry.image import Array, Grid
from segmentry.learn.objects import divided, kept
from segmentry.learn.representation import Head, Maps, Representation
from segmentry.learn.representations.boundary import INTERIOR, RIM, Boundary
from segmentry.learn.representations.flows import APART, Flows
from segmentry.learn.representations.stars import Stars, Survey, rays
from segmentry.result import Instances

__all__ = ["Outlined"]

#: Rays by the number of axes.
RAYS = {2: 16, 3: 48}


class Outlined(Representation):
    """Which object, told by stars or flows; and where it ends, told of every pixel: for crowded objects, exactly."""

    name: ClassVar[str] = "outlined"
    task: ClassVar[Literal["instances"]] = "instances"
    tunable: ClassVar[Mapping[str, tuple[float | str, ...]]] = {
        "by": ("stars", "flows"),
        "threshold": (0.3, 0.4, 0.5, 0.6),
        "seed_threshold": (0.2, 0.3, 0.4, 0.5, 0.6),
        "max_overlap": (0.2, 0.3, 0.4, 0.5),
        "min_size": (0, 10, 20, 40),
    }

    by: Literal["stars", "flows"] = Field(default="stars", description="What tells objects apart.")
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
            Head("probability", "shares", 1),
            Head("distances", "numbers", RAYS[dimensions], 0.1),
            Head("flows", "numbers", dimensions),
            Head("parts", "classes", 3),
        )

    def encode(self, labels: NDArray[np.int64], spacing: Sequence[float]) -> Maps:
        stars = self._stars(labels.ndim).encode(labels, spacing)
        flows = Flows().encode(labels, spacing)
        return {**stars, "flows": flows["flows"], **Boundary().encode(labels, spacing)}

    def survey(self, maps: Array, grid: Grid) -> Survey | None:
        if self.by == "flows":
            return None
        n = len(grid.spatial)
        return self._stars(n).survey(_First(maps, 1 + RAYS[n]), grid)

    def decode(
        self, maps: NDArray[np.float32], grid: Grid, names: Sequence[str], survey: Survey | None = None
    ) -> Instances:
        n = len(grid.spatial)
        parts = maps[-3:]
        foreground = parts[INTERIOR] + parts[RIM]
        mask = foreground > self.threshold
        if self.by == "flows":
            from segmentry.kernels.flows import sinks

            labels, count = sinks(np.ascontiguousarray(maps[1 + RAYS[n] : -3]), mask, grid.anisotropy)
            return kept(labels, np.ones(count, np.bool_), foreground, grid, tuple(names), self.min_size)
        from segmentry.kernels.stars import Stars as Shapes
        from segmentry.kernels.stars import paint_stars

        known = survey or self.survey(maps, grid)
        assert known is not None
        directions, faces = rays(RAYS[n], n, [s / min(grid.anisotropy) for s in grid.anisotropy])
        seeds = np.where(mask, np.uint32(0), np.uint32(2**32 - 1))
        small = Shapes(known.shapes.points, known.shapes.lengths * np.float32(self.core))
        ids = np.arange(1, len(known.scores) + 1, dtype=np.uint32)
        paint_stars(small, ids, directions, faces, known.start, seeds)
        seeds[~mask] = 0
        return divided(parts[INTERIOR], seeds, mask, foreground, grid, tuple(names), self.min_size)

    def mirrored(self, maps: NDArray[np.float32], axes: tuple[int, ...]) -> NDArray[np.float32]:
        n = maps.ndim - 1
        stars = self._stars(n).mirrored(maps[: 1 + RAYS[n]], axes)
        flows = maps[1 + RAYS[n] : -3].copy()
        flows[list(axes)] *= -1
        return np.concatenate([stars, flows, maps[-3:]])

    def lengths(self, zoom: Sequence[float], spacing: Sequence[float]) -> NDArray[np.float32]:
        return self._stars(len(zoom)).lengths(zoom, spacing)

    def halo(self, grid: Grid) -> tuple[int, ...]:
        return (APART,) * len(grid.spatial)

    def _stars(self, dimensions: int) -> Stars:
        return Stars(n_rays=RAYS[dimensions], threshold=self.seed_threshold, max_overlap=self.max_overlap)


class _First:
    """The first of some maps, which may be lazy."""

    def __init__(self, maps: Array, count: int) -> None:
        self._maps, self.dtype = maps, maps.dtype
        self.shape = (count, *maps.shape[1:])

    def __getitem__(self, key: tuple[Any, ...]) -> NDArray[Any]:
        return np.asarray(self._maps[(slice(*key[0].indices(self.shape[0])), *key[1:])])
