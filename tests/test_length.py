import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from segmentry.errors import ParameterError
from segmentry.filters.gaussian import Gaussian
from segmentry.image import Grid
from segmentry.length import Length, Size

GRID = Grid("ZYX", (9, 9, 9), (2.0, 0.5, 0.25), "um")


def test_a_number_counts_pixels_along_every_axis():
    assert Length.parse(3).pixels(GRID) == (3, 3, 3)


def test_a_length_with_a_unit_is_resolved_axis_by_axis():
    assert Length.parse("1 um").pixels(GRID) == (0.5, 2, 4)
    assert Length.parse("1000nm").pixels(GRID) == (0.5, 2, 4)
    assert Length.parse("0.001 mm").pixels(GRID) == (0.5, 2, 4)


def test_a_unit_needs_an_image_with_a_pixel_size():
    with pytest.raises(ParameterError, match="no pixel size"):
        Length.parse("1 um").pixels(Grid("YX", (9, 9)))


def test_areas_and_volumes_count_pixels():
    assert Size.parse("1 um3").count(GRID) == pytest.approx(4)
    assert Size.parse(30).count(GRID) == 30
    with pytest.raises(ParameterError, match="um3"):
        Size.parse("1 um2").count(GRID)


@pytest.mark.parametrize("wrong", ["3 parsec", "-1", "um", "", "1 um um", "nan", "1e999", None, True, [1]])
def test_what_is_no_length_is_refused_by_the_step_that_has_it(wrong):
    with pytest.raises(ParameterError, match=r"gaussian\.sigma"):
        Gaussian(sigma=wrong)


def test_a_length_that_no_window_could_hold_is_refused():
    with pytest.raises(ParameterError, match="at most"):
        Length.parse("50 mm").pixels(GRID)


@given(st.floats(0, 1e6), st.sampled_from([None, "nm", "um", "mm", "cm", "m"]))
def test_a_length_survives_being_written_down(value, unit):
    length = Length(value, unit)
    again = Length.parse(length.dump())
    assert again.unit == unit
    assert math.isclose(again.value, value, rel_tol=1e-5)
