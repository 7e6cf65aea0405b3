import gc
import json

import h5py
import numpy as np
import pytest
from array_images import (
    SHARED,
    TYPES,
    Recorder,
    assert_damage_is_one_line,
    assert_same,
    assert_slices_alike,
    assert_written_alike_twice,
    images,
    objects,
)
from hypothesis import given, settings

from segmentry.errors import InputError
from segmentry.image import Grid, Image
from segmentry.io import read, read_labels, read_provenance, write, write_labels
from segmentry.io.arrange import BAND

rng = np.random.default_rng(0)
STACK = rng.integers(0, 4000, (4, 33, 41), dtype=np.uint16)


def save(path, **datasets):
    with h5py.File(path, "w") as file:
        for name, data in datasets.items():
            file[name.replace("__", "/")] = data


def tags(axes, resolution=0.0):
    return json.dumps({"axes": [{"key": a, "resolution": resolution, "typeFlags": 2} for a in axes]})


@settings(max_examples=25, deadline=None)
@given(image=images(types=(*TYPES, "i8", "u8")))
def test_keeps_everything_of_an_image(tmp_path_factory, image):
    path = tmp_path_factory.mktemp("hdf5") / "image.h5"
    write(path, image)
    assert_same(read(path), image)
    with h5py.File(path) as file:
        np.testing.assert_array_equal(file["exported_data"][()], image.read())


@settings(max_examples=25, deadline=None)
@given(labels=objects())
def test_keeps_ids_up_to_the_largest(tmp_path_factory, labels):
    path = tmp_path_factory.mktemp("hdf5") / "labels.h5"
    write_labels(path, labels, provenance={"method": "otsu"})
    again = read_labels(path)
    np.testing.assert_array_equal(again.labels, labels.labels)
    assert again.grid == labels.grid
    assert read_provenance(path) == {"method": "otsu"}


def test_other_programs_see_axes_and_pixel_size(tmp_path):
    grid = Grid("TZYX", (1, *STACK.shape), (2000.0, 100.0, 300.0), "nm", 0.5)
    write(tmp_path / "a.h5", Image(STACK[None], grid))
    with h5py.File(tmp_path / "a.h5") as file:
        said = dict(file["exported_data"].attrs)
        assert file["exported_data"].compression == "gzip"
    axes = json.loads(said["axistags"])["axes"]
    assert [(a["key"], a["typeFlags"], a["resolution"]) for a in axes] == [
        ("t", 8, 0.5),
        ("z", 2, 2000.0),
        ("y", 2, 100.0),
        ("x", 2, 300.0),
    ]
    assert json.loads(said["axis_units"]) == {"t": "sec", "z": "nm", "y": "nm", "x": "nm"}
    np.testing.assert_allclose(said["element_size_um"], [2.0, 0.1, 0.3], rtol=1e-15)


def test_writes_the_same_bytes_twice(tmp_path):
    assert_written_alike_twice(tmp_path, ".h5", Image.from_array(STACK, spacing=(2, 1, 1)))


def test_writes_piece_by_piece(tmp_path):
    recorder = Recorder(np.zeros((2, 1100, 7)))
    write(tmp_path / "a.h5", Image(recorder, Grid("ZYX", recorder.shape)))
    assert recorder.largest == BAND * 7


def test_keeps_a_long_provenance(tmp_path):
    image = Image(STACK[0], Grid("YX", (33, 41)), (), "", {"recipe": "x" * 200_000})
    write(tmp_path / "a.h5", image)
    assert_same(read(tmp_path / "a.h5"), image)


def test_reads_the_axes_of_ilastik(tmp_path):
    data = rng.integers(0, 9, (2, 41, 33, 1, 3))
    save(tmp_path / "a.ilastik.h5", exported_data=data)
    with h5py.File(tmp_path / "a.ilastik.h5", "a") as file:
        file["exported_data"].attrs["axistags"] = tags("txyzc", 0.5)
        file["exported_data"].attrs["axis_units"] = json.dumps({"t": "sec", "x": "µm", "y": "µm", "z": "mm", "c": ""})
    image = read(tmp_path / "a.ilastik.h5")
    assert image.grid == Grid("TCYX", (2, 3, 33, 41), (0.5, 0.5), "um", 0.5)
    np.testing.assert_array_equal(image.data, data[:, :, :, 0].transpose(0, 3, 2, 1))


def test_unset_resolutions_are_no_spacing(tmp_path):
    save(tmp_path / "a.h5", exported_data=STACK)
    with h5py.File(tmp_path / "a.h5", "a") as file:
        file["exported_data"].attrs["axistags"] = tags("zyx")
        file["exported_data"].attrs["axis_units"] = json.dumps(dict.fromkeys("zyx", "um"))
    assert read(tmp_path / "a.h5").grid == Grid("ZYX", STACK.shape)


@pytest.mark.parametrize(
    ("shape", "size", "spacing"),
    [((4, 9, 8), (2, 1, 3), (2, 1, 3)), ((9, 8), (2, 1, 3), (1, 3)), ((9, 8), (1, 3), (1, 3))],
)
def test_reads_the_element_size_of_fiji(tmp_path, shape, size, spacing):
    save(tmp_path / "a.h5", t0__channel0=np.zeros(shape))
    with h5py.File(tmp_path / "a.h5", "a") as file:
        file["t0/channel0"].attrs["element_size_um"] = np.array(size, np.float32)
    image = read(tmp_path / "a.h5")
    assert (image.grid.spacing, image.grid.unit) == (spacing, "um")


def test_takes_raw_for_images_and_label_for_ids(tmp_path):
    save(tmp_path / "a.h5", volumes__raw=STACK, volumes__label=STACK.astype("i8") % 7, big_label=STACK, note="x")
    np.testing.assert_array_equal(read(tmp_path / "a.h5").data, STACK)
    np.testing.assert_array_equal(read_labels(tmp_path / "a.h5").labels, STACK % 7)


def test_lists_the_datasets_where_several_may_be_meant(tmp_path):
    save(tmp_path / "a.h5", first__raw=STACK, second__raw=STACK[0])
    with pytest.raises(InputError, match=r"2 datasets .*: first/raw \(4, 33, 41\), second/raw \(33, 41\);"):
        read(tmp_path / "a.h5")


@pytest.mark.parametrize(
    ("shape", "axes"),
    [((9, 8), "YX"), ((7, 9, 8), "ZYX"), ((2, 7, 9, 8), "CZYX"), ((7, 9, 8, 3), "CZYX"), ((30, 20, 3), "CYX")],
)
def test_guesses_axes_that_can_be_guessed(tmp_path, shape, axes):
    save(tmp_path / "a.h5", raw=np.zeros(shape, np.uint8))
    assert read(tmp_path / "a.h5").grid.axes == axes


@pytest.mark.parametrize("shape", [(2, 9, 8, 2), (7, 7, 9, 8), (2, 2, 7, 9, 8)])
def test_asks_where_axes_can_not_be_guessed(tmp_path, shape):
    save(tmp_path / "a.h5", raw=np.zeros(shape))
    with pytest.raises(InputError, match=r"a\.h5: which axes"):
        read(tmp_path / "a.h5")


def test_lazy_pixels_are_those_of_the_file(tmp_path, monkeypatch):
    monkeypatch.setattr("segmentry.io.arrange.LAZY_FROM", 0)
    monkeypatch.setattr("segmentry.io.hdf5.LAZY_FROM", 0)
    write(tmp_path / "a.h5", Image.from_array(STACK))
    assert_slices_alike(read(tmp_path / "a.h5").data, STACK)
    gc.collect()
    save(tmp_path / "a.h5", raw=STACK)  # the file is free again


def test_damaged_files_are_refused_quietly(tmp_path, capfd):
    write(tmp_path / "a.h5", Image.from_array(STACK))
    assert_damage_is_one_line(tmp_path / "a.h5", capfd)


def test_refuses_claims_that_the_file_can_not_hold(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("raw", (10**5, 10**5, 10**5), np.uint16, chunks=(1, 64, 64))
    with pytest.raises(InputError, match="claims"):
        read(tmp_path / "a.h5")


@pytest.mark.parametrize(
    ("name", "axes", "shape", "count"),
    [
        ("plant3d/sample_patch_a.h5", "ZYX", (64, 200, 200), 106),
        ("simulated_tracks/seg_gt.h5", "TYX", (10, 534, 495), 27),
    ],
)
def test_reads_files_of_others(name, axes, shape, count):
    if not SHARED.is_dir():
        pytest.skip("the shared data sets are not here")
    labels = read_labels(SHARED / name)
    assert labels.grid == Grid(axes, shape)
    assert len(labels) == count
