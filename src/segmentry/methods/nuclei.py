"""Nuclei out of the box: a network that comes along, trained on fluorescence, stained tissue and bright field.

It tells of each pixel whether it is inside a nucleus, on its rim or beside it, and of each nucleus where its middle is
and how far it reaches, so that nuclei that touch are parted and their outlines are exact. It works for nuclei of 7 to
50 pixels in diameter; for others set `diameter`, or have it estimated. It fails for what looks like a nucleus and is
none, and for whole cells. Volumes are seen plane by plane along all three axes, which often fails where nuclei are
small or crowded: begin with `watershed` there, and compare. `segmentry weights info nuclei` says what
it learned from and how good it is.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from segmentry.image import Image
from segmentry.labelling import Store
from segmentry.learn.cellpose_scaling import cellpose_volume_scores
from segmentry.learn.network_file import Network
from segmentry.learn.patches import channels_first
from segmentry.learn.representation import Representation, offsets
from segmentry.learn.representations.flows import LARGEST, Flows
from segmentry.learn.representations.outlined import Outlined
from segmentry.learn.shipped import shipped
from segmentry.networks import NetworkStep
from segmentry.result import Result
from segmentry.trained import checked_sha256
from segmentry.workspace import ensure_memory

__all__ = ["Nuclei"]

NAMES = {"accurate": "nuclei", "fast": "nuclei_fast"}


class Nuclei(NetworkStep):
    """Nuclei of any look, by a network that comes along."""

    name: ClassVar[str] = "nuclei"
    task: ClassVar[Literal["instances"]] = "instances"
    trained: ClassVar[bool] = False
    tells: ClassVar[tuple[str, ...]] = ("outlined",)

    variant: Literal["accurate", "fast"] = Field("accurate", description="Which of the networks that come along.")
    model: str = Field(default="", max_length=4096, description="Another network of this kind, instead of these.")
    overlap: float = Field(0.125, ge=0, le=0.9, description="Share of a tile that it has in common with the next.")
    threshold: float | None = Field(
        None, gt=0, lt=1, description="Probability from which on a pixel is of a nucleus; none: the network's own."
    )
    min_size: int | None = Field(
        None, ge=0, le=10**9, description="Nuclei of fewer pixels are dropped; none: the network's own."
    )

    def knowledge(self) -> Network:
        if self._known is None and not self.model:
            place = shipped(NAMES[self.variant])
            self._found = checked_sha256(place, self.sha256_ or self.sha256)
            self._known = _opened(place, self._found)
        return super().knowledge()

    def representing(self) -> Representation:
        return self.adjusted("threshold", "min_size")

    def fits(self) -> tuple[int, ...]:
        return (2, 3) if self.knowledge().architecture.dimensions == 2 else super().fits()

    def predicted(self, image: Image) -> int:
        return 4 if self._by_planes(image) else super().predicted(image)

    def predict(self, image: Image, into: Store, tell: Callable[[float], None]) -> None:
        if not self._by_planes(image):
            super().predict(image, into, tell)
            return
        grid = image.grid.without("C")
        ensure_memory(grid.size, f"{self.name} sees a volume of {grid.size:,} pixels at once", "segment parts of it")
        assert self.scale_ is not None
        pixels = self.knowledge().scaling.applied(channels_first(self._seen(image)).read(), self.scale_)
        ratio = grid.anisotropy[0] / grid.anisotropy[-1]
        scores = cellpose_volume_scores(self._ways, pixels, self.zoom_ or 1.0, ratio)
        # Flows are told of along each axis by two of the views, logits by all.
        scores[:3] /= 2
        scores[3] = 1 / (1 + np.exp(np.minimum(-scores[3] / 3, 80)))
        into[...] = scores
        tell(1.0)

    def survey(self, maps: Image) -> Any:
        return None if self._by_planes(maps) else super().survey(maps)

    def decode(self, maps: Image, survey: Any = None) -> Result:
        if not self._by_planes(maps):
            return super().decode(maps, survey)
        told = self.representing()
        assert isinstance(told, Outlined)
        flows = Flows(threshold=told.threshold, max_error=LARGEST, min_size=told.min_size)
        return flows.decode(maps.read(), maps.grid.without("C"), self.knowledge().names)

    def _ways(self, planes: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return what the network says of planes as Cellpose would: two flows, and the logit of the foreground."""
        known = self.knowledge()
        places = offsets(known.representation.heads(known.names, 2))
        scores = self._runner()(planes)
        outside, inside, rim = np.moveaxis(scores[:, places["parts"]], 1, 0)
        return np.concatenate([scores[:, places["flows"]], (np.logaddexp(inside, rim) - outside)[:, None]], axis=1)

    def _by_planes(self, image: Image) -> bool:
        return image.grid.spatial == "ZYX" and self.knowledge().architecture.dimensions == 2


@lru_cache(maxsize=len(NAMES))
def _opened(place: Path, _sha256: str) -> Network:
    """Return a network that comes along, read once; the hash tells another file of the name."""
    return Nuclei.opened(place)
