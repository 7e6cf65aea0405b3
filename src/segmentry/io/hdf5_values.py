"""The values of an HDF5 file that another program wrote its settings to, each checked before it is read.

Nothing leads out of the file: links, external storage and virtual datasets are refused. Nothing is unpickled: only text
and numbers are read.
"""

from __future__ import annotations

import mmap
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segmentry.errors import InputError
from segmentry.io.format import check_claim

__all__ = ["Place", "check_heaps", "number_in"]

#: How a heap of texts begins.
HEAP = b"GCOL\1\0\0\0"

#: Entries of a group, and texts of a dataset, that are looked at; no program writes more settings than this.
MANY = 20_000
#: Characters of a text, and numbers of a dataset, that are read.
LONG, MOST = 1_000_000, 20_000_000
INTEGERS, NUMBERS = "biu", "biuf"


@dataclass(frozen=True)
class Place:
    """A group of an open file.

    Parameters
    ----------
    group
        The group, of h5py.
    path
        The file: how much of it there is bounds what a dataset may claim.
    where
        Its path within the file, for messages.
    """

    group: Any
    path: Path
    where: str = ""

    def names(self) -> list[str]:
        """Return the names of what lies here, numbers in them in their order."""
        if len(self.group) > MANY:
            raise InputError(f"{self.where or '/'} has {len(self.group):,} entries: it is damaged")
        return sorted(
            self.group, key=lambda name: [int(p) if p.isdigit() else p for p in re.split(r"(\d{1,18})", name)]
        )

    def places(self) -> Iterator[tuple[str, Place]]:
        """Give each group that lies here with its name."""
        for name in self.names():
            inner = self.place(name)
            if inner is not None:
                yield name, inner

    def place(self, name: str) -> Place | None:
        """Return the group of that name, ``None`` where there is none."""
        import h5py

        item = self._item(name)
        return Place(item, self.path, f"{self.where}/{name}") if isinstance(item, h5py.Group) else None

    def numbers(self, name: str, kinds: str = NUMBERS, ndim: int | None = None) -> NDArray[Any] | None:
        """Return the numbers of a dataset, ``None`` where there is none of that name.

        Raises
        ------
        InputError
            When it holds anything else, is of other dimensions, or claims more than the file can hold.
        """
        data = self.dataset(name)
        if data is None:
            return None
        if data.size is not None and data.size > MOST:
            raise self.wrong(name, f"{data.size:,} numbers", f"at most {MOST:,}")
        if data.dtype.kind not in kinds or data.shape is None or (ndim is not None and len(data.shape) != ndim):
            wanted = "integers" if kinds == INTEGERS else "numbers"
            raise self.wrong(name, _said(data), wanted if ndim is None else f"{wanted} in {ndim} dimensions")
        return np.asarray(data[()])

    def number(self, name: str, default: float | None = None) -> float | None:
        """Return the one number of a dataset, `default` where there is none of that name."""
        found = self.numbers(name)
        if found is None:
            return default
        if found.size != 1 or not np.isfinite(found.item()):
            raise self.wrong(name, f"{found.ravel()[:4].tolist()} of shape {found.shape}", "one finite number")
        return float(found.item())

    def text(self, name: str, default: str = "") -> str:
        """Return the text of a dataset, however it is stored; `default` where there is none of that name."""
        found = self.texts(name)
        if found is None:
            return default
        if len(found) != 1:
            raise self.wrong(name, f"{len(found)} texts", "one")
        return found[0]

    def texts(self, name: str) -> tuple[str, ...] | None:
        """Return the texts of a dataset, ``None`` where there is none of that name."""
        import h5py

        data = self.dataset(name)
        if data is None:
            return None
        if h5py.check_string_dtype(data.dtype) is None or data.shape is None:
            raise self.wrong(name, _said(data), "text")
        if data.size > MANY or data.dtype.itemsize > LONG:
            raise self.wrong(name, f"{data.size:,} texts of {data.dtype}", f"at most {MANY:,} of {LONG:,} characters")
        longest = self._longest(data)
        if longest > LONG:
            raise self.wrong(name, f"a text of {longest:,} characters", f"at most {LONG:,}")
        return tuple(_decoded(value) for value in np.ravel(np.asarray(data[()], object)))

    def attribute(self, name: str, key: str) -> str:
        """Return the text of an attribute of a dataset, empty where there is none."""
        import h5py

        attributes = self.group[name].attrs
        if key not in attributes:
            return ""
        kept = attributes.get_id(key)
        if h5py.check_string_dtype(kept.dtype) is None or kept.shape != () or kept.dtype.itemsize > LONG:
            raise self.wrong(f"{name}@{key}", f"{kept.dtype} of shape {kept.shape}", "text")
        return _decoded(attributes[key])

    def flag(self, name: str, key: str) -> bool:
        """Say whether an attribute of a dataset is there and true."""
        attributes = self.group[name].attrs
        if key not in attributes:
            return False
        kept = attributes.get_id(key)
        return kept.dtype.kind in INTEGERS and kept.shape == () and bool(attributes[key])

    def dataset(self, name: str) -> Any:
        """Return the dataset of that name without reading it, ``None`` where there is none.

        Raises
        ------
        InputError
            When its values lie outside the file, or it claims more than the file can hold.
        """
        import h5py

        item = self._item(name)
        if not isinstance(item, h5py.Dataset):
            return None
        if item.is_virtual or item.external:
            raise InputError(f"{self.where}/{name} takes its values from another file: that is not followed")
        for shape in (item.shape or (), item.chunks or ()):
            check_claim(self.path, shape, item.dtype.itemsize)
        return item

    def wrong(self, name: str, found: str, wanted: str) -> InputError:
        """Return the error that says what was found in the place of what."""
        return InputError(f"{self.where}/{name} is {found}, not {wanted}: the file is damaged")

    def _longest(self, data: Any) -> int:
        """Return the length that texts elsewhere in the file claim to have: HDF5 makes room before it looks there."""
        offset = data.id.get_offset()
        if data.dtype.kind != "O" or offset is None:
            return 0
        with self.path.open("rb") as file:
            file.seek(offset)
            stored = file.read(16 * data.size)
        claims = np.frombuffer(stored[: len(stored) // 16 * 16], "<u4")[::4]  # then come an address and a number
        return int(claims.max(initial=0))

    def _item(self, name: str) -> Any:
        import h5py

        link = self.group.get(name, getlink=True)
        if link is None:
            return None
        if not isinstance(link, h5py.HardLink):
            raise InputError(f"{self.where}/{name} is a link to elsewhere: that is not followed")
        return self.group[name]


def check_heaps(path: Path) -> None:
    """Refuse a damaged file over whose heap of texts the HDF5 library would go round for ever.

    It adds the lengths of the heap's entries, of which free space may, when damaged, have none.

    Raises
    ------
    InputError
        When there is such a heap.
    """
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        heap = content.find(HEAP)
        while heap >= 0 and heap + 16 <= len(content):
            (size,) = struct.unpack_from("<Q", content, heap + len(HEAP))
            place, end = heap + 16, min(heap + size, len(content))
            while place + 16 <= end:
                number, length = struct.unpack_from("<H6xQ", content, place)
                step = 16 + -(-length // 8) * 8 if number else length
                if step == 0:
                    raise InputError("it has a heap of texts without an end: it is damaged")
                place += step
            heap = content.find(HEAP, heap + len(HEAP))


def number_in(name: str) -> int:
    """Return the number within a name such as ``lane0003``; -1 where there is none.

    >>> number_in("labels012"), number_in("notes")
    (12, -1)
    """
    found = re.search(r"\d{1,9}", name)
    return int(found[0]) if found else -1


def _said(data: Any) -> str:
    return f"{data.dtype} of shape {data.shape}"


def _decoded(value: Any) -> str:
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    text = value.rstrip("\0") if isinstance(value, str) else "\0"
    if "\0" in text or len(text) > LONG:
        raise InputError(f"a text of the file is none, or longer than {LONG:,} characters: it is damaged")
    return text
