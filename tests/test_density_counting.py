import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy.ndimage import center_of_mass, gaussian_filter

from segmentry import Recipe
from segmentry.analysis.density_counting import DensityCounting
from segmentry.counting import dots_of_table
from segmentry.density_counting import DensityModel, train_density
from segmentry.dots import Dots, blocks_of
from segmentry.errors import InputError, ParameterError
from segmentry.features import Feature, FeatureBank
from segmentry.image import Grid, Image
from segmentry.learn.model_file import load_model, save_model
from segmentry.learn.random_forest import RandomForest
from segmentry.result import Instances
from segmentry.simulation import simulate_nuclei
from segmentry.tiling import cores, grow, inside, window_grid
from segmentry.trained import file_sha256
from segmentry.trained_models import load_density_model, load_pixel_model, save_density_model

BANK = FeatureBank(tuple(Feature("gaussian_smoothing", s) for s in (1.0, 2.0, 3.5)))
ERRORS = {"ratio": 1, "dispersion": 1, "spread": 0, "objects": 9.5, "share": 1, "blocks": 3, "images": 0}
QUICK = {"forest": RandomForest(n_trees=8, min_samples=2), "sigma": 2.0}


def simulated(shape=(72, 80), seed=0, density=0.25, radius=5.0, **more):
    image, truth = simulate_nuclei(shape, seed, density=density, radius=radius, **more)
    labels = np.asarray(truth.labels[...])
    return image, np.reshape(center_of_mass(labels > 0, labels, truth.ids), (-1, len(shape)))


@pytest.fixture(scope="module")
def model():
    examples = [Dots.at(*simulated(seed=i, density=0.1 + 0.05 * i)) for i in range(6)]
    return train_density(examples, [BANK], **QUICK)


def test_counts_are_near_the_truth_and_the_interval_holds_it(model):
    held = []
    for seed in range(50, 62):
        image, places = simulated((100, 120), seed, density=0.1 + 0.02 * (seed - 50))
        found = model.count(image)
        assert abs(found.number - len(places)) <= max(4, 0.3 * len(places))
        held.append(found.low <= len(places) <= found.high)
    assert sum(held) >= 10
    empty, _ = simulated(seed=3, density=0)
    assert model.count(empty).number < 1
    assert model.count(empty).low == 0


def test_a_volume_is_counted():
    spacing = (2.0, 1.0, 1.0)
    examples = [Dots.at(*simulated((12, 40, 40), i, spacing=spacing)) for i in range(3)]
    bank = FeatureBank((*BANK.features[1:], Feature("hessian_of_gaussian_eigenvalues", 1.6)))
    model = train_density(examples, [bank], **QUICK)
    image, places = simulated((12, 48, 40), 9, spacing=spacing)
    assert model.count(image).number == pytest.approx(len(places), abs=5)
    with pytest.raises(InputError, match=r"trained on volumes"):
        model.count(Image.from_array(np.zeros((30, 30), np.float32)))


def test_the_density_sums_to_the_number_of_dots():
    area = np.zeros((40, 50), bool)
    area[:, 10:40] = True
    area[15:20, 20:25] = False
    places = np.array([[0, 10], [39, 39], [14, 22], [30, 20], [5, 2]])
    image = Image.from_array(np.zeros((40, 50), np.float32))
    known, density = Dots(image, places, area=area).lesson(2.5)
    assert density[area].sum() == pytest.approx(4, rel=1e-6)
    assert known[area].all()
    assert known[5, 2]
    assert not known[30, 2]
    whole = Dots(image, places).lesson(1.0)[1]
    assert whole.sum() == pytest.approx(5, rel=1e-6)
    alone = np.zeros((40, 50))
    alone[30, 20] = 1
    expected = gaussian_filter(alone, 1.0, truncate=2.5)
    assert np.allclose(whole[25:36, 15:26], expected[25:36, 15:26], atol=1e-7)


def test_a_dot_is_as_wide_in_space_as_it_says():
    grid = Grid("ZYX", (9, 40, 40), (3.0, 1.0, 1.0), "um")
    image = Image(np.zeros(grid.shape, np.float32), grid)
    _, density = Dots(image, np.array([[4, 20, 20]])).lesson(3.0)
    assert density.sum() == pytest.approx(1, rel=1e-6)
    # One plane is as far as three pixels.
    assert density[5, 20, 20] == pytest.approx(density[4, 23, 20], rel=1e-5)


def test_painted_dots_background_and_areas():
    image = Image.from_array(np.zeros((30, 30), np.float32))
    marks = np.zeros((30, 30), np.uint8)
    marks[4:7, 4:7] = 1
    marks[20, 20] = 1
    every = Dots.painted(image, marks)
    assert every.places.tolist() == [[5, 5], [20, 20]]
    assert every.background is None
    assert every.lesson(2.0)[0].all()
    marks[15:26, 15:26] = 3
    marks[20, 20] = 1
    marks[0] = 2
    some = Dots.painted(image, marks)
    assert some.area.sum() == 121
    known, density = some.lesson(1.0)
    assert known[0].all()
    assert density[0].max() == 0
    assert not known[10, 20]
    assert density[15:26, 15:26].sum() == pytest.approx(1, rel=1e-6)
    with pytest.raises(InputError, match=r"also 255"):
        Dots.painted(image, (marks == 1) * 255)
    with pytest.raises(InputError, match=r"don't fit"):
        Dots.painted(image, marks[1:])


def test_a_few_dots_and_strokes_are_enough():
    image, places = simulated((128, 128), 4, density=0.2)
    truth = np.zeros((128, 128), np.uint8)
    truth[tuple(np.rint(places[places[:, 1] < 64]).astype(int).T)] = 1
    background = gaussian_filter(image.read().astype(float), 4) < 250
    marks = np.where(background & (np.arange(128) < 64), 2, truth)
    marks[truth > 0] = 1
    model = train_density([Dots.painted(image, marks)], [BANK], **QUICK)
    other, there = simulated((128, 128), 5, density=0.2)
    assert model.count(other).number == pytest.approx(len(there), rel=0.35)


def test_tiles_and_regions_give_the_same_numbers(model, monkeypatch):
    image, _ = simulated((120, 130), 8)
    whole = model.density(image)
    for core in cores((120, 130), (50, 61)):
        window = grow(core, model.halo(image.grid), (120, 130))
        cut = replace(image.window(window), grid=window_grid(image.grid, window))
        assert np.array_equal(model.density(cut)[inside(core, window)], whole[core])
    total = model.count(image)
    monkeypatch.setattr("segmentry.tiling.TILE_PIXELS", 3000)
    assert model.count(image) == total
    left, right = (model.count(image, (slice(None), part)).number for part in (slice(0, 37), slice(37, None)))
    assert left + right == total.number
    mask = np.zeros((120, 130), bool)
    mask[:, :37] = True
    assert model.count(image, mask).number == left
    assert model.count(image, (slice(5, 5), slice(None))).number == 0
    assert total.number == pytest.approx(whole.sum(dtype=np.float64), rel=1e-5)


def test_training_gives_the_same_twice_in_one_thread_or_two(monkeypatch):
    examples = [Dots.at(*simulated(seed=i)) for i in range(3)]
    image, _ = simulated(seed=7)
    found = []
    for threads in ("1", "2"):
        monkeypatch.setenv("SEGMENTRY_NUM_THREADS", threads)
        found.append(train_density(examples, [BANK], **QUICK))
    assert np.array_equal(found[0].density(image), found[1].density(image))
    assert found[0].errors == found[1].errors


def test_a_model_comes_back_as_it_was(model, tmp_path):
    path = save_density_model(tmp_path / "m.safetensors", model)
    again = load_density_model(path, file_sha256(path))
    image, _ = simulated(seed=8)
    assert again.count(image) == model.count(image)
    assert np.array_equal(again.density(image), model.density(image))
    assert (again.sigma, again.peak, again.errors) == (model.sigma, model.peak, model.errors)
    assert again.scores == model.scores
    assert again.provenance == model.provenance
    with pytest.raises(InputError, match=r"another than the recipe means"):
        load_density_model(path, "0" * 64)
    with pytest.raises(InputError, match=r"density"):
        load_pixel_model(path)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"peak": -1}, "peak"),
        ({"peak": "much"}, "peak"),
        ({"sigma": 1e300}, "sigma"),
        ({"errors": {}}, "errors of a count"),
        ({"errors": {**ERRORS, "ratio": 0}}, "ratio"),
        ({"errors": {**ERRORS, "dispersion": [1]}}, "dispersion"),
        ({"errors": {**ERRORS, "objects": 0}}, "objects"),
        ({"errors": {**ERRORS, "blocks": 2.5}}, "blocks"),
        ({"errors": {**ERRORS, "spread": 10**400}}, "spread"),
        (None, "does not say"),
    ],
)
def test_a_hostile_file_is_refused_in_one_line(model, changed, said, tmp_path):
    content = model.to_model()
    density = None if changed is None else {**content.features["density"], **changed}
    path = save_model(tmp_path / "m", replace(content, features={**content.features, "density": density}))
    with pytest.raises(InputError, match=said) as caught:
        load_density_model(path)
    assert "\n" not in str(caught.value)
    save_model(path, replace(model.pixels.to_model()), overwrite=True)
    with pytest.raises(InputError, match=r"does not count"):
        DensityModel.from_model(load_model(path))


def test_what_can_not_be_learned_from_is_refused():
    image, places = simulated()
    with pytest.raises(InputError, match=r"nothing to learn from"):
        train_density([Dots.at(image, [])], [BANK])
    with pytest.raises(InputError, match=r"nothing to learn from"):
        train_density([])
    with pytest.raises(InputError, match=r"outside"):
        Dots.at(image, places + 60)
    with pytest.raises(InputError, match=r"finite"):
        Dots.at(image, places * np.nan)
    with pytest.raises(ParameterError, match=r"sigma"):
        train_density([Dots.at(image, places)], sigma=0)
    colours = Image.from_array(np.stack([image.read()] * 2), "CYX", channels=("one", "two"))
    with pytest.raises(InputError, match=r"same axes and channels"):
        train_density([Dots.at(image, places), Dots.at(colours, places)], [BANK])


def test_other_channels_are_refused_and_known_ones_found(model):
    image, places = simulated(seed=8)
    noise = np.random.default_rng(0).integers(0, 3000, image.grid.shape, np.uint16)
    both = Image.from_array(np.stack([noise, image.read()]), "CYX", channels=("actin", "DNA"))
    with pytest.raises(InputError, match=r"1 channel.*has 2"):
        model.count(both)
    named = train_density([Dots.at(image, places, "DNA")], [BANK], **QUICK)
    assert named.count(both) == named.count(image)


def test_one_block_says_nothing_of_errors():
    image, _ = simulated((20, 20))
    found = train_density([Dots.at(image, [[10, 10]])], [BANK], **QUICK).count(image)
    assert np.isnan([found.low, found.high]).all()
    assert len(np.unique(blocks_of(Grid("YX", (20, 20)), 2.0))) == 1


def test_dots_of_tables_by_any_of_their_names():
    image = Image.from_array(np.zeros((2, 4, 20, 30)), "TZYX")
    told = {"time": [0, 1, 1], "z": [0, 3, 1], "y": [1.2, 5, 19], "x": [29, 0, 3]}
    expected = [[[0, 1, 29]], [[3, 5, 0], [1, 19, 3]]]
    imagej = {"Frame": told["time"], "Slice": [1, 4, 2], "X": told["x"], "Y": told["y"]}
    napari = {"index": [0, 1, 2], **{f"axis-{i}": values for i, values in enumerate(told.values())}}
    for columns in (told, imagej, napari):
        assert [one.places.tolist() for one in dots_of_table(pd.DataFrame(columns), image)] == expected
    for wrong, said in (({"y": [1]}, "column"), ({**told, "x": ["a"] * 3}, "no number"), ({**told, "time": 7}, "time")):
        with pytest.raises(InputError, match=said):
            dots_of_table(pd.DataFrame(wrong), image)


def test_the_analysis_counts_per_time_point_and_within_objects(model, tmp_path):
    frames = [simulated(seed=i)[0].read() for i in (20, 21)]
    series = Image.from_array(np.stack(frames), "TYX")
    counts = [model.count(Image.from_array(frame)).number for frame in frames]
    path = save_density_model(tmp_path / "m.safetensors", model)
    table = DensityCounting(model=str(path)).analyse(None, series)
    assert table["count"].tolist() == counts
    assert table["time"].tolist() == [0, 1]
    labels = np.zeros(series.grid.shape, np.uint32)
    labels[:, :, :30], labels[1, :, 30:] = 7, 900
    regions = Instances.from_labels(labels, series.grid)
    table = DensityCounting.with_model(model, by="object").analyse(regions, series)
    assert list(zip(table["id"], table["time"], strict=True)) == [(7, 0), (7, 1), (900, 1)]
    assert table["count"][1:].sum() == pytest.approx(counts[1])
    assert (table["low"] <= table["count"]).all()
    with pytest.raises(InputError, match=r"give the image"):
        DensityCounting(model=str(path)).analyse(regions, None)
    with pytest.raises(ParameterError, match=re.escape("segmentry train density_counting")):
        DensityCounting().analyse(regions, series)


def test_a_recipe_filters_with_the_density(model, tmp_path):
    path = save_density_model(tmp_path / "m.safetensors", model)
    image, _ = simulated(seed=20)
    recipe = Recipe.from_dict({"segmentry": 1, "filters": [{"density": {"model": str(path)}}], "method": "watershed"})
    found = recipe.run(image)
    assert np.array_equal(np.asarray(found.filtered.read()), model.density(image))
    assert found.filters[0].sha256_ == file_sha256(path)
