"""Record what stardist.matching says of pairs of label images: python make_matching.py > matching.json

Needs stardist (0.9.2 was used) and scikit-image. The label images are made here again by the test.
"""

import json
import sys

import numpy as np
from skimage.data import coins
from skimage.measure import label


def pairs():
    """Yield predicted and true labels: thresholds of one photograph, moved, thinned and split."""
    image = coins()
    for truth_at, predicted_at, shift in ((110, 120, 0), (110, 110, 3), (130, 105, 1), (250, 120, 0), (120, 250, 0)):
        truth = label(image > truth_at)
        predicted = np.roll(label(image > predicted_at), shift, axis=1)
        yield predicted, truth
        predicted = predicted.copy()
        predicted[::40] = 0
        yield label(predicted > 0), truth


if __name__ == "__main__":
    from stardist.matching import matching, matching_dataset

    thresholds = [0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95]
    keys = ("tp", "fp", "fn", "precision", "recall", "accuracy", "f1")
    found = [[{k: getattr(matching(t, p, thresh=h), k) for k in keys} for h in thresholds] for p, t in pairs()]
    predicted, true = zip(*pairs(), strict=True)
    pooled = [matching_dataset(true, predicted, thresh=h, show_progress=False) for h in thresholds]
    together = [{k: getattr(m, k) for k in keys} for m in pooled]
    json.dump({"images": found, "pooled": together}, sys.stdout, indent=1, default=float)
