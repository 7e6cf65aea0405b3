import numpy as np
import pytest
from scipy.stats import multivariate_normal
from skimage import data
from sklearn.cluster import KMeans as SklearnKMeans

from segmentry.kernels.clusters import fuzzy_memberships, lloyd, palette
from segmentry.kernels.mixture import posterior


def test_a_palette_holds_every_colour_once_in_order():
    pixels = data.immunohistochemistry()[::5, ::5].reshape(-1, 3).astype(np.float32)
    first, number = palette(pixels, len(pixels))
    assert np.array_equal(pixels[first][number], pixels)
    assert len(first) == len(np.unique(pixels, axis=0))
    assert (np.diff(first) > 0).all()
    assert palette(pixels, len(first) - 1) is None


def test_a_palette_takes_zeros_of_both_signs_for_one():
    first, number = palette(np.array([[0.0], [-0.0], [1.0]], np.float32), 3)
    assert first.tolist() == [0, 2]
    assert number.tolist() == [0, 0, 1]


def test_centres_rest_where_those_of_scikit_learn_do():
    points = data.immunohistochemistry()[::8, ::8].reshape(-1, 3).astype(float)
    start = points[[0, 1000, 2000, 3000]]
    theirs = SklearnKMeans(4, init=start, n_init=1, tol=0, max_iter=300).fit(points)
    centres = start.copy()
    nearest, spread = lloyd(points, np.ones(len(points)), centres, 300)
    assert centres == pytest.approx(theirs.cluster_centers_, abs=1e-9)
    assert np.array_equal(nearest, theirs.labels_)
    assert spread == pytest.approx(theirs.inertia_)


def test_memberships_follow_the_formula_of_bezdek():
    rng = np.random.default_rng(0)
    points, centres = rng.normal(0, 1, (50, 2)), rng.normal(0, 1, (4, 2))
    for fuzziness in (1.5, 2.0, 3.0):
        distance = np.linalg.norm(points[:, None] - centres, axis=-1)
        ratio = (distance[:, :, None] / distance[:, None, :]) ** (2 / (fuzziness - 1))
        nearest, found = fuzzy_memberships(points, centres, fuzziness)
        assert found == pytest.approx(1 / ratio.sum(axis=2).T, rel=1e-5)
        assert np.array_equal(nearest, distance.argmin(axis=1))
    assert fuzzy_memberships(centres, centres, 2.0)[1] == pytest.approx(np.eye(4))


@pytest.mark.parametrize("noise", [0.01, 0.3, 5.0])
def test_shared_pixels_have_the_probability_of_the_integral_over_their_proportions(noise):
    rng = np.random.default_rng(0)
    means = np.array([[0.0, 0.0], [2.0, 1.0]])
    spread = np.array([np.eye(2), [[1.5, 0.2], [0.2, 0.7]]]) * noise**2
    both = spread.mean(axis=0)
    shares = np.array([0.5, 0.3, 0.2])
    points = means[0] + rng.uniform(-0.3, 1.3, (40, 1)) * (means[1] - means[0]) + rng.normal(0, noise / 2, (40, 2))
    parts = (np.arange(20_000) + 0.5) / 20_000
    places = means[0] + parts[:, None] * (means[1] - means[0])
    density = np.array([multivariate_normal(p, both).pdf(places) for p in points])
    pure = np.array([[multivariate_normal(m, c).pdf(p) for m, c in zip(means, spread, strict=True)] for p in points])
    total = (pure * shares[:2]).sum(axis=1) + shares[2] * density.mean(axis=1)
    some = total > 1e-200
    expected = (shares[1] * pure[:, 1] + shares[2] * (density * parts).mean(axis=1))[some] / total[some]
    whitening = np.linalg.inv(np.linalg.cholesky(np.array([*spread, both])))
    level = np.log(shares) + np.log(np.diagonal(whitening, axis1=1, axis2=2)).sum(axis=1)
    steps = (whitening[2] @ (means[1] - means[0]))[None]
    found = posterior(points, means, whitening, level, np.array([[0, 1]]), steps)[1]
    assert found.sum(axis=0) == pytest.approx(1, abs=1e-6)
    assert found[1][some] == pytest.approx(expected, abs=1e-4)
