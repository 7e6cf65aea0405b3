"""Nuclei by the networks that come along, against simulated truth: sizes, volumes, and what a diameter means."""

from dataclasses import replace

import numpy as np
import pytest

from segmentry import networks, segment
from segmentry.errors import ParameterError
from segmentry.image import Grid, Image
from segmentry.learn.engines import engine
from segmentry.learn.network_file import load_network, save_network
from segmentry.learn.prediction import Predictor
from segmentry.learn.shipped import shipped
from segmentry.methods.nuclei import SEEN, Nuclei, resizing
from segmentry.methods.unet import UNet
from segmentry.metrics import match_objects
from segmentry.result import Instances
from segmentry.run import run
from segmentry.simulation import Scene, simulate
from small_network import small_network


def share_found(found, truth, grid):
    match = match_objects(found.instances, Instances.from_labels(truth.astype(np.uint32), grid))
    right = len(match.matched(0.5))
    return right / (match.n_predicted + match.n_true - right)


@pytest.mark.parametrize("dimensions", [2, 3])
def test_whatever_the_diameter_nuclei_are_seen_at_one_that_the_network_knows(dimensions):
    low, high = SEEN[dimensions][:2]
    for diameter in np.geomspace(6, 400, 50):
        assert low <= diameter * resizing(diameter, dimensions) <= high


def test_small_nuclei_are_found_because_they_are_seen_larger():
    image, truth = simulate(Scene(radius=4, density=0.15, photons=300, out_of_focus=0), (192, 192), 3)
    labels = np.asarray(truth.labels)
    whole = segment(image, "nuclei")
    as_it_is = segment(image, "nuclei", estimate_diameter=False)
    assert share_found(whole, labels, image.grid) > 0.7
    assert share_found(whole, labels, image.grid) >= share_found(as_it_is, labels, image.grid)
    assert whole.segmenter.zoom_ > 1.5


def test_another_network_sees_images_as_those_that_it_learned_from(tmp_path):
    own = load_network(shipped("nuclei_fast"))
    image, truth = simulate(Scene(radius=12, density=0.15), (160, 160), 3)
    half = image.data[::2, ::2]
    for name, known, seen, zoom in (
        ("small", replace(own, diameter=12.0), Image.from_array(half), 1),
        ("usual", replace(own, diameter=24.0), Image.from_array(half), 2),
        ("unknown", replace(own, diameter=None), Image.from_array(half), 1),
        ("sized", replace(own, spacing=(0.5, 0.5), unit="um"), Image.from_array(half, spacing=(1, 1), unit="um"), 2),
    ):
        place = tmp_path / f"{name}.safetensors"
        save_network(place, known)
        step = Nuclei(model=str(place)).prepared(seen)
        assert step.zoom_ == pytest.approx(zoom if name != "sized" else 1, rel=0.3), name
        assert step._resized(seen).grid.spatial_shape == pytest.approx([n * zoom for n in half.shape], rel=0.3), name
    found = segment(seen, "nuclei", model=str(place))
    assert share_found(found, np.asarray(truth.labels)[::2, ::2], seen.grid) > 0.7


def test_a_diameter_that_is_told_is_not_looked_for():
    image, _ = simulate(Scene(radius=4, density=0.15), (96, 96), 3)
    told = segment(image, "nuclei", diameter=8)
    assert told.segmenter.zoom_ == 3
    with pytest.raises(ParameterError, match="more than 0"):
        segment(image, "nuclei", diameter=0)


@pytest.mark.parametrize("pixels", [np.zeros((32, 32)), np.random.default_rng(0).random((32, 32))])
def test_a_network_that_knows_no_diameter_can_estimate_none_whatever_the_image_holds(pixels):
    step = UNet.with_model(small_network(), estimate_diameter=True)
    with pytest.raises(ParameterError, match="does not know of which diameter"):
        step.prepared(Image.from_array(pixels.astype(np.float32)))


def test_planes_that_are_apart_are_looked_at_as_planes():
    image, _ = simulate(Scene(radius=4, density=0.15), (8, 96, 96), 3)
    outcome = run(Nuclei(), image, planes=True)
    assert outcome.segmenter.dimensions_ == 2
    assert outcome.segmenter.zoom_ > 1.2


def test_volumes_are_seen_in_three_dimensions_however_far_apart_their_planes_lie():
    image, truth = simulate(Scene(radius=9, density=0.1, axial=1.5), (36, 72, 72), 5)
    labels = np.asarray(truth.labels)
    whole = segment(image, "nuclei")
    assert share_found(whole, labels, image.grid) > 0.7
    some = np.asarray(image.data)[1::3]
    grid = Grid("ZYX", some.shape, (3.0, 1.0, 1.0), "um")
    apart = segment(Image(some, grid), "nuclei")
    assert share_found(apart, labels[1::3], grid) > 0.6
    assert apart.segmenter.dimensions_ == 3


def test_a_volume_without_nuclei_has_none():
    rng = np.random.default_rng(0)
    noise = rng.poisson(20, (24, 64, 64)).astype(np.uint16)
    assert len(segment(Image.from_array(noise), "nuclei").instances.ids) == 0


def test_an_image_that_fits_a_tile_is_looked_at_once(monkeypatch):
    looks = []
    predict = Predictor.predict
    monkeypatch.setattr(Predictor, "predict", lambda *given: looks.append(given[1]) or predict(*given))
    image, _ = simulate(Scene(radius=12, density=0.15), (160, 160), 3)
    found = segment(image, "nuclei")
    assert len(looks) == 1
    assert found.segmenter.zoom_ == 1
    plain = segment(image, "nuclei", estimate_diameter=False)
    assert len(looks) == 2
    np.testing.assert_array_equal(found.instances.labels, plain.instances.labels)


def test_each_time_point_has_its_own_nuclei_whichever_was_looked_at():
    frames = [np.asarray(simulate(Scene(radius=12, density=0.15), (128, 128), seed)[0].data) for seed in (1, 2, 1)]
    film = Image(np.stack(frames), Grid("TYX", (3, 128, 128)))
    outcome = segment(film, "nuclei")
    labels = np.asarray(outcome.instances.labels)
    for time in range(3):
        alone = run(outcome.segmenter, film.at("T", time))
        assert np.array_equal(labels[time] > 0, np.asarray(alone.instances.labels) > 0)
    assert not np.array_equal(labels[0] > 0, labels[1] > 0)


def test_a_network_is_made_ready_once_however_many_images_it_sees(tmp_path, monkeypatch):
    made = []
    monkeypatch.setattr(networks, "engine", lambda *asked, **more: made.append(1) or engine(*asked, **more))
    place = tmp_path / "net.safetensors"
    image = Image.from_array(np.random.default_rng(0).random((24, 24), np.float32), spacing=(0.5, 0.5), unit="um")
    save_network(place, small_network())
    first = [segment(image, "unet", model=str(place)) for _ in range(3)]
    assert len(made) == 1
    save_network(place, small_network(seed=1), overwrite=True)
    again = segment(image, "unet", model=str(place))
    assert len(made) == 2
    assert again.segmenter.sha256_ != first[0].segmenter.sha256_
