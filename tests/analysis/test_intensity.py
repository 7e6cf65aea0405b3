import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.ndimage import distance_transform_edt, label
from skimage import data
from skimage.measure import regionprops_table

from segmentry import tiling
from segmentry.analysis import intensities
from segmentry.analysis.objects import Objects, Settings
from segmentry.analysis.property import chosen, columns
from segmentry.image import Grid, Image
from segmentry.result import Instances

TOP = 2**32 - 1
KINDS = [np.uint8, np.uint16, np.float32, np.float64, np.int16, np.uint32, np.bool_]


def table(labels, pixels, slab=2**22, names=("intensity",), spacing=None, **settings):
    """Return the columns of the family."""
    labels = np.asarray(labels, np.uint32)
    axes = "ZYX"[3 - labels.ndim :]
    image = Image.from_array(pixels, "C" * (pixels.ndim - labels.ndim) + axes)
    grid = Grid(axes, labels.shape, spacing, "um" if spacing else None)
    before, tiling.SLAB_PIXELS = tiling.SLAB_PIXELS, slab
    try:
        objects = Objects(Instances.from_labels(labels, grid), image, Settings(**settings))
        return {k: v for k, (v, _) in columns(chosen(names), objects).items()}
    finally:
        tiling.SLAB_PIXELS = before


def by_hand(values):
    """Return what NumPy says of the values of one object."""
    values = values.astype(np.float64)
    values = values[np.isfinite(values)]
    found = {"n_valid": values.size, "sum": values.sum()}
    for name, rule in (("mean", np.mean), ("sd", np.std), ("min", np.min), ("max", np.max), ("median", np.median)):
        found[name] = rule(values) if values.size else np.nan
    for name, share in (("q05", 0.05), ("q25", 0.25), ("q75", 0.75), ("q95", 0.95)):
        found[name] = np.quantile(values, share) if values.size else np.nan
    return found


@given(
    st.sampled_from([(7, 9), (4, 5, 6), (1, 30)]).flatmap(
        lambda shape: arrays(np.uint32, shape, elements=st.sampled_from([0, 1, 7, TOP]))
    ),
    st.sampled_from(KINDS),
    st.sampled_from([5, 20, 10_000]),
    st.integers(0, 99),
    st.sampled_from([2, 10_000]),
)
def test_numbers_are_those_of_numpy(labels, kind, slab, seed, large):
    pixels = (np.random.default_rng(seed).random(labels.shape) * 300).astype(kind)
    if np.dtype(kind).kind == "f":
        pixels[pixels < 100] = np.random.default_rng(seed).choice([np.nan, np.inf, -np.inf, 1.0])
    before, intensities.LARGE = intensities.LARGE, large
    try:
        found = table(labels, pixels, slab)
    finally:
        intensities.LARGE = before
    for row, i in enumerate(i for i in np.unique(labels) if i):
        for name, expected in by_hand(pixels[labels == i]).items():
            assert found[name][row] == pytest.approx(expected, rel=1e-10, abs=1e-10, nan_ok=True), name


@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("slab", [2000, 2**22])
def test_coins_are_as_bright_as_by_scikit_image(kind, slab):
    labels = label(data.coins() > 110)[0]
    channels = np.stack([data.coins(), data.coins()[::-1]]).astype(kind)
    found = table(labels, channels, slab, spacing=(0.5, 2.0))
    names = {
        "intensity_mean": "mean", "intensity_std": "sd", "intensity_min": "min", "intensity_max": "max",
        "intensity_median": "median", "centroid_weighted-0": "weighted_centroid_y_um",
        "centroid_weighted-1": "weighted_centroid_x_um",
    }  # fmt: skip
    wanted = sorted({name.split("-")[0] for name in names})
    for c, pixels in enumerate(channels):
        expected = regionprops_table(labels, pixels.astype(float), wanted, spacing=(0.5, 2.0))
        for theirs, ours in names.items():
            assert found[f"{ours}_channel {c}"] == pytest.approx(expected[theirs], rel=1e-9, abs=1e-9), ours


@pytest.mark.parametrize("kind", [np.float32, np.float64, np.uint16])
def test_the_spread_is_right_far_from_zero(kind):
    noise = np.random.default_rng(0).integers(0, 8, (300, 300))
    pixels = (noise + (60_000 if kind == np.uint16 else 1_000_000)).astype(kind)
    found = table(np.ones((300, 300)), pixels, names=["mean", "sd", "median"])
    assert found["sd"][0] == pytest.approx(noise.std(), rel=1e-12)
    assert found["mean"][0] == pytest.approx(pixels.astype(float).mean(), rel=1e-15)


def test_a_mean_far_from_the_first_value_costs_no_precision():
    pixels = np.random.default_rng(0).normal(1e6, 1, (200, 200))
    pixels[0, 0] = 0
    found = table(np.ones((200, 200)), pixels, names=["sd"])
    assert found["sd"][0] == pytest.approx(pixels.std(), rel=1e-10)


def test_quantiles_that_are_asked_for_are_named_by_their_percentage():
    pixels = np.random.default_rng(0).integers(0, 65_536, (50, 60)).astype(np.uint16)
    found = table(np.ones((50, 60)), pixels, names=["quantiles"], quantiles=(0.0, 0.025, 0.07, 0.5, 1.0))
    assert list(found) == ["q00", "q02_5", "q07", "q50", "q100"]
    expected = np.quantile(pixels.astype(float), [0.0, 0.025, 0.07, 0.5, 1.0])
    assert np.array_equal(np.array(list(found.values()))[:, 0], expected)


def test_values_are_held_only_while_their_object_lasts(monkeypatch):
    sizes = []
    made = intensities._Values._make_room
    monkeypatch.setattr(intensities._Values, "_make_room", lambda v, k: (made(v, k), sizes.append(len(v._pool)))[0])
    labels = np.repeat(np.arange(1, 101), 40)[:, None] * np.ones((1, 30), int)
    pixels = np.random.default_rng(0).random(labels.shape).astype(np.float32)
    found = table(labels, pixels, slab=50 * 30, names=["median"])
    expected = [np.median(pixels[labels == i]) for i in range(1, 101)]
    assert found["median"] == pytest.approx(expected, rel=1e-6)
    assert max(sizes) < 8 * 50 * 30


def background_by_hand(labels, pixels, reach):
    """Return the mean of the background around each object: of each pixel the nearest object, of all distances."""
    ids = [i for i in np.unique(labels) if i]
    scale = max(reach) / np.array(reach, float)
    ways = np.stack([distance_transform_edt(labels != i, sampling=scale) for i in ids])
    owner = np.where((ways.min(axis=0) <= max(reach) + 1e-9) & (labels == 0), ways.round(9).argmin(axis=0), -1)
    found = [pixels[owner == k] for k in range(len(ids))]
    return [v[np.isfinite(v)].mean() if np.isfinite(v).any() else np.nan for v in found]


@given(
    st.sampled_from([(11, 14), (5, 7, 8)]).flatmap(
        lambda shape: arrays(np.uint32, shape, elements=st.sampled_from([0] * 12 + [1, 7, TOP]))
    ),
    st.sampled_from([3.0, 1.5]),
    st.sampled_from([14, 100, 10_000]),
)
def test_the_background_around_an_object_is_what_is_nearest_to_it(labels, factor, slab):
    reach = tuple(factor * n for n in (1.0, 2.0, 1.5)[: labels.ndim])
    pixels = np.random.default_rng(0).random(labels.shape)
    pixels[pixels < 0.1] = np.nan
    found = table(labels, pixels, slab, surround=reach)
    if not labels.any():
        assert len(found["mean_background"]) == 0
        return
    expected = np.array(background_by_hand(labels, pixels, reach))
    assert found["mean_background"] == pytest.approx(expected, rel=1e-12, nan_ok=True)
    assert found["mean_minus_background"] == pytest.approx(found["mean"] - expected, abs=1e-12, nan_ok=True)


def test_light_that_is_added_everywhere_is_taken_off_with_the_background():
    labels = np.zeros((40, 60), np.uint32)
    labels[10:20, 10:20], labels[12:30, 35:50] = 3, 9
    ramp = np.linspace(100, 200, 60) * np.ones((40, 1))
    pixels = ramp + np.where(labels == 3, 50, 0) + np.where(labels == 9, 80, 0)
    found = table(labels, pixels, surround=(5.0, 5.0))
    assert found["mean_minus_background"] == pytest.approx([50, 80], abs=1)


def test_an_object_without_background_has_none():
    found = table(np.ones((5, 5)), np.ones((5, 5)), surround=(5.0, 5.0))
    assert np.isnan(found["mean_background"][0])
    assert np.isnan(found["mean_minus_background"][0])
    unasked = table(np.eye(5), np.ones((5, 5)))
    assert np.isnan(unasked["mean_background"][0])


@given(arrays(np.uint32, (6, 5, 4), elements=st.sampled_from([0, 1, 7, TOP])), st.integers(20, 120))
def test_slabs_leave_no_trace(labels, slab):
    pixels = np.random.default_rng(0).normal(1e6, 1, labels.shape)
    surround = (1.0, 2.0, 2.0)
    whole, pieces = (table(labels, pixels, n, surround=surround) for n in (2**22, slab))
    for name, values in whole.items():
        assert pieces[name] == pytest.approx(values, rel=1e-12, nan_ok=True), name
    ours, theirs = (table(labels, pixels.astype(np.uint16), n) for n in (2**22, slab))
    for name, values in ours.items():
        assert np.array_equal(theirs[name], values, equal_nan=True), name


def test_no_objects_make_empty_columns_and_no_image_makes_none():
    found = table(np.zeros((4, 4)), np.zeros((4, 4)), surround=(2.0, 2.0))
    assert len(found) > 12
    assert all(len(values) == 0 for values in found.values())
    objects = Objects(Instances.from_labels(np.ones((4, 4), np.uint32)))
    assert columns(chosen(["intensity"]), objects) == {}
