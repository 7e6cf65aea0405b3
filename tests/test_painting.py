import numpy as np
import pytest

from segmentry import painting as module
from segmentry.errors import InputError
from segmentry.features import Feature, FeatureBank
from segmentry.image import Grid, Image
from segmentry.learn.classifier import classifier
from segmentry.methods.pixel_classifier import PixelClassifier
from segmentry.painting import Painting
from segmentry.run import run
from segmentry.testing import sample_image

BANK = FeatureBank((Feature("gaussian_smoothing", 1.0), Feature("hessian_of_gaussian_eigenvalues", 1.6)))


def painted(image, **more):
    """Return a painting with a stroke in the brightest and in the darkest place."""
    work = Painting(image, BANK, names=("background", "cell"), **more)
    bright = image.read().reshape(-1, *work.painted.shape)[0]
    work.stroke([np.unravel_index(bright.argmin(), bright.shape)], 1, radius=1)
    work.stroke([np.unravel_index(bright.argmax(), bright.shape)], 2, radius=1)
    return work


@pytest.mark.parametrize("axes", ["YX", "CYX", "ZYX", "CZYX"])
@pytest.mark.parametrize("learner", ["fast_trees", "random_forest"])
def test_the_view_is_what_the_model_gives_in_a_run(axes, learner, monkeypatch):
    monkeypatch.setattr(module, "TILES", {2: (20, 33), 3: (5, 17, 30)})
    image = sample_image(axes)
    work = painted(image, learner=classifier(learner))
    shown = work.view()
    outcome = run(PixelClassifier.with_model(work.model()), image, probabilities=True, tile=25)
    assert np.array_equal(shown, np.asarray(outcome.result.probabilities))
    part = (slice(3, 9), slice(11, 40), slice(7, 50))[-(shown.ndim - 1) :]
    assert np.array_equal(work.view(part), shown[(slice(None), *part)])


def test_a_stroke_more_changes_the_view_as_if_all_had_been_painted_at_once():
    image = sample_image()
    work = painted(image)
    before = work.view()
    work.stroke([(20, x) for x in range(10, 30)], 3)
    after = work.view()
    assert after.shape == (3, *before.shape[1:])
    assert work.names == ("background", "cell", "class 3")
    other = painted(image)
    other.stroke([(20, x) for x in range(10, 30)], 3)
    assert np.array_equal(other.view(), after)


def test_paint_can_be_taken_away():
    work = painted(sample_image())
    before = work.view()
    work.stroke([(20, 20)], 2, radius=2)
    work.stroke([(20, 20)], 0, radius=2)
    assert np.array_equal(work.view(), before)


def test_features_are_kept_only_as_far_as_memory_allows(monkeypatch):
    monkeypatch.setattr(module, "TILES", {2: (10, 10), 3: (5, 5, 5)})
    work = painted(sample_image(), memory=3 * 3 * 100 * 4)
    free = painted(sample_image())
    assert np.array_equal(work.view(), free.view())
    assert sum(values.nbytes for values in work._tiles.values()) <= 3 * 3 * 100 * 4
    assert len(free._tiles) == 30


def test_what_is_unsure_is_suggested():
    work = painted(sample_image())
    unsure = work.uncertainty()
    assert unsure.min() >= 0
    assert unsure.max() <= 1
    places = work.suggest(3, radius=4)
    assert places.shape == (3, 2)
    assert (np.abs(places[:, None] - places[None]).max(axis=2)[np.triu_indices(3, 1)] > 8).all()
    means = [unsure[max(y - 4, 0) : y + 5, max(x - 4, 0) : x + 5].mean() for y, x in places]
    assert min(means) > unsure.mean()


def test_important_features_come_first():
    rng = np.random.default_rng(0)
    pixels = rng.normal(size=(2, 40, 40)).astype(np.float32)
    pixels[1, :, 20:] += 30
    image = Image(pixels, Grid("CYX", pixels.shape), ("noise", "signal"))
    work = Painting(image, BANK)
    work.stroke([(y, 5) for y in range(40)], 1)
    work.stroke([(y, 30) for y in range(40)], 2)
    found = work.importance()
    assert found.index[0].startswith("signal")
    assert found.sum() == pytest.approx(1)


def test_what_can_not_be_painted_is_told():
    work = Painting(sample_image(), BANK)
    with pytest.raises(InputError, match="nothing was painted"):
        work.view()
    with pytest.raises(InputError, match="must lie in the image"):
        work.stroke([(3, 56)], 1)
    with pytest.raises(InputError, match="class -1"):
        work.stroke([(3, 5)], -1)
    with pytest.raises(InputError, match="one time point"):
        Painting(sample_image("TYX"), BANK)
    work.stroke([(3, 5)], 1)
    with pytest.raises(InputError, match="holds no pixel"):
        work.view((slice(5, 5), slice(0, 9)))
