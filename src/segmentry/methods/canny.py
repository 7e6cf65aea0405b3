"""Canny edges with closed contours: what they enclose, where the intensity rises inwards, is an object.

Edges are the ridges of the gradient of the smoothed image, thinned along its direction; they start where it is steep
and go on while it is half as steep (Canny 1986). Both levels come from the whole image: the steepness at which Otsu's
rule parts all slopes, times `strength`. Edges part the image into regions; gaps in a contour up to `gap` wide are
bridged. A region is an object when most of its contour is an edge that rises towards it. It works on objects with
clear edges, also under uneven light; it fails on textured ones, whose inner edges cut them up, where contours have wide
gaps, and on faint objects beside bright ones unless `strength` is lowered.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from segmentry.filters.gaussian import sigma_pixels, smooth
from segmentry.gradients import Steepness, histogram_after, slopes, steepness
from segmentry.image import Grid, Image
from segmentry.length import Length
from segmentry.overview import Overview
from segmentry.result import Semantic
from segmentry.step import Segmenter
from segmentry.thresholds import otsu_threshold

__all__ = ["Canny"]

#: Distances to the next edge are counted in steps of this part of the finest pixel, up to a highest level.
STEPS_PER_PIXEL = 16
TOP = 65_535


class Canny(Segmenter):
    """Finds edges, closes them to contours and fills these: clear edges under uneven light."""

    name: ClassVar[str] = "canny"
    task: ClassVar[Literal["semantic"]] = "semantic"
    source: ClassVar[str] = "Canny 1986, doi:10.1109/TPAMI.1986.4767851"

    foreground: Literal["bright", "dark"] = Field("bright", description="Whether objects are brighter or darker.")
    sigma: Length = Field(Length(2.0), description="Smoothing before slopes are taken.")
    strength: float = Field(
        1.0, gt=0, le=100, description="How steep an edge must be somewhere, as a multiple of the level that is found."
    )
    low: float = Field(0.5, gt=0, le=1, description="How steep an edge must be everywhere, as a share of that.")
    gap: Length = Field(Length(3.0), description="Widest gap in a contour that is bridged.")
    fill: bool = Field(True, description="Whether what an object encloses is part of it.")
    level_: float | None = Field(None, description="The steepness that parts slopes, in intensity per finest pixel.")

    def halo(self, grid: Grid) -> None:
        return None

    def prepare(self, overview: Overview) -> Self:
        slopes_of_all = histogram_after(Steepness(sigma=self.sigma), overview)
        return self.model_copy(update={"level_": otsu_threshold(slopes_of_all)})

    def segment(self, image: Image) -> Semantic:
        ready = self.prepared(image)
        spacing = image.grid.anisotropy
        pixels = smooth(image.read().astype(np.float32), sigma_pixels(self.sigma, image.grid))
        slope = slopes(pixels if self.foreground == "bright" else -pixels, spacing)
        steep = steepness(slope)
        edges = ready._edges(slope, steep, spacing)
        regions = _regions(edges, spacing, max(self.gap.pixels(image.grid)))
        direction = np.asarray(slope / np.maximum(steep, np.finfo(np.float32).tiny), np.float32)
        share = _rising_share(regions, edges, direction, spacing)
        probable = _drawn(share[regions], edges)
        mask = probable > 0.5
        if self.fill:
            mask = _without_holes(mask)
            probable[mask] = np.maximum(probable[mask], 0.5)
        return Semantic(
            mask.astype(np.uint8), image.grid, ("background", "foreground"), np.stack([1 - probable, probable])
        )

    def _edges(
        self, slope: NDArray[np.float32], steep: NDArray[np.float32], spacing: tuple[float, ...]
    ) -> NDArray[np.uint8]:
        """Return thin edges that are steep enough everywhere, and steep somewhere; see ``thin_edges`` for the codes."""
        from segmentry.kernels.components import label_components
        from segmentry.kernels.edges import thin_edges

        assert self.level_ is not None
        high = self.level_ * self.strength
        edges = thin_edges(slope, steep, spacing, high * self.low)
        parts, count = label_components(edges > 0)
        strong = np.zeros(count + 1, np.bool_)
        strong[parts[(edges > 0) & (steep >= high)]] = True
        return np.where(strong[parts], edges, np.uint8(0))


def _regions(edges: NDArray[np.uint8], spacing: tuple[float, ...], gap: float) -> NDArray[np.uint32]:
    """Number the regions between edges 1 … n; an edge is 0. What is narrower than the gap parts regions as well."""
    from segmentry.kernels.components import label_components
    from segmentry.kernels.distance import distance_to_background
    from segmentry.kernels.watershed import flood

    free = edges == 0
    distance = distance_to_background(free, spacing)
    cores, count = label_components(distance > (gap + 1) / 2 if gap else free, full=False)
    levels = np.minimum(np.rint(distance * STEPS_PER_PIXEL), TOP).astype(np.uint16)
    regions = flood(np.uint16(TOP) - levels, cores, free)
    pockets, _ = label_components(free & (regions == 0), full=False)
    return np.where(pockets > 0, pockets + np.uint32(count), regions)


def _rising_share(
    regions: NDArray[np.uint32], edges: NDArray[np.uint8], direction: NDArray[np.float32], spacing: tuple[float, ...]
) -> NDArray[np.float32]:
    """Return for each region how much of its contour is an edge that rises towards it; 0 for what is no region.

    Faces of pixels count with their area, and with how squarely the gradient stands on them. Where two regions meet
    without an edge, nothing rises. The edge of the image is no contour.
    """
    total = np.zeros(int(regions.max(initial=0)) + 1)
    rising = np.zeros_like(total)

    def count(ids: NDArray[np.uint32], rise: NDArray[Any], area: float) -> None:
        nonlocal total, rising
        total = total + np.bincount(ids, np.abs(rise) * area, len(total))
        rising = rising + np.bincount(ids, np.maximum(rise, 0) * area, len(total))

    for axis, step in enumerate(spacing):
        near, far = (np.moveaxis(regions, axis, 0)[part] for part in (slice(None, -1), slice(1, None)))
        rise = np.moveaxis(direction[axis], axis, 0)
        edge = np.moveaxis(edges, axis, 0) > 0
        for ids, at, sign in ((near, slice(1, None), -1), (far, slice(None, -1), 1)):
            beside = (ids > 0) & edge[at]
            count(ids[beside], sign * rise[at][beside], 1 / step)
        meet = (near != far) & (near > 0) & (far > 0)
        for ids in (near, far):
            total = total + np.bincount(ids[meet], minlength=len(total)) / step
    return np.divide(rising, total, out=np.zeros_like(total), where=total > 0).astype(np.float32)


def _drawn(probable: NDArray[np.float32], edges: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return probabilities with those of the edges filled in: they go with the side on which their middle lies."""
    from scipy.ndimage import maximum_filter, minimum_filter

    from segmentry.kernels.edges import BRIGHT_SIDE

    edge = edges > 0
    highest = maximum_filter(np.where(edge, np.float32(0), probable), 3, mode="nearest")
    lowest = minimum_filter(np.where(edge, np.float32(1), probable), 3, mode="nearest")
    return np.where(edge, np.where(edges == BRIGHT_SIDE, highest, np.minimum(lowest, highest)), probable)


def _without_holes(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return a mask with what it encloses."""
    from segmentry.kernels.components import label_components

    rest, count = label_components(~mask, full=False)
    outside = np.zeros(count + 1, np.bool_)
    for axis, n in enumerate(mask.shape):
        if n > 1:
            outside[np.moveaxis(rest, axis, 0)[[0, -1]]] = True
    return mask | ~outside[rest]
