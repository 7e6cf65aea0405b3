"""Record what other programs say of pairs of label images: python make_scores.py TOOL > scores_TOOL.json

TOOL is one of these, each in an environment of its own that has scikit-image, too:

- stardist (0.9.2 was used)
- cellpose (3.1.1.3)
- ctc: py-ctcmetrics (1.3.3)
- hovernet: metrics/stats_utils.py of HoVer-Net (commit 5847ebb) on the path
- torchmetrics (1.9.0)

The label images are made here again by the tests.
"""

import json
import sys
import tempfile
from pathlib import Path

import numpy as np
from scipy.ndimage import binary_erosion
from scipy.spatial import cKDTree
from skimage.data import coins
from skimage.measure import label

THRESHOLDS = [0.3, 0.5, 0.75, 0.9]


def cells(points, shape, radius):
    """Return cells that touch: to each pixel the nearest point, as far as it is within the radius."""
    pixels = np.indices(shape).reshape(len(shape), -1).T
    distance, nearest = cKDTree(points).query(pixels)
    return np.where(distance < radius, nearest + 1, 0).reshape(shape).astype(np.int32)


def touching(rng, shape, n, radius):
    """Return cells, and such of points that moved, were lost, or doubled."""
    points = rng.random((n, len(shape))) * shape
    moved = points[: -n // 5] + rng.normal(0, radius / 5, points[: -n // 5].shape)
    doubled = points[: n // 5] + rng.normal(0, radius / 2, points[: n // 5].shape)
    return sequential(cells(np.concatenate((moved, doubled)), shape, radius)), sequential(cells(points, shape, radius))


def sequential(labels):
    """Return the same objects with ids 1 … n."""
    ids, index = np.unique(labels, return_inverse=True)
    return (index.reshape(labels.shape) + (ids[0] > 0)).astype(np.int32)


def pairs():
    """Return predicted and true labels by name."""
    rng = np.random.default_rng(1)
    image = coins()[::2, ::2]
    truth = label(image > 120).astype(np.int32)
    thinned = label(binary_erosion(image > 120, iterations=2)).astype(np.int32)
    found = {
        "coins, as they are": (truth, truth),
        "coins, moved": (np.roll(truth, 2, axis=1), truth),
        "coins, thinned": (thinned, truth),
        "coins, merged": (label(image > 90).astype(np.int32), truth),
        "cells": touching(rng, (90, 110), 60, 9),
        "more cells": touching(rng, (120, 90), 200, 5),
        "cells in a volume": touching(rng, (12, 40, 30), 40, 6),
    }
    for i in range(6):
        a, b = rng.integers(0, 3 + i, (2, 9, 11), np.int32)
        found[f"noise {i}"] = sequential(a), sequential(b)
    halves, whole = np.zeros((2, 4, 8), np.int32)
    halves[:2, :4], halves[2:, :4], whole[:, :4], halves[0, 6:], whole[:2, 6:] = 1, 2, 1, 3, 2
    found |= {"exactly half": (halves, whole), "exactly half of it": (whole, halves)}
    nothing = np.zeros_like(truth)
    return found | {"nothing found": (nothing, truth), "nothing there": (truth, nothing), "nothing": (nothing, nothing)}


def stardist(predicted, true):
    from stardist.matching import matching

    keys = ("tp", "fp", "fn", "precision", "recall", "accuracy", "f1", "panoptic_quality", "mean_matched_score")
    return [{k: getattr(matching(true, predicted, thresh=t), k) for k in keys} for t in THRESHOLDS]


def cellpose(predicted, true):
    from cellpose.metrics import aggregated_jaccard_index, average_precision

    if not predicted.max() or not true.max():
        return None
    ap, tp, fp, fn = average_precision(true, predicted, THRESHOLDS)
    aji = aggregated_jaccard_index([true], [predicted])[0]
    return {"ap": ap.tolist(), "tp": tp.tolist(), "fp": fp.tolist(), "fn": fn.tolist(), "aji": aji}


def ctc(predicted, true):
    import tifffile
    from ctc_metrics.metrics import seg
    from ctc_metrics.utils.representations import match

    if not predicted.max() or not true.max():
        return None
    with tempfile.TemporaryDirectory() as folder:
        paths = [str(Path(folder) / name) for name in ("true.tif", "predicted.tif")]
        for path, labels in zip(paths, (true, predicted), strict=True):
            tifffile.imwrite(path, labels.astype(np.uint16))
        labels, _, _, _, iou = match(*paths)
    return seg([labels], [iou])


def hovernet(predicted, true):
    from stats_utils import get_fast_aji, get_fast_aji_plus

    if not predicted.max() or not true.max():
        return None
    return {"aji": get_fast_aji(true, predicted), "aji_plus": get_fast_aji_plus(true, predicted)}


def torchmetrics(predicted, true):
    import torch
    from torchmetrics.functional.detection import panoptic_quality

    if not predicted.max() and not true.max():
        return None
    both = [torch.tensor(np.stack((a > 0, a), axis=-1).astype(np.int64))[None] for a in (predicted, true)]
    found = panoptic_quality(*both, things={1}, stuffs={0}, return_sq_and_rq=True, return_per_class=True)
    return dict(zip(("pq", "sq", "rq"), found[0].tolist(), strict=True))


if __name__ == "__main__":
    ask = {f.__name__: f for f in (stardist, cellpose, ctc, hovernet, torchmetrics)}[sys.argv[1]]
    json.dump({name: ask(*pair) for name, pair in pairs().items()}, sys.stdout, indent=1, default=float)
