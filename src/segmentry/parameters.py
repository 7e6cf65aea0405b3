"""Parameters of steps as people see them: what each takes, and what is wrong with one that was given."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from segmentry.errors import nearest

__all__ = ["Parameter", "described", "explained"]


@dataclass(frozen=True)
class Parameter:
    """One parameter of a step, as forms and tables show it."""

    name: str
    kind: str
    default: Any
    bounds: str
    description: str


def described(schema: Mapping[str, Any], defaults: Mapping[str, Any]) -> list[Parameter]:
    """Return the parameters in the properties of a JSON Schema that have a default."""
    return [
        Parameter(name, _kind(item), defaults[name], _bounds(item), item.get("description", ""))
        for name, item in schema.items()
        if name in defaults
    ]


def explained(step: str, names: Sequence[str], error: ValidationError) -> str:
    """Turn pydantic's report into one line that names the parameter, what was given and what is allowed."""
    first = error.errors()[0]
    at = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        return f"{step} has no parameter {at!r}{nearest(at, names)}"
    said = first["msg"].removeprefix("Value error, ")
    said = said[0].lower() + said[1:]
    more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
    where = f"{step}.{at} ({_short(first['input'])})" if at else step
    return f"{where}: {said}{more}"


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) < 40 else text[:37] + "…"


def _kind(item: dict[str, Any]) -> str:
    if "enum" in item:
        return " | ".join(str(v) for v in item["enum"])
    if "const" in item:
        return str(item["const"])
    if "anyOf" in item:
        kinds: Sequence[str] = [_kind(option) for option in item["anyOf"]]
        return " or ".join("none" if k == "null" else k for k in dict.fromkeys(kinds))
    if item.get("type") == "array":
        return "list"
    return "text with a unit" if "pattern" in item and item.get("default") != "" else str(item.get("type", "any"))


def _bounds(item: dict[str, Any]) -> str:
    signs = {"minimum": "≥ ", "exclusiveMinimum": "> ", "maximum": "≤ ", "exclusiveMaximum": "< "}
    options = [item, *(o for o in item.get("anyOf", ()) if o.get("type") in ("number", "integer"))]
    return ", ".join(f"{sign}{option[key]:g}" for option in options for key, sign in signs.items() if key in option)
