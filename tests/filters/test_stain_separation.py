import numpy as np
import pytest
from skimage import color, data

from segmentry.errors import InputError, ParameterError, UnknownNameError
from segmentry.filters.gaussian import Gaussian
from segmentry.filters.stain_separation import COLOURS, StainSeparation
from segmentry.image import Image
from segmentry.io import write
from segmentry.job import segment_file
from segmentry.methods.kmeans import KMeans
from segmentry.methods.otsu import Otsu
from segmentry.recipe import Recipe
from segmentry.replay import replay
from segmentry.run import run

#: scikit-image measures densities to the base of 1e-6, we to the base of 0.1.
UNIT = -np.log10(1e-6)
SECTION = Image.from_array(np.maximum(data.immunohistochemistry()[:200, :220], 1), "YXC", name="section.png")


def mixed(amounts, stains, white=255.0):
    """Return the colours, channels first, of amounts of stains."""
    density = sum(a * np.array(COLOURS[s]).reshape(3, 1, 1) for a, s in zip(amounts, stains, strict=True))
    return white * 10.0**-density


def test_the_stains_are_those_of_scikit_image():
    rgb = np.moveaxis(SECTION.read(), 0, -1)
    found = StainSeparation(stain="all").apply(SECTION)
    assert found.channels == ("hematoxylin", "eosin", "dab")
    assert found.read() / UNIT == pytest.approx(np.moveaxis(color.rgb2hed(rgb), -1, 0), abs=1e-4)


def test_two_stains_leave_a_rest_at_right_angles_as_in_scikit_image():
    rgb = np.moveaxis(SECTION.read(), 0, -1)
    colours = np.array([COLOURS["hematoxylin"], COLOURS["dab"]])
    matrix = np.linalg.inv(np.vstack([colours, np.cross(*colours)]))
    expected = np.moveaxis(color.separate_stains(rgb, matrix), -1, 0)[:2]
    found = StainSeparation(stain="all", staining="hdab").apply(SECTION)
    assert found.channels == ("hematoxylin", "dab")
    assert found.read() / UNIT == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize(("dtype", "white"), [("f8", 1.0), ("f4", 255.0), ("u2", 65_535.0)])
def test_amounts_come_back_from_every_type_of_pixels(dtype, white):
    amounts = np.random.default_rng(0).uniform(0, 0.6, (3, 30, 30))
    amounts[:, :5] = 0
    rgb = mixed(amounts, ("hematoxylin", "eosin", "dab"), white)
    image = Image.from_array((rgb if dtype[0] == "f" else np.rint(rgb)).astype(dtype), "CYX", channels=SECTION.channels)
    for stain, amount in zip(("hematoxylin", "eosin", "dab"), amounts, strict=True):
        found = StainSeparation(stain=stain).apply(image)
        assert found.grid.axes == "YX"
        assert found.read() == pytest.approx(amount, abs=2e-3)


def test_a_yellowish_lamp_can_be_told():
    amounts = np.random.default_rng(0).uniform(0, 0.6, (3, 10, 10))
    rgb = mixed(amounts, ("hematoxylin", "eosin", "dab"), 180.0)
    image = Image.from_array(rgb, "CYX", channels=SECTION.channels)
    assert StainSeparation(white=180).apply(image).read() == pytest.approx(amounts[0], abs=1e-4)


@pytest.mark.parametrize("staining", ["he", "hdab"])
def test_the_colours_of_two_stains_are_estimated(staining):
    rng = np.random.default_rng(0)
    other = {"he": "eosin", "hdab": "dab"}[staining]
    amounts = rng.gamma(0.5, 1.0, (2, 200, 200))
    amounts *= rng.uniform(0.3, 1.0, (1, 200, 200))
    amounts[1, :100] *= rng.uniform(0, 0.02, (100, 200))
    amounts[0, 150:] *= rng.uniform(0, 0.02, (50, 200))
    rgb = np.clip(mixed(amounts, ("hematoxylin", other)), 1, 255)
    step = StainSeparation(staining=staining, vectors="estimated").prepared(
        Image.from_array(np.rint(rgb).astype(np.uint8), "CYX", channels=SECTION.channels)
    )
    for found, stain in zip(step.vectors_, ("hematoxylin", other), strict=True):
        true = np.array(COLOURS[stain]) / np.linalg.norm(COLOURS[stain])
        assert np.dot(found, true) > np.cos(np.deg2rad(5))


def test_the_estimate_falls_back_on_the_published_colours_where_there_is_no_tissue():
    blank = Image.from_array(np.full((20, 20, 3), 250, np.uint8), "YXC")
    step = StainSeparation(staining="he", vectors="estimated").prepared(blank)
    assert step.vectors_ == (COLOURS["hematoxylin"], COLOURS["eosin"])


def test_a_method_for_one_channel_sees_the_stain_that_was_asked_for():
    amounts = np.zeros((3, 40, 60))
    amounts[0, 5:15, 5:15] = amounts[2, 20:35, 30:50] = 0.8
    image = Image.from_array(
        np.rint(mixed(amounts, ("hematoxylin", "eosin", "dab"))).astype(np.uint8), "CYX", channels=SECTION.channels
    )
    for stain, which in (("hematoxylin", 0), ("dab", 2)):
        for filters, channel in (([StainSeparation(stain=stain)], None), ([StainSeparation(stain="all")], stain)):
            outcome = run(Otsu(), image, filters=filters, channel=channel)
            assert np.array_equal(outcome.result.classes, amounts[which] > 0)
            assert outcome.result.grid.axes == "YX"
            assert not outcome.notes


def test_other_filters_run_before_and_after_it():
    filters = [Gaussian(sigma=1), StainSeparation(stain="all", staining="hdab"), Gaussian(sigma=2)]
    whole = run(Otsu(), SECTION, filters=filters, channel="dab")
    tiled = run(Otsu(), SECTION, filters=filters, channel="dab", tile=50)
    assert whole.filtered.grid.axes == "YX"
    assert np.array_equal(whole.result.classes, tiled.result.classes)


def test_a_method_that_sees_colour_gets_all_stains_without_alpha():
    rgba = np.concatenate([SECTION.read(), np.full((1, 200, 220), 255, np.uint8)])
    image = Image.from_array(rgba, "CYX", channels=(*SECTION.channels, "alpha"))
    outcome = run(KMeans(), image, filters=[StainSeparation(stain="all")])
    assert outcome.filtered.channels == ("hematoxylin", "eosin", "dab")
    assert outcome.notes == ("the channel alpha is left out",)


def test_a_section_runs_from_file_to_table_and_again(tmp_path):
    path = write(tmp_path / "section.png", SECTION)
    recipe = Recipe.parse(
        "{segmentry: 1, channel: dab, filters: [stain_separation: {stain: all}], method: {otsu: {}}, "
        "cleaning: [drop_small: {min_size: 50}]}"
    )
    record = segment_file(path, tmp_path / "out", recipe)
    assert record["objects"] > 0
    assert "mean_green" in (tmp_path / "out" / "objects.csv").read_text().splitlines()[0]
    assert record["learned"]["stain_separation"]["white_"] == 255
    assert not replay(tmp_path / "out").differences


def test_what_cant_be_separated_is_said_in_one_line():
    grey = Image.from_array(np.ones((9, 9), np.uint8), name="grey.tif")
    with pytest.raises(InputError, match=r"^stain_separation needs a colour image \(RGB\); grey.tif has one channel$"):
        run(Otsu(), grey, filters=[StainSeparation()])
    dyes = Image.from_array(np.ones((2, 9, 9), np.uint8), "CYX", channels=("DAPI", "actin"), name="cells.tif")
    with pytest.raises(InputError, match=r"cells\.tif has the channels DAPI, actin"):
        run(Otsu(), dyes, filters=[StainSeparation()])
    with pytest.raises(InputError, match=r"3 channels \(hematoxylin, eosin, dab\): choose one"):
        run(Otsu(), SECTION, filters=[StainSeparation(stain="all")])
    with pytest.raises(UnknownNameError, match="no channel 'red'"):
        run(Otsu(), SECTION, filters=[StainSeparation(stain="all")], channel="red")
    with pytest.raises(ParameterError, match=r"^stain_separation: staining he has no dab"):
        StainSeparation(stain="dab", staining="he")
    with pytest.raises(ParameterError, match="two stains"):
        StainSeparation(vectors="estimated")
