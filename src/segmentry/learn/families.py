"""The families of networks: those that are trained here, and those of other programs that are read."""

from __future__ import annotations

from typing import Any, TypeAlias

from pydantic import BaseModel, ValidationError

from segmentry.errors import InputError
from segmentry.learn import cellpose_network, stardist_network, weights
from segmentry.learn.architecture import Architecture
from segmentry.learn.cellpose_network import CellposeNetwork
from segmentry.learn.safe_file import shortened
from segmentry.learn.stardist_network import StarDistNetwork
from segmentry.parameters import explained

__all__ = ["Family", "expected_weights", "output_grid", "parsed_family"]

#: What says what a network is made of.
Family: TypeAlias = Architecture | CellposeNetwork | StarDistNetwork

_KINDS: dict[str | None, type[BaseModel]] = {
    None: Architecture,
    "cellpose": CellposeNetwork,
    "stardist": StarDistNetwork,
}


def parsed_family(said: dict[str, Any]) -> Family:
    """Return what plain data say of what a network is made of.

    Raises
    ------
    InputError
        When it is of no family that is known, or a part is missing or does not fit.
    """
    kind = said.get("kind")
    if not isinstance(kind, str | None) or kind not in _KINDS:
        raise InputError(f"it is a network of the kind {shortened(kind)}, which this program does not know")
    model = _KINDS[kind]
    try:
        found: Any = model.model_validate(said)
    except ValidationError as error:
        raise InputError(explained(model.__name__.lower(), list(model.model_fields), error)) from None
    family: Family = found
    return family


def expected_weights(family: Family) -> dict[str, tuple[int, ...]]:
    """Return the shape of each array of a network; all are float32, but for counts, which are int64 without axes."""
    if isinstance(family, CellposeNetwork):
        return cellpose_network.expected_weights(family)
    if isinstance(family, StarDistNetwork):
        return stardist_network.expected_weights(family)
    return weights.expected_weights(family)


def output_grid(family: Family) -> tuple[int, ...]:
    """Return how many pixels along each axis have one of the output."""
    return family.grid if isinstance(family, StarDistNetwork) else (1,) * family.dimensions
