"""Forests that VIGRA trained and wrote decide as VIGRA does; damaged ones are refused in one line."""

import h5py
import numpy as np
import pytest
from ilastik_projects import SHARED, recorded
from scipy.ndimage import correlate1d

from segmentry.errors import InputError
from segmentry.io.hdf5_values import Place
from segmentry.io.ilastik_project import read_project
from segmentry.io.vigra_forest import read_forest

NAMES = ("eight", "six", "three", "gaps", "unseen", "leaf", "votes")


def walk(forest, samples):
    """Return the probabilities of each class by going from each root to a leaf, added up in VIGRA's precision."""
    votes, total = np.zeros((len(samples), len(forest.labels)), np.float32), np.zeros(len(samples))
    for tree in forest.trees:
        node = np.zeros(len(samples), int)
        while (inner := tree.feature[node] >= 0).any():
            values = samples[np.arange(len(samples)), np.where(inner, tree.feature[node], 0)].astype(float)
            child = np.where(values < tree.threshold[node], tree.left[node], tree.right[node])
            node = np.where(inner, child, node)
        votes += tree.weights[node].astype(np.float32)
        total += tree.weights[node].sum(axis=1)
    votes /= total.astype(np.float32)[:, np.newaxis]
    votes[np.isnan(samples).any(axis=1)] = 0
    return votes


@pytest.fixture
def forest(tmp_path):
    """A forest that may be damaged, and a function that reads it."""
    path = tmp_path / "forest.h5"
    with h5py.File(path, "w") as file:
        with recorded() as source:
            file.copy(source["three/forest"], "forest")
        yield file["forest"], lambda: read_forest(Place(file["forest"], path, "/forest"))


def replaced(group, name, values):
    del group[name]
    group[name] = values


@pytest.mark.parametrize("name", NAMES)
def test_probabilities_are_those_of_vigra(name, tmp_path):
    with recorded() as file:
        forest = read_forest(Place(file[f"{name}/forest"], tmp_path))
        samples, expected = file[f"{name}/samples"][()], file[f"{name}/probabilities"][()]
    assert np.isnan(samples).any()
    np.testing.assert_array_equal(walk(forest, samples), expected)
    assert forest.below_is_left


def test_labels_are_kept_and_children_follow_their_parents(tmp_path):
    labels = {}
    with recorded() as file:
        for name in NAMES:
            forest = read_forest(Place(file[f"{name}/forest"], tmp_path))
            labels[name] = forest.labels
            assert len(forest.trees) == forest.options["tree_count_"]
            for tree in forest.trees:
                inner = np.flatnonzero(tree.feature >= 0)
                assert (tree.left[inner] > inner).all()
                assert (tree.right[inner] > inner).all()
                assert sorted([*tree.left[inner], *tree.right[inner]]) == list(range(1, len(tree.feature)))
                assert not tree.weights[inner].any()
    assert (labels["gaps"], labels["unseen"], labels["leaf"]) == ((1, 3, 7), (1, 2, 3), (5,))


@pytest.mark.parametrize(
    ("place", "value", "said"),
    [
        (4, 2, "lead back"),  # the left child of the root is the root
        (5, 10**6, "outside"),
        (4, -3, "outside"),
        (6, 3, "features that there are not"),
        (6, -1, "features that there are not"),
        (3, 10**6, "without parameters"),
        (2, 1, "hyperplanes"),
        (2, 7, "something unknown"),
        (0, 4, "not \\[3, 3"),
    ],
)
def test_a_damaged_tree_is_refused(forest, place, value, said):
    group, read = forest
    topology = group["Tree_0/topology"][()]
    topology[place] = value
    replaced(group, "Tree_0/topology", topology)
    with pytest.raises(InputError, match=said):
        read()


def test_a_node_below_two_parents_is_refused(forest):
    group, read = forest
    topology = group["Tree_0/topology"][()]
    topology[4] = topology[5]
    replaced(group, "Tree_0/topology", topology)
    with pytest.raises(InputError, match="lead back"):
        read()


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("_ext_param/problem_type_", [0.0], "regression"),
        ("_ext_param/class_count_", [1e12], "up to 10,000"),
        ("_ext_param/class_count_", [np.nan], "finite"),
        ("_ext_param/column_count_", [2.5], "up to"),
        ("_ext_param/labels", [3, 2, 1], "ascending"),
        ("_ext_param/labels", [np.inf, 1, 2], "ascending"),
        ("_options/tree_count_", [7.0], "2 trees but says 7"),
        ("Tree_0/topology", [3.0, 3.0, 0.0, 0.0], "float64"),
        ("Tree_0/topology", [[3, 3], [0, 0]], "1 dimensions"),
        ("Tree_0/topology", [3], "not \\[3, 3"),
        ("Tree_0/parameters", np.full(500, np.nan), "no numbers"),
        ("Tree_0/parameters", np.full(500, -1.0), "no numbers"),
        ("Tree_0/parameters", np.zeros(500), "no numbers"),
        ("Tree_0/parameters", [1.0], "without parameters"),
    ],
)
def test_a_damaged_forest_is_refused(forest, name, value, said):
    group, read = forest
    replaced(group, name, value)
    with pytest.raises(InputError, match=said) as error:
        read()
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["_options", "_ext_param", "Tree_0/topology", "_ext_param/labels", "Tree_1"])
def test_a_forest_that_lacks_something_is_refused(forest, name):
    group, read = forest
    del group[name]
    with pytest.raises(InputError):
        read()


def gaussian(pixels, sigma, window, orders):
    """Filter as ilastik does: kernels cut at a multiple of sigma, mirrored at the edge."""
    for axis, order in enumerate(orders):
        radius = int(window * sigma + 0.5)
        x = np.arange(-radius, radius + 1)
        kernel = np.exp(-0.5 * (x / sigma) ** 2) * (1, x, x**2 / sigma**2 - 1)[order]
        kernel -= kernel.mean() if order == 2 else 0
        kernel /= (kernel * (1, x, x**2 / 2)[order]).sum()
        pixels = correlate1d(pixels, kernel, axis, np.float64, "mirror").astype(np.float32)
    return pixels


def eigenvalues(yy, yx, xx):
    spread = np.sqrt(((yy - xx) / 2) ** 2 + yx**2)
    return [(yy + xx) / 2 + spread, (yy + xx) / 2 - spread]


def planes(pixels, column):
    """Return all results of a filter of ilastik for a flat image."""
    scale = column.scale
    pixels = gaussian(pixels, np.sqrt(scale**2 - 1) if scale > 1 else scale, 3.5, (0, 0))
    sigma = min(scale, 1.0)
    one, two, both = ((1, 0), (0, 1)), ((2, 0), (0, 2)), (2, 0)
    if column.feature == "GaussianSmoothing":
        return [gaussian(pixels, sigma, 2, (0, 0))]
    if column.feature == "DifferenceOfGaussians":
        return [gaussian(pixels, sigma, 2, (0, 0)) - gaussian(pixels, sigma * 0.66, 2, (0, 0))]
    if column.feature == "LaplacianOfGaussian":
        return [sum(gaussian(pixels, sigma, 2, orders) for orders in two)]
    if column.feature == "GaussianGradientMagnitude":
        return [np.hypot(*(gaussian(pixels, sigma, 2, orders) for orders in one))]
    if column.feature == "HessianOfGaussianEigenvalues":
        return eigenvalues(*(gaussian(pixels, sigma, 2, orders) for orders in (both, (1, 1), (0, 2))))
    y, x = (gaussian(pixels, sigma / 2, 2, orders) for orders in one)
    return eigenvalues(*(gaussian(product, sigma, 2, (0, 0)) for product in (y * y, y * x, x * x)))


@pytest.mark.parametrize(
    ("name", "result"),
    [
        ("PixelClass.ilp", "res-Data_1channel_pc1xyc.npy"),
        ("2464_PixelClassification_xy_input.ilp", "res-Data_1channel_pc1xy.npy"),
    ],
)
def test_the_forests_of_a_project_give_the_probabilities_that_ilastik_computed(name, result):
    if not SHARED.is_dir():
        pytest.skip("the shared data sets are not here")
    from PIL import Image

    stage = read_project(SHARED / name).stages[0]
    pixels = np.asarray(Image.open(SHARED / "Data_1channel.png")).astype(np.float32)
    samples = np.stack([planes(pixels, column)[column.plane].ravel() for column in stage.columns], axis=1)
    forests = stage.classifier.forests
    trees = [len(forest.trees) for forest in forests]
    found = sum(n * walk(forest, samples) for n, forest in zip(trees, forests, strict=True)) / sum(trees)
    expected = np.load(SHARED / result).reshape(found.shape)
    assert (abs(found - expected).max(axis=1) > 1e-6).mean() < 1e-3  # where a value lies at a threshold
    assert abs(found - expected).max() < 0.05
