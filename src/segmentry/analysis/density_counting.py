"""Objects counted without outlines: the integral of a density that was learned from dots.

A model that learned from dots, one on each object of a few images or areas, gives the density of objects at each pixel
(Lempitsky & Zisserman 2010; Fiaschi et al. 2012; ilastik's cell density counting). Its sum is their number, in the
image at each time point or within each object of the result: nuclei in each region of a tissue. `low` and `high` hold
the true number in 95 of 100 images like those that it learned from. It works where objects are too crowded or too
blurred to be told apart; it fails where they are more crowded, larger or brighter than any that had a dot.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from segmentry.errors import InputError
from segmentry.image import Image
from segmentry.result import Result
from segmentry.selection import filled, selected
from segmentry.step import Analysis
from segmentry.trained_models import DensityStep

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["DensityCounting"]


class DensityCounting(DensityStep, Analysis):
    """Counts objects by a density that was learned from dots, with an interval."""

    name: ClassVar[str] = "density_counting"
    source: ClassVar[str] = "Berg et al. 2019, doi:10.1038/s41592-019-0582-9"

    channel: str | int | None = Field(
        default=None,
        description="Channel to look at, by name or number; all that the model knows when nothing is said.",
    )
    by: Literal["image", "object"] = Field(
        default="image", description="Count in the whole image, or within each object of the result."
    )

    def analyse(self, result: Result | None, image: Image | None) -> pd.DataFrame:
        """Return a table with a row per time point, or per object: ``count``, ``low`` and ``high``.

        Raises
        ------
        InputError
            When there is no image, or one with other channels than the model was trained on.
        """
        import pandas as pd

        known = self.knowledge()
        if image is None:
            raise InputError(f"{self.name} needs intensities: give the image")
        seen, _ = filled(selected(image, self.channel, True, []), [])
        grid = seen.grid.without("C")
        instances = result.instances() if result is not None and self.by == "object" else None
        if instances is not None and instances.grid.shape != grid.shape:
            raise InputError(f"objects of shape {instances.grid.shape} don't fit an image of shape {grid.shape}")
        rows: list[dict[str, Any]] = []
        for time in range(grid.length("T")):
            frame = seen.at("T", time) if "T" in grid.axes else seen
            when: dict[str, Any] = {"time": time} if "T" in grid.axes else {}
            if grid.interval is not None:
                when["time_s"] = time * grid.interval
            if instances is None:
                found = known.count(frame)
                rows.append({**when, "count": found.number, "low": found.low, "high": found.high})
                continue
            labels = np.asarray(instances.labels[time] if "T" in grid.axes else instances.labels[...])
            sums = known.sums(frame, labels, np.concatenate([[0], instances.ids]))
            here = np.isin(instances.ids, labels) if "T" in grid.axes else np.ones(len(instances), bool)
            for number, total in zip(instances.ids[here], sums[1:][here], strict=True):
                found = known.judged(float(total))
                rows.append({"id": int(number), **when, "count": found.number, "low": found.low, "high": found.high})
        first = ["id"] if instances is not None else []
        return pd.DataFrame(rows, columns=list(rows[0]) if rows else [*first, "count", "low", "high"])
