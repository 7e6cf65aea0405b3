"""A class for each pixel."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from segmentry.image import Grid
from segmentry.learn.representation import Head, Maps, Representation
from segmentry.result import Semantic

__all__ = ["Classes"]


class Classes(Representation):
    """The probability of each class at each pixel; the result is the most probable one."""

    name: ClassVar[str] = "classes"
    task: ClassVar[Literal["semantic"]] = "semantic"

    def heads(self, names: Sequence[str], dimensions: int) -> tuple[Head, ...]:
        return (Head("classes", "classes", len(names)),)

    def encode(self, labels: NDArray[np.int64], spacing: Sequence[float]) -> Maps:
        return {"classes": labels}

    def decode(self, maps: NDArray[np.float32], grid: Grid, names: Sequence[str], survey: None = None) -> Semantic:
        classes = maps.argmax(axis=0).astype(np.uint8 if len(names) <= 256 else np.uint16)
        return Semantic(classes, grid, tuple(names), np.ascontiguousarray(maps))
