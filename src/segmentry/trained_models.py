"""Steps with a model that tells pixels apart or counts, trained here or by ilastik: opened, saved, computed lazily."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from segmentry.density_counting import DensityModel
from segmentry.ilastik import open_project
from segmentry.image import Grid, Image, Region
from segmentry.io.hdf5 import MAGIC
from segmentry.learn.model_file import load_model, save_model
from segmentry.pixel_classification import PixelModel
from segmentry.tiling import cores, grow, in_order, inside, thread_count, tile_shape, window_grid
from segmentry.trained import TrainedStep, checked_sha256

__all__ = [
    "Computed",
    "DensityStep",
    "PixelStep",
    "load_density_model",
    "load_pixel_model",
    "save_density_model",
    "save_pixel_model",
]


class PixelStep(TrainedStep):
    """A step that tells pixels apart with a trained model."""

    sources: ClassVar[str] = "a file that `segmentry train pixel_classifier` made, or to a project of ilastik"

    model: str = Field(
        default="", max_length=4096, description="File of a trained model (`segmentry train`), or project of ilastik."
    )

    def knowledge(self) -> PixelModel:
        """Return the model, read when it is first asked for."""
        known: PixelModel = super().knowledge()
        return known

    @classmethod
    def opened(cls, source: Path) -> PixelModel:
        """Return the model in a file, or the classifier of a project of ilastik."""
        with source.open("rb") as file:
            project = file.read(len(MAGIC)) == MAGIC
        return open_project(str(source)) if project else PixelModel.from_model(load_model(source))


class DensityStep(TrainedStep):
    """A step that counts with a trained model."""

    sources: ClassVar[str] = "a file that `segmentry train density_counting` made"

    def knowledge(self) -> DensityModel:
        """Return the model, read when it is first asked for."""
        known: DensityModel = super().knowledge()
        return known

    @classmethod
    def opened(cls, source: Path) -> DensityModel:
        """Return the model in a file."""
        return DensityModel.from_model(load_model(source))


class Computed:
    """Numbers that a model computes of an image where they are read; one for each pixel.

    Parameters
    ----------
    image
        With all channels that the model knows.
    halo
        How far it looks.
    compute
        Gives the numbers of a window, of which those nearer to a cut face than the halo don't count.
    """

    def __init__(
        self, image: Image, halo: Callable[[Grid], tuple[int, ...]], compute: Callable[[Image], NDArray[np.float32]]
    ) -> None:
        self._image, self._halo, self._compute = image, halo, compute
        self.shape, self.dtype = image.grid.without("C").shape, np.dtype(np.float32)

    def __getitem__(self, key: Region) -> NDArray[np.float32]:
        full = tuple(slice(*s.indices(n)[:2]) for s, n in zip(key, self.shape, strict=True))
        if "T" not in self._image.grid.axes:
            return self._frame(self._image, full)
        times = range(full[0].start, full[0].stop)
        return np.stack([self._frame(self._image.at("T", t), full[1:]) for t in times])

    def _frame(self, image: Image, region: Region) -> NDArray[np.float32]:
        """Return the numbers of a region of any size, tile by tile."""
        shape = [s.stop - s.start for s in region]
        out = np.empty(shape, np.float32)

        def work(tile: Region) -> tuple[Region, NDArray[np.float32]]:
            place = tuple(slice(t.start + r.start, t.stop + r.start) for t, r in zip(tile, region, strict=True))
            return tile, self._tile(image, place)

        tiles = cores(shape, tile_shape(shape)) if out.size else []
        for tile, found in in_order(work, tiles, thread_count() if len(tiles) > 1 else 1):
            out[tile] = found
        return out

    def _tile(self, image: Image, core: Region) -> NDArray[np.float32]:
        grid = image.grid
        window = grow(core, self._halo(grid), grid.spatial_shape)
        seen = image.window(window)
        cut = Image(seen.data, window_grid(grid, window), seen.channels)
        return np.asarray(self._compute(cut)[inside(core, window)])


def load_pixel_model(path: str | Path, sha256: str = "") -> PixelModel:
    """Return the model in a file: one that was trained here, or the classifier of a project of ilastik.

    Raises
    ------
    InputError
        When the file can't be read, is no such model, or has another hash.
    """
    checked_sha256(Path(path), sha256)
    return PixelStep.opened(Path(path))


def load_density_model(path: str | Path, sha256: str = "") -> DensityModel:
    """Return the model in a file that was trained to count.

    Raises
    ------
    InputError
        When the file can't be read, is no such model, or has another hash.
    """
    checked_sha256(Path(path), sha256)
    return DensityStep.opened(Path(path))


def save_pixel_model(path: str | Path, model: PixelModel, *, overwrite: bool = False) -> Path:
    """Save a model to a file that a recipe can name."""
    return save_model(path, model.to_model(), overwrite=overwrite)


def save_density_model(path: str | Path, model: DensityModel, *, overwrite: bool = False) -> Path:
    """Save a model to a file that a recipe can name."""
    return save_model(path, model.to_model(), overwrite=overwrite)
