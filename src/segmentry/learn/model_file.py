"""The file of a trained model: arrays and JSON in the safetensors format, from which no code is ever run.

The JSON says what kind of classifier it is, what it looks at and which classes it tells apart; a SHA-256 of all of it
shows damage. Whatever a file holds is checked before it is used.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from segmentry.errors import InputError
from segmentry.learn.classifier import Classifier, kinds
from segmentry.learn.safe_file import checked_content, is_line, read_safely, refusing, shortened, write_safely

__all__ = ["FORMAT", "Model", "load_model", "save_model"]

FORMAT = 1
#: Of what type each part of a file is.
_PARTS: dict[str, Any] = {
    "kind": object,
    "settings": dict,
    "task": object,
    "names": list,
    "colours": list,
    "features": object,
    "channels": list,
    "provenance": object,
    "scores": object,
    "before": list,
}


@dataclass(frozen=True, eq=False)
class Model:
    """A classifier that has learned, and what must be known to use it.

    Parameters
    ----------
    classifier
        It has learned.
    names
        Name of each class, in the order of the probabilities.
    features
        What the classifier looks at, as plain data.
    task
        What is told apart: ``pixels``, ``objects``, or another word.
    colours
        Red, green and blue of each class, 0 to 255; none for the usual colours.
    channels
        Names of the channels that it was trained on.
    provenance, scores
        Where it comes from and how well it does, as plain data.
    before
        Classifiers whose probabilities the classifier sees, the first one first.
    """

    classifier: Classifier
    names: tuple[str, ...]
    features: Any = None
    task: str = "pixels"
    colours: tuple[tuple[int, int, int], ...] = ()
    channels: tuple[str, ...] = ()
    provenance: Mapping[str, Any] = field(default_factory=dict)
    scores: Mapping[str, Any] = field(default_factory=dict)
    before: tuple[Classifier, ...] = ()

    def __post_init__(self) -> None:
        n = self.classifier.n_classes
        if not n:
            raise InputError(f"a model needs a classifier that has learned; this {self.classifier.name} has not")
        if len(self.names) != n or len(set(self.names)) != n:
            raise InputError(f"a model of {n} classes needs {n} different names; got {len(self.names)}")
        for text in (*self.names, *self.channels, self.task):
            if not is_line(text):
                raise InputError(f"a name in a model must be a line of text; got {shortened(text)}")
        if self.colours and len(self.colours) != n:
            raise InputError(f"a model of {n} classes needs as many colours; got {len(self.colours)}")
        for colour in self.colours:
            if len(colour) != 3 or not all(type(v) is int and 0 <= v <= 255 for v in colour):
                raise InputError(f"a colour must be three whole numbers from 0 to 255; got {shortened(colour)}")
        for what in (self.provenance, self.scores):
            if not isinstance(what, Mapping):
                raise InputError(f"provenance and scores of a model must be mappings; got {shortened(what)}")


def save_model(path: str | os.PathLike[str], content: Model, *, overwrite: bool = False) -> Path:
    """Write a model to a file, which appears whole or not at all.

    Raises
    ------
    OutputError
        When the file exists and may not be replaced, or can't be written.
    InputError
        When the model holds something that is no plain data.
    """
    arrays = dict(content.classifier.arrays())
    for i, one in enumerate(content.before):
        arrays |= {f"{i}.{name}": array for name, array in one.arrays().items()}
    said = {
        "format": FORMAT,
        "kind": content.classifier.name,
        "settings": content.classifier.settings(),
        "task": content.task,
        "names": list(content.names),
        "colours": [list(colour) for colour in content.colours],
        "features": content.features,
        "channels": list(content.channels),
        "provenance": dict(content.provenance),
        "scores": dict(content.scores),
        "before": [{"kind": one.name, "settings": one.settings()} for one in content.before],
    }
    return write_safely(path, said, arrays, "model", overwrite)


def load_model(path: str | os.PathLike[str]) -> Model:
    """Read a model from a file; nothing in it is run.

    Raises
    ------
    InputError
        When it is no model, or damaged.
    """
    source = Path(path)
    with refusing(source, "model"):
        return _model(*read_safely(source))


def _model(said: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> Model:
    if said.get("kind") == "network":
        raise InputError("it is a network, not a classifier")
    checked_content(said, arrays, FORMAT, _PARTS)
    own = {name: array for name, array in arrays.items() if "." not in name}
    before = []
    for i, one in enumerate(said["before"]):
        mine = {n.removeprefix(f"{i}."): array for n, array in arrays.items() if n.startswith(f"{i}.")}
        before.append(_classifier(one["kind"], one["settings"], mine))
    return Model(
        _classifier(said["kind"], said["settings"], own),
        tuple(said["names"]),
        said["features"],
        said["task"],
        tuple(tuple(colour) for colour in said["colours"]),
        tuple(said["channels"]),
        said["provenance"],
        said["scores"],
        tuple(before),
    )


def _classifier(kind: Any, settings: Any, arrays: dict[str, NDArray[Any]]) -> Classifier:
    known = kinds()
    if not isinstance(kind, str) or kind not in known:
        raise InputError(f"it is a classifier {shortened(kind)}; this program knows {', '.join(known)}")
    return known[kind].from_arrays(arrays, settings)
