"""Every step by its name: those of this package, then those that other packages register.

A built-in step is the class in the module of its name (method ``otsu`` is in ``methods/otsu.py``). Another package adds
a step by an entry point of the group ``segmentry.steps`` whose name is the step's.
"""

from __future__ import annotations

import functools
import importlib
import logging
import pkgutil
from collections.abc import Mapping
from importlib.metadata import EntryPoint, entry_points
from types import MappingProxyType
from typing import Any

from segmentry.errors import InputError, SegmentryError, UnknownNameError, nearest, one_line
from segmentry.step import Step

__all__ = ["KINDS", "make", "names", "step", "steps"]

#: The package that holds the steps of each kind.
KINDS: Mapping[str, str] = MappingProxyType(
    {"method": "methods", "filter": "filters", "cleaner": "cleaning", "analysis": "analysis"}
)


def names(kind: str) -> list[str]:
    """Return the names of all steps of a kind (``method``, ``filter``, ``cleaner``, ``analysis``), sorted."""
    return sorted(steps(kind))


@functools.cache
def steps(kind: str) -> Mapping[str, type[Step]]:
    """Return all steps of a kind by name. One that can't be loaded is passed over with a warning that says why."""
    found = {name: own for name in _modules(kind) if (own := _in_module(kind, name)) is not None}
    for point in entry_points(group="segmentry.steps"):
        added = _load(point)
        if added is None or added.kind != kind:
            continue
        if added.name in found:
            logging.getLogger("segmentry").warning(
                "%s of %s is passed over: the name is taken", added.name, point.value
            )
        else:
            found[added.name] = added
    return MappingProxyType(found)


def step(kind: str, name: str) -> type[Step]:
    """Return the class of a step.

    Raises
    ------
    UnknownNameError
        With the nearest known name.
    """
    if name in _modules(kind):  # the others are not loaded
        found = _in_module(kind, name)
        if found is not None:
            return found
    known = steps(kind)
    if name not in known:
        raise UnknownNameError(f"no {kind} is called {name!r}{nearest(name, known)}")
    return known[name]


def make(kind: str, name: str, parameters: Mapping[str, Any] | None = None) -> Step:
    """Return a step with its parameters.

    Raises
    ------
    UnknownNameError, ParameterError
        When there is no such step, or it has no such parameter or value.
    """
    return step(kind, name)(**(parameters or {}))


@functools.cache
def _modules(kind: str) -> tuple[str, ...]:
    """Return the names of the modules that hold this package's own steps of a kind."""
    package = importlib.import_module(f"segmentry.{KINDS[kind]}")
    return tuple(info.name for info in pkgutil.iter_modules(package.__path__))


def _in_module(kind: str, name: str) -> type[Step] | None:
    """Return the step in the module of its name."""
    module = importlib.import_module(f"segmentry.{KINDS[kind]}.{name}")
    return next((s for s in vars(module).values() if _is_step(s) and s.name == name), None)


def _is_step(thing: Any) -> bool:
    return isinstance(thing, type) and issubclass(thing, Step) and "name" in vars(thing)


def _load(point: EntryPoint) -> type[Step] | None:
    try:
        found = point.load()
        if not _is_step(found):
            raise InputError("it is not a Step with a name")
        if found.name != point.name:
            raise InputError(f"it calls itself {found.name!r}")
    except Exception as error:  # another package's code may fail in any way; the others must stay usable
        said = one_line(error) if isinstance(error, SegmentryError) else f"{type(error).__name__}: {one_line(error)}"
        logging.getLogger("segmentry").warning("step %s of %s can't be used: %s", point.name, point.value, said)
        return None
    loaded: type[Step] = found
    return loaded
