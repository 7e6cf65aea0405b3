"""Steps that need a model which was trained: a file that a recipe names, or a model in memory."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, PrivateAttr

from segmentry.density_counting import DensityModel
from segmentry.errors import InputError, ParameterError, one_line
from segmentry.ilastik import open_project
from segmentry.image import Grid, Image, Region
from segmentry.io.hdf5 import MAGIC
from segmentry.learn.model_file import load_model, save_model
from segmentry.overview import Overview
from segmentry.pixel_classification import PixelModel
from segmentry.step import Step
from segmentry.tiling import cores, grow, in_order, inside, thread_count, tile_shape, window_grid

__all__ = [
    "Computed",
    "DensityStep",
    "PixelStep",
    "TrainedStep",
    "checked_sha256",
    "file_sha256",
    "load_density_model",
    "load_pixel_model",
    "save_density_model",
    "save_pixel_model",
]


class TrainedStep(Step):
    """A step that needs a trained model; its subclasses say of which kind."""

    trained: ClassVar[bool] = True

    #: Where a model comes from.
    sources: ClassVar[str]

    model: str = Field(default="", max_length=4096, description="File of a trained model (`segmentry train`).")
    sha256: str = Field(
        default="", pattern="^([0-9a-f]{64})?$", description="SHA-256 that the file must have; empty: any."
    )
    sha256_: str | None = Field(default=None, description="SHA-256 of the model that was used.")

    _known: Any = PrivateAttr(None)
    _found: str = PrivateAttr("")

    def __eq__(self, other: object) -> bool:
        """Whether parameters are the same, and the model where it is in memory."""
        if not isinstance(other, TrainedStep) or type(self) is not type(other):
            return NotImplemented
        return self.model_dump() == other.model_dump() and (bool(self.model) or self._known is other._known)

    def __hash__(self) -> int:
        return hash(self.model_dump_json())

    @classmethod
    def with_model(cls, model: Any, **parameters: Any) -> Self:
        """Return the step with a model that is in memory."""
        step = cls(**parameters)
        step._known = model
        return step

    def knowledge(self) -> Any:
        """Return the model, read when it is first asked for.

        Raises
        ------
        ParameterError
            When none is named.
        InputError
            When the file can't be read, is no such model, or another than the one that is meant.
        """
        if self._known is None:
            if not self.model:
                raise ParameterError(f"{self.name} needs a model: set model to {self.sources}")
            self._found = checked_sha256(Path(self.model), self.sha256_ or self.sha256)
            self._known = self.opened(Path(self.model))
        return self._known

    @classmethod
    def opened(cls, source: Path) -> Any:
        """Return the model in a file."""
        raise NotImplementedError

    def prepare(self, overview: Overview) -> Self:
        ready = self.model_copy()
        if self.model and self._known is not None and self._found != file_sha256(Path(self.model)):
            ready._known = None  # the file has been replaced since it was read
        ready.knowledge().picked(ready.seen(overview.image))
        return ready.model_copy(update={"sha256_": ready._found})

    def seen(self, image: Image) -> Image:
        """Return what the model sees of an image: all of it, or a channel that was chosen."""
        return image

    def reach(self, grid: Grid) -> tuple[int, ...]:
        """Return how far the model looks."""
        found: tuple[int, ...] = self.knowledge().halo(grid)
        return found


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


def checked_sha256(source: Path, sha256: str = "") -> str:
    """Return the SHA-256 of the file of a model, which must be the one that is meant, where one is."""
    found = file_sha256(source)
    if sha256 and found != sha256:
        raise InputError(
            f"the model {source} is another than the recipe means: sha256 {found[:12]}…, not {sha256[:12]}…"
        )
    return found


def save_pixel_model(path: str | Path, model: PixelModel, *, overwrite: bool = False) -> Path:
    """Save a model to a file that a recipe can name."""
    return save_model(path, model.to_model(), overwrite=overwrite)


def save_density_model(path: str | Path, model: DensityModel, *, overwrite: bool = False) -> Path:
    """Save a model to a file that a recipe can name."""
    return save_model(path, model.to_model(), overwrite=overwrite)


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of the file of a model.

    Raises
    ------
    InputError
        When there is no such file, or it can't be read.
    """
    if not path.is_file():
        raise InputError(f"the model {path} does not exist{' as a file' if path.exists() else ''}")
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise InputError(f"the model {path} can't be read: {one_line(error)}") from error
