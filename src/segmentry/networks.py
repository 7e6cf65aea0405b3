"""Steps that run a network which was trained: a file that a recipe names, or a network in memory."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

import numpy as np
from pydantic import Field, PrivateAttr

from segmentry.errors import InputError
from segmentry.image import Grid, Image
from segmentry.labelling import Store
from segmentry.learn.engines import Engine, engine
from segmentry.learn.network_file import Network, load_network
from segmentry.learn.prediction import Predictor
from segmentry.overview import Overview
from segmentry.resampling import Interpolated, at_spacing
from segmentry.result import Result
from segmentry.selection import selected
from segmentry.step import Segmenter, Task
from segmentry.tiling import slabs
from segmentry.trained import TrainedStep
from segmentry.workspace import new_array

__all__ = ["DEVICE", "NetworkStep"]

#: Environment variable that says where networks run: `auto`, `cpu`, `cuda`.
DEVICE = "SEGMENTRY_DEVICE"


class NetworkStep(TrainedStep, Segmenter):
    """A method that runs a network; what it gives, the network's representation decides."""

    colour: ClassVar[bool] = True
    predicts: ClassVar[bool] = True
    sources: ClassVar[str] = "a file that `segmentry train` made"

    engine: Literal["auto", "onnxruntime", "openvino", "torch"] = Field(
        "auto", description="What runs the network; `auto`: the fastest that is there."
    )
    precision: Literal["float32", "int8"] = Field(
        "float32",
        description="`int8`: convolutions in 8 bit, by OpenVINO, for a network that `segmentry weights int8` made"
        " ready; several times as fast, and a little off.",
    )
    overlap: float = Field(0.25, ge=0, le=0.9, description="Share of a tile that it has in common with the next.")
    flips: bool = Field(False, description="Whether it also sees each tile mirrored, and tells the mean: slower.")
    scale_: tuple[tuple[float, float], ...] | None = Field(
        None, description="What is subtracted from the intensities of each channel, and what they are divided by."
    )

    _runs: Any = PrivateAttr(None)

    def knowledge(self) -> Network:
        """Return the network, read when it is first asked for."""
        known: Network = super().knowledge()
        return known

    @staticmethod
    def opened(source: Path) -> Network:
        """Return the network in a file."""
        return load_network(source)

    def gives(self) -> Task:
        return self.knowledge().representation.task

    def fits(self) -> tuple[int, ...]:
        return (self.knowledge().architecture.dimensions,)

    def halo(self, grid: Grid) -> tuple[int, ...]:
        return self.knowledge().representation.halo(grid)

    def check(self, image: Image) -> None:
        if image.grid.spatial == "ZYX" and self.fits() == (2,):
            raise InputError(
                f"{self.name}: the network was trained on planes, the image is a volume: segment it plane by plane "
                "(--planes)"
            )
        super().check(image)
        self._seen(image)

    def prepare(self, overview: Overview) -> Self:
        ready = self.model_copy()
        known = ready.knowledge()
        seen = ready._seen(overview.image)
        scale = known.scaling.measured(Overview(at_spacing(seen, known.spacing, known.unit)))
        return ready.model_copy(update={"sha256_": ready._found, "scale_": scale})

    def predicted(self, image: Image) -> int:
        return self.knowledge().architecture.outputs

    def predict(self, image: Image, into: Store, tell: Callable[[float], None]) -> None:
        known, seen = self.knowledge(), self._seen(image)
        resampled = at_spacing(seen, known.spacing, known.unit)
        predictor = self._predictor()
        assert self.scale_ is not None
        if resampled is seen:
            predictor.predict(seen, self.scale_, into, tell)
            return
        maps = new_array((known.architecture.outputs, *resampled.grid.spatial_shape), np.float32)
        predictor.predict(resampled, self.scale_, maps, tell)
        back = Interpolated(maps, into.shape)
        for region in slabs(into.shape):
            into[region] = back[region]

    def decode(self, maps: Image) -> Result:
        known = self.knowledge()
        return known.representation.decode(maps.read(), maps.grid.without("C"), known.names)

    def segment(self, image: Image) -> Result:
        ready = self.prepared(image)
        grid = image.grid.with_axis("C", ready.predicted(image))
        maps = np.zeros(grid.shape, np.float32)
        ready.predict(image, maps, lambda _: None)
        return ready.decode(Image(maps, grid))

    def runs_on(self) -> str:
        return self._runner().device

    def _runner(self) -> Engine:
        if self._runs is None:
            self._runs = engine(self.knowledge(), self.engine, os.environ.get(DEVICE, "auto"), precision=self.precision)
        found: Engine = self._runs
        return found

    def _predictor(self) -> Predictor:
        known = self.knowledge()
        heads = known.representation.heads(known.names, known.architecture.dimensions)
        return Predictor(
            self._runner(), heads, known.scaling, known.tile, known.architecture.multiple, self.overlap, self.flips
        )

    def _seen(self, image: Image) -> Image:
        """Return the channels that the network knows.

        Raises
        ------
        InputError
            When names don't tell them and the image has another number of channels.
        """
        known, here = self.knowledge().channels, image.channels
        if len(known) == 1 and image.is_rgb:
            return selected(image, None, False, [])
        if here == known or len(here or ("",)) == len(known):
            return image
        if set(known) <= set(here):
            return _picked(image, known)
        names = f" ({', '.join(known)})" if any(known) else ""
        raise InputError(
            f"{self.name}: the network was trained on {len(known)} channel{'s' * (len(known) > 1)}{names}; "
            f"the image has {len(here or ('',))}: choose the channels that it knows"
        )


def _picked(image: Image, names: Sequence[str]) -> Image:
    """Return some channels of an image, in an order."""
    grid = image.grid.with_axis("C", len(names))
    return Image(_Channels(image, [image.channels.index(n) for n in names]), grid, tuple(names), image.name)


class _Channels:
    """Some channels of an image."""

    def __init__(self, image: Image, numbers: Sequence[int]) -> None:
        self._image, self._numbers, self._axis = image, list(numbers), image.grid.axes.index("C")
        self.shape = image.grid.with_axis("C", len(self._numbers)).shape
        self.dtype = image.dtype

    def __getitem__(self, key: tuple[slice, ...]) -> Any:
        chosen = self._numbers[key[self._axis]]
        parts = []
        for number in chosen:
            place = (*key[: self._axis], slice(number, number + 1), *key[self._axis + 1 :])
            parts.append(self._image.read(place))
        return np.concatenate(parts, axis=self._axis)
