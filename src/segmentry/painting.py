"""Painting strokes and seeing what is learned from them: a classifier that is refitted after each, for one view.

Features are computed for the tiles that are looked at, and kept as far as they fit in the memory that is given; those
of painted pixels are kept always. So a further stroke costs the fitting and the classification of the view, no
filtering.
What is shown is what the trained model gives in a run.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from segmentry.errors import InputError
from segmentry.features import FeatureBank
from segmentry.image import Image, Region
from segmentry.learn.classifier import Classifier, classifier
from segmentry.pixel_classification import PixelModel, Stage
from segmentry.strokes import suited
from segmentry.tiling import cores, grow, inside, thread_count, window_grid

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Painting"]

#: Pixels along each side of a tile whose features are kept, in two and in three dimensions.
TILES = {2: (128, 1024), 3: (16, 64, 256)}
MEMORY = 2**30


class Painting:
    """One image that is painted on.

    Parameters
    ----------
    image
        One time point, with all channels that count.
    bank
        What pixels are told apart by; ilastik's offer when ``None``.
    learner
        A classifier that has learned nothing yet; fast trees when ``None``, as they answer within a blink.
    names
        Names of the classes 1, 2 …; others are called ``class 3`` and so on.
    memory
        Bytes of features that are kept.
    seed
        Of what is left to chance.

    Examples
    --------
    >>> from segmentry.testing import sample_image
    >>> painting = Painting(sample_image(), names=("background", "cell"))
    >>> painting.stroke([(2, 3), (2, 4)], 1)
    >>> painting.stroke([(30, 20), (31, 20)], 2)
    >>> painting.view().shape
    (2, 48, 56)
    """

    def __init__(
        self,
        image: Image,
        bank: FeatureBank | None = None,
        learner: Classifier | None = None,
        *,
        names: Sequence[str] = (),
        memory: int = MEMORY,
        seed: int = 0,
    ) -> None:
        if "T" in image.grid.axes:
            raise InputError("strokes are painted on one time point: take image.at('T', number)")
        self.image, self.bank = image, bank or FeatureBank()
        self.painted = np.zeros(image.grid.spatial_shape, np.uint32)
        self._learner = learner or classifier("fast_trees")
        self._names = tuple(names)
        self._memory, self._seed = memory, seed
        self._tiles: OrderedDict[tuple[int, ...], NDArray[np.float32]] = OrderedDict()
        self._rows: dict[int, NDArray[np.float32]] = {}
        self._fitted: Classifier | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the classes, as many as were painted or named."""
        count = max(len(self._names), int(self.painted.max()))
        return self._names + tuple(f"class {i}" for i in range(len(self._names) + 1, count + 1))

    def stroke(self, places: ArrayLike, kind: int, radius: float = 0.0) -> None:
        """Paint pixels with a class, or clean them with class 0.

        Parameters
        ----------
        places : (n, axes) whole numbers
            Pixels of the stroke, in order; gaps are not filled.
        kind
            Number of the class, from 1; 0 takes paint away.
        radius
            Half width of the brush in pixels.

        Raises
        ------
        InputError
            When a pixel lies outside the image, or the class is negative.
        """
        at = np.asarray(places, np.int64).reshape(-1, self.painted.ndim)
        shape = np.array(self.painted.shape)
        if len(at) and ((at < 0).any() or (at >= shape).any()):
            raise InputError(f"a stroke must lie in the image of {self.painted.shape}")
        if not 0 <= kind < 2**16:
            raise InputError(f"class {kind} must be 0 to take paint away, or 1, 2 …")
        reach = math.floor(radius)
        brush = np.argwhere(np.ones((2 * reach + 1,) * self.painted.ndim)) - reach
        brush = brush[(brush**2).sum(axis=1) <= radius**2]
        spots = (at[:, None] + brush[None]).reshape(-1, self.painted.ndim)
        spots = spots[((spots >= 0) & (spots < shape)).all(axis=1)]
        self.painted[tuple(spots.T)] = kind
        self._fitted = None

    def view(self, region: Region | None = None) -> NDArray[np.float32]:
        """Return the probability of each class in a region, or in the whole image, as (classes, *spatial).

        Raises
        ------
        InputError
            When nothing was painted yet.
        """
        chosen = self._chosen(region)
        fitted = self._fit()
        out = np.empty((len(self.names), *(s.stop - s.start for s in chosen)), np.float32)

        def show(tile: Region) -> None:
            values = self._features(tile)
            found = fitted.predict(values.reshape(len(values), -1)).reshape(-1, *values.shape[1:])
            common = tuple(slice(max(t.start, c.start), min(t.stop, c.stop)) for t, c in zip(tile, chosen, strict=True))
            out[(slice(None), *inside(common, chosen))] = found[(slice(None), *inside(common, tile))]

        tiles = [tile for tile in self._all_tiles() if _meet(tile, chosen)]
        with ThreadPoolExecutor(thread_count()) as pool:
            list(pool.map(show, tiles))
        self._forget()
        return out

    def uncertainty(self, region: Region | None = None) -> NDArray[np.float32]:
        """Return how unsure each pixel is: 1 where the two likeliest classes are as likely, 0 where one is certain."""
        found = self.view(region)
        if len(found) < 2:
            return np.zeros(found.shape[1:], np.float32)
        two = np.partition(found, len(found) - 2, axis=0)[-2:]
        return np.asarray(1 - np.abs(two[1] - two[0]), np.float32)

    def suggest(self, number: int = 5, region: Region | None = None, radius: int = 8) -> NDArray[np.int64]:
        """Return where to paint next, as (number, axes) places in the image: the middles of the least sure spots.

        A spot is a box of the given half width; spots don't overlap, and painted pixels count as sure.
        """
        from scipy.ndimage import uniform_filter

        chosen = self._chosen(region)
        unsure = np.where(self.painted[chosen] > 0, np.float32(0), self.uncertainty(chosen))
        mean = uniform_filter(unsure, 2 * radius + 1, mode="constant")
        found = []
        for _ in range(number):
            at = np.unravel_index(int(mean.argmax()), mean.shape)
            if mean[at] <= 0:
                break
            found.append([int(p) + s.start for p, s in zip(at, chosen, strict=True)])
            mean[tuple(slice(max(p - 2 * radius, 0), p + 2 * radius + 1) for p in at)] = 0
        return np.array(found, np.int64).reshape(-1, mean.ndim)

    def importance(self) -> pd.Series:
        """Return how much each feature counts, the most important first; in sum 1."""
        import pandas as pd

        names = self.bank.names(self.image.grid, self.image.channels)
        return pd.Series(self._fit().importance, names).sort_values(ascending=False)

    def model(self) -> PixelModel:
        """Return what was learned, to save it or to run it on other images."""
        channels = tuple(self.image.channels) or ("",)
        return PixelModel((Stage((self.bank,), self._fit()),), self.names, channels)

    def _fit(self) -> Classifier:
        if self._fitted is None:
            flat = np.flatnonzero(self.painted)
            if not len(flat):
                raise InputError("nothing was painted yet: paint some pixels of each class")
            fresh = [i for i in flat.tolist() if i not in self._rows]
            if fresh:
                places = np.stack(np.unravel_index(fresh, self.painted.shape), axis=1)
                self._rows |= zip(fresh, self._at(places), strict=True)
            rows = np.stack([self._rows[i] for i in flat.tolist()])
            kinds = self.painted.ravel()[flat].astype(np.int64) - 1
            self._fitted = suited(self._learner, len(kinds)).fit(
                rows, kinds, n_classes=len(self.names), seed=self._seed
            )
        return self._fitted

    def _at(self, places: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return the features of single pixels, from tiles that are there or computed around them."""
        found = np.empty((len(places), self.bank.n_planes(self.image.grid)), np.float32)
        missing = np.ones(len(places), np.bool_)
        for start, values in self._tiles.items():
            lower, upper = np.array(start), np.array(start) + values.shape[1:]
            here = ((places >= lower) & (places < upper)).all(axis=1)
            found[here] = values[(slice(None), *(places[here] - lower).T)].T
            missing &= ~here
        if missing.any():
            found[missing] = self.bank.at(self.image, places[missing])
        return found

    def _all_tiles(self) -> list[Region]:
        return cores(self.painted.shape, TILES[self.painted.ndim])

    def _features(self, tile: Region) -> NDArray[np.float32]:
        key = tuple(s.start for s in tile)
        found = self._tiles.pop(key, None)
        if found is None:
            grid = self.image.grid
            window = grow(tile, self.bank.halo(grid), grid.spatial_shape)
            seen = self.image.window(window)
            found = self.bank.compute(seen.read(), window_grid(grid, window), inside(tile, window))
        self._tiles[key] = found
        return found

    def _forget(self) -> None:
        """Let go of the features that were not looked at for longest, as far as memory demands."""
        held = sum(values.nbytes for values in self._tiles.values())
        while held > self._memory and self._tiles:
            _, gone = self._tiles.popitem(last=False)
            held -= gone.nbytes

    def _chosen(self, region: Region | None) -> Region:
        asked = region or (slice(None),) * self.painted.ndim
        chosen = tuple(slice(*s.indices(n)[:2]) for s, n in zip(asked, self.painted.shape, strict=True))
        if any(s.start >= s.stop for s in chosen):
            raise InputError(f"the region {region} holds no pixel of the image of {self.painted.shape}")
        return chosen


def _meet(one: Region, other: Region) -> bool:
    return all(a.start < b.stop and b.start < a.stop for a, b in zip(one, other, strict=True))
