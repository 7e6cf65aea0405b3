import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from segmentry.image import Image
from segmentry.learn.examples import Example, Examples
from segmentry.learn.fingerprint import fingerprint
from segmentry.learn.plan import CROP, Fingerprint, planned


def known(shape, spacing=None, **more):
    given_ = {
        "images": 9, "channels": ("",), "shape": shape, "largest": shape, "spacing": spacing,
        "unit": spacing and "um", "one_spacing": True, "task": "semantic", "names": ("background", "a", "b"),
        "pixels": (90, 9, 1), "unlabelled": 0, "objects": 0, "diameters": None, "intensities": ((0, 1),),
    }  # fmt: skip
    return Fingerprint(**given_ | more)


@given(
    st.lists(st.integers(1, 3000), min_size=2, max_size=3),
    st.floats(0.05, 20),
)
def test_any_data_give_a_plan_that_fits_together(shape, coarse):
    spacing = (coarse, *[1.0] * (len(shape) - 1))
    plan = planned(known(tuple(shape), spacing))
    assert plan.architecture.dimensions == len(plan.patch) == len(shape)
    assert all(n % m == 0 for n, m in zip(plan.patch, plan.architecture.multiple, strict=True))
    assert np.prod(plan.patch) <= 4 * CROP[len(shape)]
    assert all(p < n + m for p, n, m in zip(plan.patch, shape, plan.architecture.multiple, strict=True))


def test_planes_that_lie_far_apart_are_merged_late():
    plan = planned(known((40, 512, 512), (5.0, 0.7, 0.7)))
    strides, kernels = plan.architecture.strides, plan.architecture.kernels
    assert strides[0] == strides[1] == (1, 2, 2)
    assert kernels[0] == (1, 3, 3)
    assert kernels[-1] == (3, 3, 3)
    assert plan.patch[0] < plan.patch[1] == plan.patch[2]
    assert planned(known((40, 512, 512))).architecture.kernels == ()


def test_images_of_several_pixel_sizes_are_brought_to_one():
    assert planned(known((64, 64), (0.5, 0.5))).spacing is None
    plan = planned(known((64, 64), (0.5, 0.5), one_spacing=False))
    assert (plan.spacing, plan.unit) == ((0.5, 0.5), "um")


def example(labels, **how):
    return Example(Image.from_array(np.random.default_rng(0).normal(size=labels.shape), **how), labels)


def numbered(shape, count):
    """Boxes that lie apart, 1 … count."""
    labels = np.zeros(shape, int)
    for number in range(count):
        labels[2 + 4 * (number // 8) : 4 + 4 * (number // 8), 4 * (number % 8) : 4 * (number % 8) + 2] = number + 1
    return labels


@pytest.mark.parametrize(
    ("labels", "task"),
    [
        (numbered((40, 40), 1), "semantic"),
        (numbered((40, 40), 3), "semantic"),
        (numbered((40, 40), 9), "instances"),
        (numbered((40, 40), 40), "instances"),
        (numbered((40, 40), 40) % 7, "semantic"),
    ],
)
def test_what_labels_are_is_found_out(labels, task):
    found, _ = fingerprint(Examples.of([example(labels), example(labels)]))
    assert found.task == task
    assert fingerprint(Examples.of([example(labels)]), task="instances")[0].task == "instances"


def test_a_fingerprint_says_what_is_there():
    labels = numbered((40, 48), 12)
    labels[30:] = 99
    one = Example(Image.from_array(np.full(labels.shape, 7.0), spacing=(0.2, 0.1)), labels, 99)
    found, places = fingerprint(Examples.of([one]))
    assert (found.shape, found.spacing, found.unit) == ((40, 48), (0.2, 0.1), "um")
    assert found.unlabelled == pytest.approx(0.25)
    assert found.objects == 12
    assert found.pixels == (30 * 48 - 48, 48)
    assert found.diameters == pytest.approx([np.sqrt(4 / (np.pi / 4))] * 3, abs=0.01)
    assert found.intensities == ((7.0, 0.0),)
    assert (labels[tuple(places[0][1].T)] > 0).all()
    assert (labels[tuple(places[0][1].T)] < 99).all()
