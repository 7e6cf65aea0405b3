import itertools
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from skimage import data
from skimage.feature import graycomatrix, graycoprops, local_binary_pattern
from skimage.measure import label

from segmentry import tiling
from segmentry.analysis.objects import Objects
from segmentry.analysis.properties.texture import CoOccurrence
from segmentry.analysis.property import chosen, columns
from segmentry.image import Grid, Image
from segmentry.kernels.textures import CELLS
from segmentry.result import Instances

TOP = 2**32 - 1
NAMES = (
    "angular_second_moment", "contrast", "correlation", "variance", "inverse_difference_moment", "sum_average",
    "sum_variance", "sum_entropy", "entropy", "difference_variance", "difference_entropy", "information_measure_1",
    "information_measure_2",
)  # fmt: skip


def table(name, labels, pixels, slab=2**22):
    """Return the columns of a property."""
    labels = np.asarray(labels, np.uint32)
    axes = "ZYX"[3 - labels.ndim :]
    image = Image.from_array(pixels, "C" * (pixels.ndim - labels.ndim) + axes)
    before, tiling.SLAB_PIXELS = tiling.SLAB_PIXELS, slab
    try:
        objects = Objects(Instances.from_labels(labels, Grid(axes, labels.shape)), image)
        return {k: v for k, (v, _) in columns(chosen([name]), objects).items()}
    finally:
        tiling.SLAB_PIXELS = before


def haralick(labels, pixels, slab=2**22):
    found = table("haralick", labels, pixels, slab)
    assert list(found) == [f"haralick_{name}" for name in NAMES]
    return np.stack(list(found.values()), axis=1)


def patterns(labels, pixels, slab=2**22):
    found = table("binary_patterns", labels, pixels, slab)
    assert list(found) == [f"lbp_{code}" for code in range(10)]
    return np.stack(list(found.values()), axis=1)


def levels(pixels):
    """Return the 32 levels of an image, 32 where it is not finite."""
    fine = np.isfinite(pixels)
    low, high = (pixels[fine].min(), pixels[fine].max()) if fine.any() else (0, 0)
    part = (np.where(fine, pixels, low).astype(float) - low) / max(float(high) - float(low), 1e-300)
    return np.where(fine, np.minimum(np.floor(part * 32), 31), 32).astype(int)


def matrices(mask, level):
    """Return the symmetric matrix of counts of each direction in which there are pairs."""
    found = []
    for step in itertools.product((-1, 0, 1), repeat=mask.ndim):
        if step <= (0,) * mask.ndim:
            continue
        here = tuple(slice(max(-s, 0), n - max(s, 0)) for s, n in zip(step, mask.shape, strict=True))
        there = tuple(slice(max(s, 0), n + min(s, 0)) for s, n in zip(step, mask.shape, strict=True))
        both = mask[here] & mask[there] & (level[here] < 32) & (level[there] < 32)
        counts = np.zeros((32, 32))
        np.add.at(counts, (level[here][both], level[there][both]), 1)
        if both.any():
            found.append(counts + counts.T)
    return found


def entropy(p):
    p = p[p > 0]
    return -(p * np.log2(p)).sum()


def formulas(counts):
    """Return the 13 features of a matrix as Haralick (1973) writes them, the sum variance about the sum average."""
    p = counts / counts.sum()
    i, j = np.indices(p.shape)
    alone = p.sum(axis=1)
    mean = (alone * np.arange(32)).sum()
    variance = (alone * (np.arange(32) - mean) ** 2).sum()
    sums = np.bincount((i + j).ravel(), p.ravel())
    differences = np.bincount(abs(i - j).ravel(), p.ravel())
    k = np.arange(63)
    average, difference = (sums * k).sum(), (differences * k[:32]).sum()
    product = np.outer(alone, alone)
    some, all_some = p > 0, product > 0
    first = -(p[some] * np.log2(product[some])).sum()
    second = -(product[all_some] * np.log2(product[all_some])).sum()
    flat = (alone > 0).sum() == 1
    return [
        (p**2).sum(),
        (p * (i - j) ** 2).sum(),
        1 if flat else ((p * i * j).sum() - mean**2) / variance,
        variance,
        (p / (1 + (i - j) ** 2)).sum(),
        average,
        (sums * (k - average) ** 2).sum(),
        entropy(sums),
        entropy(p),
        (differences * (k[:32] - difference) ** 2).sum(),
        entropy(differences),
        0 if flat else (entropy(p) - first) / entropy(alone),
        np.sqrt(max(0, 1 - np.exp(-2 * (second - entropy(p))))),
    ]


def expected_haralick(labels, pixels):
    level = levels(pixels)
    rows = []
    for i in np.unique(labels[labels > 0]):
        found = [formulas(m) for m in matrices(labels == i, level)]
        rows.append(np.mean(found, axis=0) if found else np.full(13, np.nan))
    return np.array(rows).reshape(-1, 13)


def agree(found, expected):
    # The square root in the second information measure makes 1e-16 into 1e-8 where levels are independent.
    assert found[:, :12] == pytest.approx(expected[:, :12], rel=1e-9, abs=1e-10, nan_ok=True)
    assert found[:, 12] == pytest.approx(expected[:, 12], rel=1e-9, abs=1e-6, nan_ok=True)


def coins():
    return label(data.coins() > 120), data.coins()


def volume():
    rng = np.random.default_rng(1)
    labels = rng.integers(0, 3, (6, 12, 11)).repeat(2, axis=1).repeat(2, axis=2)
    return labels, rng.normal(100, 30, labels.shape).cumsum(axis=0)


@settings(max_examples=60, deadline=None)
@given(
    arrays(np.uint32, (7, 9), elements=st.sampled_from([0, 1, 1, 2, 40, TOP])),
    arrays(np.float32, (7, 9), elements=st.sampled_from([0, 1, 2.5, 7, 100, np.nan, np.inf])),
    st.sampled_from([1, 20, 10_000]),
)
def test_all_features_follow_the_published_formulas_in_slabs_of_any_size(labels, pixels, slab):
    agree(haralick(labels, pixels, slab), expected_haralick(labels, pixels))


def test_features_of_volumes_take_all_thirteen_directions():
    labels, pixels = volume()
    expected = expected_haralick(labels, pixels)
    agree(haralick(labels, pixels), expected)
    agree(haralick(labels, pixels, slab=100), expected)
    assert len(matrices(labels == 1, levels(pixels))) == 13


def test_features_of_a_large_object_follow_the_published_formulas():
    pixels = np.random.default_rng(2).choice([0, 9, 10, 40], (280, 280), p=[0.01, 0.9, 0.08, 0.01]).astype(np.uint8)
    labels = np.ones(pixels.shape, np.uint32)
    agree(haralick(labels, pixels), expected_haralick(labels, pixels))


def test_features_of_coins_are_those_of_scikit_image():
    labels, pixels = coins()
    level = levels(pixels) + 1
    found = haralick(labels, pixels)
    names = ("ASM", "contrast", "correlation", "variance", "homogeneity", "entropy")
    angles = [0, np.pi / 4, np.pi / 2, 3 * np.pi / 4]
    for i in np.flatnonzero(np.bincount(labels.ravel()) > 300)[1:]:
        # Outside the object is level 0, the pairs of which are dropped.
        counts = graycomatrix(np.where(labels == i, level, 0).astype(np.uint8), [1], angles, 33, symmetric=True)[1:, 1:]
        theirs = [graycoprops(counts, name).mean() for name in names]
        theirs[-1] /= np.log(2)
        assert found[i - 1, [0, 1, 2, 3, 4, 8]] == pytest.approx(theirs, rel=1e-10)


@pytest.mark.parametrize("make", [coins, volume])
def test_slabs_of_any_size_give_the_same_bits(make):
    labels, pixels = make()
    for measure in (haralick, patterns):
        whole = measure(labels, pixels)
        for slab in (1, 1000, 5000):
            assert np.array_equal(measure(labels, pixels, slab), whole, equal_nan=True)


def test_a_long_thin_image_is_cut_along_its_only_axis():
    labels = np.array([[1, 1, 1, 0, TOP, TOP, TOP, 1]])
    pixels = np.array([[1, 5, 2, 9, 9, 3, 3, 1]], np.uint8)
    agree(haralick(labels, pixels, slab=2), expected_haralick(labels, pixels))
    assert np.array_equal(patterns(labels, pixels, slab=2), patterns(labels, pixels))


def test_a_checkerboard_has_the_texture_that_one_can_reckon():
    board = np.indices((8, 8)).sum(axis=0) % 2
    row = dict(zip(NAMES, haralick(np.ones((8, 8)), board.astype(np.uint16) * 500)[0], strict=True))
    # Along rows and columns levels 0 and 31 alternate, along diagonals they stay.
    assert row["contrast"] == pytest.approx((31**2 + 0) / 2)
    assert row["correlation"] == pytest.approx(0, abs=1e-12)
    assert row["angular_second_moment"] == pytest.approx(0.5, rel=1e-3)
    assert row["difference_entropy"] == 0
    assert row["sum_entropy"] == pytest.approx((0 + 1) / 2, rel=1e-3)
    assert row["sum_average"] == pytest.approx(31)
    assert row["information_measure_1"] == pytest.approx(-1, rel=1e-3)


def test_a_flat_object_has_no_entropy_and_a_single_pixel_no_texture():
    labels = np.zeros((5, 9), int)
    labels[:3, :4], labels[4, 8], labels[0, 6], labels[1, 8] = 1, 2, 3, 3
    pixels = np.where(labels == 1, 50, np.arange(45).reshape(5, 9) * 2.0)
    pixels[4, 0] = 0
    found = haralick(labels, pixels)
    assert dict(zip(NAMES, found[0], strict=True)) == {
        **dict.fromkeys(NAMES, 0), "angular_second_moment": 1, "correlation": 1, "inverse_difference_moment": 1,
        "sum_average": 2 * int(50 / 88 * 32),
    }  # fmt: skip
    assert np.isnan(found[1:]).all()


def test_scaling_an_image_does_not_change_texture():
    labels, pixels = coins()
    for scaled in (pixels.astype(np.uint16) * 64, pixels * 2.0 - 700, pixels.astype(np.float32) / 4):
        assert np.array_equal(haralick(labels, scaled), haralick(labels, pixels), equal_nan=True)
    inner = np.pad(labels[1:-1, 1:-1], 1)
    assert np.array_equal(patterns(inner, pixels * 2.0 - 700), patterns(inner, pixels))


def test_intensities_of_any_size_have_levels():
    labels = np.ones((1, 3))
    for pixels in ([[-1.7e308, 0.0, 1.7e308]], [[0.0, 5e-324, 0.0]], [[np.nan, np.inf, 3.0]]):
        agree(haralick(labels, np.array(pixels)), expected_haralick(labels, np.array(pixels) / 4))


def fractions(codes, labels):
    """Return the fractions of the ten codes in each object."""
    ids = np.unique(labels[labels > 0])
    counts = [np.bincount(codes[labels == i].astype(int), minlength=10) for i in ids]
    return np.array([n / n.sum() for n in counts]).reshape(-1, 10)


def test_patterns_of_coins_are_those_of_scikit_image_up_to_the_border():
    pixels = data.coins()
    labels = label(pixels > 100)
    assert labels[0].any()
    theirs = fractions(local_binary_pattern(pixels, 8, 1, "uniform"), labels)
    assert np.array_equal(patterns(labels, pixels), theirs)


@settings(max_examples=30, deadline=None)
@given(
    arrays(np.uint32, (8, 7), elements=st.sampled_from([0, 3, TOP])),
    arrays(np.uint16, (8, 7)),
    st.sampled_from([1, 20, 10_000]),
)
def test_patterns_of_random_images_are_those_of_scikit_image(labels, pixels, slab):
    theirs = fractions(local_binary_pattern(pixels, 8, 1, "uniform"), labels)
    assert np.array_equal(patterns(labels, pixels, slab), theirs)


def test_patterns_differ_from_scikit_image_only_where_its_rounding_breaks_ties():
    # Far from the first pixel scikit-image's interpolation of equal pixels is no longer equal to them: the same pixels
    # have other codes there than in a crop. Ours are those of the crop.
    pixels = data.cell()
    crop, inner = np.s_[520:640, 400:540], np.s_[521:639, 401:539]
    far = local_binary_pattern(pixels, 8, 1, "uniform")[inner]
    near = local_binary_pattern(pixels[crop], 8, 1, "uniform")[1:-1, 1:-1]
    assert (far != near).mean() > 0.01
    labels = np.zeros(pixels.shape, int)
    labels[inner] = np.arange(near.size).reshape(near.shape) // 300 + 1
    assert np.array_equal(patterns(labels, pixels), fractions(near, labels[inner]))


def test_patterns_of_volumes_are_those_of_their_planes():
    labels, pixels = volume()
    pixels = pixels.astype(np.uint16)
    planes = [local_binary_pattern(plane, 8, 1, "uniform") for plane in pixels]
    for slab in (100, 2**22):
        assert np.array_equal(patterns(labels, pixels, slab), fractions(np.stack(planes), labels))


def test_pixels_beside_what_is_not_finite_have_no_pattern():
    pixels = np.arange(63.0).reshape(7, 9)
    pixels[3, 3] = np.nan
    labels = np.zeros((7, 9), int)
    labels[2:5, 2:5], labels[1:6, 5:8] = 1, 2
    found = patterns(labels, pixels)
    assert np.isnan(found[0]).all()
    assert found[1].tolist() == [0, 0, 0, 0, 1, 0, 0, 0, 0, 0]
    pixels[3, 3] = -np.inf
    assert np.array_equal(patterns(labels, pixels), found, equal_nan=True)


def test_each_channel_has_its_levels_and_no_object_has_no_row():
    labels, pixels = coins()
    both = np.stack([pixels, 255 - pixels // 2])
    found = table("texture", labels, both)
    assert np.array_equal(
        found["haralick_entropy_channel 1"], haralick(labels, both[1])[:, NAMES.index("entropy")], equal_nan=True
    )
    assert np.array_equal(found["lbp_4_channel 0"], patterns(labels, pixels)[:, 4])
    empty = table("texture", np.zeros((4, 5)), np.zeros((4, 5), np.uint8))
    assert len(empty) == 23
    assert all(len(column) == 0 for column in empty.values())


def test_memory_is_for_the_objects_that_a_slab_cuts_only(monkeypatch):
    labels = np.arange(1, 2501, dtype=np.uint32).reshape(50, 50).repeat(4, axis=0).repeat(4, axis=1)
    image = Image.from_array(np.random.default_rng(0).integers(0, 256, labels.shape).astype(np.uint8))
    monkeypatch.setattr(tiling, "SLAB_PIXELS", 400)
    objects = Objects(Instances.from_labels(labels, Grid("YX", labels.shape)), image)
    tracemalloc.start()
    objects.gather([CoOccurrence])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2_500 * 4 * CELLS * 2 / 4
