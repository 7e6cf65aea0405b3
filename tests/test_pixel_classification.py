"""Pixels are told apart as ilastik tells them, the same in tiles as whole, and by what was painted only."""

from pathlib import Path

import numpy as np
import pytest

from segmentry.errors import InputError, ParameterError
from segmentry.features import Feature, FeatureBank
from segmentry.filters.pixel_probability import PixelProbability
from segmentry.image import Image
from segmentry.io import read
from segmentry.learn.classifier import classifier
from segmentry.learn.model_file import Model
from segmentry.methods.pixel_classifier import PixelClassifier
from segmentry.pixel_classification import PixelModel
from segmentry.run import run
from segmentry.strokes import MOST_SAMPLES, Strokes, drawn_places, train_pixels
from segmentry.testing import sample_image
from segmentry.tiling import grow, inside, window_grid
from segmentry.trained_models import load_pixel_model, save_pixel_model
from taught import BANK, NAMES, strokes, taught

ILASTIK = Path(__file__).parents[1].parent / "shared" / "data" / "ilastik"
VOLUMES = FeatureBank((Feature("gaussian_smoothing", 1.6), Feature("hessian_of_gaussian_eigenvalues", 1.0)))
FLAT = FeatureBank((Feature("structure_tensor_eigenvalues", 0.7),), planes=True)


@pytest.mark.parametrize(
    ("project", "recorded"),
    [("PixelClass.ilp", "pc1xyc"), ("2464_PixelClassification_xy_input.ilp", "pc1xy")],
)
def test_probabilities_are_those_of_ilastik(project, recorded):
    if not ILASTIK.exists():
        pytest.skip("../shared/data/ilastik is absent: nothing to compare with")
    image = read(ILASTIK / "Data_1channel.png")
    image = image.channel(0) if "C" in image.grid.axes else image
    found = load_pixel_model(ILASTIK / project).probabilities(image)
    expected = np.moveaxis(np.load(ILASTIK / f"res-Data_1channel_{recorded}.npy"), -1, 0)
    far = np.abs(found - expected.reshape(found.shape)).max(axis=0)
    assert (far > 5e-6).mean() < 5e-4, "only where a feature lies at a threshold, to its last digit, may a tree differ"
    assert far.max() < 0.1
    assert (found.argmax(axis=0) == expected.reshape(found.shape).argmax(axis=0)).mean() > 0.9999


CASES = {
    "plane": ("YX", (VOLUMES,), 1),
    "volume": ("ZYX", (VOLUMES,), 1),
    "volume with features of planes": ("ZYX", (FLAT, VOLUMES), 1),
    "channels": ("CYX", (VOLUMES,), 1),
    "channels of a volume": ("CZYX", (FLAT, VOLUMES), 1),
    "autocontext": ("YX", (VOLUMES,), 2),
    "autocontext, three stages of a volume": ("ZYX", (FLAT, VOLUMES), 3),
    "autocontext of channels": ("CYX", (VOLUMES,), 2),
}


@pytest.mark.parametrize("case", CASES)
def test_any_window_has_the_bits_of_the_whole(case):
    axes, banks, stages = CASES[case]
    model = taught(axes, banks, stages=stages)
    image = sample_image(axes, seed=3, spacing=True)
    whole = model.probabilities(image)
    assert np.allclose(whole.sum(axis=0), 1, atol=1e-6)
    halo, rng = model.halo(image.grid), np.random.default_rng(0)
    for _ in range(6):
        starts = [int(rng.integers(0, n)) for n in image.grid.spatial_shape]
        core = tuple(
            slice(a, int(rng.integers(a + 1, n + 1))) for a, n in zip(starts, image.grid.spatial_shape, strict=True)
        )
        window = grow(core, halo, image.grid.spatial_shape)
        cut = Image(image.window(window).data, window_grid(image.grid, window), image.channels)
        found = model.probabilities(cut)[(slice(None), *inside(core, window))]
        assert np.array_equal(found, whole[(slice(None), *core)])


@pytest.mark.parametrize("axes", ["YX", "TYX", "CYX", "TCYX", "ZYX", "TCZYX"])
def test_a_run_in_tiles_is_the_run_on_the_whole(axes):
    model = taught(axes.replace("T", ""), (FLAT,), stages=2)
    image = sample_image(axes, "u2", seed=5)
    one = run(PixelClassifier.with_model(model), image, probabilities=True)
    for tile, threads in ((19, 2), (7, 1)):
        other = run(PixelClassifier.with_model(model), image, probabilities=True, tile=tile, threads=threads)
        assert np.array_equal(one.result.classes, other.result.classes)
        assert np.array_equal(one.result.probabilities, other.result.probabilities)
        assert np.array_equal(one.instances.labels, other.instances.labels)
    assert one.result.names == NAMES
    view = PixelProbability.with_model(model, of="background").apply(image)
    assert np.array_equal(view.read(), one.result.probabilities[0])


def test_a_model_comes_back_from_its_file_as_it_was(tmp_path):
    model = taught("CZYX", (FLAT, VOLUMES), stages=2)
    image = sample_image("CZYX", seed=1)
    path = save_pixel_model(tmp_path / "m.safetensors", model)
    again = load_pixel_model(path)
    assert np.array_equal(again.probabilities(image), model.probabilities(image))
    assert (again.names, again.channels, again.halo(image.grid)) == (NAMES, image.channels, model.halo(image.grid))
    assert save_pixel_model(tmp_path / "n.safetensors", again).read_bytes() == path.read_bytes()


@pytest.mark.parametrize("kind", ["random_forest", "fast_trees"])
def test_learning_twice_in_one_thread_or_two_gives_one_model(kind, tmp_path, monkeypatch):
    for threads in "12":
        monkeypatch.setenv("SEGMENTRY_NUM_THREADS", threads)
        save_pixel_model(tmp_path / threads, taught(kind=kind, stages=2))
    assert (tmp_path / "1").read_bytes() == (tmp_path / "2").read_bytes()


def test_channels_are_found_by_their_names():
    pair = sample_image("CYX", channels=("DAPI", "actin"))
    only = Image(pair.read()[0], pair.grid.without("C"))
    painted = strokes("CYX", channels=("DAPI", "actin"))[0].classes
    both = train_pixels([Strokes(pair, painted)], (BANK,), classifier("fast_trees", n_trees=4))
    swapped = Image(pair.read()[::-1], pair.grid, ("actin", "DAPI"))
    assert np.array_equal(both.probabilities(swapped), both.probabilities(pair))
    one = train_pixels([Strokes(only, painted, "DAPI")], (BANK,), classifier("fast_trees", n_trees=4))
    assert one.channels == ("DAPI",)
    assert np.array_equal(one.probabilities(swapped), one.probabilities(only))
    seen = PixelProbability.with_model(one).apply(swapped)
    assert seen.grid.axes == "YX"
    assert np.array_equal(seen.read(), one.probabilities(only)[1])
    unnamed = Image(pair.read(), pair.grid)
    assert np.array_equal(both.probabilities(unnamed), both.probabilities(pair)), "names that are made up don't count"


def test_other_images_are_refused_with_what_was_learned_from():
    model = taught("CYX")
    three = Image.from_array(np.zeros((3, 9, 9), np.uint8), "CYX")
    for image, said in [(three, "2 channels .*the image has 3"), (sample_image(), "the image has 1")]:
        with pytest.raises(InputError, match=said):
            run(PixelClassifier.with_model(model), image)
        with pytest.raises(InputError, match=said):
            PixelProbability.with_model(model).apply(image)
    planes, volumes = taught("YX", (VOLUMES,)), taught("ZYX", (VOLUMES,))
    with pytest.raises(InputError, match=r"trained on planes.*planes: true"):
        run(PixelClassifier.with_model(planes), sample_image("ZYX"))
    with pytest.raises(InputError, match="trained on volumes"):
        run(PixelClassifier.with_model(volumes), sample_image("YX"))
    apart = run(PixelClassifier.with_model(planes), sample_image("ZYX"), planes=True)
    assert len(apart.instances)


def test_autocontext_learns_what_only_the_surroundings_tell():
    """Grey bars are class 2 beside black and class 3 beside white; features see 4 pixels far, bars are 15 wide."""
    rng = np.random.default_rng(0)

    def scene(seed):
        kinds = np.random.default_rng(seed).integers(0, 2, 14)
        truth, light = [], []
        for kind in kinds:
            truth += [1] * 5 + [2 + kind] * 15 + [1] * 5 + [4] * 4
            light += [230 if kind else 20] * 5 + [120] * 15 + [230 if kind else 20] * 5 + [60] * 4
        pixels = np.tile(np.array(light, np.float32), (60, 1)) + rng.normal(0, 6, (60, len(light)))
        return Image.from_array(pixels.astype(np.float32)), np.tile(np.array(truth, np.uint32), (60, 1))

    image, truth = scene(1)
    painted = truth * (np.arange(60)[:, None] % 12 == 0)
    bank = FeatureBank((Feature("gaussian_smoothing", 0.7), Feature("gaussian_smoothing", 1.0)))
    new, expected = scene(2)
    right = {}
    for stages in (1, 3):
        model = train_pixels([Strokes(image, painted)], (bank,), classifier(n_trees=30), stages=stages)
        told = model.probabilities(new).argmax(axis=0) + 1
        grey = (expected == 2) | (expected == 3)
        right[stages] = (told[grey] == expected[grey]).mean()
    assert right[3] > right[1] + 0.1, right


def test_of_very_many_painted_pixels_a_draw_is_taken_with_all_classes():
    rng = np.random.default_rng(0)
    image = Image.from_array(rng.integers(0, 255, (500, 600), np.uint8))
    painted = np.ones((500, 600), np.uint32)
    painted[3, 3:40] = 2
    places = drawn_places([Strokes(image, painted)])[0]
    classes = painted[tuple(places.T)]
    assert MOST_SAMPLES <= len(places) <= MOST_SAMPLES + 100
    assert (classes == 2).sum() == 37
    assert np.array_equal(places, drawn_places([Strokes(image, painted)])[0])


def test_strokes_in_a_series_are_those_of_its_time_points():
    series = sample_image("TYX")
    painted = np.zeros(series.grid.shape, np.uint32)
    painted[1, 3, :9] = 1
    found = Strokes.of(series, painted)
    assert len(found) == 1
    assert np.array_equal(found[0].image.read(), series.read()[1])
    assert not Strokes.of(series, np.zeros(series.grid.shape))


@pytest.mark.parametrize(
    ("painted", "said"),
    [
        (np.zeros((5, 6)), r"\(5, 6\) don't fit an image of shape \(48, 56\)"),
        (np.full((48, 56), 0.5), "fractions"),
        (np.full((48, 56), -1), "must not be negative|between 0"),
    ],
)
def test_strokes_that_are_none_are_refused(painted, said):
    with pytest.raises(InputError, match=said):
        Strokes.of(sample_image(), painted)


def test_what_cannot_be_learned_from_is_refused():
    image, few = sample_image(), classifier("fast_trees", n_trees=2)
    painted = np.zeros((48, 56), np.uint32)
    with pytest.raises(InputError, match="nothing to learn from"):
        train_pixels([Strokes(image, painted)])
    painted[2, :4], painted[3, :4] = 1, 300
    with pytest.raises(InputError, match=r"highest class is 300.*not ids of objects"):
        train_pixels([Strokes(image, painted)], (BANK,), few)
    painted[3, :4] = 2
    with pytest.raises(InputError, match="same axes and channels"):
        train_pixels([Strokes(image, painted), strokes("CYX")[0]], (BANK,), few)
    for names in (("a", "a"), ("a", ""), ("a\nb",), ("class 2",)):
        with pytest.raises(ParameterError, match="different names"):
            train_pixels([Strokes(image, painted)], (BANK,), few, names=names)
    for stages in (0, 99):
        with pytest.raises(ParameterError, match="stages"):
            train_pixels([Strokes(image, painted)], (BANK,), few, stages=stages)


@pytest.mark.parametrize("kind", ["random_forest", "fast_trees"])
@pytest.mark.parametrize("stages", [1, 2])
def test_one_class_only_and_classes_without_strokes(kind, stages, tmp_path):
    painted = np.zeros((48, 56), np.uint32)
    painted[2, :9] = 2
    learner = classifier(kind, n_trees=3)
    strange = ("ほかの 'x' \"y\" {z}", "núcleo: 50 %", "never painted")
    model = train_pixels([Strokes(sample_image(), painted)], (BANK,), learner, names=strange, stages=stages)
    again = load_pixel_model(save_pixel_model(tmp_path / "m", model))
    for one in (model, again):
        found = one.probabilities(sample_image(seed=2))
        assert found.shape[0] == 3
        assert (found[1] == 1).all()
    step = PixelClassifier(model=str(tmp_path / "m"), background=strange[2])
    assert run(step, sample_image()).result.names == (strange[2], *strange[:2])


HOSTILE = {
    "no stages": {},
    "stages of nothing": {"stages": None},
    "another number of stages": {"stages": []},
    "no features": {"stages": [{"banks": [], "levels": 1}]},
    "an empty bank": {"stages": [{"banks": [{"features": [], "planes": True, "spacing_aware": False}], "levels": 1}]},
    "unknown": {"stages": [{"banks": [{"features": [["x", 1]], "planes": 1, "spacing_aware": 0}], "levels": 1}]},
    "levels": {"stages": [{"banks": [], "levels": 1e300}]},
    "endless levels": {"stages": [{"banks": [], "levels": "inf"}]},
    "text": "stages",
    "lists": {"stages": [[1, 2]]},
}


@pytest.mark.parametrize("case", HOSTILE)
def test_features_that_make_no_sense_are_one_line(case):
    model = taught().to_model()
    with pytest.raises(InputError, match="can't be understood") as caught:
        PixelModel.from_model(Model(model.classifier, NAMES, HOSTILE[case]))
    assert "\n" not in str(caught.value)


def test_a_model_whose_features_are_not_those_of_its_classifier_is_refused():
    model = taught().to_model()
    told = {"features": [["gaussian_smoothing", 1.0]], "planes": True, "spacing_aware": False}
    wrong = PixelModel.from_model(Model(model.classifier, NAMES, {"stages": [{"banks": [told], "levels": 1}]}))
    with pytest.raises(InputError, match="damaged"):
        wrong.probabilities(sample_image())
    with pytest.raises(InputError, match="tells objects apart, not pixels"):
        PixelModel.from_model(Model(model.classifier, NAMES, model.features, "objects"))
    with pytest.raises(InputError, match="one time point"):
        taught().probabilities(sample_image("TYX"))
