"""InstanSeg: pixels are told apart by where a network places them, in a program of torch that does all of it.

A model of InstanSeg (Goldsborough 2024) is a TorchScript file, or a package of bioimage.io with one in it; intensities
go in, labels come out. It works for nuclei and cells of the kinds it learned, at the pixel size it learned them at; it
fails at others where the image does not say its pixel size. It needs torch, sees an image whole, and gives no scores.
Such a file is a program: take it from where you trust it.
"""

from __future__ import annotations

import io
import os
import warnings
import zipfile
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from segmentry.errors import InputError, MissingExtraError, one_line
from segmentry.image import Image
from segmentry.overview import Overview
from segmentry.resampling import Nearest, at_spacing
from segmentry.result import Instances
from segmentry.selection import channels_first
from segmentry.step import Segmenter
from segmentry.trained import TrainedStep

__all__ = ["InstanSeg"]

#: What intensities are scaled by, in percent.
LOW, HIGH = 0.1, 99.9
#: File of the program in a package.
PROGRAM = "instanseg.pt"


class InstanSeg(TrainedStep, Segmenter):
    """Nuclei or cells, by a TorchScript file of InstanSeg."""

    name: ClassVar[str] = "instanseg"
    task: ClassVar[Literal["instances"]] = "instances"
    source: ClassVar[str] = "Goldsborough et al. 2024, arXiv:2408.15954"
    dimensions: ClassVar[tuple[int, ...]] = (2,)
    colour: ClassVar[bool] = True
    sources: ClassVar[str] = "a TorchScript file of InstanSeg, or a package of bioimage.io with one"
    foreign: ClassVar[bool] = True

    model: str = Field("", max_length=4096, description="TorchScript file (.pt), or package of bioimage.io (.zip).")
    target: int = Field(0, ge=0, le=100, description="Which of its label images: 0 for nuclei, 1 for cells, mostly.")
    pixel_size: float = Field(
        0.5, gt=0, le=100, description="Pixel size that it learned at, in um; images that tell theirs are resized."
    )

    def halo(self, grid: object) -> None:
        return None

    def prepare(self, overview: Overview) -> Self:
        self.knowledge()
        return self.model_copy(update={"sha256_": self._found})

    @classmethod
    def opened(cls, source: Path) -> Any:
        """Return the program in a file."""
        try:
            import torch
        except ImportError:
            raise MissingExtraError("instanseg", "train") from None
        file: Any = str(source)
        try:
            with zipfile.ZipFile(source) as archive:
                inner = [name for name in archive.namelist() if Path(name).name == PROGRAM]
                if inner:
                    file = io.BytesIO(archive.read(inner[0]))
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)  # torch wants other files from now on
                return torch.jit.load(file, map_location=_device()).eval()  # type: ignore[no-untyped-call]
        except (zipfile.BadZipFile, RuntimeError, ValueError, OSError) as error:
            raise InputError(f"{source} is no TorchScript file that can be read: {one_line(error)[:200]}") from None

    def segment(self, image: Image) -> Instances:
        program = self.knowledge()
        seen = channels_first(at_spacing(image, (self.pixel_size,) * 2, "um"))
        found = _labels(program, _scaled(seen.read()))
        if found.ndim != 4 or found.shape[0] != 1 or found.shape[2:] != seen.grid.spatial_shape:
            raise InputError(f"{self.model} gives numbers of shape {found.shape}, which are no labels of the image")
        if self.target >= found.shape[1]:
            raise InputError(f"target is {self.target}; {self.model} gives {found.shape[1]} label images, from 0 on")
        grid = image.grid.without("C")
        labels = Nearest(np.rint(found[0, self.target]).astype(np.uint32), grid.shape)
        return Instances.from_labels(labels[tuple(slice(0, n) for n in grid.shape)], grid)


def _scaled(pixels: NDArray[Any]) -> NDArray[np.float32]:
    """Return each channel with its low intensities at 0 and its high ones at 1."""
    flat = pixels.reshape(len(pixels), -1).astype(np.float32)
    low, high = np.percentile(flat, (LOW, HIGH), axis=1, keepdims=True)
    scaled = (flat - low) / np.maximum(high - low, 1e-6)
    return np.asarray(scaled.reshape(pixels.shape), np.float32)


def _labels(program: Any, pixels: NDArray[np.float32]) -> NDArray[np.float32]:
    import torch

    try:
        with torch.inference_mode():
            return np.asarray(program(torch.from_numpy(pixels)[None].to(_device())).float().cpu().numpy())
    except (RuntimeError, AttributeError) as error:
        raise InputError(f"instanseg: the program failed: {one_line(error)[-200:]}") from None


def _device() -> str:
    from segmentry.learn.networks.fitting import chosen_device
    from segmentry.networks import DEVICE

    return str(chosen_device(os.environ.get(DEVICE, "auto")))
