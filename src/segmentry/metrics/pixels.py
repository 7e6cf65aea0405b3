"""Scores of pixels: how well two sets of pixels cover each other."""

from __future__ import annotations

__all__ = ["dice", "iou"]


def dice(shared: int, predicted: int, true: int) -> float:
    """2 |A ∩ B| / (|A| + |B|), from numbers of pixels; 1 where both are empty (doi:10.2307/1932409)."""
    return 2 * shared / (predicted + true) if predicted + true else 1.0


def iou(shared: int, predicted: int, true: int) -> float:
    """|A ∩ B| / |A ∪ B|, from numbers of pixels; 1 where both are empty (Jaccard 1912)."""
    union = predicted + true - shared
    return shared / union if union else 1.0
