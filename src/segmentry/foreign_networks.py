"""Networks of other programs, made networks of ours: what their files say, and what must be known beside it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segmentry.errors import InputError, MissingExtraError
from segmentry.io.digest import sha256
from segmentry.learn.cellpose_network import read_cellpose
from segmentry.learn.families import Family
from segmentry.learn.network_file import Network
from segmentry.learn.representations.flows import Flows
from segmentry.learn.representations.stars import Stars
from segmentry.learn.scaling import Scaling
from segmentry.learn.stardist_reading import read_stardist

__all__ = ["imported"]

#: Length of a tile along each axis, about, by the number of axes.
TILE = {2: 512, 3: 96}
#: Factor by which networks of Cellpose tell flows, and the least pixels of a cell there.
FLOW, LEAST = 5.0, 15
#: How many of its pixels at each edge StarDist does not look at.
BORDER = 2
_SUFFIXES = (".zip", ".h5")


def imported(path: Path, licence: str = "", tell: Callable[[str], None] = lambda _: None) -> Network:
    """Read a network of Cellpose 1 to 3 (a file of torch), or a model of StarDist (its folder, or a zip file of it).

    Parameters
    ----------
    licence
        Of the network, as far as the user knows it, for its card.
    tell
        Called with what the user should know.

    Raises
    ------
    InputError
        When it is neither, or damaged.
    MissingExtraError
        When torch is not there, which makes the graph for other engines.
    """
    if not path.exists():
        raise InputError(f"{path} does not exist")
    network = _stardist(path) if path.is_dir() or path.suffix.lower() in _SUFFIXES else _cellpose(path)
    tell(f"{path.name}: {network.architecture.title}, {sum(a.size for a in network.arrays.values()):,} numbers")
    card = {**network.card, "file": path.name, "sha256": sha256(path), **({"licence": licence} if licence else {})}
    return replace(network, card=card, graph=_graph(network.architecture, network.arrays))


def _cellpose(path: Path) -> Network:
    family, arrays, diameter, _ = read_cellpose(path)
    channels = ("cells", "nuclei") if family.channels == 2 else ("",) * family.channels
    return Network(
        architecture=family,
        representation=Flows(length=FLOW, min_size=LEAST),
        names=("background", "cell"),
        channels=channels,
        scaling=Scaling(low=1, high=99, interpolated=True, limit=1e6),
        spacing=None,
        unit=None,
        tile=_tile(family),
        card={"from": "Cellpose", "source": "doi:10.1038/s41592-020-01018-x"},
        arrays=arrays,
        diameter=diameter,
    )


def _stardist(path: Path) -> Network:
    model = read_stardist(path)
    family = model.plan
    return Network(
        architecture=family,
        representation=Stars(
            n_rays=family.rays,
            anisotropy=model.anisotropy,
            threshold=model.probability,
            max_overlap=model.overlap,
            grid=family.grid,
            apart=0,
            border=BORDER,
        ),
        names=model.names,
        channels=("",) * family.channels,
        scaling=Scaling(low=1, high=99.8, interpolated=True, limit=1e6),
        spacing=None,
        unit=None,
        tile=_tile(family),
        card={"from": "StarDist", "source": "doi:10.1007/978-3-030-00934-2_30"},
        arrays=model.arrays,
    )


def _tile(family: Family) -> tuple[int, ...]:
    """Return lengths near those that are usual that the network can be run on."""
    length = TILE[family.dimensions]
    return tuple(max(1, round(length / step)) * step for step in family.multiple)


def _graph(family: Family, arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """Return what a network computes, in the ONNX format."""
    try:
        import torch

        from segmentry.learn.networks.build import build
        from segmentry.learn.networks.export import graph_of
    except ImportError as error:
        raise MissingExtraError("reading a network of another program", "train") from error
    module = build(family)
    module.load_state_dict({name: torch.from_numpy(np.array(array)) for name, array in arrays.items()})
    return graph_of(module, family)
