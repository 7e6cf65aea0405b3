"""What it takes to be a metric, and the list of all.

A metric is one function in a module of :mod:`segmentry.metrics`, marked with :func:`metric`, which says what it is
computed from. It appears by itself in every table and report, in the command line and in the documentation::

    @metric(Matches, best=1, worst=0, empty=1)
    def f1(matches: Matches) -> Ratio:
        \"\"\"2 TP / (2 TP + FP + FN).\"\"\"
        return Ratio(2 * matches.tp, 2 * matches.tp + matches.fp + matches.fn)

Most metrics are ratios. Those of a set of images are pooled by adding up numerators and denominators, which is what
they are for all objects or pixels of the set together. A metric that is a plain number can only be averaged.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import math
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, NamedTuple

__all__ = ["Metric", "Ratio", "metric", "metrics"]

#: The order of the modules in a table; others follow.
ORDER = ("detection", "overlaps", "errors", "ranking", "pixels", "surfaces")


class Ratio(NamedTuple):
    """A numerator and a denominator, each of which adds up over images."""

    numerator: float
    denominator: float


@dataclass(frozen=True)
class Metric:
    """A score.

    Parameters
    ----------
    function
        From evidence of one kind to a :class:`Ratio`, or to a number where that is all there is. Its docstring is its
        definition.
    evidence
        The type of what it is computed from.
    best, worst
        Its value for a perfect result, and that for the worst.
    lowest
        Its lowest value, where that is neither.
    empty
        Its value where the denominator is 0: nothing to judge.
    unit
        ``"length"`` for distances, ``"bits"``, or nothing.
    caveat
        What to know before it is believed, printed beside it.
    source
        Where it was defined.
    """

    function: Callable[..., Any]
    evidence: type[Any]
    best: float = 1.0
    worst: float = 0.0
    lowest: float | None = None
    empty: float = math.nan
    unit: str = ""
    caveat: str = ""
    source: str = ""

    @property
    def name(self) -> str:
        """Its name, which is that of its function."""
        return self.function.__name__

    @property
    def definition(self) -> str:
        """What it says of itself, on one line."""
        return " ".join((inspect.getdoc(self.function) or "").split())

    @property
    def range(self) -> str:
        """From which value to which it goes, best last."""
        low, high = sorted((self.worst, self.best))
        low = low if self.lowest is None else self.lowest
        sign = {math.inf: "∞", -math.inf: "-∞"}
        return f"{sign.get(low, f'{low:g}')} … {sign.get(high, f'{high:g}')}, best {self.best:g}"

    def __call__(self, *evidence: Any) -> float:
        """Return its value."""
        return self.value(self.function(*evidence))

    def value(self, found: Ratio | float) -> float:
        """Return the value of what its function returned, or of the sums of that."""
        if not isinstance(found, Ratio):
            return float(found)
        return found.numerator / found.denominator if found.denominator else self.empty


def metric(
    evidence: type[Any], *, best: float = 1.0, worst: float = 0.0, lowest: float | None = None,
    empty: float = math.nan, unit: str = "", caveat: str = "", source: str = "",
) -> Callable[[Callable[..., Any]], Metric]:  # fmt: skip
    """Make a function a :class:`Metric`."""
    return lambda function: Metric(function, evidence, best, worst, lowest, empty, unit, caveat, source)


@functools.cache
def metrics() -> Mapping[str, Metric]:
    """Return all metrics by name."""
    package = importlib.import_module("segmentry.metrics")
    modules = [info.name for info in pkgutil.iter_modules(package.__path__)]
    known = [name for name in ORDER if name in modules]
    found: dict[str, Metric] = {}
    for name in [*known, *sorted(set(modules) - set(known))]:
        module = importlib.import_module(f"{package.__name__}.{name}")
        found |= {m.name: m for m in vars(module).values() if isinstance(m, Metric)}
    return MappingProxyType(found)
