"""Scores of pixels: how well two sets of pixels cover each other."""

from __future__ import annotations

from dataclasses import dataclass

from segmentry.metrics.metric import Ratio, metric

__all__ = ["PixelCounts", "accuracy", "dice", "iou", "pixel_precision", "pixel_recall"]


@dataclass(frozen=True)
class PixelCounts:
    """Numbers of pixels of one class: in both, predicted (A), true (B), and looked at at all."""

    shared: int
    predicted: int
    true: int
    total: int


@metric(PixelCounts, empty=1, source="Dice 1945, doi:10.2307/1932409")
def dice(pixels: PixelCounts) -> Ratio:
    """2 |A ∩ B| / (|A| + |B|)."""
    return Ratio(2 * pixels.shared, pixels.predicted + pixels.true)


@metric(PixelCounts, empty=1, source="Jaccard 1912, doi:10.1111/j.1469-8137.1912.tb05611.x")
def iou(pixels: PixelCounts) -> Ratio:
    """|A ∩ B| / |A ∪ B|."""
    return Ratio(pixels.shared, pixels.predicted + pixels.true - pixels.shared)


@metric(PixelCounts)
def pixel_precision(pixels: PixelCounts) -> Ratio:
    """|A ∩ B| / |A|: how much of what was predicted is right."""
    return Ratio(pixels.shared, pixels.predicted)


@metric(PixelCounts)
def pixel_recall(pixels: PixelCounts) -> Ratio:
    """|A ∩ B| / |B|: how much of what there is was found."""
    return Ratio(pixels.shared, pixels.true)


@metric(
    PixelCounts,
    caveat="High wherever one class fills most of the image: a result without a single object scores the share of the "
    "background.",
)
def accuracy(pixels: PixelCounts) -> Ratio:
    """Pixels that are right, of the class or not of it, / all pixels."""
    wrong = pixels.predicted + pixels.true - 2 * pixels.shared
    return Ratio(pixels.total - wrong, pixels.total)
