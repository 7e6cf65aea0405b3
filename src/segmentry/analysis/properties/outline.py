"""Outline: how long the boundary of an object is, or how large in three dimensions, and how near to the least it is."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from segmentry.analysis.corners import Corners
from segmentry.analysis.crofton import SlantedLines, boundary_sizes
from segmentry.analysis.objects import Objects
from segmentry.analysis.property import measured

CROFTON = "Legland, Kiêu & Devaux 2007, doi:10.5566/ias.v26.p83-92"


@measured("boundary", needs=[Corners, SlantedLines], dimensions=(2,), source=CROFTON)
def perimeter(objects: Objects) -> NDArray[np.float64]:
    """Length of the boundary, holes included, by Crofton's formula from the crossings of lines in four directions.

    An object ends where another begins and where the image ends. A disc of 10 pixels across comes out within 3 %.
    """
    return boundary_sizes(objects)


@measured("boundary", needs=[Corners, SlantedLines], dimensions=(3,), source=CROFTON)
def surface(objects: Objects) -> NDArray[np.float64]:
    """Area of the boundary, cavities included, by Crofton's formula from the crossings of lines in thirteen directions.

    An object ends where another begins and where the image ends. A ball of 10 voxels across comes out within 3 %.
    """
    return boundary_sizes(objects)


@measured(needs=[Corners, SlantedLines], dimensions=(2,))
def circularity(objects: Objects) -> NDArray[np.float64]:
    """4 π times the area over the square of the perimeter: 1 for a disc, towards 0 for what is long, ragged or holed.

    As both are counted in pixels, it may exceed 1, slightly for small round objects; of a single pixel it is 1.75.
    """
    return 4 * math.pi * objects.counts * objects.pixel_size / boundary_sizes(objects) ** 2


@measured(needs=[Corners, SlantedLines], dimensions=(3,), source="Wadell 1935, doi:10.1086/624298")
def sphericity(objects: Objects) -> NDArray[np.float64]:
    """Surface of the ball of the same volume over the surface: 1 for a ball, towards 0 for what is flat or ragged.

    As both are counted in voxels, it may exceed 1, slightly for small round objects; of a single voxel it is 1.61.
    """
    ball = math.pi ** (1 / 3) * (6 * objects.counts * objects.pixel_size) ** (2 / 3)
    return np.asarray(ball / boundary_sizes(objects))
