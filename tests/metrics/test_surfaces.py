"""Distances between surfaces against surface-distance (recorded), SciPy, SimpleITK and what is known by hand."""

from __future__ import annotations

import itertools
import json
import math
import runpy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from scipy.spatial.distance import directed_hausdorff
from skimage.data import coins

from segmentry.errors import InputError
from segmentry.kernels.surfels import surface_codes, surface_points
from segmentry.metrics.surfaces import (
    Surfaces,
    average_distance_to_predicted,
    average_distance_to_truth,
    average_surface_distance,
    boundary_f,
    hausdorff,
    hausdorff_95,
    surface_dice,
    surfaces,
)

REFERENCE = Path(__file__).parents[1] / "reference"
MADE = runpy.run_path(str(REFERENCE / "make_surfaces.py"))
RECORDED = json.loads((REFERENCE / "surfaces.json").read_text())
PAIRS = list(zip(MADE["pairs"](), RECORDED, strict=True))

SHAPES = st.one_of(st.tuples(*[st.integers(1, 6)] * 2), st.tuples(*[st.integers(1, 4)] * 3))
MASKS = SHAPES.flatmap(lambda shape: st.tuples(arrays(np.bool_, shape), arrays(np.bool_, shape)))
SPACING = (1.5, 0.75, 2.0)
DISTANCES = (hausdorff, hausdorff_95, average_surface_distance, average_distance_to_truth)


def agrees(found: float, expected: float | None) -> bool:
    return math.isinf(found) if expected is None else found == pytest.approx(expected, rel=1e-9, abs=1e-9)


@pytest.mark.parametrize(("pair", "expected"), PAIRS)
def test_surfaces_and_scores_are_those_of_surface_distance(pair, expected) -> None:
    found = surfaces(*pair)
    assert len(found.to_truth) == len(found.predicted_sizes) == expected["n_predicted"]
    assert len(found.to_predicted) == len(found.true_sizes) == expected["n_true"]
    assert agrees(found.predicted_sizes.sum(), expected["predicted_size"])
    assert agrees(found.true_sizes.sum(), expected["true_size"])
    assert agrees((found.to_truth**2 * found.predicted_sizes).sum(), expected["squares_to_truth"])
    assert agrees(hausdorff_95(found), expected["robust_hausdorff"][2])
    assert agrees(hausdorff(found), expected["robust_hausdorff"][3])
    assert agrees(average_distance_to_predicted(found), expected["average_to_predicted"])
    assert agrees(average_distance_to_truth(found), expected["average_to_truth"])
    for tolerance, share, overlaps in zip(
        MADE["TOLERANCES"], expected["surface_dice"], expected["overlap"], strict=True
    ):
        assert surface_dice(replace(found, tolerance=tolerance)) == pytest.approx(share, abs=1e-9)
        recall, precision = (value or 0 for value in overlaps)
        f = 2 * precision * recall / (precision + recall) if precision + recall else 0
        assert boundary_f(replace(found, tolerance=tolerance)) == pytest.approx(f, abs=1e-9)


@given(MASKS)
def test_the_largest_distance_is_scipys_between_the_points(masks: tuple[NDArray[np.bool_], NDArray[np.bool_]]) -> None:
    spacing = SPACING[: masks[0].ndim]
    found = surfaces(*masks, spacing)
    if not (masks[0].any() and masks[1].any()):
        return
    one, other = (np.argwhere(surface_points(surface_codes(mask))) * spacing for mask in masks)
    assert found.to_truth.max() == pytest.approx(directed_hausdorff(one, other)[0], abs=1e-9)
    assert found.to_predicted.max() == pytest.approx(directed_hausdorff(other, one)[0], abs=1e-9)


@given(MASKS)
def test_axes_can_be_swapped_and_mirrored_and_the_masks_too(masks: tuple[NDArray[np.bool_], NDArray[np.bool_]]) -> None:
    one, other = masks
    spacing = SPACING[: one.ndim]
    found = surfaces(one, other, spacing)
    turned = surfaces(other.T[::-1], one.T[::-1], spacing[::-1])
    for ours, theirs in (
        ((found.to_truth, found.predicted_sizes), (turned.to_predicted, turned.true_sizes)),
        ((found.to_predicted, found.true_sizes), (turned.to_truth, turned.predicted_sizes)),
    ):
        pieces = [np.array(sorted(zip(*side, strict=True))).reshape(-1, 2) for side in (ours, theirs)]
        np.testing.assert_allclose(pieces[0][:, 0], pieces[1][:, 0], atol=1e-9)
        assert pieces[0][:, 1].sum() == pytest.approx(pieces[1][:, 1].sum())


@given(MASKS, st.integers(1, 3))
def test_background_around_changes_nothing(masks: tuple[NDArray[np.bool_], NDArray[np.bool_]], margin: int) -> None:
    spacing = SPACING[: masks[0].ndim]
    found = surfaces(*masks, spacing)
    padded = surfaces(*(np.pad(mask, margin) for mask in masks), spacing)
    for name in Surfaces.__dataclass_fields__:
        assert np.array_equal(getattr(found, name), getattr(padded, name))


@pytest.mark.parametrize("spacing", [(1, 1), (0.5, 3), (1, 1, 1), (2.5, 0.7, 0.3)])
def test_a_shifted_box_is_as_far_as_it_was_shifted(spacing: tuple[float, ...]) -> None:
    truth = np.zeros((20, 20, 20)[: len(spacing)], np.bool_)
    truth[(slice(4, 12),) * len(spacing)] = True
    found = surfaces(np.roll(truth, 3, axis=0), truth, spacing)
    assert hausdorff(found) == pytest.approx(3 * spacing[0])
    near = replace(found, tolerance=3 * spacing[0])
    assert surface_dice(near) == boundary_f(near) == 1
    assert 0 < average_surface_distance(found) < 3 * spacing[0]


def test_sizes_are_lengths_and_areas() -> None:
    square = np.zeros((9, 9), np.bool_)
    square[2:6, 3:8] = True
    # Corners are cut off half a pixel from either side.
    assert surfaces(square, square, (1, 1)).true_sizes.sum() == pytest.approx(2 * (3 + 4) + 4 * math.sqrt(0.5))
    plate = np.ones((1, 40, 50), np.bool_)
    found = surfaces(plate, plate, (2, 1, 0.5))
    around = 2 * (40 * 50 * 0.5 + 40 * 2 + 50 * 2 * 0.5)
    assert 0.95 * around < found.true_sizes.sum() < around
    assert average_surface_distance(found) == 0


def test_simpleitk_measures_from_pixel_to_pixel() -> None:
    """It takes the pixels of one mask to those of the other: no surface inside a mask is seen."""

    def theirs(one: NDArray[np.bool_], other: NDArray[np.bool_], spacing: tuple[float, ...]) -> float:
        images = [SimpleITK.GetImageFromArray(mask.astype(np.uint8)) for mask in (one, other)]
        for image in images:
            image.SetSpacing(spacing[::-1])
        measured = SimpleITK.HausdorffDistanceImageFilter()
        measured.Execute(*images)
        return float(measured.GetHausdorffDistance())

    box, other = np.zeros((2, 14, 30, 40), np.bool_)
    box[3:9, 5:15, 6:20] = other[5:12, 9:22, 11:31] = True
    spacing = (2.0, 0.5, 0.75)
    assert hausdorff(surfaces(box, other, spacing)) == pytest.approx(theirs(box, other, spacing))
    photograph = coins()[:150, :150]
    one, other = photograph > 115, photograph > 125
    points = [np.argwhere(mask) for mask in (one, other)]
    assert theirs(one, other, (1, 1)) == max(
        directed_hausdorff(*points)[0], directed_hausdorff(*points[::-1])[0]
    )  # fmt: skip
    hollow = np.ones((21, 21), np.bool_)
    hollow[10, 10] = False
    assert theirs(hollow, np.ones_like(hollow), (1, 1)) == 1
    assert hausdorff(surfaces(hollow, np.ones_like(hollow), (1, 1))) == 10


def test_masks_without_a_pixel() -> None:
    nothing, dot = np.zeros((2, 5, 6), np.bool_)
    dot[2, 3] = True
    neither = surfaces(nothing, nothing, (1, 1))
    assert [distance(neither) for distance in DISTANCES] == [0] * 4
    assert surface_dice(neither) == boundary_f(neither) == 1
    for pair in ((nothing, dot), (dot, nothing)):
        found = surfaces(*pair, (1, 1))
        assert [distance(found) for distance in DISTANCES] == [math.inf] * 4
        assert average_distance_to_predicted(found) == math.inf
        near = replace(found, tolerance=1e9)
        assert surface_dice(near) == boundary_f(near) == 0


def test_a_distance_equal_to_the_tolerance_is_within_it_whatever_the_rounding() -> None:
    truth = np.zeros((40, 8), np.bool_)
    truth[2:10, 2:6] = True
    for spacing, shift in itertools.product((0.1, 0.3, 0.7, 1.1), range(1, 20)):
        found = surfaces(np.roll(truth, shift, axis=0), truth, (spacing, 1e6))
        assert surface_dice(replace(found, tolerance=shift * spacing)) == 1, (spacing, shift)
        assert surface_dice(replace(found, tolerance=shift * spacing * 0.999)) < 1


@pytest.mark.parametrize(
    ("shapes", "spacing"), [(((2, 3), (3, 2)), (1, 1)), (((2, 3), (2, 3)), (1, 1, 1)), (((4,), (4,)), (1,))]
)
def test_what_does_not_fit_is_told(shapes, spacing) -> None:
    with pytest.raises(InputError, match=r"axes|shape"):
        surfaces(*(np.ones(shape, np.bool_) for shape in shapes), spacing)
