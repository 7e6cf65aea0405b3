"""Topology: of how many pieces an object is, and how many holes it has."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from segmentry.analysis.corners import Corners
from segmentry.analysis.objects import Objects
from segmentry.analysis.property import measured


@measured(needs=[Corners], source="Gray 1971, doi:10.1109/T-C.1971.223289")
def euler_number(objects: Objects) -> NDArray[np.int64]:
    """Number of pieces minus number of holes; in three dimensions minus tunnels plus cavities.

    Pixels are of one piece where they share a face, an edge or a corner. 1 is an object in one piece without holes.
    """
    return objects[Corners].euler
