import math
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from skimage import data
from skimage.graph import RAG
from skimage.measure import regionprops
from skimage.segmentation import slic

from segmentry import tiling
from segmentry.analysis.contacts import contacts
from segmentry.analysis.objects import Objects
from segmentry.analysis.properties import neighbours as nearest
from segmentry.analysis.property import chosen, columns
from segmentry.image import Grid
from segmentry.result import Instances

TOP = 2**32 - 1


def instances(labels, spacing=None):
    array = np.asarray(labels, np.uint32)
    return Instances.from_labels(array, Grid("ZYX"[3 - array.ndim :], array.shape, spacing, "um" if spacing else None))


def neighbours(labels, spacing=None):
    objects = Objects(instances(labels, spacing))
    return {k: v for k, (v, _) in columns(chosen(["neighbours"]), objects).items()}


def plainly(labels, spacing):
    """Return the sizes of shared faces by pairs of ids, and those of all faces by id: one face after the other."""
    padded = np.pad(labels, 1)
    pairs, faces = {}, {}
    for axis in range(labels.ndim):
        size = math.prod(spacing) / spacing[axis]
        moved = np.moveaxis(padded, axis, 0)
        for a, b in zip(moved[:-1].ravel().tolist(), moved[1:].ravel().tolist(), strict=True):
            if a != b:
                for k in (a, b):
                    faces[k] = faces.get(k, 0) + size
                pairs[min(a, b), max(a, b)] = pairs.get((min(a, b), max(a, b)), 0) + size
    return {k: v for k, v in pairs.items() if k[0]}, faces


@given(st.data())
def test_contacts_are_those_of_the_faces_between_pixels_for_any_slab(some):
    spacing = some.draw(st.sampled_from([(1.0, 1.0), (2.0, 0.5), (1.0, 1.0, 1.0), (3.0, 1.0, 0.5)]))
    shape = some.draw(st.tuples(*[st.integers(1, 8 if len(spacing) == 2 else 5)] * len(spacing)))
    labels = some.draw(arrays(np.uint32, shape, elements=st.sampled_from([0, 1, 2, 77, TOP - 1, TOP])))
    pairs, faces = plainly(labels, spacing)
    before, tiling.SLAB_PIXELS = tiling.SLAB_PIXELS, some.draw(st.sampled_from([1, 20, 10_000]))
    try:
        found, table = neighbours(labels, spacing), contacts(instances(labels, spacing))
    finally:
        tiling.SLAB_PIXELS = before
    name = "contact_length_um" if labels.ndim == 2 else "contact_area_um2"
    ids = np.unique(labels[labels > 0]).tolist()
    shared = np.array([sum(v for k, v in pairs.items() if i in k) for i in ids])
    assert found["n_neighbours"].tolist() == [sum(i in k for k in pairs) for i in ids]
    assert found[name] == pytest.approx(shared)
    assert found["contact_fraction"] == pytest.approx(shared / np.array([faces[i] for i in ids]))
    assert list(zip(table["id"], table["neighbour"], strict=True)) == sorted(pairs)
    assert table[name].to_numpy() == pytest.approx(np.array([pairs[k] for k in sorted(pairs)]))


def test_neighbours_are_those_of_the_graph_of_scikit_image():
    labels = slic(data.coins(), 300, channel_axis=None, start_label=1)
    graph = RAG(labels, connectivity=1)
    assert neighbours(labels)["n_neighbours"].tolist() == [graph.degree(r.label) for r in regionprops(labels)]
    assert set(map(tuple, contacts(instances(labels))[["id", "neighbour"]].to_numpy().tolist())) == {
        (min(e), max(e)) for e in graph.edges
    }


def test_contacts_have_the_length_of_the_pixels_sides():
    labels = [[1, 1, 2], [1, 1, 2], [0, 3, 3]]
    found = neighbours(labels, (0.5, 2.0))
    assert found["n_neighbours"].tolist() == [2, 2, 2]
    assert found["contact_length_um"].tolist() == [3.0, 3.0, 4.0]
    assert found["contact_fraction"] == pytest.approx(np.array([3 / 10, 3 / 6, 4 / 9]))
    table = contacts(instances(labels, (0.5, 2.0)))
    assert table.to_numpy().tolist() == [[1, 2, 1.0], [1, 3, 2.0], [2, 3, 2.0]]


def test_objects_that_meet_at_a_corner_or_not_at_all_have_no_contact():
    found = neighbours([[1, 0, 0], [0, 2, 0], [0, 0, 0], [3, 0, 0]])
    assert found["n_neighbours"].tolist() == [0, 0, 0]
    assert found["contact_length_px"].tolist() == [0, 0, 0]
    assert found["contact_fraction"].tolist() == [0, 0, 0]


def test_an_object_inside_another_shares_all_of_its_boundary():
    labels = np.ones((5, 5, 5), int)
    labels[2, 2, 1:4] = 2
    found = neighbours(labels)
    assert found["contact_area_px"].tolist() == [14, 14]
    assert found["contact_fraction"].tolist() == [14 / (150 + 14), 1]


def test_contacts_of_each_time_point_stand_apart():
    grid = Grid("TYX", (3, 1, 2))
    labels = np.array([[[1, 2]], [[1, 0]], [[2, 5]]], np.uint32)
    found = contacts(Instances.from_labels(labels, grid))
    assert list(found.columns) == ["time", "id", "neighbour", "contact_length_px"]
    assert found.to_numpy().tolist() == [[0, 1, 2, 1], [2, 2, 5, 1]]


@pytest.mark.parametrize("few", [0, 1000])
def test_the_nearest_object_is_that_with_the_nearest_centroid(few, monkeypatch):
    monkeypatch.setattr(nearest, "FEW", few)
    labels = slic(data.coins(), 200, channel_axis=None, start_label=1)
    spacing = (0.5, 0.3)
    centroids = np.array([r.centroid for r in regionprops(labels, spacing=spacing)])
    apart = np.linalg.norm(centroids[:, None] - centroids, axis=-1)
    np.fill_diagonal(apart, np.inf)
    found = neighbours(labels, spacing)
    assert found["nearest_distance_um"] == pytest.approx(apart.min(axis=1))
    # Some have two that are as near.
    assert apart[np.arange(len(apart)), found["nearest_id"] - 1] == pytest.approx(apart.min(axis=1))


@pytest.mark.parametrize("few", [0, 1000])
def test_an_object_alone_has_no_nearest_and_rings_around_one_centre_have_none_but_each_other(few, monkeypatch):
    monkeypatch.setattr(nearest, "FEW", few)
    alone = neighbours([[0, 7]])
    assert np.isnan(alone["nearest_distance_px"]).tolist() == [True]
    assert alone["nearest_id"].tolist() == [0]
    rings = np.maximum(*np.abs(np.indices((9, 9)) - 4)) + 1
    found = neighbours(rings)
    assert found["nearest_distance_px"] == pytest.approx(np.zeros(5), abs=1e-12)
    assert all(near != own for own, near in enumerate(found["nearest_id"], start=1))


def test_objects_at_the_edge_of_the_image_are_told_from_those_inside():
    labels = np.zeros((6, 7), int)
    labels[0, 3], labels[2:4, 2], labels[4, 6], labels[5, 0], labels[1, 5] = 1, 2, 3, 4, 5
    assert neighbours(labels)["touches_border"].tolist() == [True, False, True, True, False]
    assert neighbours(labels[None])["touches_border"].tolist() == [True, False, True, True, False]
    assert neighbours(np.stack([labels * 0, labels]))["touches_border"].tolist() == [True] * 5


def test_the_columns_have_their_units_and_an_empty_image_no_row():
    for shape, spacing, name in (
        ((4, 5), None, "contact_length_px"), ((4, 5), (0.5, 0.5), "contact_length_um"),
        ((3, 4, 5), None, "contact_area_px"), ((3, 4, 5), (1.0, 0.5, 0.5), "contact_area_um2"),
    ):  # fmt: skip
        found = neighbours(np.zeros(shape), spacing)
        unit = "um" if spacing else "px"
        assert list(found) == [
            "touches_border", "n_neighbours", name, "contact_fraction", f"nearest_distance_{unit}", "nearest_id",
        ]  # fmt: skip
        assert all(v.shape == (0,) for v in found.values())
        assert list(contacts(instances(np.zeros(shape), spacing)).columns) == ["id", "neighbour", name]


def test_memory_grows_with_the_objects_and_not_with_their_square():
    # As square, a count for each of 10,000 by 10,000 objects would take hundreds of megabytes.
    labels = np.arange(1, 10_001).reshape(100, 100).repeat(3, axis=0).repeat(3, axis=1)
    neighbours(labels[:30, :30])
    tracemalloc.start()
    found = neighbours(labels)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert found["n_neighbours"].reshape(100, 100)[1:-1, 1:-1].tolist() == [[4] * 98] * 98
    assert most < 40e6
