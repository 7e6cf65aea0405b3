"""What may be wrong with labels: fragments, holes, single pixels, ids that can't be ids; and what mends it.

A *problem* is what a label image of whole objects does not have. A *note* is a fact that may surprise another program:
gaps in the ids, ids that don't count in raster order, objects at the edge of the image. Each time point is looked at by
itself: an object that is seen twice in a series is no object in pieces.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from segmentry.cleaning.fill_holes import FillHoles
from segmentry.cleaning.split_fragments import SplitFragments
from segmentry.errors import InputError
from segmentry.image import Image
from segmentry.labelling import Survey, survey
from segmentry.mending import mend
from segmentry.result import MAX_ID, Instances
from segmentry.tiling import tile_shape
from segmentry.workspace import Frame, new_array

__all__ = ["Finding", "Report", "validate"]

#: How many ids a finding names.
SHOWN = 10


@dataclass(frozen=True)
class Finding:
    """One kind of thing that was found.

    Parameters
    ----------
    name
        In a word: ``fragments``, ``holes``, ``single_pixels`` …
    kind
        ``"problem"`` or ``"note"``.
    count
        How many objects (or pixels, where the ids themselves are wrong) it concerns.
    ids
        The first of these objects.
    says
        What it means, in a sentence.
    mended_by
        The step that mends it; empty where none does.
    """

    name: str
    kind: Literal["problem", "note"]
    count: int
    ids: tuple[int, ...]
    says: str
    mended_by: str = ""


@dataclass(frozen=True)
class Report:
    """What was found in labels.

    Parameters
    ----------
    objects
        Number of ids.
    findings
        Problems first.
    """

    objects: int
    findings: tuple[Finding, ...]

    @property
    def fine(self) -> bool:
        """Whether there is no problem; notes don't count."""
        return all(found.kind == "note" for found in self.findings)

    def to_dict(self) -> dict[str, Any]:
        """Return the report as plain data."""
        return {"objects": self.objects, "fine": self.fine, "findings": [asdict(found) for found in self.findings]}


def validate(labels: Instances | Image | NDArray[Any]) -> Report:
    """Look for what may be wrong with labels, each time point by itself.

    Parameters
    ----------
    labels
        Objects, or an image or array of ids of any type. Where its values can't be ids, only that is reported.

    Examples
    --------
    >>> report = validate(np.array([[1, 0, 0], [1, 0, 3], [0, 0, 0], [1, 1, 0]]))
    >>> [(found.name, found.count, found.ids, found.mended_by) for found in report.findings]
    [('fragments', 1, (1,), 'split_fragments'),
     ('single_pixels', 1, (3,), 'drop_small'),
     ('at_the_edge', 2, (1, 3), 'clear_border'),
     ('gaps', 1, (2,), 'relabel')]
    """
    if not isinstance(labels, Instances):
        array = np.asarray(labels.read() if isinstance(labels, Image) else labels)
        wrong = _wrong_values(array)
        if wrong:
            return Report(0, tuple(wrong))
        labels = Instances.from_labels(array, labels.grid if isinstance(labels, Image) else None)
    found = [*_table(labels), *_shapes(labels), *_order(labels)]
    held = [f for f in found if f.count]
    return Report(len(labels), tuple(sorted(held, key=lambda f: f.kind == "note")))


def _wrong_values(array: NDArray[Any]) -> list[Finding]:
    """Return what keeps values from being ids."""
    if array.dtype.kind in "bu" and array.dtype.itemsize <= 4:
        return []
    if array.dtype.kind not in "biuf":
        raise InputError(f"labels of type {array.dtype} are not integers")
    real = array.dtype.kind == "f"
    with np.errstate(invalid="ignore"):
        counts = {
            "negative": (np.count_nonzero(array < 0), "pixels have negative ids"),
            "too_large": (np.count_nonzero(array > MAX_ID), f"pixels have ids above {MAX_ID}"),
            "fractions": (
                np.count_nonzero(array != np.floor(array)) if real else 0,
                "pixels are no whole numbers: are these intensities or probabilities?",
            ),
        }
    return [Finding(name, "problem", int(n), (), says) for name, (n, says) in counts.items() if n]


def _table(labels: Instances) -> Iterator[Finding]:
    """Yield where ids, scores and classes don't fit the pixels."""
    there = survey(labels.labels).ids
    missing, unknown = np.setdiff1d(labels.ids, there), np.setdiff1d(there, labels.ids)
    yield _finding("without_pixels", "problem", missing, "ids are listed that no pixel has", "relabel")
    yield _finding("not_listed", "problem", unknown, "ids of pixels are not listed with the objects")
    if labels.scores is not None:
        off = labels.ids[~((labels.scores >= 0) & (labels.scores <= 1))]
        yield _finding("wrong_scores", "problem", off, "scores are not between 0 and 1")
    if labels.classes is not None:
        off = labels.ids[(labels.classes < 1) | (labels.classes >= len(labels.names))]
        yield _finding("wrong_classes", "problem", off, f"classes are not 1 … {len(labels.names) - 1}")


def _shapes(labels: Instances) -> Iterator[Finding]:
    """Yield what is odd about the pixels of single objects."""
    broken, open_, tiny, edge = (np.zeros(0, np.uint32) for _ in range(4))
    extra = 0
    grid = labels.grid.without("T")
    tile = tile_shape(grid.shape)
    times = np.ndindex(labels.grid.length("T")) if "T" in labels.grid.axes else iter([()])
    for time in times:
        store = Frame(labels.labels, time)
        held = survey(store)
        frame = Instances(store, grid, held.ids)
        apart = mend(SplitFragments(), frame, tile=tile, into=new_array(grid.shape, np.uint32))
        extra += len(apart) - len(frame)
        broken = np.union1d(broken, _changed(held, apart))
        filled = mend(FillHoles(max_size=None), frame, tile=tile, into=new_array(grid.shape, np.uint32))
        open_ = np.union1d(open_, _changed(held, filled))
        tiny = np.union1d(tiny, held.ids[held.sizes == 1])
        long = np.array(grid.shape) > 1
        edge = np.union1d(edge, held.ids[((held.lower == 0) | (held.upper == grid.shape))[:, long].any(axis=1)])
    says = f"objects are in several pieces, {extra:,} too many"
    yield _finding("fragments", "problem", broken, says, "split_fragments")
    yield _finding("holes", "problem", open_, "objects have holes", "fill_holes")
    yield _finding("single_pixels", "problem", tiny, "objects are one pixel", "drop_small")
    yield _finding("at_the_edge", "note", edge, "objects touch the edge of the image", "clear_border")


def _changed(before: Survey, after: Instances) -> NDArray[np.uint32]:
    """Return the ids whose number of pixels has changed; all are there still, and new ones come after them."""
    return np.asarray(before.ids[before.sizes != survey(after.labels).sizes[: len(before.ids)]])


def _order(labels: Instances) -> Iterator[Finding]:
    """Yield where ids are not 1 … n in raster order."""
    held = survey(labels.labels)
    if len(held.ids):
        missing = int(held.ids[-1]) - len(held.ids)
        first = np.setdiff1d(np.arange(1, len(held.ids) + min(missing, SHOWN) + 1), held.ids)[:SHOWN]
        yield Finding("gaps", "note", missing, tuple(first.tolist()), "ids are not used", "relabel")
        late = held.ids[1:][held.first[1:] < np.maximum.accumulate(held.first)[:-1]]
        yield _finding("order", "note", late, "ids don't count in raster order of the first pixel", "relabel")


def _finding(
    name: str, kind: Literal["problem", "note"], ids: NDArray[np.uint32], says: str, mended_by: str = ""
) -> Finding:
    return Finding(name, kind, len(ids), tuple(int(i) for i in ids[:SHOWN]), says, mended_by)
