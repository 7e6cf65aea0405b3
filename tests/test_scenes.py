"""Simulated scenes: every parameter does what it says, and the truth is where the picture shows it."""

import numpy as np
import pytest
from scipy import ndimage

from segmentry.errors import InputError, ParameterError
from segmentry.labelling import survey
from segmentry.simulation import Scene, random_scene, simulate

#: No nuclei but plain ones, in focus, apart from each other.
PLAIN = {"out_of_focus": 0, "overlap": 0, "mitosis": 0, "debris": 0, "clumping": 0}
KINDS = ("fluorescence", "membrane", "brightfield", "histology")


def labels_of(scene, shape, seed=0, **more):
    return np.asarray(simulate(scene, shape, seed, **more)[1].labels)


def bounds():
    """Return every parameter with each of its ends."""
    for name, item in Scene.model_json_schema()["properties"].items():
        for value in item.get("enum", ()):
            yield name, value
        low = item.get("minimum", item.get("exclusiveMinimum", 0) + 1e-3)
        if "maximum" in item:
            yield name, low
            yield name, item["maximum"]


def check_truth(image, truth):
    labels = np.asarray(truth.labels)
    assert np.array_equal(truth.ids, np.arange(1, len(truth) + 1))
    assert np.array_equal(np.argsort(survey(labels).first), np.arange(len(truth)))
    for label, box in enumerate(ndimage.find_objects(labels.astype(np.int32)), 1):
        assert ndimage.label(labels[box] == label)[1] == 1
    assert image.grid.without("C") == truth.grid


@pytest.mark.parametrize(("name", "value"), list(bounds()))
def test_every_parameter_may_be_at_its_bounds(name, value):
    scene = Scene(**{"radius": 4, "density": 0.3, name: value})
    for shape in ((26, 31), (5, 14, 15)):
        if len(shape) == 2 or not scene.absorbs:
            image, truth = simulate(scene, shape, 1)
            check_truth(image, truth)
            assert image.dtype == (np.uint8 if scene.bit_depth == 8 else np.uint16)
            assert image.read().max() < 2**scene.bit_depth


def test_parameters_drawn_together_from_all_of_their_ranges():
    items = Scene.model_json_schema()["properties"]
    rng = np.random.default_rng(5)
    for seed in range(25):
        drawn = {}
        for name, item in items.items():
            if "enum" in item:
                drawn[name] = item["enum"][rng.integers(len(item["enum"]))]
            else:
                low = item.get("minimum", 1e-3)
                drawn[name] = low + (item["maximum"] - low) * rng.random() ** 2
                if item["type"] == "integer":
                    drawn[name] = int(drawn[name])
        check_truth(*simulate(Scene(**drawn), (int(rng.integers(1, 40)), 33), seed))


@pytest.mark.parametrize("kind", KINDS)
def test_a_seed_gives_one_image_and_another_seed_another(kind):
    one, again, other = (simulate(Scene(kind=kind), (60, 70), seed) for seed in (3, 3, 4))
    assert np.array_equal(one[0].read(), again[0].read())
    assert np.array_equal(one[1].labels, again[1].labels)
    assert not np.array_equal(one[0].read(), other[0].read())


@pytest.mark.parametrize(("shape", "spacing"), [((200, 180), None), ((16, 70, 80), (2.0, 1.0, 1.0))])
def test_nuclei_are_bright_where_the_truth_is(shape, spacing):
    image, truth = simulate(Scene(), shape, 2, spacing=spacing)
    pixels, inside = image.read().astype(float), np.asarray(truth.labels) > 0
    assert pixels[inside].mean() > 3 * pixels[~inside].mean()
    check_truth(image, truth)


def test_nuclei_are_dark_in_white_light_and_walls_bright():
    image, truth = simulate(Scene(kind="brightfield"), (160, 160), 1)
    inside = np.asarray(truth.labels) > 0
    assert image.read()[inside].mean() < 0.6 * image.read()[~inside].mean()
    image, truth = simulate(Scene(kind="membrane"), (120, 120), 1)
    labels = np.asarray(truth.labels)
    walls = ndimage.maximum_filter(labels, 3) != ndimage.minimum_filter(labels, 3)
    assert image.read()[walls].mean() > 1.5 * image.read()[~walls].mean()


def test_a_section_gives_its_nuclei_back_as_hematoxylin():
    from segmentry.filters.stain_separation import StainSeparation

    image, truth = simulate(Scene(kind="histology", stain_shift=0), (160, 160), 1)
    assert image.is_rgb
    found = StainSeparation(staining="he").apply(image).read()
    inside = np.asarray(truth.labels) > 0
    assert found[inside].mean() > 4 * found[~inside].mean()


@pytest.mark.parametrize("density", [0.05, 0.2, 0.4])
@pytest.mark.parametrize("shape", [(220, 220), (20, 60, 60)])
def test_nuclei_cover_the_share_that_is_asked_for(density, shape):
    scene = Scene(**PLAIN | {"radius": 5, "density": density, "clumping": 0.5})
    covered = [(labels_of(scene, shape, seed) > 0).mean() for seed in range(3)]
    assert np.mean(covered) == pytest.approx(density, rel=0.12)


def test_small_images_are_covered_as_large_ones_are_in_the_mean():
    scene = Scene(**PLAIN | {"radius": 10, "density": 0.2})
    assert np.mean([(labels_of(scene, (26, 26), s) > 0).mean() for s in range(120)]) == pytest.approx(0.2, rel=0.15)


def test_clumped_nuclei_touch_and_others_do_not():
    def touching(clumping):
        labels = labels_of(Scene(**PLAIN | {"clumping": clumping, "density": 0.15}), (300, 300), 1)
        high = ndimage.maximum_filter(labels, 3)
        low = ndimage.minimum_filter(np.where(labels > 0, labels, 2**31), 3)
        return len(np.unique(labels[(labels > 0) & (high != low)])) / labels.max()

    assert touching(0) < 0.15
    assert touching(0.9) > 0.8


def test_sizes_are_log_normal_about_the_radius():
    labels = labels_of(
        Scene(**PLAIN | {"size_spread": 0.2, "radius": 6, "density": 0.25, "pressing": 0}), (500, 500), 1
    )
    labels[:, [0, -1]] = labels[[0, -1]] = 0
    edge = np.unique(np.concatenate([labels[1], labels[-2], labels[:, 1], labels[:, -2]]))
    sizes = np.bincount(labels.ravel())[np.setdiff1d(np.unique(labels), [0, *edge])]
    radii = np.log(np.sqrt(sizes / np.pi))
    assert np.exp(np.median(radii)) == pytest.approx(6, rel=0.05)
    assert radii.std() == pytest.approx(0.2, abs=0.03)


def test_nuclei_are_as_long_as_asked_for():
    from skimage.measure import regionprops

    for elongation in (1.0, 3.0):
        scene = Scene(**PLAIN | {"elongation": elongation, "bending": 0, "roughness": 0, "radius": 8})
        found = [
            r.axis_major_length / r.axis_minor_length
            for r in regionprops(labels_of(scene, (400, 400), 2).astype(int))
            if min(r.bbox) > 0 and max(r.bbox) < 400
        ]
        assert np.mean(found) == pytest.approx(elongation, rel=0.1)


def test_nuclei_are_round_in_space_not_in_pixels():
    scene = Scene(**PLAIN | {"elongation": 1, "density": 0.05})
    found = survey(labels_of(scene, (40, 100, 100), 0, spacing=(3.0, 1.0, 1.0)))
    extent = (found.upper - found.lower) * (3.0, 1.0, 1.0)
    assert np.median(extent[:, 0] / extent[:, 1:].mean(axis=1)) == pytest.approx(1, abs=0.15)


def test_what_is_too_blurred_and_debris_are_no_objects_but_can_be_seen():
    empty = simulate(Scene(density=0, haze=0), (120, 120), 1)[0].read().mean()
    image, truth = simulate(Scene(out_of_focus=1, lost=0), (120, 120), 1)
    assert len(truth) == 0
    assert image.read().mean() > 1.5 * empty
    assert len(simulate(Scene(out_of_focus=1, lost=3), (120, 120), 1)[1]) > 5
    clean, dirty = (simulate(Scene(**PLAIN | {"debris": d, "noise": 0}), (120, 120), 1) for d in (0, 5))
    assert np.array_equal(clean[1].labels, dirty[1].labels)
    changed = np.abs(clean[0].read().astype(int) - dirty[0].read().astype(int)) > 200
    assert ndimage.label(changed)[1] > 5


def test_cells_hold_their_nuclei():
    nuclei = labels_of(Scene(**PLAIN), (150, 150), 4)
    cells = labels_of(Scene(**PLAIN | {"objects": "cells"}), (150, 150), 4)
    assert nuclei.max() == cells.max()
    assert (cells > 0).sum() > 2 * (nuclei > 0).sum()
    assert ((cells > 0) | (nuclei == 0)).all()
    assert len(np.unique(np.stack([nuclei, cells])[:, nuclei > 0], axis=1).T) == nuclei.max()


def test_scenes_drawn_at_random_differ_and_stay_the_same():
    drawn = [random_scene(seed) for seed in range(40)]
    assert drawn[3] == random_scene(3)
    assert len({scene.radius for scene in drawn}) == 40
    assert min(s.radius for s in drawn) < 6
    assert max(s.radius for s in drawn) > 20
    assert {s.bit_depth for s in drawn} == {8, 12, 16}
    for kind in KINDS:
        check_truth(*simulate(random_scene(1, 2, kind), (48, 48), 1))
    check_truth(*simulate(random_scene(1, 3), (6, 32, 32), 1))
    with pytest.raises(ParameterError, match="dimensions"):
        random_scene(1, 4)
    with pytest.raises(ParameterError, match="negative"):
        random_scene(-1)


def test_a_scene_goes_through_plain_data():
    scene = random_scene(7, 2, "histology")
    assert Scene(**scene.settings()) == scene
    assert {p.name for p in Scene.parameters()} == set(scene.settings())
    assert all(p.description for p in Scene.parameters())
    image, _ = simulate(scene, (20, 20), 5)
    assert image.provenance == {"simulated": {"scene": scene.settings(), "seed": 5}}


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"radus": 3}, "did you mean 'radius'"),
        ({"radius": 0}, "greater than or equal to 1"),
        ({"blur": float("nan")}, "finite"),
        ({"kind": "xray"}, "fluorescence"),
    ],
)
def test_a_scene_that_can_not_be_is_refused_in_one_line(values, said):
    with pytest.raises(ParameterError, match=said) as refused:
        Scene(**values)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("values", "shape", "more", "said"),
    [
        ({}, (5,), {}, "two or three numbers"),
        ({}, (9, 9), {"spacing": (1.0,)}, "one per axis"),
        ({}, (9, 9), {"seed": -1}, "negative"),
        ({"kind": "histology"}, (3, 9, 9), {}, "planes"),
        ({"binning": 4}, (2**13, 2**13), {}, "binned"),
    ],
)
def test_an_image_that_can_not_be_is_refused(values, shape, more, said):
    with pytest.raises(InputError, match=said):
        simulate(Scene(**values), shape, **more)
