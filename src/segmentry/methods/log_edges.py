"""Zero crossings of the Laplacian of Gaussian: outlines where the smoothed image bends from bowl to hill.

A pixel is inside an object where it is brighter than its neighbourhood at the scale `sigma`, that is where the
Laplacian of the smoothed image is negative; outlines are therefore closed by themselves (Marr & Hildreth 1980). What
noise outlines in this way is dropped: the slope along an outline, on average, must be that of an edge of some contrast.
Where a large flat object bends both ways in its middle, what it encloses behind weak outlines is filled. It works on
objects of some sigma across or more, under uneven light; it rounds corners, and draws what is only a few sigma across
too large.
"""

from __future__ import annotations

import math
from typing import ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from segmentry.errors import ParameterError
from segmentry.filters.gaussian import sigma_pixels, smooth
from segmentry.gradients import slopes, steepness
from segmentry.image import Grid, Image
from segmentry.laplacian import laplacian_of_gaussian
from segmentry.length import Length
from segmentry.overview import Overview
from segmentry.result import Instances
from segmentry.step import Segmenter
from segmentry.thresholds import TwoClasses, two_classes

__all__ = ["LogEdges"]

#: Curvature that is due to rounding, as a share of the largest intensity.
ROUNDING = 1e-6


class LogEdges(Segmenter):
    """Outlines objects where the image stops bending inwards: closed outlines without a threshold."""

    name: ClassVar[str] = "log_edges"
    task: ClassVar[Literal["instances"]] = "instances"
    source: ClassVar[str] = "Marr & Hildreth 1980, doi:10.1098/rspb.1980.0020"

    foreground: Literal["bright", "dark"] = Field("bright", description="Whether objects are brighter or darker.")
    sigma: Length = Field(Length(2.0), description="Scale of the outlines: standard deviation of the smoothing.")
    min_contrast: float = Field(
        0.25,
        gt=0,
        le=100,
        description="Least contrast along an outline on average, as a share of the difference between the means of "
        "objects and background.",
    )
    classes_: TwoClasses | None = Field(None, description="Otsu's threshold and classes, for the usual contrast.")

    def halo(self, grid: Grid) -> None:
        return None

    def prepare(self, overview: Overview) -> Self:
        return self.model_copy(update={"classes_": two_classes(overview.histogram())})

    def segment(self, image: Image) -> Instances:
        from segmentry.kernels.components import label_components

        ready = self.prepared(image)
        assert ready.classes_ is not None
        grid = image.grid
        sigma = sigma_pixels(self.sigma, grid)
        if min(sigma) <= 0:
            raise ParameterError(f"log_edges.sigma is {self.sigma}: there is no scale of 0, use 1 or more pixels")
        pixels = image.read().astype(np.float32) * np.float32(1 if self.foreground == "bright" else -1)
        curved = laplacian_of_gaussian(pixels, sigma)
        steep = steepness(slopes(smooth(pixels, sigma), grid.anisotropy))
        usual = (ready.classes_.mean[1] - ready.classes_.mean[0]) or 1.0
        # The steepest slope of a step edge of height 1 after smoothing is 1 / (sigma √(2π)).
        contrast = steep * np.float32(max(sigma) * math.sqrt(2 * math.pi) / usual)
        labels, count = label_components(curved < -ROUNDING * float(np.abs(pixels).max()), full=False)
        # What is strong nowhere is noise; it must go before holes can be told from what lies between objects.
        strong = np.zeros(count + 1, np.bool_)
        strong[labels[contrast >= self.min_contrast]] = True
        labels = self._filled(np.where(strong[labels], labels, np.uint32(0)), contrast, grid)
        strength = _on_outline(labels, contrast, grid.anisotropy, count)
        kept = strength >= self.min_contrast
        kept[0] = False
        labels = self._filled(np.where(kept[labels], labels, np.uint32(0)), contrast, grid)
        ids = np.flatnonzero(kept).astype(np.uint32)
        return Instances(labels, grid, ids, np.minimum(strength[ids], 1).astype(np.float32)).renumbered()

    def _filled(self, labels: NDArray[np.uint32], contrast: NDArray[np.float32], grid: Grid) -> NDArray[np.uint32]:
        """Return labels that take in the holes with weak outlines that lie in one object each."""
        from segmentry.kernels.components import label_components

        holes, count = label_components(labels == 0)
        weak = _on_outline(holes, contrast, grid.anisotropy, count) < self.min_contrast
        highest, lowest = np.zeros(count + 1, np.uint32), np.full(count + 1, np.iinfo(np.uint32).max, np.uint32)
        for axis, n in enumerate(labels.shape):
            hole, label = np.moveaxis(holes, axis, 0), np.moveaxis(labels, axis, 0)
            for one, other in ((slice(1, None), slice(None, -1)), (slice(None, -1), slice(1, None))):
                meet = (hole[one] > 0) & (label[other] > 0)
                np.maximum.at(highest, hole[one][meet], label[other][meet])
                np.minimum.at(lowest, hole[one][meet], label[other][meet])
            if n > 1:
                weak[hole[[0, -1]]] = False
        owner = np.where(weak & (highest == lowest), highest, np.uint32(0))
        owner[0] = 0
        return labels + owner[holes]


def _on_outline(
    labels: NDArray[np.uint32], values: NDArray[np.float32], spacing: tuple[float, ...], count: int
) -> NDArray[np.float64]:
    """Return the mean of values over the faces at which each region meets another or what is none; 0 without any."""
    total, area = np.zeros(count + 1), np.zeros(count + 1)
    for axis, step in enumerate(spacing):
        label, value = np.moveaxis(labels, axis, 0), np.moveaxis(values, axis, 0)
        near, far = label[:-1], label[1:]
        meet = near != far
        between = (value[:-1][meet] + value[1:][meet]) / 2
        for ids in (near[meet], far[meet]):
            total += np.bincount(ids, between / step, count + 1)
            area += np.bincount(ids, minlength=count + 1) / step
    return np.divide(total, area, out=np.zeros_like(total), where=area > 0)
