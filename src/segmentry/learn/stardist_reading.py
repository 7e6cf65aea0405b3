"""Trained models of StarDist, out of the folders that it keeps them in.

Such a folder has what the network is made of (``config.json``), the thresholds that did best (``thresholds.json``) and
the weights, in an HDF5 file of Keras. It may also be in a zip file, as models are published. Packages of bioimage.io
that StarDist made say the same in their description. Nothing in them is run, and neither StarDist nor TensorFlow is
needed.
"""

from __future__ import annotations

import json
import os
import re
import tempfile
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from segmentry.errors import InputError, SegmentryError, one_line
from segmentry.learn.keras_weights import CONVOLUTION, NORM, Layers, read_layers
from segmentry.learn.safe_file import plain_yaml, shortened
from segmentry.learn.stardist_network import COUNT, Convolution, StarDistNetwork, convolutions
from segmentry.parameters import explained

__all__ = ["StarDistModel", "read_stardist"]

#: Bytes of a description and of weights, and how many times larger than in a zip file they may be.
_MOST_WORDS, _MOST, _DENSEST = 2**20, 2**31 - 1, 1000
#: Thresholds of probability and overlap where a model says none, as StarDist has them.
_PROBABILITY, _OVERLAP = 0.5, 0.4
#: Descriptions of packages of bioimage.io, which StarDist writes as well.
_PACKAGES = ("rdf.yaml", "bioimageio.yaml")
#: Names of the classes where a model does not tell objects apart.
_NAMES = ("background", "object")
#: Our names of what Keras calls the arrays of a convolution and of a normalisation.
_CONVOLUTION = dict(zip(CONVOLUTION, ("convolution.weight", "convolution.bias"), strict=True))
_NORM = dict(zip(NORM, ("norm.weight", "norm.bias", "norm.running_mean", "norm.running_var"), strict=True))


@dataclass(frozen=True, eq=False)
class StarDistModel:
    """A trained model of StarDist.

    Parameters
    ----------
    plan
        What its network is made of.
    arrays
        Weights, as :func:`~segmentry.learn.stardist_network.expected_weights` names them.
    probability
        Least probability of a pixel that an object is made of.
    overlap
        Largest share of the smaller of two objects that may lie in the other.
    anisotropy
        Lengths of voxels along each axis, relative to each other, for which the rays are spread evenly.
    names
        Of the classes, the background first.
    """

    plan: StarDistNetwork
    arrays: Mapping[str, NDArray[Any]] = field(repr=False)
    probability: float
    overlap: float
    anisotropy: tuple[float, ...]
    names: tuple[str, ...]


def read_stardist(path: str | PathLike[str]) -> StarDistModel:
    """Read a trained model of StarDist from its folder, or from a zip file of it.

    Raises
    ------
    InputError
        When it is none, it is damaged, or its network is of a kind that is not known.
    """
    source = Path(path)
    with _refusing(source), _opened(source) as files:
        config, thresholds, chosen = _said(files)
        plan = _plan(config)
        with files.weights(chosen) as weights:
            arrays = _arrays(plan, read_layers(weights), str(config.get("unet_prefix") or ""))
        return StarDistModel(
            plan=plan,
            arrays=arrays,
            probability=_share(thresholds.get("prob"), _PROBABILITY),
            overlap=_share(thresholds.get("nms"), _OVERLAP),
            anisotropy=_anisotropy(config, plan),
            names=("background", *(f"class {i + 1}" for i in range(plan.classes))) if plan.classes else _NAMES,
        )


class _Files:
    """The files of a model, in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def names(self) -> list[str]:
        return sorted(entry.name for entry in os.scandir(self.folder) if entry.is_file())

    def words(self, name: str) -> bytes | None:
        """Return a small file, ``None`` where there is none of that name."""
        place = self.folder / name
        if not place.is_file():
            return None
        if place.stat().st_size > _MOST_WORDS:
            raise InputError(f"its {name} is too large: {place.stat().st_size:,} bytes")
        return place.read_bytes()

    @contextmanager
    def weights(self, name: str = "") -> Iterator[Path]:
        """Give the file that the weights are in: of a name, or the one that StarDist would take."""
        yield self.folder / _chosen(self.names(), name)


class _Packed(_Files):
    """The files of a model, in a zip file: in its root, or in its one folder."""

    def __init__(self, source: Path, archive: zipfile.ZipFile) -> None:
        self.archive = archive
        places = [PurePosixPath(name) for name in archive.namelist()]
        told = {place.name for place in places}
        mark = next((name for name in ("config.json", *_PACKAGES) if name in told), "")
        folders = sorted({place.parent for place in places if place.name == mark}, key=lambda p: len(p.parts))
        if not folders:
            raise InputError("it has no config.json, and is no package of bioimage.io")
        if len(folders) > 1 and len(folders[1].parts) == len(folders[0].parts):
            raise InputError(f"it has several models: {', '.join(map(str, folders))[:200]}: take one folder out of it")
        self.inner = folders[0]
        super().__init__(source)

    def names(self) -> list[str]:
        places = [PurePosixPath(name) for name in self.archive.namelist()]
        return sorted(place.name for place in places if place.parent == self.inner)

    def words(self, name: str) -> bytes | None:
        return self._member(name, _MOST_WORDS) if name in self.names() else None

    @contextmanager
    def weights(self, name: str = "") -> Iterator[Path]:
        chosen = _chosen(self.names(), name)
        with tempfile.TemporaryDirectory() as folder:
            place = Path(folder, "weights.h5")
            place.write_bytes(self._member(chosen, _MOST))
            yield place

    def _member(self, name: str, most: int) -> bytes:
        info = self.archive.getinfo(str(self.inner / name))
        if info.file_size > most or info.file_size > _DENSEST * max(info.compress_size, 2**14):
            raise InputError(f"its {name[:100]} is too large: {info.file_size:,} bytes")
        with self.archive.open(info) as file:
            return file.read(most + 1)


@contextmanager
def _opened(source: Path) -> Iterator[_Files]:
    if source.is_dir():
        yield _Files(source)
        return
    if source.suffix.lower() in (".h5", ".hdf5", ".json"):
        raise InputError("it is one file of a model: give the folder that it lies in")
    with zipfile.ZipFile(source) as archive:
        yield _Packed(source, archive)


def _said(files: _Files) -> tuple[dict[str, Any], dict[str, Any], str]:
    """Return what a model says of itself and of its thresholds, and the name of its weights where it says that."""
    config = files.words("config.json")
    if config is not None:
        thresholds = files.words("thresholds.json") or b"{}"
        return _object("config.json", config), _object("thresholds.json", thresholds), ""
    words = next((words for name in _PACKAGES if (words := files.words(name)) is not None), None)
    if words is None:
        raise InputError("it has no config.json")
    said = plain_yaml(words)
    for key in ("config", "stardist"):
        said = said.get(key) if isinstance(said, dict) else None
    parts = [said.get(key) if isinstance(said, dict) else None for key in ("config", "thresholds", "weights")]
    inner, least, weights = parts
    if not isinstance(inner, dict) or not isinstance(weights, str):
        raise InputError("its description is not that of a model of StarDist")
    return inner, least if isinstance(least, dict) else {}, weights


def _chosen(names: Sequence[str], wanted: str = "") -> str:
    """Return the file of weights that StarDist would take: the best of the training, else the last."""
    if wanted:
        if wanted not in names:
            raise InputError(f"it has no file {shortened(wanted)}, which its description names")
        return wanted
    weights = [name for name in names if name.lower().endswith((".h5", ".hdf5"))]
    for word in ("best", "last", ""):
        found = [name for name in weights if word in name]
        if len(found) == 1:
            return found[0]
        if len(found) > 1:
            raise InputError(f"it has several files of weights: {', '.join(found)[:200]}: leave one of them")
    raise InputError("it has no weights: no file that ends in .h5")


def _object(name: str, words: bytes) -> dict[str, Any]:
    try:
        said = json.loads(words.decode("utf-8-sig"), parse_constant=_refused)
    except (ValueError, RecursionError) as error:
        raise InputError(f"its {name} is damaged: {one_line(error)}") from error
    if not isinstance(said, dict):
        raise InputError(f"its {name} is {shortened(said)}, no mapping")
    return said


def _refused(word: str) -> Any:
    raise ValueError(f"{word} is no number")


def _plan(config: Mapping[str, Any]) -> StarDistNetwork:
    """Return what a network is made of, out of StarDist's words for it."""
    axes, backbone = config.get("axes"), config.get("backbone", "unet")
    if axes not in ("YXC", "ZYXC"):
        raise InputError(f"its axes are {shortened(axes)}; YXC and ZYXC are known")
    if backbone not in ("unet", "resnet"):
        raise InputError(f"its network is a {shortened(backbone)}; unet and resnet are known")
    told = {"n_channel_in": "channels", "n_rays": "rays", "grid": "grid", "n_classes": "classes"}
    told[f"net_conv_after_{backbone}"] = "features"
    words = {"n_filter_base": "filters", "kernel_size": "kernel", "activation": "activation"}
    words["batch_norm"] = "batch_norm"
    if backbone == "resnet":
        words |= {"n_blocks": "depth", "n_conv_per_block": "convolutions"}
    else:
        words |= {"n_depth": "depth", "n_conv_per_depth": "convolutions", "pool": "pool", "expansion": "expansion"}
        words["last_activation"] = "last_activation"
    told |= {f"{backbone}_{theirs}": ours for theirs, ours in words.items()}
    silent = {f"{backbone}_{word}" for word in ("dropout", "prefix", "kernel_init")}
    known = {*told, *silent, "net_input_shape", "net_mask_shape"}
    odd = [key for key in config if key.startswith((f"{backbone}_", "net_")) and key not in known]
    if odd:
        raise InputError(f"its network has {shortened(odd[0])}, which is not known")
    said: dict[str, Any] = {"backbone": backbone, "kernel": [3] * (len(axes) - 1)}
    said |= {ours: config[theirs] for theirs, ours in told.items() if theirs in config}
    if said.get("activation") is None:
        said["activation"] = "linear" if "activation" in said else "relu"
    if "last_activation" in said and said["last_activation"] is None:
        said["last_activation"] = said["activation"]
    if backbone == "resnet":
        said = {"depth": 4, "convolutions": 3} | said
    elif len(axes) == 4:
        said = {"depth": 2} | said
    try:
        plan = StarDistNetwork.model_validate(said)
    except ValidationError as error:
        raise InputError(explained("network", list(StarDistNetwork.model_fields), error)) from None
    if plan.dimensions != len(axes) - 1:
        raise InputError(f"its grid {plan.grid} does not fit its axes {axes}")
    return plan


def _anisotropy(config: Mapping[str, Any], plan: StarDistNetwork) -> tuple[float, ...]:
    """Return for which lengths of voxels the rays of a network are spread evenly."""
    if plan.dimensions == 2:
        return (1.0, 1.0)
    said = config.get("rays_json", {"name": "Rays_GoldenSpiral", "kwargs": {"n": plan.rays}})
    if not isinstance(said, dict) or said.get("name") != "Rays_GoldenSpiral" or not isinstance(said["kwargs"], dict):
        raise InputError(f"its rays are {shortened(said)}; those of the golden spiral are known")
    count, anisotropy = said["kwargs"].get("n", 70), said["kwargs"].get("anisotropy")
    if type(count) is not int or count != plan.rays or count < 4:
        raise InputError(f"it has {plan.rays} rays, and its rays_json says {shortened(count)}; 4 or more are needed")
    if anisotropy is None:
        anisotropy = config.get("anisotropy")
    return _ratios(anisotropy, 3) if anisotropy is not None else (1.0, 1.0, 1.0)


def _ratios(said: Any, count: int) -> tuple[float, ...]:
    numbers = said if isinstance(said, list) else []
    if len(numbers) != count or not all(type(n) in (int, float) and 1e-3 <= n <= 1e3 for n in numbers):
        raise InputError(f"its anisotropy is {shortened(said)}; {count} numbers of 0.001 to 1000 are needed")
    return tuple(float(n) for n in numbers)


def _share(said: Any, usual: float) -> float:
    """Return a threshold, the usual one where it is none, as StarDist does."""
    return float(said) if type(said) is float and 0 < said < 1 else usual


def _arrays(plan: StarDistNetwork, layers: Layers, prefix: str) -> dict[str, NDArray[Any]]:
    """Return the weights of a network, by our names and as torch has them."""
    left = dict(layers)
    unnamed = _counted(left, f"conv{plan.dimensions}d")
    norms = _counted(left, "batch_normalization")
    found: dict[str, NDArray[Any]] = {}
    for one in convolutions(plan):
        own = one.name.partition(".")[0] in ("down", "middle", "up")
        name = (prefix if own else "") + one.theirs if one.theirs else next(unnamed, "")
        parts = {_CONVOLUTION.get(part, part): array for part, array in left.pop(name, {}).items()}
        if one.norm:
            parts |= {_NORM.get(part, part): array for part, array in left.pop(next(norms, ""), {}).items()}
            parts[f"norm.{COUNT}"] = np.zeros((), np.int64)
        found |= _checked(one, name, parts)
    if left:
        raise InputError(f"its weights have a layer {shortened(min(left))}, which its config.json does not tell of")
    return found


def _counted(layers: Layers, word: str) -> Iterator[str]:
    """Return the layers that Keras named by their kind and a number, in their order."""
    matches = [(re.fullmatch(rf"{word}(?:_(\d{{1,9}}))?", name), name) for name in layers]
    return iter([name for _, name in sorted((int(match[1] or 0), name) for match, name in matches if match)])


def _checked(one: Convolution, theirs: str, parts: Mapping[str, NDArray[Any]]) -> Iterator[tuple[str, NDArray[Any]]]:
    """Yield the arrays of a convolution, in torch's order of axes."""
    said = theirs or one.name
    for part in (*one.shapes, *parts):
        if part not in parts or part not in one.shapes:
            word = "has no" if part not in parts else "has a"
            raise InputError(f"its layer {said[:100]!r} {word} {part[:100]}, unlike its config.json says")
    for part, shape in one.shapes.items():
        array = parts[part]
        if part.endswith(COUNT):
            yield f"{one.name}.{part}", array
            continue
        if part == "convolution.weight" and array.ndim == len(shape):
            array = np.moveaxis(array, (-1, -2), (0, 1))
        if array.shape != shape or array.dtype.itemsize > 8:
            raise InputError(f"the {part} of its layer {said[:100]!r} has the shape {array.shape}; it must be {shape}")
        numbers = np.array(array, np.float32, order="C")
        if not np.isfinite(numbers).all() or (part == "norm.running_var" and numbers.min() < 0):
            raise InputError(f"the {part} of its layer {said[:100]!r} has numbers that are not finite or negative")
        yield f"{one.name}.{part}", numbers


@contextmanager
def _refusing(source: Path) -> Iterator[None]:
    """Turn whatever goes wrong with a model into one line that names it."""
    try:
        yield
    except SegmentryError as error:
        raise InputError(f"{source} can't be used as a model of StarDist: {one_line(error)}") from error
    except FileNotFoundError:
        raise InputError(f"{source} does not exist") from None
    except MemoryError as error:
        raise InputError(f"{source} claims more than fits in memory: it is damaged") from error
    except (zipfile.BadZipFile, NotImplementedError, zlib.error, EOFError) as error:
        raise InputError(f"{source} is no folder and no zip file that can be read: {one_line(error)}") from error
    except Exception as error:  # HDF5 raises whatever it likes on damaged files
        raise InputError(f"{source} is no model of StarDist, or it is damaged: {one_line(error)}") from error
