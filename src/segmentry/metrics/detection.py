"""Scores of objects: which of them are found, at how strict an overlap.

A predicted and a true object match when the intersection over union (IoU) of their pixels reaches a threshold; each
object matches one at most, as many as possible. TP are the matches, FP the predicted objects left over, FN the true
ones.
"""

from __future__ import annotations

from dataclasses import dataclass

from segmentry.metrics.metric import Ratio, metric

__all__ = ["Matches", "ap", "f1", "pq", "precision", "recall", "rq", "sq"]


@dataclass(frozen=True)
class Matches:
    """Numbers of objects at one threshold, and the sum of the IoU of those that match."""

    tp: int
    fp: int
    fn: int
    iou: float


@metric(Matches, empty=1, source="Caicedo et al. 2019, doi:10.1038/s41592-019-0612-7")
def ap(matches: Matches) -> Ratio:
    """TP / (TP + FP + FN): average precision as the papers of DSB2018, StarDist and Cellpose have it."""
    return Ratio(matches.tp, matches.tp + matches.fp + matches.fn)


@metric(Matches, empty=1)
def f1(matches: Matches) -> Ratio:
    """2 TP / (2 TP + FP + FN)."""
    return Ratio(2 * matches.tp, 2 * matches.tp + matches.fp + matches.fn)


@metric(Matches)
def precision(matches: Matches) -> Ratio:
    """TP / (TP + FP): how many of the predicted objects are right."""
    return Ratio(matches.tp, matches.tp + matches.fp)


@metric(Matches)
def recall(matches: Matches) -> Ratio:
    """TP / (TP + FN): how many of the true objects were found."""
    return Ratio(matches.tp, matches.tp + matches.fn)


@metric(
    Matches,
    empty=1,
    source="Kirillov et al. 2019, doi:10.1109/CVPR.2019.00963",
    caveat="Defined for matches at IoU above 0.5; at other thresholds it is what the same formula gives.",
)
def pq(matches: Matches) -> Ratio:
    """Panoptic quality: sum of the IoU of the matches / (TP + FP / 2 + FN / 2), which is SQ times RQ."""
    return Ratio(matches.iou, matches.tp + matches.fp / 2 + matches.fn / 2)


@metric(Matches, source="Kirillov et al. 2019, doi:10.1109/CVPR.2019.00963")
def sq(matches: Matches) -> Ratio:
    """Segmentation quality: the mean IoU of the matches."""
    return Ratio(matches.iou, matches.tp)


@metric(Matches, empty=1, source="Kirillov et al. 2019, doi:10.1109/CVPR.2019.00963")
def rq(matches: Matches) -> Ratio:
    """Recognition quality: TP / (TP + FP / 2 + FN / 2), which is F1."""
    return Ratio(matches.tp, matches.tp + matches.fp / 2 + matches.fn / 2)
