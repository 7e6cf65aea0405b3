"""Supervoxel graphs and forests on them, against plain loops and SciPy's minimum spanning tree."""

from __future__ import annotations

import heapq

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components, minimum_spanning_tree
from skimage.measure import label
from skimage.morphology import local_minima

from segmentry.kernels.basins import lowest_places
from segmentry.kernels.spanning_forest import NEVER, grow_forest, lean, rival_heights
from segmentry.kernels.supervoxel_graph import SupervoxelGraph, members, paint, touching


def image(shape, seed=0, top=65_535):
    noise = gaussian_filter(np.random.default_rng(seed).random(shape), 1.2)
    noise -= noise.min()
    return np.rint(noise / max(noise.max(), 1e-9) * top).astype(np.uint16)


def random_graph(seed, n=40, n_edges=120):
    """A connected graph whose heights all differ, also where they count for 0.9; as arrays of edges and as a graph."""
    rng = np.random.default_rng(seed)
    pairs = {(i, int(rng.integers(1, i))) for i in range(2, n + 1)}
    while len(pairs) < n_edges:
        i, j = sorted(rng.integers(1, n + 1, 2).tolist())
        if i != j and (j, i) not in pairs:
            pairs.add((j, i))
    ends = np.array(sorted(pairs))
    heights = 100 * (rng.permutation(len(ends)) + 1) + 3
    one, two = np.concatenate([ends, ends[:, ::-1]]).T
    order = np.argsort(one, kind="stable")
    starts = np.searchsorted(one[order], np.arange(n + 2)).astype(np.int64)
    twice = np.concatenate([heights, heights])[order].astype(np.uint16)
    return ends, heights, SupervoxelGraph(starts, two[order].astype(np.int32), twice)


def drawn(seed, n=40, n_labels=3):
    rng = np.random.default_rng(seed + 1000)
    seeds = np.zeros(n + 1, np.uint32)
    places = rng.permutation(np.arange(1, n + 1))[: 2 * n_labels]
    seeds[places] = np.tile(np.arange(1, n_labels + 1), 2)
    return seeds


def highest_on_the_way(ends, heights, n):
    """For each pair the highest edge of the path whose highest edge is lowest, by Floyd's and Warshall's rule."""
    best = np.full((n + 1, n + 1), float(NEVER))
    np.fill_diagonal(best, 0)
    best[ends[:, 0], ends[:, 1]] = best[ends[:, 1], ends[:, 0]] = heights
    for k in range(n + 1):
        best = np.minimum(best, np.maximum(best[:, k : k + 1], best[k : k + 1]))
    return best


def plainly_grown(ends, heights, seeds, background, bias):
    """Prim's rule: the lowest edge that leads out of what has a label is always the next."""
    labels = seeds.copy()
    near = {i: [] for i in range(len(seeds))}
    for (i, j), height in zip(ends.tolist(), heights.tolist(), strict=True):
        near[i].append((j, height))
        near[j].append((i, height))

    def leading_out(i):
        share = bias if labels[i] == background else 1
        return [(share * height, j, int(labels[i])) for j, height in near[i] if labels[j] == 0]

    waiting = [edge for i in np.flatnonzero(seeds) for edge in leading_out(int(i))]
    heapq.heapify(waiting)
    while waiting:
        _, j, of = heapq.heappop(waiting)
        if labels[j] == 0:
            labels[j] = of
            for edge in leading_out(j):
                heapq.heappush(waiting, edge)
    return labels


@pytest.mark.parametrize("seed", range(12))
def test_each_goes_to_the_seed_whose_way_has_the_lowest_top(seed):
    ends, heights, graph = random_graph(seed)
    seeds = drawn(seed)
    best = highest_on_the_way(ends, heights, 40)[1:]
    of = np.stack([best[:, seeds == k].min(axis=1) for k in (1, 2, 3)])
    for used in (graph, lean(graph, 1.0)):
        labels, reached = grow_forest(used, seeds, 1, 1.0)
        assert np.array_equal(of[labels[1:] - 1, np.arange(40)], of.min(axis=0))
        assert np.array_equal(reached[1:], of.min(axis=0))
        rivals = rival_heights(used, labels, reached, 1, 1.0)
        assert np.array_equal(rivals[1:], np.sort(of, axis=0)[1])


@pytest.mark.parametrize("seed", range(6))
def test_is_the_minimum_spanning_tree_of_scipy_cut_at_the_seeds(seed):
    ends, heights, graph = random_graph(seed)
    seeds = drawn(seed)
    root = np.where(seeds > 0, 0, np.arange(41))
    a, b = root[ends].min(axis=1), root[ends].max(axis=1)
    cheapest = {}
    for k in np.argsort(heights):
        cheapest.setdefault((a[k], b[k]), k)
    kept = np.array([k for (i, j), k in cheapest.items() if i != j])
    tree = minimum_spanning_tree(coo_matrix((heights[kept], (a[kept], b[kept])), (41, 41))).tocoo()
    chosen = ends[[cheapest[min(i, j), max(i, j)] for i, j in zip(tree.row, tree.col, strict=True)]]
    _, parts = connected_components(coo_matrix((np.ones(len(chosen)), chosen.T), (41, 41)), directed=False)
    labels, _ = grow_forest(graph, seeds, 1, 1.0)
    for place in np.flatnonzero(seeds):
        assert (labels[parts == parts[place]] == seeds[place]).all()


@pytest.mark.parametrize("seed", range(8))
def test_a_bias_counts_for_the_background_alone(seed):
    ends, heights, graph = random_graph(seed)
    seeds = drawn(seed)
    for bias in (0.9, 0.5):
        expected = plainly_grown(ends, heights, seeds, 1, bias)
        assert np.array_equal(grow_forest(graph, seeds, 1, bias)[0], expected)
        assert np.array_equal(grow_forest(lean(graph, bias), seeds, 1, bias)[0], expected)
    assert (expected == 1).sum() > (grow_forest(graph, seeds, 1, 1.0)[0] == 1).sum()


def test_a_lean_graph_without_bias_is_a_spanning_tree():
    _, _, graph = random_graph(3)
    assert len(lean(graph, 1.0).heights) == 2 * 39
    assert 2 * 39 < len(lean(graph, 0.8).heights) < len(graph.heights)


def test_nothing_enters_what_is_closed():
    _, _, graph = random_graph(5)
    seeds, closed = drawn(5), np.zeros(41, np.bool_)
    closed[np.flatnonzero(seeds == 0)[1:6]] = True
    labels, reached = grow_forest(lean(graph, 0.9, closed), seeds, 1, 0.9)
    assert not labels[closed].any()
    assert (reached[closed] == NEVER).all()
    assert labels[1:][~closed[1:]].astype(bool).sum() > 25


@pytest.mark.parametrize("shape", [(23, 31), (7, 13, 11), (1, 9, 9), (1, 1)])
def test_boundaries_have_the_mean_height_of_their_faces(shape):
    levels = image(shape, 2)
    ids = label(levels // 9000, connectivity=1, background=-1).astype(np.uint32)
    graph = touching(ids, levels, int(ids.max()))
    faces = {}
    for axis in range(len(shape)):
        i, j = np.moveaxis(ids, axis, 0)[:-1], np.moveaxis(ids, axis, 0)[1:]
        high = np.maximum(np.moveaxis(levels, axis, 0)[:-1], np.moveaxis(levels, axis, 0)[1:])
        for a, b, height in zip(i[i != j].tolist(), j[i != j].tolist(), high[i != j].tolist(), strict=True):
            faces.setdefault((a, b), []).append(height)
            faces.setdefault((b, a), []).append(height)
    found = {
        (i, int(graph.neighbours[k])): int(graph.heights[k])
        for i in range(len(graph.starts) - 1)
        for k in range(graph.starts[i], graph.starts[i + 1])
    }
    assert found == {pair: int(np.mean(heights) + 0.5) for pair, heights in faces.items()}


def test_pixels_of_supervoxels_are_listed_and_painted():
    ids = np.random.default_rng(0).integers(1, 9, (5, 6, 7)).astype(np.uint32)
    starts, places = members(ids, 9)
    for i in range(1, 10):
        assert np.array_equal(places[starts[i] : starts[i + 1]], np.flatnonzero(ids == i))
    mask, values = np.zeros(ids.size, np.bool_), np.zeros(10, np.bool_)
    values[[2, 5]] = True
    paint(mask, starts, places, np.array([2, 3, 5]), values)
    assert np.array_equal(mask.reshape(ids.shape), np.isin(ids, [2, 5]))


@pytest.mark.parametrize(
    ("shape", "top"), [((40, 50), 65_535), ((40, 50), 6), ((9, 14, 12), 8), ((3, 3), 0), ((1, 5), 3)]
)
def test_one_seed_lies_in_each_minimum_of_scikit_image(shape, top):
    levels = image(shape, 4, top) if np.prod(shape) > 9 else np.full(shape, 7, np.uint16)
    seeds, count = lowest_places(levels)
    lows = label(local_minima(levels, connectivity=len(shape)), connectivity=len(shape))
    expected = lows.max() if levels.min() < levels.max() else 1
    assert count == expected == np.count_nonzero(seeds)
    if levels.min() < levels.max():
        assert np.array_equal(np.unique(lows[seeds > 0]), np.arange(1, count + 1))
    assert np.array_equal(seeds[seeds > 0], np.arange(1, count + 1))
