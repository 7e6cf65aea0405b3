"""What a network says of an image of any size: tile by tile, blended where tiles overlap, in bounded memory.

Where tiles lie depends on the shape of the image alone, so that nothing else changes the result. Neighbours overlap;
there each counts the less, the nearer a pixel is to its edge, where it sees less of the surroundings.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Self, TypeAlias

import numpy as np
from numpy.typing import NDArray

from segmentry.image import Image, Region
from segmentry.labelling import Store
from segmentry.learn.families import output_grid
from segmentry.learn.network_file import Network
from segmentry.learn.representation import Head, activated
from segmentry.learn.scaling import Scale, Scaling
from segmentry.selection import channels_first

__all__ = ["Predictor", "Scores", "fitted_length", "placed_tiles"]

#: From (batch, channels, *spatial) float32 numbers to (batch, outputs, *spatial) scores.
Scores: TypeAlias = Callable[[NDArray[np.float32]], NDArray[np.float32]]
#: From maps of a mirrored image and the spatial axes along which it was mirrored to those of the image.
Mirrored: TypeAlias = Callable[[NDArray[np.float32], tuple[int, ...]], NDArray[np.float32]]


@dataclass(frozen=True)
class Predictor:
    """A network that is ready to run, and what must be known to run it.

    Parameters
    ----------
    scores
        The network.
    heads
        Parts of what it tells.
    scaling
        Of the intensities.
    tile
        Length of a tile along each axis; images that are smaller are seen whole.
    multiple
        What lengths must be multiples of.
    overlap
        Share of a tile's length that it has in common with the next.
    flips
        Whether each tile is also seen mirrored along every axis and combination of axes, and what is told is averaged.
    mirrored
        Makes maps of a mirrored image, along some axes and mirrored back, those of the image itself: for directions.
    grid
        How many pixels along each axis have one of what the network gives; none: each has its own. The others get 0.
    """

    scores: Scores
    heads: tuple[Head, ...]
    scaling: Scaling
    tile: tuple[int, ...]
    multiple: tuple[int, ...]
    overlap: float = 0.25
    flips: bool = False
    mirrored: Mirrored = lambda maps, _: maps
    grid: tuple[int, ...] = ()

    @classmethod
    def of(cls, network: Network, scores: Scores, overlap: float = 0.25, flips: bool = False) -> Self:
        """Return what runs a network."""
        family = network.architecture
        return cls(
            scores=scores,
            heads=network.representation.heads(network.names, family.dimensions),
            scaling=network.scaling,
            tile=network.tile,
            multiple=family.multiple,
            overlap=overlap,
            flips=flips,
            mirrored=network.representation.mirrored,
            grid=output_grid(family),
        )

    @property
    def outputs(self) -> int:
        """How many maps there are."""
        return sum(head.channels for head in self.heads)

    def predict(self, image: Image, scale: Scale, into: Store, tell: Callable[[float], None] = lambda _: None) -> Store:
        """Write the maps of an image: probabilities of classes, shares, numbers.

        Parameters
        ----------
        image
            At one time point; it may be lazy.
        scale
            What its intensities are scaled by.
        into
            Array of zeros, (outputs, *spatial).
        tell
            Called with the share that is done.
        """
        source = channels_first(image)
        shape = image.grid.spatial_shape
        lengths = [
            fitted_length(n, t, m, self.overlap) for n, t, m in zip(shape, self.tile, self.multiple, strict=True)
        ]
        tiles = list(placed_tiles(shape, lengths, self.multiple, [round(t * self.overlap) for t in self.tile]))
        for done, (region, weights) in enumerate(tiles):
            pixels = source.read((slice(None), *region))
            maps = self._tile(self.scaling.applied(pixels, scale), lengths)
            maps = maps[(slice(None), *(slice(0, s.stop - s.start) for s in region))]
            place = (slice(None), *region)
            if len(tiles) == 1:
                into[place] = maps
            else:
                for axis, weight in enumerate(weights):
                    maps *= weight.reshape((-1,) + (1,) * (len(shape) - axis - 1))
                into[place] = np.asarray(into[place]) + maps
            tell((done + 1) / len(tiles))
        return into

    def _tile(self, pixels: NDArray[np.float32], lengths: Sequence[int]) -> NDArray[np.float32]:
        """Return the maps of scaled pixels, which are mirrored at the far edges to make a tile."""
        beyond = [(0, n - m) for n, m in zip(lengths, pixels.shape[1:], strict=True)]
        if any(n for _, n in beyond):
            pixels = np.pad(pixels, [(0, 0), *beyond], mode="symmetric")
        total: NDArray[np.float32] | None = None
        axes = range(1, pixels.ndim)
        ways = itertools.product((False, True), repeat=len(axes)) if self.flips else [(False,) * len(axes)]
        count = 0
        for way in ways:
            turned = tuple(axis for axis, flip in zip(axes, way, strict=True) if flip)
            seen = np.ascontiguousarray(np.flip(pixels, turned))[None]
            maps = self._spread(activated(self.scores(seen)[0], self.heads), pixels.shape[1:])
            if turned:
                maps = self.mirrored(np.flip(maps, turned), tuple(axis - 1 for axis in turned))
            total = maps if total is None else total + maps
            count += 1
        assert total is not None
        return total / np.float32(count) if count > 1 else total

    def _spread(self, maps: NDArray[np.float32], shape: Sequence[int]) -> NDArray[np.float32]:
        """Return maps with a place for every pixel; those beside the grid that the network tells of have 0."""
        if max(self.grid, default=1) == 1:
            return maps
        full = np.zeros((len(maps), *shape), np.float32)
        full[(slice(None), *(slice(None, None, step) for step in self.grid))] = maps
        return full


def fitted_length(n: int, longest: int, multiple: int, overlap: float) -> int:
    """Return the length of tiles along an axis of `n` pixels: as many tiles as are needed, none longer than it must be.

    Parameters
    ----------
    longest
        Length that a tile may have.
    multiple
        What the length must be a multiple of.
    overlap
        Share of `longest` that neighbours have in common.
    """
    longest, padded = _up(longest, multiple), _up(n, multiple)
    if padded <= longest:
        return padded
    common = round(longest * overlap)
    count = _count(padded, longest, common)
    return min(longest, _up(math.ceil((padded + (count - 1) * common) / count), multiple))


def placed_tiles(
    shape: Sequence[int], lengths: Sequence[int], multiple: Sequence[int], common: Sequence[int]
) -> Iterator[tuple[Region, list[NDArray[np.float32]]]]:
    """Yield where each tile lies in an image, in raster order, and how much it counts along each axis.

    Tiles begin at multiples, so that a coarse grid is the same in all of them. The products of the weights of all tiles
    are 1 in sum at every pixel.

    Parameters
    ----------
    shape, lengths
        Of the image and of a tile, along each axis; tiles reach beyond the image, and are cut off there.
    multiple
        What tiles begin at multiples of.
    common
        Pixels that a tile has in common with the next, about.
    """
    per_axis = [_along(*axis) for axis in zip(shape, lengths, multiple, common, strict=True)]
    for parts in itertools.product(*per_axis):
        yield tuple(s for s, _ in parts), [w for _, w in parts]


def _along(n: int, length: int, multiple: int, common: int) -> list[tuple[slice, NDArray[np.float32]]]:
    """Return the stretches of an axis that tiles cover, with their weights."""
    padded = max(_up(n, multiple), length)
    count = _count(padded, length, min(common, length - multiple))
    starts = [round(i * (padded - length) / max(count - 1, 1) / multiple) * multiple for i in range(count)]
    near = np.minimum(np.arange(length), np.arange(length)[::-1]) + 1.0
    total = np.zeros(padded)
    for start in starts:
        total[start : start + length] += near
    parts = [(slice(start, min(start + length, n)), near / total[start : start + length]) for start in starts]
    return [(part, weight[: part.stop - part.start].astype(np.float32)) for part, weight in parts]


def _count(padded: int, length: int, common: int) -> int:
    """Return how many tiles cover an axis."""
    return 1 + math.ceil((padded - length) / max(1, length - common))


def _up(n: int, multiple: int) -> int:
    return math.ceil(n / multiple) * multiple
