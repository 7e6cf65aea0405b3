"""The fate of every object."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from label_pairs import PAIRS, overlaps

from segmentry.metrics.errors import (
    count_bias,
    count_error,
    extra_rate,
    fates,
    merge_rate,
    missed_rate,
    split_rate,
)

LABELS = arrays(np.uint32, (5, 6), elements=st.sampled_from([0, 1, 1, 2, 3, 7]))


def drawn(*objects, size=40):
    """Return a line of pixels with objects from one place to another."""
    line = np.zeros((2, size), np.uint32)
    for i, (start, stop) in enumerate(objects, 1):
        line[:, start:stop] = i
    return line


def told(predicted, true, threshold=0.5):
    found = fates(overlaps(drawn(*predicted), drawn(*true)), threshold)
    return found.predicted.tolist(), found.true.tolist()


@pytest.mark.parametrize(
    ("predicted", "true", "ours", "theirs"),
    [
        ([(0, 10)], [(0, 10)], ["correct"], ["found"]),
        ([(0, 20)], [(0, 9), (11, 20)], ["merge"], ["merged", "merged"]),
        ([(0, 9), (11, 20)], [(0, 20)], ["part", "part"], ["split"]),
        ([(0, 20)], [(0, 15), (16, 20)], ["correct"], ["found", "merged"]),
        ([(0, 15), (16, 20)], [(0, 20)], ["correct", "part"], ["found"]),
        ([], [(0, 10)], [], ["missed"]),
        ([(0, 10)], [], ["extra"], []),
        ([(9, 30)], [(0, 10)], ["extra"], ["poor"]),
        ([(0, 10)], [(9, 30)], ["poor"], ["missed"]),
        ([(0, 20)], [(0, 9)], ["poor"], ["poor"]),
        ([(0, 4)], [(0, 10)], ["poor"], ["poor"]),
        ([(5, 15)], [(0, 10)], ["poor"], ["poor"]),
        ([(0, 8), (8, 16)], [(4, 12)], ["poor", "poor"], ["poor"]),
        ([(0, 1), (5, 6)], [(0, 40)], ["part", "part"], ["split"]),
        ([], [], [], []),
    ],
)
def test_each_object_has_the_fate_that_one_would_give_it(predicted, true, ours, theirs):
    assert told(predicted, true) == (ours, theirs)


def test_merging_goes_before_splitting():
    # The first predicted object holds both true ones, and lies in the first of them together with the second.
    predicted, true = [(0, 20), (20, 26)], [(5, 26), (0, 5)]
    assert told(predicted, true, 0.9) == (["merge", "part"], ["merged", "merged"])


def test_a_lower_threshold_finds_more():
    assert told([(0, 8)], [(0, 20)], 0.4) == (["correct"], ["found"])


def test_rates_count_objects():
    predicted = drawn((0, 20), (22, 24), (26, 28), (36, 38))
    true = drawn((0, 9), (11, 20), (21, 29), (30, 34))
    found = overlaps(predicted, true)
    assert fates(found).predicted.tolist() == ["merge", "part", "part", "extra"]
    assert merge_rate(found) == 2 / 4
    assert split_rate(found) == missed_rate(found) == extra_rate(found) == 1 / 4
    assert count_error(found) == count_bias(found) == 0


def test_numbers_of_objects():
    many, few = drawn((0, 2), (3, 5), (6, 8)), drawn((0, 2), (3, 5))
    assert (count_error(overlaps(many, few)), count_bias(overlaps(many, few))) == (1 / 2, 1 / 2)
    assert count_error(overlaps(few, many)) == pytest.approx(1 / 3)
    assert count_bias(overlaps(few, many)) == pytest.approx(-1 / 3)
    assert np.isnan(count_error(overlaps(many, drawn())))
    # Pooled, errors of several images add up, and biases cancel.
    parts = [overlaps(many, few), overlaps(few, many)]
    assert sum(count_error.function(p).numerator for p in parts) == 2
    assert sum(count_bias.function(p).numerator for p in parts) == 0


def test_nothing_to_judge_is_not_known():
    nothing = overlaps(drawn(), drawn())
    assert all(np.isnan(rate(nothing)) for rate in (merge_rate, split_rate, missed_rate, extra_rate))


def plain(one, other, matched):
    """Return the fates of the objects of both, by the words of the definition."""
    p, t = ({int(i): set(np.flatnonzero(a == i)) for i in np.unique(a[a > 0])} for a in (one, other))
    inside = {(a, b) for a in p for b in t if 2 * len(p[a] & t[b]) > len(p[a])}
    holds = {(a, b) for a in p for b in t if 2 * len(p[a] & t[b]) > len(t[b])}
    correct, found = {a for a, _ in matched}, {b for _, b in matched}
    ours, theirs = {}, {}
    for b in t:
        covered = sum(len(p[a] & t[b]) for a in p)
        hosts = [a for a in p if (a, b) in holds]
        if b in found:
            theirs[b] = "found"
        elif any(a in correct or sum((a, c) in holds for c in t) > 1 for a in hosts):
            theirs[b] = "merged"
        elif sum((a, b) in inside for a in p) > 1:
            theirs[b] = "split"
        else:
            theirs[b] = "missed" if covered < len(t[b]) / 10 else "poor"
    for a in p:
        covered = sum(len(p[a] & t[b]) for b in t)
        hosts = [b for b in t if (a, b) in inside]
        if a in correct:
            ours[a] = "correct"
        elif sum((a, b) in holds for b in t) > 1:
            ours[a] = "merge"
        elif any(b in found or sum((c, b) in inside for c in p) > 1 for b in hosts):
            ours[a] = "part"
        else:
            ours[a] = "extra" if covered < len(p[a]) / 10 else "poor"
    return list(ours.values()), list(theirs.values())


@given(LABELS, LABELS, st.sampled_from([0.2, 0.5, 0.7]))
def test_fates_are_what_their_definition_says(one, other, threshold):
    matching = overlaps(one, other)
    rows = matching.pairs[matching.matched(threshold)]
    matched = {(int(matching.predicted_ids[a]), int(matching.true_ids[b])) for a, b in rows}
    found = fates(matching, threshold)
    assert (found.predicted.tolist(), found.true.tolist()) == plain(one, other, matched)


@pytest.mark.parametrize("name", PAIRS)
def test_what_is_merged_lies_in_a_merge(name):
    matching = overlaps(*PAIRS[name])
    found = fates(matching)
    predicted, true = matching.pairs.T
    holds = 2 * matching.shared > matching.true_sizes[true]
    merged = holds & (found.true[true] == "merged")
    assert set(true[merged]) == set(np.flatnonzero(found.true == "merged"))
    assert set(found.predicted[predicted[merged]]) <= {"merge", "correct"}
    assert (found.true == "found").sum() == (found.predicted == "correct").sum() == len(matching.matched(0.5))
