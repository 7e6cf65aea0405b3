"""Background, interior and boundary: objects are what interiors grow into."""

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

__all__ = ["Boundary"]

BACKGROUND, INTERIOR, RIM = 0, 1, 2


class Boundary(Representation):
    """Three classes: background, the inside of objects, and their rim, which parts those that touch."""

    name: ClassVar[str] = "boundary"
    task: ClassVar[Literal["instances"]] = "instances"
    source: ClassVar[str] = "Caicedo et al. 2019, doi:10.1002/cyto.a.23863"
    tunable: ClassVar[Mapping[str, tuple[float | str, ...]]] = {
        "threshold": (0.3, 0.4, 0.5, 0.6),
        "depth": (0.05, 0.1, 0.2, 0.3),
        "min_interior": (0.3, 0.5, 0.7),
        "min_size": (0, 10, 20, 40),
    }

    width: float = Field(default=2.0, gt=0, le=50, description="Width of the rim, which lies in the object, in pixels.")
    most: float = Field(
        default=0.5,
        gt=0,
        lt=1,
        description="Largest width of the rim, as a share of the object's largest depth.",
    )
    depth: float = Field(
        default=0.1,
        gt=0,
        le=1,
        description="How much less probable the interior must be between two objects than in both.",
    )
    threshold: float = Field(
        default=0.5, gt=0, lt=1, description="Probability of interior and rim from which on an object is."
    )
    min_interior: float = Field(
        default=0.5, gt=0, lt=1, description="Probability of the interior that an object must reach."
    )
    min_size: int = Field(default=0, ge=0, le=10**9, description="Objects of fewer pixels are dropped.")

    def heads(self, names: Sequence[str], dimensions: int) -> tuple[Head, ...]:
        return (Head("parts", "classes", 3),)

    def encode(self, labels: NDArray[np.int64], spacing: Sequence[float]) -> Maps:
        return {"parts": self.parts(labels, *own_distance(labels, spacing))}

    def parts(
        self, labels: NDArray[np.int64], distance: NDArray[np.float32], largest: NDArray[np.float32]
    ) -> NDArray[np.int64]:
        """Return the class of each pixel, of what :func:`own_distance` gives."""
        parts = np.where(labels > 0, RIM, labels)
        inside = distance > np.minimum(self.width, self.most * largest)
        parts[(labels > 0) & inside] = INTERIOR
        parts[labels == UNLABELLED] = UNLABELLED
        return parts.astype(np.int64)

    def decode(self, maps: NDArray[np.float32], grid: Grid, names: Sequence[str], survey: None = None) -> Instances:
        foreground = maps[INTERIOR] + maps[RIM]
        mask = foreground > self.threshold
        seeds = seeds_of(maps[INTERIOR], mask, self.depth, self.min_interior)
        return divided(maps[INTERIOR], seeds, mask, foreground, grid, tuple(names), self.min_size)
