"""The objects of one time point, and what is counted over their pixels: everything in one pass over labels and image.

What a property needs is counted by a :class:`Counts`: it sees the labels slab by slab, each slab with the numbers of
the objects in place of their ids. However many are asked for, the labels and the intensities are read once.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from threading import Lock
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from segmentry.image import Array, Grid, Image, Region
from segmentry.labelling import Survey, lookup, survey
from segmentry.result import Instances
from segmentry.tiling import grow, slabs, thread_count

__all__ = ["Counts", "Objects", "Settings", "Slab"]

C = TypeVar("C", bound="Counts")


@dataclass(frozen=True)
class Settings:
    """What the caller of a measurement says beside what is measured.

    Parameters
    ----------
    quantiles
        Which quantiles of intensity, 0 … 1.
    surround
        Per spatial axis, how many pixels around an object its background reaches.
    """

    quantiles: tuple[float, ...] = (0.05, 0.25, 0.75, 0.95)
    surround: tuple[float, ...] = ()


@dataclass(frozen=True, eq=False)
class Slab:
    """A piece of the labels, with a margin of what lies around it.

    Parameters
    ----------
    index : (Z, Y, X) uint32 array, C-contiguous
        Number of the object at each pixel, 1 … n; 0 where there is none, and beyond the image. Two-dimensional labels
        have one plane.
    margin : (3,) int64 array
        How many pixels on either side along each axis are margin.
    start : (3,) int64 array
        Position in the image of the first pixel that is not margin.
    region
        Where the piece lies in the image, without margin, per spatial axis.
    """

    index: NDArray[np.uint32]
    margin: NDArray[np.int64]
    start: NDArray[np.int64]
    region: Region
    objects: Objects
    _runs: NDArray[np.int32] | None = None
    _read: dict[int, NDArray[Any]] = field(default_factory=dict)
    _reading: Lock = field(default_factory=Lock)

    @property
    def runs(self) -> NDArray[np.int32]:
        """The runs of pixels of the objects, without margin: number, z, y, start and stop of each, in raster order."""
        from segmentry.kernels.runs import find_runs

        with self._reading:
            if self._runs is None:
                object.__setattr__(self, "_runs", find_runs(self.index, self.margin))
            assert self._runs is not None
            return self._runs

    def pixels(self, channel: int) -> NDArray[Any]:
        """Return the intensities of a channel without margin as a (Z, Y, X) array, C-contiguous.

        Of type uint8, uint16, float32 or float64; other types become float64.
        """
        with self._reading:
            if channel not in self._read:
                found = self.objects.channel(channel).read(self.region)
                found = found.reshape((1,) * (3 - found.ndim) + found.shape)
                kind = found.dtype if found.dtype in (np.uint8, np.uint16, np.float32) else np.float64
                self._read[channel] = np.ascontiguousarray(found, kind)
            return self._read[channel]


class Counts:
    """Something that is counted over the pixels of every object, slab by slab.

    Array rows are objects: row ``k`` belongs to ``objects.ids[k - 1]``, row 0 to what is no object.
    """

    def __init__(self, objects: Objects) -> None:
        raise NotImplementedError

    @classmethod
    def reach(cls, objects: Objects) -> tuple[int, ...]:
        """Return how many pixels of margin, per spatial axis, a slab must have."""
        return (0,) * objects.ndim

    def add(self, slab: Slab) -> None:
        """Count a slab. Slabs come in raster order; what else is counted may be so at the same time."""
        raise NotImplementedError

    def finish(self) -> None:
        """Do what is to be done after the last slab."""


class Objects:
    """The objects of one time point on their way to a table.

    Parameters
    ----------
    instances
        Spatial axes only; the labels may be lazy.
    image
        Of the same shape, perhaps with channels; ``None`` where intensities are not known.
    probability
        Of the same shape, 0 … 1: how much of each pixel is object; ``None`` where it is not known.

    Attributes
    ----------
    held
        What the labels hold: ids, sizes and boxes.
    spacing
        Size of a pixel per spatial axis; 1 where it is not known.
    unit
        Of lengths: ``um``, or ``px`` where the size of a pixel is not known.
    channels
        Names of the channels of the image; one empty name where there is one channel without a name.
    """

    def __init__(
        self,
        instances: Instances,
        image: Image | None = None,
        settings: Settings | None = None,
        probability: Array | None = None,
    ) -> None:
        self.instances, self.image, self.probability = instances, image, probability
        self.settings = settings or Settings()
        self.held: Survey = survey(instances.labels)
        self.grid: Grid = instances.grid
        self.ndim = len(self.grid.spatial)
        self.spacing: tuple[float, ...] = self.grid.spacing or (1.0,) * self.ndim
        self.unit = self.grid.unit or "px" if self.grid.spacing else "px"
        self.channels: tuple[str, ...] = () if image is None else tuple(image.channels) or ("",)
        self._counted: dict[type[Counts], Counts] = {}

    def __len__(self) -> int:
        return len(self.held.ids)

    def __getitem__(self, kind: type[C]) -> C:
        """Return what was counted; counted now where :meth:`gather` did not do it before."""
        if kind not in self._counted:
            self.gather([kind])
        found = self._counted[kind]
        assert isinstance(found, kind)
        return found

    @property
    def pixel_size(self) -> float:
        """The area or volume of a pixel."""
        return math.prod(self.spacing)

    @property
    def counts(self) -> NDArray[np.float64]:
        """The number of pixels of each object."""
        return self.held.sizes.astype(np.float64)

    @property
    def corners(self) -> NDArray[np.int64]:
        """The (n + 1, 3) first pixels of the boxes along Z, Y and X; row 0 and missing axes are 0."""
        return self._padded(self.held.lower)

    @property
    def stops(self) -> NDArray[np.int64]:
        """The (n + 1, 3) ends of the boxes along Z, Y and X, exclusive; row 0 and missing axes are 0."""
        return self._padded(self.held.upper)

    def channel(self, number: int) -> Image:
        """Return a channel of the image."""
        assert self.image is not None
        return self.image.channel(number) if self.image.channels else self.image

    def lengths(self, values: Iterable[float]) -> NDArray[np.float64]:
        """Return values of one per spatial axis as (Z, Y, X), with 1 for axes that are missing."""
        found = [float(v) for v in values]
        return np.array([1.0] * (3 - len(found)) + found)

    def gather(self, kinds: Iterable[type[Counts]]) -> None:
        """Count all that is asked for and was not counted before, in one pass."""
        wanted = [kind for kind in dict.fromkeys(kinds) if kind not in self._counted]
        if not wanted:
            return
        counts = [kind(self) for kind in wanted]
        reach = tuple(max(n) for n in zip(*(kind.reach(self) for kind in wanted), strict=True))
        if len(self):
            with ThreadPoolExecutor(min(len(counts), thread_count())) as pool:
                for slab in self._slabs(reach):
                    for done in [pool.submit(one.add, slab) for one in counts]:
                        done.result()
        for one in counts:
            one.finish()
        self._counted |= zip(wanted, counts, strict=True)

    def _slabs(self, reach: tuple[int, ...]) -> Iterator[Slab]:
        shape = self.grid.shape
        lead = (0,) * (3 - self.ndim)
        numbers = np.arange(1, len(self) + 1, dtype=np.uint32)
        counted = bool(np.array_equal(self.held.ids, numbers))
        for region in slabs(shape):
            window = grow(region, reach, shape)
            labels = np.asarray(self.instances.labels[window])
            index = labels if counted else lookup(labels, self.held.ids, numbers)
            if any(reach):
                pairs = zip(reach, region, window, strict=True)
                index = np.pad(index, [(r - s.start + w.start, r - w.stop + s.stop) for r, s, w in pairs])
            index = np.ascontiguousarray(index.reshape((1,) * (3 - index.ndim) + index.shape))
            start = np.array([*lead, *(s.start for s in region)], np.int64)
            yield Slab(index, np.array([*lead, *reach], np.int64), start, region, self)

    def _padded(self, corners: NDArray[np.int64]) -> NDArray[np.int64]:
        found = np.zeros((len(self) + 1, 3), np.int64)
        found[1:, 3 - self.ndim :] = corners
        return found
