"""Component tree: every object is cut out at the level that suits it best.

All connected regions above all levels of the image form a tree. Of the regions that lie in one another, those are taken
that are most like an ellipse and have the sharpest border for their brightness, so that faint objects beside bright
ones are found, and objects that touch are parted at the level where they come apart (as Arteta et al. 2012 choose
regions, with a measure in place of learning). Each is then grown to a share of its own height over the background. It
works on blobs of any brightness, most nuclei among them; it fails on rings, long or branching shapes, and where the
inside of an object is more uneven than its border.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from segmentry.filters.gaussian import reach, sigma_pixels, smooth
from segmentry.image import Grid, Image
from segmentry.length import Length, Size
from segmentry.overview import Overview
from segmentry.result import Instances
from segmentry.step import Segmenter

if TYPE_CHECKING:
    from segmentry.kernels.component_tree import Tree

__all__ = ["ComponentTree"]

LEVELS = 48
#: Intensities are counted in steps of this part of the range.
STEPS = 65_536
#: Percentiles of the image that stand for the background and for the brightest objects.
BACKGROUND, BRIGHTEST = 25.0, 99.95


class ComponentTree(Segmenter):
    """Finds blobs of any brightness, each at its own level, and parts those that touch: nuclei."""

    name: ClassVar[str] = "component_tree"
    task: ClassVar[Literal["instances"]] = "instances"
    source: ClassVar[str] = "Najman & Couprie 2006, doi:10.1109/TIP.2006.877518"

    foreground: Literal["bright", "dark"] = Field("bright", description="Whether objects are brighter or darker.")
    sigma: Length = Field(Length(0.7), description="Smoothing before anything else.")
    lowest: float = Field(
        0.09, gt=0, lt=0.9, description="Height over the background, as a share of the range, below which nothing is."
    )
    min_contrast: float = Field(
        0.12, ge=0, le=10, description="Least steepness of the border times radius, as a share of the range."
    )
    min_size: Size = Field(Size(25.0), description="Smallest area or volume of an object.")
    roundness: float = Field(0.9, ge=0, lt=1, description="How much like an ellipse an object must be; 1 is one.")
    level: float = Field(
        0.58, gt=0, lt=1, description="Where the outline lies, as a share of the object's height over the background."
    )
    range_: tuple[float, float] | None = Field(None, description="Intensity of the background and of bright objects.")

    def halo(self, grid: Grid) -> tuple[int, ...]:
        return tuple(r + 1 for r in reach(sigma_pixels(self.sigma, grid)))

    def prepare(self, overview: Overview) -> Self:
        histogram = overview.histogram()
        bright = self.foreground == "bright"
        ends = (BACKGROUND, BRIGHTEST) if bright else (100 - BACKGROUND, 100 - BRIGHTEST)
        low, high = (histogram.percentile(p) for p in ends)
        return self.model_copy(update={"range_": (low, high)})

    def segment(self, image: Image) -> Instances:
        from segmentry.kernels.component_tree import chosen_nodes, component_tree

        ready = self.prepared(image)
        assert ready.range_ is not None
        low, high = ready.range_
        if low == high:
            return Instances.from_labels(np.zeros(image.grid.shape, np.uint32), image.grid)
        sigma = sigma_pixels(self.sigma, image.grid)
        heights = (smooth(image.read().astype(np.float32), sigma).astype(np.float64) - low) / (high - low)
        levels = np.searchsorted(np.geomspace(self.lowest, 0.98, LEVELS), heights).astype(np.uint8)
        steps = np.rint(np.clip(heights, -1, 16) * STEPS).astype(np.int32)
        tree = component_tree(levels, steps, _steepness(steps, image.grid))
        worth, scores = self._worth(tree, image.grid)
        labels, chosen = chosen_nodes(tree, worth)
        labels = self._outlined(labels, steps, levels > 0)
        ids = np.unique(labels)
        ids = ids[ids > 0]
        return Instances(labels, image.grid, ids, scores[chosen[ids - 1]].astype(np.float32)).renumbered()

    def _worth(self, tree: Tree, grid: Grid) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return what each node of the tree is worth as an object, and its score.

        The score is how well an ellipse fits, times how much of its height the border would lose over a radius.
        """
        ndim = len(grid.shape)
        area = tree.area.astype(np.float64)
        height = tree.intensity / area / STEPS
        steepness = tree.slope / np.maximum(tree.rim, 1) / STEPS
        # An ellipsoid with these second moments has this area; nothing else of the same moments has more.
        ball = math.pi ** (ndim / 2) / math.gamma(ndim / 2 + 1)
        ellipse = ball * (ndim + 2) ** (ndim / 2) * np.sqrt(_determinant(tree.covariance(ndim)))
        fit = np.clip((area / ellipse - self.roundness) / (1 - self.roundness), 0, 1)
        worth = fit * np.sqrt(np.sqrt(area) * steepness / np.maximum(height, 1e-6))
        # Steepness times radius reaches the contrast; raised to the number of axes, so that no root is needed.
        strong = steepness**ndim * area >= self.min_contrast**ndim * ball
        worth[~strong | (area < self.min_size.count(grid))] = 0
        radius = np.sqrt(area / ball) if ndim == 2 else np.cbrt(area / ball)
        return worth, fit * np.minimum(steepness * radius / np.maximum(height, 1e-6), 1)

    def _outlined(
        self, labels: NDArray[np.uint32], steps: NDArray[np.int32], mask: NDArray[np.bool_]
    ) -> NDArray[np.uint32]:
        """Let each object grow or shrink to its share of its own height; keep its largest connected part."""
        from segmentry.kernels.components import label_components
        from segmentry.kernels.watershed import flood

        sums = np.bincount(labels.ravel(), weights=steps.ravel())
        floors = self.level * sums / np.maximum(np.bincount(labels.ravel()), 1)
        depths = (65_535 - np.clip(steps, 0, 65_535)).astype(np.uint16)
        grown = flood(depths, labels, mask)
        grown[steps < floors[grown]] = 0
        parts, count = label_components(grown)
        sizes = np.bincount(parts.ravel(), minlength=count + 1)
        owner = np.zeros(count + 1, np.int64)
        owner[parts.ravel()] = grown.ravel()
        order = np.lexsort((-sizes, owner))
        first = order[np.unique(owner[order], return_index=True)[1]]
        keep = np.zeros(count + 1, np.bool_)
        keep[first] = True
        return np.where(keep[parts], grown, 0).astype(np.uint32)


def _steepness(steps: NDArray[np.int32], grid: Grid) -> NDArray[np.int32]:
    """Return the gradient's magnitude per pixel of the finest axis, by central differences."""
    total = np.zeros(steps.shape)
    for axis, ratio in enumerate(grid.anisotropy):
        padded = np.pad(steps.astype(np.float64), [(1, 1) if a == axis else (0, 0) for a in range(steps.ndim)], "edge")
        moved = np.moveaxis(padded, axis, 0)
        rise = np.moveaxis(moved[2:] - moved[:-2], 0, axis) / (2 * ratio)
        total += rise * rise
    return np.rint(np.sqrt(total)).astype(np.int32)


def _determinant(matrices: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the determinants of symmetric matrices of two or three rows, at least a little above 0."""
    m = np.moveaxis(matrices, 0, -1)
    if len(m) == 2:
        found = m[0, 0] * m[1, 1] - m[0, 1] * m[0, 1]
    else:
        found = (
            m[0, 0] * (m[1, 1] * m[2, 2] - m[1, 2] * m[1, 2])
            - m[0, 1] * (m[0, 1] * m[2, 2] - m[1, 2] * m[0, 2])
            + m[0, 2] * (m[0, 1] * m[1, 2] - m[1, 1] * m[0, 2])
        )
    return np.asarray(np.maximum(found, 1e-9))
