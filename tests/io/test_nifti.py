"""NIfTI: geometry survives to the last bit, nibabel sees the same, and damaged files are one clear line."""

import gzip
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import hypothesis.strategies as st
import nibabel
import numpy as np
import pytest
from array_images import images
from hypothesis import given, settings
from hypothesis.extra.numpy import arrays

from segmentry.errors import InputError, OutputError
from segmentry.image import Grid, Image
from segmentry.io import read, read_labels, read_provenance, write, write_labels
from segmentry.result import Instances

HIPPOCAMPUS = Path(__file__).parents[2].parent / "shared" / "data" / "hippocampus"
SUFFIXES = (".nii", ".nii.gz")
DTYPES = ("?", "u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f2", "f4", "f8")
PER_UNIT = {"nm": ("micron", 1e-3), "um": ("micron", 1), "mm": ("mm", 1), "cm": ("mm", 10), "m": ("meter", 1)}
positive = st.floats(1e-6, 1e6)


def volume(shape=(4, 5, 6), dtype="i2", **geometry) -> Image:
    data = np.random.default_rng(1).integers(0, 100, shape).astype(dtype)
    return Image(data, Grid("TCZYX"[-len(shape) :], shape, **geometry))


def put(path: Path, data, affine=None, change=lambda _: None) -> Path:
    """Write a file as another program would: no metadata of ours."""
    image = nibabel.Nifti1Image(data, affine, dtype=data.dtype)
    change(image.header)
    image.to_filename(path)
    return path


@pytest.mark.parametrize("suffix", SUFFIXES)
@given(image=images(DTYPES))
@settings(max_examples=25, deadline=None)
def test_gives_back_every_image_exactly(tmp_path_factory, suffix, image):
    path = tmp_path_factory.mktemp("nifti") / f"image{suffix}"
    write(path, image)
    found = read(path)
    assert (found.grid, found.channels, found.dtype) == (image.grid, image.channels, image.dtype)
    assert dict(found.provenance) == dict(image.provenance)
    np.testing.assert_array_equal(found.read(), image.data)


@given(image=images(DTYPES))
@settings(max_examples=25, deadline=None)
def test_nibabel_sees_the_same_voxels_and_geometry(tmp_path_factory, image):
    path = tmp_path_factory.mktemp("nifti") / "image.nii"
    write(path, image)
    other = nibabel.load(path)
    order = [image.grid.axes.index(a) for a in "XYZTC" if a in image.grid.axes]
    np.testing.assert_array_equal(np.asarray(other.dataobj).squeeze(), image.data.transpose(order).squeeze())
    if image.grid.spacing:
        unit, factor = PER_UNIT[image.grid.unit]
        expected = [s * factor for s in reversed(image.grid.spacing)]
        assert other.header.get_zooms()[: len(expected)] == pytest.approx(expected, rel=1e-6)
        assert other.header.get_xyzt_units() == (unit, "sec" if image.grid.interval else "unknown")
        if image.grid.affine:
            matrix = np.vstack([np.array(image.grid.affine)[:3] * factor, [0, 0, 0, 1]])
            np.testing.assert_allclose(other.affine, matrix, rtol=1e-6, atol=1e-30)
    if image.grid.interval:
        assert other.header.get_zooms()[3] == pytest.approx(image.grid.interval, rel=1e-6)


@pytest.mark.parametrize("suffix", SUFFIXES)
@given(
    labels=arrays(np.uint32, st.tuples(*[st.integers(1, 5)] * 3), elements=st.integers(0, 2**32 - 1)),
    spacing=st.tuples(positive, positive, positive),
)
@settings(max_examples=25, deadline=None)
def test_gives_back_every_id_exactly(tmp_path_factory, suffix, labels, spacing):
    path = tmp_path_factory.mktemp("nifti") / f"labels{suffix}"
    result = Instances.from_labels(labels, Grid("ZYX", labels.shape, spacing, "mm"))
    write_labels(path, result, provenance={"seed": 3})
    found = read_labels(path)
    np.testing.assert_array_equal(found.labels, labels)
    assert found.grid == result.grid
    assert dict(read_provenance(path)) == {"seed": 3}
    other = nibabel.load(path)
    assert (other.get_data_dtype(), other.header.get_intent()[0]) == (np.uint32, "label")


@pytest.mark.parametrize("folder", ["images", "labels"])
def test_hippocampi_are_what_nibabel_says_and_survive_a_copy(tmp_path, folder):
    if not HIPPOCAMPUS.is_dir():
        pytest.skip("the hippocampus data set is not there")
    for path in sorted((HIPPOCAMPUS / folder).glob("*.nii.gz"))[:12]:
        other = nibabel.load(path)
        image = read(path)
        assert image.grid.axes == "ZYX"
        assert image.grid.spacing == tuple(float(z) for z in reversed(other.header.get_zooms()))
        assert image.grid.unit == "mm"
        np.testing.assert_array_equal(np.array(image.grid.affine), other.affine)
        np.testing.assert_array_equal(image.read().T, np.asarray(other.dataobj))
        write(tmp_path / path.name, image)
        again = nibabel.load(tmp_path / path.name)
        np.testing.assert_array_equal(again.affine, other.affine)
        np.testing.assert_array_equal(np.asarray(again.dataobj), np.asarray(other.dataobj))
        assert again.header.get_zooms() == other.header.get_zooms()


def test_labels_lie_where_their_image_lies(tmp_path):
    affine = np.array([[-0.7, 0.01, 0, 90], [0, 0.71, 0.02, -126], [0, -0.03, 1.5, -72], [0, 0, 0, 1]])
    put(tmp_path / "image.nii.gz", np.ones((3, 4, 5), np.int16), affine)
    image = read(tmp_path / "image.nii.gz")
    write_labels(tmp_path / "labels.nii.gz", Instances.from_labels(np.ones(image.grid.shape, np.uint32), image.grid))
    original, labels = nibabel.load(tmp_path / "image.nii.gz"), nibabel.load(tmp_path / "labels.nii.gz")
    np.testing.assert_array_equal(original.affine, labels.affine)
    assert original.shape == labels.shape


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_writes_the_same_bytes_twice(tmp_path, suffix):
    for name in ("a", "b"):
        write(tmp_path / f"{name}{suffix}", volume())
    assert (tmp_path / f"a{suffix}").read_bytes() == (tmp_path / f"b{suffix}").read_bytes()


def test_plain_files_are_read_when_they_are_sliced_by_many_threads(tmp_path):
    image = volume((7, 30, 40))
    write(tmp_path / "a.nii", image)
    found = read(tmp_path / "a.nii")
    assert not isinstance(found.data, np.ndarray)
    with ThreadPoolExecutor(4) as pool:
        planes = list(pool.map(lambda z: found.read((slice(z, z + 1), slice(3, 30, 2), slice(None))), range(7)))
    np.testing.assert_array_equal(np.concatenate(planes), image.data[:, 3:30:2])


def test_lazy_sources_are_read_in_slabs(tmp_path):
    class Counted:
        shape, dtype, largest = (20, 1000, 1000), np.dtype("u1"), 0

        def __getitem__(self, key):
            sizes = [len(range(*part.indices(n))) for part, n in zip(key, self.shape, strict=True)]
            self.largest = max(self.largest, int(np.prod(sizes)))
            return np.full(sizes, key[0].start, np.uint8)

    source = Counted()
    write(tmp_path / "a.nii", Image(source, Grid("ZYX", source.shape)))
    assert source.largest <= 2**23
    np.testing.assert_array_equal(read(tmp_path / "a.nii").read()[8:, 0, 0], [8] * 8 + [16] * 4)


@pytest.mark.parametrize(
    ("code", "unit", "spacing"),
    [("unknown", "mm", 0.3), ("mm", "mm", 0.3), ("micron", "um", 0.3), ("meter", "m", 0.3)],
)
def test_units_of_other_programs(tmp_path, code, unit, spacing):
    def change(header):
        header.set_zooms((spacing, spacing, 2))
        header.set_xyzt_units(code)

    grid = read(put(tmp_path / "a.nii", np.ones((3, 4, 5), np.uint8), None, change)).grid
    assert (grid.spacing, grid.unit) == ((2.0, 0.3, 0.3), unit)
    assert grid.affine is None


@pytest.mark.parametrize(("code", "interval"), [("sec", 2.5), ("msec", 0.0025), ("usec", 2.5e-6), ("unknown", None)])
def test_time_becomes_an_interval(tmp_path, code, interval):
    def change(header):
        header.set_zooms((1, 1, 1, 2.5))
        header.set_xyzt_units("mm", code)

    grid = read(put(tmp_path / "a.nii", np.ones((3, 4, 5, 6), np.uint8), np.eye(4), change)).grid
    assert (grid.axes, grid.shape) == ("TZYX", (6, 5, 4, 3))
    assert grid.interval == (interval and pytest.approx(interval))


def test_axes_of_length_one_are_dropped(tmp_path):
    for shape, axes in (((3, 4, 1), "YX"), ((3, 4, 5, 1), "ZYX"), ((3, 4, 1, 1, 2), "CYX"), ((1, 1, 5), "ZYX")):
        assert read(put(tmp_path / "a.nii", np.ones(shape, np.uint8), np.eye(4))).grid.axes == axes


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_slope_and_intercept_are_applied(tmp_path, suffix):
    path = put(tmp_path / f"a{suffix}", np.arange(24, dtype=np.int16).reshape(2, 3, 4), np.eye(4))
    with (gzip.open if suffix == ".nii.gz" else Path.open)(path, "rb") as file:
        raw = bytearray(file.read())
    raw[112:120] = np.array([0.5, -10], "<f4").tobytes()
    path.write_bytes(gzip.compress(raw) if suffix == ".nii.gz" else raw)
    image = read(path)
    assert image.dtype == np.float32 == image.read().dtype
    np.testing.assert_array_equal(image.read().T, np.asarray(nibabel.load(path).dataobj))


def test_voxels_that_are_meant_as_labels_are_labels(tmp_path):
    put(tmp_path / "a.nii", np.ones((3, 4, 5), np.uint8), np.eye(4), lambda header: header.set_intent("label"))
    assert read(tmp_path / "a.nii").kind == "labels"
    assert read(put(tmp_path / "b.nii", np.ones((3, 4, 5), np.uint8), np.eye(4))).kind == "image"


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_colours_are_channels(tmp_path, suffix):
    colours = np.random.default_rng(0).integers(0, 255, (4, 3, 2, 3), dtype=np.uint8)
    packed = colours.view([("R", "u1"), ("G", "u1"), ("B", "u1")])[..., 0]
    image = read(put(tmp_path / f"a{suffix}", packed, np.eye(4)))
    assert (image.grid.axes, image.channels) == ("CZYX", ("red", "green", "blue"))
    np.testing.assert_array_equal(image.read(), colours.transpose(3, 2, 1, 0))


def test_big_endian_and_second_version(tmp_path):
    data = np.arange(60, dtype=np.uint16).reshape(3, 4, 5)
    nibabel.Nifti1Image(data, np.eye(4), nibabel.Nifti1Header(endianness=">")).to_filename(tmp_path / "big.nii")
    nibabel.Nifti2Image(data, np.eye(4)).to_filename(tmp_path / "two.nii.gz")
    for name in ("big.nii", "two.nii.gz"):
        np.testing.assert_array_equal(read(tmp_path / name).read().T, data)
        assert read(tmp_path / name).dtype.isnative
    write(tmp_path / "long.nii", volume((1, 1, 40000)))
    assert isinstance(nibabel.load(tmp_path / "long.nii"), nibabel.Nifti2Image)
    assert read(tmp_path / "long.nii").grid.shape == (1, 1, 40000)


def test_geometry_that_another_program_changed_counts(tmp_path):
    write(tmp_path / "a.nii", volume(spacing=(3.0, 2.0, 1.0), unit="mm"))
    other = nibabel.load(tmp_path / "a.nii")
    nibabel.Nifti1Image(other.dataobj, np.diag([1, 2, 4, 1]), other.header).to_filename(tmp_path / "b.nii")
    assert read(tmp_path / "b.nii").grid.spacing == (4.0, 2.0, 1.0)


def test_a_mask_that_another_program_filled_with_labels_is_no_mask(tmp_path):
    write(tmp_path / "mask.nii", Image.from_array(np.ones((3, 4, 5), bool)))
    other = nibabel.load(tmp_path / "mask.nii")
    nibabel.Nifti1Image(np.full(other.shape, 7, np.uint8), None, other.header).to_filename(tmp_path / "labels.nii")
    assert read(tmp_path / "mask.nii").dtype == bool
    assert read(tmp_path / "labels.nii").read().max() == 7


def test_long_doubles_and_complex_numbers_are_refused(tmp_path):
    with pytest.raises(OutputError, match="float64"):
        write(tmp_path / "a.nii", volume(dtype=np.longdouble))
    with pytest.raises(InputError, match="complex64"):
        read(put(tmp_path / "c.nii", np.ones((2, 3, 4), np.complex64), np.eye(4)))


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_file_that_is_cut_off_says_so(tmp_path, suffix):
    write(tmp_path / f"a{suffix}", volume((9, 30, 30)))
    whole = (tmp_path / f"a{suffix}").read_bytes()
    (tmp_path / f"b{suffix}").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match=r"cut off|end-of-stream"):
        read(tmp_path / f"b{suffix}")


def test_a_changed_bit_in_a_gzipped_file_is_noticed(tmp_path):
    write(tmp_path / "a.nii.gz", volume((9, 30, 30)))
    raw = bytearray((tmp_path / "a.nii.gz").read_bytes())
    raw[-5] ^= 1
    (tmp_path / "a.nii.gz").write_bytes(raw)
    with pytest.raises(InputError, match=r"CRC|check"):
        read(tmp_path / "a.nii.gz")


@pytest.mark.parametrize(
    ("dims", "offset", "message"),
    [
        ([3, 32767, 32767, 32767], 352, "claims .* GB"),
        ([3, 4, -5, 6], 352, "axis of length zero"),
        ([1, 4, 1, 1], 352, "has 1 axes"),
        ([6, 2, 2, 2, 2, 2, 2], 352, "has 6 axes"),
        ([3, 4, 5, 6], 2e9, "begin at byte 2000000000"),
    ],
)
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_headers_that_cannot_be_are_refused(tmp_path, suffix, dims, offset, message):
    header = nibabel.Nifti1Header()
    header["dim"][: len(dims)] = dims
    header["vox_offset"] = offset
    raw = header.binaryblock + bytes(1000)
    (tmp_path / f"a{suffix}").write_bytes(gzip.compress(raw) if suffix == ".nii.gz" else raw)
    with pytest.raises(InputError, match=message) as caught:
        read(tmp_path / f"a{suffix}")
    assert "\n" not in str(caught.value)
