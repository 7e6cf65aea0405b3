"""Scores of objects that have scores, against COCO's program and scikit-learn."""

import contextlib
import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from label_pairs import PAIRS, overlaps
from pycocotools import mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from sklearn.calibration import calibration_curve

from segmentry.errors import InputError
from segmentry.metrics.ranking import (
    THRESHOLDS,
    calibration_error,
    coco_ap,
    coco_ap50,
    coco_ap75,
    rank_objects,
    reliability,
)

PLANES = [name for name, (p, _) in PAIRS.items() if p.ndim == 2]
SETS = {
    "a photograph": ["coins, as they are", "coins, moved", "coins, merged"],
    "cells": ["cells", "more cells", "nothing there", "nothing found", "nothing"],
    "noise": [f"noise {i}" for i in range(6)],
    "halves": ["exactly half", "exactly half of it"],
    "all": PLANES,
}


def scored(names, seed, steps):
    """Return pairs of labels, and a score for each predicted object: one of so many values, higher where it is good."""
    rng = np.random.default_rng(seed)
    for name in names:
        predicted, true = PAIRS[name]
        found = overlaps(predicted, true)
        best = np.zeros(found.n_predicted)
        np.maximum.at(best, found.pairs[:, 0], found.iou)
        yield predicted, true, np.round((0.5 * best + 0.5 * rng.random(len(best))) * steps) / steps


def by_pycocotools(images):
    """Return AP, AP50 and AP75 as COCO's program has them, with as many objects as there are."""
    truth, ours, pictures = [], [], []
    for number, (predicted, true, scores) in enumerate(images, 1):
        pictures.append({"id": number, "height": true.shape[0], "width": true.shape[1]})
        for labels, into in ((true, truth), (predicted, ours)):
            for i in range(1, labels.max() + 1):
                rle = mask.encode(np.asfortranarray(labels == i, np.uint8))
                entry = {"id": len(into) + 1, "image_id": number, "category_id": 1, "segmentation": rle, "iscrowd": 0}
                into.append({**entry, "area": int(mask.area(rle))})
                if labels is predicted:
                    into[-1]["score"] = float(scores[i - 1])
    with contextlib.redirect_stdout(io.StringIO()):
        held = []
        for annotations in (truth, ours):
            coco = COCO()
            coco.dataset = {"images": pictures, "annotations": annotations, "categories": [{"id": 1, "name": "object"}]}
            coco.createIndex()
            held.append(coco)
        judge = COCOeval(*held, "segm")
        judge.params.maxDets = [10**6]
        judge.params.areaRng = [[0, 10**10]]
        judge.evaluate()
        judge.accumulate()
    precision = judge.eval["precision"][:, :, 0, 0, 0]
    return precision.mean(), precision[0].mean(), precision[5].mean()


@pytest.mark.parametrize("steps", [4, 10**6], ids=["many equal scores", "hardly any"])
@pytest.mark.parametrize("names", SETS.values(), ids=SETS)
def test_average_precision_is_that_of_pycocotools(names, steps):
    images = list(scored(names, 0, steps))
    rankings = [rank_objects(overlaps(p, t), s) for p, t, s in images]
    found = [score(rankings) for score in (coco_ap, coco_ap50, coco_ap75)]
    assert found == pytest.approx(by_pycocotools(images), abs=1e-12)


def test_true_objects_are_taken_by_falling_score():
    # Two predicted objects are half of one true object each: the one with the higher score takes it.
    found = overlaps(*PAIRS["exactly half"])
    assert rank_objects(found, [0.2, 0.9, 0.5]).take(0.5).tolist() == [0, 1, -1]
    assert rank_objects(found, [0.2, 0.9, 0.5]).scores.tolist() == [0.9, 0.5, 0.2]


LABELS = arrays(np.uint32, (4, 6), elements=st.sampled_from([0, 1, 2, 3, 4]))


@given(LABELS, LABELS, st.sampled_from([0.1, 0.3, 0.5, 0.6]), st.data())
def test_each_takes_the_best_that_is_free(one, other, threshold, data):
    found = overlaps(one, other)
    n = found.n_predicted
    scores = data.draw(st.lists(st.sampled_from([0.1, 0.5, 0.9, np.nan]), min_size=n, max_size=n))
    iou = np.zeros((n, found.n_true))
    iou[tuple(found.pairs.T)] = found.iou
    order = sorted(range(n), key=lambda i: -np.nan_to_num(scores[i], nan=-1))
    free, expected = set(range(found.n_true)), []
    for i in order:
        best = max((j for j in free if iou[i, j] >= threshold), key=lambda j: (iou[i, j], j), default=-1)
        expected.append(best)
        free.discard(best)
    ranking = rank_objects(found, scores)
    assert ranking.take(threshold).tolist() == expected
    assert [t.tolist() for t in ranking.taken] == [ranking.take(t).tolist() for t in THRESHOLDS]


def test_a_perfect_result_has_all_and_one_without_scores_is_not_known():
    predicted, true = PAIRS["coins, as they are"]
    found = overlaps(predicted, true)
    assert coco_ap([rank_objects(found, np.linspace(0, 1, found.n_predicted))]) == pytest.approx(1)
    for unknown in (None, np.full(found.n_predicted, np.nan)):
        ranking = rank_objects(found, unknown)
        assert all(np.isnan(score([ranking])) for score in (coco_ap, coco_ap50, coco_ap75, calibration_error))
        assert len(reliability([ranking])) == 0


def test_nothing_to_find_or_nothing_found():
    missed, nothing = (rank_objects(overlaps(*PAIRS[name]), []) for name in ("nothing found", "nothing"))
    assert coco_ap([missed]) == coco_ap([missed, nothing]) == 0
    assert np.isnan(coco_ap([nothing]))
    assert np.isnan(coco_ap([]))
    assert np.isnan(calibration_error([missed]))
    assert np.isnan(calibration_error([]))


def test_objects_without_a_score_come_last():
    predicted, true = np.zeros((2, 1, 9), np.int32)
    predicted[0, :3], predicted[0, 4:6], true[0, :3] = 2, 1, 1
    found = overlaps(predicted, true)
    assert coco_ap([rank_objects(found, [np.nan, 0.1])]) == pytest.approx(1)
    assert coco_ap([rank_objects(found, [0.1, np.nan])]) == pytest.approx(1 / 2)


@pytest.mark.parametrize("threshold", [0.5, 0.75, 0.42])
def test_reliability_is_that_of_scikit_learn(threshold):
    images = list(scored(["cells", "more cells", "coins, moved"], 1, 50))
    rankings = [rank_objects(overlaps(p, t), s) for p, t, s in images]
    right = np.concatenate([r.take(threshold) >= 0 for r in rankings])
    scores = np.concatenate([r.scores for r in rankings])
    share, mean = calibration_curve(right, scores, n_bins=8)
    table = reliability(rankings, threshold, bins=8)
    np.testing.assert_allclose(table["right"], share, atol=1e-12)
    np.testing.assert_allclose(table["score"], mean, atol=1e-12)
    assert table["n"].sum() == len(scores)
    assert ((table["from"] <= table["score"]) & (table["score"] <= table["to"])).all()


def test_calibration_error_is_the_mean_gap():
    images = list(scored(["cells", "more cells", "coins, moved"], 1, 50))
    rankings = [rank_objects(overlaps(p, t), s) for p, t, s in images]
    table = reliability(rankings)
    expected = np.average((table["right"] - table["score"]).abs(), weights=table["n"])
    assert calibration_error(rankings) == pytest.approx(expected, abs=1e-12)


def test_scores_that_tell_the_share_that_is_right_are_calibrated():
    true = np.repeat(np.arange(1, 9), 3)[None]
    predicted = np.where(np.isin(true, [2, 5, 6, 7]) & (np.arange(24) % 3 > 0), 0, true)  # a third of these is left
    found = overlaps(predicted, true)
    scores = np.repeat([0.75, 0.25], 4)
    assert calibration_error([rank_objects(found, scores)]) == pytest.approx(0, abs=1e-12)
    assert calibration_error([rank_objects(found, 1 - scores)]) == pytest.approx(0.5, abs=1e-12)


def test_scores_must_be_as_many_as_objects():
    with pytest.raises(InputError, match="2 scores for 3 predicted objects"):
        rank_objects(overlaps(*PAIRS["exactly half"]), [0.5, 0.5])
