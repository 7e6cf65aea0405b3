"""Which pixels of an image a method sees: a channel, the luminance of colours, something in place of NaN."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from segmentry.errors import InputError
from segmentry.image import Array, Image, Region
from segmentry.overview import Overview

__all__ = ["channels_first", "filled", "opaque", "selected"]

#: Luminance of linear red, green and blue (ITU-R BT.709, as scikit-image has it).
LUMINANCE = (0.2125, 0.7154, 0.0721)


def selected(image: Image, channel: str | int | None, all_channels: bool, notes: list[str]) -> Image:
    """Return the channel that was asked for, or all of them for a method that sees colour.

    Raises
    ------
    UnknownNameError
        When there is no such channel.
    InputError
        When there are several channels, the method sees one, and none was chosen.
    """
    if channel is not None:
        return image.channel(channel)
    if "C" not in image.grid.axes:
        return image
    if all_channels:
        return opaque(image, notes)
    if image.grid.length("C") == 1:
        return image.channel(0)
    if image.is_rgb:
        notes.append("colours are turned into luminance; choose a channel with --channel to use one colour")
        return Image(_Luminance(image), image.grid.without("C"), (), image.name, image.provenance)
    raise InputError(
        f"{image.name or 'the image'} has {image.grid.length('C')} channels ({', '.join(image.channels)}): "
        "choose one (--channel NAME, in a recipe channel: NAME)"
    )


def filled(image: Image, notes: list[str]) -> tuple[Image, bool]:
    """Return the image with its lowest finite value where it is not finite, and whether there are such pixels."""
    if image.dtype.kind != "f":
        return image, False
    overview = Overview(image)
    if not overview.n_lost:
        return image, False
    notes.append(f"{overview.n_lost:,} values are not finite (NaN or infinite): they count as background")
    lowest = min(overview.range(c)[0] for c in range(overview.n_channels))
    return image.with_data(_Filled(image, lowest)), True


def opaque(image: Image, notes: list[str]) -> Image:
    """Return the image without its channel alpha.

    Raises
    ------
    InputError
        When alpha is not the last channel.
    """
    if "alpha" not in image.channels:
        return image
    kept = tuple(i for i, name in enumerate(image.channels) if name != "alpha")
    notes.append("the channel alpha is left out")
    if kept != tuple(range(len(kept))):
        raise InputError(f"channels {', '.join(image.channels)}: alpha must be the last one")
    grid = replace(image.grid, shape=image.grid.with_axis("C", len(kept)).shape)
    return Image(_First(image.data, grid.shape), grid, image.channels[: len(kept)], image.name, image.provenance)


class _First:
    """The first part of an array along each axis."""

    def __init__(self, data: Array, shape: tuple[int, ...]) -> None:
        self._data, self.shape, self.dtype = data, shape, np.dtype(data.dtype)

    def __getitem__(self, key: Region) -> NDArray[np.generic]:
        return np.asarray(self._data[tuple(slice(*s.indices(n)[:2]) for s, n in zip(key, self.shape, strict=True))])


class _Luminance:
    """Red, green and blue made grey when they are read."""

    def __init__(self, image: Image) -> None:
        self._image, self.shape = image, image.grid.without("C").shape
        self._place = image.grid.axes.index("C")
        self.dtype = np.dtype(np.float32)

    def __getitem__(self, key: Region) -> NDArray[np.float32]:
        inner = list(key)
        inner.insert(self._place, slice(0, 3))
        colours = np.moveaxis(self._image.read(tuple(inner)), self._place, 0).astype(np.float32)
        grey = np.zeros(colours.shape[1:], np.float32)
        for part, weight in zip(colours, LUMINANCE, strict=True):
            grey += part * np.float32(weight)
        return grey


class _Filled:
    """Pixels that are not finite replaced when they are read."""

    def __init__(self, image: Image, value: float) -> None:
        self._image, self._value = image, value
        self.shape, self.dtype = image.grid.shape, image.dtype

    def __getitem__(self, key: Region) -> NDArray[np.generic]:
        pixels = self._image.read(key)
        return np.where(np.isfinite(pixels), pixels, self.dtype.type(self._value))


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
