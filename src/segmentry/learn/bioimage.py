"""Networks as model packages of bioimage.io, which other programs run.

A package is a zip file with a description (``rdf.yaml``, of format 0.5), weights in the ONNX format, and an image with
what the network tells of it. :mod:`segmentry.learn.bioimage_reading` takes such packages in.
"""

from __future__ import annotations

import hashlib
import io
import re
import zipfile
from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from segmentry.errors import InputError
from segmentry.io import written_whole
from segmentry.learn.families import output_grid
from segmentry.learn.network_file import Network, save_network
from segmentry.learn.onnx_graph import read_graph, with_weights
from segmentry.learn.representation import Head, activated

__all__ = ["FORMAT_VERSION", "NETWORK_FILE", "save_bioimage"]

FORMAT_VERSION = "0.5.4"
#: Name of our own file within a package.
NETWORK_FILE = "network.safetensors"
_EPSILON = 1e-6
_UNITS = {"nm": "nanometer", "um": "micrometer", "mm": "millimeter", "cm": "centimeter", "m": "meter"}
_AXES = "zyx"
#: Pixels of the example along an axis at the most.
_EXAMPLE = {2: 256, 3: 48}


def save_bioimage(
    path: str | PathLike[str], network: Network, overwrite: bool = False, example: NDArray[Any] | None = None
) -> Path:
    """Write a network as a model package of bioimage.io.

    Parameters
    ----------
    example
        Image (channels, *spatial) that the package shows the network on, whose lengths are multiples of
        ``network.multiple``; noise when not given.

    Raises
    ------
    OutputError
        When the file exists and may not be replaced, or can't be written.
    InputError
        When the network has no graph.
    """
    target = Path(path)
    if not network.graph:
        raise InputError(f"{target} can't be written: the network has no graph that other programs could run")
    image = _example(network) if example is None else np.asarray(example)
    maps = _maps(network, image)
    with written_whole(target, overwrite) as aside:
        own = save_network(aside.with_name(NETWORK_FILE), network)
        files = {
            "README.md": _readme(network).encode(),
            "weights.onnx": with_weights(network.graph, network.arrays),
            "test_input.npy": _npy(image[None].astype(np.float32)),
            "test_output.npy": _npy(maps),
            NETWORK_FILE: own.read_bytes(),
        }
        own.unlink()
        said = described(network, {name: hashlib.sha256(content).hexdigest() for name, content in files.items()})
        text = yaml.safe_dump(said, sort_keys=False, allow_unicode=True)
        with zipfile.ZipFile(aside, "w", zipfile.ZIP_STORED) as archive:
            for name, content in {"rdf.yaml": text.encode(), **files}.items():
                archive.writestr(zipfile.ZipInfo(name), content)
    return target


def described(network: Network, digests: Mapping[str, str]) -> dict[str, Any]:
    """Return the description of a package.

    Parameters
    ----------
    digests
        SHA-256 of each file of the package.
    """
    card = network.card

    def file(name: str) -> dict[str, Any]:
        return {"source": name, "sha256": digests[name]}

    doi = re.search(r"10\.\d{4,9}/[^\s\"<>,;]+", str(card.get("citation", "")))
    names = _author_names(card.get("authors"))
    version = read_graph(network.graph, network.arrays).version
    return {
        "format_version": FORMAT_VERSION,
        "type": "model",
        "name": _name(str(card.get("name", ""))),
        "description": " ".join(str(card.get("description", "")).split())[:512] or "A network for image segmentation.",
        "authors": [{"name": name} for name in names],
        "cite": [{"text": " ".join(str(card["citation"]).split()), "doi": doi.group().rstrip(".")}] if doi else [],
        **({"license": str(card["licence"])} if card.get("licence") else {}),
        "tags": ["segmentation", "segmentry", f"{network.architecture.dimensions}d", network.representation.task],
        "documentation": file("README.md"),
        "attachments": [file(NETWORK_FILE)],
        "inputs": [_input(network, file("test_input.npy"))],
        "outputs": [_output(network, file("test_output.npy"))],
        "weights": {"onnx": {**file("weights.onnx"), "opset_version": version}},
        "config": {
            "segmentry": {
                "representation": network.representation.name,
                "parameters": network.representation.model_dump(mode="json"),
                "names": list(network.names),
            }
        },
    }


def _input(network: Network, tensor: dict[str, Any]) -> dict[str, Any]:
    names = _identifiers(network.channels, "channel")
    axes: list[dict[str, Any]] = [{"type": "batch"}, {"type": "channel", "channel_names": names}]
    for i, step in enumerate(network.multiple):
        axes.append({"type": "space", **_axis(network, i), "size": {"min": step, "step": step}})
    return {
        "id": "image",
        "axes": axes,
        "test_tensor": tensor,
        "data": {"type": "float32"},
        "preprocessing": _preprocessing(network),
    }


def _output(network: Network, tensor: dict[str, Any]) -> dict[str, Any]:
    heads = network.representation.heads(network.names, network.architecture.dimensions)
    if len(heads) == 1 and heads[0].channels == len(network.names):
        names = _identifiers(network.names, "class")
    else:
        names = [f"{head.name}_{i}" for head in heads for i in range(head.channels)]
    axes: list[dict[str, Any]] = [{"type": "batch"}, {"type": "channel", "channel_names": names}]
    for i, step in enumerate(output_grid(network.architecture)):
        place = _axis(network, i)
        # The length of the output is that of the image by the ratio of both pixels' sizes.
        place |= {"scale": step * place.get("scale", 1.0)} if step > 1 else {}
        axes.append({"type": "space", **place, "size": {"tensor_id": "image", "axis_id": place["id"], "offset": 0}})
    kind = _kind(heads)
    after = {"classes": {"id": "softmax", "kwargs": {"axis": "channel"}}, "shares": {"id": "sigmoid"}}
    return {
        "id": "maps",
        "axes": axes,
        "test_tensor": tensor,
        "data": {"type": "float32"},
        "postprocessing": [after[kind]] if kind in after else [],
    }


def _axis(network: Network, i: int) -> dict[str, Any]:
    found: dict[str, Any] = {"id": _AXES[-len(network.multiple) :][i]}
    if network.spacing and network.unit in _UNITS:
        found |= {"unit": _UNITS[network.unit], "scale": float(network.spacing[i])}
    return found


def _preprocessing(network: Network) -> list[dict[str, Any]]:
    scaling, axes = network.scaling, list(_AXES[-len(network.multiple) :])
    if scaling.by == "percentiles":
        kwargs = {"axes": axes, "min_percentile": scaling.low, "max_percentile": scaling.high, "eps": _EPSILON}
        first: dict[str, Any] = {"id": "scale_range", "kwargs": kwargs}
    elif scaling.by == "deviation":
        first = {"id": "zero_mean_unit_variance", "kwargs": {"axes": axes, "eps": _EPSILON}}
    else:
        means, widths = (list(row) for row in zip(*scaling.fixed, strict=True))
        kwargs = {"mean": means, "std": [max(width, _EPSILON) for width in widths], "axis": "channel"}
        first = {"id": "fixed_zero_mean_unit_variance", "kwargs": kwargs}
    return [first, {"id": "clip", "kwargs": {"min": -scaling.limit, "max": scaling.limit}}]


def _kind(heads: Sequence[Head]) -> str:
    """Return what all maps are: one head's classes, shares or numbers; else ``scores``, as the network gives them."""
    kinds = {head.kind for head in heads}
    if kinds == {"classes"} and len(heads) > 1:
        return "scores"
    return kinds.pop() if len(kinds) == 1 else "scores"


def _maps(network: Network, image: NDArray[Any]) -> NDArray[np.float32]:
    """Return what a package says that the network tells of an image."""
    from segmentry.learn.engines import engine

    scaling, heads = network.scaling, network.representation.heads(network.names, network.architecture.dimensions)
    seen = image.astype(np.float32)
    flat = seen.reshape(len(seen), -1)
    scale = scaling.fixed
    if scaling.by == "percentiles":
        ends = np.percentile(flat, (scaling.low, scaling.high), axis=1).T
        scale = tuple((float(low), float(high - low) + _EPSILON) for low, high in ends)
    elif scaling.by == "deviation":
        scale = tuple((float(row.mean()), float(row.std()) + _EPSILON) for row in flat)
    scores = engine(network, "onnxruntime")(scaling.applied(seen, scale)[None])
    if _kind(heads) != "scores":
        activated(scores[0], heads)
    return scores


def _example(network: Network) -> NDArray[np.float32]:
    """Return noise of several scales."""
    random = np.random.default_rng(0)
    most = _EXAMPLE[network.architecture.dimensions]
    pairs = zip(network.tile, network.multiple, strict=True)
    shape = [min(length, max(most // step, 1) * step) for length, step in pairs]
    image = np.zeros((network.architecture.channels, *shape))
    for size in (1, 4, 16):
        coarse = random.normal(size=(len(image), *(-(-n // size) for n in shape)))
        for axis in range(1, image.ndim):
            coarse = np.repeat(coarse, size, axis=axis)
        image += coarse[(slice(None), *(slice(n) for n in shape))]
    return (100 + 20 * image).round().astype(np.float32)


def _npy(array: NDArray[Any]) -> bytes:
    found = io.BytesIO()
    np.save(found, np.ascontiguousarray(array), allow_pickle=False)
    return found.getvalue()


def _readme(network: Network) -> str:
    card = yaml.safe_dump(dict(network.card), allow_unicode=True) if network.card else "(empty)\n"
    title = _name(str(network.card.get("name", "")))
    return (
        f"# {title}\n\nA network for segmentation, trained with segmentry: it tells {network.representation.name} of"
        f" {', '.join(network.names)}. `{NETWORK_FILE}` is the same network for segmentry itself.\n\n## Validation\n\n"
        f"What is known of it:\n\n```yaml\n{card}```\n"
    )


def _name(text: str) -> str:
    found = re.sub(r"[^A-Za-z0-9_+\- ()]+", " ", text).strip()[:64]
    return found if len(found) >= 5 else f"network {found}".strip()


def _author_names(authors: Any) -> list[str]:
    given = [authors] if isinstance(authors, str) else authors if isinstance(authors, list) else []
    return [" ".join(str(one).replace("/", " ").replace("\\", " ").split()) for one in given if str(one).strip()]


def _identifiers(names: Sequence[str], word: str) -> list[str]:
    """Return names as letters, digits and underscores, each once."""
    found: list[str] = []
    for i, name in enumerate(names):
        clean = re.sub(r"\W+", "_", name, flags=re.ASCII).strip("_")
        clean = clean if clean and not clean[0].isdigit() else f"{word}_{clean or i}"
        found.append(clean if clean not in found else f"{clean}_{i}")
    return found
