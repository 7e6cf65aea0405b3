"""Texts of the command line into steps, recipes and pixel sizes."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from segmentry.errors import ParameterError, nearest

if TYPE_CHECKING:
    from segmentry.job import Options
    from segmentry.recipe import Recipe
    from segmentry.step import Cleaner

__all__ = ["check_target", "listed", "make_cleaners", "make_options", "make_recipe", "numbers_of", "pairs_of"]


def make_recipe(
    method: str | None,
    recipe: Path | None,
    settings: Sequence[str],
    filters: Sequence[str],
    cleaning: Sequence[str],
    channel: str | None,
    planes: bool,
    analyses: Sequence[str] = (),
) -> Recipe:
    """Return the recipe that the options of a command mean.

    Raises
    ------
    ParameterError, UnknownNameError, InputError
        When options contradict each other, or name what does not exist.
    """
    from segmentry.recipe import DEFAULT_METHOD, VERSION, Recipe, recipes

    if recipe is not None:
        if method or filters or cleaning or analyses:
            raise ParameterError(
                "--recipe says the steps: leave out --method, --filter, --clean and --analyse (--set may stay)"
            )
        named = str(recipe) in recipes() or not (recipe.suffix or recipe.exists())
        content = (Recipe.named(str(recipe)) if named else Recipe.read(recipe)).to_dict()
    else:
        content = {
            "segmentry": VERSION,
            "method": {method or DEFAULT_METHOD: {}},
            "filters": [_step("--filter", text) for text in filters],
            "cleaning": [_step("--clean", text) for text in cleaning],
            "analyses": [_step("--analyse", text) for text in analyses],
        }
    for text in settings:
        _set(content, text)
    if channel is not None:
        content["channel"] = int(channel) if channel.isdigit() else channel
    if planes:
        content["planes"] = True
    return Recipe.from_dict(content)


def make_cleaners(cleaning: Sequence[str]) -> list[Cleaner]:
    """Return the steps that ``--clean`` names, in order.

    Raises
    ------
    ParameterError, UnknownNameError
        When none is named, or one that does not exist or has no such parameter.
    """
    from segmentry import catalog

    if not cleaning:
        raise ParameterError("nothing to do: name a step, like --clean fill_holes or --clean drop_small:min_size=30")
    steps: list[Any] = []
    for text in cleaning:
        ((name, parameters),) = _step("--clean", text).items()
        steps.append(catalog.make("cleaner", name, parameters))
    return steps


def make_options(spacing: str | None = None, probabilities: bool = False, axes: str | None = None) -> Options:
    """Return the options of a job; `spacing` is like ``0.5,0.2,0.2um``.

    Raises
    ------
    ParameterError
        When the spacing can't be understood.
    """
    from segmentry.job import Options

    if spacing is None:
        return Options(probabilities=probabilities, axes=axes)
    match = re.fullmatch(r"\s*([0-9.eE+,\s-]+?)\s*([a-zA-Zµμ]*)\s*", spacing)
    if match is None:
        raise ParameterError(f"--spacing {spacing!r} is not like 0.5,0.2,0.2um (one number per axis, or one for all)")
    from segmentry.image import normalise_unit

    try:
        numbers = tuple(float(part) for part in match.group(1).split(","))
    except ValueError:
        raise ParameterError(
            f"--spacing {spacing!r}: {match.group(1)!r} is no list of numbers like 0.5,0.2,0.2um"
        ) from None
    unit = normalise_unit(match.group(2) or "um")
    if unit is None:
        raise ParameterError(f"--spacing {spacing!r}: unit {match.group(2)!r} is not nm, um, mm, cm or m")
    if not all(0 < n < float("inf") for n in numbers):
        raise ParameterError(f"--spacing {spacing!r}: sizes must be positive and finite")
    return Options(numbers, unit, probabilities, axes)


def pairs_of(option: str, texts: Sequence[str]) -> dict[str, Any]:
    """Return the pairs of texts like ``key=value``.

    Raises
    ------
    ParameterError
        When one is not like that.
    """
    return dict(_pair(option, text) for text in texts)


def numbers_of(option: str, text: str | None) -> tuple[float, ...]:
    """Return the numbers in a text like ``0.7,1.6``; none for no text.

    Raises
    ------
    ParameterError
        When one is no number.
    """
    try:
        return tuple(float(part) for part in text.split(",")) if text else ()
    except ValueError:
        raise ParameterError(f"{option} {text!r} is not like 0.7,1.6,5") from None


def listed(text: str | None) -> tuple[str, ...]:
    """Return the parts of a text with commas; none for no text."""
    return tuple(part.strip() for part in text.split(",")) if text else ()


def check_target(out: Path, overwrite: bool) -> None:
    """Refuse a file to write that exists, or is a folder, before any work is done.

    Raises
    ------
    OutputError
        When it can't be written.
    """
    from segmentry.errors import OutputError

    if out.is_dir():
        raise OutputError(f"{out} is a folder: name a file")
    if out.exists() and not overwrite:
        raise OutputError(f"{out} exists already: choose another name, or --overwrite")


def _step(option: str, text: str) -> dict[str, Any]:
    """Return a step written as ``name`` or ``name:key=value,key=value``."""
    name, _, rest = text.partition(":")
    pairs = re.split(r",(?=\s*\w+\s*=)", rest) if rest.strip() else []
    return {name.strip(): dict(_pair(option, pair) for pair in pairs)}


def _set(content: dict[str, Any], text: str) -> None:
    """Write ``key=value`` to the method, or ``step.key=value`` to the steps of that name."""
    key, value = _pair("--set", text)
    step, _, parameter = key.rpartition(".")
    method = content["method"]
    steps: list[dict[str, Any]] = [
        method,
        *(s for key in ("filters", "cleaning", "analyses") for s in content.get(key, ())),
    ]
    known = [name for item in steps for name in item]
    step = step or next(iter(method))
    if step not in known:
        raise ParameterError(f"--set {text}: the recipe has no step {step!r}{nearest(step, known)}")
    for item in steps:
        if step in item:
            item[step] = {**(item[step] or {}), parameter: value}


def _pair(option: str, text: str) -> tuple[str, Any]:
    import yaml

    key, sign, value = text.partition("=")
    if not sign or not key.strip():
        raise ParameterError(f"{option} {text!r} is not like key=value")
    try:
        return key.strip(), yaml.safe_load(value)
    except yaml.YAMLError:
        return key.strip(), value.strip()
