"""Stains of a section seen in white light, taken apart by colour deconvolution.

The light that a stain takes away multiplies, so its logarithm, the optical density, adds up: each pixel's density in
red, green and blue is a sum of the stains' colours, each times how much of it there is (Ruifrok & Johnston 2001). What
comes out is one grey image in which much of the chosen stain is bright, in units of optical density. The colours of
hematoxylin, eosin and DAB are the published ones or, for two stains, the two outermost directions of the densities in
the image itself (Macenko et al. 2009). It works on sections scanned in RGB with a white background; it fails where a
stain scatters light (dense DAB is black in all channels) or where more than three colours mix. Pigment and folds are
taken for stain.
"""

from __future__ import annotations

import math
from typing import ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from segmentry.errors import InputError
from segmentry.filters.lab import full_white
from segmentry.image import Image, Region
from segmentry.overview import Overview
from segmentry.step import Filter

__all__ = ["StainSeparation"]

#: Optical density of each stain in red, green and blue (Ruifrok & Johnston 2001).
COLOURS = {"hematoxylin": (0.65, 0.70, 0.29), "eosin": (0.07, 0.99, 0.11), "dab": (0.27, 0.57, 0.78)}
STAINS = {
    "hed": ("hematoxylin", "eosin", "dab"),
    "he": ("hematoxylin", "eosin"),
    "hdab": ("hematoxylin", "dab"),
}
#: Light below this part of white is no measurement any more.
DARKEST = 1e-3
#: For the estimate: pixels drawn, the density that tissue has in every colour, pixels needed, percentiles cut off.
SAMPLE = 200_000
TISSUE = 0.15
FEWEST = 100
OUTERMOST = (1, 99)

Vectors = tuple[tuple[float, ...], ...]


class StainSeparation(Filter):
    """Turns a stained section (RGB) into the amount of one stain: hematoxylin, eosin or DAB."""

    name: ClassVar[str] = "stain_separation"
    source: ClassVar[str] = "Ruifrok & Johnston 2001; Macenko et al. 2009, doi:10.1109/ISBI.2009.5193250"
    colour: ClassVar[bool] = True

    stain: Literal["hematoxylin", "eosin", "dab", "all"] = Field(
        "hematoxylin", description="Which stain the image becomes; all: each stain as a channel."
    )
    staining: Literal["hed", "he", "hdab"] = Field(
        "hed", description="Which stains there are: hematoxylin with eosin and DAB, with eosin, or with DAB."
    )
    vectors: Literal["published", "estimated"] = Field(
        "published", description="Whether the stains have their published colours, or those found in the image."
    )
    white: float | None = Field(
        None, gt=0, le=1e6, description="Intensity where there is no stain; none: the full white of the type of pixels."
    )
    vectors_: Vectors | None = Field(None, description="Density of each stain in red, green and blue.")
    white_: float | None = Field(None, description="Intensity where there is no stain.")

    @model_validator(mode="after")
    def _fitting(self) -> Self:
        if self.stain not in ("all", *STAINS[self.staining]):
            raise ValueError(f"staining {self.staining} has no {self.stain}: it has {', '.join(STAINS[self.staining])}")
        if self.vectors == "estimated" and len(STAINS[self.staining]) > 2:
            raise ValueError("the colours of two stains can be estimated: say staining=he or staining=hdab")
        return self

    def prepare(self, overview: Overview) -> Self:
        image = overview.image
        _check(image)
        white = self.white
        if white is None:
            byte = image.dtype == np.uint8
            white = 255.0 if byte else full_white(max(overview.range(c)[1] for c in range(3)))
        vectors: Vectors = tuple(COLOURS[stain] for stain in STAINS[self.staining])
        if self.vectors == "estimated":
            vectors = _estimated(_density(overview.sample(SAMPLE)[:, :3], white), vectors)
        return self.model_copy(update={"white_": white, "vectors_": vectors})

    def view(self, image: Image) -> Image:
        _check(image)
        stains = STAINS[self.staining]
        names = stains if self.stain == "all" else ()
        grid = image.grid.with_axis("C", len(stains)) if names else image.grid.without("C")
        wanted = range(len(stains)) if names else (stains.index(self.stain),)
        mixing = np.array(self.vectors_)
        if len(mixing) == 2:
            mixing = np.vstack([mixing, np.cross(mixing[0], mixing[1])])
        weights = np.linalg.inv(mixing).T[list(wanted)].astype(np.float32)
        data = _Separated(image, grid.shape, weights, self.white_ or 1.0, bool(names))
        return Image(data, grid, names, image.name, image.provenance)


class _Separated:
    """Amounts of stains, computed when they are read."""

    def __init__(
        self, image: Image, shape: tuple[int, ...], weights: NDArray[np.float32], white: float, several: bool
    ) -> None:
        self._image, self._weights, self._white, self._several = image, weights, white, several
        self.shape, self.dtype = shape, np.dtype(np.float32)

    def __getitem__(self, key: Region) -> NDArray[np.float32]:
        region = [slice(*s.indices(n)[:2]) for s, n in zip(key, self.shape, strict=True)]
        place = self._image.grid.axes.index("C")
        weights = self._weights[region.pop(place)] if self._several else self._weights
        region.insert(place, slice(0, 3))
        colours = np.ascontiguousarray(np.moveaxis(self._image.read(tuple(region)), place, 0))
        density = _density(colours, self._white)
        stains = []
        for red, green, blue in weights:
            amount = density[0] * red
            amount += density[1] * green
            amount += density[2] * blue
            stains.append(np.maximum(amount, 0, out=amount))
        return np.stack(stains, axis=place) if self._several else stains[0]


def _check(image: Image) -> None:
    if not image.is_rgb:
        has = f"the channels {', '.join(image.channels)}" if len(image.channels) > 1 else "one channel"
        raise InputError(f"{StainSeparation.name} needs a colour image (RGB); {image.name or 'the image'} has {has}")


def _density(light: NDArray[np.generic], white: float) -> NDArray[np.float32]:
    """Return the optical density of light, 0 where it is white."""
    share = np.maximum(light.astype(np.float32) / np.float32(white), np.float32(DARKEST))
    return np.asarray(np.log(share, out=share) * np.float32(-1 / math.log(10)))


def _estimated(density: NDArray[np.float32], published: Vectors) -> Vectors:
    """Return the two outermost directions of the densities, in the order of the published ones they resemble."""
    tissue = density[(density > TISSUE).all(axis=1)].astype(np.float64)
    if len(tissue) < FEWEST:
        return published
    plane = np.linalg.eigh(np.cov(tissue.T))[1][:, [2, 1]]
    plane *= np.where(plane.sum(axis=0) < 0, -1, 1)
    along = tissue @ plane
    angles = np.percentile(np.arctan2(along[:, 1], along[:, 0]), OUTERMOST)
    found = np.abs(np.stack([np.cos(angles), np.sin(angles)], axis=1) @ plane.T)
    found /= np.linalg.norm(found, axis=1, keepdims=True)
    alike = found @ np.array(published).T
    if alike[0, 0] + alike[1, 1] < alike[0, 1] + alike[1, 0]:
        found = found[::-1]
    if np.linalg.norm(np.cross(found[0], found[1])) < 0.05:  # one colour only
        return published
    return tuple(tuple(round(float(v), 6) for v in vector) for vector in found)
