import sys

import numpy as np
import pytest

from segmentry.errors import InputError, MissingExtraError
from segmentry.filters.bias_field import BiasField, thinned
from segmentry.image import Grid, Image
from segmentry.kernels.splines import evaluate
from segmentry.methods.otsu import Otsu
from segmentry.run import run

sitk = pytest.importorskip("SimpleITK")


def phantom(shape, seed=0):
    """Return an ellipsoid of three folded materials, its bias, and the noisy product."""
    rng = np.random.default_rng(seed)
    place = [2 * p / (n - 1) - 1 for p, n in zip(np.indices(shape), shape, strict=True)]
    radius = np.sqrt(sum(p**2 for p in place))
    folds = np.prod([np.sin(11 * p + k) for k, p in enumerate(place)], axis=0)
    truth = np.select([radius > 0.95, np.abs(folds) < 0.1, folds > 0], [0.0, 90.0, 180.0], 130.0)
    bias = np.exp(0.25 * place[-1] - 0.2 * place[-2] + 0.15 * place[0] * place[-1])
    return truth, bias, (truth * bias + rng.normal(0, 1.5, shape)).clip(0).astype(np.float32)


def variation(pixels, truth):
    """Return the coefficient of variation within each material."""
    return np.array([pixels[truth == k].std() / pixels[truth == k].mean() for k in (90, 130, 180)])


@pytest.mark.parametrize(("shape", "factor"), [((120, 140), 2.2), ((40, 64, 64), 4)])
def test_each_material_becomes_even(shape, factor):
    truth, _, seen = phantom(shape)
    image = Image.from_array(seen, "ZYX"[-len(shape) :], spacing=(1,) * len(shape), unit="mm")
    corrected = BiasField(shrink=2 if len(shape) == 2 else 4).apply(image).read()
    assert (variation(corrected, truth) < variation(seen, truth) / factor).all()


def test_the_field_is_the_one_that_simpleitk_applies():
    _, _, seen = phantom((24, 40, 48))
    grid = Grid("ZYX", seen.shape, (2.0, 1.0, 1.0), "mm")
    step = BiasField(levels=2).prepared(Image(seen, grid))
    thin = sitk.GetImageFromArray(seen[np.ix_(*thinned(grid, step.shrink))])
    correction = sitk.N4BiasFieldCorrectionImageFilter()
    correction.SetMaximumNumberOfIterations([50, 50])
    correction.Execute(thin, sitk.OtsuThreshold(thin, 0, 1, 200))
    whole = sitk.GetImageFromArray(seen)
    expected = sitk.GetArrayFromImage(correction.GetLogBiasFieldAsImage(whole))
    lattice = np.array(step.fields_[0]).reshape((5,) * 3)
    assert np.ptp(expected) > 0.5
    assert evaluate(lattice, seen.shape, [slice(0, n) for n in seen.shape]) == pytest.approx(expected, abs=2e-4)
    applied = sitk.GetArrayFromImage(whole / sitk.Exp(correction.GetLogBiasFieldAsImage(whole)))
    assert step.apply(Image(seen, grid)).read() == pytest.approx(applied, rel=5e-4)


def test_planes_far_apart_are_not_left_out():
    places = thinned(Grid("ZYX", (40, 256, 256), (4.0, 1.0, 1.0), "mm"), 4)
    assert [len(p) for p in places] == [40, 64, 64]
    assert places[1][0] == 0
    assert places[1][-1] == 255


def test_large_images_are_thinned_more():
    assert np.prod([len(p) for p in thinned(Grid("YX", (20_000, 30_000)), 4)]) <= 2**18


def test_a_threshold_finds_the_whole_object_after_correction():
    truth, bias, _ = phantom((80, 90))
    inside = truth > 100
    seen = ((100 + 60 * inside) * bias).astype(np.float32)

    def share(filters):
        classes = np.asarray(run(Otsu(), Image.from_array(seen), filters=filters).result.classes) > 0
        return (classes & inside).sum() / (classes | inside).sum()

    assert share([]) < 0.9
    assert share([BiasField(shrink=2, mask="all")]) > 0.98


def test_a_series_gets_one_field_and_channels_their_own():
    _, _, seen = phantom((60, 70))
    pixels = np.stack([np.stack([seen, seen[::-1]])] * 2)
    step = BiasField(levels=1).prepared(Image.from_array(pixels, "TCYX"))
    assert len(step.fields_) == 2
    assert step.fields_[0] != step.fields_[1]
    found = step.apply(Image.from_array(pixels, "TCYX")).read()
    assert np.array_equal(found[0], found[1])
    alone = BiasField(levels=1).apply(Image.from_array(seen[::-1].copy())).read()
    assert found[0, 1] == pytest.approx(alone, rel=1e-5)


@pytest.mark.parametrize("pixels", [np.ones((3, 4)), np.full((40, 40), 7), -np.ones((30, 30)) * np.arange(30)])
def test_what_tells_no_bias_is_left_as_it_is(pixels):
    found = BiasField().apply(Image.from_array(pixels))
    assert np.array_equal(found.read(), pixels.astype(np.float32))


def test_a_field_of_a_volume_is_not_for_a_plane():
    step = BiasField(fields_=[[0.0] * 125])
    with pytest.raises(InputError, match="does not have the axes YX"):
        step.apply(Image.from_array(np.ones((9, 9))))


def test_simpleitk_is_asked_for_by_the_name_of_its_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "SimpleITK", None)
    with pytest.raises(MissingExtraError, match=r"segmentry\[medical\]"):
        BiasField().prepared(Image.from_array(phantom((40, 40))[2]))


def test_the_number_of_threads_of_simpleitk_stays_what_it_was():
    before = sitk.ProcessObject.GetGlobalDefaultNumberOfThreads()
    BiasField(levels=1, iterations=2).prepared(Image.from_array(phantom((40, 40))[2]))
    assert sitk.ProcessObject.GetGlobalDefaultNumberOfThreads() == before
