"""A row of numbers per class: its area or volume by counting pixels, and by adding up probabilities.

A pixel on a border holds two classes, and counting gives all of it to one. Where objects are small or pixels coarse
most pixels are such, and the count depends on the threshold. The sum of the probabilities of a class over all pixels
does not, provided that the probability of a pixel on a border is the part that the class has in it: `gaussian_mixture`
with `partial_volume` is made for that. The probabilities of other methods say how sure they are, which is something
else.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from segmentry.image import Image
from segmentry.result import Result, Semantic
from segmentry.step import Analysis
from segmentry.tiling import slabs

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["ClassVolumes", "class_volumes"]


class ClassVolumes(Analysis):
    """Measures the area or volume of each class, counted in pixels and summed from probabilities."""

    name: ClassVar[str] = "class_volumes"
    needs_probabilities: ClassVar[bool] = True

    def analyse(self, result: Result, image: Image | None = None) -> pd.DataFrame:
        """Return a table with one row per class and time point.

        Columns end in their unit (``_um2``, ``_um3``; ``_px`` where the pixel size is not known). What cleaners did is
        seen in the counts; the sums are those of the method, and missing where it gives no probabilities.
        """
        import pandas as pd

        semantic = result.semantic()
        grid = semantic.grid
        ndim = len(grid.spatial)
        unit = f"{grid.unit}{ndim}" if grid.unit else "px"
        name = f"{'area' if ndim == 2 else 'volume'}_{unit}"
        size = math.prod(grid.spacing or (1.0,))
        rows: list[dict[str, Any]] = []
        for time in range(grid.length("T")):
            counts, sums = _totals(semantic, (slice(time, time + 1),) if "T" in grid.axes else ())
            when: dict[str, Any] = {"time": time} if "T" in grid.axes else {}
            if grid.interval is not None:
                when["time_s"] = time * grid.interval
            for kind, count, total in zip(semantic.names, counts, sums, strict=True):
                rows.append({"class": kind, **when, f"counted_{name}": count * size, f"summed_{name}": total * size})
        return pd.DataFrame(rows)


def class_volumes(result: Result) -> pd.DataFrame:
    """Return the table of :class:`ClassVolumes` for a result that kept its probabilities."""
    return ClassVolumes().analyse(result)


def _totals(semantic: Semantic, time: tuple[slice, ...]) -> tuple[list[int], list[float]]:
    """Return the pixels of each class at a time point, and the sum of its probabilities."""
    number = len(semantic.names)
    probabilities = semantic.probabilities
    counts = np.zeros(number, np.int64)
    sums = np.full(number, np.nan if probabilities is None else 0.0)
    for region in slabs(semantic.grid.spatial_shape):
        counts += np.bincount(np.asarray(semantic.classes[time + region]).ravel(), minlength=number)
        if probabilities is None:
            continue
        for c in range(number):
            part = np.asarray(probabilities[(slice(c, c + 1), *time, *region)])
            sums[c] += float(part.sum(dtype=np.float64))
    return counts.tolist(), sums.tolist()
