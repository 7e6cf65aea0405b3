"""Cellpose-SAM: the fourth Cellpose, whose network is a large transformer, run by the package `cellpose` itself.

It needs `pip install "cellpose>=4"` and the file of its network, which that package keeps in `~/.cellpose/models`;
nothing is downloaded here. It works for cells and nuclei of nearly any look and size (Pachitariu 2025); without a GPU
it takes minutes per image. It sees an image whole, and gives no scores.
"""

from __future__ import annotations

import os
from importlib.metadata import version
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

import numpy as np
from pydantic import Field

from segmentry.errors import InputError, one_line
from segmentry.image import Image
from segmentry.length import Length
from segmentry.networks import DEVICE
from segmentry.overview import Overview
from segmentry.result import Instances
from segmentry.step import Segmenter
from segmentry.trained import TrainedStep, checked_sha256

__all__ = ["CellposeSAM"]

#: Where its own package keeps the network.
USUAL = Path.home() / ".cellpose" / "models" / "cpsam"


class CellposeSAM(TrainedStep, Segmenter):
    """Cells and nuclei of nearly any look, by the package `cellpose` (4 or later), where it is installed."""

    name: ClassVar[str] = "cellpose_sam"
    task: ClassVar[Literal["instances"]] = "instances"
    source: ClassVar[str] = "Pachitariu et al. 2025, doi:10.1101/2025.04.28.651001"
    colour: ClassVar[bool] = True
    sources: ClassVar[str] = "the file of Cellpose-SAM"
    foreign: ClassVar[bool] = True

    model: str = Field("", max_length=4096, description="File of its network; none: where its package keeps it.")
    diameter: Length | None = Field(None, description="Diameter of the cells; none: they are taken as they are.")
    max_error: float = Field(0.4, ge=0, le=4, description="Largest difference of a cell's flows from its shape's.")
    logit: float = Field(0.0, ge=-20, le=20, description="Logit from which on a pixel is of a cell.")
    min_size: int = Field(15, ge=0, le=10**9, description="Cells of fewer pixels are dropped.")

    def halo(self, grid: object) -> None:
        return None

    def knowledge(self) -> Any:
        if self._known is None and not self.model:
            self._found = checked_sha256(USUAL, self.sha256_ or self.sha256)
            self._known = self.opened(USUAL)
        return super().knowledge()

    @classmethod
    def opened(cls, source: Path) -> Any:
        """Return the network in a file, as its package runs it."""
        try:
            from cellpose import models
        except ImportError:
            raise InputError('cellpose_sam needs the package cellpose: pip install "cellpose>=4"') from None
        found = version("cellpose")
        if int(found.split(".", maxsplit=1)[0]) < 4:
            raise InputError(f"cellpose_sam needs cellpose 4, not {found}: the method cellpose reads older networks")
        try:
            return models.CellposeModel(gpu=os.environ.get(DEVICE) != "cpu", pretrained_model=str(source))
        except (RuntimeError, ValueError, OSError) as error:
            raise InputError(f"{source} is no network that cellpose can read: {one_line(error)[:200]}") from None

    def prepare(self, overview: Overview) -> Self:
        self.knowledge()
        return self.model_copy(update={"sha256_": self._found})

    def segment(self, image: Image) -> Instances:
        network = self.knowledge()
        grid = image.grid
        spatial = grid.without("C")
        more: dict[str, Any] = {"channel_axis": grid.axes.index("C")} if "C" in grid.axes else {}
        if spatial.spatial == "ZYX":
            ratio = spatial.anisotropy[0] / spatial.anisotropy[-1]
            more |= {"do_3D": True, "z_axis": grid.axes.index("Z"), "anisotropy": ratio}
        labels, *_ = network.eval(
            image.read(),
            diameter=None if self.diameter is None else min(self.diameter.pixels(spatial)),
            flow_threshold=self.max_error,
            cellprob_threshold=self.logit,
            min_size=self.min_size,
            **more,
        )
        return Instances.from_labels(np.asarray(labels).astype(np.uint32), spatial)
