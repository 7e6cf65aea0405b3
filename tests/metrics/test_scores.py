import json
import math
import runpy
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats
from scipy.optimize import linear_sum_assignment

from segmentry.errors import InputError, ParameterError
from segmentry.image import Grid
from segmentry.metrics import (
    THRESHOLDS,
    Evidence,
    ImageScores,
    Ratio,
    compare,
    evaluate_images,
    evaluate_set,
    match_objects,
    metrics,
)
from segmentry.metrics.breakdown import by_class, by_size, confusion, object_rows
from segmentry.metrics.comparison import sign_test
from segmentry.metrics.scores import MEAN
from segmentry.result import Instances, Semantic

REFERENCE = Path(__file__).parents[1] / "reference"


def instances(array, **known):
    labels = np.asarray(array, np.uint32)
    return Instances.from_labels(labels, Grid("ZYX"[-labels.ndim :], labels.shape, **known))


def ratios(pairs, name="ap", of="0.50"):
    """Return images whose only score is a ratio."""
    return [ImageScores({(name, of): Ratio(a, b)}, name=str(i)) for i, (a, b) in enumerate(pairs)]


def test_counts_and_scores_are_those_of_stardist():
    recorded = json.loads((REFERENCE / "matching.json").read_text())
    pairs = list(runpy.run_path(str(REFERENCE / "make_matching.py"))["pairs"]())
    found = [evaluate_images(instances(p), instances(t), metrics=("ap", "f1", "precision", "recall")) for p, t in pairs]
    for image, expected in zip(found, recorded["images"], strict=True):
        for threshold, score in zip(THRESHOLDS, expected, strict=True):
            at = f"{threshold:.2f}"
            assert image.found["precision", at] == (score["tp"], score["tp"] + score["fp"])
            assert image.found["recall", at] == (score["tp"], score["tp"] + score["fn"])
            assert image["ap", at] == pytest.approx(score["accuracy"], abs=1e-12)
            assert image["f1", at] == pytest.approx(score["f1"], abs=1e-12)
        assert np.nan_to_num(image["precision"]) == pytest.approx(expected[0]["precision"], abs=1e-12)
    pooled = evaluate_set(found, draws=10)
    for threshold, score in zip(THRESHOLDS, recorded["pooled"], strict=True):
        assert pooled["ap", f"{threshold:.2f}"].pooled == pytest.approx(score["accuracy"], abs=1e-12)


LABELS = arrays(np.uint32, (6, 7), elements=st.sampled_from([0, 1, 2, 3, 2**31 + 5, 2**32 - 1]))


@given(LABELS, LABELS, st.sampled_from([0.2, 0.4, 0.5, 0.75]))
def test_as_many_objects_match_as_possible(one, other, threshold):
    ids, others = (sorted(set(a.ravel()) - {0}) for a in (one, other))
    iou = np.zeros((len(ids), len(others)))
    for i, a in enumerate(ids):
        for j, b in enumerate(others):
            iou[i, j] = ((one == a) & (other == b)).sum() / ((one == a) | (other == b)).sum()
    rows, columns = linear_sum_assignment(-(iou >= threshold).astype(float))
    expected = int((iou[rows, columns] >= threshold).sum())
    assert len(match_objects(instances(one), instances(other)).matched(threshold)) == expected


@given(LABELS, LABELS)
def test_pixel_scores_are_those_of_the_masks(one, other):
    found = evaluate_images(instances(one), instances(other), metrics=("iou", "dice", "accuracy"))
    a, b = one > 0, other > 0
    if (a | b).any():
        assert found["iou"] == (a & b).sum() / (a | b).sum()
        assert found["dice"] == 2 * (a & b).sum() / (a.sum() + b.sum())
    else:
        assert found["iou"] == found["dice"] == 1
    assert found["accuracy"] == (a == b).mean()


def test_nothing_to_find_and_nothing_found_is_perfect():
    found = evaluate_images(instances([[0, 0]]), instances([[0, 0]]))
    assert found["ap", "0.50"] == found["f1"] == 1
    assert evaluate_images(instances([[0, 1]]), instances([[0, 0]]))["ap"] == 0


def test_a_set_without_images_has_no_scores():
    found = evaluate_set([])
    assert found.to_dict() == {}
    assert found.table().empty


def test_scores_of_a_set_are_pooled_and_averaged():
    found = evaluate_set(ratios([(1, 2), (9, 10), (0, 0)]))["ap"]
    assert found.pooled == 10 / 12
    assert found.mean == pytest.approx((0.5 + 0.9 + 1) / 3)  # nothing to find and nothing found is perfect
    recall = evaluate_set(ratios([(1, 2), (9, 10), (0, 0)], "recall"))["recall"]
    assert (recall.pooled, recall.mean, recall.n) == (10 / 12, pytest.approx(0.7), 2)


def test_a_number_that_is_no_ratio_is_only_averaged():
    images = [ImageScores({("hausdorff", ""): value}) for value in (1.0, 3.0, math.inf)]
    found = evaluate_set(images)["hausdorff"]
    assert math.isnan(found.pooled)
    assert (found.mean, found.n) == (2, 2)


def sample(n, seed):
    rng = np.random.default_rng(seed)
    total = rng.integers(5, 60, n)
    return np.stack([rng.binomial(total, rng.beta(8, 2, n)), total], axis=1)


def test_intervals_are_those_of_scipys_bootstrap():
    pairs = sample(30, 3)
    found = evaluate_set(ratios(pairs))["ap"]
    for statistic, ours in (
        (lambda a, b, axis: a.sum(axis=axis) / b.sum(axis=axis), found.pooled_interval),
        (lambda a, b, axis: (a / b).mean(axis=axis), found.mean_interval),
    ):
        drawn = stats.bootstrap(
            tuple(pairs.T), statistic, paired=True, method="percentile", n_resamples=20_000, random_state=1
        )
        low, high = drawn.confidence_interval
        assert ours == pytest.approx((low, high), abs=0.06 * (high - low))


def test_intervals_hold_what_a_large_set_scores_as_often_as_they_say():
    everything = sample(100_000, 0)
    truth = everything[:, 0].sum() / everything[:, 1].sum()
    held = 0
    for seed in range(200):
        low, high = evaluate_set(ratios(sample(40, seed + 1)), draws=400)["ap"].pooled_interval
        held += low <= truth <= high
    assert 0.89 <= held / 200 <= 0.98


def test_a_single_image_has_no_interval():
    found = evaluate_set(ratios([(1, 2)]))["ap"]
    assert (found.pooled, found.mean) == (0.5, 0.5)
    assert np.isnan([*found.pooled_interval, *found.mean_interval]).all()


def test_a_class_that_an_image_lacks_does_not_count_there():
    grid = Grid("YX", (1, 4))
    names = ("background", "cat", "dog")
    pairs = [([[0, 1, 1, 2]], [[0, 1, 2, 2]]), ([[0, 1, 1, 0]], [[0, 1, 1, 0]])]
    images = [evaluate_images(*(Semantic(np.array(a, np.uint8), grid, names) for a in p)) for p in pairs]
    assert images[0].found["dice", "cat"] == (2, 3)
    assert images[0]["dice"] == images[0]["dice", MEAN] == pytest.approx(2 / 3)
    found = evaluate_set(images)
    assert found["dice", "cat"].pooled == 6 / 7
    assert found["dice", "dog"].pooled == 2 / 3
    assert found["dice"].pooled == pytest.approx((6 / 7 + 2 / 3) / 2)
    assert "ap" not in {name for name, _ in found.found}


def test_what_is_ignored_does_not_count():
    truth = instances([[1, 1, 1, 0, 2, 2, 2, 0, 0]])
    predicted = instances([[5, 5, 5, 0, 0, 6, 6, 6, 0]])
    mask = np.array([[0, 0, 0, 0, 1, 1, 0, 0, 0]], bool)
    assert evaluate_images(predicted, truth)["ap"] == 1
    found = evaluate_images(predicted, truth, ignore=mask)
    assert found.found["recall", "0.50"] == (1, 1)  # 2 lies in the mask with more than half of its pixels
    assert found.found["precision", "0.50"] == (1, 2)
    assert found.found["accuracy", ""] == (5, 7)
    with pytest.raises(InputError, match=r"ignore has shape \(1, 2\).*\(1, 9\)"):
        evaluate_images(predicted, truth, ignore=mask[:, :2])


def test_what_is_not_of_one_image_is_refused_and_both_are_told():
    with pytest.raises(InputError, match=r"\(1, 2\).*\(2, 1\)"):
        evaluate_images(instances([[0, 1]]), instances([[0], [1]]))
    fine, coarse = (instances([[0, 1]], spacing=(s, s), unit="um") for s in (0.5, 0.6))
    with pytest.raises(InputError, match=r"0\.5.*0\.6.*--spacing"):
        evaluate_images(fine, coarse)
    assert evaluate_images(fine, instances([[0, 1]]))["ap"] == 1


def test_a_wrong_name_or_threshold_is_refused():
    with pytest.raises(ParameterError, match="did you mean 'dice'"):
        evaluate_images(instances([[1]]), instances([[1]]), metrics=("dise",))
    with pytest.raises(ParameterError, match="above 0"):
        evaluate_images(instances([[1]]), instances([[1]]), thresholds=(0.5, 1.2))
    with pytest.raises(KeyError, match="dice"):
        evaluate_images(instances([[1]]), instances([[1]]), metrics=("ap",))["dice"]


@pytest.mark.parametrize(("n", "tolerance"), [(2, 1e-12), (9, 1e-12), (12, 1e-12), (40, 0.02)])
def test_the_p_value_is_that_of_scipys_permutation_test(n, tolerance):
    differences = np.random.default_rng(n).normal(0.3, 1, n)
    theirs = stats.permutation_test(
        (differences,), np.mean, permutation_type="samples", n_resamples=20_000, random_state=0
    )
    # It doubles the smaller of the two sides; they are equal, as each sign can be turned.
    assert sign_test(differences) == pytest.approx(theirs.pvalue, abs=tolerance)


def test_methods_that_are_alike_are_not_told_apart():
    assert sign_test(np.zeros(5)) == 1
    assert math.isnan(sign_test(np.array([0.3])))
    assert math.isnan(sign_test(np.array([])))


def test_two_methods_are_compared_on_the_images_where_both_have_a_score():
    one = evaluate_set(ratios([(9, 10), (8, 10), (0, 0), (7, 10)], "recall"))
    other = evaluate_set(ratios([(5, 10), (5, 10), (1, 2), (6, 10)], "recall"))
    (row,) = compare(one, other).to_dict("records")
    assert (row["n"], row["mean"], row["mean_of_other"]) == (3, pytest.approx(0.8), pytest.approx(1.6 / 3))
    assert row["low"] <= row["difference"] <= row["high"]
    assert row["difference"] == pytest.approx(0.8 - 1.6 / 3)
    assert row["p"] == 0.25  # all three are better: 2 of 8 ways to turn the signs
    with pytest.raises(InputError, match="not of the same images"):
        compare(one, evaluate_set(ratios([(1, 2)])))


def test_every_metric_says_what_it_is_in_a_table():
    table = evaluate_set([evaluate_images(instances([[1, 0]]), instances([[1, 0]]))]).table()
    assert set(table["metric"]) == set(metrics())
    assert (table["definition"].str.len() > 10).all()
    assert table["range"].str.contains("best").all()


def rows_of(predicted, truth):
    rows = object_rows(Evidence(predicted, truth), 0.5)
    rows.insert(0, "image", "a")
    return rows


def test_each_object_has_its_best_overlap_and_its_box():
    rows = rows_of(instances([[7, 7, 7, 0, 8, 0, 0]]), instances([[1, 1, 0, 0, 0, 0, 2]])).set_index(["side", "id"])
    assert rows.loc[("true", 1), ["iou", "other", "matches", "fate"]].tolist() == [2 / 3, 7, True, "found"]
    assert rows.loc[("predicted", 8), ["iou", "other", "matches", "fate"]].tolist() == [0, 0, False, "extra"]
    assert rows.loc[("true", 2), ["start_x", "stop_x", "size"]].tolist() == [6, 7, 1]


def test_scores_by_size_add_up_to_those_of_all():
    rng = np.random.default_rng(0)
    truth = np.kron(np.arange(1, 65).reshape(8, 8), np.ones((6, 6), int))
    truth[rng.random(truth.shape) < 0.3] = 0
    predicted = np.where(rng.random(truth.shape) < 0.35, 0, truth)
    rows = rows_of(instances(predicted), instances(truth))
    table = by_size(rows)
    found = evaluate_images(instances(predicted), instances(truth), metrics=("recall", "precision"))
    assert len(table) == 4
    assert (table["recall"] * table["n_true"]).sum() == pytest.approx(found.found["recall", "0.50"][0])
    right = table["precision"].fillna(0) * table["n_predicted"]
    assert right.sum() == pytest.approx(found.found["precision", "0.50"][0])
    assert table["from"].tolist()[1:] == table["to"].tolist()[:-1]


def test_an_object_of_the_wrong_class_is_confused_with_it():
    kinds = {"names": ("background", "cat", "dog")}
    truth = Instances(np.array([[1, 0, 2, 0, 3]], np.uint32), Grid("YX", (1, 5)), np.array([1, 2, 3], np.uint32),
                      classes=np.array([1, 1, 2], np.int32), **kinds)  # fmt: skip
    predicted = Instances(np.array([[1, 0, 2, 3, 0]], np.uint32), Grid("YX", (1, 5)), np.array([1, 2, 3], np.uint32),
                          classes=np.array([1, 2, 2], np.int32), **kinds)  # fmt: skip
    rows = rows_of(predicted, truth)
    scores = by_class(rows).set_index("class")
    assert scores.loc["cat", ["recall", "precision"]].tolist() == [0.5, 1]
    assert scores.loc["dog", ["recall", "precision"]].tolist() == [0, 0]
    counts = {(r["true"], r["predicted"]): r["objects"] for r in confusion(rows).to_dict("records")}
    assert counts == {("cat", "cat"): 1, ("cat", "dog"): 1, ("dog", "none"): 1, ("none", "dog"): 1}
