import numpy as np
import pytest
from scipy.spatial.distance import cdist

from segmentry.analysis.measure import measure
from segmentry.image import Grid, Image
from segmentry.result import Instances


def boxes(places, side, shape, spacing=None):
    """Return cubes of some sides at some places."""
    labels = np.zeros(shape, np.uint32)
    for k, (place, s) in enumerate(zip(places, side, strict=True), 1):
        labels[tuple(slice(p, p + s) for p in place)] = k
    unit = "um" if spacing else None
    return Instances.from_labels(labels, Grid("ZYX"[3 - len(shape) :], shape, spacing, unit))


@pytest.mark.parametrize(("ndim", "spacing"), [(2, None), (2, (0.5, 0.25)), (3, (2.0, 1.0, 1.0))])
def test_numbers_are_those_of_all_distances_between_centroids(ndim, spacing):
    rng = np.random.default_rng(3)
    cells = np.stack(np.meshgrid(*[np.arange(5)] * ndim, indexing="ij"), -1).reshape(-1, ndim)
    places = rng.permutation(cells * 6 + rng.integers(0, 2, cells.shape))[:20]
    sides = rng.integers(1, 5, 20)
    instances = boxes(places, sides, (31,) * ndim, spacing)
    image = Image(rng.integers(0, 200, (31,) * ndim).astype(np.uint8), instances.grid)
    table = measure(instances, image, properties=["neighbourhood", "mean", "size", "centroid"])
    end = "um" if spacing else "px"
    size = table[f"{'area' if ndim == 2 else 'volume'}_{f'um{ndim}' if spacing else 'px'}"].to_numpy()
    centroids = table[[c for c in table if c.startswith("centroid_")]].to_numpy()
    apart = cdist(centroids, centroids)
    reach = 3 * np.median(table[f"equivalent_diameter_{end}"])
    assert table["n_near"].tolist() == ((apart <= reach).sum(axis=1) - 1).tolist()
    order = np.argsort(np.where(np.eye(20) > 0, np.inf, apart), axis=1)[:, :5]
    distances = np.take_along_axis(apart, order, axis=1)
    assert np.diff(np.sort(np.where(np.eye(20) > 0, np.inf, apart), axis=1)[:, 4:6]).min() >= 0
    assert table[f"near_distance_{end}"].to_numpy() == pytest.approx(distances.mean(axis=1))
    clear = np.diff(np.sort(apart, axis=1)[:, 5:7], axis=1)[:, 0] > 1e-9
    assert clear.sum() > 5
    near_size = next(c for c in table if c.startswith("near_size"))
    assert table[near_size][clear].to_numpy() == pytest.approx(size[order].mean(axis=1)[clear])
    assert table["relative_size"].to_numpy() == pytest.approx(size / table[near_size])
    assert table["near_mean"][clear].to_numpy() == pytest.approx(table["mean"].to_numpy()[order].mean(axis=1)[clear])
    assert table["mean_minus_near"].to_numpy() == pytest.approx((table["mean"] - table["near_mean"]).to_numpy())


def test_an_object_alone_has_no_neighbours_and_one_without_intensity_does_not_count():
    one = measure(boxes([(2, 2)], [3], (9, 9)), properties=["neighbourhood"])
    assert one["n_near"].tolist() == [0]
    assert one[["near_distance_px", "near_size_px", "relative_size"]].isna().all(axis=None)
    three = boxes([(0, 0), (0, 6), (0, 12)], [3, 3, 3], (3, 15))
    pixels = np.repeat([[1.0, 0, np.nan, 0, 7.0]], 3, axis=1).repeat(3, axis=0)
    table = measure(three, Image(pixels.astype(np.float32), three.grid), properties=["neighbourhood"])
    assert table["near_mean"].tolist() == [7, 4, 1]
    assert table["mean_minus_near"].isna().tolist() == [False, True, False]


def test_objects_with_one_centroid_are_neighbours_of_each_other():
    labels = np.zeros((9, 9), np.uint32)
    labels[2:7, 2:7], labels[3:6, 3:6] = 1, 2
    table = measure(Instances.from_labels(labels), properties=["neighbourhood"])
    assert table["n_near"].tolist() == [1, 1]
    assert table["near_distance_px"].tolist() == [0, 0]
    assert table["near_size_px"].tolist() == [9, 16]


def test_crowding_is_the_filled_part_of_a_disc_as_far_as_it_lies_in_the_image():
    side, count = 9, 7
    labels = np.arange(1, count**2 + 1, dtype=np.uint32).reshape(count, count).repeat(side, 0).repeat(side, 1)
    table = measure(Instances.from_labels(labels), properties=["neighbourhood", "centroid"])
    reach = 2 * np.sqrt(4 / np.pi) * side
    y, x = np.mgrid[: count * side : 0.25, : count * side : 0.25] - 0.5 + 0.125
    centroids = table[["centroid_y_px", "centroid_x_px"]].to_numpy()
    for row in (0, count // 2, count**2 // 2):
        others = (np.hypot(*(centroids - centroids[row]).T) <= reach).sum() - 1
        seen = (np.hypot(y - centroids[row, 0], x - centroids[row, 1]) <= reach).sum() / 16
        assert table["crowding"][row] == pytest.approx(others * side**2 / seen, rel=0.03)
    assert table["relative_distance"].to_numpy() == pytest.approx(side / (np.sqrt(4 / np.pi) * side))


def test_crowding_does_not_depend_on_the_unit_and_is_nothing_for_an_object_alone():
    places = np.random.default_rng(0).permutation(np.stack(np.mgrid[:4, :4, :4], -1).reshape(-1, 3) * 5)[:30]
    plain = measure(boxes(places, [3] * 30, (20,) * 3), properties=["neighbourhood"])
    scaled = measure(boxes(places, [3] * 30, (20,) * 3, (7.0,) * 3), properties=["neighbourhood"])
    for name in ("crowding", "relative_distance", "n_near", "relative_size"):
        assert scaled[name].to_numpy() == pytest.approx(plain[name].to_numpy(), rel=1e-6)
    assert plain["crowding"].between(0.05, 2).all()
    assert measure(boxes([(2, 2)], [3], (9, 9)), properties=["crowding"])["crowding"].tolist() == [0]
