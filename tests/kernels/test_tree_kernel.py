import numpy as np
import pytest
from scipy import ndimage

from segmentry.kernels.component_tree import chosen_nodes, component_tree


def random_levels(shape, seed):
    rng = np.random.default_rng(seed)
    smooth = ndimage.gaussian_filter(rng.random(shape), 1.2)
    levels = np.searchsorted(np.quantile(smooth, np.linspace(0.3, 0.98, 12)), smooth).astype(np.uint8)
    values, slopes = rng.integers(0, 99, (2, *shape)).astype(np.int32)
    return levels, values, slopes


def described(area, intensity, rim, slope, covariance):
    return (int(area), int(intensity), int(rim), int(slope), *np.round(np.ravel(covariance), 6) + 0.0)


def plain_nodes(levels, values, slopes):
    """Return what each connected region of each level measures, one level after the other."""
    found = set()
    around = ndimage.minimum_filter(levels, 3, mode="nearest")
    for level in range(1, levels.max() + 1):
        regions, count = ndimage.label(levels >= level, np.ones((3,) * levels.ndim))
        for region in range(1, count + 1):
            mask = regions == region
            if not (levels[mask] == level).any():
                continue  # the same pixels as at a higher level
            border = mask & (around < level)
            spread = np.cov(np.argwhere(mask).T, bias=True) + np.eye(levels.ndim) / 12
            found.add(described(mask.sum(), values[mask].sum(), border.sum(), slopes[border].sum(), spread))
    return found


@pytest.mark.parametrize("shape", [(30, 41), (9, 13, 15)])
def test_nodes_are_the_regions_of_every_level(shape):
    for seed in range(3):
        levels, values, slopes = random_levels(shape, seed)
        tree = component_tree(levels, values, slopes)
        spread = tree.covariance(len(shape))
        found = [described(*row) for row in zip(tree.area, tree.intensity, tree.rim, tree.slope, spread, strict=True)]
        assert set(found) == plain_nodes(levels, values, slopes)


def test_parents_hold_their_children():
    levels, values, slopes = random_levels((40, 40), 7)
    tree = component_tree(levels, values, slopes)
    assert (tree.parent < np.arange(len(tree.parent))).all()
    inner = tree.parent >= 0
    assert (tree.level[tree.parent[inner]] < tree.level[inner]).all()
    assert (tree.area[tree.parent[inner]] > tree.area[inner]).all()
    assert np.array_equal(tree.level[tree.node[levels > 0]], levels[levels > 0])
    assert (tree.node[levels == 0] == -1).all()


def best_sum(tree, worth):
    """Return the largest sum of worths of nodes of which none holds another, by recursion."""
    children = {}
    for node, parent in enumerate(tree.parent):
        children.setdefault(int(parent), []).append(node)

    def best(node):
        return max(worth[node], sum(best(child) for child in children.get(node, [])))

    return sum(best(root) for root in children.get(-1, []))


def test_the_choice_is_the_best_there_is():
    for seed in range(5):
        tree = component_tree(*random_levels((16, 17), seed))
        worth = np.random.default_rng(seed).random(len(tree.area))
        worth[::3] = 0
        labels, chosen = chosen_nodes(tree, worth)
        assert worth[chosen].sum() == pytest.approx(best_sum(tree, worth))
        assert np.array_equal(np.bincount(labels.ravel())[1:], tree.area[chosen])
        assert (worth[chosen] > 0).all()


def test_no_pixel_above_the_lowest_level_gives_no_node():
    nothing = np.zeros((4, 5), np.int32)
    tree = component_tree(nothing.astype(np.uint8), nothing, nothing)
    labels, chosen = chosen_nodes(tree, np.zeros(0))
    assert len(tree.area) == 0
    assert len(chosen) == 0
    assert not labels.any()
