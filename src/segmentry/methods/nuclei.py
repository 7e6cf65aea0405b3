"""Nuclei out of the box: a network that comes along, trained on fluorescence, stained tissue and bright field.

It tells of each pixel whether it is inside a nucleus, on its rim or beside it, and of each nucleus where its middle is
and how far it reaches, so that nuclei that touch are parted and their outlines are exact. An image, or the middle of a
large one, is looked at first: where nuclei are small, it is then seen larger, and smaller where they are large; a
`diameter` says so instead. It fails for what looks like a nucleus and is none, and for whole cells.

Volumes have a network of their own, trained on simulated nuclei and on cells with bright borders, which sees voxels
that are as long as they are wide: give the distance of planes (`--spacing`). `segmentry weights info nuclei` and
`nuclei_3d` say what they learned from and how good they are.
"""

from __future__ import annotations

import math
from typing import ClassVar, Literal, Self

from pydantic import Field, PrivateAttr

from segmentry.errors import ParameterError
from segmentry.image import Grid, Image
from segmentry.learn.network_file import Network
from segmentry.learn.representation import Representation
from segmentry.learn.shipped import shipped
from segmentry.length import Length
from segmentry.networks import SMALLEST_ZOOM, NetworkStep
from segmentry.overview import Overview
from segmentry.resampling import zoomed
from segmentry.trained import checked_sha256

__all__ = ["Nuclei", "resizing"]

NAMES = {"accurate": "nuclei", "fast": "nuclei_fast"}
VOLUMES = "nuclei_3d"
#: Images whose nuclei have a smaller diameter than the first or a larger one than the second, in pixels, are resized so
#: that it becomes the third or the fourth, by the number of axes; but not made larger than so many times.
SEEN = {2: (18.0, 60.0, 24.0, 40.0), 3: (12.0, 28.0, 16.0, 20.0)}
LARGEST_ZOOM = 3.0


def resizing(diameter: float, dimensions: int) -> float:
    """Return how many times larger an image is seen whose nuclei have a median diameter, in pixels.

    >>> resizing(30, 2), resizing(12, 2), resizing(4, 2), resizing(80, 2)
    (1.0, 2.0, 3.0, 0.5)
    """
    smallest, largest, small, large = SEEN[dimensions]
    if smallest <= diameter <= largest:
        return 1.0
    wanted = small if diameter < smallest else large
    return min(max(wanted / max(diameter, 1.0), SMALLEST_ZOOM), LARGEST_ZOOM)


class Nuclei(NetworkStep):
    """Nuclei of any look, by a network that comes along."""

    name: ClassVar[str] = "nuclei"
    task: ClassVar[Literal["instances"]] = "instances"
    trained: ClassVar[bool] = False
    tells: ClassVar[tuple[str, ...]] = ("outlined", "flows")
    look: ClassVar[dict[int, tuple[int, ...]]] = {2: (512, 512), 3: (32, 160, 160)}

    variant: Literal["accurate", "fast"] = Field(
        "accurate", description="Which of the networks for planes that come along."
    )
    model: str = Field(
        default="",
        max_length=4096,
        description="Another network of this kind, instead of these: images are resized to the diameter or the pixel"
        " size that it learned from.",
    )
    overlap: float = Field(0.0625, ge=0, le=0.9, description="Share of a tile that it has in common with the next.")
    threshold: float | None = Field(
        None, gt=0, lt=1, description="Probability from which on a pixel is of a nucleus; none: the network's own."
    )
    min_size: int | None = Field(
        None, ge=0, le=10**9, description="Nuclei of fewer pixels are dropped; none: the network's own."
    )
    diameter: Length | None = Field(
        None,
        description="Diameter of the nuclei, in pixels or as `8 um`; images are resized where they are small or large.",
    )
    estimate_diameter: bool = Field(
        True, description="Whether the diameter is found out where it is not given, in the middle of the image."
    )
    dimensions_: int | None = Field(None, ge=2, le=3, description="Number of spatial axes of the images.")

    _own: Network | None = PrivateAttr(None)

    def knowledge(self) -> Network:
        if self.model or self._known is not None:
            return super().knowledge()
        if self._own is None:
            place = shipped(VOLUMES if self.dimensions_ == 3 else NAMES[self.variant])
            self._found = checked_sha256(place, self.sha256_ or self.sha256)
            self._own = self.opened(place)
        return self._own

    def representing(self) -> Representation:
        return self.adjusted("threshold", "min_size")

    def fits(self) -> tuple[int, ...]:
        return super().fits() if self.model or self._known is not None else (2, 3)

    def prepare(self, overview: Overview) -> Self:
        grid, estimate = overview.frame.grid, self.estimate_diameter
        if self.model:
            known = self.knowledge()
            by_size = known.spacing is not None and grid.spacing is not None
            estimate = estimate and known.diameter is not None and not by_size
        ready = self.model_copy(update={"dimensions_": len(grid.spatial), "estimate_diameter": estimate})
        ready._own = None
        return super(Nuclei, ready).prepare(overview)

    def _zoom(self, grid: Grid) -> float:
        if self.model:
            return super()._zoom(grid)
        if self.diameter is None:
            return 1.0
        asked = max(self.diameter.pixels(grid))
        if not asked > 0:
            raise ParameterError(f"{self.name}: diameter {self.diameter} is {asked:g} pixels; it must be more than 0")
        return resizing(asked, len(grid.spatial))

    def _fitting_zoom(self, diameter: float, grid: Grid) -> float:
        if self.model:
            return super()._fitting_zoom(diameter, grid)
        finest = math.prod(s / min(grid.anisotropy) for s in grid.anisotropy) ** (1 / len(grid.spatial))
        return resizing(diameter * finest, len(grid.spatial))

    def _resized(self, image: Image) -> Image:
        if self.model:
            return super()._resized(image)
        sizes, zoom = image.grid.anisotropy, self.zoom_ or 1.0
        return zoomed(image, [zoom * s / min(sizes) for s in sizes])
