"""The file of a trained network: weights, graph and card in the safetensors format, from which no code is ever run.

One file is all that is needed to use the network with any engine. The card says what it is made of, what it learned
from and how well it does; a SHA-256 of all of it shows damage. Whatever a file holds is checked before it is used.
"""

from __future__ import annotations

import itertools
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ValidationError

from segmentry.errors import InputError
from segmentry.learn.calibration import Calibration
from segmentry.learn.families import Family, expected_weights, parsed_family
from segmentry.learn.int8 import Ranges
from segmentry.learn.onnx_graph import read_graph
from segmentry.learn.representation import Representation, representations
from segmentry.learn.safe_file import checked_content, is_line, read_safely, refusing, shortened, write_safely
from segmentry.learn.scaling import Scaling
from segmentry.learn.weights import check_weights
from segmentry.parameters import explained

__all__ = ["FORMAT", "Network", "load_network", "save_network"]

FORMAT = 1
_KIND = "network"
#: Name of the array that is the graph, and start of those of the ranges; no weight has such names.
_GRAPH, _RANGE = "graph.onnx", "range/"
#: Bytes of a graph without weights, and pixels of a tile along an axis.
_MOST_GRAPH, _LONGEST_TILE = 2**24, 2**16
_PARTS: dict[str, Any] = {
    "kind": str,
    "architecture": dict,
    "representation": str,
    "parameters": dict,
    "names": list,
    "channels": list,
    "scaling": dict,
    "spacing": list | None,
    "unit": str | None,
    "tile": list,
    "card": dict,
    "diameter": float | None,
    "calibration": list,
}

M = TypeVar("M", bound=BaseModel)


@dataclass(frozen=True, eq=False)
class Network:
    """A network that has learned, and what must be known to use it.

    Parameters
    ----------
    architecture
        What it is made of.
    representation
        What of labels it tells.
    names
        Names of the classes, the background first.
    channels
        Names of the image's channels; empty where they have none.
    scaling
        How intensities become the numbers that it sees.
    spacing, unit
        Size of a pixel that images are brought to; ``None``: they stay as they are.
    tile
        Length along each axis of what it is best run on.
    card
        Where it comes from, how it may be used and how well it does, as plain data.
    arrays
        Its weights, float32, by the names that :func:`segmentry.learn.weights.expected_weights` gives.
    graph
        What it computes, in the ONNX format, without the weights; empty where torch alone can run it.
    diameter
        Length of the objects that it learned from, the median, in pixels at its spacing; ``None``: not known.
    calibration
        What scores of objects stand for, as :func:`segmentry.learn.calibration.calibration` found it.
    ranges
        Least and greatest number that comes into convolutions, by the names of their weights; none: it was not made
        ready for 8 bit.
    """

    architecture: Family
    representation: Representation
    names: tuple[str, ...]
    channels: tuple[str, ...]
    scaling: Scaling
    spacing: tuple[float, ...] | None
    unit: str | None
    tile: tuple[int, ...]
    card: Mapping[str, Any] = field(repr=False)
    arrays: Mapping[str, NDArray[Any]] = field(repr=False)
    graph: bytes = field(default=b"", repr=False)
    ranges: Ranges = field(default_factory=dict, repr=False)
    diameter: float | None = None
    calibration: Calibration = field(default=(), repr=False)

    @property
    def multiple(self) -> tuple[int, ...]:
        """What the lengths of an image must be multiples of, per axis."""
        return self.architecture.multiple

    def __post_init__(self) -> None:
        self._check_words()
        self._check_lengths()
        check_weights(self.arrays, expected_weights(self.architecture))
        self._check_scores()
        self._check_ranges()
        if self.graph:
            self._check_graph()

    def _check_words(self) -> None:
        for text in (*self.names, *(name for name in self.channels if name != ""), *([self.unit] if self.unit else [])):
            if not is_line(text):
                raise InputError(f"a name in a network must be a line of text; got {shortened(text)}")
        if not self.names or len(set(self.names)) < len(self.names):
            raise InputError(f"a network needs different names of its classes; got {shortened(self.names)}")
        if len(self.channels) != self.architecture.channels:
            raise InputError(f"a network of {self.architecture.channels} channels needs as many names of channels")
        if not isinstance(self.card, Mapping):
            raise InputError(f"the card of a network must be a mapping; got {shortened(self.card)}")

    def _check_lengths(self) -> None:
        plan = self.architecture
        heads = self.representation.heads(self.names, plan.dimensions)
        asked = sum(head.channels for head in heads)
        if asked != plan.outputs:
            raise InputError(
                f"{self.representation.name} of {len(self.names)} classes takes {asked} numbers per pixel; the network"
                f" gives {plan.outputs}"
            )
        if self.scaling.by == "fixed" and len(self.scaling.fixed) != plan.channels:
            raise InputError(f"fixed scaling of {len(self.scaling.fixed)} channels; the network has {plan.channels}")
        if (self.spacing is None) != (self.unit is None):
            raise InputError("a network's spacing and its unit must be given together")
        for size in self.spacing or ():
            if not isinstance(size, (int, float)) or not math.isfinite(size) or not size > 0:
                raise InputError(f"the spacing must be of numbers above 0; got {shortened(self.spacing)}")
        for length, step in zip(self.tile, plan.multiple, strict=False):
            if type(length) is not int or not 0 < length <= _LONGEST_TILE or length % step:
                raise InputError(f"the lengths of a tile must be multiples of {plan.multiple}; got {self.tile}")
        for lengths in (self.tile, self.spacing or self.tile):
            if len(lengths) != plan.dimensions:
                raise InputError(f"tile and spacing need a number for each of {plan.dimensions} axes; got {lengths}")

    def _check_scores(self) -> None:
        if self.diameter is not None and not 0 < self.diameter < _LONGEST_TILE:
            raise InputError(f"the diameter must be of some pixels; it is {self.diameter:g}")
        points = [(-math.inf, 0.0), *self.calibration]
        for before, point in itertools.pairwise(points):
            fits = len(point) == 2 and all(type(n) is float and 0 <= n <= 1 for n in point)
            if not fits or not (before[0] < point[0] and before[1] <= point[1]):
                raise InputError(f"the calibration must be pairs of rising numbers of 0 to 1; got {shortened(point)}")

    def _check_ranges(self) -> None:
        for name, (low, high) in self.ranges.items():
            if name not in self.arrays or self.arrays[name].ndim != self.architecture.dimensions + 2:
                raise InputError(f"a range is given for {shortened(name)}, which is no weight of a convolution")
            if not (math.isfinite(low) and math.isfinite(high) and low <= 0 <= high):
                raise InputError(f"the range of {name} must hold 0 and be finite; it is {low:g} to {high:g}")

    def _check_graph(self) -> None:
        if len(self.graph) > _MOST_GRAPH:
            raise InputError(f"a graph without weights may have {_MOST_GRAPH:,} bytes; this has {len(self.graph):,}")
        found = read_graph(self.graph, self.arrays)
        plan = self.architecture
        ends = [(*found.inputs, None)[0], (*found.outputs, None)[0]]
        for end, channels in zip(ends, (plan.channels, plan.outputs), strict=True):
            fits = end and len(end.shape) == plan.dimensions + 2 and end.kind == 1 and end.shape[1] in (channels, None)
            if not fits or len(found.inputs) != 1 or len(found.outputs) != 1:
                raise InputError("the graph takes or gives something else than the architecture says")


def save_network(path: str | os.PathLike[str], network: Network, overwrite: bool = False) -> Path:
    """Write a network to a file, which appears whole or not at all.

    Raises
    ------
    OutputError
        When the file exists and may not be replaced, or can't be written.
    InputError
        When the card holds something that is no plain data.
    """
    said = {
        "format": FORMAT,
        "kind": _KIND,
        "architecture": network.architecture.model_dump(mode="json"),
        "representation": network.representation.name,
        "parameters": network.representation.model_dump(mode="json"),
        "names": list(network.names),
        "channels": list(network.channels),
        "scaling": network.scaling.model_dump(mode="json"),
        "spacing": None if network.spacing is None else [float(size) for size in network.spacing],
        "unit": network.unit,
        "tile": list(network.tile),
        "card": dict(network.card),
        "diameter": network.diameter,
        "calibration": [list(point) for point in network.calibration],
    }
    arrays = dict(network.arrays)
    if network.graph:
        arrays[_GRAPH] = np.frombuffer(network.graph, np.uint8)
    arrays |= {_RANGE + name: np.array(ends, np.float32) for name, ends in network.ranges.items()}
    return write_safely(path, said, arrays, _KIND, overwrite)


def load_network(path: str | os.PathLike[str]) -> Network:
    """Read a network from a file; nothing in it is run.

    Raises
    ------
    InputError
        When it is no network, or damaged.
    """
    source = Path(path)
    with refusing(source, _KIND):
        return _network(*read_safely(source))


def _network(said: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> Network:
    if said.get("kind") != _KIND:
        raise InputError(f"it is {shortened(said.get('kind'))}, no network")
    checked_content(said, arrays, FORMAT, _PARTS)
    graph = arrays.pop(_GRAPH, np.zeros(0, np.uint8))
    if graph.dtype != np.uint8 or graph.ndim != 1:
        raise InputError("its graph is no row of bytes")
    ranges = {name.removeprefix(_RANGE): arrays.pop(name) for name in list(arrays) if name.startswith(_RANGE)}
    if any(ends.dtype != np.float32 or ends.shape != (2,) for ends in ranges.values()):
        raise InputError("a range is not two numbers")
    known = representations()
    if said["representation"] not in known:
        raise InputError(
            f"it tells {shortened(said['representation'])} of labels; this program knows {', '.join(known)}"
        )
    return Network(
        architecture=parsed_family(said["architecture"]),
        representation=_parsed(known[said["representation"]], said["parameters"]),
        names=tuple(said["names"]),
        channels=tuple(said["channels"]),
        scaling=_parsed(Scaling, said["scaling"]),
        spacing=None if said["spacing"] is None else tuple(said["spacing"]),
        unit=said["unit"],
        tile=tuple(said["tile"]),
        card=said["card"],
        diameter=said["diameter"],
        calibration=tuple(tuple(point) for point in said["calibration"]),
        arrays=arrays,
        graph=graph.tobytes(),
        ranges={name: (float(ends[0]), float(ends[1])) for name, ends in ranges.items()},
    )


def _parsed(kind: type[M], said: dict[str, Any]) -> M:
    try:
        return kind.model_validate(said)
    except ValidationError as error:
        raise InputError(explained(kind.__name__.lower(), list(kind.model_fields), error)) from None
