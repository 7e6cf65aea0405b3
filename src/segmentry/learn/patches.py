"""Crops of images and labels to learn from, read when they are needed; which ones, a number decides."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from segmentry.image import Image
from segmentry.learn.examples import Example, Examples
from segmentry.learn.fingerprint import Places
from segmentry.learn.representation import UNLABELLED
from segmentry.learn.scaling import Scale, Scaling
from segmentry.overview import Overview

__all__ = ["Patches", "Place", "channels_first", "crop"]


class Place(NamedTuple):
    """Where a crop lies: in which example, around which pixel, and how long pixels are along each axis."""

    number: int
    centre: tuple[int, ...]
    spacing: tuple[float, ...]


class Patches:
    """Crops of examples, of which a share is centred on pixels of a class other than the first.

    Parameters
    ----------
    examples, places
        What is learned from, and where pixels of each class lie in it.
    foreground
        Share of the crops that are centred on a pixel of a class other than background: of any that the image has, as
        often as of any other.
    scaling
        Of the intensities.
    """

    def __init__(self, examples: Examples, places: Places, foreground: float, scaling: Scaling) -> None:
        self._examples, self._places = examples, places
        self._foreground, self._scaling = foreground, scaling
        self._scales: dict[int, Scale] = {}
        self._with = [i for i, known in enumerate(places) if any(k > 0 and len(at) for k, at in known.items())]

    def draw(self, rng: np.random.Generator, patch: Sequence[int]) -> Place:
        """Return where a crop of some shape lies, at random."""
        wanted = self._with if self._with and rng.random() < self._foreground else range(len(self._examples))
        number = wanted[int(rng.integers(len(wanted)))]
        grid = self._examples[number].image.grid
        inside = wanted is self._with
        centre = self._of_class(number, rng) if inside else _anywhere(grid.spatial_shape, patch, rng)
        return Place(number, tuple(int(c) for c in centre), grid.anisotropy)

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

    def _of_class(self, number: int, rng: np.random.Generator) -> NDArray[np.int64]:
        """Return the place of a pixel of any class but the background."""
        known = {k: at for k, at in self._places[number].items() if k > 0 and len(at)}
        at = known[list(known)[int(rng.integers(len(known)))]]
        return np.asarray(at[int(rng.integers(len(at)))], np.int64)


def _anywhere(lengths: Sequence[int], patch: Sequence[int], rng: np.random.Generator) -> NDArray[np.int64]:
    """Return the centre of a patch that lies in an image, as far as it fits."""
    first = np.minimum(np.array(patch) // 2, np.array(lengths) // 2)
    room = np.maximum(np.array(lengths) - np.array(patch), 0)
    return np.asarray(rng.integers(first, first + room + 1))


def channels_first(image: Image) -> Image:
    """Return an image with an axis of channels, which may be one."""
    if "C" in image.grid.axes:
        return image
    return Image(_Single(image), image.grid.with_axis("C", 1))


class _Single:
    """Pixels of one channel with an axis for it in front."""

    def __init__(self, image: Image) -> None:
        self._image, self.shape, self.dtype = image, (1, *image.grid.shape), image.dtype

    def __getitem__(self, key: tuple[slice, ...]) -> NDArray[np.generic]:
        return self._image.read(tuple(key[1:]))[None]


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
