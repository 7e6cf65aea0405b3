"""Pairs of label images, and what other programs said of them."""

import json
import runpy
from pathlib import Path

import numpy as np

from segmentry.metrics.matching import match_objects
from segmentry.result import Instances

REFERENCE = Path(__file__).parents[1] / "reference"
PAIRS = runpy.run_path(str(REFERENCE / "make_scores.py"))["pairs"]()


def recorded(tool):
    """Return what a program said, by name of the pair."""
    return json.loads((REFERENCE / f"scores_{tool}.json").read_text())


def instances(labels):
    return Instances.from_labels(np.asarray(labels, np.uint32))


def overlaps(predicted, true):
    return match_objects(instances(predicted), instances(true))


def spread(labels):
    """Return the same objects with ids that have gaps and go up to the highest."""
    ids = np.sort(np.random.default_rng(0).choice(2**32 - 1, labels.max() + 1, replace=False)).astype(np.uint32)
    ids[0], ids[1:] = 0, ids[1:] + np.uint32(1)
    if len(ids) > 1:
        ids[-1] = 2**32 - 1
    return ids[labels]
