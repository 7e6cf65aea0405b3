"""Spots of a range of sizes: the maxima, in space and over scales, of how far a pixel stands out from what is around.

The response at a scale is the Laplacian of Gaussian or what stands for it. It is given in units of contrast: a disc or
a ball of even height, at the scale that fits it, gets just that height.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from segmentry.errors import ParameterError
from segmentry.filters.gaussian import MAX_SIGMA, reach, smooth
from segmentry.gradients import histogram_after
from segmentry.image import Grid, Image
from segmentry.laplacian import laplacian_of_gaussian
from segmentry.length import Length
from segmentry.overview import Overview
from segmentry.result import Instances
from segmentry.step import Filter, Segmenter

__all__ = ["Scales", "SpotSegmenter"]

#: Least radius, in pixels of the finest axis, of which there can be a maximum.
MIN_RADIUS = 0.5
#: Noise is measured at this scale, in pixels of the finest axis; where it is white, it falls with the scale from there.
NOISE_SCALE = 1.0
#: Half the distance between the quartiles of a normal distribution, in standard deviations.
QUARTILE = 0.6745


@dataclass(frozen=True)
class Scales:
    """The scales at which spots are sought.

    Parameters
    ----------
    sigmas : standard deviations in pixels of the finest axis, ascending by one factor
    factor : the factor between one and the next
    anisotropy : spacing per axis relative to the finest axis
    """

    sigmas: tuple[float, ...]
    factor: float
    anisotropy: tuple[float, ...]

    def along(self, sigma: float) -> tuple[float, ...]:
        """Return a standard deviation in pixels of each axis."""
        return tuple(sigma / a for a in self.anisotropy)

    @property
    def unit(self) -> float:
        """The scale-normalised Laplacian in the middle of a disc or ball of height 1 at the scale that fits it."""
        n = len(self.anisotropy)
        return 2 * math.pow(n / (2 * math.e), n / 2) / math.gamma(n / 2)


class Curvature(Filter):
    """The scale-normalised Laplacian at the scale at which noise is measured."""

    name: ClassVar[str] = "curvature"

    def halo(self, grid: Grid) -> tuple[int, ...]:
        return tuple(max(r, 1) for r in reach(self._sigma(grid)))

    def plane(self, pixels: NDArray[np.float32], grid: Grid, channel: int) -> NDArray[np.float32]:
        return laplacian_of_gaussian(pixels, self._sigma(grid))

    def _sigma(self, grid: Grid) -> tuple[float, ...]:
        return tuple(NOISE_SCALE / a for a in grid.anisotropy)


class SpotSegmenter(Segmenter):
    """A method that finds spots as maxima over scales; it sees the whole image."""

    task: ClassVar[Literal["instances"]] = "instances"

    foreground: Literal["bright", "dark"] = Field("bright", description="Whether spots are brighter or darker.")
    min_radius: Length = Field(Length(2.0), description="Radius of the smallest spots.")
    max_radius: Length = Field(Length(10.0), description="Radius of the largest spots.")
    n_scales: int = Field(8, ge=1, le=100, description="Number of radii that are tried, from smallest to largest.")
    min_contrast: float = Field(
        0.1, ge=0, le=1, description="Least height of a spot over what is around, as a share of the range."
    )
    min_signal: float = Field(
        5.0, ge=0, le=1000, description="Least height of a spot in standard deviations of the noise at its size."
    )
    overlap: float = Field(
        0.5, ge=0, le=1, description="Of two spots that share more than this part of the smaller, the stronger stays."
    )
    extent: Literal["ball", "half"] = Field(
        "ball", description="Whether a spot is its whole disc or ball, or what in it is above half its height."
    )
    range_: tuple[float, float] | None = Field(None, description="Lowest and highest intensity of the image.")
    noise_: float | None = Field(None, description="Standard deviation of the response to noise at a scale of 1.")

    def response(self, pixels: NDArray[np.float32], scales: Scales) -> Iterator[NDArray[np.float32]]:
        """Yield scale by scale how far each pixel stands out: the scale-normalised Laplacian, bright spots positive."""
        raise NotImplementedError

    def halo(self, grid: Grid) -> None:
        return None

    def prepare(self, overview: Overview) -> Self:
        curvatures = histogram_after(Curvature(), overview)
        noise = (curvatures.percentile(75) - curvatures.percentile(25)) / 2 / QUARTILE
        return self.model_copy(update={"range_": overview.range(), "noise_": noise})

    def scales(self, grid: Grid) -> Scales:
        """Return the scales that fit the radii.

        Raises
        ------
        ParameterError
            When the radii are out of order, too small or too large.
        """
        finest = int(np.argmin(grid.anisotropy))
        low, high = (r.pixels(grid)[finest] for r in (self.min_radius, self.max_radius))
        if low > high:
            raise ParameterError(f"{self.name}.min_radius ({self.min_radius}) exceeds max_radius ({self.max_radius})")
        if low < MIN_RADIUS or high > MAX_SIGMA:
            raise ParameterError(
                f"{self.name}: radii from {low:g} to {high:g} pixels asked for; from {MIN_RADIUS} to {MAX_SIGMA:g} work"
            )
        n = self.n_scales if high > low else 1
        factor = (high / low) ** (1 / (n - 1)) if n > 1 else 1.6
        root = math.sqrt(len(grid.spatial))
        return Scales(tuple(low * factor**k / root for k in range(n)), factor, grid.anisotropy)

    def segment(self, image: Image) -> Instances:
        from segmentry.kernels.balls import paint_balls

        ready = self.prepared(image)
        assert ready.range_ is not None
        scales = self.scales(image.grid)
        low, high = ready.range_
        pixels = image.read().astype(np.float32) - np.float32(low)
        pixels = pixels if self.foreground == "bright" else -pixels
        spots = ready._peaks(pixels, scales)
        spots = spots.chosen(_apart(spots, np.array(scales.anisotropy), self.overlap))
        labels = paint_balls(spots.at, spots.radius, pixels.shape, scales.anisotropy)
        if self.extent == "half":
            heights = smooth(pixels, scales.along(scales.sigmas[0] / 2))
            floors = heights[tuple(spots.at.T)] - spots.contrast / 2
            labels[heights < np.concatenate([[np.inf], floors])[labels]] = 0
        ids = np.arange(1, len(spots.at) + 1, dtype=np.uint32)
        scores = np.clip(spots.contrast / ((high - low) or 1.0), 0, 1).astype(np.float32)
        return Instances(labels, image.grid, ids, scores).renumbered()

    def _peaks(self, pixels: NDArray[np.float32], scales: Scales) -> Spots:
        """Return the maxima over space and scales that are high enough, the highest first."""
        from segmentry.kernels.maxima import local_maxima

        assert self.range_ is not None
        assert self.noise_ is not None
        ndim = pixels.ndim
        parts: list[Spots] = []
        layers: list[NDArray[np.float32] | None] = [None, None]
        floor = self.min_contrast * (self.range_[1] - self.range_[0])
        for k, layer in enumerate((*self.response(pixels, scales), None)):
            before, here = layers
            layers = [here, layer]
            if here is None:
                continue
            sigma = scales.sigmas[k - 1]
            noise = self.min_signal * self.noise_ * (NOISE_SCALE / sigma) ** (ndim / 2)
            at = local_maxima(here, (1,) * ndim, max(floor * scales.unit, noise, 0.0))
            height = here[tuple(at.T)]
            at = at[(height > _highest(before, at)) & (height >= _highest(layer, at))]
            parts.append(_refined(before, here, layer, at, sigma, scales))
        joined = Spots(*(np.concatenate([getattr(p, name) for p in parts]) for name in ("at", "radius", "contrast")))
        return joined.chosen(np.argsort(-joined.contrast, kind="stable"))


@dataclass(frozen=True)
class Spots:
    """Middles (pixels), radii (in pixels of the finest axis) and contrasts of spots."""

    at: NDArray[np.int64]
    radius: NDArray[np.float64]
    contrast: NDArray[np.float64]

    def chosen(self, which: NDArray[np.int64]) -> Spots:
        """Return some of the spots."""
        return Spots(self.at[which], self.radius[which], self.contrast[which])


def _highest(layer: NDArray[np.float32] | None, at: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return the highest value of another scale among each pixel and its neighbours."""
    highest = np.full(len(at), -np.inf, np.float32)
    if layer is not None:
        for shift in np.ndindex(*(3,) * layer.ndim):
            near = np.clip(at + np.array(shift) - 1, 0, np.array(layer.shape) - 1)
            np.maximum(highest, layer[tuple(near.T)], out=highest)
    return highest


def _refined(
    before: NDArray[np.float32] | None, here: NDArray[np.float32], after: NDArray[np.float32] | None,
    at: NDArray[np.int64], sigma: float, scales: Scales,
) -> Spots:  # fmt: skip
    """Return maxima with their radius: between the scales, where a parabola through three of them is highest."""
    place = tuple(at.T)
    shift, height = np.zeros(len(at)), here[place].astype(np.float64)
    if before is not None and after is not None:
        a, c = before[place].astype(np.float64), after[place].astype(np.float64)
        bend = np.minimum(a - 2 * height + c, -1e-30)
        shift = np.clip((a - c) / (2 * bend), -0.5, 0.5)
        height = height - (a - c) * shift / 4
    radius = sigma * scales.factor**shift * math.sqrt(here.ndim)
    return Spots(at, radius, height / scales.unit)


def _apart(spots: Spots, spacing: NDArray[np.float64], overlap: float) -> NDArray[np.int64]:
    """Return which spots stay, of spots in falling order of strength, when those that a stronger one covers go."""
    from scipy.spatial import KDTree

    kept = np.ones(len(spots.at), np.bool_)
    if len(kept) > 1:
        pairs = KDTree(spots.at * spacing).query_pairs(2 * spots.radius.max(), output_type="ndarray")
        shared = _shared_part(spots, pairs, spacing)
        pairs = np.sort(pairs[shared > overlap], axis=1)
        for strong, weak in pairs[np.lexsort(pairs.T[::-1])].tolist():
            if kept[strong]:
                kept[weak] = False
    return np.flatnonzero(kept)


def _shared_part(spots: Spots, pairs: NDArray[np.int64], spacing: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return which part of the smaller of two discs or balls lies in the other."""
    one, other = pairs.T
    big = np.maximum(spots.radius[one], spots.radius[other])
    small = np.minimum(spots.radius[one], spots.radius[other])
    far = np.sqrt((((spots.at[one] - spots.at[other]) * spacing) ** 2).sum(axis=1))
    # Within this distance the smaller lies in the larger; beyond the sum of radii they are apart.
    d = np.clip(far, np.maximum(big - small, 1e-9), big + small)
    if len(spacing) == 2:
        a = np.arccos(np.clip((d**2 + small**2 - big**2) / (2 * d * small), -1, 1))
        b = np.arccos(np.clip((d**2 + big**2 - small**2) / (2 * d * big), -1, 1))
        lens = small**2 * (a - np.sin(2 * a) / 2) + big**2 * (b - np.sin(2 * b) / 2)
        return np.asarray(lens / (math.pi * small**2))
    lens = math.pi * (big + small - d) ** 2 * (d**2 + 2 * d * (big + small) - 3 * (big - small) ** 2) / (12 * d)
    return np.asarray(lens / (4 / 3 * math.pi * small**3))
