import numpy as np
import pytest

from segmentry.errors import InputError, ParameterError
from segmentry.filters.shading import Shading
from segmentry.image import Image
from segmentry.methods.otsu import Otsu
from segmentry.run import run

SIZE = 128
DARK = 100.0


def vignette(strength=2.0):
    y, x = np.indices((SIZE, SIZE)) / (SIZE - 1) - 0.5
    flat = np.exp(-strength * ((y - 0.1) ** 2 + (x + 0.15) ** 2))
    return flat / flat.mean()


def nuclei(images, *, ground=300.0, count=20, seed=0, level=(300, 1500)):
    """Return images of bright discs on an even ground (a level per image), and where the discs are."""
    rng = np.random.default_rng(seed)
    place = np.indices((SIZE, SIZE))
    truth = np.ones((images, SIZE, SIZE)) * np.broadcast_to(ground, images).reshape(-1, 1, 1)
    inside = np.zeros(truth.shape, bool)
    for i in range(images):
        for centre in rng.uniform(-10, SIZE + 10, (count, 2)):
            disc = ((place - centre.reshape(2, 1, 1)) ** 2).sum(axis=0) < rng.uniform(3, 7) ** 2
            truth[i][disc] += rng.uniform(*level)
            inside[i] |= disc
    return truth, inside


def shaded(truth, flat, dark=DARK, seed=1):
    seen = truth * flat + dark
    seen += np.random.default_rng(seed).normal(0, 0.5, seen.shape) * np.sqrt(seen)
    return np.rint(seen).astype(np.uint16)


def found_flat(step):
    """Return the flat field that a step divides by, by what it makes of an even image."""
    even = Image.from_array(np.full((SIZE, SIZE), 1000.0) + step.dark_[0])
    field = 1000 / step.model_copy(update={"baseline_": ()}).apply(even).read().astype(float)
    return field / field.mean()


def deviation(field, flat):
    return float(np.sqrt(((field / flat - 1) ** 2).mean()))


@pytest.mark.parametrize(("axes", "images"), [("TYX", 24), ("ZYX", 8), ("TYX", 3)])
def test_the_flat_field_of_a_stack_is_found(axes, images):
    flat = vignette()
    seen = Image.from_array(shaded(nuclei(images)[0], flat), axes)
    step = Shading(dark=DARK).prepared(seen)
    assert deviation(np.ones_like(flat), flat) > 0.15
    assert deviation(found_flat(step), flat) < 0.005


def test_the_field_of_crowded_images_is_found():
    flat = vignette()
    seen = Image.from_array(shaded(nuclei(40, count=150)[0], flat), "TYX")
    assert deviation(found_flat(Shading(dark=DARK).prepared(seen)), flat) < 0.02


def test_corrected_images_are_the_truth():
    truth, _ = nuclei(24)
    seen = Image.from_array(shaded(truth, vignette()), "TYX")
    corrected = Shading(dark=DARK).apply(seen).read()
    assert corrected.mean() / truth.mean() == pytest.approx(1, abs=0.01)
    assert np.median(np.abs(corrected / corrected.mean() * truth.mean() / truth - 1)) < 0.04


def test_one_threshold_finds_the_objects_that_shading_hid():
    truth, inside = nuclei(24, ground=400.0, level=(250, 350), seed=3)
    seen = Image.from_array(shaded(truth, vignette(5.0)), "TYX")

    def share(filters):
        outcome = run(Otsu(), seen, filters=filters)
        classes = np.asarray(outcome.result.classes) > 0
        return (classes & inside).sum() / (classes | inside).sum()

    assert share([]) < 0.35
    assert share([Shading(dark=DARK)]) > 0.9


def test_the_offset_of_the_camera_is_learned_from_images_of_different_brightness():
    flat = vignette()
    truth, _ = nuclei(40, ground=np.linspace(600, 200, 40))
    step = Shading(dark="learn").prepared(Image.from_array(shaded(truth, flat), "TYX"))
    assert step.dark_[0] == pytest.approx(DARK, abs=20)
    assert deviation(found_flat(step), flat) < 0.02


def test_the_offset_of_the_camera_is_learned_from_many_objects():
    flat = vignette(4.0)
    step = Shading(dark="learn").prepared(Image.from_array(shaded(nuclei(80, count=30)[0], flat), "TYX"))
    assert step.dark_[0] == pytest.approx(DARK, abs=15)
    assert deviation(found_flat(step), flat) < 0.04 < deviation(np.ones_like(flat), flat) / 10


def test_bleaching_backgrounds_are_brought_to_one_level():
    ground = np.linspace(600, 300, 12)
    seen = Image.from_array(shaded(nuclei(12, ground=ground)[0], vignette()), "TYX")
    for baseline, spread in ((False, 300), (True, 5)):
        corrected = Shading(dark=DARK, baseline=baseline).apply(seen).read()
        assert np.ptp(np.median(corrected, axis=(1, 2))) == pytest.approx(spread, abs=6)


def test_channels_have_fields_of_their_own():
    flats = vignette(), vignette(-1.0)
    pixels = np.stack([shaded(nuclei(10, seed=s)[0], flat) for s, flat in enumerate(flats)], axis=1)
    step = Shading(dark=DARK).prepared(Image.from_array(pixels, "TCYX"))
    for channel, flat in enumerate(flats):
        alone = step.model_copy(update={"flat_": step.flat_[channel : channel + 1], "dark_": (DARK,)})
        assert deviation(found_flat(alone), flat) < 0.01


def test_a_single_image_gets_the_surface_of_its_background():
    flat = vignette()
    step = Shading(dark=DARK).prepared(Image.from_array(shaded(nuclei(1)[0], flat)[0]))
    assert deviation(found_flat(step), flat) < 0.02


def test_even_images_stay_as_they_are():
    seen = Image.from_array(shaded(nuclei(12)[0], 1.0), "TYX")
    assert deviation(found_flat(Shading(dark=DARK).prepared(seen)), 1.0) < 0.002


def test_a_field_learned_elsewhere_must_fit():
    step = Shading(baseline=True).prepared(Image.from_array(np.ones((3, 20, 20), np.uint8), "TYX"))
    with pytest.raises(InputError, match="3 time points; the image has 4"):
        step.apply(Image.from_array(np.ones((4, 20, 20), np.uint8), "TYX"))
    with pytest.raises(InputError, match="1 channels; the image has 2"):
        step.apply(Image.from_array(np.ones((3, 2, 20, 20), np.uint8), "TCYX"))


def test_a_wrong_offset_is_refused_in_one_line():
    with pytest.raises(ParameterError, match=r"shading\.dark.*") as told:
        Shading(dark="guess")
    assert "\n" not in str(told.value)
