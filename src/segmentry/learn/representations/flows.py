"""Foreground, and the way from each pixel to the centre of its object: objects are the pixels that flow together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from segmentry.image import Grid
from segmentry.learn.objects import flow_errors, flows_of, kept
from segmentry.learn.representation import UNLABELLED, Head, Maps, Representation
from segmentry.result import Instances

__all__ = ["Flows"]

#: How far from foreground other foreground may change what is made of it: steps are told between neighbouring pixels.
APART = 2
#: Squared, two directions differ by this at the most.
LARGEST = 4.0


class Flows(Representation):
    """Foreground, and the direction in which heat leads to the centre of the object: for objects of any shape."""

    name: ClassVar[str] = "flows"
    task: ClassVar[Literal["instances"]] = "instances"
    source: ClassVar[str] = "Stringer et al. 2021, doi:10.1038/s41592-020-01018-x"
    tunable: ClassVar[Mapping[str, tuple[float | str, ...]]] = {
        "threshold": (0.3, 0.4, 0.5, 0.6),
        "max_error": (0.2, 0.3, 0.4, 0.6, 1.0),
        "min_size": (0, 10, 20, 40),
    }

    threshold: float = Field(
        default=0.5, gt=0, lt=1, description="Probability of the foreground from which on an object is."
    )
    max_error: float = Field(
        default=0.4,
        gt=0,
        le=LARGEST,
        description="Mean squared difference between the flows that were told and those of the object's shape, beyond"
        " which the object is dropped; 4: none is.",
    )
    length: float = Field(default=1.0, gt=0, le=100, description="Length of a flow as the network tells it.")
    min_size: int = Field(default=0, ge=0, le=10**9, description="Objects of fewer pixels are dropped.")

    def heads(self, names: Sequence[str], dimensions: int) -> tuple[Head, ...]:
        return (Head("flows", "numbers", dimensions), Head("foreground", "shares", 1))

    def encode(self, labels: NDArray[np.int64], spacing: Sequence[float]) -> Maps:
        flows = self.length * flows_of(labels, spacing)
        flows[:, labels == UNLABELLED] = np.nan
        foreground = np.where(labels == UNLABELLED, np.nan, labels > 0).astype(np.float32)
        return {"flows": flows.astype(np.float32), "foreground": foreground[None]}

    def decode(self, maps: NDArray[np.float32], grid: Grid, names: Sequence[str], survey: None = None) -> Instances:
        from segmentry.kernels.flows import sinks

        probable = maps[-1]
        mask = probable > self.threshold
        flows = maps[:-1] / np.float32(self.length)
        labels, count = sinks(flows, mask, grid.anisotropy)
        fine = np.ones(count, np.bool_)
        if self.max_error < LARGEST:
            fine = flow_errors(labels, count, flows, grid.anisotropy) <= self.max_error
        return kept(labels, fine, probable, grid, tuple(names), self.min_size)

    def mirrored(self, maps: NDArray[np.float32], axes: tuple[int, ...]) -> NDArray[np.float32]:
        maps = maps.copy()
        maps[list(axes)] *= -1
        return maps

    def halo(self, grid: Grid) -> tuple[int, ...]:
        return (APART,) * len(grid.spatial)
