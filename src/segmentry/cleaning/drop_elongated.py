"""Objects that are too long for their width are dropped: scratches, fibres, edges of folds.

The elongation is the length of the longest axis over that of the shortest, of the ellipse (ellipsoid) with the object's
second moments, in true distances where the pixel size is known; it is the column `elongation` of the table. A disc has
1, a line of single pixels has no width and goes. It works where what is wanted is round; a ring or a bent fibre can be
as long as wide and stays.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from segmentry.image import Image
from segmentry.labelling import lookup, survey
from segmentry.result import Instances
from segmentry.step import Cleaner

__all__ = ["DropElongated"]


class DropElongated(Cleaner):
    """Drops objects that are much longer than wide."""

    name: ClassVar[str] = "drop_elongated"
    max_elongation: float = Field(
        4.0, ge=1, le=1_000, description="Largest ratio of the longest to the shortest axis that stays."
    )

    def clean(self, instances: Instances, image: Image | None = None) -> Instances:
        lengths = _lengths(instances)
        return instances.keep(lengths[:, 0] <= self.max_elongation * lengths[:, -1])


def _lengths(instances: Instances) -> NDArray[np.float64]:
    from segmentry.kernels.moments import add_positions, axis_lengths, covariances, principal_axes
    from segmentry.kernels.runs import find_runs

    labels = np.asarray(instances.labels[...])
    grid = instances.grid
    held = survey(labels)
    numbers = np.arange(1, len(held.ids) + 1, dtype=np.uint32)
    index = lookup(labels, held.ids, numbers).reshape((1,) * (3 - labels.ndim) + labels.shape)
    origin = np.zeros((len(held.ids) + 1, 3), np.int64)
    origin[1:, 3 - labels.ndim :] = (held.lower + held.upper) // 2
    nothing = np.zeros(3, np.int64)
    sums = np.zeros((len(held.ids) + 1, 10), np.int64)
    add_positions(find_runs(index, nothing), nothing, origin, sums)
    values, _ = principal_axes(covariances(sums[1:], grid.spacing or (1.0,) * labels.ndim))
    return axis_lengths(values)
