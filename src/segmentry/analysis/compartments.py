"""Cell, nucleus and cytoplasm: three results with one id per cell, and one row per cell with the numbers of all three.

A nucleus belongs to the cell in which most of its pixels lie; of cells that hold as many, to that with the lowest id.
What lies outside of its cell does not count. A cell may hold several nuclei, which are its nucleus together, or none.
The cytoplasm is the cell without the nucleus, so that every pixel of a cell is in one of both.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from segmentry.analysis.measure import Measure, labels_sha256
from segmentry.errors import InputError
from segmentry.image import Array, Image, Region
from segmentry.io.tables import MEANINGS, SHA256, TOLD
from segmentry.labelling import lookup, survey
from segmentry.metrics import match_objects
from segmentry.result import Instances
from segmentry.workspace import Frame

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Compartments", "compartments", "measure_compartments"]


@dataclass(frozen=True, eq=False)
class Compartments:
    """The parts of cells, with the ids of the cells.

    Parameters
    ----------
    cells, nuclei, cytoplasm
        Objects of one id belong to one cell.
    n_nuclei
        How many nuclei each of ``cells.ids`` holds.
    homeless
        Ids of the nuclei, as they were, that lie in no cell.
    """

    cells: Instances
    nuclei: Instances
    cytoplasm: Instances
    n_nuclei: NDArray[np.int64]
    homeless: NDArray[np.uint32]


def compartments(cells: Instances, nuclei: Instances) -> Compartments:
    """Give nuclei the ids of the cells in which they lie, and cut the cytoplasm out of the cells, at one time point.

    Raises
    ------
    InputError
        When the shapes or axes differ, or there is an axis ``"T"``.
    """
    if cells.grid.shape != nuclei.grid.shape or cells.grid.axes != nuclei.grid.axes:
        raise InputError(
            f"nuclei of shape {nuclei.grid.shape} ({nuclei.grid.axes}) don't fit cells of shape {cells.grid.shape} "
            f"({cells.grid.axes})"
        )
    if "T" in cells.grid.axes:
        raise InputError("compartments are made of one time point: take them one by one")
    shared = match_objects(nuclei, cells)
    # The most shared pixels last; of as many, the lowest id of a cell.
    order = np.lexsort((-shared.pairs[:, 1], shared.shared))
    owner = np.full(shared.n_predicted, -1, np.int64)
    owner[shared.pairs[order, 0]] = shared.pairs[order, 1]
    housed = owner >= 0
    owners = np.zeros(shared.n_predicted, np.uint32)
    owners[housed] = shared.true_ids[owner[housed]]
    inside = _Part(cells.labels, nuclei.labels, shared.predicted_ids, owners, True)
    outside = _Part(cells.labels, nuclei.labels, shared.predicted_ids, owners, False)
    return Compartments(
        cells,
        cells.with_labels(inside, survey(inside).ids),
        cells.with_labels(outside, survey(outside).ids),
        np.bincount(np.searchsorted(cells.ids, owners[housed]), minlength=len(cells)),
        shared.predicted_ids[~housed],
    )


def measure_compartments(
    cells: Instances, nuclei: Instances, image: Image | None = None, step: Measure | None = None
) -> pd.DataFrame:
    """Return a row per cell: numbers of cell, nucleus and cytoplasm, each with its prefix, and what they are in ratio.

    ``n_nuclei`` is the number of nuclei; ``nucleus_to_cell_area`` (or ``_volume``) and
    ``nucleus_to_cytoplasm_mean`` per channel are ratios. Numbers of what a cell does not have are missing.

    Parameters
    ----------
    cells, nuclei
        On the same grid.
    image
        Whose intensities are measured.
    step
        What to measure; what is measured by default for none.

    Raises
    ------
    InputError
        When shapes differ.
    """
    import pandas as pd

    step = step or Measure()
    grid = cells.grid
    tables = []
    for time in range(grid.length("T")):
        if "T" not in grid.axes:
            tables.append(_measured(compartments(cells, nuclei), image, step))
            continue
        now = image and image.at("T", time)
        table = _measured(compartments(_at(cells, time), _at(nuclei, time)), now, step)
        table.insert(1, "time", time)
        tables.append(table)
    found = pd.concat([t for t in tables if len(t)] or tables[:1], ignore_index=True)
    meanings = {c: tables[0].attrs[MEANINGS].get(c, TOLD.get(c, "")) for c in found.columns}
    found.attrs = {SHA256: labels_sha256(cells.labels), MEANINGS: meanings}
    return found


def _at(instances: Instances, time: int) -> Instances:
    labels = Frame(instances.labels, (time,))
    return instances.with_labels(labels, survey(labels).ids, instances.grid.without("T"))


def _measured(parts: Compartments, image: Image | None, step: Measure) -> pd.DataFrame:
    tables = {
        name: step.analyse(part, image)
        for name, part in (("cell", parts.cells), ("nucleus", parts.nuclei), ("cytoplasm", parts.cytoplasm))
    }
    key = [c for c in ("id", "plane") if c in tables["cell"]]
    told = [c for c in TOLD if c in tables["cell"]]
    found = tables["cell"][told].copy()
    meanings = {c: TOLD[c] for c in told} | {"n_nuclei": "Number of nuclei in the cell."}
    found["n_nuclei"] = parts.n_nuclei[np.searchsorted(parts.cells.ids, found["id"])]
    for name, table in tables.items():
        own = table[[*key, *(c for c in table.columns if c not in told)]]
        own = own.rename(columns={c: f"{name}_{c}" for c in own.columns if c not in key})
        found = found.merge(own, on=key, how="left", validate="one_to_one")
        known = table.attrs[MEANINGS]
        meanings |= {f"{name}_{c}": f"Of the {name}: {known[c]}" for c in table.columns if c not in told}
    found = _with_ratios(found)
    meanings |= {c: "Ratio of the two." for c in found.columns if c not in meanings}
    found.attrs[MEANINGS] = meanings
    return found


def _with_ratios(table: pd.DataFrame) -> pd.DataFrame:
    ratios = {}
    for column in table.columns:
        stem = column.removeprefix("nucleus_")
        if stem == column:
            continue
        if stem.startswith(("area_", "volume_")):
            ratios[f"nucleus_to_cell_{stem.partition('_')[0]}"] = table[column] / table[f"cell_{stem}"]
        elif stem == "mean" or stem.startswith("mean_"):
            other = f"cytoplasm_{stem}"
            if other in table:
                ratios[f"nucleus_to_{other}"] = table[column] / table[other]
    return table.assign(**ratios)


class _Part:
    """Pixels of cells that lie, or don't lie, in a nucleus of that cell."""

    def __init__(
        self, cells: Array, nuclei: Array, ids: NDArray[np.uint32], owners: NDArray[np.uint32], inside: bool
    ) -> None:
        self._cells, self._nuclei, self._ids, self._owners, self._inside = cells, nuclei, ids, owners, inside
        self.shape = tuple(cells.shape)
        self.dtype = np.dtype(np.uint32)

    def __getitem__(self, key: Region) -> NDArray[np.uint32]:
        cells = np.asarray(self._cells[key])
        own = lookup(np.asarray(self._nuclei[key]), self._ids, self._owners) == cells
        return np.where(own == self._inside, cells, np.uint32(0))
