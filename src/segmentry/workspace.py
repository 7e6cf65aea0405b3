"""Arrays for results: in memory where they fit, else on disk for as long as somebody holds them."""

from __future__ import annotations

import math
import shutil
import tempfile
import weakref
from collections.abc import Sequence
from pathlib import Path
from threading import RLock
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from segmentry.errors import InputError
from segmentry.labelling import Store

__all__ = ["DiskArray", "Frame", "Part", "ensure_memory", "new_array"]

#: Results of up to this many bytes, all together, are held in memory.
IN_MEMORY_BYTES = 2**28
CHUNK = 512
#: Bytes of the arrays in memory that somebody holds, by what Python calls them.
_held: dict[int, int] = {}
_lock = RLock()
#: What segmenting pixels in one piece is taken to need, in bytes each: watershed takes 40, SLIC 68, Felzenszwalb's 74.
BYTES_PER_PIXEL = 80


def new_array(shape: Sequence[int], dtype: DTypeLike, folder: Path | None = None) -> Store:
    """Return an array of zeros: of NumPy as long as all of them that are in use have 256 MB or less, else on disk.

    The latter lie in a temporary folder inside of `folder`.
    """
    size = math.prod(shape) * np.dtype(dtype).itemsize
    with _lock:
        if sum(list(_held.values())) + size > IN_MEMORY_BYTES:
            return DiskArray(shape, dtype, folder)
        made = np.zeros(tuple(shape), dtype)
        _held[id(made)] = size
        weakref.finalize(made, _held.pop, id(made), None).atexit = False
        return made


def ensure_memory(pixels: int, what: str, advice: str) -> int:
    """Return how many bytes segmenting so many pixels in one piece needs.

    Raises
    ------
    InputError
        When that is more than is free: `what` must be done, what it needs, and `advice`.
    """
    import psutil

    need, free = pixels * BYTES_PER_PIXEL, psutil.virtual_memory().available
    if need > 0.9 * free:
        raise InputError(f"{what}: about {need / 1e9:.1f} GB, and {free / 1e9:.1f} GB are free; {advice}")
    return need


class DiskArray:
    """An array of zeros in a temporary folder, removed when the array is."""

    def __init__(self, shape: Sequence[int], dtype: DTypeLike, folder: Path | None = None) -> None:
        import zarr

        place = tempfile.mkdtemp(prefix="segmentry-", dir=folder)
        self._remove = weakref.finalize(self, shutil.rmtree, place, ignore_errors=True)
        chunks = tuple(1 if i < len(shape) - 2 else min(n, CHUNK) for i, n in enumerate(shape))
        self._array = zarr.create_array(store=place, shape=tuple(shape), dtype=np.dtype(dtype), chunks=chunks)
        self.shape = tuple(shape)
        self.dtype = np.dtype(dtype)

    def __getitem__(self, key: Any) -> NDArray[Any]:
        return np.asarray(self._array[key])

    def __setitem__(self, key: Any, value: Any) -> None:
        self._array[key] = value


class Frame:
    """One time point or plane of a stored array, as an array of its own."""

    def __init__(self, store: Any, index: tuple[int, ...]) -> None:
        self._store, self._index = store, index
        self.shape = tuple(store.shape[len(index) :])
        self.dtype = np.dtype(store.dtype)

    def __getitem__(self, key: Any) -> NDArray[Any]:
        return np.asarray(self._store[self._index + _full(key, len(self.shape))])

    def __setitem__(self, key: Any, value: Any) -> None:
        self._store[self._index + _full(key, len(self.shape))] = value


class Part:
    """What is left of a stored array where some of its axes have one place, as an array of its own.

    Parameters
    ----------
    store
        The array.
    key
        For each axis a place, or a slice of all.
    """

    def __init__(self, store: Any, key: tuple[int | slice, ...]) -> None:
        self._store, self._key = store, key
        self.shape = tuple(n for n, k in zip(store.shape, key, strict=True) if isinstance(k, slice))
        self.dtype = np.dtype(store.dtype)

    def __getitem__(self, key: Any) -> NDArray[Any]:
        return np.asarray(self._store[self._whole(key)])

    def __setitem__(self, key: Any, value: Any) -> None:
        self._store[self._whole(key)] = value

    def _whole(self, key: Any) -> tuple[Any, ...]:
        parts = iter(_full(key, len(self.shape)))
        return tuple(next(parts) if isinstance(k, slice) else k for k in self._key)


def _full(key: Any, ndim: int) -> tuple[Any, ...]:
    return (slice(None),) * ndim if key is Ellipsis else tuple(key)
