"""Felzenszwalb's regions: pixels joined until the difference between regions exceeds that within them.

Pixels are joined along edges of a graph of all neighbours (8 in planes, 26 in volumes), those of least difference
first, unless the difference is larger than any inside of one of the two regions by more than `scale` over its number of
pixels (Felzenszwalb & Huttenlocher 2004). Regions that are too small then join a neighbour. Intensities count from 0 to
255 over the range of the image. The regions cover the whole image: there is no background, and an object may be cut
into several, or be joined with what it fades into. They are pieces to be merged or classified. It works where regions
have clear borders, smooth or textured alike; it fails where noise is strong (smooth more) and on gradual borders,
through which it leaks.
"""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from segmentry.image import Image
from segmentry.length import Length, Size
from segmentry.result import Instances
from segmentry.superpixels import Superpixels

__all__ = ["Felzenszwalb"]

TOP = 255.0


class Felzenszwalb(Superpixels):
    """Divides an image into regions of any shape and size, by the contrast at their borders."""

    name: ClassVar[str] = "felzenszwalb"
    source: ClassVar[str] = "Felzenszwalb & Huttenlocher 2004, doi:10.1023/B:VISI.0000022288.19776.77"

    scale: float = Field(300.0, gt=0, le=1e9, description="How large regions are; more gives larger ones.")
    sigma: Length = Field(Length(0.8), description="Smoothing before anything else.")
    min_size: Size = Field(Size(50.0), description="Smaller regions are joined with a neighbour.")

    def segment(self, image: Image) -> Instances:
        from segmentry.kernels.graph_regions import graph_regions

        ready = self.prepared(image)
        grid = image.grid.without("C")
        features = ready.features(image, self.sigma, TOP, lab=False)
        labels = graph_regions(features, self.scale, self.min_size.count(grid))
        return Instances.from_labels(labels, grid).renumbered()
