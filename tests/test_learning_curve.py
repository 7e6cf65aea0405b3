import itertools

import numpy as np
import pytest

from segmentry import learning_curve as module
from segmentry.errors import InputError
from segmentry.learning_curve import Curve, learning_curve
from segmentry.network_training import Lesson, Trained


@pytest.mark.parametrize(("limit", "fall", "exponent"), [(0.9, 0.6, 0.5), (0.95, 1.2, 1.0), (0.7, 0.0, 1.0)])
def test_a_power_law_is_read_beyond_its_last_point(limit, fall, exponent):
    images = np.array([5, 10, 20, 40])
    curve = Curve(tuple(images), tuple(limit - fall * images**-exponent))
    assert curve.expected(80) == pytest.approx(limit - fall * 80.0**-exponent, abs=0.005)


def test_noise_never_promises_the_impossible():
    rng = np.random.default_rng(0)
    for _ in range(200):
        curve = Curve((3, 6, 12, 24), tuple(rng.random(4)))
        assert max(curve.scores) - 1e-9 <= curve.expected(48) <= 1


def test_advice_says_whether_labels_help():
    assert "more labels help: 80 images instead of 40" in Curve((5, 10, 20, 40), (0.5, 0.62, 0.7, 0.77)).advice()
    assert "bring little" in Curve((5, 10, 20, 40), (0.9, 0.91, 0.91, 0.91)).advice()


def test_smaller_sets_are_parts_of_larger_ones_and_all_are_judged_alike(monkeypatch):
    seen = []

    class Pile(list):
        def only(self, numbers):
            return Pile(self[i] for i in numbers)

    def pretended(part, plan, **_):
        seen.append((set(part.learned), part.held, part.places))
        return Trained({}, (), plan, None, (), None, len(part.learned) / 100)

    class Plan:
        seed = 3

    monkeypatch.setattr(module, "train_network", pretended)
    pile = Pile(range(40))
    curve, last = learning_curve(Lesson(pile, "held", None, [{i: None} for i in range(40)]), Plan())
    assert curve.images == (5, 10, 20, 40)
    assert curve.scores == (0.05, 0.1, 0.2, 0.4)
    assert all(a < b for (a, _, _), (b, _, _) in itertools.pairwise(seen))
    assert {held for _, held, _ in seen} == {"held"}
    assert all({k for place in places for k in place} == learned for learned, _, places in seen)
    assert last.score == 0.4
    with pytest.raises(InputError, match="label more"):
        learning_curve(Lesson(Pile([0]), "held", None, [{}]), Plan())
