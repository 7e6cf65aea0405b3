"""StarDist: objects are star-convex shapes, each told by the distances from its middle to its edge.

A network tells of each pixel how deep it lies in an object, and how far the object's edge is in many directions
(Schmidt 2018; in volumes Weigert 2020). Each deep pixel proposes a shape; of shapes that overlap, the most probable
stays. It works for round objects such as nuclei, however crowded; it fails for long or branched ones, whose middle does
not see their ends, and edges are as smooth as there are directions. Train it with `segmentry train stardist`, or read
a model of StarDist with `segmentry weights import`.
"""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from segmentry.learn.representation import Representation
from segmentry.networks import NetworkStep

__all__ = ["StarDist"]


class StarDist(NetworkStep):
    """Round objects, however crowded, by the distances from their middle to their edge."""

    name: ClassVar[str] = "stardist"
    task: ClassVar[Literal["instances"]] = "instances"
    source: ClassVar[str] = "Schmidt et al. 2018, doi:10.1007/978-3-030-00934-2_30"
    tells: ClassVar[tuple[str, ...]] = ("stars",)

    threshold: float | None = Field(
        None, gt=0, lt=1, description="Probability from which on a pixel proposes an object; none: the network's own."
    )
    max_overlap: float | None = Field(
        None,
        ge=0,
        le=1,
        description="Share of the smaller of two objects that may lie in both; none: the network's own.",
    )

    def representing(self) -> Representation:
        return self.adjusted("threshold", "max_overlap")
