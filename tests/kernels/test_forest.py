import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.ensemble import ExtraTreesClassifier, RandomForestClassifier

from segmentry.errors import InputError
from segmentry.kernels.forest import Forest, Tree

LEAF = np.array([[0, 0], [1, 0], [0, 1]], np.float64)
STUMP = Tree([0, -2, -2], [1.5, 0, 0], [1, -1, -1], [2, -1, -1], LEAF)


def packed(forest):
    trees = (estimator.tree_ for estimator in forest.estimators_)
    return Forest.from_trees(
        [Tree(t.feature, t.threshold, t.children_left, t.children_right, t.value[:, 0]) for t in trees],
        forest.n_features_in_,
    )


def predicted(forest, rows):
    out = np.full((forest.n_classes, len(rows)), np.nan, np.float32)
    forest.predict(np.ascontiguousarray(rows.T, np.float32), out)
    return out.T


def random_tree(rng, n_features, n_classes, n_inner):
    """Return a tree whose nodes stand in any order, the root first."""
    left, right = [-1], [-1]
    for _ in range(n_inner):
        leaf = rng.choice(np.flatnonzero(np.array(left) < 0))
        left[leaf], right[leaf] = len(left), len(left) + 1
        left += [-1, -1]
        right += [-1, -1]
    n = len(left)
    order = np.append(0, rng.permutation(n - 1) + 1)
    place = np.argsort(order)
    left, right = (np.array([place[c] if c >= 0 else -1 for c in np.array(a)[order]]) for a in (left, right))
    return Tree(rng.integers(0, n_features, n), rng.integers(-3, 4, n) / 2, left, right, rng.random((n, n_classes)))


def walked(tree, row, strict):
    node = 0
    while tree.left[node] >= 0:
        value, threshold = row[tree.feature[node]], tree.threshold[node]
        small = value < threshold if strict else value <= threshold
        node = (tree.left if small else tree.right)[node]
    return tree.leaf[node]


@pytest.mark.parametrize("kind", [RandomForestClassifier, ExtraTreesClassifier])
@pytest.mark.parametrize("n_classes", [2, 3, 7])
def test_a_packed_forest_gives_the_probabilities_of_scikit_learn(kind, n_classes):
    rng = np.random.default_rng(n_classes)
    rows = rng.normal(size=(500, 9)).astype(np.float32)
    classes = (rows[:, 0] + rng.normal(size=500) > np.arange(n_classes)[:, None] / 2).sum(axis=0) % n_classes
    forest = kind(20, random_state=1).fit(rows, classes)
    fresh = rng.normal(size=(1003, 9)).astype(np.float32)
    assert np.abs(predicted(packed(forest), fresh) - forest.predict_proba(fresh)).max() < 1e-6


def test_a_threshold_between_two_floats_parts_them_as_in_scikit_learn():
    # Neighbouring floats: their mean is no float32, and rounding it up would move the larger to the left.
    steps = np.float32(0.1) + np.arange(40) * np.spacing(np.float32(0.1))
    rows = np.concatenate([steps, -steps, [0, -0.0]]).astype(np.float32)[:, None]
    classes = np.arange(len(rows)) % 2
    forest = RandomForestClassifier(20, random_state=0).fit(rows, classes)
    assert np.abs(predicted(packed(forest), rows) - forest.predict_proba(rows)).max() < 1e-6


@given(st.integers(0, 2**31), st.booleans(), st.sampled_from([1, 2, 7, 8, 9, 191, 193]))
def test_pixels_end_in_the_leaf_that_a_walk_ends_in(seed, strict, n):
    rng = np.random.default_rng(seed)
    n_features, n_classes = rng.integers(1, 6), rng.integers(1, 5)
    trees = [random_tree(rng, n_features, n_classes, rng.integers(0, 12)) for _ in range(rng.integers(1, 4))]
    rows = (rng.integers(-3, 4, (n, n_features)) / 2).astype(np.float32)
    expected = np.array([sum(walked(tree, row, strict) for tree in trees) for row in rows])
    expected /= expected.sum(axis=1, keepdims=True)
    forest = Forest.from_trees(trees, int(n_features), strict)
    assert np.abs(predicted(forest, rows) - expected).max() < 1e-6


def test_pixels_in_pieces_get_the_same_bits():
    rng = np.random.default_rng(5)
    forest = Forest.from_trees([random_tree(rng, 4, 3, 40) for _ in range(9)], 4)
    rows = rng.normal(size=(700, 4)).astype(np.float32)
    pieces = np.concatenate([predicted(forest, rows[a:b]) for a, b in ((0, 1), (1, 300), (300, 700))])
    assert np.array_equal(predicted(forest, rows), pieces)


def test_a_split_says_what_happens_at_the_threshold():
    at = np.array([[1.5]], np.float32)
    assert predicted(Forest.from_trees([STUMP], 1), at).tolist() == [[1, 0]]
    assert predicted(Forest.from_trees([STUMP], 1, strict=True), at).tolist() == [[0, 1]]


def test_leaves_that_say_nothing_leave_all_classes_equal():
    forest = Forest.from_trees([STUMP._replace(leaf=np.zeros((3, 4)))], 1)
    assert predicted(forest, np.zeros((1, 1), np.float32)).tolist() == [[0.25] * 4]


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"left": [1, 0, -1], "right": [2, 2, -1]}, "reached in two ways"),
        ({"left": [0, -1, -1], "right": [0, -1, -1]}, "reached in two ways"),
        ({"left": [1, -1, -1], "right": [9, -1, -1]}, "a child that there isn't"),
        ({"left": [1, -1, -1], "right": [-1, -1, -1]}, "one child"),
        ({"feature": [1, 0, 0]}, "a feature that there isn't"),
        ({"feature": [-1, 0, 0]}, "a feature that there isn't"),
        ({"threshold": [np.nan, 0, 0]}, "not a number"),
        ({"leaf": -LEAF}, "negative"),
        ({"leaf": np.full((3, 2), np.inf)}, "not finite"),
        ({"leaf": LEAF[:2]}, "don't fit"),
        ({"threshold": [1.0]}, "don't fit"),
        ({"left": [], "right": [], "feature": [], "threshold": [], "leaf": np.zeros((0, 2))}, "don't fit"),
    ],
)
def test_what_is_no_tree_is_refused(changed, said):
    with pytest.raises(InputError, match=said):
        Forest.from_trees([STUMP._replace(**changed)], 1)


def test_what_is_no_forest_is_refused():
    with pytest.raises(InputError, match="one tree at least"):
        Forest.from_trees([], 1)
    with pytest.raises(InputError, match="different numbers of classes"):
        Forest.from_trees([STUMP, STUMP._replace(leaf=np.ones((3, 3)))], 1)
    with pytest.raises(InputError, match="features"):
        Forest.from_trees([STUMP], 2**16 + 1)


def test_a_tree_that_is_a_long_chain_is_refused():
    n = 2 * 2500 + 1
    left, right = np.full(n, -1), np.full(n, -1)
    left[:-1:2], right[:-1:2] = np.arange(1, n, 2), np.arange(2, n, 2)
    with pytest.raises(InputError, match="levels"):
        Forest.from_trees([Tree(np.zeros(n), np.zeros(n), left, right, np.ones((n, 2)))], 1)
