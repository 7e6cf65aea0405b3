"""Scores of outlines: how far the surface of a mask lies from that of the truth.

Surfaces run between pixels and are cut into pieces, one at each point at which 2 x 2 (x 2) pixels meet, as large as the
piece of marching squares (cubes) there (Nikolov et al. 2021, doi:10.2196/26151). The distance of a piece is that of its
point to the nearest such point of the other surface. Beyond the image lies background: where a mask reaches the edge of
the image, its surface runs along the edge.

Where neither mask has a pixel, they agree: distances are 0 and shares 1. Where only one has any, nothing is near:
distances are infinite and shares 0.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from segmentry.errors import InputError
from segmentry.metrics.metric import Metric, Ratio, metric

__all__ = [
    "Surfaces",
    "average_distance_to_predicted",
    "average_distance_to_truth",
    "average_surface_distance",
    "boundary_f",
    "hausdorff",
    "hausdorff_95",
    "surface_dice",
    "surfaces",
]

#: What differs by less, relative to it, is equal: spacings such as 0.1 are rounded, and sums of sizes are.
ROUNDING = 1e-9
#: Who defined distances weighted by the size of the surface.
DEEPMIND = "Nikolov et al. 2021, doi:10.2196/26151"


@dataclass(frozen=True, eq=False)
class Surfaces:
    """Distances from each piece of surface of one mask to the surface of the other, and the size of the pieces.

    Parameters
    ----------
    to_truth
        Per piece of the predicted surface, how far the true surface is; in the unit of the spacing.
    predicted_sizes
        Its length, or its area.
    to_predicted
        Per piece of the true surface, how far the predicted surface is.
    true_sizes
        Its length, or its area.
    tolerance
        Up to which distance two surfaces agree, for those metrics that ask for it; in the unit of the spacing.
    """

    to_truth: NDArray[np.float64]
    predicted_sizes: NDArray[np.float64]
    to_predicted: NDArray[np.float64]
    true_sizes: NDArray[np.float64]
    tolerance: float = 0.0

    def within(self) -> tuple[float, float]:
        """Return how much of the predicted and of the true surface is within the tolerance of the other."""
        limit = self.tolerance * (1 + ROUNDING)
        ours = self.predicted_sizes[self.to_truth <= limit].sum()
        return float(ours), float(self.true_sizes[self.to_predicted <= limit].sum())


def surfaces(
    predicted: NDArray[np.bool_], truth: NDArray[np.bool_], spacing: Sequence[float], tolerance: float = 0.0
) -> Surfaces:
    """Return the distances between the surfaces of two masks, in the box around both.

    Parameters
    ----------
    predicted, truth : (Y, X) or (Z, Y, X) bool arrays
    spacing
        Pixel size per axis.
    tolerance
        Up to which distance they agree.

    Raises
    ------
    InputError
        When the shapes differ, or there are not two or three axes with a spacing each.
    """
    from segmentry.kernels.distance import distances_at
    from segmentry.kernels.surfels import piece_sizes, surface_codes, surface_points

    if predicted.shape != truth.shape:
        raise InputError(f"the predicted mask has shape {predicted.shape}, the truth {truth.shape}")
    if predicted.ndim not in (2, 3) or len(spacing) != predicted.ndim:
        raise InputError(f"surfaces need two or three axes with a spacing each, not {predicted.shape} with {spacing}")
    box = _box(predicted, truth)
    sizes = piece_sizes(spacing)
    ours, theirs = (surface_codes(np.asarray(mask[box], np.bool_)) for mask in (predicted, truth))
    here, there = surface_points(ours), surface_points(theirs)
    return Surfaces(
        to_truth=distances_at(here, ~there, spacing),
        predicted_sizes=sizes[ours[here]],
        to_predicted=distances_at(there, ~here, spacing),
        true_sizes=sizes[theirs[there]],
        tolerance=tolerance,
    )


def _box(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> tuple[slice, ...]:
    """Return the box around all pixels of two masks."""
    box = []
    for axis in range(one.ndim):
        others = tuple(i for i in range(one.ndim) if i != axis)
        held = np.flatnonzero(one.any(axis=others) | other.any(axis=others))
        box.append(slice(int(held[0]), int(held[-1]) + 1) if len(held) else slice(0, 0))
    return tuple(box)


def _lacking(surfaces: Surfaces) -> float | None:
    """Return the distance where a surface is lacking: 0 if both are, infinite if one is; else ``None``."""
    if len(surfaces.to_truth) and len(surfaces.to_predicted):
        return None
    return math.inf if len(surfaces.to_truth) or len(surfaces.to_predicted) else 0.0


def _distance(source: str, caveat: str) -> Callable[[Callable[[Surfaces], float]], Metric]:
    """Make a function of two surfaces a metric of their distance, which is told where a surface is lacking, too."""

    def made(function: Callable[[Surfaces], float]) -> Metric:
        @functools.wraps(function)
        def found(surfaces: Surfaces) -> float:
            lacking = _lacking(surfaces)
            return function(surfaces) if lacking is None else lacking

        return metric(Surfaces, best=0, worst=math.inf, unit="length", source=source, caveat=caveat)(found)

    return made


@_distance("Huttenlocher et al. 1993, doi:10.1109/34.232073", "One stray pixel decides it.")
def hausdorff(surfaces: Surfaces) -> float:
    """max(max d(p, T), max d(t, P)) over the pieces p of the predicted surface P and t of the true surface T.

    The largest distance from either surface to the other.
    """
    return float(max(surfaces.to_truth.max(), surfaces.to_predicted.max()))


@_distance(
    DEEPMIND,
    "Other programs take the percentile over points, whatever the size of their pieces, or over both surfaces "
    "together.",
)
def hausdorff_95(surfaces: Surfaces) -> float:
    """max(q d(p, T), q d(t, P)): q is the distance within which 95 % of a surface lie, by length or area.

    The Hausdorff distance without the furthest 5 % of either surface.
    """
    ours = _percentile(surfaces.to_truth, surfaces.predicted_sizes, 0.95)
    return max(ours, _percentile(surfaces.to_predicted, surfaces.true_sizes, 0.95))


@_distance("", "Other programs take the mean of the two one-sided averages.")
def average_surface_distance(surfaces: Surfaces) -> float:
    """(Σ s_p d(p, T) + Σ s_t d(t, P)) / (Σ s_p + Σ s_t): the mean distance of both surfaces, weighted by size s."""
    ours, theirs = surfaces.predicted_sizes, surfaces.true_sizes
    total = (ours * surfaces.to_truth).sum() + (theirs * surfaces.to_predicted).sum()
    return float(total / (ours.sum() + theirs.sum()))


@_distance(DEEPMIND, "Surface that was not found does not count.")
def average_distance_to_truth(surfaces: Surfaces) -> float:
    """Σ s_p d(p, T) / Σ s_p: the mean distance from the predicted surface to the true one, weighted by size s."""
    return float((surfaces.predicted_sizes * surfaces.to_truth).sum() / surfaces.predicted_sizes.sum())


@_distance(DEEPMIND, "Surface predicted where there is none does not count.")
def average_distance_to_predicted(surfaces: Surfaces) -> float:
    """Σ s_t d(t, P) / Σ s_t: the mean distance from the true surface to the predicted one, weighted by size s."""
    return float((surfaces.true_sizes * surfaces.to_predicted).sum() / surfaces.true_sizes.sum())


@metric(
    Surfaces, empty=1, source=DEEPMIND,
    caveat="The tolerance should be what annotators differ by; without that it says little.",
)  # fmt: skip
def surface_dice(surfaces: Surfaces) -> Ratio:
    """(Σ s_p [d(p, T) ≤ τ] + Σ s_t [d(t, P) ≤ τ]) / (Σ s_p + Σ s_t): the share of both surfaces within a tolerance τ.

    Also called normalised surface distance, NSD.
    """
    return Ratio(sum(surfaces.within()), float(surfaces.predicted_sizes.sum() + surfaces.true_sizes.sum()))


@metric(
    Surfaces, source="Csurka et al. 2013, doi:10.5244/C.27.32",
    caveat="The original counts pixels of the outline; here its pieces count by their length or area.",
)  # fmt: skip
def boundary_f(surfaces: Surfaces) -> float:
    """2 P R / (P + R): P is the share of the predicted surface within a tolerance of the true one, R the reverse."""
    lacking = _lacking(surfaces)
    if lacking is not None:
        return float(lacking == 0)
    ours, theirs = surfaces.within()
    precision, recall = ours / surfaces.predicted_sizes.sum(), theirs / surfaces.true_sizes.sum()
    return float(2 * precision * recall / (precision + recall)) if precision + recall else 0.0


def _percentile(distances: NDArray[np.float64], sizes: NDArray[np.float64], share: float) -> float:
    order = np.argsort(distances)
    reached = np.cumsum(sizes[order])
    at = np.searchsorted(reached, share * (1 - ROUNDING) * reached[-1])
    return float(distances[order[at]])
