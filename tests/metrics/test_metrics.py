import json
import runpy
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.optimize import linear_sum_assignment

from segmentry.errors import InputError
from segmentry.metrics import THRESHOLDS, evaluate_images, evaluate_set, match_objects
from segmentry.result import Instances

REFERENCE = Path(__file__).parents[1] / "reference"


def instances(array):
    return Instances.from_labels(np.asarray(array, np.uint32))


def test_counts_and_scores_are_those_of_stardist():
    recorded = json.loads((REFERENCE / "matching.json").read_text())
    pairs = list(runpy.run_path(str(REFERENCE / "make_matching.py"))["pairs"]())
    found = [evaluate_images(instances(p), instances(t)) for p, t in pairs]
    for image, expected in zip(found, recorded["images"], strict=True):
        for threshold, score in zip(THRESHOLDS, expected, strict=True):
            assert image["tp"][f"{threshold:.2f}"] == score["tp"]
            assert image["n_predicted"] == score["tp"] + score["fp"]
            assert image["n_true"] == score["tp"] + score["fn"]
            assert image["ap"][f"{threshold:.2f}"] == pytest.approx(score["accuracy"], abs=1e-12)
        assert image["f1"] == pytest.approx(expected[0]["f1"], abs=1e-12)
        assert np.nan_to_num(image["precision"]) == pytest.approx(expected[0]["precision"], abs=1e-12)
        assert image["recall"] == pytest.approx(expected[0]["recall"], abs=1e-12)
    pooled = evaluate_set(found)["pooled"]
    for threshold, score in zip(THRESHOLDS, recorded["pooled"], strict=True):
        assert pooled["ap"][f"{threshold:.2f}"] == pytest.approx(score["accuracy"], abs=1e-12)


LABELS = arrays(np.uint32, (6, 7), elements=st.sampled_from([0, 1, 2, 3, 2**32 - 1]))


@given(LABELS, LABELS, st.sampled_from([0.2, 0.4, 0.5, 0.75]))
def test_as_many_objects_match_as_possible(one, other, threshold):
    ids, others = (sorted(set(a.ravel()) - {0}) for a in (one, other))
    iou = np.zeros((len(ids), len(others)))
    for i, a in enumerate(ids):
        for j, b in enumerate(others):
            iou[i, j] = ((one == a) & (other == b)).sum() / ((one == a) | (other == b)).sum()
    rows, columns = linear_sum_assignment(-(iou >= threshold).astype(float))
    expected = int((iou[rows, columns] >= threshold).sum())
    assert match_objects(instances(one), instances(other)).true_positives(threshold) == expected


@given(LABELS, LABELS)
def test_pixel_scores_are_those_of_the_masks(one, other):
    found = evaluate_images(instances(one), instances(other))
    a, b = one > 0, other > 0
    if (a | b).any():
        assert found["iou"] == (a & b).sum() / (a | b).sum()
        assert found["dice"] == 2 * (a & b).sum() / (a.sum() + b.sum())
    else:
        assert found["iou"] == found["dice"] == 1


def test_nothing_to_find_and_nothing_found_is_perfect():
    found = evaluate_images(instances([[0, 0]]), instances([[0, 0]]))
    assert found["ap"]["0.50"] == found["f1"] == 1
    assert evaluate_images(instances([[0, 1]]), instances([[0, 0]]))["ap"]["0.50"] == 0


def test_shapes_that_differ_are_told():
    with pytest.raises(InputError, match=r"\(1, 2\).*\(2, 1\)"):
        evaluate_images(instances([[0, 1]]), instances([[0], [1]]))
