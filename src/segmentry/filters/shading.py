"""Shading that all images of a stack or series share: the flat field is learned from the images themselves.

Every image is taken for ``truth × flat + dark``. The flat field is a smooth surface, the same at all time points and in
all planes, found after the idea of BaSiC (Peng et al. 2017): where every place sees the same mixture of things, the
values that occur there, sorted, are proportional to it. It works on series in which the objects move or differ from
image to image, the better the more images there are: a few suffice where much of the image is background. It fails
where all images show the same thing in the same place, which is then taken for shading. A single image without planes
and time points gets a smooth surface fitted to its background, which is a guess: use more images if you can. The offset
of the camera is best given as a number; ``learn`` needs about a hundred images with objects, or images of different
brightness.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from segmentry.errors import InputError
from segmentry.filters.by_place import ByPlace
from segmentry.filters.flat_field import Cells, averaged, camera_offset, flat_field, levels
from segmentry.image import Image, Region
from segmentry.kernels.splines import at_points, evaluate
from segmentry.overview import Overview
from segmentry.step import Filter

__all__ = ["Shading"]

#: Pixels read at once, and images from which the fields are learned (evenly spread over all).
BAND_PIXELS = 2**22
MOST_IMAGES = 256
#: Fewer cells than this along an axis tell no field apart from what the image shows.
FEWEST_CELLS = 8
#: Pieces of the surface that is fitted to the background of a single image.
SINGLE = 3
#: Where the field would come near zero, noise would be blown up.
DARKEST = np.float32(0.05)


class Shading(Filter):
    """Evens out illumination that all planes and time points share (flat field, as in BaSiC)."""

    name: ClassVar[str] = "shading"
    source: ClassVar[str] = "Peng et al. 2017, doi:10.1038/ncomms14836"

    dark: Annotated[float, Field(ge=0, le=1e6)] | Literal["learn"] = Field(
        0.0, description="Offset that the camera adds to every pixel, as an intensity; learn: estimated."
    )
    baseline: bool = Field(
        False, description="Whether the background of all time points is brought to one level (bleaching, drift)."
    )
    detail: int = Field(8, ge=2, le=16, description="Into how many pieces per axis the smooth field may bend.")
    flat_: tuple[tuple[float, ...], ...] | None = Field(
        None, description="Spline coefficients of each channel's flat field, row by row; none where it is even."
    )
    dark_: tuple[float, ...] = Field((), description="Offset of each channel.")
    baseline_: tuple[tuple[float, ...], ...] = Field((), description="What each channel's time points lie too high.")

    def prepare(self, overview: Overview) -> Self:
        image = overview.image
        found = [
            self._learned(image.channel(c) if "C" in image.grid.axes else image) for c in range(overview.n_channels)
        ]
        flats, darks, baselines = zip(*found, strict=True)
        return self.model_copy(update={"flat_": flats, "dark_": darks, "baseline_": baselines if self.baseline else ()})

    def view(self, image: Image) -> Image:
        grid, flats = image.grid, self.flat_ or ()
        if len(flats) != grid.length("C"):
            raise InputError(f"{self.name} has learned {len(flats)} channels; the image has {grid.length('C')}")
        if self.baseline_ and any(len(b) != grid.length("T") for b in self.baseline_):
            raise InputError(
                f"{self.name} has learned {len(self.baseline_[0])} time points; the image has {grid.length('T')}"
            )
        sides = [round(len(flat) ** 0.5) for flat in flats]
        if any(side**2 != len(flat) for side, flat in zip(sides, flats, strict=True)) or len(self.dark_) != len(flats):
            raise InputError(f"{self.name}.flat_ must have a square number of coefficients per channel, dark_ a number")
        lattices = [np.array(flat).reshape(side, side) for flat, side in zip(flats, sides, strict=True)]
        lead = grid.axes.replace("Z", "")[:-2]

        def corrected(pixels: NDArray[np.float32], region: Region) -> NDArray[np.float32]:
            where = dict(zip(grid.axes, region, strict=True))
            planes = pixels.reshape((*(where[a].stop - where[a].start for a in lead), -1, *pixels.shape[-2:]))
            out = np.empty_like(planes)
            fields: dict[int, NDArray[np.float32]] = {}
            for index in np.ndindex(*out.shape[:-3]):
                at = {a: where[a].start + i for a, i in zip(lead, index, strict=True)}
                channel = at.get("C", 0)
                if channel not in fields and lattices[channel].size:
                    fields[channel] = np.maximum(evaluate(lattices[channel], grid.shape[-2:], region[-2:]), DARKEST)
                np.subtract(planes[index], np.float32(self.dark_[channel]), out=out[index])
                if channel in fields:
                    out[index] /= fields[channel]
                if self.baseline_:
                    out[index] -= np.float32(self.baseline_[channel][at.get("T", 0)])
            return out.reshape(pixels.shape)

        return image.with_data(ByPlace(image, corrected))

    def _learned(self, image: Image) -> tuple[tuple[float, ...], float, tuple[float, ...]]:
        """Return the lattice, the offset and the baselines of an image with one channel."""
        shape = (image.grid.shape[-2], image.grid.shape[-1])
        cells = Cells.over(shape)
        stack = _stack(image, cells)
        pieces = self.detail if len(stack) > 1 else min(self.detail, SINGLE)
        some = stack[np.unique(np.linspace(0, len(stack) - 1, MOST_IMAGES).round().astype(int))]
        flat, dark, field = np.zeros((0, 0)), 0.0 if self.dark == "learn" else self.dark, np.ones(stack.shape[1:])
        if min(len(place) for place in cells.places) >= FEWEST_CELLS and np.median(some) > dark:
            dark = camera_offset(some, cells, pieces) if self.dark == "learn" else self.dark
            flat = flat_field(some - dark, cells, pieces)
            field = np.maximum(at_points(flat, cells.places), DARKEST)
        level = levels(stack, field, dark)
        level = np.median(level.reshape(image.grid.length("T"), -1), axis=1)
        lattice = tuple(round(float(v), 5) for v in flat.ravel())
        return lattice, _shortened(dark), tuple(_shortened(v) for v in level - level.mean())


def _stack(image: Image, cells: Cells) -> NDArray[np.float64]:
    """Return the averages over the cells in every plane of every time point."""
    frames = []
    for t in range(image.grid.length("T")):
        moment = image.at("T", t) if "T" in image.grid.axes else image
        for z in range(image.grid.length("Z")):
            plane = moment.at("Z", z) if "Z" in image.grid.axes else moment
            frame = _averages(plane, cells)
            fine = np.isfinite(frame)
            frames.append(np.where(fine, frame, np.median(frame[fine]) if fine.any() else 0.0))
    return np.array(frames)


def _averages(plane: Image, cells: Cells) -> NDArray[np.float64]:
    rows, columns = cells.edges
    step = max(1, BAND_PIXELS // max(int(np.diff(rows).max()) * plane.grid.shape[1], 1))
    bands = [rows[i : i + step + 1] for i in range(0, len(rows) - 1, step)]
    whole = slice(0, plane.grid.shape[1])
    return np.concatenate([averaged(plane.read((slice(int(b[0]), int(b[-1])), whole)), b, columns) for b in bands])


def _shortened(value: float) -> float:
    return float(f"{value:.6g}")
