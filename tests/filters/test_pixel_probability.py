"""The probability of a class is an image like any other: thresholded, parted, read window by window."""

import numpy as np
import pytest

from segmentry.errors import ParameterError, UnknownNameError
from segmentry.filters.pixel_probability import PixelProbability
from segmentry.image import Image
from segmentry.methods.hysteresis import Hysteresis
from segmentry.recipe import Recipe
from segmentry.run import run
from segmentry.testing import sample_image
from taught import model_file, taught


@pytest.mark.parametrize("axes", ["YX", "ZYX", "TYX", "TCZYX"])
def test_it_is_the_probability_of_the_class_that_is_named(axes):
    model = taught(axes.replace("T", ""))
    image = sample_image(axes, seed=2, spacing=True)
    seen = PixelProbability.with_model(model, of="cell").apply(image)
    assert seen.grid == image.grid.without("C")
    frames = [image.at("T", t) for t in range(2)] if "T" in axes else [image]
    expected = np.stack([model.probabilities(frame)[1] for frame in frames])
    assert np.array_equal(seen.read(), expected if "T" in axes else expected[0])
    assert np.array_equal(PixelProbability.with_model(model).apply(image).read(), seen.read()), "the last by default"
    others = PixelProbability.with_model(model, of="background").apply(image).read()
    assert np.allclose(others + seen.read(), 1, atol=1e-6)


def test_an_unknown_class_is_told_with_the_nearest():
    with pytest.raises(ParameterError, match=r"no class 'cells' \(did you mean 'cell'"):
        PixelProbability(model=model_file(), of="cells").apply(sample_image())


@pytest.mark.parametrize("method", ["watershed", {"hysteresis": {"low": 0.4, "high": 0.6}}, "otsu"])
def test_methods_find_the_objects_in_it_in_tiles_as_in_the_whole(method):
    recipe = Recipe.from_dict(
        {"segmentry": 1, "filters": [{"pixel_probability": {"model": model_file()}}, "gaussian"], "method": method}
    )
    image = sample_image(seed=2)
    whole = recipe.run(image)
    assert len(whole.instances) > 2
    for tile in (16, 31):
        assert np.array_equal(recipe.run(image, tile=tile).instances.labels, whole.instances.labels)


def test_pixels_that_are_no_numbers_count_as_background():
    image = sample_image("YX", "f4")
    pixels = image.read().copy()
    pixels[10:14, 20:24] = np.nan
    outcome = run(
        Hysteresis(low=0.4, high=0.6), Image(pixels, image.grid), filters=[PixelProbability(model=model_file())]
    )
    assert not np.asarray(outcome.instances.labels)[10:14, 20:24].any()
    assert len(outcome.instances) > 3


def test_a_channel_for_it_is_taken_from_many_by_its_name():
    two = sample_image("CYX", channels=("DAPI", "actin"))
    model = taught("YX")
    named = type(model)(model.stages, model.names, ("actin",))
    recipe = Recipe(Hysteresis(low=0.4, high=0.6), filters=(PixelProbability.with_model(named),))
    expected = model.probabilities(two.channel("actin"))[1]
    assert np.array_equal(recipe.run(two).filtered.read(), expected)
    for channel in ("actin", "1"):
        chosen = PixelProbability.with_model(model, channel=channel)
        assert np.array_equal(run(Hysteresis(low=0.4, high=0.6), two, filters=[chosen]).filtered.read(), expected)
    with pytest.raises(UnknownNameError, match="actin"):
        run(Hysteresis(), two, filters=[PixelProbability.with_model(model, channel="actn")])


def test_large_regions_are_computed_in_tiles(monkeypatch):
    model = taught()
    image = sample_image(seed=2)
    whole = model.probabilities(image)[1]
    monkeypatch.setattr("segmentry.tiling.TILE_PIXELS", 300)
    assert np.array_equal(PixelProbability.with_model(model).apply(image).read(), whole)
