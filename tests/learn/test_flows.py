"""Flows against what Cellpose 3 computes of the same labels and maps (tests/reference/make_cellpose.py)."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segmentry.image import Grid
from segmentry.kernels.flows import sinks
from segmentry.learn.objects import flow_errors, flows_of
from segmentry.learn.representation import representation
from segmentry.metrics import match_objects
from segmentry.result import Instances

NAMES = ("background", "cell")


@pytest.fixture(scope="module")
def recorded():
    with np.load(Path(__file__).parents[1] / "reference" / "cellpose.npz") as file:
        return {name: file[name] for name in file.files if name.startswith(("objects/", "volume/"))}


def maps_of(recorded, name):
    """Return maps as a network of Cellpose gives them, the logit as a probability."""
    logits = recorded[f"{name}/logits"].astype(np.float32) / 16
    flows = recorded[f"{name}/flows"].astype(np.float32) / 16
    return np.concatenate([flows, 1 / (1 + np.exp(-logits))[None]]).astype(np.float32)


def test_flows_of_labels_are_those_of_cellpose(recorded):
    labels, exact = recorded["objects/labels"].astype(np.int64), recorded["objects/exact"]
    found = flows_of(labels, (1.0, 1.0))
    inside = labels > 0
    # Cellpose spreads the heat of all objects for as long as the largest one needs.
    assert not found[:, ~inside].any()
    angle = np.degrees(np.arccos(np.clip((found * exact).sum(axis=0)[inside], -1, 1)))
    assert np.median(angle) < 0.05
    assert angle.max() < 2


def test_flow_errors_are_those_of_cellpose(recorded):
    labels = recorded["objects/labels"].astype(np.uint32)
    count = int(labels.max())
    found = flow_errors(labels, count, maps_of(recorded, "objects")[:2] / 5, (1.0, 1.0))
    np.testing.assert_allclose(found, recorded["objects/errors"], atol=1e-3)


@pytest.mark.parametrize(("parameters", "name"), [({}, "kept"), ({"min_size": 15}, "masks")])
def test_objects_are_those_of_cellpose(recorded, parameters, name):
    maps = maps_of(recorded, "objects")
    grid = Grid("YX", maps.shape[1:])
    found = representation("flows", length=5, **parameters).decode(maps, grid, NAMES)
    truth = Instances.from_labels(recorded[f"objects/{name}"].astype(np.uint32), grid)
    matched = len(match_objects(found, truth).matched(0.9))
    assert matched / (len(found) + len(truth) - matched) >= 0.99


def test_objects_in_a_volume_are_those_of_cellpose(recorded):
    # Cellpose reads flows in volumes half a pixel beside, which moves edges between objects that touch.
    maps = maps_of(recorded, "volume")
    grid = Grid("ZYX", maps.shape[1:])
    found = representation("flows", length=5, min_size=15, max_error=4).decode(maps, grid, NAMES)
    truth = Instances.from_labels(recorded["volume/masks"].astype(np.uint32), grid)
    assert len(match_objects(found, truth).matched(0.5)) == len(found) == len(truth)


@pytest.mark.parametrize("spacing", [(1.0, 1.0), (2.0, 1.0, 1.0)])
def test_flows_are_directions_that_lead_inwards(spacing):
    shape = (40, 50) if len(spacing) == 2 else (12, 30, 30)
    away = sum(((p - (n - 1) / 2) * s) ** 2 for p, n, s in zip(np.indices(shape), shape, spacing, strict=True))
    labels = (away < 10**2).astype(np.int64)
    flows = flows_of(labels, spacing)
    inside = away < 9**2
    out = np.stack([(p - (n - 1) / 2) * s for p, n, s in zip(np.indices(shape), shape, spacing, strict=True)])
    far = inside & (away > 16)
    cosine = -(flows * out).sum(axis=0)[far] / np.sqrt(away[far])
    assert np.percentile(cosine, 1) > 0.9
    np.testing.assert_allclose(np.linalg.norm(flows, axis=0)[far], 1, rtol=1e-5)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10**6), ndim=st.sampled_from([2, 3]))
def test_no_pixel_leaves_its_part_of_the_mask(seed, ndim):
    rng = np.random.default_rng(seed)
    mask = rng.random((20, 24) if ndim == 2 else (8, 12, 14)) < 0.5
    flows = rng.uniform(-2, 2, (ndim, *mask.shape)).astype(np.float32)
    labels, count = sinks(flows, mask, (1.0,) * ndim)
    assert not labels[~mask].any()
    assert labels.max(initial=0) <= count
    from scipy.ndimage import label

    parts, _ = label(mask, np.ones((3,) * ndim))
    for number in range(1, count + 1):
        assert len(np.unique(parts[labels == number])) <= 1


def test_maps_of_a_mirror_image_are_turned_back():
    labels = np.zeros((24, 30), np.int64)
    labels[3:14, 4:20], labels[14:22, 10:25] = 1, 2
    told = representation("flows")
    straight = np.nan_to_num(told.encode(labels, (1.0, 1.0))["flows"])
    for axes in ((0,), (1,), (0, 1)):
        mirrored = np.nan_to_num(told.encode(np.flip(labels, axes).copy(), (1.0, 1.0))["flows"])
        back = np.flip(mirrored, [a + 1 for a in axes])
        maps = told.mirrored(np.concatenate([back, np.zeros((1, 24, 30), np.float32)]), axes)
        # A centre that lies between two pixels is the first of them, seen from either side.
        assert np.mean(np.abs(maps[:2] - straight) < 0.3) > 0.8
