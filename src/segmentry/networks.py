"""Steps that run a network which was trained: a file that a recipe names, or a network in memory."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar, Literal, Self
from weakref import WeakKeyDictionary

import numpy as np
from pydantic import Field, PrivateAttr

from segmentry.errors import InputError, ParameterError
from segmentry.image import Array, Grid, Image
from segmentry.labelling import Store
from segmentry.learn.calibration import calibrated
from segmentry.learn.engines import Engine, engine
from segmentry.learn.network_file import Network, load_network
from segmentry.learn.objects import diameters
from segmentry.learn.prediction import Predictor
from segmentry.learn.representation import Representation
from segmentry.length import Length
from segmentry.mapping import MapSegmenter
from segmentry.overview import Overview
from segmentry.resampling import at_spacing, zoomed
from segmentry.result import Instances, Result
from segmentry.selection import channels_first, selected
from segmentry.step import Task
from segmentry.tiling import slabs, thread_count, window_grid
from segmentry.trained import TrainedStep, file_sha256
from segmentry.workspace import new_array

__all__ = ["DEVICE", "SMALLEST_ZOOM", "NetworkStep", "on_device", "picked"]

#: Environment variable that says where networks run: `auto`, `cpu`, `cuda`.
DEVICE = "SEGMENTRY_DEVICE"
#: Images are made so many times smaller at the most, or larger.
SMALLEST_ZOOM = 1 / 16
#: Networks that are ready to run, for as long as they are in use.
_ENGINES: WeakKeyDictionary[Network, dict[tuple[str, str, str, int], Engine]] = WeakKeyDictionary()
#: The diameter is found out by so many looks at the most, until it changes by less than this.
LOOKS, ALIKE = 3, 1.15


class NetworkStep(TrainedStep, MapSegmenter):
    """A method that runs a network; what it gives, the network's representation decides."""

    colour: ClassVar[bool] = True
    sources: ClassVar[str] = "a file that `segmentry train` made"
    #: Names of the representations that the method makes objects of; none: any.
    tells: ClassVar[tuple[str, ...]] = ()
    #: Where the diameter is found out: so many pixels in the middle, by the number of axes.
    look: ClassVar[dict[int, tuple[int, ...]]] = {2: (1024, 1024), 3: (48, 256, 256)}

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
    diameter: Length | None = Field(
        None,
        description="Diameter of the objects, in pixels or as `8 um`: images are resized so that it becomes that which"
        " the network knows. None: pixels are taken as they are, or by their size where the network and the image have"
        " one.",
    )
    estimate_diameter: bool = Field(
        False, description="Whether the diameter is found out, by looking at the middle of the image first."
    )
    zoom_: float | None = Field(None, gt=0, description="How many times larger images are seen than they are.")
    scale_: tuple[tuple[float, float], ...] | None = Field(
        None, description="What is subtracted from the intensities of each channel, and what they are divided by."
    )

    #: What was seen when the diameter was found out.
    _look: _Look | None = PrivateAttr(None)

    def knowledge(self) -> Network:
        """Return the network, read when it is first asked for."""
        known: Network = super().knowledge()
        return known

    @classmethod
    def opened(cls, source: Path) -> Network:
        """Return the network in a file.

        Raises
        ------
        InputError
            When it is none, or tells what this method makes no objects of.
        """
        found = _read(source, file_sha256(source))
        if cls.tells and found.representation.name not in cls.tells:
            raise InputError(
                f"{source} tells {found.representation.name}, and {cls.name} needs {' or '.join(cls.tells)}:"
                " the method unet runs any network"
            )
        return found

    def representing(self) -> Representation:
        """Return what the maps of the network stand for, with the parameters that are asked for."""
        return self.knowledge().representation

    def adjusted(self, *names: str) -> Representation:
        """Return what the maps stand for, with those of this step's parameters that are not none."""
        asked = {name: value for name in names if (value := getattr(self, name)) is not None}
        return self.knowledge().representation.model_copy(update=asked)

    def gives(self) -> Task:
        return self.knowledge().representation.task

    def fits(self) -> tuple[int, ...]:
        return (self.knowledge().architecture.dimensions,)

    def halo(self, grid: Grid) -> tuple[int, ...]:
        return self.representing().halo(grid)

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
        seen, frame = ready._seen(overview.image), ready._seen(overview.frame)
        ready = ready.model_copy(update={"sha256_": ready._found, "zoom_": ready._zoom(frame.grid)})
        ready = ready.model_copy(update={"scale_": known.scaling.measured(Overview(ready._resized(seen)))})
        return ready._estimated(frame) if self.estimate_diameter and self.diameter is None else ready

    def predicted(self, image: Image) -> int:
        return self.knowledge().architecture.outputs

    def predict(self, image: Image, into: Store, tell: Callable[[float], None]) -> None:
        known, seen = self.knowledge(), self._seen(image)
        resampled = self._resized(seen)
        predictor = self._predictor()
        assert self.scale_ is not None
        if resampled is seen:
            predictor.predict(seen, self.scale_, into, tell)
            return
        maps = new_array((known.architecture.outputs, *resampled.grid.spatial_shape), np.float32)
        predictor.predict(resampled, self.scale_, maps, tell)
        back = self.representing().resized(maps, into.shape, resampled.grid.anisotropy)
        for region in slabs(into.shape):
            into[region] = back[region]

    def foreseen(self, image: Image) -> Array | None:
        look = self._look
        return look.maps.data if look is not None and _same(image, look.image) else None

    def survey(self, maps: Image) -> Any:
        if self._look is not None and _same(maps, self._look.maps):
            return self._look.survey
        return self.representing().survey(maps.data, maps.grid.without("C"))

    def decode(self, maps: Image, survey: Any = None) -> Result:
        look, self._look = self._look, None
        if look is not None and _same(maps, look.maps):
            return look.result
        known = self.knowledge()
        found = self.representing().decode(maps.read(), maps.grid.without("C"), known.names, survey)
        if isinstance(found, Instances) and found.scores is not None and known.calibration:
            return replace(found, scores=calibrated(found.scores, known.calibration))
        return found

    def segment(self, image: Image) -> Result:
        ready = self.prepared(image)
        return ready.decode(ready._maps(image))

    def _maps(self, image: Image) -> Image:
        """Return the maps of an image, in memory."""
        grid = image.grid.with_axis("C", self.predicted(image))
        maps = np.zeros(grid.shape, np.float32)
        self.predict(image, maps, lambda _: None)
        return Image(maps, grid)

    def runs_on(self) -> str:
        return self._runner().device

    def _runner(self) -> Engine:
        made = _ENGINES.setdefault(self.knowledge(), {})
        asked = (self.engine, os.environ.get(DEVICE, "auto"), self.precision, thread_count())
        if asked not in made:
            made[asked] = engine(self.knowledge(), asked[0], asked[1], precision=self.precision)
        return made[asked]

    def _predictor(self) -> Predictor:
        return Predictor.of(self.knowledge(), self._runner(), self.overlap, self.flips)

    def _zoom(self, grid: Grid) -> float:
        """Return how many times larger images are seen, as a diameter says."""
        if self.diameter is None:
            return 1.0
        known, asked = self.knowledge().diameter, min(self.diameter.pixels(grid))
        if known is None:
            raise ParameterError(f"{self.name}: the network does not know of which diameter its objects were")
        if not asked > 0 or not SMALLEST_ZOOM <= known / asked <= 1 / SMALLEST_ZOOM:
            raise ParameterError(
                f"{self.name}: diameter {self.diameter} is {asked:g} pixels; the network knows {known:g}, and"
                f" images can be resized by {1 / SMALLEST_ZOOM:g} times"
            )
        return known / asked

    def _fitting_zoom(self, diameter: float, grid: Grid) -> float:
        """Return how many times larger images are seen whose objects have a diameter, of as many pixels as it fills."""
        known = self.knowledge().diameter
        assert known is not None
        return min(max(known / diameter, SMALLEST_ZOOM), 1 / SMALLEST_ZOOM)

    def _resized(self, image: Image) -> Image:
        """Return an image as the network sees it: at its pixel size, or with objects of its diameter."""
        if self.diameter is not None or self.estimate_diameter:
            return zoomed(image, self.zoom_ or 1.0)
        known = self.knowledge()
        return at_spacing(image, known.spacing, known.unit)

    def _estimated(self, still: Image) -> Self:
        """Return a copy that sees images so that their objects, in the middle of the first, have the right diameter."""
        if self.knowledge().diameter is None or self.gives() != "instances":
            raise ParameterError(f"{self.name}: the network does not know of which diameter its objects were")
        shape, ndim = still.grid.spatial_shape, len(still.grid.spatial)
        whole = all(n <= m for n, m in zip(shape, self.knowledge().tile, strict=True))
        looked = shape if whole else self.look[ndim]
        middle = tuple(slice(max(0, (n - m) // 2), (n + m) // 2) for n, m in zip(shape, looked, strict=True))
        part = still.window(middle)
        part, found, towards = replace(part, grid=window_grid(still.grid, middle)), self, 0.0
        for _ in range(LOOKS):
            maps = found._maps(part)
            survey = found.survey(maps)
            result = found.decode(maps, survey)
            found._look = _Look(part, maps, survey, result) if whole else None
            sizes = np.bincount(np.asarray(result.instances().labels).ravel())[1:]
            if not sizes.any():
                break
            zoom = self._fitting_zoom(float(np.median(diameters(sizes[sizes > 0], ndim))), still.grid)
            step = math.log(zoom / (found.zoom_ or 1.0))
            if abs(step) < math.log(ALIKE) or step * towards < 0:
                break
            found, towards = found.model_copy(update={"zoom_": zoom}), step
            found._look = None
        return found

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
            return picked(image, [here.index(name) for name in known], known)
        if len(known) == 1:
            return selected(image, None, False, [])  # which says how one is chosen
        names = f" ({', '.join(known)})" if any(known) else ""
        raise InputError(
            f"{self.name}: the network was trained on {len(known)} channel{'s' * (len(known) > 1)}{names}; "
            f"the image has {len(here or ('',))}: choose the channels that it knows"
        )


@lru_cache(maxsize=4)
def _read(source: Path, _sha256: str) -> Network:
    """Return the network in a file, read once, so that what runs it is made once; the hash tells another file."""
    return load_network(source)


@dataclass(frozen=True, eq=False)
class _Look:
    """An image, the maps of it, what is known of all of them, and what they stand for."""

    image: Image
    maps: Image
    survey: Any
    result: Result


def _same(image: Image, other: Image) -> bool:
    """Return whether two images are the same numbers in memory, seen in the same way."""
    one, two = image.data, other.data
    if not isinstance(one, np.ndarray) or not isinstance(two, np.ndarray):
        return False
    return bool(
        one.__array_interface__ == two.__array_interface__
        and (image.grid.axes, image.grid.anisotropy) == (other.grid.axes, other.grid.anisotropy)
        and (image.channels, image.is_rgb) == (other.channels, other.is_rgb)
    )


@contextmanager
def on_device(name: str) -> Iterator[None]:
    """Have networks run on a device, as :data:`DEVICE` would say it."""
    before = os.environ.get(DEVICE, "auto")
    os.environ[DEVICE] = name
    try:
        yield
    finally:
        os.environ[DEVICE] = before


def picked(image: Image, numbers: Sequence[int | None], names: tuple[str, ...]) -> Image:
    """Return some channels of an image, in an order, under names; zeros instead of none."""
    whole = channels_first(image)
    grid = whole.grid.with_axis("C", len(numbers))
    return Image(_Channels(whole, numbers), grid, names, image.name)


class _Channels:
    """Some channels of an image."""

    def __init__(self, image: Image, numbers: Sequence[int | None]) -> None:
        self._image, self._numbers, self._axis = image, list(numbers), image.grid.axes.index("C")
        self.shape = image.grid.with_axis("C", len(self._numbers)).shape
        self.dtype = image.dtype

    def __getitem__(self, key: tuple[slice, ...]) -> Any:
        parts = []
        for number in self._numbers[key[self._axis]]:
            place = (*key[: self._axis], slice(number or 0, (number or 0) + 1), *key[self._axis + 1 :])
            part = self._image.read(place)
            parts.append(np.zeros_like(part) if number is None else part)
        return np.concatenate(parts, axis=self._axis)
