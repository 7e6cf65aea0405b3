"""Networks out of model packages of bioimage.io.

A package that this program wrote holds its own file, which is taken. Of others, those can be used that turn one image
into maps of its size by weights in the ONNX format, and whose intensities are scaled in one of the ways of
:class:`~segmentry.learn.scaling.Scaling`; any other is refused in a line that says why.
"""

from __future__ import annotations

import hashlib
import math
import tempfile
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from segmentry.errors import InputError
from segmentry.image import normalise_unit
from segmentry.learn.bioimage import NETWORK_FILE
from segmentry.learn.network_file import Network, load_network
from segmentry.learn.onnx_graph import read_graph
from segmentry.learn.representation import Head
from segmentry.learn.safe_file import is_line, plain_yaml, refusing, shortened
from segmentry.learn.scaling import Scaling

__all__ = ["PackagedNetwork", "load_bioimage"]

#: Bytes of a description and of a file in a package.
_MOST_WORDS, _MOST = 2**18, 2**31 - 1
#: How many times larger than in the package a file may be; weights hardly shrink.
_DENSEST = 100
#: Pixels along an axis that a network is run on at once, where it takes any number.
_TILE = {2: 512, 3: 96}
_LONGEST_TILE = 2**14
_KINDS: dict[str, Any] = {"softmax": "classes", "sigmoid": "shares"}


@dataclass(frozen=True, eq=False)
class PackagedNetwork:
    """A network that another program trained, which an engine can run.

    Parameters
    ----------
    name, description, licence
        As the package says.
    channels
        Names of the image's channels.
    heads
        What its maps are: one head, of classes, shares or numbers.
    names
        Names of the maps.
    scaling
        How intensities become the numbers that it sees.
    spacing, unit
        Size of a pixel that it was trained on; ``None`` where that is not told.
    multiple
        What the lengths of an image must be multiples of, per axis.
    tile
        Length along each axis of what it is best run on.
    graph
        What it computes, with its weights, in the ONNX format.
    """

    name: str
    description: str
    licence: str
    channels: tuple[str, ...]
    heads: tuple[Head, ...]
    names: tuple[str, ...]
    scaling: Scaling
    spacing: tuple[float, ...] | None
    unit: str | None
    multiple: tuple[int, ...]
    tile: tuple[int, ...]
    graph: bytes = field(repr=False)
    arrays: Mapping[str, NDArray[Any]] = field(default_factory=dict, repr=False)


def load_bioimage(path: str | PathLike[str]) -> Network | PackagedNetwork:
    """Read a network from a model package of bioimage.io; nothing in it is run.

    Raises
    ------
    InputError
        When it is no such package, it is damaged, or its network is of a kind that can't be used here.
    """
    source = Path(path)
    with refusing(source, "model package"):
        try:
            with zipfile.ZipFile(source) as archive:
                return _opened(archive)
        except (zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:
            raise InputError(f"it is no zip file that can be read: {error}") from error


def _opened(archive: zipfile.ZipFile) -> Network | PackagedNetwork:
    said = _described(_member(archive, "rdf.yaml", _MOST_WORDS))
    if NETWORK_FILE in archive.namelist():
        with tempfile.TemporaryDirectory() as folder:
            own = Path(folder, NETWORK_FILE)
            own.write_bytes(_member(archive, NETWORK_FILE, _MOST))
            return load_network(own)
    weights = _part(_part(said, "weights", dict), "onnx", dict, "weights in the ONNX format")
    if weights.get("external_data"):
        raise InputError("its weights are in two files, which are not read")
    graph = _member(archive, _part(weights, "source", str), _MOST)
    told = weights.get("sha256")
    if told is not None and told != hashlib.sha256(graph).hexdigest():
        raise InputError("it is damaged: the SHA-256 of its weights is another")
    return _packaged(said, graph)


def _described(text: bytes) -> dict[str, Any]:
    said = plain_yaml(text)
    if not isinstance(said, dict) or said.get("type") != "model":
        raise InputError("it describes no model")
    form = str(said.get("format_version"))
    if form.split(".")[:2] != ["0", "5"]:
        raise InputError(f"its description has format {form[:20]}; 0.5 is read")
    return said


def _packaged(said: dict[str, Any], graph: bytes) -> PackagedNetwork:
    found = read_graph(graph)
    ends = [_part(said, "inputs", list), _part(said, "outputs", list)]
    if [len(end) for end in ends] != [1, 1] or len(found.inputs) != 1 or len(found.outputs) != 1:
        raise InputError("it takes or gives several images; networks from one image to one are used")
    taken, given = (_mapping(end[0], "an input or output") for end in ends)
    places, results = _axes(taken), _axes(given)
    channels, spatial = _names(places[1], "channels"), places[2:]
    names = _names(results[1], "maps")
    if [_id(axis) for axis in spatial] != [_id(axis) for axis in results[2:]]:
        raise InputError("what it gives has other axes than what it takes")
    for end, known, count in ((found.inputs[0], channels, len(places)), (found.outputs[0], names, len(results))):
        if len(end.shape) != count or end.kind != 1 or end.shape[1] not in (len(known), None):
            raise InputError("its graph takes or gives something else than its description says")
    for axis in results[2:]:
        _check_same_size(axis, str(taken.get("id", "input")), spatial)
    lengths = [_lengths(axis, _TILE[len(spatial)]) for axis in spatial]
    spacing, unit = _spacing(spatial)
    kind = _kind(given.get("postprocessing") or [])
    return PackagedNetwork(
        name=_line(said.get("name")) or "network",
        description=_line(said.get("description")),
        licence=_line(said.get("license")),
        channels=channels,
        heads=(Head("maps", kind, len(names)),),
        names=names,
        scaling=_scaling(taken.get("preprocessing") or [], len(channels), [_id(axis) for axis in spatial]),
        spacing=spacing,
        unit=unit,
        multiple=tuple(step for step, _ in lengths),
        tile=tuple(tile for _, tile in lengths),
        graph=graph,
    )


def _axes(tensor: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the axes of an image or of maps: batch, channel, two or three of space."""
    axes = [_mapping(axis, "an axis") for axis in _part(tensor, "axes", list)]
    kinds = [axis.get("type") for axis in axes]
    spatial = [_id(axis) for axis in axes[2:]]
    if kinds[:2] != ["batch", "channel"] or set(kinds[2:]) != {"space"} or spatial not in (["y", "x"], ["z", "y", "x"]):
        raise InputError(f"its axes are {shortened(kinds)}; batch, channel, (z,) y, x are used")
    return axes


def _check_same_size(axis: dict[str, Any], image: str, spatial: Sequence[dict[str, Any]]) -> None:
    """Refuse an axis of the maps that is not as long as that of the image."""
    size = axis.get("size")
    same = next(one for one in spatial if _id(one) == _id(axis))
    if isinstance(size, dict):
        asked = size.get("tensor_id") == image and size.get("axis_id") == _id(axis) and not size.get("offset")
        fits = asked and axis.get("scale", 1.0) == same.get("scale", 1.0)
    else:
        fits = size == same.get("size")
    if not fits:
        raise InputError("its maps have another size than the image, which is not used")


def _lengths(axis: dict[str, Any], usual: int) -> tuple[int, int]:
    """Return what the length of an axis must be a multiple of, and how long it is best."""
    size = axis.get("size")
    if isinstance(size, dict):
        least, step = (_whole(size.get(key)) for key in ("min", "step"))
        if least % step:
            raise InputError(f"it takes lengths of {least} and {step} more each; the first must be a multiple")
        return least, max(least, usual // least * least)
    return _whole(size), _whole(size)


def _spacing(spatial: Sequence[dict[str, Any]]) -> tuple[tuple[float, ...] | None, str | None]:
    units = {normalise_unit(str(axis.get("unit") or "")) for axis in spatial}
    sizes = [axis.get("scale") for axis in spatial]
    if len(units) == 1 and all(isinstance(s, (int, float)) and math.isfinite(s) and s > 0 for s in sizes):
        unit = units.pop()
        if unit is not None:
            return tuple(float(str(s)) for s in sizes), unit
    return None, None


def _scaling(steps: Any, channels: int, axes: Sequence[str]) -> Scaling:
    """Return the scaling that the preprocessing of an image amounts to."""
    found, limit = Scaling(by="fixed", fixed=((0.0, 1.0),) * channels), 1e6
    done = False
    for step in _entries(steps):
        name, kwargs = step.get("id"), _mapping(step.get("kwargs") or {}, "what preprocessing is told")
        if name == "ensure_dtype" and kwargs.get("dtype") == "float32":
            continue
        if (
            name == "clip"
            and done
            and set(kwargs) == {"min", "max"}
            and _number(kwargs, "min") == -_number(kwargs, "max")
        ):
            limit = _number(kwargs, "max")
        elif not done:
            found, done = _scaling_of(str(name), kwargs, channels, axes), True
        else:
            raise InputError(f"it wants intensities prepared in several ways: {shortened(step)}")
    return Scaling.model_validate({**found.model_dump(), "limit": limit})


def _scaling_of(name: str, kwargs: dict[str, Any], channels: int, axes: Sequence[str]) -> Scaling:
    if name == "scale_range":
        return _by_range(kwargs, channels, axes)
    if name == "zero_mean_unit_variance":
        _check_axes(kwargs, channels, axes)
        return Scaling(by="deviation")
    if name == "fixed_zero_mean_unit_variance":
        return _fixed(kwargs, channels)
    if name == "scale_linear":
        return _linear(kwargs, channels)
    raise InputError(f"it wants intensities prepared in a way that is not known: {shortened(name)}")


def _by_range(kwargs: dict[str, Any], channels: int, axes: Sequence[str]) -> Scaling:
    _check_axes(kwargs, channels, axes)
    if kwargs.get("reference_tensor"):
        raise InputError("it scales intensities by another image")
    ends = {"min_percentile": 0.0, "max_percentile": 100.0} | kwargs
    return Scaling(by="percentiles", low=_number(ends, "min_percentile"), high=_number(ends, "max_percentile"))


def _fixed(kwargs: dict[str, Any], channels: int) -> Scaling:
    means, widths = _each(kwargs.get("mean", 0), channels), _each(kwargs.get("std", 1), channels)
    return Scaling(by="fixed", fixed=tuple(zip(means, widths, strict=True)))


def _linear(kwargs: dict[str, Any], channels: int) -> Scaling:
    gains, shifts = _each(kwargs.get("gain", 1), channels), _each(kwargs.get("offset", 0), channels)
    if min(gains) <= 0:
        raise InputError("it multiplies intensities by a number that is not above 0")
    return Scaling(by="fixed", fixed=tuple((-b / a, 1 / a) for a, b in zip(gains, shifts, strict=True)))


def _check_axes(kwargs: dict[str, Any], channels: int, axes: Sequence[str]) -> None:
    """Refuse a scaling by numbers that are not those of each channel by itself."""
    over = kwargs.get("axes")
    whole = set(axes) if over is None else {str(axis) for axis in _entries(over, str)} - {"batch"}
    if whole - {"channel"} != set(axes) or (channels > 1 and (over is None or "channel" in whole)):
        raise InputError(f"it scales intensities over the axes {shortened(over)}; each channel by itself is known")


def _kind(steps: Any) -> Any:
    names = [step.get("id") for step in _entries(steps) if step.get("id") != "ensure_dtype"]
    if len(names) > 1 or any(name not in _KINDS for name in names):
        raise InputError(f"it wants its maps changed in a way that is not known: {shortened(names)}")
    return _KINDS[names[0]] if names else "numbers"


def _number(kwargs: dict[str, Any], key: str) -> float:
    if not isinstance(kwargs[key], (int, float)):
        raise InputError(f"{key} is {shortened(kwargs[key])}, no number")
    return float(kwargs[key])


def _each(value: Any, channels: int) -> list[float]:
    found = [float(v) for v in value] if isinstance(value, list) else [float(value)] * channels
    if len(found) != channels:
        raise InputError(f"it scales {len(found)} channels and takes {channels}")
    return found


def _names(axis: dict[str, Any], what: str) -> tuple[str, ...]:
    names = _part(axis, "channel_names", list)
    if not 0 < len(names) <= 1000 or not all(is_line(name) for name in names):
        raise InputError(f"its {what} have no names that can be used")
    return tuple(names)


def _member(archive: zipfile.ZipFile, name: str, most: int) -> bytes:
    """Return a file of a package."""
    if name not in archive.namelist():
        raise InputError(f"it holds no {name[:100]}")
    size, packed = archive.getinfo(name).file_size, archive.getinfo(name).compress_size
    if size > most or size > _DENSEST * max(packed, 2**14):
        raise InputError(f"its {name[:100]} is too large: {size:,} bytes")
    with archive.open(name) as file:
        return file.read(most + 1)


def _part(said: dict[str, Any], key: str, kind: type[Any], what: str = "") -> Any:
    if not isinstance(said.get(key), kind):
        raise InputError(f"its description has no {what or key}")
    return said[key]


def _mapping(value: Any, what: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise InputError(f"{what} is not described: {shortened(value)}")
    return value


def _entries(value: Any, kind: type[Any] = dict) -> list[Any]:
    if not isinstance(value, list) or not all(isinstance(one, kind) for one in value):
        raise InputError(f"its description is not understood: {shortened(value)}")
    return value


def _id(axis: dict[str, Any]) -> str:
    return str(axis.get("id", "x"))


def _whole(value: Any) -> int:
    if type(value) is not int or not 0 < value <= _LONGEST_TILE:
        raise InputError(f"an axis has the length {shortened(value)}")
    return value


def _line(value: Any) -> str:
    return " ".join(str(value or "").split())[:500]
