"""Carving: from a stroke in an object and one outside, its outline along the boundaries between them.

The image is divided into supervoxels, the basins of its boundaries: the steepness, or lines that are brighter or darker
than what is on both sides. Every supervoxel goes to the stroke from which it is reached over the lowest boundaries; for
the background they count a little less, so that it wins where that is nearly undecided (Straehle et al. 2011). Strokes
are given, or found: objects at the maxima that stand out, background where it is no brighter than its mean by Otsu's
threshold. It works on objects of any shape that a boundary surrounds; it fails where the boundary has a gap as wide as
its scale, until a stroke closes it. To draw strokes one after the other and see what each does, use
`segmentry.carving.Carver`.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from segmentry.errors import ParameterError
from segmentry.image import Grid, Image
from segmentry.length import Length
from segmentry.result import Instances
from segmentry.seeds import SeededSegmenter, Seeds, placed
from segmentry.supervoxels import BACKGROUND, BIAS, SIGMA, Boundaries, Supervoxels, divide

__all__ = ["Carving"]

#: Objects have numbers below this.
MOST = 2**31


class Carving(SeededSegmenter):
    """Carves objects out along edges or membranes, from strokes in them and around them."""

    name: ClassVar[str] = "carving"
    source: ClassVar[str] = "Straehle et al. 2011, doi:10.1007/978-3-642-23623-5_82"

    seeds: Seeds | None = Field(
        None,
        description="Object and position of each point of the strokes: (object, row, column) or (object, plane, row, "
        "column); object 0 is background. None: found.",
    )
    sigma: Length = Field(Length(SIGMA), description="Scale of the boundaries: smoothing before anything else.")
    boundaries: Boundaries = Field(
        "step",
        description="Whether they are steps of intensity, or lines (membranes) brighter or darker than both sides.",
    )
    background_bias: float = Field(
        BIAS,
        gt=0,
        le=1,
        description="What boundaries count where background grows over them; less makes objects tighter.",
    )

    def segment(self, image: Image) -> Instances:
        from segmentry.kernels.spanning_forest import lean

        ready = self.prepared(image)
        supervoxels = Supervoxels.of(image, self.sigma, self.boundaries)
        drawn = ready._found(supervoxels, image) if self.seeds is None else self._given(supervoxels, image.grid)
        forest = divide(lean(supervoxels.graph, self.background_bias), drawn, self.background_bias)
        held = np.where(forest.labels > BACKGROUND, forest.labels - np.uint32(BACKGROUND), np.uint32(0))
        ids, which = np.unique(held, return_inverse=True)
        sums = np.bincount(which, weights=forest.sureness * supervoxels.sizes)
        scores = sums / np.maximum(np.bincount(which, weights=supervoxels.sizes), 1)
        things = ids > 0
        labels = held[supervoxels.ids]
        return Instances(labels, image.grid, ids[things], scores[things].astype(np.float32)).renumbered()

    def _given(self, supervoxels: Supervoxels, grid: Grid) -> NDArray[np.uint32]:
        """Return the label of the supervoxels under the strokes; where several touch one, the last counts."""
        strokes = self.seeds or ()
        placed(tuple(at[1:] for at in strokes), grid, self.name)
        objects = np.array([at[0] for at in strokes], np.int64)
        if len(np.unique(objects)) < 2:
            raise ParameterError("carving.seeds: two objects are needed, or one and the background (0), to part them")
        if objects.min() < 0 or objects.max() >= MOST:
            raise ParameterError(f"carving.seeds: objects count from 1 to less than {MOST:,}; 0 is background")
        places = np.array([at[1:] for at in strokes], np.int64)
        drawn = np.zeros(len(supervoxels) + 1, np.uint32)
        drawn[supervoxels.ids[tuple(places.T)]] = objects + BACKGROUND
        return drawn

    def _found(self, supervoxels: Supervoxels, image: Image) -> NDArray[np.uint32]:
        """Return the label of the supervoxels that are surely background, or hold a maximum that stands out."""
        levels, background = self.levels(self.smoothed(image))
        tops = self.sown(levels, background, image.grid)
        sums = np.bincount(supervoxels.ids.ravel(), weights=levels.ravel(), minlength=len(supervoxels) + 1)
        drawn = (sums <= background * supervoxels.sizes).astype(np.uint32) * np.uint32(BACKGROUND)
        at = tops > 0
        drawn[supervoxels.ids[at]] = tops[at] + np.uint32(BACKGROUND)
        drawn[0] = 0
        return drawn
