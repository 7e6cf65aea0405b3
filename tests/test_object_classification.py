import numpy as np
import pandas as pd
import pytest

from segmentry.errors import InputError, OutputError, ParameterError, UnknownNameError
from segmentry.image import Grid, Image
from segmentry.learn import Model, classifier, load_model, save_model
from segmentry.object_classification import ObjectClassifier, ObjectModel, suggest
from segmentry.result import Instances

STEP = 12


def discs(ndim=2, seed=0, count=5, spacing=None, unit="um"):
    """Return balls on a lattice, large and small, and for each whether it is large."""
    rng = np.random.default_rng(seed)
    centres = np.stack(np.meshgrid(*[np.arange(count) * STEP + STEP // 2] * ndim, indexing="ij"), -1).reshape(-1, ndim)
    large = rng.permutation(np.arange(len(centres)) % 2 == 0)
    labels = np.zeros((count * STEP,) * ndim, np.uint32)
    places = np.moveaxis(np.indices(labels.shape), 0, -1)
    for i, (centre, big) in enumerate(zip(centres, large, strict=True), 1):
        radius = rng.uniform(3.6, 5) if big else rng.uniform(1.4, 2.6)
        labels[((places - centre) ** 2).sum(-1) <= radius**2] = i
    grid = Grid("ZYX"[3 - ndim :], labels.shape, spacing, unit if spacing else None)
    return Instances.from_labels(labels, grid), large


def picture(instances, bright, seed=0, channels=()):
    """Return an image in which some objects have fine grain and the others coarse, once per channel."""
    rng = np.random.default_rng(seed)
    shape = instances.grid.shape
    coarse = np.kron(rng.normal(size=[n // 4 for n in shape]), np.ones((4,) * len(shape)))
    fine = rng.normal(size=shape)
    pick = np.append(False, bright)[instances.labels]
    pixels = (100 + 20 * np.where(pick, fine, coarse)).astype(np.float32)
    if not channels:
        return Image(pixels, instances.grid)
    flat = np.full(shape, 50, np.float32) + fine.astype(np.float32)
    data = np.stack([pixels, *[flat] * (len(channels) - 1)])
    return Image(data, instances.grid.with_axis("C", len(channels)), channels)


def named(kinds, ids, yes="large", no="small"):
    return {int(i): yes if kinds[i - 1] else no for i in ids}


def fitted(ids=range(1, 11), **settings):
    instances, large = discs()
    return ObjectClassifier(**settings).fit([(instances, None, named(large, ids))])


def right(model, instances, kinds, image=None, yes="large"):
    return ((model.predict(instances, image)["class"] == yes) == kinds).mean()


@pytest.mark.parametrize("kind", ["random_forest", "fast_trees"])
def test_kinds_by_size_are_found_in_another_image(kind):
    model = fitted(classifier=kind, ids=range(1, 21))
    instances, large = discs(seed=1)
    table = model.predict(instances)
    assert right(model, instances, large) == 1
    assert table["id"].tolist() == instances.ids.tolist()
    shares = table[["probability_large", "probability_small"]].to_numpy()
    assert shares.sum(axis=1) == pytest.approx(1)
    assert table["probability"].tolist() == shares.max(axis=1).tolist()
    found = model.classify(instances)
    assert found.names == ("background", "large", "small")
    assert (found.classes == 1).tolist() == large.tolist()
    assert found.labels is instances.labels
    assert found.scores is None


def test_volumes_texture_and_time():
    volume, large = discs(3, count=3, spacing=(2.0, 0.5, 0.5))
    other, held = discs(3, seed=1, count=3, spacing=(2.0, 0.5, 0.5))
    model = ObjectClassifier().fit([(volume, None, named(large, range(1, 15)))])
    assert right(model, other, held) == 1
    instances, _ = discs()
    grain = np.arange(25) % 3 == 0
    clicked = named(grain, range(1, 13), "fine", "coarse")
    model = ObjectClassifier(properties=["texture"]).fit([(instances, picture(instances, grain), clicked)])
    labels, kinds = discs(seed=2)
    assert right(model, labels, kinds, picture(labels, kinds, 3), "fine") > 0.9
    movie = np.stack([labels.labels, labels.labels])
    pixels = np.stack([picture(labels, k, 4).read() for k in (kinds, ~kinds)])
    series = Instances.from_labels(movie, Grid("TYX", movie.shape))
    table = model.predict(series, Image(pixels, series.grid))
    assert table["time"].tolist() == [0] * 25 + [1] * 25
    assert ((table["class"] == "fine") == [*kinds, *~kinds]).mean() > 0.9
    mean = table.groupby("id")["probability_fine"].mean().to_numpy()
    classes = model.classify(series, Image(pixels, series.grid)).classes
    assert (classes == np.where(mean > 0.5, 2, 1))[mean != 0.5].all()


def test_the_same_in_any_number_of_threads_and_for_any_order_of_the_examples(monkeypatch):
    instances, _ = discs(seed=5)
    found = []
    for threads, order in (("1", range(1, 11)), ("2", range(10, 0, -1)), ("2", range(1, 11))):
        monkeypatch.setenv("SEGMENTRY_NUM_THREADS", threads)
        found.append(fitted(order).predict(instances))
    pd.testing.assert_frame_equal(found[0], found[1], check_exact=True)
    pd.testing.assert_frame_equal(found[0], found[2], check_exact=True)
    assert not found[0].equals(fitted(seed=1).predict(instances))


def test_one_example_of_each_class_is_enough_and_one_class_is_not():
    instances, large = discs()
    one, two = int(np.flatnonzero(large)[0]) + 1, int(np.flatnonzero(~large)[0]) + 1
    model = fitted([one, two], properties=["size", "outline"])
    assert model.predict(instances).set_index("id")["class"][[one, two]].tolist() == ["large", "small"]
    assert right(model, instances, large) > 0.8
    with pytest.raises(InputError, match=r"all examples are large: .* two or more"):
        fitted([one])


@pytest.mark.parametrize("clicked", [{99: "a", 1: "b"}, {0: "a", 1: "b"}, {-1: "a", 1: "b"}])
def test_ids_that_do_not_exist_are_refused(clicked):
    with pytest.raises(InputError, match=r"no object (99|0|-1) among the labels \(25 objects with ids up to 25\)"):
        ObjectClassifier().fit([(discs()[0], None, clicked)])


def test_examples_and_settings_that_say_nothing_are_refused():
    instances, _ = discs()
    for examples in ([], [(instances, None, {})]):
        with pytest.raises(InputError, match="no examples"):
            ObjectClassifier().fit(examples)
    with pytest.raises(InputError, match="background is what is no object"):
        ObjectClassifier().fit([(instances, None, {1: "background", 2: "a"})])
    with pytest.raises(InputError, match="must be a text; got 3"):
        ObjectClassifier().fit([(instances, None, {1: 3, 2: "a"})])
    with pytest.raises(InputError, match=r"nothing is measured .* intensities need an image"):
        ObjectClassifier(properties=["texture"]).fit([(instances, None, {1: "a", 2: "b"})])
    with pytest.raises(ParameterError, match=r"no property 'sise' \(did you mean 'size'\?\)"):
        ObjectClassifier(properties=["sise"])
    with pytest.raises(UnknownNameError, match="random_forest"):
        ObjectClassifier(classifier="random_forst")
    with pytest.raises(ParameterError, match="seed is -1"):
        ObjectClassifier(seed=-1)


def test_the_place_and_the_direction_are_not_looked_at_unless_named():
    columns = fitted().features.columns
    assert {"area_px", "solidity", "crowding", "n_neighbours"} < set(columns)
    assert not [c for c in columns if c.startswith(("centroid", "box", "touches", "orientation", "nearest_id"))]
    assert "orientation" in fitted(properties=["size", "orientation"]).features.columns
    instances, _ = discs(seed=1)
    moved = Instances.from_labels(np.pad(instances.labels, ((STEP, 3), (0, 20))))
    model = fitted(properties=["size", "shape", "outline", "hull", "neighbours"])
    one, other = model.predict(instances), model.predict(moved)
    assert one["probability_large"].tolist() == other["probability_large"].tolist()


def test_pixels_and_micrometres_are_told_apart_and_units_converted():
    plain = fitted()
    scaled, large = discs(spacing=(0.5, 0.5))
    with pytest.raises(InputError, match="the model measures in px, these labels in um"):
        plain.predict(scaled)
    model = ObjectClassifier().fit([(scaled, None, named(large, range(1, 11)))])
    with pytest.raises(InputError, match=r"measures in um, these labels in px: say how large a pixel is \(--spacing"):
        model.predict(discs()[0])
    nanometres, _ = discs(spacing=(500.0, 500.0), unit="nm")
    assert (
        model.predict(nanometres)["probability_large"].tolist() == model.predict(scaled)["probability_large"].tolist()
    )
    with pytest.raises(InputError, match="objects with the axes YX; these have ZYX"):
        plain.predict(discs(3, count=2)[0])
    with pytest.raises(InputError, match="in um, these labels in px"):
        ObjectClassifier().fit([(scaled, None, {1: "a"}), (discs()[0], None, {2: "b"})])


def test_channels_are_found_by_name_and_missing_ones_refused():
    instances, large = discs()
    image = picture(instances, large, channels=("DAPI", "actin"))
    model = ObjectClassifier(properties=["intensity", "texture"]).fit([(instances, image, named(large, range(1, 11)))])
    wanted = model.predict(instances, image)["probability_large"].tolist()
    turned = Image(image.data[::-1], image.grid, image.channels[::-1])
    assert model.predict(instances, turned)["probability_large"].tolist() == wanted
    more = picture(instances, large, channels=("DAPI", "actin", "extra"))
    assert model.predict(instances, more)["probability_large"].tolist() == wanted
    with pytest.raises(InputError, match="looks at DAPI, actin; the image has DAPI, tubulin"):
        model.predict(instances, picture(instances, large, channels=("DAPI", "tubulin")))
    with pytest.raises(InputError, match=r"looks at intensities \(DAPI, actin\): give the image"):
        model.predict(instances)
    alone = ObjectClassifier(properties=["intensity"]).fit(
        [(instances, image.channel("DAPI"), named(large, range(1, 11)))]
    )
    assert alone.predict(instances, picture(instances, large, channels=("any",)))["class"].tolist()
    with pytest.raises(InputError, match="looks at one channel; the image has DAPI, actin"):
        alone.predict(instances, image)


def test_numbers_that_are_missing_are_filled_and_known_as_missing():
    labels = np.zeros((20, 40), np.uint32)
    for i in range(10):
        labels[2 : 3 if i % 2 else 6, 4 * i : 4 * i + (1 if i % 2 else 3)] = i + 1
    instances = Instances.from_labels(labels)
    clicked = {i: "dot" if i % 2 == 0 else "block" for i in range(1, 7)}
    model = ObjectClassifier(properties=["elongation"]).fit([(instances, None, clicked)])
    assert model.features.missing == ("elongation",)
    assert model.predict(instances)["class"].tolist() == ["block", "dot"] * 5
    assert model.importance == {"elongation": pytest.approx(1)}


def test_importance_names_what_tells_the_kinds_apart():
    instances, large = discs()
    model = ObjectClassifier().fit([(instances, picture(instances, ~large), named(large, range(1, 26)))])
    assert sum(model.importance.values()) == pytest.approx(1)
    shares = list(model.importance.values())
    assert shares == sorted(shares, reverse=True)
    texture = [v for k, v in model.importance.items() if k.startswith("near_")]
    assert sum(texture) < 0.2


def test_no_objects_have_no_classes():
    nothing = Instances.from_labels(np.zeros((30, 30), np.uint32))
    model = fitted()
    table = model.predict(nothing)
    assert len(table) == 0
    assert list(table.columns) == list(model.predict(discs()[0]).columns)
    found = model.classify(nothing)
    assert len(found) == len(found.classes) == 0
    assert found.names == ("background", "large", "small")
    assert len(suggest(table)) == 0


@pytest.mark.parametrize("kind", ["random_forest", "fast_trees", classifier("scikit_learn", estimator="GaussianNB")])
def test_saved_and_loaded_it_says_the_same(kind, tmp_path):
    instances, large = discs()
    image = picture(instances, large)
    model = ObjectClassifier(classifier=kind, surround="3 px").fit([(instances, image, named(large, range(1, 11)))])
    path = model.save(tmp_path / "kinds.safetensors")
    again = ObjectModel.load(path)
    pd.testing.assert_frame_equal(again.predict(instances, image), model.predict(instances, image), check_exact=True)
    assert (again.features, again.names, again.provenance) == (model.features, model.names, model.provenance)
    assert again.provenance["examples"] == {n: list(named(large, range(1, 11)).values()).count(n) for n in model.names}
    with pytest.raises(OutputError, match="exists already"):
        model.save(path)


def test_a_file_that_is_no_model_of_objects_is_refused_in_one_line(tmp_path):
    saved = load_model(fitted().save(tmp_path / "kinds.safetensors"))
    good = saved.features

    def refused(match, features=good, task="objects", names=saved.names):
        save_model(tmp_path / "bad.st", Model(saved.classifier, names, features, task), overwrite=True)
        with pytest.raises(InputError, match=match) as error:
            ObjectModel.load(tmp_path / "bad.st")
        assert "\n" not in str(error.value)

    refused("is a model of pixels; expected one of objects", task="pixels")
    refused("must say axes, channels", features=None)
    refused("must say", features={**good, "more": 1})
    refused("must be a list of texts", features={**good, "columns": [1]})
    refused("must be finite numbers", features={**good, "fill": ["a"] * len(good["fill"])})
    refused("can't be used", features={**good, "fill": [10**400] * len(good["fill"])})
    refused("don't fit together", features={**good, "fill": good["fill"][1:]})
    refused("names for them", features={**good, "columns": good["columns"][1:], "fill": good["fill"][1:]})
    refused("no property 'nothing'", features={**good, "properties": ["nothing"]})
    refused("unit 'foot' is not known", features={**good, "unit": "foot"})
    refused("surround", features={**good, "surround": -1})
    refused("called background", names=("background", "small"))
    unknown = {**good, "columns": ["area_ft", *good["columns"][1:]], "missing": []}
    fewer = Model(saved.classifier, saved.names, unknown, "objects")
    save_model(tmp_path / "bad.st", fewer, overwrite=True)
    with pytest.raises(InputError, match="looks at area_ft, which is not measured here"):
        ObjectModel.load(tmp_path / "bad.st").predict(discs()[0])


def test_what_is_suggested_is_unsure_and_does_not_lie_together():
    sure = pd.DataFrame(
        {"id": range(1, 7), "centroid_y_px": [0.0, 0, 1, 0, 50, 90], "centroid_x_px": [0.0, 1, 0, 60, 0, 0]}
    )
    share = np.array([0.5, 0.51, 0.52, 0.55, 0.6, 1.0])
    table = sure.assign(probability_a=share, probability_b=1 - share)
    assert suggest(table, 3)["id"].tolist() == [1, 4, 5]
    assert suggest(table, 3, known=[1])["id"].tolist() == [2, 4, 5]
    assert sorted(suggest(table, 99)["id"]) == [1, 2, 3, 4, 5, 6]
    times = table.assign(time=[0, 1, 2, 3, 4, 5])
    assert suggest(times, 3)["id"].tolist() == [1, 2, 3]
    with pytest.raises(ParameterError, match="n is 0"):
        suggest(table, 0)
