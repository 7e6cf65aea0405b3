"""A U-Net: a network that was trained on labelled images tells of each pixel what it is, or of which object.

What it sees of the surroundings grows from level to level, coarser and coarser; what it found there is brought back to
every pixel (Ronneberger 2015). It gives classes, or objects, as it was trained to. It works where there are labelled
images of the kind, a few to begin with; it fails, with confidence, on images of another kind. Train it with `segmentry
train unet`. Large images are seen tile by tile, tiles being blended where they overlap.
"""

from __future__ import annotations

from typing import ClassVar, Literal

from segmentry.networks import NetworkStep

__all__ = ["UNet"]


class UNet(NetworkStep):
    """Classes or objects, by a network that was trained on labelled images of the kind."""

    name: ClassVar[str] = "unet"
    task: ClassVar[Literal["semantic"]] = "semantic"
    source: ClassVar[str] = "Ronneberger et al. 2015, doi:10.1007/978-3-319-24574-4_28"
