"""Which objects touch, and how long the line or how large the area is along which they do.

Objects touch where two of their pixels share a face. Memory grows with the number of pairs that touch, not with that of
all pairs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from segmentry.analysis.objects import Counts, Objects, Slab
from segmentry.result import Result
from segmentry.workspace import Frame

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Contacts", "contacts", "face_sizes"]


class Contacts(Counts):
    """The pairs of objects that touch, and how many faces of pixels they share: exact integers.

    Attributes
    ----------
    pairs : (m, 2) array
        Numbers 1 … n of two objects, the smaller first; in no order.
    faces : (m, axes) array
        How many faces across each axis they share.
    """

    def __init__(self, objects: Objects) -> None:
        from segmentry.kernels.contacts import no_contacts

        self._objects = objects
        self._table = no_contacts()
        self.pairs, self.faces = self._table[:2]

    @classmethod
    def reach(cls, objects: Objects) -> tuple[int, ...]:
        return (1,) * objects.ndim

    def add(self, slab: Slab) -> None:
        from segmentry.kernels.contacts import add_contacts

        self._table = add_contacts(slab.index, slab.margin, *self._table)

    def finish(self) -> None:
        pairs, faces, _, n = self._table
        self.pairs, self.faces = pairs[:n].copy(), faces[:n, 3 - self._objects.ndim :].copy()
        del self._table

    @property
    def neighbours(self) -> NDArray[np.int64]:
        """The (n,) numbers of objects that each object touches."""
        return np.bincount(self.pairs.ravel(), minlength=len(self._objects) + 1)[1:]

    @property
    def shared(self) -> NDArray[np.float64]:
        """The (n, axes) numbers of faces across each axis that each object shares with others."""
        n = len(self._objects) + 1
        shared = [np.bincount(self.pairs.T.ravel(), np.tile(count, 2), n)[1:] for count in self.faces.T]
        return np.stack(shared, axis=1)


def face_sizes(objects: Objects) -> NDArray[np.float64]:
    """Return the length, or in three dimensions the area, of a pixel's face across each axis."""
    return objects.pixel_size / np.array(objects.spacing)


def contacts(result: Result) -> pd.DataFrame:
    """Return a table with one row per pair of objects that touch: their ids, and how much they share.

    Its columns are ``time`` where there is time, ``id`` and ``neighbour``, of which ``id`` is the smaller, and
    ``contact_length`` or in three dimensions ``contact_area``, with its unit: the total size of the faces of pixels
    that both share. The rows are sorted by ids.
    """
    import pandas as pd

    instances = result.instances()
    if "T" not in instances.grid.axes:
        return pd.DataFrame(_columns(Objects(instances)))
    grid = instances.grid.without("T")
    tables = []
    for t in range(instances.grid.length("T")):
        frame = instances.with_labels(Frame(instances.labels, (t,)), instances.ids, grid)
        found = _columns(Objects(frame))
        tables.append(pd.DataFrame({"time": np.full(len(found["id"]), t)} | found))
    return pd.concat(tables, ignore_index=True)


def _columns(objects: Objects) -> dict[str, NDArray[np.uint32] | NDArray[np.float64]]:
    found = objects[Contacts]
    order = np.lexsort(found.pairs.T[::-1])
    ids = objects.held.ids[found.pairs[order].astype(np.int64) - 1].reshape(-1, 2)
    sizes = (found.faces[order] * face_sizes(objects)).sum(axis=1)
    name = f"contact_length_{objects.unit}"
    if objects.ndim == 3:
        name = "contact_area_px" if objects.unit == "px" else f"contact_area_{objects.unit}2"
    return {"id": ids[:, 0], "neighbour": ids[:, 1], name: sizes}
