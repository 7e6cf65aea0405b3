"""Recipes: what is done to an image, as named steps with named parameters.

A recipe is written in YAML (or JSON)::

    segmentry: 1
    channel: DAPI
    filters:
      - gaussian: {sigma: 0.5 um}
    method:
      watershed: {depth: 1.5}
    cleaning:
      - drop_small: {min_size: 20 um2}

Unknown keys are refused with their path; what is left out has its default.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import yaml
from numpy.typing import NDArray

from segmentry import catalog
from segmentry.errors import InputError, ParameterError, SegmentryError, UnknownNameError, nearest, one_line
from segmentry.image import Image
from segmentry.run import Outcome, run
from segmentry.step import Analysis, Cleaner, Filter, Segmenter, Step

__all__ = ["DEFAULT_METHOD", "VERSION", "Recipe", "differences", "recipes", "segment"]

VERSION = 1
#: What segments an image when nothing is said.
DEFAULT_METHOD = "nuclei"
LARGEST_FILE = 1_000_000
#: Where the recipes lie that come with the program.
_FOLDER = Path(__file__).parent / "recipes"
_LISTS = {"filters": "filter", "cleaning": "cleaner", "analyses": "analysis"}
_KEYS = ("segmentry", "channel", "planes", "filters", "method", "cleaning", "analyses")

S = TypeVar("S", bound=Step)


@dataclass(frozen=True)
class Recipe:
    """Filters, one method, cleaners and analyses, with their parameters.

    Parameters
    ----------
    method
        The segmenter.
    filters, cleaning, analyses
        Steps in order.
    channel
        Name or number of the channel to segment; ``None``: the only one, or all for a method that sees colour.
    planes
        Whether each plane of a volume is segmented by itself.

    Examples
    --------
    >>> Recipe.parse("{segmentry: 1, method: {otsu: {foreground: dark}}}").method
    Otsu(foreground='dark', threshold_=None)
    """

    method: Segmenter
    filters: tuple[Filter, ...] = ()
    cleaning: tuple[Cleaner, ...] = ()
    analyses: tuple[Analysis, ...] = ()
    channel: str | int | None = None
    planes: bool = False

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> Recipe:
        """Return the recipe in a YAML or JSON file, or the one that a project of ilastik means.

        Models that a recipe names by a relative path lie beside it, or in the working directory.

        Raises
        ------
        InputError
            When the file can't be read or is no recipe, with the path of the key that is wrong.
        """
        path = Path(path)
        if path.suffix.lower() == ".ilp":
            from segmentry.ilastik_recipes import recipe_of

            content, left = recipe_of(path)
            for what in left:
                logging.getLogger("segmentry").warning("%s: not carried over: %s", path.name, what)
            return cls.from_dict({"segmentry": VERSION, **content})
        try:
            if path.stat().st_size > LARGEST_FILE:
                raise InputError(f"{path} is larger than a recipe can be ({LARGEST_FILE:,} bytes)")
            text = path.read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"recipe {path} can't be read: {one_line(error)}") from error
        try:
            return cls.from_dict(_located(_content(text), path.parent))
        except SegmentryError as error:
            raise type(error)(f"recipe {path}: {error}") from error

    @classmethod
    def named(cls, name: str) -> Recipe:
        """Return a recipe that comes with the program; :func:`recipes` lists them.

        Raises
        ------
        UnknownNameError
            When there is none of this name.
        """
        if name not in recipes():
            raise UnknownNameError(f"no recipe is called {name!r}{nearest(name, list(recipes()))}")
        return cls.read(_FOLDER / f"{name}.yaml")

    @classmethod
    def parse(cls, text: str) -> Recipe:
        """Return the recipe in a YAML or JSON text.

        Raises
        ------
        InputError, ParameterError, UnknownNameError
            When it is not YAML, or a key, a name or a value is wrong.
        """
        return cls.from_dict(_content(text))

    @classmethod
    def from_dict(cls, content: Any) -> Recipe:
        """Return the recipe in plain data, as :meth:`to_dict` gives it."""
        if not isinstance(content, Mapping):
            raise InputError("it must be a mapping with the keys segmentry and method")
        for key in content:
            if key not in _KEYS:
                raise ParameterError(f"no key {key!r} in a recipe{nearest(str(key), _KEYS)}")
        if content.get("segmentry") != VERSION:
            raise InputError(f"segmentry: {content.get('segmentry')!r} found; this program reads version {VERSION}")
        if "method" not in content:
            raise InputError("the key method is missing: method: {otsu: {}} for example")
        channel = content.get("channel")
        if channel is not None and (isinstance(channel, bool) or not isinstance(channel, str | int)):
            raise ParameterError(f"channel ({channel!r}) must be a name or a number")
        planes = content.get("planes", False)
        if not isinstance(planes, bool):
            raise ParameterError(f"planes ({planes!r}) must be true or false")
        lists = {key: _steps(key, kind, content.get(key)) for key, kind in _LISTS.items()}
        method: Any = _step("method", "method", content["method"])
        return cls(method=method, channel=channel, planes=planes, **lists)

    def to_dict(self) -> dict[str, Any]:
        """Return the recipe as plain data with every parameter, defaults included."""
        return {
            "segmentry": VERSION,
            "channel": self.channel,
            "planes": self.planes,
            "filters": [_written(s) for s in self.filters],
            "method": _written(self.method),
            "cleaning": [_written(s) for s in self.cleaning],
            "analyses": [_written(s) for s in self.analyses],
        }

    def to_yaml(self) -> str:
        """Return the recipe as YAML."""
        return str(yaml.safe_dump(self.to_dict(), sort_keys=False, allow_unicode=True))

    def run(self, image: Image, **options: Any) -> Outcome:
        """Segment an image; `options` are those of :func:`segmentry.run.run` that don't change the result.

        Probabilities are kept where an analysis needs them.
        """
        kept = bool(options.pop("probabilities", False)) or any(s.needs_probabilities for s in self.analyses)
        return run(
            self.method,
            image,
            filters=self.filters,
            cleaners=self.cleaning,
            channel=self.channel,
            planes=self.planes,
            probabilities=kept,
            **options,
        )


def recipes() -> dict[str, str]:
    """Return the names of the recipes that come with the program, each with a line on what it is for."""
    files = sorted(_FOLDER.glob("*.yaml"))
    return {f.stem: f.read_text("utf-8").split("\n", 1)[0].removeprefix("# ") for f in files}


def segment(image: Image | NDArray[Any], method: str = DEFAULT_METHOD, **parameters: Any) -> Outcome:
    """Segment an image, or an array in two or three dimensions, with one method and its parameters.

    Filters and cleaners need a :class:`Recipe`, arrays of other axes :meth:`segmentry.image.Image.from_array`.

    Raises
    ------
    SegmentryError
        When there is no such method or parameter, or the method can't be used on the image.

    Examples
    --------
    >>> outcome = segment(Image.from_array([[0, 0, 9], [0, 0, 9]]), "watershed", sigma=0)
    >>> outcome.instances.ids
    array([1], dtype=uint32)
    """
    seen = image if isinstance(image, Image) else Image.from_array(image)
    return Recipe.from_dict({"segmentry": VERSION, "method": {method: parameters}}).run(seen)


def differences(one: Any, other: Any, path: str = "") -> list[str]:
    """Return where two pieces of plain data differ, as lines ``path: one → other``.

    >>> differences({"a": {"b": 1}}, {"a": {"b": 2}})
    ['a.b: 1 → 2']
    """
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        keys = [*one, *(k for k in other if k not in one)]
        found = [
            differences(one.get(k, "(nothing)"), other.get(k, "(nothing)"), f"{path}.{k}" if path else str(k))
            for k in keys
        ]
        return [line for lines in found for line in lines]
    if isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        pairs = enumerate(zip(one, other, strict=True))
        return [line for i, (a, b) in pairs for line in differences(a, b, f"{path}[{i}]")]
    return [] if one == other else [f"{path}: {_shown(one)} → {_shown(other)}"]


def _content(text: str) -> Any:
    try:
        if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text, yaml.SafeLoader)):
            raise InputError("references (*name) are not allowed in a recipe")
        return yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise InputError(f"not valid YAML: {one_line(error)}") from error


def _located(content: Any, folder: Path) -> Any:
    """Return plain data in which the models that lie in a folder have their whole paths."""
    if isinstance(content, list):
        return [_located(item, folder) for item in content]
    if not isinstance(content, dict):
        return content
    found = {key: _located(value, folder) for key, value in content.items()}
    model = found.get("model")
    if isinstance(model, str) and model and (folder / model).is_file():
        found["model"] = str((folder / model).resolve())
    return found


def _written(step: Step) -> dict[str, Any]:
    """Return a step as a recipe has it; what it has learned already belongs to it."""
    return {step.name: {**step.settings(), **step.fitted()}}


def _shown(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else text[:59] + "…"


def _steps(key: str, kind: str, items: Any) -> tuple[Any, ...]:
    if items is None:
        return ()
    if isinstance(items, str) or not isinstance(items, Sequence):
        raise ParameterError(f"{key} must be a list of steps, like - {catalog.names(kind)[0]}: {{}}")
    return tuple(_step(f"{key}[{i}]", kind, item) for i, item in enumerate(items))


def _step(path: str, kind: str, item: Any) -> Step:
    if isinstance(item, str):
        item = {item: {}}
    if not isinstance(item, Mapping) or len(item) != 1:
        raise ParameterError(f"{path} ({_shown(str(item))}) must be one name with its parameters")
    ((name, parameters),) = item.items()
    if not isinstance(parameters, Mapping | None):
        raise ParameterError(f"{path}.{name} ({_shown(str(parameters))}) must be parameters by name")
    try:
        return catalog.make(kind, str(name), {str(k): v for k, v in (parameters or {}).items()})
    except SegmentryError as error:
        raise type(error)(f"{path}: {error}") from error
