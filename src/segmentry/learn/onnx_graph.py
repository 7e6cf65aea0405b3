"""Graphs in the ONNX format, taken apart and put together without ONNX's own library.

A file in that format is a message of Protocol Buffers: fields, each with a number, that hold a number, bytes or another
message. That is little to read, and it lets a graph be checked before any engine sees it, its weights be taken out, and
put in again from arrays that are in memory anyway.

A graph without its weights still names them, with type and shape, and says that they are elsewhere. No engine is given
a graph that says so of anything but the arrays that go with it, so that no file of the reader's is opened.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from numpy.typing import NDArray

from segmentry.errors import InputError

__all__ = ["Graph", "Tensor", "read_graph", "with_weights", "without_weights"]

#: Number of a field, how it is written, and what it holds.
Part: TypeAlias = tuple[int, int, "int | memoryview"]

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_MODEL_GRAPH, _MODEL_OPERATORS, _MODEL_FUNCTIONS = 7, 8, 25
_NODE, _INITIALISER, _INPUT, _OUTPUT, _SPARSE = 1, 5, 11, 12, 15
_KINDS = {"<f4": 1, "|u1": 2, "|i1": 3, "<i4": 6, "<i8": 7, "|b1": 9, "<f2": 10, "<f8": 11}
#: Parts of a model, a graph, a node and a value that say what is computed; the rest are notes.
_MEANING = {1, 2, 3, 7, 8}
_MEANING_OF_GRAPH = {_NODE, 2, _INITIALISER, _INPUT, _OUTPUT}
_MEANING_OF_NODE = {1, 2, 3, 4, 5, 7}
_MEANING_OF_VALUE = {1, 2}
#: Bytes that a message of Protocol Buffers may have, and nodes and bytes of arrays within a graph that has no weights.
_MOST, _MOST_NODES = 2**31 - 1, 100_000


@dataclass(frozen=True)
class Tensor:
    """What goes into a graph, comes out of it, or is kept in it.

    Parameters
    ----------
    name
        By which nodes refer to it.
    shape
        Length of each axis; ``None`` where it is known only in use.
    kind
        Number of the type of its elements: 1 for float32, 7 for int64.
    elsewhere
        Whether its numbers are not in the graph.
    """

    name: str
    shape: tuple[int | None, ...]
    kind: int
    elsewhere: bool = False


@dataclass(frozen=True)
class Graph:
    """What a graph takes, gives and keeps, by which operators of which version."""

    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    kept: tuple[Tensor, ...]
    operators: frozenset[str]
    version: int


def read_graph(model: bytes, arrays: Mapping[str, NDArray[Any]] | None = None) -> Graph:
    """Return what a graph takes, gives and keeps, having seen that it does nothing but compute.

    Parameters
    ----------
    model
        In the ONNX format.
    arrays
        That go with it.

    Raises
    ------
    InputError
        When it is no such graph, it has functions, inner graphs or operators of others, or numbers that it keeps
        elsewhere are not those of an array, by name, type and shape.
    """
    if len(model) > _MOST:
        raise InputError(f"a graph may have {_MOST:,} bytes; this has {len(model):,}")
    graph = list(_parts(_graph_in(model)))
    nodes = [_taken(value) for number, _, value in graph if number == _NODE]
    if len(nodes) > _MOST_NODES or any(number == _SPARSE for number, _, _ in graph):
        raise InputError("the graph is too large, or it keeps sparse arrays, which are not read")
    operators = frozenset(_operator(node) for node in nodes)
    kept = tuple(_tensor(_taken(value)) for number, _, value in graph if number == _INITIALISER)
    if len({one.name for one in kept}) < len(kept):
        raise InputError("the graph keeps several arrays of one name")
    for one in kept:
        if one.elsewhere:
            array = (arrays or {}).get(one.name)
            if array is None:
                raise InputError(f"the graph needs an array {one.name[:100]!r}, and there is none")
            if array.shape != one.shape or _KINDS.get(array.dtype.str) != one.kind:
                raise InputError(f"the array {one.name[:100]!r} has another shape or type than the graph needs")
    names = {one.name for one in kept}
    inputs = (_value(_taken(value)) for number, _, value in graph if number == _INPUT)
    outputs = tuple(_value(_taken(value)) for number, _, value in graph if number == _OUTPUT)
    own = tuple(one for one in inputs if one.name not in names)
    return Graph(own, outputs, kept, operators, _version(model))


def without_weights(model: bytes, names: Container[str]) -> bytes:
    """Return a graph without notes, and without the numbers of what it keeps by some names."""

    def emptied(tensor: memoryview) -> bytes:
        found = _tensor(tensor)
        if found.name not in names:
            return bytes(tensor)
        where = _message((1, _BYTES, b"location"), (2, _BYTES, b"weights"))
        shape = [(1, _VARINT, n) for n in found.shape]
        return _message(
            *shape, (2, _VARINT, found.kind), (8, _BYTES, found.name), (13, _BYTES, where), (14, _VARINT, 1)
        )

    return _changed(model, emptied)


def with_weights(model: bytes, arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """Return a graph that holds all its numbers.

    Raises
    ------
    InputError
        When an array is missing, does not fit, or all are too many for the format.
    """
    kept = read_graph(model, arrays).kept
    if sum(arrays[one.name].nbytes for one in kept if one.elsewhere) + 2 * len(model) > _MOST:
        raise InputError(f"the network is too large for one ONNX file, which may have {_MOST:,} bytes")

    def filled(tensor: memoryview) -> bytes:
        found = _tensor(tensor)
        if not found.elsewhere:
            return bytes(tensor)
        array = arrays[found.name]
        shape = [(1, _VARINT, n) for n in array.shape]
        return _message(*shape, (2, _VARINT, found.kind), (8, _BYTES, found.name), (9, _BYTES, array.tobytes()))

    return _changed(model, filled)


def _changed(model: bytes, tensor: Callable[[memoryview], bytes]) -> bytes:
    """Return a graph without notes, each array that it keeps replaced."""
    cut = {_NODE: _MEANING_OF_NODE, _INPUT: _MEANING_OF_VALUE, _OUTPUT: _MEANING_OF_VALUE}
    inner: list[tuple[int, int, Any]] = []
    for number, way, value in _parts(_graph_in(model)):
        if number == _INITIALISER:
            inner.append((number, way, tensor(_taken(value))))
        elif number in cut:
            inner.append((number, way, _message(*(p for p in _parts(_taken(value)) if p[0] in cut[number]))))
        elif number in _MEANING_OF_GRAPH:
            inner.append((number, way, value))
    outer = [part for part in _parts(memoryview(model)) if part[0] in _MEANING and part[0] != _MODEL_GRAPH]
    return _message(*outer, (_MODEL_GRAPH, _BYTES, _message(*inner)))


def _graph_in(model: bytes) -> memoryview:
    parts = list(_parts(memoryview(model)))
    graphs = [_taken(value) for number, _, value in parts if number == _MODEL_GRAPH]
    if len(graphs) != 1:
        raise InputError("it is no ONNX graph")
    if any(number == _MODEL_FUNCTIONS for number, _, _ in parts):
        raise InputError("the graph has functions of its own, which are not run")
    return graphs[0]


def _version(model: bytes) -> int:
    """Return the version of ONNX's own operators that a graph is written in."""
    found = 0
    for number, _, value in _parts(memoryview(model)):
        if number == _MODEL_OPERATORS:
            parts = {inner: content for inner, _, content in _parts(_taken(value))}
            if _text(parts.get(1, memoryview(b""))) in ("", "ai.onnx"):
                found = _signed(parts.get(2, 0))
    return found


def _operator(node: memoryview) -> str:
    """Return the name of what a node does, having seen that it is one of ONNX's own and holds no graph."""
    name, domain = "", ""
    for number, _, value in _parts(node):
        if number == 4:
            name = _text(value)
        elif number == 7:
            domain = _text(value)
        elif number == 5:
            for inner, _, content in _parts(_taken(value)):
                if inner in (6, 11, 22, 23):
                    raise InputError("the graph has graphs or sparse arrays within, which are not run")
                if inner in (5, 10) and _tensor(_taken(content)).elsewhere:
                    raise InputError("the graph keeps numbers of a node in another file, which is not opened")
    if domain not in ("", "ai.onnx"):
        raise InputError(f"the graph needs the operator {name[:50]!r} of {domain[:50]!r}; only ONNX's own are run")
    return name


def _tensor(data: memoryview) -> Tensor:
    name, kind, shape, elsewhere = "", 0, [], False
    for number, way, value in _parts(data):
        if number == 1:
            shape += [_signed(value)] if way == _VARINT else [_signed(n) for n in _numbers(_taken(value))]
        elif number == 2:
            kind = _signed(value)
        elif number == 8:
            name = _text(value)
        elif number == 13 or (number == 14 and value):
            elsewhere = True
    if any(n < 0 for n in shape):
        raise InputError(f"an array in the graph, {name[:100]!r}, has a negative length")
    return Tensor(name, tuple(shape), kind, elsewhere)


def _value(data: memoryview) -> Tensor:
    name, kind, shape = "", 0, []
    for number, _, value in _parts(data):
        if number == 1:
            name = _text(value)
        for inner, _, content in _parts(_taken(value)) if number == 2 else ():
            for deeper, _, told in _parts(_taken(content)) if inner == 1 else ():
                if deeper == 1:
                    kind = _signed(told)
                elif deeper == 2:
                    shape = [_length(_taken(axis)) for at, _, axis in _parts(_taken(told)) if at == 1]
    return Tensor(name, tuple(shape), kind)


def _length(axis: memoryview) -> int | None:
    return next((_signed(value) for number, _, value in _parts(axis) if number == 1), None)


def _parts(data: memoryview) -> Iterator[Part]:
    """Yield the fields of a message."""
    at, end = 0, len(data)
    while at < end:
        key, at = _varint(data, at)
        number, way = key >> 3, key & 7
        if way == _VARINT:
            value, at = _varint(data, at)
            yield number, way, value
            continue
        size = {_FIXED64: 8, _FIXED32: 4}.get(way, 0)
        if way == _BYTES:
            size, at = _varint(data, at)
        if not number or (not size and way != _BYTES) or size > end - at:
            raise InputError("it is no ONNX graph, or it is damaged")
        yield number, way, data[at : at + size]
        at += size


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    found = 0
    for shift in range(0, 70, 7):
        if at >= len(data):
            break
        byte = data[at]
        found |= (byte & 127) << shift
        at += 1
        if byte < 128:
            return found & (2**64 - 1), at
    raise InputError("it is no ONNX graph, or it is damaged")


def _numbers(data: memoryview) -> Iterator[int]:
    at = 0
    while at < len(data):
        found, at = _varint(data, at)
        yield found


def _signed(value: int | memoryview) -> int:
    if not isinstance(value, int):
        raise InputError("it is no ONNX graph, or it is damaged")
    return value - 2**64 if value >= 2**63 else value


def _taken(value: int | memoryview) -> memoryview:
    if isinstance(value, int):
        raise InputError("it is no ONNX graph, or it is damaged")
    return value


def _text(value: int | memoryview) -> str:
    try:
        return bytes(_taken(value)).decode()
    except UnicodeDecodeError:
        raise InputError("it is no ONNX graph, or it is damaged") from None


def _message(*parts: tuple[int, int, Any]) -> bytes:
    """Return the message of some fields."""
    found: list[bytes | memoryview] = []
    for number, way, value in parts:
        found.append(_written(number << 3 | way))
        if way == _VARINT:
            found.append(_written(value))
        else:
            content = value.encode() if isinstance(value, str) else value
            if way == _BYTES:
                found.append(_written(len(content)))
            found.append(content)
    return b"".join(found)


def _written(number: int) -> bytes:
    found = bytearray()
    number &= 2**64 - 1
    while number > 127:
        found.append(number & 127 | 128)
        number >>= 7
    found.append(number)
    return bytes(found)
