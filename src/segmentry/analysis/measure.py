"""A row of numbers per object: position, size, shape and intensity, in physical units where the pixel size is known.

Everything that is asked for is counted in one pass over labels and image. Each column is a property, whose definition
stands below; `properties` chooses them by their names or by those of their families. Columns end in their unit
(``_um``, ``_um2``, ``_um3``; ``_px`` where the pixel size is not known), those of intensities in the name of their
channel. The table carries the SHA-256 of the labels that it was made of.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from segmentry.analysis.objects import Objects, Settings
from segmentry.analysis.property import Property, chosen, columns, properties
from segmentry.errors import InputError
from segmentry.image import Array, Image, Region
from segmentry.io.tables import MEANINGS, SHA256, TOLD
from segmentry.labelling import survey
from segmentry.length import Length
from segmentry.result import Instances, Result, Semantic
from segmentry.step import Analysis
from segmentry.tiling import slabs
from segmentry.workspace import Frame

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Measure", "labels_sha256", "measure", "stale"]

Fraction = Annotated[float, Field(ge=0, le=1)]


class Measure(Analysis):
    """Measures each object: position, size, shape, and intensity in every channel."""

    name: ClassVar[str] = "measure"
    planes: bool = Field(default=False, description="Measure areas in each plane of a volume instead of volumes.")
    properties: tuple[str, ...] = Field(
        default=(), max_length=200, description="Properties, or families of them, to measure; none: those marked below."
    )
    quantiles: tuple[Fraction, ...] = Field(
        default=Settings.quantiles,
        max_length=20,
        description="Which quantiles of intensity the property `quantiles` gives.",
    )
    surround: Length = Field(
        default=Length(5), description="How far around an object the background reaches that is compared with it."
    )

    @classmethod
    def columns(cls) -> Mapping[str, Property]:
        """Return all properties by name."""
        return properties()

    def analyse(self, result: Result, image: Image | None = None) -> pd.DataFrame:
        """Return a table with one row per object and time point.

        Its ``attrs["labels_sha256"]`` is the hash of the labels, as :func:`labels_sha256` gives it; its
        ``attrs["meanings"]`` says what each column is.

        Raises
        ------
        InputError
            When labels and image differ in shape.
        ParameterError
            When there is no such property.
        """
        import pandas as pd

        wanted = chosen(self.properties)
        instances = result.instances()
        grid = instances.grid
        if image is not None and image.grid.without("C").shape != grid.shape:
            raise InputError(
                f"labels of shape {grid.shape} ({grid.axes}) don't fit an image of shape {image.grid.shape} "
                f"({image.grid.axes})"
            )
        with ThreadPoolExecutor(1) as pool:
            hashed = pool.submit(labels_sha256, instances.labels)
            tables = [self._table(part, wanted, where) for part, where in self._parts(result, image)]
            filled = [t for t in tables if len(t[0])] or tables[:1]
            found = pd.concat([t for t, _ in filled], ignore_index=True) if len(filled) > 1 else filled[0][0]
            found.attrs |= {SHA256: hashed.result(), MEANINGS: filled[0][1]}
        return found

    def _table(
        self, objects: Objects, wanted: Sequence[Property], where: Mapping[str, Any]
    ) -> tuple[pd.DataFrame, dict[str, str]]:
        """Return the rows of some objects, and what the columns mean."""
        import pandas as pd

        instances = objects.instances
        n = len(objects)
        kinds, scores = instances.classes, instances.scores
        names = np.array(instances.names, dtype=object)
        told: dict[str, Any] = {"id": objects.held.ids, **{k: np.full(n, v) for k, v in where.items()}}
        at = np.searchsorted(instances.ids, objects.held.ids)
        told["class"] = names[kinds[at]] if kinds is not None else np.full(n, names[-1])
        told["score"] = scores[at] if scores is not None else np.full(n, np.nan)
        measured = columns(wanted, objects)
        meanings = {name: TOLD[name] for name in told} | {name: p.definition for name, (_, p) in measured.items()}
        return pd.DataFrame(told | {name: values for name, (values, _) in measured.items()}), meanings

    def _parts(self, result: Result, image: Image | None) -> Iterator[tuple[Objects, Mapping[str, Any]]]:
        """Yield the objects of each time point, or plane, and what the table says of where they are."""
        instances = result.instances()
        grid = instances.grid
        presence = _presence(result)
        loose = "".join(a for a in ("TZ" if self.planes else "T") if a in grid.axes)
        for index in np.ndindex(*(grid.length(a) for a in loose)):
            frame, seen, present = instances, image, presence
            if loose:
                labels = Frame(instances.labels, index)
                frame = instances.with_labels(labels, survey(labels).ids, grid.without(*loose))
                present = None if presence is None else Frame(presence, index)
            for axis, i in zip(loose, index, strict=True):
                seen = seen and seen.at(axis, i)
            where: dict[str, Any] = {{"T": "time", "Z": "plane"}[a]: i for a, i in zip(loose, index, strict=True)}
            if grid.interval is not None and "T" in loose:
                where["time_s"] = index[0] * grid.interval
            settings = Settings(self.quantiles, self.surround.pixels(frame.grid))
            yield Objects(frame, seen, settings, present), where


def measure(result: Result, image: Image | None = None, **settings: Any) -> pd.DataFrame:
    """Return the table of :class:`Measure` for objects and, where given, the intensities of an image.

    Raises
    ------
    InputError
        When labels and image differ in shape.
    ParameterError
        When a setting, or a property, is not known.
    """
    return Measure(**settings).analyse(result, image)


def labels_sha256(labels: Array) -> str:
    """Return the SHA-256 of labels: of their shape as text, and of all ids in raster order, four bytes each.

    It is the same whatever file the labels lie in.
    """
    total = hashlib.sha256(f"{' '.join(str(n) for n in labels.shape)}\n".encode())
    for region in slabs(labels.shape):
        total.update(np.ascontiguousarray(labels[region], "<u4").data)
    return total.hexdigest()


def stale(table: pd.DataFrame, result: Result) -> str:
    """Return what is wrong where a table was not made of these labels; nothing where it was, or does not say."""
    made = table.attrs.get(SHA256)
    found = labels_sha256(result.instances().labels)
    if made is None or made == found:
        return ""
    return f"the table was made of other labels (sha256 {made[:12]}…) than these ({found[:12]}…): measure again"


class _Presence:
    """How probable it is that a pixel is of any class but the background."""

    def __init__(self, probabilities: Array) -> None:
        self._probabilities = probabilities
        self.shape = tuple(probabilities.shape[1:])
        self.dtype = np.dtype(np.float32)

    def __getitem__(self, key: Region) -> NDArray[np.float32]:
        return np.asarray(1 - np.asarray(self._probabilities[(slice(0, 1), *key)])[0], np.float32)


def _presence(result: Result) -> Array | None:
    if isinstance(result, Instances):
        return None
    semantic: Semantic = result.semantic()
    return None if semantic.probabilities is None else _Presence(semantic.probabilities)
