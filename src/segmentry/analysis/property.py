"""What it takes to be a property of objects, and the list of all.

A property is one function in a module of :mod:`segmentry.analysis.properties`, marked with :func:`measured`. It appears
by itself in the table, in the command line and in the documentation. Its family is the name of its module::

    @measured("length", needs=[Moments])
    def equivalent_diameter(objects: Objects) -> NDArray[np.float64]:
        \"\"\"Diameter of the disc or ball of the same area or volume.\"\"\"
"""

from __future__ import annotations

import functools
import importlib
import inspect
import pkgutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal, TypeAlias

from numpy.typing import NDArray

from segmentry.analysis.objects import Counts, Objects
from segmentry.errors import ParameterError, nearest

__all__ = ["Property", "Unit", "chosen", "columns", "measured", "properties"]

#: What the numbers are: without unit, lengths, squares of lengths, perimeters or surfaces, areas or volumes, pixels.
Unit: TypeAlias = Literal["", "length", "square", "boundary", "size", "pixels"]

#: The order of families in a table; others follow.
FAMILIES = ("size", "position", "shape", "outline", "hull", "topology", "neighbours", "intensity", "texture")


@dataclass(frozen=True)
class Property:
    """A property of objects.

    Parameters
    ----------
    function
        Given the :class:`~segmentry.analysis.objects.Objects`, and the number of a channel where `per_channel`, it
        returns an array with a value per object, or a mapping of such arrays by the names of their columns, without
        unit and channel. What it says of itself in its docstring is its definition.
    unit
        Of what it returns.
    needs
        What is counted for it.
    dimensions
        For how many spatial axes it is defined.
    per_channel
        Whether it is measured in each channel of the image.
    by_default
        Whether it is measured when nothing is said.
    with_probability
        Whether it needs to be known how much of each pixel is object.
    source
        Where its definition comes from.
    """

    function: Callable[..., Any]
    unit: Unit = ""
    needs: Sequence[type[Counts]] = ()
    dimensions: tuple[int, ...] = (2, 3)
    per_channel: bool = False
    by_default: bool = True
    with_probability: bool = False
    source: str = ""

    @property
    def name(self) -> str:
        """Its name, which is that of its function."""
        return self.function.__name__

    @property
    def family(self) -> str:
        """The properties it belongs with."""
        return self.function.__module__.rpartition(".")[2]

    @property
    def definition(self) -> str:
        """What it says of itself, on one line."""
        return " ".join((inspect.getdoc(self.function) or "").split())

    def applies(self, objects: Objects) -> bool:
        """Return whether it can be measured of these objects."""
        unseen = self.per_channel and objects.image is None
        unsure = self.with_probability and objects.probability is None
        return objects.ndim in self.dimensions and not unseen and not unsure


def measured(
    unit: Unit = "",
    *,
    needs: Sequence[type[Counts]] = (),
    dimensions: tuple[int, ...] = (2, 3),
    per_channel: bool = False,
    by_default: bool = True,
    with_probability: bool = False,
    source: str = "",
) -> Callable[[Callable[..., Any]], Property]:
    """Make a function a :class:`Property`."""
    return lambda function: Property(
        function, unit, tuple(needs), dimensions, per_channel, by_default, with_probability, source
    )


@functools.cache
def properties() -> Mapping[str, Property]:
    """Return all properties by name, in the order of a table's columns."""
    package = importlib.import_module("segmentry.analysis.properties")
    families = [info.name for info in pkgutil.iter_modules(package.__path__)]
    known = [name for name in FAMILIES if name in families]
    found: dict[str, Property] = {}
    for family in [*known, *sorted(set(families) - set(known))]:
        module = importlib.import_module(f"{package.__name__}.{family}")
        found |= {p.name: p for p in vars(module).values() if isinstance(p, Property) and p.family == family}
    return MappingProxyType(found)


def chosen(names: Sequence[str]) -> list[Property]:
    """Return the properties of these names, or of the families of these names; those by default for none.

    Raises
    ------
    ParameterError
        When a name is that of neither.
    """
    known = properties()
    if not names:
        return [p for p in known.values() if p.by_default]
    families = {p.family for p in known.values()}
    for name in names:
        if name not in known and name not in families:
            raise ParameterError(f"there is no property {name!r}{nearest(name, [*families, *known])}")
    return [p for p in known.values() if p.name in names or p.family in names]


def columns(wanted: Sequence[Property], objects: Objects) -> dict[str, tuple[NDArray[Any], Property]]:
    """Return the columns of a table, each with the property that it belongs to."""
    able = [p for p in wanted if p.applies(objects)]
    objects.gather(kind for p in able for kind in p.needs)
    found: dict[str, tuple[NDArray[Any], Property]] = {}
    for p in able:
        if not p.per_channel:
            found |= {_named(k, p, objects): (v, p) for k, v in _parts(p, p.function(objects)).items()}
    for c, channel in enumerate(objects.channels):
        for p in able:
            if p.per_channel:
                parts = _parts(p, p.function(objects, c))
                end = f"_{channel}" if channel else ""
                found |= {_named(k, p, objects) + end: (v, p) for k, v in parts.items()}
    return found


def _parts(p: Property, values: Any) -> Mapping[str, NDArray[Any]]:
    return values if isinstance(values, Mapping) else {p.name: values}


def _named(name: str, p: Property, objects: Objects) -> str:
    """Return the name of a column with its unit."""
    powers = {"length": 1, "square": 2, "boundary": objects.ndim - 1, "size": objects.ndim}
    if p.unit == "":
        return name
    if p.unit == "pixels" or objects.unit == "px":
        return f"{name}_px"
    power = powers[p.unit]
    return f"{name}_{objects.unit}{power if power > 1 else ''}"
