"""Dots: where the objects of an image are, as somebody put them there, and the density that they mean.

Each dot is smoothed to a bell of volume 1, so that the density of an area sums to the number of its dots.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from segmentry.errors import InputError
from segmentry.image import Grid, Image

__all__ = ["AREA", "BACKGROUND", "DOT", "Dots", "blocks_of"]

#: What the pixels of an image of dots mean; 0 is not known.
DOT, BACKGROUND, AREA = 1, 2, 3
#: A dot's bell ends at so many sigma.
REACH = 2.5
#: Blocks of an image along each axis at most, and their sides at least, in sigma.
BLOCKS, SIDE = 4, 8


@dataclass(frozen=True, eq=False)
class Dots:
    """An image and where its objects are.

    Without `background` and without `area` each object of the image has a dot.

    Parameters
    ----------
    image
        One time point, with all channels that are used.
    places : (n, axes) array of whole numbers
        A dot per object: its pixel, along each spatial axis.
    background : array of bool, optional
        Pixels, on the spatial axes, that belong to no object.
    area : array of bool, optional
        Pixels among which each object has a dot.
    channel
        What the only channel is called, where the image has no axis that says it.
    """

    image: Image
    places: NDArray[np.int64]
    background: NDArray[np.bool_] | None = None
    area: NDArray[np.bool_] | None = None
    channel: str = ""

    def __post_init__(self) -> None:
        shape = self.image.grid.spatial_shape
        name = self.image.name or "the image"
        if "T" in self.image.grid.axes:
            raise InputError(f"{name} has time points: give dots for each of them")
        if self.places.ndim != 2 or self.places.shape[1] != len(shape):
            raise InputError(f"dots in {name} need {len(shape)} numbers each; got an array of {self.places.shape}")
        outside = ((self.places < 0) | (self.places >= shape)).any(axis=1)
        if outside.any():
            there = tuple(self.places[outside][0].tolist())
            raise InputError(
                f"{outside.sum()} of {len(self.places)} dots lie outside {name}, which is {shape}: one at {there}; "
                "places count pixels"
            )
        for mask in (self.background, self.area):
            if mask is not None and mask.shape != shape:
                raise InputError(f"what was painted is {mask.shape}, {name} is {shape}")

    @property
    def channels(self) -> tuple[str, ...]:
        """Names of the channels."""
        return tuple(self.image.channels) or (self.channel,)

    @classmethod
    def at(cls, image: Image, places: ArrayLike, channel: str = "") -> Self:
        """Return an image, each object of which has a dot, at places that need not be whole numbers."""
        found = np.asarray(places, np.float64).reshape(-1, len(image.grid.spatial))
        if not np.isfinite(found).all():
            raise InputError("the place of a dot is not a finite number")
        return cls(image, np.rint(found).astype(np.int64), channel=channel)

    @classmethod
    def painted(cls, image: Image, labels: ArrayLike, channel: str = "") -> Self:
        """Return what was painted: 1 a dot, 2 background, 3 an area in which each object has a dot, 0 not known.

        Pixels of 1 that touch are one dot, in their middle. Where there is neither 2 nor 3, each object has a dot.

        Raises
        ------
        InputError
            When it does not fit the image, or holds other numbers.
        """
        from scipy.ndimage import binary_propagation, center_of_mass, label

        marks = np.asarray(labels)
        if marks.shape != image.grid.spatial_shape:
            raise InputError(f"dots of shape {marks.shape} don't fit an image of {image.grid.spatial_shape}")
        others = set(np.unique(marks).tolist()) - {0, DOT, BACKGROUND, AREA}
        if others:
            raise InputError(f"an image of dots holds 1 (dot), 2 (background) and 3 (area), but also {min(others)}")
        touching = np.ones((3,) * marks.ndim, bool)
        dots, n = label(marks == DOT, touching)
        middles = np.array(center_of_mass(dots > 0, dots, range(1, n + 1))).reshape(n, marks.ndim)
        area = binary_propagation(marks == AREA, touching, mask=(marks == AREA) | (marks == DOT))
        background = marks == BACKGROUND
        places = np.floor(middles + 0.5).astype(np.int64)
        return cls(image, places, background if background.any() else None, area if area.any() else None, channel)

    def lesson(self, sigma: float) -> tuple[NDArray[np.bool_], NDArray[np.float32]]:
        """Return which pixels teach something, and the density at each.

        Within an area the density sums to the number of its dots.
        """
        grid = self.image.grid
        spreads = [sigma / a for a in grid.anisotropy]
        whole = np.ones(grid.spatial_shape, np.bool_)
        area = self.area
        if area is None:
            area = whole if self.background is None else ~whole
        own = area[tuple(self.places.T)]
        loose = _bells(self.places[~own], whole, spreads)
        density = np.where(area, _bells(self.places[own], area, spreads), loose)
        known = area | (loose > 0)
        return (known if self.background is None else known | self.background), density.astype(np.float32)


def blocks_of(grid: Grid, sigma: float) -> NDArray[np.int64]:
    """Return the number of the block that each pixel is in: as many as there are, of some width of a dot at least."""
    found = np.zeros(grid.spatial_shape, np.int64)
    for axis, (n, unit) in enumerate(zip(grid.spatial_shape, grid.anisotropy, strict=True)):
        count = int(np.clip(n * unit // (SIDE * sigma), 1, BLOCKS))
        place = np.arange(n) * count // n
        found = found * count + place.reshape([-1 if i == axis else 1 for i in range(found.ndim)])
    return found


def _bells(places: NDArray[np.int64], room: NDArray[np.bool_], sigma: Sequence[float]) -> NDArray[np.float64]:
    """Return a bell of volume 1 at each place, all of which lie in the room that they are confined to."""
    from scipy.ndimage import gaussian_filter

    hits = np.zeros(room.shape, np.float64)
    if not len(places):
        return hits
    np.add.at(hits, tuple(places.T), 1)
    share = gaussian_filter(room.astype(np.float64), sigma, mode="constant", truncate=REACH)
    np.divide(hits, share, out=hits, where=hits > 0)
    bells: NDArray[np.float64] = gaussian_filter(hits, sigma, mode="constant", truncate=REACH)
    return bells * room
