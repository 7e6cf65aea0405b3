"""Supervoxels: an image divided into the basins of its boundaries, and these divided among labels.

The height of the boundary is the steepness of the image, or how much it bends across a line; its basins are found by a
watershed. Labels then grow from some of them over the lowest boundaries (Straehle et al. 2011,
doi:10.1007/978-3-642-23623-5_82).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from segmentry.filters.gaussian import sigma_pixels, smooth
from segmentry.gradients import slopes, steepness
from segmentry.image import Image
from segmentry.length import Length

if TYPE_CHECKING:
    from segmentry.kernels.supervoxel_graph import SupervoxelGraph

__all__ = ["BACKGROUND", "BIAS", "SIGMA", "Boundaries", "Forest", "Supervoxels", "boundary_levels", "divide"]

Boundaries: TypeAlias = Literal["step", "bright", "dark"]

#: Scale of the boundaries, and what they count where background grows over them, unless asked for otherwise.
SIGMA, BIAS = 1.6, 0.95
#: The label of the background among the seeds; objects have those above it.
BACKGROUND = 1
#: Boundaries are this high at most.
TOP = 65_535
#: What the bend of a pixel that lies on no line counts, so that there is an order among those too.
OFF_LINES = 0.05


@dataclass(frozen=True, eq=False)
class Forest:
    """Supervoxels divided among labels; the first place of each array is that of no supervoxel.

    Parameters
    ----------
    labels
        The label of each supervoxel, 0 where none reaches it.
    sureness
        1 less the highest boundary on the way from its seed, as a share of that on the best way from a seed of another
        label: 0 where it could as well be the other's, 1 where no other could reach it.
    """

    labels: NDArray[np.uint32]
    sureness: NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Supervoxels:
    """An image divided into the basins of its boundaries, and how high these are.

    Parameters
    ----------
    ids
        The supervoxel of each pixel, 1 … n.
    sizes
        How many pixels each has; the first place is that of no supervoxel.
    graph
        Which of them touch.
    """

    ids: NDArray[np.uint32]
    sizes: NDArray[np.int64]
    graph: SupervoxelGraph

    @classmethod
    def of(cls, image: Image, sigma: Length, boundaries: Boundaries) -> Supervoxels:
        """Divide an image: one channel at one time point, finite.

        Parameters
        ----------
        sigma
            Scale of the boundaries: standard deviation of the bell curve that smooths the image.
        boundaries
            Whether they are steps of intensity, or lines brighter or darker than what is on both sides.
        """
        from segmentry.kernels.basins import lowest_places
        from segmentry.kernels.supervoxel_graph import touching
        from segmentry.kernels.watershed import flood

        levels = boundary_levels(image, sigma, boundaries)
        seeds, count = lowest_places(levels)
        ids = flood(levels, seeds, np.ones(levels.shape, np.bool_))
        return cls(ids, np.bincount(ids.ravel(), minlength=count + 1), touching(ids, levels, count))

    def __len__(self) -> int:
        return len(self.sizes) - 1

    def mean(self, values: NDArray[Any], chosen: NDArray[np.bool_]) -> float:
        """Return the mean over the pixels of some supervoxels, of values that each supervoxel has; 0 without any."""
        sizes = self.sizes[chosen]
        return float((values[chosen] * sizes).sum() / max(int(sizes.sum()), 1))


def divide(graph: SupervoxelGraph, seeds: NDArray[np.uint32], bias: float) -> Forest:
    """Grow the labels of some supervoxels over all others of a graph; boundaries count less for `BACKGROUND`."""
    from segmentry.kernels.spanning_forest import NEVER, grow_forest, rival_heights

    labels, reached = grow_forest(graph, seeds, BACKGROUND, bias)
    rivals = rival_heights(graph, labels, reached, BACKGROUND, bias)
    sure = np.maximum(1 - reached / np.maximum(rivals, 1), 0)
    sure[rivals == NEVER] = 1
    sure[labels == 0] = 0
    return Forest(labels, sure.astype(np.float32))


def boundary_levels(image: Image, sigma: Length, boundaries: Boundaries) -> NDArray[np.uint16]:
    """Return how high the boundary is at each pixel, on a scale from 0 to 65,535 that the image fills."""
    spacing = image.grid.anisotropy
    pixels = smooth(image.read().astype(np.float32), sigma_pixels(sigma, image.grid))
    if boundaries == "step":
        heights = steepness(slopes(pixels, spacing))
    else:
        heights = _lines(-pixels if boundaries == "bright" else pixels, spacing)
        heights -= heights.min()
    highest = float(heights.max())
    return np.asarray(np.rint(heights * np.float32(TOP / highest if highest else 0)), np.uint16)


def _lines(pixels: NDArray[np.float32], spacing: Sequence[float]) -> NDArray[np.float32]:
    """Return how much the image bends upwards across the darkest line through each pixel."""
    lead = 3 - pixels.ndim
    volume = pixels.reshape((1,) * lead + pixels.shape)
    steps = (1.0,) * lead + tuple(spacing)
    bends = np.empty_like(volume)
    for z in range(len(volume)):
        planes = [np.pad(volume[min(max(z + d, 0), len(volume) - 1)], 1, mode="edge") for d in (-1, 0, 1)]
        bends[z] = _most_bent(planes, steps, len(volume) == 1)
    return np.asarray(np.maximum(bends, OFF_LINES * bends).reshape(pixels.shape))


def _most_bent(planes: list[NDArray[np.float32]], steps: Sequence[float], flat: bool) -> NDArray[np.float32]:
    """Return the largest eigenvalue of the second derivatives in the middle one of three planes, padded by a pixel."""
    from segmentry.kernels.eigenvalues import eigenvalues

    def at(z: int, y: int, x: int) -> NDArray[np.float32]:
        height, width = planes[1].shape
        return planes[1 + z][1 + y : height - 1 + y, 1 + x : width - 1 + x]

    def second(a: tuple[int, int, int], b: tuple[int, int, int], area: float) -> NDArray[np.float32]:
        """Return the difference of differences along two steps."""
        if a == b:
            return (at(*a) - 2 * at(0, 0, 0) + at(*(-s for s in a))) * np.float32(1 / area)
        both, across = [s + t for s, t in zip(a, b, strict=True)], [s - t for s, t in zip(a, b, strict=True)]
        corners = at(*both) + at(*(-s for s in both)) - at(*across) - at(*(-s for s in across))
        return corners * np.float32(1 / (4 * area))

    z, y, x = (1, 0, 0), (0, 1, 0), (0, 0, 1)
    sz, sy, sx = steps
    if flat:
        yy, xx, yx = second(y, y, sy * sy), second(x, x, sx * sx), second(y, x, sy * sx)
        return np.asarray((yy + xx) / 2 + np.sqrt(((yy - xx) / 2) ** 2 + yx**2))
    pairs = ((x, x, sx * sx), (y, y, sy * sy), (z, z, sz * sz), (y, x, sy * sx), (z, x, sz * sx), (z, y, sz * sy))
    matrices = np.stack([second(*pair).ravel() for pair in pairs])
    values = np.empty((3, matrices.shape[1]), np.float32)
    eigenvalues(matrices, matrices.shape[1], values)
    return np.asarray(values[0].reshape(planes[1].shape[0] - 2, -1))
