"""Superpixels: every pixel in a region of pixels like it; there is no background."""

from __future__ import annotations

from typing import ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from segmentry.filters.gaussian import sigma_pixels, smooth
from segmentry.filters.lab import full_white, rgb_to_lab
from segmentry.image import Grid, Image
from segmentry.length import Length
from segmentry.overview import Overview
from segmentry.step import Segmenter

__all__ = ["Superpixels"]


class Superpixels(Segmenter):
    """A method that divides the whole image into regions of similar intensity or colour."""

    task: ClassVar[Literal["instances"]] = "instances"
    colour: ClassVar[bool] = True

    ranges_: tuple[tuple[float, float], ...] | None = Field(None, description="Intensities of each channel, to scale.")

    def halo(self, grid: Grid) -> None:
        return None

    def prepare(self, overview: Overview) -> Self:
        found = [overview.range(c) for c in range(overview.n_channels)]
        if overview.image.is_rgb:
            found = [(0.0, full_white(max(high for _, high in found)))] * 3
        return self.model_copy(update={"ranges_": tuple(found)})

    def features(self, image: Image, sigma: Length, top: float, lab: bool) -> NDArray[np.float32]:
        """Return the channels as last axis, smoothed, each from 0 to `top`; colours in CIELAB where `lab`."""
        assert self.ranges_ is not None
        raw = image.read()
        channels = np.moveaxis(raw, image.grid.axes.index("C"), 0) if "C" in image.grid.axes else raw[None]
        spread = sigma_pixels(sigma, image.grid)
        found = []
        for channel, (low, high) in zip(channels, self.ranges_, strict=False):
            share = channel.astype(np.float64)
            share -= low
            share *= top / (high - low) if high > low else 0.0
            found.append(smooth(np.clip(share, 0, top, out=share).astype(np.float32), spread))
        features = np.stack(found, axis=-1)
        if lab and image.is_rgb:
            for line in features:
                line[...] = np.moveaxis(rgb_to_lab(np.moveaxis(line, -1, 0), top), 0, -1)
        return features
