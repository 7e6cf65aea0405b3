import numpy as np
import pytest
from skimage import data
from skimage.feature import multiscale_basic_features
from sklearn.ensemble import RandomForestClassifier

from segmentry.errors import InputError, ParameterError, UnknownNameError
from segmentry.learn import classifier, kinds
from segmentry.learn.random_forest import RandomForest

KINDS = {
    "random_forest": {"n_trees": 20},
    "fast_trees": {},
    "scikit_learn": {"estimator": "LogisticRegression", "options": {"C": 3.0}},
}
ANY = pytest.mark.parametrize("kind", KINDS)


def samples(n=200, n_classes=3, seed=0):
    """Return rows of five features of which two tell the classes apart."""
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(n, 5)).astype(np.float32)
    return rows, (rows[:, 1] > 0).astype(np.int64) + (rows[:, 3] > 0) * (n_classes > 2)


def trained(kind, *given, **options):
    return classifier(kind, **KINDS[kind]).fit(*(given or samples()), **options)


@pytest.fixture(scope="module")
def coins():
    """Return the features of a real image as planes, and which pixels are of coins."""
    pixels = data.coins()[50:290, :].astype(np.float32) / 255
    features = multiscale_basic_features(pixels, sigma_min=1, sigma_max=8)
    return np.ascontiguousarray(features.reshape(-1, features.shape[-1]).T, np.float32), pixels.ravel() > 110 / 255


def test_every_kind_is_known_by_its_name():
    assert list(kinds()) == list(KINDS)
    assert all(kind.name == name and kind.summary() for name, kind in kinds().items())
    for kind in kinds().values():
        assert all(p.description for p in kind.parameters())
    with pytest.raises(UnknownNameError, match="did you mean 'random_forest'"):
        classifier("random_forrest")
    with pytest.raises(ParameterError, match="n_trees"):
        classifier("fast_trees", n_trees=0)
    with pytest.raises(ParameterError, match="did you mean 'depth'"):
        classifier("fast_trees", dept=3)


@ANY
def test_probabilities_sum_to_one_and_find_the_classes(kind):
    rows, classes = samples(seed=1)
    found = trained(kind).predict(np.ascontiguousarray(rows.T))
    assert found.shape == (3, 200)
    assert found.dtype == np.float32
    assert np.abs(found.sum(axis=0) - 1).max() < 1e-6
    assert found.min() >= 0
    assert (found.argmax(axis=0) == classes).mean() > 0.7


@ANY
def test_a_seed_gives_one_result_whatever_the_threads(kind, monkeypatch):
    rows, classes = samples()
    planes = np.ascontiguousarray(rows.T)
    monkeypatch.setenv("SEGMENTRY_NUM_THREADS", "1")
    one = trained(kind, rows, classes, seed=4).predict(planes)
    monkeypatch.setenv("SEGMENTRY_NUM_THREADS", "2")
    assert np.array_equal(one, trained(kind, rows, classes, seed=4).predict(planes))
    if kind != "scikit_learn":
        assert not np.array_equal(one, trained(kind, rows, classes, seed=5).predict(planes))


@ANY
def test_planes_in_pieces_or_of_another_type_give_the_same(kind):
    rows, _ = samples(300, seed=2)
    made = trained(kind)
    whole = made.predict(np.ascontiguousarray(rows.T))
    out = np.full((3, 600), np.nan, np.float32)
    assert made.predict(rows.T, out[:, ::2]) is not None
    assert np.array_equal(out[:, ::2], whole)
    assert np.array_equal(made.predict(rows.T.astype(np.float64)), whole)
    assert np.array_equal(np.hstack([made.predict(rows[:7].T), made.predict(rows[7:].T)]), whole)


@ANY
def test_fitting_gives_a_fresh_copy(kind):
    rows, classes = samples()
    empty = classifier(kind, **KINDS[kind])
    one = empty.fit(rows, classes)
    before = one.predict(rows.T)
    one.fit(rows, 2 - classes)
    assert np.array_equal(one.predict(rows.T), before)
    with pytest.raises(InputError, match="learned nothing yet"):
        empty.predict(rows.T)


@ANY
def test_classes_without_samples_have_no_probability(kind):
    rows, classes = samples(n_classes=2)
    found = trained(kind, rows, classes * 2 + 1, n_classes=5).predict(rows.T)
    assert found.shape[0] == 5
    assert not found[[0, 2, 4]].any()
    assert ((found[3] > 0.5) == classes).mean() > 0.9
    only = trained(kind, rows, np.full(len(rows), 2), n_classes=4)
    assert only.predict(rows.T).tolist() == np.eye(4)[[2] * len(rows)].T.tolist()
    assert not only.importance.any()


@ANY
def test_what_matters_is_important(kind):
    importance = trained(kind).importance
    assert importance.sum() == pytest.approx(1)
    assert set(np.argsort(importance)[-2:]) == {1, 3}


@ANY
def test_weights_count(kind):
    rows, classes = np.zeros((40, 2), np.float32), np.array([0] * 30 + [1] * 10)
    found = trained(kind, rows, classes, np.where(classes, 6.0, 1.0)).predict(rows.T)
    assert found[1, 0] > 0.55
    assert trained(kind, rows, classes).predict(rows.T)[1, 0] < 0.35
    # What counts nothing might as well not be there.
    one = trained(kind, np.vstack([rows, rows + 1]), np.append(classes, classes), np.repeat([1.0, 0.0], 40))
    assert np.array_equal(one.predict(rows.T), trained(kind, rows, classes).predict(rows.T))


@ANY
def test_arrays_and_settings_make_the_same_classifier(kind):
    rows, classes = samples()
    for made in (trained(kind), trained(kind, rows, classes * 2), trained(kind, rows, classes, np.arange(1.0, 201))):
        again = type(made).from_arrays(made.arrays(), made.settings())
        assert np.array_equal(made.predict(rows.T), again.predict(rows.T))
        assert np.array_equal(made.importance, again.importance)
        assert (again.n_classes, again.n_features) == (made.n_classes, 5)


@ANY
@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"features": np.zeros(3)}, "rows of features"),
        ({"features": np.zeros((0, 5))}, "rows of features"),
        ({"features": np.full((200, 5), np.nan)}, "not finite"),
        ({"features": np.full((200, 5), 1e300)}, "not finite"),
        ({"features": np.full((200, 5), "a")}, "must be numbers"),
        ({"classes": np.zeros(200)}, "classes whole"),
        ({"classes": np.full(200, -1)}, "expected 0 to"),
        ({"n_classes": 2}, "expected 0 to 1"),
        ({"weights": np.zeros(200)}, "not all 0"),
        ({"weights": np.ones(3)}, "for each sample"),
        ({"seed": -1}, "seed"),
    ],
)
def test_samples_that_make_no_sense_are_refused(kind, change, said):
    rows, classes = samples()
    with pytest.raises((InputError, ParameterError), match=said):
        classifier(kind, **KINDS[kind]).fit(**({"features": rows, "classes": classes} | change))


def test_pixels_that_do_not_fit_are_refused():
    made = trained("fast_trees")
    with pytest.raises(InputError, match="learned from 5 features"):
        made.predict(np.zeros((4, 10), np.float32))
    with pytest.raises(InputError, match="out must be"):
        made.predict(np.zeros((5, 10), np.float32), np.zeros((3, 9), np.float32))


def test_the_forest_is_that_of_scikit_learn(coins):
    planes, truth = coins
    chosen = np.random.default_rng(0).choice(truth.size, 600, replace=False)
    ours = RandomForest().fit(planes[:, chosen].T, truth[chosen], seed=3)
    theirs = RandomForestClassifier(100, random_state=3).fit(planes[:, chosen].T, truth[chosen])
    some = np.ascontiguousarray(planes[:, ::7])
    assert np.abs(ours.predict(some).T - theirs.predict_proba(some.T)).max() < 1e-6
    assert np.allclose(ours.importance, theirs.feature_importances_)


@pytest.mark.parametrize("n", [50, 1000])
def test_fast_trees_are_as_accurate_as_the_forest(coins, n):
    planes, _ = coins
    # Coins by what is around them, not by brightness alone: the truth is a smoothed image that no feature holds.
    smooth = planes[0].reshape(240, -1)
    truth = ((smooth > 0.45) ^ (np.roll(smooth, 2, axis=1) > 0.5)).ravel()
    some, scores = np.arange(0, truth.size, 23), {"random_forest": [], "fast_trees": []}
    for seed in range(2):
        rng = np.random.default_rng(seed)
        chosen = np.concatenate([rng.choice(np.flatnonzero(truth == c), n // 2, replace=False) for c in (0, 1)])
        for kind, found in scores.items():
            made = classifier(kind).fit(planes[:, chosen].T, truth[chosen], seed=seed)
            found.append((made.predict(planes[:, some]).argmax(axis=0) == truth[some]).mean())
    assert np.mean(scores["fast_trees"]) > np.mean(scores["random_forest"]) - 0.01


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ({"estimator": "Pipeline"}, "no classifier 'Pipeline'"),
        ({"estimator": "LinearRegression"}, "did you mean 'LogisticRegression'"),
        ({"estimator": "os.system"}, "no classifier"),
        ({"estimator": "VotingClassifier"}, "made of others"),
        ({"estimator": "SVC", "options": {"c": 1}}, "did you mean 'C'"),
        ({"estimator": "SVC", "options": {"random_state": 1}}, "takes no"),
        ({"estimator": "RandomForestClassifier", "options": {"n_estimators": 10**9}}, "at most"),
    ],
)
def test_only_classifiers_of_scikit_learn_are_taken(parameters, said):
    with pytest.raises(ParameterError, match=said):
        classifier("scikit_learn", **parameters)


@pytest.mark.parametrize("name", ["RidgeClassifier", "GaussianNB", "ExtraTreesClassifier", "KNeighborsClassifier"])
def test_classifiers_of_scikit_learn_work_with_or_without_probabilities(name):
    rows, classes = samples()
    made = classifier("scikit_learn", estimator=name).fit(rows, classes)
    found = made.predict(rows.T)
    assert np.abs(found.sum(axis=0) - 1).max() < 1e-6
    assert (found.argmax(axis=0) == classes).mean() > 0.5
    again = type(made).from_arrays(made.arrays(), made.settings())
    assert np.array_equal(again.predict(rows.T), found)


def test_a_complaint_of_scikit_learn_is_one_line():
    with pytest.raises(InputError, match="can't learn from these") as caught:
        classifier("scikit_learn", estimator="SVC", options={"kernel": "zz"}).fit(*samples())
    assert "\n" not in str(caught.value)
    with pytest.raises(InputError, match="knows no weights"):
        classifier("scikit_learn", estimator="KNeighborsClassifier").fit(*samples(), np.arange(200))
