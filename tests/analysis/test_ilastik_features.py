"""Features of objects are those that VIGRA computes as ilastik asks it, in planes and volumes, of all its names."""

from pathlib import Path

import numpy as np
import pytest

from segmentry.analysis.ilastik_features import BATCH, HULLS, STANDARD, IlastikFeatures
from segmentry.analysis.ilastik_regions import HULL
from segmentry.errors import InputError
from segmentry.image import Grid, Image
from segmentry.result import Instances

RECORDED = Path(__file__).parents[1] / "reference" / "ilastik_objects.npz"
CASES = ("plane", "colour", "volume", "channels")


def recorded(case):
    """Return image, labels, margin and the columns by name."""
    with np.load(RECORDED) as file:
        found = {name.partition("/")[2]: file[name] for name in file.files if name.startswith(f"{case}/")}
    image, labels, margin = (found.pop(name) for name in ("image", "labels", "margin"))
    axes = "ZYX"[3 - labels.ndim :]
    picture = Image.from_array(image, f"C{axes}") if len(image) > 1 else Image.from_array(image[0], axes)
    return picture, labels.astype(np.uint32), tuple(int(n) for n in margin[::-1]), found


def features(axes, names, n_channels, margin):
    group = next(name for name, known in HULLS.items() if known == axes)
    return IlastikFeatures(
        tuple((group if name in HULL else STANDARD, name) for name in names), axes, n_channels, margin
    )


def columns(known, labels, image):
    """Return the columns of each feature."""
    matrix = known.matrix(known.table(Instances.from_labels(labels), image))
    parts = np.split(matrix, np.cumsum(known.widths)[:-1], axis=1)
    return dict(zip([name for _, name in known.chosen], parts, strict=True))


@pytest.mark.parametrize("case", CASES)
def test_they_are_those_of_vigra(case):
    image, labels, margin, expected = recorded(case)
    known = features(image.grid.spatial, expected, image.grid.length("C"), margin)
    found = columns(known, labels, image)
    assert len(known.columns) == sum(values.shape[1] for values in expected.values())
    for name, values in expected.items():
        wanted = np.where(np.isfinite(values), values, 0)
        assert found[name].dtype == np.float32
        assert found[name].shape == wanted.shape, name
        assert np.allclose(found[name], wanted, rtol=1e-6, atol=1e-9), name


def test_all_that_ilastik_offers_is_among_them():
    names = {case: set(recorded(case)[3]) for case in CASES}
    for case, count in (("plane", 40), ("colour", 33), ("volume", 40), ("channels", 33)):
        assert len({n for n in names[case] if n not in HULL and "neighborhood" not in n}) == count
    near = {n for n in names["plane"] | names["colour"] if "neighborhood" in n}
    assert len(near) == 9


def test_many_pixels_around_objects_are_measured_piece_by_piece(monkeypatch):
    image, labels, margin, expected = recorded("plane")
    names = [name for name in expected if "neighborhood" in name]
    known = features("YX", names, 1, margin)
    whole = columns(known, labels, image)
    assert labels.size < BATCH
    monkeypatch.setattr("segmentry.analysis.ilastik_features.BATCH", 300)
    pieces = columns(known, labels, image)
    assert all(np.array_equal(whole[name], pieces[name]) for name in names)


def test_ids_with_gaps_and_no_objects_are_fine():
    image, labels, margin, expected = recorded("plane")
    known = features("YX", expected, 1, margin)
    table = known.table(Instances.from_labels(labels * 7), image)
    assert table["id"].tolist() == [7 * i for i in range(1, int(labels.max()) + 1)]
    assert np.array_equal(known.matrix(table), known.matrix(known.table(Instances.from_labels(labels), image)))
    assert len(known.table(Instances.from_labels(0 * labels), image)) == 0


def test_what_fills_the_image_has_no_surroundings():
    labels = np.ones((6, 7), np.uint32)
    names = ("Mean", "Mean in neighborhood", "Histogram in neighborhood", "DefectCenter", "DefectVolumeKurtosis")
    found = columns(features("YX", names, 1, (3, 3)), labels, Image.from_array(np.full((6, 7), 5, np.uint8)))
    assert found["Mean"].tolist() == [[5]]
    assert not any(found[name].any() for name in names[1:])


@pytest.mark.parametrize("level", [0.0, 7.0, 1e6])
def test_images_of_one_value_have_finite_features(level):
    labels = np.zeros((9, 9), np.uint32)
    labels[1:3, 1:4], labels[5, 5] = 1, 2
    names = [name for name in recorded("plane")[3] if name not in HULL]
    found = columns(features("YX", names, 1, (2, 2)), labels, Image.from_array(np.full((9, 9), level, np.float32)))
    assert all(np.isfinite(values).all() for values in found.values())
    assert found["Mean"].ravel().tolist() == [level] * 2


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 3e38])
def test_pixels_that_are_not_finite_come_to_no_harm(value):
    image, labels, margin, expected = recorded("plane")
    pixels = image.read().astype(np.float32)
    pixels[tuple(np.argwhere(labels == 3)[0])] = value
    pixels[labels == 5] = value
    with np.errstate(all="ignore"):
        found = columns(features("YX", expected, 1, margin), labels, Image.from_array(pixels))
    assert all(np.isfinite(values).all() for values in found.values())
    assert np.allclose(found["RegionRadii"], expected["RegionRadii"], rtol=1e-6)
    assert np.array_equal(found["Mean"][[0, 1]], expected["Mean"][[0, 1]])


def test_what_is_not_known_is_refused():
    for chosen in (
        ((STANDARD, "Taste"),),
        (("2D Skeleton Features", "Diameter"),),
        ((STANDARD, "Count in neighborhood"),),
    ):
        with pytest.raises(InputError, match="can't be computed here"):
            IlastikFeatures(chosen, "YX", 1, (3, 3))
    with pytest.raises(InputError, match="Mean in neighborhood"):
        IlastikFeatures(((STANDARD, "Mean in neighborhood"),), "YX", 1, (0, 0))
    with pytest.raises(InputError, match="no features"):
        IlastikFeatures((), "YX", 1)


def test_a_series_is_measured_time_by_time():
    image, labels, margin, expected = recorded("plane")
    known = features("YX", expected, 1, margin)
    alone = known.matrix(known.table(Instances.from_labels(labels), image))
    twice = Instances.from_labels(np.stack([labels, labels]), Grid("TYX", (2, *labels.shape)))
    bright = Image.from_array(np.stack([image.read(), 2 * image.read().astype(np.int32)]), "TYX")
    table = known.table(twice, bright)
    assert table["time"].tolist() == [0] * len(alone) + [1] * len(alone)
    assert np.array_equal(known.matrix(table)[: len(alone)], alone)
    at = known.columns.index("Mean")
    assert np.allclose(known.matrix(table)[len(alone) :, at], 2 * alone[:, at])
