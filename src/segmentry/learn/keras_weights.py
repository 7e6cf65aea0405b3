"""Weights of networks of Keras, out of the HDF5 files that Keras 2 and 3 write.

Keras 2, and Keras 3 in its old format, have a group for each layer, in which the arrays lie by names such as
``conv2d_1/kernel:0``; files of whole models have these groups within one more. Keras 3 by itself numbers the arrays,
and keeps the name of the layer beside them. Arrays are found by walking through the groups, whatever the file says.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeAlias

from numpy.typing import NDArray

from segmentry.errors import InputError
from segmentry.io.hdf5_values import Place, check_heaps

__all__ = ["CONVOLUTION", "NORM", "Layers", "read_layers"]

#: What Keras calls the arrays of a convolution and of a normalisation, in the order in which it numbers them.
CONVOLUTION = ("kernel", "bias")
NORM = ("gamma", "beta", "moving_mean", "moving_variance")
#: Bytes of a file, groups and arrays of a layer, and layers.
_MOST, _MOST_PARTS, _MOST_LAYERS = 2**31 - 1, 40, 2000
#: How many times more bytes than the file all arrays may have, and how many they may have in any case.
_DENSEST, _LEAST_ROOM = 20, 2**26
_MAGIC = b"\x89HDF\r\n\x1a\n"

#: Arrays of each layer by the names that Keras has for them.
Layers: TypeAlias = dict[str, dict[str, NDArray[Any]]]


def read_layers(path: Path) -> Layers:
    """Return the arrays of each layer by the layer's name and by what Keras calls them, such as ``kernel``.

    Raises
    ------
    InputError
        When the file is no HDF5, is too large, or is damaged. The HDF5 library raises errors of its own, too.
    """
    import h5py

    if path.stat().st_size > _MOST:
        raise InputError(f"its weights are too large: {path.stat().st_size:,} bytes")
    with path.open("rb") as opened:
        if opened.read(len(_MAGIC)) != _MAGIC:
            raise InputError(f"its {path.name} is not HDF5, as weights are")
    check_heaps(path)
    with h5py.File(path, "r", locking=False) as file:
        root = Place(file, path)
        numbered = root.place("layers")
        places = list((numbered or root.place("model_weights") or root).places())
        if len(places) > _MOST_LAYERS:
            raise InputError(f"its weights have {len(places):,} layers: they are damaged")
        found: Layers = {}
        room = max(_LEAST_ROOM, path.stat().st_size * _DENSEST)
        for own, place in places:
            arrays = _arrays(place, room)
            room -= sum(array.nbytes for array in arrays.values())
            name, arrays = (own, arrays) if numbered is None else _numbered(place, arrays)
            if arrays:
                found[name] = arrays
        return found


def _arrays(layer: Place, room: int) -> dict[str, NDArray[Any]]:
    """Return the arrays of a layer by the last parts of their names, however deep they lie."""
    found: dict[str, NDArray[Any]] = {}
    places, looked = [layer], 0
    while places:
        place = places.pop()
        for name in place.names():
            looked += 1
            if looked > _MOST_PARTS:
                raise InputError(f"{layer.where} has more than {_MOST_PARTS} parts: it is damaged")
            inner, data = place.place(name), place.dataset(name)
            if inner is not None:
                places.append(inner)
            elif data is not None and data.dtype.kind == "f":
                room -= data.nbytes
                if room < 0:
                    raise InputError(f"{place.where} claims far more numbers than the file has bytes: it is damaged")
                array = place.numbers(name, "f")
                if array is not None:
                    found[name.partition(":")[0]] = array
    return found


def _numbered(place: Place, arrays: dict[str, NDArray[Any]]) -> tuple[str, dict[str, NDArray[Any]]]:
    """Return the name and the arrays of a layer of Keras 3, which numbers them."""
    name = place.attribute("vars", "name") if place.place("vars") is not None else ""
    if arrays and not name:
        raise InputError("its weights have no names of layers: save them again, under a name like weights_best.h5")
    kernel = arrays.get("0")
    known = CONVOLUTION if kernel is not None and kernel.ndim > 1 else NORM
    return name, {known[int(key)]: array for key, array in arrays.items() if key.isdigit() and int(key) < len(known)}
