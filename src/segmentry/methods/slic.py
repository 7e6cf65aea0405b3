"""SLIC superpixels: k-means of place and colour, each centre looking no further than its own width.

Centres start on a grid. Each pixel goes to the nearest of the centres around it, in a distance that adds up difference
in colour and distance in space; centres move to the mean of their pixels, some times over (Achanta et al. 2012). Parts
that came loose and are smaller than a quarter of a superpixel join the neighbour most like them. Colours are compared
in CIELAB, other intensities from 0 to 100; distances are true ones in anisotropic volumes. Superpixels cover the whole
image: there is no background, and an object is usually cut into several. They are pieces to be merged or classified,
not objects. It works as a first step that keeps borders and leaves far fewer pieces than pixels; it fails on details
narrower than a superpixel.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from pydantic import Field

from segmentry.errors import ParameterError
from segmentry.image import Grid, Image
from segmentry.length import Length
from segmentry.result import Instances
from segmentry.superpixels import Superpixels

__all__ = ["Slic"]


class Slic(Superpixels):
    """Divides an image into compact superpixels of about one size that follow its borders."""

    name: ClassVar[str] = "slic"
    source: ClassVar[str] = "Achanta 2012, doi:10.1109/TPAMI.2012.120"

    size: Length = Field(Length(16.0), description="Width of a superpixel, in pixels of the finest axis or a unit.")
    n_segments: int | None = Field(
        None, ge=1, le=10_000_000, description="About how many superpixels there are; given, it counts instead of size."
    )
    compactness: float = Field(
        10.0, gt=0, le=1000, description="Difference in colour, of 100, that weighs as much as the width in space."
    )
    sigma: Length = Field(Length(0.0), description="Smoothing before anything else.")
    rounds: int = Field(10, ge=1, le=100, description="How often the centres move.")

    def segment(self, image: Image) -> Instances:
        from segmentry.kernels.slic import absorb_small, local_means

        ready = self.prepared(image)
        grid = image.grid.without("C")
        flat = (1,) * (3 - len(grid.spatial))
        features = ready.features(image, self.sigma, 100.0, lab=True)
        features = features.reshape(flat + features.shape)
        width, cells = self._cells(grid)
        metric = tuple(self.compactness * a / width for a in grid.anisotropy)
        labels = local_means(features, flat + cells, (0.0,) * len(flat) + metric, self.rounds)
        whole = absorb_small(labels, features, grid.size / np.prod(cells) / 4).reshape(grid.shape)
        ids = np.arange(1, int(whole.max()) + 1, dtype=np.uint32)
        return Instances(whole, grid, ids).renumbered()

    def _cells(self, grid: Grid) -> tuple[float, tuple[int, ...]]:
        """Return the width of a superpixel in pixels of the finest axis, and how many there are along each axis."""
        extent = np.array(grid.spatial_shape) * np.array(grid.anisotropy)
        width = max(self.size.pixels(grid))
        if width < 1:
            raise ParameterError(f"slic.size ({self.size}): {width:g} pixels here; superpixels are 1 wide or wider")
        if self.n_segments is not None:
            # An axis shorter than a superpixel takes no part in how wide they are.
            wide = np.ones(len(extent), bool)
            for _ in extent:
                width = max(float((extent[wide].prod() / self.n_segments) ** (1 / wide.sum())), 1.0)
                if (extent[wide] >= width).all() or wide.sum() == 1:
                    break
                wide &= extent >= width
        return width, tuple(max(1, round(float(e) / width)) for e in extent)
