import numpy as np
import pytest
from skimage import data
from skimage.measure import label, perimeter_crofton, regionprops

from segmentry.analysis.objects import Objects
from segmentry.analysis.property import chosen, columns
from segmentry.image import Grid
from segmentry.result import Instances


def outline(labels, spacing=None):
    array = np.asarray(labels, np.uint32)
    grid = Grid("ZYX"[3 - array.ndim :], array.shape, spacing, "um" if spacing else None)
    objects = Objects(Instances.from_labels(array, grid))
    return {k: v for k, (v, _) in columns(chosen(["outline"]), objects).items()}


def ellipsoid(axes, spacing):
    """Return the pixels whose centres lie in an ellipse or ellipsoid."""
    shape = [int(2 * a / s) + 4 for a, s in zip(axes, spacing, strict=True)]
    place = np.moveaxis(np.indices(shape), 0, -1) * spacing - (np.array(shape) - 1) / 2 * spacing
    return np.linalg.norm(place / axes, axis=-1) <= 1


def test_the_columns_have_the_unit_and_an_empty_image_no_row():
    for spacing, names in (
        (None, ["perimeter_px", "circularity"]), ((0.5, 0.5), ["perimeter_um", "circularity"]),
        ((1.0, 0.5, 0.5), ["surface_um2", "sphericity"]),
    ):  # fmt: skip
        empty = outline(np.zeros((6,) * len(spacing or "YX")), spacing)
        assert list(empty) == names
        assert all(len(v) == 0 for v in empty.values())


def test_coins_have_the_perimeters_and_circularities_of_scikit_image():
    labels = label(data.coins() > 120)
    regions = regionprops(labels)
    length = np.array([perimeter_crofton(np.pad(r.image, 1), directions=4) for r in regions])
    found = outline(labels)
    assert found["perimeter_px"] == pytest.approx(length)
    assert found["circularity"] == pytest.approx(4 * np.pi * np.array([r.area for r in regions]) / length**2)


@pytest.mark.parametrize("spacing", [(1, 1), (2, 1), (0.1, 0.3)])
def test_an_ellipse_has_the_perimeter_of_geometry(spacing):
    long, short = np.array([40, 25]) * max(spacing)
    angle = np.linspace(0, 2 * np.pi, 100_001)
    length = np.hypot(np.diff(long * np.cos(angle)), np.diff(short * np.sin(angle))).sum()
    for axes in ((long, short), (short, long)):
        found = outline(ellipsoid(axes, spacing), spacing)
        assert found["perimeter_um"][0] == pytest.approx(length, rel=0.02)
        assert found["circularity"][0] == pytest.approx(4 * np.pi**2 * long * short / length**2, rel=0.03)


@pytest.mark.parametrize("spacing", [(1, 1, 1), (3, 1, 1), (0.2, 0.3, 0.2)])
def test_discs_and_balls_are_round(spacing):
    found = outline(ellipsoid((20 * max(spacing),) * 3, spacing), spacing)
    assert found["surface_um2"][0] == pytest.approx(4 * np.pi * (20 * max(spacing)) ** 2, rel=0.02)
    assert found["sphericity"][0] == pytest.approx(1, abs=0.01)
    assert outline(ellipsoid((20, 20), (1, 1)))["circularity"][0] == pytest.approx(1, abs=0.02)


def test_a_spheroid_has_the_sphericity_of_geometry():
    long, short = 30, 12
    e = np.sqrt(1 - (short / long) ** 2)
    area = 2 * np.pi * short**2 * (1 + long / (short * e) * np.arcsin(e))
    expected = 4 * np.pi * (short * short * long) ** (2 / 3) / area
    for axes in ((long, short, short), (short, long, short), (short, short, long)):
        assert outline(ellipsoid(axes, (1, 1, 1)))["sphericity"][0] == pytest.approx(expected, rel=0.01)


def test_single_pixels_come_out_as_the_definitions_say():
    assert outline([[7]])["circularity"][0] == pytest.approx(1.75, abs=0.01)
    assert outline([[[7]]])["sphericity"][0] == pytest.approx(1.61, abs=0.01)


def test_a_hole_makes_the_outline_longer_and_the_object_less_circular():
    disc = ellipsoid((20, 20), (1, 1))
    ring = disc.copy()
    ring[18:26, 18:26] = False
    whole, holed = outline(disc), outline(ring)
    inner = outline(disc & ~ring)["perimeter_px"]
    assert holed["perimeter_px"] == pytest.approx(whole["perimeter_px"] + inner)
    assert holed["circularity"] < 0.7 * whole["circularity"]
