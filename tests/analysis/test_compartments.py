import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from segmentry.analysis.compartments import compartments, measure_compartments
from segmentry.analysis.measure import Measure
from segmentry.errors import InputError
from segmentry.image import Grid, Image
from segmentry.result import Instances

CELLS = np.zeros((8, 12), np.uint32)
CELLS[1:7, 0:5], CELLS[1:7, 5:10] = 9, 2**32 - 1
NUCLEI = np.zeros((8, 12), np.uint32)
NUCLEI[2:4, 1:3], NUCLEI[5, 1:6], NUCLEI[0, 11] = 1, 2, 3


def instances(array, **grid):
    array = np.asarray(array, np.uint32)
    return Instances.from_labels(array, Grid("YX" if array.ndim == 2 else "TYX", array.shape, **grid))


def test_nuclei_take_the_id_of_their_cell_and_the_cytoplasm_is_the_rest():
    found = compartments(instances(CELLS), instances(NUCLEI))
    nuclei, cytoplasm = np.asarray(found.nuclei.labels[...]), np.asarray(found.cytoplasm.labels[...])
    assert found.nuclei.ids.tolist() == [9]
    assert (nuclei == 9).sum() == 8  # four and four: the pixel in the other cell is cut off
    assert ((nuclei > 0) ^ (cytoplasm > 0))[CELLS > 0].all()
    assert cytoplasm[5, 5] == 2**32 - 1
    assert found.n_nuclei.tolist() == [2, 0]
    assert found.homeless.tolist() == [3]


IDS = arrays(np.uint32, (6, 7), elements=st.sampled_from([0, 1, 2, 3, 2**32 - 1]))


@given(IDS, IDS)
def test_every_pixel_of_a_cell_is_in_one_part_and_each_nucleus_is_where_most_of_it_lies(cells, nuclei):
    found = compartments(instances(cells), instances(nuclei))
    nucleus, cytoplasm = np.asarray(found.nuclei.labels[...]), np.asarray(found.cytoplasm.labels[...])
    assert (nucleus + cytoplasm == cells).all()
    homes = {}
    for number in np.unique(nuclei[nuclei > 0]):
        inside = cells[(nuclei == number) & (cells > 0)]
        if len(inside):
            ids, counts = np.unique(inside, return_counts=True)
            homes[number] = ids[counts.argmax()]
    expected = np.zeros_like(cells)
    for number, home in homes.items():
        expected[(nuclei == number) & (cells == home)] = home
    assert (nucleus == expected).all()
    assert dict(zip(found.cells.ids, found.n_nuclei, strict=True)) == {
        i: list(homes.values()).count(i) for i in np.unique(cells[cells > 0])
    }


def test_a_row_per_cell_has_the_numbers_of_all_parts_and_their_ratios():
    pixels = np.where(NUCLEI > 0, 30.0, 10.0)
    size = {"spacing": (0.5, 0.5), "unit": "um"}
    step = Measure(properties=["size", "intensity"])
    table = measure_compartments(instances(CELLS, **size), instances(NUCLEI, **size), Image.from_array(pixels), step)
    assert table["id"].tolist() == [9, 2**32 - 1]
    assert table["n_nuclei"].tolist() == [2, 0]
    assert table["cell_area_um2"].tolist() == [30 / 4, 30 / 4]
    assert table["nucleus_area_um2"].tolist()[0] == 8 / 4
    assert np.isnan(table["nucleus_area_um2"][1])
    assert table["nucleus_to_cell_area"][0] == 8 / 30
    assert table["nucleus_to_cytoplasm_mean"][0] == 3
    assert table["cytoplasm_area_um2"].tolist() == [22 / 4, 30 / 4]
    assert table.attrs["labels_sha256"]


def test_time_points_are_taken_one_by_one():
    cells, nuclei = np.stack([CELLS, CELLS]), np.stack([NUCLEI, np.zeros_like(NUCLEI)])
    table = measure_compartments(instances(cells), instances(nuclei), None, Measure(properties=["size"]))
    assert table[["id", "time", "n_nuclei"]].to_numpy().tolist() == [
        [9, 0, 2], [2**32 - 1, 0, 0], [9, 1, 0], [2**32 - 1, 1, 0],
    ]  # fmt: skip


def test_labels_that_do_not_fit_are_refused_with_both_told():
    with pytest.raises(InputError, match=r"\(8, 11\).*\(8, 12\)"):
        compartments(instances(CELLS), instances(NUCLEI[:, :11]))


def test_each_column_says_what_it_is_and_of_which_part():
    image = Image(np.ones((8, 12), np.uint8), Grid("YX", (8, 12)))
    table = measure_compartments(instances(CELLS), instances(NUCLEI), image, Measure(properties=["area", "mean"]))
    meanings = table.attrs["meanings"]
    assert list(meanings) == list(table.columns)
    assert all(meanings.values())
    assert meanings["nucleus_area_px"].startswith("Of the nucleus: ")
