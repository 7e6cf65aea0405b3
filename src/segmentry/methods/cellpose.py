"""Cellpose: each pixel is told the way to the middle of its cell, and cells are the pixels that flow together.

A network tells of each pixel how probably it belongs to a cell, and in which direction heat would lead from it to the
cell's middle (Stringer 2021). Following these directions, all pixels of a cell meet, whatever its shape; a cell whose
directions do not fit its shape is dropped. It works for cells and nuclei of any shape that touch each other; it fails
where objects are much larger or smaller than those that the network has seen, unless their `diameter` is given. Train
it with `segmentry train cellpose`, or read a network of Cellpose 1 to 3 with `segmentry weights import`. Volumes are
seen by a network for planes as Cellpose does it, plane by plane along all three axes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from segmentry.image import Grid, Image
from segmentry.labelling import Store
from segmentry.learn.cellpose_network import CellposeNetwork
from segmentry.learn.cellpose_scaling import cellpose_scores, cellpose_volume_scores
from segmentry.learn.representation import Representation, activated
from segmentry.learn.representations.flows import LARGEST
from segmentry.networks import NetworkStep, picked
from segmentry.result import Result
from segmentry.selection import channels_first, selected
from segmentry.workspace import ensure_memory

__all__ = ["Cellpose"]

#: Planes of up to so many pixels are seen at once, in the very tiles of Cellpose; larger ones in tiles of our own.
AT_ONCE = 2**26


class Cellpose(NetworkStep):
    """Cells of any shape, by the way from each pixel to the middle of its cell."""

    name: ClassVar[str] = "cellpose"
    task: ClassVar[Literal["instances"]] = "instances"
    source: ClassVar[str] = "Stringer et al. 2021, doi:10.1038/s41592-020-01018-x"
    tells: ClassVar[tuple[str, ...]] = ("flows",)

    threshold: float | None = Field(
        None, gt=0, lt=1, description="Probability from which on a pixel is of a cell; none: the network's own."
    )
    max_error: float | None = Field(
        None,
        gt=0,
        le=4,
        description="Largest difference, squared, of a cell's directions from those that fit its shape; none: the"
        " network's own.",
    )
    min_size: int | None = Field(
        None, ge=0, le=10**9, description="Cells of fewer pixels are dropped; none: the network's own."
    )

    def representing(self) -> Representation:
        return self.adjusted("threshold", "max_error", "min_size")

    def fits(self) -> tuple[int, ...]:
        return (2, 3) if isinstance(self.knowledge().architecture, CellposeNetwork) else super().fits()

    def predicted(self, image: Image) -> int:
        return len(image.grid.spatial) + 1

    def predict(self, image: Image, into: Store, tell: Callable[[float], None]) -> None:
        grid = image.grid.without("C")
        if not isinstance(self.knowledge().architecture, CellposeNetwork) or (
            len(grid.spatial) == 2 and grid.size > AT_ONCE
        ):
            super().predict(image, into, tell)
            return
        ensure_memory(grid.size, f"{self.name} sees a volume of {grid.size:,} pixels at once", "segment parts of it")
        assert self.scale_ is not None
        seen = channels_first(self._seen(image))
        pixels = self.knowledge().scaling.applied(seen.read(), self.scale_)
        heads = self.representing().heads(self.knowledge().names, len(grid.spatial))
        into[...] = activated(self._scores(pixels, grid), heads)
        tell(1.0)

    def _scores(self, pixels: NDArray[np.float32], grid: Grid) -> NDArray[np.float32]:
        zoom = self.zoom_ or 1.0
        if len(grid.spatial) == 2:
            return cellpose_scores(self._runner(), pixels, zoom)
        return cellpose_volume_scores(self._runner(), pixels, zoom, grid.anisotropy[0] / grid.anisotropy[-1])

    def _seen(self, image: Image) -> Image:
        known = self.knowledge()
        if isinstance(known.architecture, CellposeNetwork) and len(known.channels) == 2:
            # Cells without a stain of their nuclei: Cellpose gives its network zeros for these.
            one = selected(image, None, False, []) if image.is_rgb else image
            if one.grid.length("C") == 1:
                return picked(one, (0, None), known.channels)
        return super()._seen(image)

    def decode(self, maps: Image, survey: None = None) -> Result:
        planar = isinstance(self.knowledge().architecture, CellposeNetwork)
        if planar and len(maps.grid.spatial) == 3 and self.max_error is None:
            # Sums of what planes along three axes tell are no flows of a volume: Cellpose does not compare them.
            return self.model_copy(update={"max_error": LARGEST}).decode(maps, survey)
        return super().decode(maps, survey)
