"""The microscope and the camera of simulated images, against what physics says of them."""

import numpy as np
import pytest
from scipy.special import j1

from segmentry.simulation import Scene, simulate
from segmentry.simulation.imaging import light_of
from segmentry.simulation.layout import Room
from segmentry.simulation.specimen import Specimen

#: A level light, without any optics.
LEVEL = {"density": 0, "background": 1, "clouds": 0, "haze": 0, "illumination": 0, "blur": 0, "cytoplasm": 0}
#: Nuclei of one size that lie apart.
SAME = {"size_spread": 0, "clumping": 0, "mitosis": 0, "out_of_focus": 0, "overlap": 0}
#: Nothing but the blur.
DARK = {**LEVEL, "background": 0}


def image_of_point(scene, shape, steps=(1.0, 1.0, 1.0)):
    """Return the light of one bright pixel in the middle."""
    nuclei = np.zeros(shape, np.float32)
    nuclei[tuple(n // 2 for n in shape)] = 1
    none = np.zeros(shape, bool)
    specimen = Specimen(nuclei, none, none, none.astype(np.uint32))
    room = Room(shape, np.array(steps), shape[0] == 1)
    (light,) = light_of(scene, specimen, room, np.random.default_rng(0))
    return light.astype(float)


def deviations(light):
    """Return the standard deviation along each axis, in pixels."""
    places = np.indices(light.shape)
    means = [(p * light).sum() / light.sum() for p in places]
    return [(((p - m) ** 2 * light).sum() / light.sum()) ** 0.5 for p, m in zip(places, means, strict=True)]


def test_the_image_of_a_point_is_as_wide_as_asked_for():
    light = image_of_point(Scene(**DARK | {"blur": 2.5}), (1, 61, 61))
    assert light.sum() == pytest.approx(1, abs=1e-5)
    assert deviations(light)[1:] == pytest.approx([2.5, 2.5], rel=0.01)


def test_in_a_volume_it_is_longer_along_the_optical_axis_and_counts_in_space():
    light = image_of_point(Scene(**DARK | {"blur": 2.0, "axial": 3.0}), (41, 41, 41), (1.5, 1.0, 1.0))
    assert deviations(light) == pytest.approx([4.0, 2.0, 2.0], rel=0.01)


def test_the_airy_pattern_has_its_first_dark_ring_where_theory_has_it():
    light = image_of_point(Scene(**DARK | {"blur": 4.0, "psf": "airy"}), (1, 101, 101))[0]
    profile = light[50, 50:]
    ring = 4.0 * 2.9
    far = np.arange(1, 26) * 3.8317 / ring
    assert profile[1:26] / profile[0] == pytest.approx((2 * j1(far) / far) ** 2, abs=1e-4)
    assert abs(int(profile[:20].argmin()) - ring) < 1
    assert light.sum() == pytest.approx(1, abs=1e-4)


def test_haze_takes_light_far_away_and_loses_none():
    near, far = (image_of_point(Scene(**DARK | {"haze": h, "blur": 1, "radius": 4}), (1, 201, 201)) for h in (0, 0.5))
    assert far.sum() == pytest.approx(near.sum(), rel=1e-4)
    assert far.max() == pytest.approx(0.5 * near.max(), rel=0.02)
    assert deviations(far)[1] == pytest.approx((0.5 * 16**2) ** 0.5, rel=0.05)


def test_illumination_falls_with_the_square_of_the_distance():
    light = simulate(Scene(**LEVEL | {"illumination": 0.6, "noise": 0, "bit_depth": 16, "offset": 0}), (90, 120), 3)[0]
    share = light.read() / (0.4 * 65535)
    y, x = np.unravel_index(share.argmax(), share.shape)
    square = (np.indices(share.shape) - np.array([y, x])[:, None, None]) ** 2
    slope, start = np.polyfit(square.sum(axis=0).ravel(), share.ravel(), 1)
    assert share.max() == pytest.approx(1, abs=1e-3)
    assert share.min() == pytest.approx(0.4, abs=0.02)
    assert np.abs(start + slope * square.sum(axis=0) - share).max() < 0.02


def test_light_bleaches_evenly_with_depth():
    scene = Scene(**LEVEL | {"bleaching": 0.8, "noise": 0, "offset": 0, "bit_depth": 16})
    planes = simulate(scene, (11, 8, 8))[0].read().mean(axis=(1, 2))
    assert planes[-1] / planes[0] == pytest.approx(0.2, rel=1e-3)
    assert planes[1:] / planes[:-1] == pytest.approx(np.full(10, 0.2**0.1), rel=1e-3)


@pytest.mark.parametrize(("photons", "read_noise"), [(50.0, 0.0), (2000.0, 0.0), (100.0, 15.0)])
def test_the_variance_is_the_gain_times_the_light_and_that_of_reading(photons, read_noise):
    scene = Scene(**LEVEL | {"photons": photons, "read_noise": read_noise, "bit_depth": 16, "exposure": 0.3})
    pixels = simulate(scene, (300, 300), 1)[0].read().astype(float)
    offset = scene.offset * 65535
    assert pixels.mean() - offset == pytest.approx(0.3 * 65535, rel=0.005)
    wanted = scene.gain * (pixels.mean() - offset) + (scene.gain * read_noise) ** 2
    assert pixels.var() == pytest.approx(wanted, rel=0.03)


def test_the_factor_on_noise_scales_its_deviation():
    half, full = (simulate(Scene(**LEVEL | {"noise": n}), (200, 200), 1)[0].read().std() for n in (0.5, 1))
    assert full / half == pytest.approx(2, rel=0.02)


@pytest.mark.parametrize("bits", [8, 12, 16])
def test_what_is_too_bright_is_cut_off(bits):
    image = simulate(Scene(**LEVEL | {"exposure": 2.0, "bit_depth": bits}), (20, 20))[0]
    assert image.dtype == (np.uint8 if bits == 8 else np.uint16)
    assert (image.read() == 2**bits - 1).all()


def test_binned_pixels_hold_the_mean_light_and_the_same_sizes():
    plain, binned = (simulate(Scene(**SAME, binning=b, noise=0), (200, 200), 1) for b in (1, 3))
    means = [image.read().mean() for image, _ in (plain, binned)]
    areas = [np.median(np.bincount(np.asarray(truth.labels).ravel())[1:]) for _, truth in (plain, binned)]
    assert means[1] == pytest.approx(means[0], rel=0.15)
    assert areas[1] == pytest.approx(areas[0], rel=0.03)


def test_two_nuclei_over_each_other_are_brighter_than_one():
    from segmentry.simulation.layout import lay_out
    from segmentry.simulation.specimen import prepare

    values = {"overlap": 0.5, "brightness_spread": 0, "dome": 0, "chromatin": 0, "spots": 0, "nucleoli": 0}
    scene = Scene(**values, mitosis=0, debris=0, out_of_focus=0)
    room = Room((1, 250, 250), np.ones(3), True)
    below, above = (o.labels > 0 for o in lay_out(scene, room, np.random.default_rng(1)).layers)
    nuclei = prepare(scene, room, np.random.default_rng(1)).nuclei
    assert nuclei[below & above].mean() == pytest.approx(2, abs=1e-5)
    assert nuclei[below ^ above].mean() == pytest.approx(1, abs=1e-5)
    assert (below & above).sum() > 200


def test_white_light_is_absorbed_as_beer_and_lambert_say():
    level = {k: v for k, v in LEVEL.items() if k not in ("background", "density", "cytoplasm")}
    plain = {"dome": 0, "rim": 0, "chromatin": 0, "spots": 0, "nucleoli": 0, "brightness_spread": 0, "mitosis": 0}
    rest = {"debris": 0, "out_of_focus": 0, "overlap": 0, "cytoplasm": 0, "noise": 0, "halo": 0, "offset": 0}
    image, truth = simulate(Scene(kind="brightfield", absorbance=0.8, **level, **plain, **rest), (80, 80), 1)
    pixels, inside = image.read().astype(float), np.asarray(truth.labels) > 0
    assert pixels[~inside].mean() == pytest.approx(0.9 * 255, abs=0.6)
    assert pixels[inside] == pytest.approx(np.full(inside.sum(), 0.9 * 255 * 10**-0.8), abs=0.6)
