"""Foreground, and how far inside its object each pixel lies: objects are parted along the valleys between them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from segmentry.image import Grid
from segmentry.learn.objects import divided, own_distance, seeds_of
from segmentry.learn.representation import UNLABELLED, Head, Maps, Representation
from segmentry.result import Instances

__all__ = ["Distance"]


class Distance(Representation):
    """Foreground, and the distance to the object's edge as a share of the largest in the object."""

    name: ClassVar[str] = "distance"
    task: ClassVar[Literal["instances"]] = "instances"
    source: ClassVar[str] = "Naylor et al. 2019, doi:10.1109/TMI.2018.2865709"
    tunable: ClassVar[Mapping[str, tuple[float | str, ...]]] = {
        "threshold": (0.3, 0.4, 0.5, 0.6),
        "depth": (0.05, 0.1, 0.15, 0.2, 0.3),
        "min_peak": (0.2, 0.4, 0.6),
        "min_size": (0, 10, 20, 40),
    }

    depth: float = Field(default=0.15, gt=0, le=1, description="How deep the valley between two objects must be.")
    threshold: float = Field(
        default=0.5, gt=0, lt=1, description="Probability of the foreground from which on an object is."
    )
    min_peak: float = Field(
        default=0.4, gt=0, lt=1, description="Share of the distance that the middle of an object reaches."
    )
    min_size: int = Field(default=0, ge=0, le=10**9, description="Objects of fewer pixels are dropped.")

    def heads(self, names: Sequence[str], dimensions: int) -> tuple[Head, ...]:
        return (Head("foreground", "classes", 2), Head("distance", "numbers", 1))

    def encode(self, labels: NDArray[np.int64], spacing: Sequence[float]) -> Maps:
        distance, largest = own_distance(labels, spacing)
        share = np.where(labels > 0, distance / np.maximum(largest, 1e-6), 0).astype(np.float32)
        share[labels == UNLABELLED] = np.nan
        return {"foreground": np.minimum(labels, 1), "distance": share[None]}

    def decode(self, maps: NDArray[np.float32], grid: Grid, names: Sequence[str], survey: None = None) -> Instances:
        mask = maps[1] > self.threshold
        seeds = seeds_of(maps[2], mask, self.depth, self.min_peak)
        return divided(maps[2], seeds, mask, maps[1], grid, tuple(names), self.min_size)
