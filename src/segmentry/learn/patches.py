"""Crops of images and labels to learn from, read when they are needed; which ones, a number decides."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from segmentry.learn.examples import Example, Examples
from segmentry.learn.fingerprint import Places
from segmentry.learn.representation import UNLABELLED
from segmentry.learn.scaling import Scale, Scaling
from segmentry.overview import Overview
from segmentry.selection import channels_first

__all__ = ["Patches", "Place", "crop"]


class Place(NamedTuple):
    """Where a crop lies: in which example, around which pixel, and how long pixels are along each axis."""

    number: int
    centre: tuple[int, ...]
    spacing: tuple[float, ...]


class Patches:
    """Crops of examples, of which a share holds a pixel of a class other than the first that was drawn for it.

    Parameters
    ----------
    examples, places
        What is learned from, and where pixels of each class lie in it.
    foreground
        Share of the crops that hold a pixel of a class other than background for certain. The class is drawn first, by
        the root of the number of images that have it, so that one that few images have is seen often. Images are drawn
        by the root of their number of pixels: large ones show more.
    scaling
        Of the intensities.
    """

    def __init__(self, examples: Examples, places: Places, foreground: float, scaling: Scaling) -> None:
        self._examples, self._places = examples, places
        self._foreground, self._scaling = foreground, scaling
        self._scales: dict[int, Scale] = {}
        kinds = sorted({kind for known in places for kind, at in known.items() if kind > 0 and len(at)})
        self._having = [(kind, [i for i, known in enumerate(places) if len(known.get(kind, ()))]) for kind in kinds]
        shares = np.sqrt([len(images) for _, images in self._having])
        self._shares = shares / shares.sum()
        shapes = [examples[i].image.grid.spatial_shape for i in range(len(examples))]
        self._sizes = np.sqrt([math.prod(shape) for shape in shapes])

    def draw(self, rng: np.random.Generator, patch: Sequence[int]) -> Place:
        """Return where a crop of some shape lies, at random."""
        if self._having and rng.random() < self._foreground:
            kind, having = self._having[int(rng.choice(len(self._having), p=self._shares))]
            number = having[self._drawn(rng, self._sizes[having])]
            grid, known = self._examples[number].image.grid, self._places[number][kind]
            pixel = known[int(rng.integers(len(known)))]
            centre = _around(np.asarray(pixel, np.int64), grid.spatial_shape, patch, rng)
        else:
            number = self._drawn(rng, self._sizes)
            grid = self._examples[number].image.grid
            centre = _anywhere(grid.spatial_shape, patch, rng)
        return Place(number, tuple(int(c) for c in centre), grid.anisotropy)

    @staticmethod
    def _drawn(rng: np.random.Generator, sizes: NDArray[np.float64]) -> int:
        return int(rng.choice(len(sizes), p=sizes / sizes.sum()))

    def read(self, place: Place, shape: Sequence[int]) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Return the scaled pixels (channels, *shape) around a place, and the labels (*shape).

        Beyond the edge of the image the pixels are mirrored, and labels are UNLABELLED.
        """
        example = self._examples[place.number]
        scale = self._scales.get(place.number)
        if scale is None:
            scale = self._scales[place.number] = self._scaling.measured(Overview(example.image))
        start = [c - n // 2 for c, n in zip(place.centre, shape, strict=True)]
        pixels, labels = crop(example, start, shape)
        return self._scaling.applied(pixels, scale), labels


def _around(
    pixel: NDArray[np.int64], lengths: Sequence[int], patch: Sequence[int], rng: np.random.Generator
) -> NDArray[np.int64]:
    """Return the centre of a patch that holds a pixel anywhere, and lies in an image as far as it fits.

    Were the pixel always in its middle, a network would learn that the middle is what it looks for.
    """
    sides, shape = np.array(patch), np.array(lengths)
    moved = pixel + rng.integers(-((sides - 1) // 2), sides // 2, endpoint=True)
    first = np.minimum(sides // 2, shape // 2)
    return np.asarray(np.clip(moved, first, first + np.maximum(shape - sides, 0)))


def _anywhere(lengths: Sequence[int], patch: Sequence[int], rng: np.random.Generator) -> NDArray[np.int64]:
    """Return the centre of a patch that lies in an image, as far as it fits."""
    first = np.minimum(np.array(patch) // 2, np.array(lengths) // 2)
    room = np.maximum(np.array(lengths) - np.array(patch), 0)
    return np.asarray(rng.integers(first, first + room + 1))


def crop(example: Example, start: Sequence[int], shape: Sequence[int]) -> tuple[NDArray[np.generic], NDArray[np.int64]]:
    """Return pixels (channels, *shape) and labels (*shape) from a place on, which may lie outside in part."""
    lengths = example.image.grid.spatial_shape
    inner = tuple(
        slice(min(max(a, 0), n - 1), min(max(a + m, 1), n)) for a, m, n in zip(start, shape, lengths, strict=True)
    )
    pixels = channels_first(example.image).read((slice(None), *inner))
    labels = example.told(inner)
    around = [(s.start - a, a + m - s.stop) for a, m, s in zip(start, shape, inner, strict=True)]
    if any(n for pair in around for n in pair):
        pixels = np.pad(pixels, [(0, 0), *around], mode="symmetric")
        labels = np.pad(labels, around, constant_values=UNLABELLED)
    return pixels, labels
