"""Scores of a result against the truth, each with its definition."""

from segmentry.metrics.objects import Matching, average_precision, f1, match_objects, precision, recall
from segmentry.metrics.pixels import dice, iou
from segmentry.metrics.report import DEFINITIONS, THRESHOLDS, evaluate_images, evaluate_set

__all__ = [
    "DEFINITIONS",
    "THRESHOLDS",
    "Matching",
    "average_precision",
    "dice",
    "evaluate_images",
    "evaluate_set",
    "f1",
    "iou",
    "match_objects",
    "precision",
    "recall",
]
