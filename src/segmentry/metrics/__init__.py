"""Scores of a result against the truth, each with its definition."""

from segmentry.metrics.comparison import compare
from segmentry.metrics.evidence import Evidence, check_fit
from segmentry.metrics.matching import Matching, match_objects
from segmentry.metrics.metric import Metric, Ratio, metric, metrics
from segmentry.metrics.scores import THRESHOLDS, ImageScores, SetScores, evaluate_images, evaluate_set, score

__all__ = [
    "THRESHOLDS",
    "Evidence",
    "ImageScores",
    "Matching",
    "Metric",
    "Ratio",
    "SetScores",
    "check_fit",
    "compare",
    "evaluate_images",
    "evaluate_set",
    "match_objects",
    "metric",
    "metrics",
    "score",
]
