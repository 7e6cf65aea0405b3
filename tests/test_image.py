import numpy as np
import pytest

from segmentry.errors import InputError, UnknownNameError
from segmentry.image import Grid, Image, normalise_unit


def test_axes_come_out_in_canonical_order_whatever_order_they_had():
    array = np.arange(2 * 3 * 4 * 5).reshape(2, 3, 4, 5)
    image = Image.from_array(array, "XYCT")
    assert image.grid.axes == "TCYX"
    assert image.grid.shape == (5, 4, 3, 2)
    assert image.read()[4, 3, 2, 1] == array[1, 2, 3, 4]


def test_an_array_that_may_be_colour_or_volume_is_not_guessed():
    with pytest.raises(InputError, match="axes='YXC' or axes='ZYX'"):
        Image.from_array(np.zeros((20, 20, 3), np.uint8))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("XY", (3, 3)), "ordered subset"),
        (("YX", (3,)), "name 2 axes, the array has 1"),
        (("YX", (3, 0)), "length zero"),
        (("YX", (3, 3), (0.5, 0.5)), "given together"),
        (("YX", (3, 3), (0.5,), "um"), "one number per axis"),
        (("YX", (3, 3), (0.5, -1), "um"), "positive"),
        (("YX", (3, 3), (0.5, 0.5), "parsec"), "parsec"),
    ],
)
def test_a_grid_that_does_not_fit_together_is_refused(arguments, said):
    with pytest.raises(InputError, match=said):
        Grid(*arguments)


def test_a_channel_is_found_by_name_and_by_number():
    image = Image.from_array(np.arange(8).reshape(2, 2, 2), "CYX", channels=["DAPI", "GFP"])
    assert image.channel("GFP").read().tolist() == [[4, 5], [6, 7]]
    assert image.channel(0).read().tolist() == image.channel("DAPI").read().tolist()
    with pytest.raises(UnknownNameError, match="did you mean 'DAPI'"):
        image.channel("DAPO")


def test_a_window_keeps_its_place_in_the_world():
    affine = ((2.0, 0, 0, 10), (0, 3.0, 0, 20), (0, 0, 4.0, 30), (0, 0, 0, 1))
    grid = Grid("ZYX", (5, 6, 7), (4.0, 3.0, 2.0), "mm", affine=affine)
    window = Image(np.zeros(grid.shape), grid).window((slice(1, 3), slice(2, 6), slice(3, 4)))
    assert window.grid.shape == (2, 4, 1)
    assert [row[3] for row in window.grid.affine] == [10 + 3 * 2, 20 + 2 * 3, 30 + 1 * 4, 1]


def test_pixels_that_are_no_numbers_are_refused():
    with pytest.raises(InputError, match="complex128"):
        Image.from_array(np.zeros((2, 2), complex))


def test_units_are_understood_however_they_are_spelled():
    for spelled in ("µm", "μm", "micron", "Micrometer", " um "):
        assert normalise_unit(spelled) == "um"
    assert normalise_unit("pixel") is None
