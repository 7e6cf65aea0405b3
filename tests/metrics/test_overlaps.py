"""Scores of objects by their pixels, against other programs and plain definitions."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from label_pairs import PAIRS, overlaps, recorded
from scipy.optimize import linear_sum_assignment
from skimage.metrics import adapted_rand_error, variation_of_information
from sklearn.metrics import mutual_info_score

from segmentry.metrics.overlaps import aji, aji_plus, are, seg, vi, vi_merge, vi_split

LABELS = arrays(np.uint32, (4, 5), elements=st.sampled_from([0, 1, 2, 3, 2**32 - 1]))
SEVERAL = [name for name, (p, t) in PAIRS.items() if p.any() and t.any()]


@pytest.fixture(scope="module")
def matchings():
    return {name: overlaps(p, t) for name, (p, t) in PAIRS.items()}


@pytest.mark.parametrize("name", SEVERAL)
def test_aggregated_jaccard_indices_are_those_of_hovernet(name, matchings):
    expected = recorded("hovernet")[name]
    assert aji(matchings[name]) == pytest.approx(expected["aji"], abs=1e-12)
    assert aji_plus(matchings[name]) == pytest.approx(expected["aji_plus"], abs=1e-12)


def test_cellpose_divides_what_it_calls_aji_by_the_foreground():
    # Objects are paired one to one, those of an IoU of half first; where objects that don't match overlap, pixels
    # count once, not for either of them. So it is above both indices.
    predicted, true = PAIRS["more cells"]
    found = overlaps(predicted, true)
    iou = np.zeros((found.n_true, found.n_predicted))
    shared = iou.copy()
    iou[found.pairs[:, 1], found.pairs[:, 0]], shared[found.pairs[:, 1], found.pairs[:, 0]] = found.iou, found.shared
    paired = linear_sum_assignment((iou >= 0.5) + iou / (2 * min(iou.shape)), maximize=True)
    expected = recorded("cellpose")["more cells"]["aji"]
    assert shared[paired].sum() / ((predicted > 0) | (true > 0)).sum() == pytest.approx(expected, abs=1e-12)
    assert expected > aji_plus(found) > aji(found)


@pytest.mark.parametrize("name", SEVERAL)
def test_seg_is_that_of_the_cell_tracking_challenge(name, matchings):
    assert seg(matchings[name]) == pytest.approx(recorded("ctc")[name], abs=1e-12)


@pytest.mark.parametrize("name", SEVERAL)
def test_rand_error_and_information_are_those_of_scikit_image(name, matchings):
    predicted, true = PAIRS[name]
    expected = adapted_rand_error(true, predicted, ignore_labels=(0,))[0]
    assert are(matchings[name]) == pytest.approx(expected, abs=1e-12)
    split, merge = variation_of_information(true, predicted, ignore_labels=(0,))
    assert vi_split(matchings[name]) == pytest.approx(split, abs=1e-12)
    assert vi_merge(matchings[name]) == pytest.approx(merge, abs=1e-12)
    assert vi(matchings[name]) == pytest.approx(split + merge, abs=1e-12)


@pytest.mark.parametrize("name", SEVERAL)
def test_information_is_entropy_that_the_divisions_do_not_share(name, matchings):
    predicted, true = PAIRS[name]
    p, t = predicted[true > 0], true[true > 0]
    entropies = mutual_info_score(p, p) + mutual_info_score(t, t)
    expected = (entropies - 2 * mutual_info_score(t, p)) / np.log(2)
    assert vi(matchings[name]) == pytest.approx(expected, abs=1e-9)


def test_nothing_to_find():
    nothing, all_false, missed = (overlaps(*PAIRS[f"nothing{end}"]) for end in ("", " there", " found"))
    assert aji(nothing) == aji_plus(nothing) == 1
    for score in (aji, aji_plus):
        assert score(all_false) == score(missed) == 0
    for score in (seg, are, vi, vi_split, vi_merge):
        assert np.isnan(score(nothing))
        assert np.isnan(score(all_false))
    assert seg(missed) == 0
    # All that is missed is one predicted segment: nothing is split.
    assert vi_split(missed) == 0
    assert vi(missed) == vi_merge(missed) > 0


@pytest.mark.parametrize("score", [aji, aji_plus, seg])
def test_a_pooled_score_is_that_of_the_images_side_by_side(score):
    one, other = PAIRS["cells"], PAIRS["more cells"]
    parts = [score.function(overlaps(*pair)) for pair in (one, other)]
    pooled = type(parts[0])(*map(sum, zip(*parts, strict=True)))
    joined = [np.zeros((120, 200), np.int32) for _ in range(2)]
    for both, a, b in zip(joined, one, other, strict=True):
        both[:90, :110] = a
        both[:120, 110:] = np.where(b, b + 1000, 0)
    assert score(overlaps(*joined)) == pytest.approx(score.value(pooled), abs=1e-12)


@pytest.mark.parametrize("score", [are, vi, vi_split, vi_merge])
def test_pixels_of_several_images_pool(score):
    rng = np.random.default_rng(0)
    one, other = rng.integers(1, 4, (2, 2, 6, 30))
    parts = [score.function(overlaps(*pair)) for pair in (one, other)]
    pooled = type(parts[0])(*map(sum, zip(*parts, strict=True)))
    joined = np.concatenate((one, other + 10), axis=1)
    assert score(overlaps(*joined)) == pytest.approx(score.value(pooled), abs=1e-12)


def masks(labels):
    return [labels == i for i in np.unique(labels[labels > 0])]


def aggregated(pairs, predicted, true):
    """Return the shared pixels of pairs / those of their unions and of all objects in no pair."""
    above = sum((predicted[i] & true[j]).sum() for i, j in pairs)
    below = sum((predicted[i] | true[j]).sum() for i, j in pairs)
    below += sum(m.sum() for i, m in enumerate(predicted) if i not in {i for i, _ in pairs})
    below += sum(m.sum() for j, m in enumerate(true) if j not in {j for _, j in pairs})
    return above / below if below else 1


@given(LABELS, LABELS)
def test_indices_and_seg_are_what_their_definitions_say(one, other):
    predicted, true = masks(one), masks(other)
    iou = np.array([[(p & t).sum() / (p | t).sum() for t in true] for p in predicted]).reshape(
        len(predicted), len(true)
    )
    found = overlaps(one, other)
    best = [(int(iou[:, j].argmax()), j) for j in range(len(true)) if len(predicted) and iou[:, j].any()]
    assert aji(found) == pytest.approx(aggregated(best, predicted, true), abs=1e-12)

    n = min(len(predicted), len(true))
    choices = [
        list(zip(rows, columns, strict=True))
        for rows in itertools.combinations(range(len(predicted)), n)
        for columns in itertools.permutations(range(len(true)), n)
    ]
    totals = [sum(iou[pair] for pair in choice) for choice in choices]
    possible = [
        aggregated([pair for pair in choice if iou[pair]], predicted, true)
        for choice, total in zip(choices, totals, strict=True)
        if total > max(totals) - 1e-12
    ]
    assert np.isclose(possible, aji_plus(found), rtol=0, atol=1e-12).any()

    if true:
        holds = [
            [iou[i, j] for i, p in enumerate(predicted) if 2 * (p & t).sum() > t.sum()] for j, t in enumerate(true)
        ]
        assert seg(found) == pytest.approx(sum(map(sum, holds)) / len(true), abs=1e-12)
