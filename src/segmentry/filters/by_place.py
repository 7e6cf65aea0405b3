"""Pixels that are changed one by one when they are read, each as its place in the whole image demands."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from segmentry.image import Image, Region

__all__ = ["ByPlace"]


class ByPlace:
    """The pixels of an image, changed by a function that is told the region of the image they come from."""

    def __init__(self, image: Image, change: Callable[[NDArray[np.float32], Region], NDArray[np.float32]]) -> None:
        self._image, self._change = image, change
        self.shape, self.dtype = image.grid.shape, np.dtype(np.float32)

    def __getitem__(self, key: Region) -> NDArray[np.float32]:
        region = tuple(slice(*s.indices(n)[:2]) for s, n in zip(key, self.shape, strict=True))
        return self._change(self._image.read(region).astype(np.float32), region)
