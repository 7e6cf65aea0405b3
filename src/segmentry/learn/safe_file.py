"""Arrays and plain data in one file of the safetensors format, from which no code is ever run.

The plain data is JSON in the file's metadata; a SHA-256 of all of it shows damage. What the data must say is for those
to check who read it: :mod:`segmentry.learn.model_file` and :mod:`segmentry.learn.network_file`.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from segmentry.errors import InputError, SegmentryError, one_line
from segmentry.io import written_whole

__all__ = [
    "LONGEST",
    "checked_content",
    "is_line",
    "plain_yaml",
    "read_safely",
    "refusing",
    "shortened",
    "write_safely",
]

_KEY = "segmentry"
#: Bytes of JSON at the beginning of a file, and how deep its parts may lie in each other.
_MOST_JSON, _DEEPEST = 2**24, 30
#: Bytes of a file.
_MOST = 2**32
#: Letters of a name.
LONGEST = 1000


def write_safely(
    path: str | os.PathLike[str],
    said: Mapping[str, Any],
    arrays: Mapping[str, NDArray[Any]],
    what: str,
    overwrite: bool,
) -> Path:
    """Write plain data and arrays to a file, which appears whole or not at all.

    Parameters
    ----------
    what
        Word for what is written, for messages.

    Raises
    ------
    OutputError
        When the file exists and may not be replaced, or can't be written.
    InputError
        When `said` is no plain data, or too much of it.
    """
    from safetensors.numpy import save

    target = Path(path)
    arrays = {name: np.asarray(array, order="C") for name, array in arrays.items()}
    try:
        text = _text({**said, "sha256": _digest(said, arrays)})
    except (TypeError, ValueError, RecursionError) as error:
        raise InputError(f"{target} can't be written: the {what} holds no plain data: {one_line(error)}") from error
    if len(text.encode()) > _MOST_JSON // 2 or _depth(said) > _DEEPEST:
        raise InputError(f"{target} can't be written: what it says beside its arrays is too much")
    with written_whole(target, overwrite) as aside:
        # The library's own way to a file keeps others of the group from reading it.
        aside.write_bytes(save(arrays, {_KEY: text}))
    return target


def read_safely(source: Path) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """Return what a file says, and its arrays, as they are: :func:`checked_content` must follow.

    Raises
    ------
    InputError
        When it is no such file, or too large.
    """
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


def checked_content(
    said: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]], form: int, kinds: Mapping[str, Any]
) -> None:
    """Refuse content of another format, with other keys, that is damaged, or whose parts are of other types.

    Parameters
    ----------
    form
        Number of the format.
    kinds
        Type of the value of each key beside ``format`` and ``sha256``.
    """
    if said.get("format") != form:
        raise InputError(f"it has format {shortened(said.get('format'))}; this program reads {form}")
    ours = {"format", "sha256", *kinds}
    if set(said) != ours:
        raise InputError(f"it should say {', '.join(sorted(ours))}; it says {shortened(sorted(said))}")
    if said["sha256"] != _digest({key: value for key, value in said.items() if key != "sha256"}, arrays):
        raise InputError("it is damaged: its SHA-256 is another")
    for key, kind in kinds.items():
        if not isinstance(said[key], kind):
            raise InputError(f"{key} is no {getattr(kind, '__name__', kind)}")


@contextmanager
def refusing(source: Path, what: str) -> Iterator[None]:
    """Turn whatever goes wrong with a file into an :class:`~segmentry.errors.InputError` of one line.

    Parameters
    ----------
    what
        Word for what the file should be.
    """
    try:
        yield
    except FileNotFoundError:
        raise InputError(f"{source} does not exist") from None
    except IsADirectoryError:
        raise InputError(f"{source} is a folder; a {what} is a file") from None
    except SegmentryError as error:
        raise InputError(f"{source} can't be used as a {what}: {one_line(error)}") from error
    except (OSError, ValueError, TypeError, KeyError, OverflowError, RecursionError) as error:
        raise InputError(f"{source} is no {what}, or it is damaged: {one_line(error)}") from error


def is_line(text: Any) -> bool:
    """Return whether something is a line of text, which may be a name."""
    return isinstance(text, str) and text.isprintable() and 0 < len(text) <= LONGEST


def shortened(value: Any) -> str:
    """Return a value as it is told in a message."""
    text = repr(value)
    return text if len(text) < 60 else text[:57] + "…"


def _digest(said: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> str:
    total = hashlib.sha256(_text(said).encode())
    for name in sorted(arrays):
        array = np.asarray(arrays[name], order="C")
        total.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
        total.update(array.reshape(-1).view(np.uint8).data)
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


class _Loader(yaml.SafeLoader):
    """Plain data in which nothing large is repeated by reference: that could be made to grow without end."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        event: Any = self.peek_event()  # type: ignore[no-untyped-call]
        if isinstance(event, yaml.AliasEvent) and not isinstance(self.anchors.get(event.anchor), yaml.ScalarNode):
            raise InputError("its description repeats parts by reference, which is not read")
        return super().compose_node(parent, index)


def plain_yaml(text: bytes) -> Any:
    """Return the plain data in a description in YAML.

    Raises
    ------
    InputError
        When it is none, or repeats parts by reference.
    """
    try:
        return yaml.load(text, Loader=_Loader)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise InputError(f"its description is no YAML: {' '.join(str(error).split())[:200]}") from None
