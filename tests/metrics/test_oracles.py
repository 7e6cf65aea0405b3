"""What StarDist, Cellpose and torchmetrics say of the same objects."""

import math

import numpy as np
import pytest
from label_pairs import PAIRS, instances, recorded, spread

from segmentry.metrics import detection
from segmentry.metrics.evidence import Evidence
from segmentry.metrics.matching import Matching
from segmentry.metrics.metric import metrics

THRESHOLDS = [0.3, 0.5, 0.75, 0.9]


@pytest.fixture(scope="module")
def evidence():
    return {name: Evidence(instances(p), instances(t)) for name, (p, t) in PAIRS.items()}


@pytest.mark.parametrize("name", PAIRS)
def test_scores_are_those_of_stardist(name, evidence):
    for threshold, expected in zip(THRESHOLDS, recorded("stardist")[name], strict=True):
        matches = evidence[name].matches(threshold)
        assert (matches.tp, matches.fp, matches.fn) == tuple(expected[k] for k in ("tp", "fp", "fn"))
        if name == "nothing":  # StarDist calls it 0 when there is nothing and nothing is found
            assert detection.ap(matches) == detection.f1(matches) == detection.pq(matches) == 1
            continue
        assert detection.ap(matches) == pytest.approx(expected["accuracy"], abs=1e-12)
        assert detection.f1(matches) == detection.rq(matches) == pytest.approx(expected["f1"], abs=1e-12)
        for score, key in ((detection.precision, "precision"), (detection.recall, "recall")):
            # 0 / 0 is not known here, and 0 with StarDist.
            assert np.nan_to_num(score(matches)) == pytest.approx(expected[key], abs=1e-12)
        for score, key in ((detection.pq, "panoptic_quality"), (detection.sq, "mean_matched_score")):
            # Below half, there may be several ways to match as many objects. StarDist adds up in 32 bit.
            if threshold >= 0.5:
                assert np.nan_to_num(score(matches)) == pytest.approx(expected[key], abs=1e-7)


def test_average_precision_is_that_of_cellpose(evidence):
    for name, expected in recorded("cellpose").items():
        for at, threshold in enumerate(THRESHOLDS) if expected else ():
            matches = evidence[name].matches(threshold)
            assert (matches.tp, matches.fp, matches.fn) == tuple(expected[k][at] for k in ("tp", "fp", "fn"))
            assert detection.ap(matches) == pytest.approx(expected["ap"][at], abs=1e-7)  # 32 bit


def test_panoptic_quality_is_that_of_torchmetrics_above_half(evidence):
    for name, expected in recorded("torchmetrics").items():
        matches = evidence[name].matches(np.nextafter(0.5, 1))
        for key in ("pq", "sq", "rq") if expected else ():
            found = np.nan_to_num(getattr(detection, key)(matches))
            assert found == pytest.approx(expected[key], abs=1e-6), name  # 32 bit


@pytest.mark.parametrize("name", ["coins, merged", "cells", "noise 4", "nothing found", "nothing there"])
def test_panoptic_quality_follows_its_paper(name, evidence):
    predicted, true = PAIRS[name]
    segments = [[labels == i for i in np.unique(labels[labels > 0])] for labels in (predicted, true)]
    iou = [(p & g).sum() / (p | g).sum() for p in segments[0] for g in segments[1]]
    matched = [v for v in iou if v > 0.5]
    fp, fn = len(segments[0]) - len(matched), len(segments[1]) - len(matched)
    expected = sum(matched) / (len(matched) + fp / 2 + fn / 2)
    assert detection.pq(evidence[name].matches(np.nextafter(0.5, 1))) == pytest.approx(expected, abs=1e-12)


def test_an_iou_of_the_threshold_is_a_match(evidence):
    # Cellpose and StarDist say so too; in the paper of the panoptic quality, a match is above half.
    assert evidence["exactly half of it"].matches(0.5).tp == 2
    assert recorded("cellpose")["exactly half of it"]["tp"][1] == 2
    assert recorded("torchmetrics")["exactly half of it"]["pq"] == 0


@pytest.mark.parametrize("name", ["coins, merged", "more cells", "cells in a volume", "noise 5", "nothing found"])
def test_no_score_depends_on_ids(name, evidence):
    predicted, true = PAIRS[name]
    other = Evidence(instances(spread(predicted)), instances(spread(true)))
    for score in metrics().values():
        if score.evidence is Matching:
            one = score(evidence[name].matching)
            assert score(other.matching) == pytest.approx(one, abs=1e-12, nan_ok=True), score.name
    for threshold in THRESHOLDS:
        assert other.matches(threshold).tp == evidence[name].matches(threshold).tp


@pytest.mark.parametrize("name", ["detection", "overlaps", "errors", "ranking"])
def test_every_score_of_objects_says_what_it_is(name):
    found = [m for m in metrics().values() if m.function.__module__.endswith(name)]
    assert found
    for score in found:
        assert score.definition.endswith(".")
        assert not math.isnan(score.best)
        assert score.best != score.worst
