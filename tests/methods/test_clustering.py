import numpy as np
import pytest
from skimage import data
from sklearn.cluster import KMeans as SklearnKMeans
from sklearn.mixture import GaussianMixture as SklearnMixture

from segmentry.clustering import first_groups
from segmentry.filters.lab import rgb_to_lab
from segmentry.image import Image
from segmentry.methods.fuzzy_cmeans import FuzzyCMeans
from segmentry.methods.gaussian_mixture import GaussianMixture, fit, grouped, neighbours
from segmentry.methods.kmeans import KMeans
from segmentry.run import run
from segmentry.testing import sample_image

SECTION = Image.from_array(data.immunohistochemistry()[::3, ::3], "YXC")
METHODS = (KMeans, FuzzyCMeans, GaussianMixture)


def lab(image):
    return rgb_to_lab(image.read(), 255).reshape(3, -1).T


def normal_blobs(seed=0):
    """Return points of three normal classes in two dimensions."""
    rng = np.random.default_rng(seed)
    parts = [([0, 0], [[1, 0.5], [0.5, 1]], 600), ([6, 1], [[2, 0], [0, 0.3]], 300), ([2, 7], [[0.4, 0], [0, 2]], 100)]
    return np.concatenate([rng.multivariate_normal(m, c, n) for m, c, n in parts])


@pytest.mark.parametrize(
    ("points", "n"),
    [(normal_blobs(), 3), (data.coins()[::6, ::6].reshape(-1, 1) / 50, 2), (lab(SECTION)[::97] / 10, 2)],
    ids=["blobs", "coins", "section"],
)
def test_a_mixture_is_scikit_learns_from_the_same_start(points, n):
    weights = np.ones(len(points))
    centres, nearest, _ = first_groups(points, weights, n, 0)
    start = grouped(points, weights, centres, nearest, np.zeros((0, 2), np.int64), 1e-4)
    theirs = SklearnMixture(
        n, tol=1e-9, max_iter=500, reg_covar=1e-4, means_init=start.means, weights_init=start.shares,
        precisions_init=np.linalg.inv(start.covariances),
    ).fit(points)  # fmt: skip
    found = fit(points, weights, start, 1e-4, tolerance=1e-9)
    assert found.means == pytest.approx(theirs.means_, abs=1e-3)
    assert found.covariances == pytest.approx(theirs.covariances_, abs=1e-3)
    assert found.shares == pytest.approx(theirs.weights_, abs=1e-4)


def test_probabilities_of_a_mixture_are_scikit_learns():
    image = Image.from_array(data.coins()[::2, ::2])
    found = run(GaussianMixture(), image, probabilities=True)
    ready = found.segmenter
    theirs = SklearnMixture(3)
    theirs.means_, theirs.weights_ = np.array(ready.centres_), np.array(ready.shares_)
    theirs.precisions_cholesky_ = 1 / np.sqrt(np.array(ready.covariances_))
    expected = theirs.predict_proba(image.read().reshape(-1, 1).astype(float)).T
    assert np.asarray(found.result.probabilities).reshape(3, -1) == pytest.approx(expected, abs=1e-4)
    assert np.array_equal(np.asarray(found.result.classes).ravel(), expected.argmax(axis=0))


def test_a_mixture_finds_a_rare_class_that_k_means_splits_the_common_one_for():
    rng = np.random.default_rng(0)
    pixels = rng.normal(100, 10, (100, 100))
    pixels[40:45, 40:45] = rng.normal(180, 4, (5, 5))
    found = {m.name: np.asarray(run(m(n_classes=2), Image.from_array(pixels)).result.classes) for m in METHODS}
    truth = np.zeros(pixels.shape, bool)
    truth[40:45, 40:45] = True
    assert ((found["gaussian_mixture"] > 0) != truth).sum() <= 5
    assert (found["kmeans"] > 0).sum() > 1000


def test_fuzzy_memberships_are_those_of_the_plain_algorithm():
    pixels = data.coins()[::2, ::2]
    found = run(FuzzyCMeans(n_classes=3), Image.from_array(pixels), probabilities=True)
    points = pixels.ravel().astype(float)
    centres = np.quantile(points, [0.2, 0.5, 0.8])
    for _ in range(300):
        squared = np.maximum((points[:, None] - centres) ** 2, 1e-12)
        shares = 1 / squared / (1 / squared).sum(axis=1, keepdims=True)
        centres = (shares**2 * points[:, None]).sum(axis=0) / (shares**2).sum(axis=0)
    assert [c[0] for c in found.segmenter.centres_] == pytest.approx(centres, abs=0.01)
    ours = np.asarray(found.result.probabilities).reshape(3, -1).T
    assert ours == pytest.approx(shares, abs=0.01)


def test_fuzzy_classes_of_little_fuzziness_are_those_of_k_means():
    image = Image.from_array(data.coins())
    hard, soft = (np.asarray(run(m, image).result.classes) for m in (KMeans(), FuzzyCMeans(fuzziness=1.05)))
    assert (hard == soft).mean() > 0.99


def test_k_means_is_as_tight_as_the_best_of_three_of_scikit_learn():
    points = lab(SECTION)
    theirs = SklearnKMeans(6, n_init=3, random_state=0).fit(points)
    assert KMeans(n_classes=6).prepared(SECTION).spread_ < 1.02 * theirs.inertia_ / len(points)


@pytest.mark.parametrize("method", METHODS, ids=lambda m: m.name)
def test_background_is_the_class_that_is_asked_for(method):
    lightness = lab(SECTION)[:, 0]
    found = {b: np.asarray(run(method(background=b), SECTION).result.classes).ravel() for b in ("darkest", "brightest")}
    for choice, classes in found.items():
        means = [lightness[classes == c].mean() for c in range(3)]
        assert np.argmin(means) == 0 if choice == "darkest" else np.argmax(means) == 0


@pytest.mark.parametrize("method", METHODS, ids=lambda m: m.name)
def test_colours_seen_once_give_the_classes_of_all_pixels(method, monkeypatch):
    ready = method().prepared(SECTION)
    whole = ready.segment(SECTION)
    monkeypatch.setattr("segmentry.kernels.clusters.palette", lambda _rows, _most: None)
    again = ready.segment(SECTION)
    assert np.array_equal(whole.classes, again.classes)
    assert np.array_equal(whole.probabilities, again.probabilities)


def test_the_part_of_a_shared_pixel_is_its_probability():
    parts = np.linspace(0.05, 0.95, 19)
    pixels = np.concatenate([np.full(300, 20.0), np.full(100, 120.0), 20 + 100 * parts])[None]
    found = run(GaussianMixture(n_classes=2, partial_volume=True), Image.from_array(pixels), probabilities=True)
    assert np.asarray(found.result.probabilities)[1, 0, 400:] == pytest.approx(parts, abs=0.01)


def test_classes_share_pixels_with_their_neighbours_only():
    assert neighbours(np.array([[5.0], [1.0], [3.0], [9.0]])).tolist() == [[0, 2], [0, 3], [1, 2]]
    assert neighbours(np.array([[0.0, 0], [2, 0], [1, 5]])).tolist() == [[0, 1], [0, 2], [1, 2]]


@pytest.mark.parametrize("method", METHODS, ids=lambda m: m.name)
def test_more_classes_than_intensities_leave_some_empty(method):
    pixels = np.zeros((8, 8), np.uint8)
    pixels[:4] = 9
    found = run(method(n_classes=6), Image.from_array(pixels), probabilities=True).result
    assert len(found.names) == 6
    assert set(np.unique(found.classes)) == {0, 1}
    assert np.asarray(found.probabilities).sum(axis=0) == pytest.approx(1)


def test_all_time_points_have_one_model():
    image = sample_image("TYX")
    found = run(GaussianMixture(n_classes=2), image)
    both = found.segmenter.segment(image.at("T", 1))
    assert np.array_equal(np.asarray(found.result.classes)[1], np.asarray(both.classes))
