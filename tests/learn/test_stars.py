"""Star-convex shapes against what StarDist computes of the same labels and maps (tests/reference/make_stardist.py)."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.draw import polygon

from segmentry.errors import ParameterError
from segmentry.image import Grid
from segmentry.kernels.stars import Stars as Shapes
from segmentry.kernels.stars import paint_stars, unsuppressed
from segmentry.learn.objects import ray_lengths_of
from segmentry.learn.representation import representation
from segmentry.learn.representations.stars import rays
from segmentry.metrics import match_objects
from segmentry.result import Instances
from segmentry.testing import perfect_maps

NAMES = ("background", "nucleus")
#: Number of rays, pixels of a map's pixel, and length of pixels, of the recorded plane and volume.
RECORDED = {"flat": (32, (2, 2), (1.0, 1.0)), "deep": (96, (1, 2, 2), (2.0, 1.0, 1.0))}


@pytest.fixture(scope="module")
def recorded():
    with np.load(Path(__file__).parents[1] / "reference" / "stardist.npz") as file:
        return {name: file[name] for name in file.files if name.startswith(("flat.", "deep."))}


def maps_of(recorded, name):
    """Return maps as a network of StarDist gives them, with zeros beside their grid."""
    count, grid, _ = RECORDED[name]
    probability = recorded[f"{name}.probability"].astype(np.float32) / 65536
    lengths = np.full((count, *probability.shape), 1e-3, np.float32)
    lengths[:, probability > 0.49] = (recorded[f"{name}.lengths"] / 8 + 1 / 16).T
    maps = np.zeros((1 + count, *recorded[f"{name}.labels"].shape), np.float32)
    maps[(slice(None), *(slice(None, None, g) for g in grid))] = np.concatenate([probability[None], lengths])
    return maps


def told(name, **parameters):
    count, grid, sizes = RECORDED[name]
    return representation("stars", n_rays=count, grid=grid, anisotropy=sizes, apart=0, border=2, **parameters)


def test_rays_are_those_of_stardist(recorded):
    directions, faces = rays(96, 3, (2.0, 1.0, 1.0))
    np.testing.assert_allclose(directions, recorded["deep.rays"], atol=1e-6)
    assert {tuple(sorted(f)) for f in faces} == {tuple(sorted(f)) for f in recorded["deep.triangles"]}


def test_distances_in_a_plane_are_those_of_stardist(recorded):
    found = ray_lengths_of(recorded["flat.labels"].astype(np.int64), rays(32, 2, (1.0, 1.0))[0])
    at = tuple(recorded["flat.at"].T)
    np.testing.assert_allclose(found[(slice(None), *at)].T, recorded["flat.distances"], atol=1e-3)


def test_distances_in_a_volume_are_those_of_stardist_to_the_edge(recorded):
    labels, at = recorded["deep.labels"].astype(np.int64), tuple(recorded["deep.at"].T)
    found = ray_lengths_of(labels, rays(96, 3, (2.0, 1.0, 1.0))[0])[(slice(None), *at)].T
    # In volumes StarDist counts to the middle of the first voxel outside, in whole voxels; here it is the edge between.
    inside = labels[at] > 0
    beyond = (recorded["deep.distances"] - found)[inside]
    assert 0.4 < np.mean(beyond) < 1
    assert np.abs(beyond).max() < 1.8


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10**6), shape=st.sampled_from([(9, 12, 11), (1, 14, 10), (5, 1, 6)]))
def test_distances_in_a_volume_reach_to_where_rays_leave_the_object(seed, shape):
    """Within the step that ends in something else: just before it, the object is there, just after it is not."""
    rng = np.random.default_rng(seed)
    places = np.indices(shape)
    labels = np.zeros(shape, np.int64)
    for number in (1, 2, 3):
        middle, radii = ((rng.uniform(a, b, 3) * shape).reshape(3, 1, 1, 1) for a, b in ((0, 1), (0.2, 0.6)))
        labels[(((places - middle) / np.maximum(radii, 1)) ** 2).sum(axis=0) < 1] = number
    directions = rays(24, 3, (1.0, 1.0, 1.0))[0]
    found = ray_lengths_of(labels, directions)
    padded = np.pad(labels, 1)
    for place in rng.permutation(np.argwhere(labels))[:20]:
        own = labels[tuple(place)]
        for k, direction in enumerate(directions):
            length = found[(k, *place)]
            whole = np.arange(int(np.ceil(length)))
            along = np.array([*whole, length - 1e-3, length + 1e-3])
            seen = np.floor(place + along[:, None] * direction + 0.5).astype(int) + 1
            there = padded[tuple(seen.T)] == own
            assert there[:-1].all()
            assert not there[-1]


@pytest.mark.parametrize("name", ["flat", "deep"])
@pytest.mark.parametrize(("overlap", "kept"), [(0.3, "kept_03"), (0.4, "kept"), (0.5, "kept_05")])
def test_the_same_objects_stay_as_in_stardist(recorded, name, overlap, kept):
    maps = maps_of(recorded, name)
    grid = Grid("ZYX"[4 - maps.ndim :], maps.shape[1:])
    found = told(name, max_overlap=overlap).survey(maps, grid).shapes.points[:, 4 - maps.ndim :]
    mine, theirs = {tuple(p) for p in found.astype(int)}, {tuple(p) for p in recorded[f"{name}.{kept}"].astype(int)}
    # In planes StarDist cuts corners of shapes to whole pixels before it compares them: some pairs of this crowd,
    # which overlap by just as much as is allowed, are judged otherwise.
    assert len(mine ^ theirs) <= (0 if name == "deep" else 8)


@pytest.mark.parametrize(("name", "close"), [("flat", 0.9), ("deep", 0.99)])
def test_objects_are_drawn_as_by_stardist(recorded, name, close):
    maps = maps_of(recorded, name)
    grid = Grid("ZYX"[4 - maps.ndim :], maps.shape[1:])
    found = told(name).decode(maps, grid, NAMES)
    truth = Instances.from_labels(recorded[f"{name}.drawn"].astype(np.uint32), grid)
    matched = len(match_objects(found, truth).matched(0.9))
    assert matched / (len(found) + len(truth) - matched) >= close


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_a_shape_is_the_polygon_between_its_ends(seed):
    rng = np.random.default_rng(seed)
    directions, faces = rays(16, 2, (1.0, 1.0))
    shapes = Shapes(np.array([[0.0, *rng.uniform(8, 22, 2)]]), rng.uniform(2, 14, (1, 16)).astype(np.float32))
    labels = np.zeros((30, 32), np.uint32)
    paint_stars(shapes, np.array([7], np.uint32), directions, faces, (0, 0), labels)
    ends = shapes.points[0] + shapes.lengths[0][:, None] * directions
    wanted = np.zeros_like(labels)
    wanted[polygon(ends[:, 1], ends[:, 2], labels.shape)] = 7
    assert (labels != wanted).sum() <= 2  # pixels whose middle lies on an edge
    part = np.zeros((12, 20), np.uint32)
    paint_stars(shapes, np.array([7], np.uint32), directions, faces, (9, 5), part)
    assert np.array_equal(part, labels[9:21, 5:25])


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6), most=st.sampled_from([0.0, 0.2, 0.5, 1.0]))
def test_what_stays_is_what_comparing_all_pairs_leaves(seed, most):
    rng = np.random.default_rng(seed)
    directions, faces = rays(12, 2, (1.0, 1.0))
    points = np.concatenate([np.zeros((20, 1)), rng.uniform(0, 50, (20, 2))], axis=1)
    shapes = Shapes(points, rng.uniform(3, 10, (20, 12)).astype(np.float32))
    masks = []
    for i in range(20):
        labels = np.zeros((80, 80), np.uint32)
        paint_stars(
            Shapes(points[i : i + 1], shapes.lengths[i : i + 1]), np.ones(1, np.uint32), directions, faces, (-15, -15),
            labels,
        )  # fmt: skip
        masks.append(labels > 0)
    kept = []
    for i, mask in enumerate(masks):
        overlaps = [(mask & masks[j]).sum() / min(mask.sum(), masks[j].sum()) for j in kept]
        if all(o <= most for o in overlaps):
            kept.append(i)
    assert unsuppressed(shapes, directions, faces, most).tolist() == kept


@pytest.mark.parametrize(("ndim", "count", "least"), [(2, 64, 0.95), (3, 384, 0.95)])
def test_round_objects_come_back(ndim, count, least):
    shape = (80, 90) if ndim == 2 else (40, 44, 48)
    labels = np.zeros(shape, np.int64)
    for number, centre in enumerate([(0.3, 0.3, 0.3), (0.3, 0.75, 0.3), (0.7, 0.4, 0.75), (0.72, 0.8, 0.75)], 1):
        away = sum((p - c * n) ** 2 for p, c, n in zip(np.indices(shape), centre, shape, strict=False))
        labels[(away < 12**2) & (labels == 0)] = number
    kind, grid = representation("stars", n_rays=count), Grid("ZYX"[3 - ndim :], shape)
    found = kind.decode(perfect_maps(kind, labels, (1.0,) * ndim), grid, NAMES)
    truth = Instances.from_labels(labels, grid)
    assert len(match_objects(found, truth).matched(least)) == len(truth) == len(found)


def test_windows_show_the_same_objects():
    rng = np.random.default_rng(5)
    kind, grid = representation("stars", n_rays=8), Grid("YX", (60, 70))
    maps = np.concatenate([rng.random((1, 60, 70)), rng.uniform(2, 8, (8, 60, 70))]).astype(np.float32)
    whole = np.asarray(kind.decode(maps, grid, NAMES).labels)
    region = (slice(21, 50), slice(13, 41))
    known = kind.survey(maps, grid).within(region)
    window = replace(grid, shape=(29, 28))
    part = np.asarray(kind.decode(maps[(slice(None), *region)], window, NAMES, known).labels)
    pairs = np.unique(np.stack([whole[region].ravel(), part.ravel()]), axis=1)
    assert len(np.unique(pairs[0])) == len(np.unique(pairs[1])) == pairs.shape[1]


def test_maps_of_a_mirror_image_are_turned_back():
    labels = np.zeros((24, 31), np.int64)
    labels[3:14, 4:20], labels[14:22, 10:25] = 1, 2
    kind = representation("stars", n_rays=8)
    straight = np.nan_to_num(kind.encode(labels, (1.0, 1.0))["distances"])
    for axes in ((0,), (1,), (0, 1)):
        turned = np.nan_to_num(kind.encode(np.flip(labels, axes).copy(), (1.0, 1.0))["distances"])
        maps = np.concatenate([np.zeros((1, *labels.shape)), np.flip(turned, [a + 1 for a in axes])])
        np.testing.assert_allclose(kind.mirrored(maps, axes)[1:], straight, atol=1e-3)
    with pytest.raises(ParameterError, match="no mirror image"):
        kind.mirrored(np.zeros((9, 2, 3, 4), np.float32), (0,))


@pytest.mark.parametrize("zoom", [(2.0, 2.0), (1.0, 3.0), (2.0, 1.0, 1.0)])
def test_lengths_are_those_in_the_pixels_of_the_image(zoom):
    ndim = len(zoom)
    kind, radius = representation("stars", n_rays=64), 9.0
    fine = [round(24 * z) for z in zoom]
    away = sum(((p + 0.5) / z - 12) ** 2 for p, z in zip(np.indices(fine), zoom, strict=True))
    # Of the fine image, whose pixels are shorter by the zoom; each number as the middle of the ball tells it.
    told = kind.encode((away < radius**2).astype(np.int64), [1 / z for z in zoom])
    middle = tuple(n // 2 for n in fine)
    lengths = told["distances"][(slice(None), *middle)] * kind.lengths(zoom, [1 / z for z in zoom])[1:]
    maps = np.zeros((65, *(24,) * ndim), np.float32)
    maps[(slice(None), *(12,) * ndim)] = [0.9, *lengths]
    found = np.asarray(kind.decode(maps, Grid("ZYX"[3 - ndim :], (24,) * ndim), NAMES).labels) > 0
    true = sum((p + 0.5 - 12) ** 2 for p in np.indices((24,) * ndim)) < radius**2
    assert (found & true).sum() / (found | true).sum() > 0.8
