import io
import pickle
import zipfile

import numpy as np
import pytest
from array_images import (
    SHARED,
    TYPES,
    Recorder,
    assert_damage_is_one_line,
    assert_same,
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
GRID = Grid("ZYX", STACK.shape, (2.0, 0.1, 0.3), "um")


def only_pixels(path):
    found = np.load(path, allow_pickle=False)
    return found if isinstance(found, np.ndarray) else found["pixels"]


@pytest.mark.parametrize("suffix", [".npy", ".npz"])
@settings(max_examples=25, deadline=None)
@given(image=images(types=(*TYPES, "i8", "u8")))
def test_keeps_everything_of_an_image(tmp_path_factory, suffix, image):
    path = tmp_path_factory.mktemp("arrays") / f"image{suffix}"
    write(path, image)
    assert_same(read(path), image)
    np.testing.assert_array_equal(only_pixels(path), image.read())


@pytest.mark.parametrize("suffix", [".npy", ".npz"])
@settings(max_examples=25, deadline=None)
@given(labels=objects())
def test_keeps_ids_up_to_the_largest(tmp_path_factory, suffix, labels):
    path = tmp_path_factory.mktemp("arrays") / f"labels{suffix}"
    write_labels(path, labels, provenance={"method": "otsu"})
    again = read_labels(path)
    np.testing.assert_array_equal(again.labels, labels.labels)
    assert again.grid == labels.grid
    assert read_provenance(path) == {"method": "otsu"}
    assert only_pixels(path).dtype == np.uint32


@pytest.mark.parametrize("suffix", [".npy", ".npz"])
def test_writes_the_same_bytes_twice(tmp_path, suffix):
    assert_written_alike_twice(tmp_path, suffix, Image(STACK, GRID))


@pytest.mark.parametrize("suffix", [".npy", ".npz"])
def test_writes_piece_by_piece(tmp_path, suffix):
    recorder = Recorder(np.zeros((2, 1100, 7)))
    write(tmp_path / f"a{suffix}", Image(recorder, Grid("ZYX", recorder.shape)))
    assert recorder.largest == BAND * 7


def test_changed_pixels_outweigh_the_description(tmp_path):
    write(tmp_path / "a.npy", Image(STACK, GRID))
    with (tmp_path / "a.npy").open("rb") as file:
        np.load(file)
        behind = file.read()
    with (tmp_path / "a.npy").open("wb") as file:
        np.save(file, STACK[:2])
        file.write(behind)
    assert read(tmp_path / "a.npy").grid == Grid("ZYX", (2, 33, 41))


@pytest.mark.parametrize(
    ("shape", "dtype", "axes"),
    [((9, 8), "f4", "YX"), ((9, 30, 20), "u2", "ZYX"), ((30, 20, 3), "u1", "YXC"), ((30, 20, 4), "u1", "YXC")],
)
def test_guesses_axes_that_can_be_guessed(tmp_path, shape, dtype, axes):
    data = rng.integers(0, 200, shape).astype(dtype)
    np.save(tmp_path / "a.npy", data)
    image = read(tmp_path / "a.npy")
    assert image.grid.axes == "".join(a for a in "CZYX" if a in axes)
    np.testing.assert_array_equal(image.data, np.moveaxis(data, -1, 0) if "C" in axes else data)


@pytest.mark.parametrize(
    ("shape", "dtype"), [((30, 20, 3), "u2"), ((9, 8, 3), "u1"), ((2, 3, 30, 20), "u1"), ((9,), "u1")]
)
def test_asks_where_axes_can_not_be_guessed(tmp_path, shape, dtype):
    np.save(tmp_path / "a.npy", np.zeros(shape, dtype))
    with pytest.raises(InputError, match=r"a\.npy: which axes .* Image\.from_array\(array, axes='CYX'\)"):
        read(tmp_path / "a.npy")


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", ["<u2", ">u2", ">f8"])
@pytest.mark.parametrize("lazy", [False, True])
def test_reads_any_order_of_bytes_and_axes(tmp_path, monkeypatch, order, dtype, lazy):
    if lazy:
        monkeypatch.setattr("segmentry.io.arrange.LAZY_FROM", 0)
    np.save(tmp_path / "a.npy", np.asarray(STACK, dtype, order=order))
    image = read(tmp_path / "a.npy")
    assert isinstance(image.data, np.ndarray) != lazy
    assert image.dtype.isnative
    piece = image.data[1:3, 4:9, 5:]
    np.testing.assert_array_equal(piece, STACK[1:3, 4:9, 5:])
    assert piece.dtype == image.dtype
    piece[:] = 0  # pieces are copies, the file stays


def test_never_loads_a_pickle(tmp_path):
    np.save(tmp_path / "a_seg.npy", {"masks": STACK}, allow_pickle=True)
    with pytest.raises(InputError, match=r"a_seg\.npy is a pickle, which is never loaded since it could run code"):
        read(tmp_path / "a_seg.npy")
    (tmp_path / "b.npy").write_bytes(pickle.dumps(STACK))
    with pytest.raises(InputError, match="of no known format"):
        read(tmp_path / "b.npy")
    np.savez(tmp_path / "c.npz", masks=np.array([{}], dtype=object))
    with pytest.raises(InputError, match="holds 0 arrays"):
        read(tmp_path / "c.npz")


def test_takes_the_only_array_of_numbers(tmp_path):
    np.savez(tmp_path / "a.npz", volume=STACK, name=np.array("plant"), sizes=np.arange(3))
    np.testing.assert_array_equal(read(tmp_path / "a.npz").data, STACK)


def test_lists_the_arrays_where_several_may_be_meant(tmp_path):
    np.savez(tmp_path / "a.npz", raw=STACK, truth=STACK[0])
    with pytest.raises(InputError, match=r"2 arrays .*: raw \(uint16 \(4, 33, 41\)\), truth \(uint16 \(33, 41\)\)"):
        read(tmp_path / "a.npz")


def test_other_zip_files_are_not_ours(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("notes.txt", "hello")
    with pytest.raises(InputError, match="of no known format"):
        read(tmp_path / "a.npz")


def test_refuses_an_empty_array(tmp_path):
    np.save(tmp_path / "a.npy", np.zeros((0, 5)))
    with pytest.raises(InputError, match="no pixel to work on"):
        read(tmp_path / "a.npy")


@pytest.mark.parametrize("suffix", [".npy", ".npz"])
def test_damaged_files_are_refused_quietly(tmp_path, capfd, suffix):
    write(tmp_path / f"a{suffix}", Image(STACK, GRID))
    assert_damage_is_one_line(tmp_path / f"a{suffix}", capfd)


def test_refuses_claims_that_the_file_can_not_hold(tmp_path):
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f8", "fortran_order": False, "shape": (10**6, 10**6)})
    (tmp_path / "a.npy").write_bytes(header.getvalue())
    with pytest.raises(InputError, match="ends before the 8,000,000,000,000 bytes"):
        read(tmp_path / "a.npy")
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("a.npy", header.getvalue())
    with pytest.raises(InputError, match=r"claims 8e\+03 GB"):
        read(tmp_path / "a.npz")


def test_reads_files_of_others():
    if not SHARED.is_dir():
        pytest.skip("the shared data sets are not here")
    assert read_labels(SHARED / "laptrack" / "overlap_labels.npy").grid == Grid("ZYX", (5, 256, 256))
