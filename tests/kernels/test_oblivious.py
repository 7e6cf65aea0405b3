import numpy as np
import pytest

from segmentry.kernels.oblivious import grow_trees, packed_tables, predict_trees


def forest(rng, n_trees, depth, n_classes, n_features):
    chosen = rng.integers(0, n_features, (n_trees, depth)).astype(np.int32)
    thresholds = rng.normal(size=(n_trees, depth)).astype(np.float32)
    tables = rng.normal(scale=0.3, size=(n_trees, 1 << depth, n_classes)).astype(np.float32)
    return chosen, thresholds, tables


def predicted(features, chosen, thresholds, tables):
    out = np.full((tables.shape[2], features.shape[1]), np.nan, np.float32)
    predict_trees(features, chosen, thresholds, *packed_tables(tables), out)
    return out


def expected(features, chosen, thresholds, tables):
    scores = np.zeros((tables.shape[2], features.shape[1]))
    for features_of, at, table in zip(chosen, thresholds, tables, strict=True):
        above = features[features_of] > at[:, None]
        leaf = (above << np.arange(len(at))[:, None]).sum(axis=0)
        scores += table[leaf].T
    shares = np.exp(scores - scores.max(axis=0))
    return shares / shares.sum(axis=0)


@pytest.mark.parametrize("n_classes", [2, 3, 4, 7])
@pytest.mark.parametrize("n", [1, 511, 1500])
def test_probabilities_are_those_of_plain_sums(n_classes, n):
    rng = np.random.default_rng(n + n_classes)
    trees = forest(rng, 50, 5, n_classes, 6)
    features = rng.normal(size=(6, n)).astype(np.float32)
    assert np.abs(predicted(features, *trees) - expected(features, *trees)).max() < 2e-4


def test_pixels_in_pieces_get_the_same_bits():
    rng = np.random.default_rng(2)
    trees = forest(rng, 30, 6, 3, 4)
    features = rng.normal(size=(4, 1300)).astype(np.float32)
    pieces = [predicted(np.ascontiguousarray(features[:, a:b]), *trees) for a, b in ((0, 1), (1, 700), (700, 1300))]
    assert np.array_equal(predicted(features, *trees), np.concatenate(pieces, axis=1))


def test_scores_of_any_size_give_probabilities():
    chosen, thresholds = np.zeros((2, 1), np.int32), np.zeros((2, 1), np.float32)
    features = np.array([[-1, 1]], np.float32)
    for size in (0, 1e-30, 1e6):
        tables = np.array([[[0, size], [size, 0]]] * 2, np.float32)
        found = predicted(features, chosen, thresholds, tables)
        assert np.abs(found.sum(axis=0) - 1).max() < 1e-6
        assert np.abs(found - expected(features, chosen, thresholds, tables)).max() < 1e-5


def grown(bins, classes, weights=None, seed=0, n_trees=40, depth=3, shares=(0.6, 0.7)):
    bins = np.asarray(bins, np.uint8)
    tables = np.zeros((n_trees, 1 << depth, int(classes.max()) + 1), np.float32)
    n_bins = bins.max(axis=1).astype(np.int64) + 1
    edges = np.tile(np.arange(bins.max() + 1, dtype=np.float32), (len(bins), 1))
    weights = np.ones(len(classes)) if weights is None else weights
    start = np.zeros(tables.shape[2])
    chosen, cut, gains = grow_trees(bins, n_bins, edges, classes, weights, start, tables, 0.2, 2.0, shares, seed)
    thresholds = np.where(chosen >= 0, cut, np.inf).astype(np.float32)
    return np.maximum(chosen, 0), thresholds, tables, gains


def test_two_features_that_only_tell_classes_apart_together_are_learned():
    rng = np.random.default_rng(1)
    bins = rng.integers(0, 40, (5, 600))
    classes = ((bins[1] > 19) ^ (bins[3] > 19)).astype(np.int64)
    *trees, gains = grown(bins, classes)
    found = predicted(bins.astype(np.float32), *trees)
    assert (found.argmax(axis=0) == classes).mean() > 0.97
    assert gains[[1, 3]].sum() > 0.8 * gains.sum()


def test_the_same_seed_gives_the_same_trees_and_another_gives_others():
    rng = np.random.default_rng(3)
    bins, classes = rng.integers(0, 9, (4, 80)), rng.integers(0, 3, 80)
    one, same, other = grown(bins, classes), grown(bins, classes), grown(bins, classes, seed=1)
    assert all(np.array_equal(a, b) for a, b in zip(one, same, strict=True))
    assert not np.array_equal(one[0], other[0])


def test_where_features_say_nothing_the_shares_of_the_classes_remain():
    classes = np.array([0] * 30 + [1] * 10)
    *trees, gains = grown(np.zeros((2, 40)), classes, n_trees=100)
    assert np.allclose(predicted(np.zeros((2, 1), np.float32), *trees)[:, 0], [0.75, 0.25], atol=0.02)
    assert not gains.any()


def test_samples_of_more_weight_count_more():
    bins, classes = np.zeros((1, 40)), np.array([0] * 30 + [1] * 10)
    weights = np.array([0.4] * 30 + [2.8] * 10)
    *trees, _ = grown(bins, classes, weights, n_trees=100)
    assert np.allclose(predicted(np.zeros((1, 1), np.float32), *trees)[:, 0], [0.3, 0.7], atol=0.02)
