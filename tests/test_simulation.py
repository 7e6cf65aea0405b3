import numpy as np
import pytest

from segmentry.errors import InputError
from segmentry.labelling import survey
from segmentry.simulation import simulate_nuclei
from segmentry.validation import validate


def test_a_seed_gives_one_image_and_another_seed_another():
    one, again, other = (simulate_nuclei((80, 90), seed) for seed in (3, 3, 4))
    assert np.array_equal(one[0].read(), again[0].read())
    assert np.array_equal(one[1].labels, again[1].labels)
    assert not np.array_equal(one[0].read(), other[0].read())


@pytest.mark.parametrize(("shape", "spacing"), [((200, 220), None), ((20, 80, 80), (2.0, 1.0, 1.0))])
def test_the_truth_is_where_the_light_is(shape, spacing):
    image, truth = simulate_nuclei(shape, 1, spacing=spacing, density=0.2)
    pixels, inside = image.read(), np.asarray(truth.labels) > 0
    assert 0.1 < inside.mean() < 0.25
    assert pixels[inside].mean() > 4 * pixels[~inside].mean()
    assert np.array_equal(np.argsort(survey(truth.labels).first), np.arange(len(truth)))
    assert image.grid == truth.grid


def test_nuclei_are_round_in_space_not_in_pixels():
    _, truth = simulate_nuclei((40, 120, 120), 0, spacing=(3.0, 1.0, 1.0), density=0.03)
    found = survey(truth.labels)
    extent = (found.upper - found.lower) * (3.0, 1.0, 1.0)
    assert np.median(extent[:, 0] / extent[:, 1:].mean(axis=1)) == pytest.approx(1, abs=0.25)


def test_without_noise_the_background_is_level():
    image, truth = simulate_nuclei((64, 64), 0, noise=0, density=0)
    assert len(truth) == 0
    assert (image.read() == 200).all()


@pytest.mark.parametrize(
    ("shape", "options", "said"),
    [
        ((5,), {}, "two or three numbers"),
        ((50, 0), {}, "two or three numbers"),
        ((9, 9), {"spacing": (1.0,)}, "one per axis"),
        ((9, 9), {"spacing": (1.0, float("nan"))}, "above 0"),
        ((9, 9), {"radius": 0}, "radius"),
        ((9, 9), {"density": 2}, "density"),
        ((9, 9), {"noise": -1}, "noise"),
    ],
)
def test_what_can_not_be_simulated_is_said(shape, options, said):
    with pytest.raises(InputError, match=said):
        simulate_nuclei(shape, **options)


def test_the_truth_has_no_holes_and_ids_without_gaps():
    _, truth = simulate_nuclei((150, 150), 5)
    found = {finding.kind for finding in validate(truth).findings}
    assert not found & {"gaps", "order", "holes"}
