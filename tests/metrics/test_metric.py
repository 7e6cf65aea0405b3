import math
import sys

import numpy as np
import pytest

import segmentry.metrics
from segmentry.app.cli import run as command
from segmentry.errors import ParameterError
from segmentry.metrics import evaluate_images, evaluate_set, metrics
from segmentry.result import Instances, Semantic

ADDED = '''
from segmentry.metrics.detection import Matches
from segmentry.metrics.metric import Ratio, metric

@metric(Matches, best=1, worst=0, source="Nobody 2000")
def half_f(matches):
    """1.25 TP / (1.25 TP + 0.25 FN + FP)."""
    return Ratio(1.25 * matches.tp, 1.25 * matches.tp + 0.25 * matches.fn + matches.fp)
'''


@pytest.fixture
def added(tmp_path, monkeypatch):
    """One more file with one function, as if it lay in the package."""
    (tmp_path / "weighted.py").write_text(ADDED, "utf-8")
    monkeypatch.setattr(segmentry.metrics, "__path__", [*segmentry.metrics.__path__, str(tmp_path)])
    metrics.cache_clear()
    yield
    sys.modules.pop("segmentry.metrics.weighted", None)
    metrics.cache_clear()


def instances(array):
    return Instances.from_labels(np.asarray(array, np.uint32))


def test_a_metric_is_one_function_and_appears_everywhere(added, capsys):
    scores = evaluate_images(instances([[1, 1, 0, 3]]), instances([[1, 1, 2, 0]]))
    assert scores["half_f", "0.50"] == 1.25 / 2.5
    row = evaluate_set([scores, scores]).table().query("metric == 'half_f' and of == '0.50'").iloc[0]
    assert row["pooled"] == 0.5
    assert row["source"] == "Nobody 2000"
    assert command(["metrics", "half_f"]) == 0
    assert "0.25 FN" in " ".join(capsys.readouterr().out.split())


def test_every_metric_says_what_it_is():
    for metric in metrics().values():
        assert metric.definition.endswith(".")
        assert metric.best != metric.worst
        assert "doi:" in metric.source or not metric.source or metric.source.split()[-1].isdigit()


def test_a_perfect_result_has_the_best_of_every_score():
    labels = np.kron(np.array([[1, 0], [0, 2**32 - 1]]), np.ones((4, 4))).astype(np.uint32)
    found = Instances(labels, instances(labels).grid, np.array([1, 2**32 - 1], np.uint32), np.ones(2, np.float32))
    scores = evaluate_images(found, instances(labels))
    assert {name for name, _ in scores.found} == set(metrics())
    for name, of in scores.found:
        assert scores[name, of] == pytest.approx(metrics()[name].best), (name, of)


def test_nothing_to_find_and_nothing_found_is_perfect_or_not_defined():
    nothing = instances(np.zeros((5, 5)))
    scores = evaluate_images(nothing, nothing)
    for name, of in scores.found:
        value = scores[name, of]
        assert math.isnan(value) or value == metrics()[name].best, (name, of)
    assert scores["ap"] == scores["dice"] == scores["pq"] == scores["surface_dice"] == 1


def test_classes_are_scored_one_by_one_and_as_their_mean():
    truth = np.array([[0, 1, 1, 2, 2, 2]], np.uint8)
    found = np.array([[0, 1, 1, 1, 2, 2]], np.uint8)
    names = ("background", "a", "b")
    one, other = (Semantic(c, instances(c).grid, names) for c in (found, truth))
    scores = evaluate_images(one, other)
    assert scores["dice", "a"] == pytest.approx(4 / 5)
    assert scores["dice", "b"] == pytest.approx(4 / 5)
    assert scores["iou"] == pytest.approx(2 / 3)
    assert "ap" not in {name for name, _ in scores.found}
    both = evaluate_set([scores, evaluate_images(other, other)])
    assert both["dice", "a"].pooled == pytest.approx(8 / 9)
    assert both["dice"].pooled == pytest.approx((8 / 9 + 10 / 11) / 2)


def test_names_and_thresholds_that_do_not_exist_are_told():
    nothing = instances(np.zeros((5, 5)))
    with pytest.raises(ParameterError, match=r"'dise' \(did you mean 'dice'\?\)"):
        evaluate_images(nothing, nothing, metrics=["dise"])
    with pytest.raises(ParameterError, match="thresholds"):
        evaluate_images(nothing, nothing, thresholds=[0])
    with pytest.raises(KeyError, match="was not computed"):
        evaluate_images(nothing, nothing, metrics=["dice"])["ap"]
