"""The file of a trained model: arrays and JSON in the safetensors format, from which no code is ever run.

The JSON says what kind of classifier it is, what it looks at and which classes it tells apart; a SHA-256 of all of it
shows damage. Whatever a file holds is checked before it is used.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segmentry.errors import InputError, SegmentryError, one_line
from segmentry.io import written_whole
from segmentry.learn.classifier import Classifier, kinds

__all__ = ["FORMAT", "Model", "load_model", "save_model"]

FORMAT = 1
_KEY = "segmentry"
#: Bytes of JSON at the beginning of a file, and how deep its parts may lie in each other.
_MOST_JSON, _DEEPEST = 2**24, 30
#: Bytes of a file.
_MOST = 2**32
_LONGEST = 1000
_OURS = {
    "format",
    "kind",
    "settings",
    "task",
    "names",
    "colours",
    "features",
    "channels",
    "provenance",
    "scores",
    "before",
    "sha256",
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
            if not isinstance(text, str) or not text.isprintable() or not 0 < len(text) <= _LONGEST:
                raise InputError(f"a name in a model must be a line of text; got {_short(text)}")
        if self.colours and len(self.colours) != n:
            raise InputError(f"a model of {n} classes needs as many colours; got {len(self.colours)}")
        for colour in self.colours:
            if len(colour) != 3 or not all(type(v) is int and 0 <= v <= 255 for v in colour):
                raise InputError(f"a colour must be three whole numbers from 0 to 255; got {_short(colour)}")
        for what in (self.provenance, self.scores):
            if not isinstance(what, Mapping):
                raise InputError(f"provenance and scores of a model must be mappings; got {_short(what)}")


def save_model(path: str | os.PathLike[str], content: Model, *, overwrite: bool = False) -> Path:
    """Write a model to a file, which appears whole or not at all.

    Raises
    ------
    OutputError
        When the file exists and may not be replaced, or can't be written.
    InputError
        When the model holds something that is no plain data.
    """
    from safetensors.numpy import save

    target = Path(path)
    arrays = {name: np.ascontiguousarray(array) for name, array in content.classifier.arrays().items()}
    for i, one in enumerate(content.before):
        arrays |= {f"{i}.{name}": np.ascontiguousarray(array) for name, array in one.arrays().items()}
    said: dict[str, Any] = {
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
    try:
        text = _text({**said, "sha256": _digest(said, arrays)})
    except (TypeError, ValueError, RecursionError) as error:
        raise InputError(f"{target} can't be written: the model holds no plain data: {one_line(error)}") from error
    if len(text.encode()) > _MOST_JSON // 2 or _depth(said) > _DEEPEST:
        raise InputError(f"{target} can't be written: what it says beside the classifier is too much")
    with written_whole(target, overwrite) as aside:
        aside.write_bytes(save(arrays, {_KEY: text}))
    return target


def load_model(path: str | os.PathLike[str]) -> Model:
    """Read a model from a file; nothing in it is run.

    Raises
    ------
    InputError
        When it is no model, or damaged.
    """
    source = Path(path)
    try:
        said, arrays = _read(source)
        return _model(said, arrays)
    except FileNotFoundError:
        raise InputError(f"{source} does not exist") from None
    except IsADirectoryError:
        raise InputError(f"{source} is a folder; a model is a file") from None
    except SegmentryError as error:
        raise InputError(f"{source} can't be used as a model: {one_line(error)}") from error
    except (OSError, ValueError, TypeError, KeyError, OverflowError, RecursionError) as error:
        raise InputError(f"{source} is no model, or it is damaged: {one_line(error)}") from error


def _read(source: Path) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """Return what a file says, and its arrays, as they are."""
    from safetensors import SafetensorError, safe_open

    with source.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        start = file.read(9)
    length = int.from_bytes(start[:8], "little")
    if len(start) < 9 or start[8:] != b"{" or length > size - 8:
        raise InputError("it is not in the safetensors format; pickles and other files are not opened")
    if length > _MOST_JSON or size > _MOST:
        raise InputError(f"it is too large: {size:,} bytes, {length:,} of them JSON")
    try:
        with safe_open(source, framework="numpy") as opened:
            text = (opened.metadata() or {}).get(_KEY)
            if text is None:
                raise InputError("it holds arrays, but was not written by this program")
            said = json.loads(text, parse_constant=_refuse)
            arrays = {name: np.asarray(opened.get_tensor(name)) for name in opened.keys()}  # noqa: SIM118
    except (SafetensorError, AttributeError) as error:
        raise InputError(f"it is damaged: {one_line(error)}") from error
    if not isinstance(said, dict) or _depth(said) > _DEEPEST:
        raise InputError("what it says is no mapping, or lies too deep")
    return said, arrays


def _model(said: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> Model:
    if said.get("format") != FORMAT:
        raise InputError(f"it has format {_short(said.get('format'))}; this program reads {FORMAT}")
    if set(said) != _OURS:
        raise InputError(f"it should say {', '.join(sorted(_OURS))}; it says {_short(sorted(said))}")
    if said["sha256"] != _digest({key: value for key, value in said.items() if key != "sha256"}, arrays):
        raise InputError("it is damaged: its SHA-256 is another")
    for key, kind in {"settings": dict, "names": list, "colours": list, "channels": list, "before": list}.items():
        if not isinstance(said[key], kind):
            raise InputError(f"{key} is no {kind.__name__}")
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
        raise InputError(f"it is a classifier {_short(kind)}; this program knows {', '.join(known)}")
    return known[kind].from_arrays(arrays, settings)


def _digest(said: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> str:
    total = hashlib.sha256(_text(said).encode())
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        total.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
        total.update(array.tobytes())
    return total.hexdigest()


def _text(said: Mapping[str, Any]) -> str:
    return json.dumps(said, sort_keys=True, allow_nan=False)


def _depth(thing: Any) -> int:
    """Return how deep plain data lie in each other, as far as it matters."""
    level, depth = [thing], 0
    while level and depth <= _DEEPEST:
        parts = [part.values() if isinstance(part, dict) else part for part in level if isinstance(part, (dict, list))]
        level, depth = [part for inner in parts for part in inner], depth + 1
    return depth


def _refuse(word: str) -> Any:
    raise InputError(f"{word} is no number")


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) < 60 else text[:57] + "…"
