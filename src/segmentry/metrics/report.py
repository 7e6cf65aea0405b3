"""All scores of one image, and of a set: pooled over its objects and as the mean over its images."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np

from segmentry.metrics.objects import average_precision, f1, match_objects, precision, recall
from segmentry.metrics.pixels import dice, iou
from segmentry.result import Instances
from segmentry.tiling import slabs

__all__ = ["DEFINITIONS", "THRESHOLDS", "evaluate_images", "evaluate_set"]

THRESHOLDS = tuple(round(0.5 + 0.05 * i, 2) for i in range(10))

#: What each score is, printed beside it.
DEFINITIONS: Mapping[str, str] = MappingProxyType(
    {
        "dice": "2 |A ∩ B| / (|A| + |B|) over the pixels of all objects, whatever their ids",
        "iou": "|A ∩ B| / |A ∪ B| over the pixels of all objects, whatever their ids",
        "ap": "TP / (TP + FP + FN) of objects matched one to one at an IoU of at least the threshold",
        "f1": "2 TP / (2 TP + FP + FN) at IoU 0.5",
        "precision": "TP / (TP + FP) at IoU 0.5",
        "recall": "TP / (TP + FN) at IoU 0.5",
    }
)


def evaluate_images(predicted: Instances, truth: Instances) -> dict[str, Any]:
    """Return the counts and the scores of one image.

    Raises
    ------
    InputError
        When the shapes differ.
    """
    matching = match_objects(predicted, truth)
    shared = ours = theirs = 0
    for region in slabs(truth.grid.shape):
        a, b = np.asarray(predicted.labels[region]) > 0, np.asarray(truth.labels[region]) > 0
        shared += int((a & b).sum())
        ours += int(a.sum())
        theirs += int(b.sum())
    counts = {
        "n_predicted": matching.n_predicted,
        "n_true": matching.n_true,
        "pixels": {"shared": shared, "predicted": ours, "true": theirs},
        "tp": {f"{t:.2f}": matching.true_positives(t) for t in THRESHOLDS},
    }
    return counts | _scores(counts)


def evaluate_set(images: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the scores of several images: of all their objects together, and the mean of the images' scores."""
    counts = {
        "n_predicted": sum(i["n_predicted"] for i in images),
        "n_true": sum(i["n_true"] for i in images),
        "pixels": {k: sum(i["pixels"][k] for i in images) for k in ("shared", "predicted", "true")},
        "tp": {f"{t:.2f}": sum(i["tp"][f"{t:.2f}"] for i in images) for t in THRESHOLDS},
    }
    names = [name for name in DEFINITIONS if name != "ap"]
    mean: dict[str, Any] = {name: _mean([i[name] for i in images]) for name in names}
    mean["ap"] = {key: _mean([i["ap"][key] for i in images]) for key in counts["tp"]}
    return {"pooled": counts | _scores(counts), "mean_over_images": mean, "n_images": len(images)}


def _scores(counts: Mapping[str, Any]) -> dict[str, Any]:
    pixels = counts["pixels"]
    tp = counts["tp"]["0.50"]
    fp, fn = counts["n_predicted"] - tp, counts["n_true"] - tp
    return {
        "dice": dice(pixels["shared"], pixels["predicted"], pixels["true"]),
        "iou": iou(pixels["shared"], pixels["predicted"], pixels["true"]),
        "ap": {
            key: average_precision(n, counts["n_predicted"] - n, counts["n_true"] - n)
            for key, n in counts["tp"].items()
        },
        "f1": f1(tp, fp, fn),
        "precision": precision(tp, fp),
        "recall": recall(tp, fn),
    }


def _mean(values: Sequence[float]) -> float:
    known = [v for v in values if not math.isnan(v)]
    return math.fsum(known) / len(known) if known else float("nan")
