"""How bright objects are."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from segmentry.analysis.intensities import Intensities, Medians, Quantiles, Surroundings, Weights
from segmentry.analysis.objects import Objects
from segmentry.analysis.property import measured


@measured(needs=[Intensities], per_channel=True)
def mean(objects: Objects, channel: int) -> NDArray[np.float64]:
    """Mean intensity of the finite pixels; NaN where there is none."""
    return objects[Intensities].of(channel).mean


@measured(needs=[Intensities], per_channel=True)
def sd(objects: Objects, channel: int) -> NDArray[np.float64]:
    """Standard deviation of the intensities of the finite pixels, as of a whole population (divided by their number);
    NaN where there is none.
    """
    return objects[Intensities].of(channel).sd


@measured(needs=[Intensities], per_channel=True)
def min(objects: Objects, channel: int) -> NDArray[np.float64]:
    """Lowest finite intensity; NaN where there is none."""
    return objects[Intensities].of(channel).low


@measured(needs=[Intensities], per_channel=True)
def max(objects: Objects, channel: int) -> NDArray[np.float64]:
    """Highest finite intensity; NaN where there is none."""
    return objects[Intensities].of(channel).high


@measured(needs=[Intensities], per_channel=True)
def sum(objects: Objects, channel: int) -> NDArray[np.float64]:
    """Sum of the finite intensities; exact for integers of up to 16 bits."""
    return objects[Intensities].of(channel).total


@measured(needs=[Medians], per_channel=True)
def median(objects: Objects, channel: int) -> NDArray[np.float64]:
    """Median of the finite intensities, the mean of the middle two where their number is even; NaN where there is
    none.
    """
    return objects[Medians].of(channel)[:, 0]


@measured(needs=[Quantiles], per_channel=True, by_default=False)
def quantiles(objects: Objects, channel: int) -> dict[str, NDArray[np.float64]]:
    """Quantiles of the finite intensities, interpolated linearly between neighbours, as `q` and the percentage; NaN
    where there is no finite pixel.
    """
    found = objects[Quantiles].of(channel)
    return {_name(fraction): found[:, i] for i, fraction in enumerate(objects.settings.quantiles)}


@measured(needs=[Intensities], per_channel=True, by_default=False)
def n_valid(objects: Objects, channel: int) -> NDArray[np.int64]:
    """Number of pixels whose intensity is finite."""
    return objects[Intensities].of(channel).count.astype(np.int64)


@measured("length", needs=[Weights], per_channel=True, by_default=False)
def weighted_centroid(objects: Objects, channel: int) -> dict[str, NDArray[np.float64]]:
    """Mean position of the centres of the finite pixels, weighted by intensity; NaN where intensities sum to 0."""
    places = objects[Weights].centroids(channel)[:, 3 - objects.ndim :]
    return {f"weighted_centroid_{a.lower()}": places[:, i] for i, a in enumerate(objects.grid.spatial)}


@measured(needs=[Surroundings], per_channel=True, by_default=False)
def mean_background(objects: Objects, channel: int) -> NDArray[np.float64]:
    """Mean intensity of the background around the object: the finite pixels of no object that are no further from it
    than `surround` and nearer to it than to others, or as near and it is the first in the table. NaN where there is
    none. A mean, so that it can be taken from the mean of the object, and its multiple from the sum.
    """
    return objects[Surroundings].of(channel).mean


@measured(needs=[Intensities, Surroundings], per_channel=True, by_default=False)
def mean_minus_background(objects: Objects, channel: int) -> NDArray[np.float64]:
    """Mean intensity less that of the background around the object; NaN where either is."""
    return objects[Intensities].of(channel).mean - objects[Surroundings].of(channel).mean


def _name(fraction: float) -> str:
    """Return the name of a quantile.

    >>> _name(0.05), _name(0.5), _name(0.975)
    ('q05', 'q50', 'q97_5')
    """
    whole, _, part = f"{100 * fraction:g}".partition(".")
    return f"q{whole:0>2}" + (f"_{part}" if part else "")
