"""Where objects lie."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from segmentry.analysis.moments import Moments
from segmentry.analysis.objects import Objects
from segmentry.analysis.property import measured


@measured("length", needs=[Moments])
def centroid(objects: Objects) -> dict[str, NDArray[np.float64]]:
    """Mean position of the pixel centres; the centre of the first pixel of the image is at 0."""
    places = objects[Moments].centroids[:, 3 - objects.ndim :]
    return {f"centroid_{a.lower()}": places[:, i] for i, a in enumerate(objects.grid.spatial)}


@measured("pixels")
def box(objects: Objects) -> dict[str, NDArray[np.int64]]:
    """First pixel of the object along each axis, and the one after its last, counted from 0."""
    found: dict[str, NDArray[np.int64]] = {}
    for i, axis in enumerate(objects.grid.spatial.lower()):
        found[f"box_{axis}_start"] = objects.held.lower[:, i]
        found[f"box_{axis}_stop"] = objects.held.upper[:, i]
    return found
