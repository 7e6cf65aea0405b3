"""What a network is asked to tell of each pixel, how that is made of labels, and how objects or classes come back.

That is all that differs between dense methods. A representation makes maps of labels (``encode``), says by which heads
a network learns them, and makes a result of the maps that it predicts (``decode``); ``decode(encode(labels))`` gives
the labels again, as far as the representation can tell them.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType
from typing import Any, ClassVar, Literal, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from segmentry.errors import UnknownNameError, nearest
from segmentry.image import Array, Grid, Region
from segmentry.resampling import Interpolated
from segmentry.result import Instances, Semantic

__all__ = [
    "UNLABELLED",
    "Head",
    "Maps",
    "Representation",
    "Survey",
    "activated",
    "offsets",
    "representation",
    "representations",
]

#: Class of a pixel that nobody told the class of.
UNLABELLED = -1

#: A map per head, by its name: classes as int64 (*spatial); others as float32 (channels, *spatial), NaN where nothing
#: is known.
Maps: TypeAlias = dict[str, NDArray[np.int64] | NDArray[np.float32]]


@dataclass(frozen=True)
class Head:
    """A part of what comes out of a network.

    Parameters
    ----------
    name
        Of the map that it learns.
    kind
        ``classes``: one of several, each with its probability; ``shares``: numbers of 0 … 1; ``numbers``: any.
    channels
        How many.
    weight
        How much it counts beside the others.
    """

    name: str
    kind: Literal["classes", "shares", "numbers"]
    channels: int
    weight: float = 1.0


class Survey(Protocol):
    """What is known of a whole image before windows of it are decoded."""

    def within(self, region: Region) -> Any:
        """Return what is known, for a window."""


class Representation(BaseModel):
    """What of labels is learned, with its parameters.

    Class attributes
    ----------------
    name, task, source
        Its name, which kind of result it gives, and where it was published.
    shapes
        Which objects come back from their maps: of any shape, or round ones, about.
    tunable
        Values of parameters of ``decode`` among which those are chosen that do best on images held out.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    name: ClassVar[str]
    task: ClassVar[Literal["semantic", "instances"]]
    source: ClassVar[str] = ""
    shapes: ClassVar[Literal["any", "round"]] = "any"
    tunable: ClassVar[Mapping[str, tuple[float | str, ...]]] = {}

    def heads(self, names: Sequence[str], dimensions: int) -> tuple[Head, ...]:
        """Return what a network must tell, for classes of such names (the background first) in so many dimensions."""
        raise NotImplementedError

    def encode(self, labels: NDArray[np.int64], spacing: Sequence[float]) -> Maps:
        """Return the maps of labels.

        Parameters
        ----------
        labels : (*spatial) int64 array
            Classes or ids; 0 for background, :data:`UNLABELLED` where nothing is known.
        spacing
            Size of a pixel along each axis; only the ratios matter.
        """
        raise NotImplementedError

    def survey(self, maps: Array, grid: Grid) -> Survey | None:
        """Return what must be known of all maps, which may be lazy, before a window is decoded; most need nothing.

        Parameters
        ----------
        maps, grid
            As for :meth:`decode`, of the whole image at one time point.
        """
        return None

    def decode(
        self, maps: NDArray[np.float32], grid: Grid, names: Sequence[str], survey: Any = None
    ) -> Semantic | Instances:
        """Return the result that maps stand for.

        Parameters
        ----------
        maps : (channels, *spatial) float32 array
            Of all heads in their order, as :func:`activated` gives them.
        grid
            Of the result, without channels.
        names
            Of the classes, the background first.
        survey
            What :meth:`survey` gave, within the window; not needed where the maps are those of the whole image.
        """
        raise NotImplementedError

    def mirrored(self, maps: NDArray[np.float32], axes: tuple[int, ...]) -> NDArray[np.float32]:
        """Return the maps of an image, made of those of its mirror image; only directions must be turned.

        Parameters
        ----------
        maps : (channels, *spatial) array
            Of the image mirrored along `axes`, and mirrored back.
        """
        return maps

    def lengths(self, zoom: Sequence[float], spacing: Sequence[float]) -> NDArray[np.float32]:
        """Return what the first maps are multiplied by to be those of an image of other pixels: lengths are in pixels.

        Parameters
        ----------
        zoom
            How many times more pixels the image has that the maps were told of, along each axis.
        spacing
            Size of its pixels; only the ratios matter.

        Returns
        -------
        A number for each of the first channels; none where no map has lengths in pixels.
        """
        return np.ones(0, np.float32)

    def resized(self, maps: Array, shape: Sequence[int], spacing: Sequence[float]) -> Array:
        """Return maps as they are for an image of other pixels, computed when they are sliced.

        Parameters
        ----------
        maps : (channels, *spatial) array
            It may be lazy.
        shape
            Of the result, with the channels.
        spacing
            Size of the pixels that the maps were told of; only the ratios matter.
        """
        zoom = [n / m for n, m in zip(maps.shape[1:], shape[1:], strict=True)]
        return _Scaled(Interpolated(maps, shape), self.lengths(zoom, spacing))

    def halo(self, grid: Grid) -> tuple[int, ...]:
        """Return how far around a pixel, or around the connected foreground that an object lies in, it looks."""
        return (0,) * len(grid.spatial)


class _Scaled:
    """Maps of which the first are multiplied by numbers."""

    def __init__(self, maps: Array, factors: NDArray[np.float32]) -> None:
        self._maps, self.shape, self.dtype = maps, maps.shape, np.dtype(np.float32)
        self._factors = np.ones(maps.shape[0], np.float32)
        self._factors[: len(factors)] = factors

    def __getitem__(self, key: Region) -> NDArray[np.float32]:
        factors = self._factors[key[0]].reshape(-1, *(1,) * (len(self.shape) - 1))
        return np.asarray(self._maps[key], np.float32) * factors


def offsets(heads: Sequence[Head]) -> dict[str, slice]:
    """Return where in the channels of a network the numbers of each head stand."""
    found, start = {}, 0
    for head in heads:
        found[head.name] = slice(start, start + head.channels)
        start += head.channels
    return found


def activated(scores: NDArray[np.float32], heads: Sequence[Head]) -> NDArray[np.float32]:
    """Turn the scores of a network, in place, into probabilities of classes, shares and numbers.

    Parameters
    ----------
    scores : (channels, *spatial) array
        As the network gives them.
    """
    for head in heads:
        part = scores[offsets(heads)[head.name]]
        if head.kind == "classes":
            part -= part.max(axis=0)
            np.exp(part, out=part)
            part /= part.sum(axis=0)
        elif head.kind == "shares":
            np.negative(part, out=part)
            np.exp(np.minimum(part, 80, out=part), out=part)
            part += 1
            np.reciprocal(part, out=part)
    return scores


@cache
def representations() -> Mapping[str, type[Representation]]:
    """Return all representations by name: one for each module of the package ``representations``."""
    package = importlib.import_module("segmentry.learn.representations")
    found = {}
    for info in pkgutil.iter_modules(package.__path__):
        module = importlib.import_module(f"{package.__name__}.{info.name}")
        for one in vars(module).values():
            if isinstance(one, type) and issubclass(one, Representation) and getattr(one, "name", None) == info.name:
                found[info.name] = one
    return MappingProxyType(found)


def representation(name: str, **parameters: object) -> Representation:
    """Return a representation by its name.

    Raises
    ------
    UnknownNameError
        When there is none of this name.
    """
    known = representations()
    if name not in known:
        raise UnknownNameError(f"there is no representation {name!r}{nearest(name, list(known))}")
    return known[name](**parameters)
