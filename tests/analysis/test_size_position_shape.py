import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.ndimage import label
from skimage import data
from skimage.measure import regionprops_table

from segmentry import tiling
from segmentry.analysis.objects import Objects
from segmentry.analysis.property import chosen, columns
from segmentry.image import Grid
from segmentry.result import Instances

TOP = 2**32 - 1
ALL = ("size", "position", "shape")


def table(labels, spacing=None, slab=2**22, probability=None, names=ALL):
    """Return the columns of the families."""
    labels = np.asarray(labels, np.uint32)
    grid = Grid("ZYX"[3 - labels.ndim :], labels.shape, spacing, "um" if spacing else None)
    before, tiling.SLAB_PIXELS = tiling.SLAB_PIXELS, slab
    try:
        objects = Objects(Instances.from_labels(labels, grid), probability=probability)
        return {k: v for k, (v, _) in columns(chosen(names), objects).items()}
    finally:
        tiling.SLAB_PIXELS = before


def names_of_scikit_image(ndim):
    """Return the columns of scikit-image by ours, for objects with spacing."""
    axes = "zyx"[3 - ndim :]
    found = {
        "area_um2" if ndim == 2 else "volume_um3": "area", "n_pixels": "num_pixels", "extent": "extent",
        "equivalent_diameter_um": "equivalent_diameter_area", "major_axis_um": "axis_major_length",
        "minor_axis_um": "axis_minor_length",
    }  # fmt: skip
    if ndim == 2:
        found |= {"eccentricity": "eccentricity", "orientation": "orientation"}
    for i, a in enumerate(axes):
        found |= {f"box_{a}_start_px": f"bbox-{i}", f"box_{a}_stop_px": f"bbox-{i + ndim}"}
        found |= {f"centroid_{a}_um": f"centroid-{i}", f"inertia_eigenvalue_{i + 1}_um2": f"inertia_tensor_eigvals-{i}"}
        found |= {f"inertia_{a}{b}_um2": f"inertia_tensor-{i}-{j}" for j, b in enumerate(axes) if j >= i}
    for powers in itertools.product(range(4), repeat=ndim):
        if sum(powers) in (2, 3):
            name = "central_moment_" + "".join(a * n for a, n in zip(axes, powers, strict=True))
            found[name + "_um2" * (sum(powers) == 2)] = "moments_central-" + "-".join(map(str, powers))
    return found


def assert_as_scikit_image(labels, spacing, slab=2**22):
    found = table(labels, spacing, slab)
    names = names_of_scikit_image(labels.ndim)
    ids, small = np.unique(labels, return_inverse=True)
    small = small.reshape(labels.shape) + (ids[0] > 0)
    asked = sorted({name.split("-")[0] for name in names.values()})
    expected = regionprops_table(small, properties=asked, spacing=spacing)
    for ours, theirs in names.items():
        wanted = expected[theirs]
        # Theirs is 1e-8 of the length, not 0, for a line; sums that cancel are compared with what they are made of.
        scale = max(np.abs(wanted).max(), 1.0)
        plain = np.ones(len(wanted), bool)
        if ours == "orientation":
            plain = found["elongation"] > 1 + 1e-6
            plain |= np.isnan(found["elongation"]) & (found["major_axis_um"] > 0)
            turn = np.abs(found[ours] - wanted)
            assert np.minimum(turn, np.pi - turn)[plain] == pytest.approx(0, abs=1e-6)
        else:
            assert found[ours] == pytest.approx(wanted, rel=1e-6, abs=2e-7 * scale), ours


@pytest.mark.parametrize("spacing", [(1.0, 1.0), (0.5, 0.25)])
def test_coins_are_measured_as_by_scikit_image(spacing):
    labels = label(data.coins() > 110)[0]
    assert_as_scikit_image(labels, spacing)
    assert_as_scikit_image(labels, spacing, slab=3000)


def test_a_volume_is_measured_as_by_scikit_image():
    labels = label(np.random.default_rng(0).random((12, 20, 25)) > 0.75)[0]
    assert_as_scikit_image(labels, (2.0, 0.5, 0.3))
    assert_as_scikit_image(labels, (2.0, 0.5, 0.3), slab=900)


@given(
    arrays(np.uint32, (6, 8), elements=st.sampled_from([0, 1, 7, TOP])).filter(lambda a: a.any()),
    st.sampled_from([(1.0, 1.0), (3.0, 0.7)]),
    st.sampled_from([8, 24]),
)
def test_any_labels_are_measured_as_by_scikit_image(labels, spacing, slab):
    assert_as_scikit_image(labels, spacing, slab)


def test_hu_moments_are_those_of_scikit_image_and_do_not_depend_on_the_size_of_pixels():
    labels = label(data.coins() > 110)[0]
    found = table(labels, names=["hu_moments"])
    expected = regionprops_table(labels, properties=["moments_hu"])
    for i, name in enumerate(found):
        scale = np.abs(expected[f"moments_hu-{i}"]).max()
        assert found[name] == pytest.approx(expected[f"moments_hu-{i}"], rel=1e-6, abs=1e-12 * scale)
    finer = table(np.repeat(labels, 2, axis=0), (0.5, 1.0), names=["hu_moments"])
    large = table(labels)["area_px"] > 1000
    for name in ("hu_1", "hu_2", "hu_4"):
        assert finer[name][large] == pytest.approx(found[name][large], rel=0.05, abs=1e-6)


def ellipse(half, angle, spacing, size=140):
    """Return an ellipse whose first half axis lies at an angle to the first axis."""
    shape = [int(size / s) | 1 for s in spacing]
    y, x = (np.indices(shape).T - np.array(shape) // 2).T * np.array(spacing).reshape(2, 1, 1)
    u, v = y * np.cos(angle) + x * np.sin(angle), x * np.cos(angle) - y * np.sin(angle)
    return (u / half[0]) ** 2 + (v / half[1]) ** 2 <= 1


@pytest.mark.parametrize("angle", [-1.4, -0.7, 0.0, 0.3, 1.2])
@pytest.mark.parametrize("spacing", [(1.0, 1.0), (1.0, 0.4)])
def test_an_ellipse_has_the_axes_and_the_direction_that_it_was_drawn_with(angle, spacing):
    found = table(ellipse((60, 20), angle, spacing), spacing)
    assert found["orientation"][0] == pytest.approx(angle, abs=0.003)
    assert found["major_axis_um"][0] == pytest.approx(120, rel=0.01)
    assert found["minor_axis_um"][0] == pytest.approx(40, rel=0.01)
    assert found["elongation"][0] == pytest.approx(3, rel=0.01)
    assert found["eccentricity"][0] == pytest.approx(np.sqrt(1 - 1 / 9), rel=0.005)
    assert found["equivalent_diameter_um"][0] == pytest.approx(2 * np.sqrt(60 * 20), rel=0.005)


@pytest.mark.parametrize("direction", [(1, 0, 0), (0, -1, 2), (0, 0, 1), (2, -1, 1), (0, 3, -1)])
@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (2.0, 1.0, 0.5)])
def test_an_ellipsoid_has_the_axes_and_the_direction_that_it_was_drawn_with(direction, spacing):
    along = np.array(direction) / np.linalg.norm(direction)
    shape = [int(44 / s) | 1 for s in spacing]
    place = (np.indices(shape).T - np.array(shape) // 2) * np.array(spacing)
    far = place @ along
    inside = (far / 20) ** 2 + ((place**2).sum(axis=-1) - far**2) / 8**2 <= 1
    found = table(inside.T, spacing)
    vector = np.array([found[f"major_direction_{a}"][0] for a in "zyx"])
    assert np.linalg.norm(vector) == pytest.approx(1)
    assert vector[np.flatnonzero(np.abs(vector) > 1e-9)[0]] > 0
    assert abs(vector @ along) == pytest.approx(1, abs=1e-4)
    assert found["major_axis_um"][0] == pytest.approx(40, rel=0.02)
    assert found["middle_axis_um"][0] == pytest.approx(16, rel=0.05)
    assert found["minor_axis_um"][0] == pytest.approx(16, rel=0.05)


def test_what_has_no_longest_axis_says_so():
    cube = np.ones((3, 3, 3))
    assert np.isnan(table(cube)["major_direction_z"][0])
    assert table(np.ones((3, 3)))["orientation"][0] == -np.pi / 4
    point = table([[0, 7, 0]])
    assert point["major_axis_px"][0] == 0
    assert np.isnan(point["elongation"][0])
    assert point["eccentricity"][0] == 0
    line = table(np.eye(40))
    assert line["minor_axis_px"][0] == 0
    assert line["orientation"][0] == pytest.approx(np.pi / 4)
    assert np.isnan(line["elongation"][0])


def summed_by_hand(labels, share):
    found = {int(i): 0.0 for i in np.unique(labels) if i}
    for at in np.ndindex(labels.shape):
        around = labels[tuple(slice(max(p - 1, 0), p + 2) for p in at)]
        owner = labels[at] or min((i for i in around.ravel().tolist() if i), default=0)
        if owner:
            found[int(owner)] += float(share[at])
    return list(found.values())


@given(
    st.sampled_from([(6, 7), (3, 4, 5), (1, 4, 5)]).flatmap(
        lambda shape: arrays(np.uint32, shape, elements=st.sampled_from([0, 0, 0, 0, 1, 7, TOP]))
    ),
    st.sampled_from([7, 10_000]),
)
def test_partial_pixels_count_for_the_object_that_they_touch(labels, slab):
    share = np.random.default_rng(0).random(labels.shape).astype(np.float32)
    name = "summed_area_px" if labels.ndim == 2 else "summed_volume_px"
    found = table(labels, slab=slab, probability=share)[name]
    assert found == pytest.approx(summed_by_hand(labels, share), rel=1e-12)
    assert name not in table(labels)


def test_a_disc_of_coarse_pixels_has_its_own_area_when_probabilities_are_true():
    y, x = np.indices((400, 400)) / 20 - 10
    fine = (y - 0.13) ** 2 + (x + 0.21) ** 2 <= 4.3**2
    share = fine.reshape(20, 20, 20, 20).mean(axis=(1, 3)).astype(np.float32)
    found = table(share > 0.5, (2.0, 2.0), probability=share)
    assert found["summed_area_um2"][0] == pytest.approx(np.pi * 8.6**2, rel=0.002)
    assert found["area_um2"][0] != pytest.approx(np.pi * 8.6**2, rel=0.002)


@given(
    arrays(np.uint32, (5, 6, 7), elements=st.sampled_from([0, 0, 1, 7, TOP])),
    st.integers(1, 300),
)
def test_slabs_leave_no_trace(labels, slab):
    whole, pieces = table(labels, (2.0, 1.0, 0.5)), table(labels, (2.0, 1.0, 0.5), slab)
    for name, values in whole.items():
        assert np.array_equal(pieces[name], values, equal_nan=True), name


def test_no_objects_make_empty_columns():
    for shape in ((4, 4), (2, 3, 4)):
        found = table(np.zeros(shape), probability=np.zeros(shape, np.float32))
        assert len(found) > 20
        assert all(len(values) == 0 for values in found.values())
