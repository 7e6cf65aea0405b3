"""DICOM: series become volumes that lie where they should; what can't be one volume is refused by name."""

import sys
import warnings
import zlib
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import (
    CTImageStorage,
    DeflatedExplicitVRLittleEndian,
    EnhancedCTImageStorage,
    ExplicitVRLittleEndian,
    UltrasoundMultiFrameImageStorage,
)

from segmentry.errors import InputError, MissingExtraError
from segmentry.io import read, read_labels

SHIPPED = Path(pydicom.data.__file__).parent / "test_files"
AXIAL = [1, 0, 0, 0, 1, 0]


def placed_by_nibabel(path: Path):
    """Return nibabel's view of a file; its DICOM readers warn that they are experimental."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from nibabel.nicom.dicomwrappers import wrapper_from_file
    return wrapper_from_file(path)


def dataset(path: Path, pixels: np.ndarray, storage=CTImageStorage, **attributes) -> FileDataset:
    """Make a DICOM image of the last two axes (and colours) of `pixels`."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = storage
    meta.MediaStorageSOPInstanceUID = f"1.2.3.{zlib.crc32(path.name.encode())}"
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data = FileDataset(path, {}, file_meta=meta, preamble=bytes(128))
    data.SOPClassUID, data.SOPInstanceUID = storage, meta.MediaStorageSOPInstanceUID
    data.SeriesInstanceUID, data.SeriesDescription, data.Modality = "1.2.3.4", "head", "CT"
    colour = attributes.pop("colour", False)
    data.SamplesPerPixel = 3 if colour else 1
    data.PhotometricInterpretation = "RGB" if colour else "MONOCHROME2"
    if colour:
        data.PlanarConfiguration = 0
    data.Rows, data.Columns = pixels.shape[-3:-1] if colour else pixels.shape[-2:]
    data.BitsAllocated = data.BitsStored = pixels.dtype.itemsize * 8
    data.HighBit = data.BitsStored - 1
    data.PixelRepresentation = int(pixels.dtype.kind == "i")
    data.PixelData = pixels.tobytes()
    for key, value in attributes.items():
        setattr(data, key, value)
    return data


def series(folder: Path, volume: np.ndarray, positions, **attributes) -> Path:
    folder.mkdir(exist_ok=True)
    # file names in an order that has nothing to do with places
    for i, (plane, position) in enumerate(zip(volume, positions, strict=True)):
        path = folder / f"{(i * 7) % 10}{i}.dcm"
        geometry = {
            "ImagePositionPatient": list(position),
            "ImageOrientationPatient": AXIAL,
            "PixelSpacing": [0.5, 0.25],
        }
        dataset(path, plane, **(geometry | attributes)).save_as(path, enforce_file_format=True)
    return folder


def planes(count=5, dtype=np.int16) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 100, (count, 6, 7)).astype(dtype)


def test_slices_are_sorted_by_where_they_lie(tmp_path):
    volume = planes()
    image = read(series(tmp_path / "scan", volume, [(-10, 20, 30 + 2.5 * z) for z in range(5)]))
    assert (image.grid.axes, image.grid.shape) == ("ZYX", (5, 6, 7))
    assert (image.grid.spacing, image.grid.unit) == ((2.5, 0.5, 0.25), "mm")
    np.testing.assert_array_equal(image.read(), volume)
    assert image.dtype == np.int16
    assert image.grid.affine == ((-0.25, 0, 0, 10), (0, -0.5, 0, -20), (0, 0, 2.5, 30), (0, 0, 0, 1))
    assert image.name == "scan"


def test_the_distance_is_that_of_positions_not_of_the_header(tmp_path):
    folder = series(
        tmp_path / "a", planes(), [(0, 0, -3.0 * z) for z in range(5)], SliceThickness=1, SpacingBetweenSlices=9
    )
    image = read(folder)
    assert image.grid.spacing == (3.0, 0.5, 0.25)
    np.testing.assert_array_equal(image.read(), planes()[::-1])


def test_oblique_series_lie_where_nibabel_puts_them(tmp_path):
    along, down = np.array([0.8, 0.6, 0.0]), np.array([0.0, 0.0, -1.0])
    normal = np.cross(along, down)
    places = [np.array([5.0, -7.0, 11.0]) + 1.5 * z * normal for z in range(4)]
    folder = series(tmp_path / "a", planes(4), places, ImageOrientationPatient=[*along, *down])
    affine = np.array(read(folder).grid.affine)
    for z, path in enumerate(sorted(folder.iterdir(), key=lambda p: p.stem[1])):
        other = np.diag([-1.0, -1.0, 1.0, 1.0]) @ placed_by_nibabel(path).affine
        for column, row in ((0, 0), (6, 0), (0, 5)):
            np.testing.assert_allclose(affine @ [column, row, z, 1], other @ [row, column, 0, 1], atol=1e-9)


def test_a_shipped_series_lies_where_nibabel_puts_it():
    folder = SHIPPED / "dicomdirtests" / "98892001" / "CT5N"
    image = read(folder)
    files = sorted((p for p in folder.iterdir()), key=lambda p: float(pydicom.dcmread(p).ImagePositionPatient[2]))
    assert image.grid.shape == (5, 16, 16)
    assert image.grid.spacing == (2.5, 0.488281, 0.488281)
    for z, path in enumerate(files):
        other = placed_by_nibabel(path)
        np.testing.assert_array_equal(image.read()[z], other.get_data())
        place = np.array(image.grid.affine) @ [3, 2, z, 1]
        np.testing.assert_allclose(place, np.diag([-1.0, -1.0, 1.0, 1.0]) @ other.affine @ [2, 3, 0, 1], atol=1e-3)


def test_a_tilted_gantry_shears_the_affine(tmp_path):
    image = read(series(tmp_path / "a", planes(3), [(0, 0.5 * z, 2.0 * z) for z in range(3)]))
    assert image.grid.spacing[0] == 2.0
    np.testing.assert_allclose(np.array(image.grid.affine)[:, 2], [0, -0.5, 2, 0])


def test_a_missing_slice_is_named(tmp_path):
    folder = series(tmp_path / "scan", planes(), [(0, 0, z) for z in (0, 2, 4, 8, 10)])
    with pytest.raises(InputError, match=r"scan has a gap of 4 mm between 42\.dcm and 13\.dcm, but 2 mm between other"):
        read(folder)


def test_rounded_positions_are_no_gap(tmp_path):
    places = [(0, 0, round(0.625 * z, 2)) for z in range(5)]
    assert read(series(tmp_path / "a", planes(), places)).grid.spacing[0] == pytest.approx(0.625)


def test_two_volumes_in_one_series_are_refused(tmp_path):
    folder = series(tmp_path / "a", planes(4), [(0, 0, z // 2) for z in range(4)])
    with pytest.raises(InputError, match="at the same place"):
        read(folder)


def test_several_series_are_listed(tmp_path):
    for i, name in enumerate(("T1 axial", "T2")):
        part = series(tmp_path / name, planes(3 + i), [(0, 0, z) for z in range(3 + i)])
        (tmp_path / "all").mkdir(exist_ok=True)
        for path in part.iterdir():
            data = pydicom.dcmread(path)
            data.SeriesInstanceUID, data.SeriesDescription = f"1.2.{i}", name
            data.save_as(tmp_path / "all" / f"{i}{path.name}")
    with pytest.raises(InputError, match=r"all holds 2 series, 'T1 axial' \(3 slices\), 'T2' \(4 slices\): put each"):
        read(tmp_path / "all")


def test_localizers_of_another_direction_are_refused(tmp_path):
    folder = series(tmp_path / "a", planes(2), [(0, 0, z) for z in range(2)])
    series(folder / "b", planes(1), [(0, 0, 9)], ImageOrientationPatient=[0, 1, 0, 0, 0, -1])
    (folder / "b" / "00.dcm").rename(folder / "9.dcm")
    with pytest.raises(InputError, match="differ in ImageOrientationPatient"):
        read(folder)


def test_other_files_in_a_folder_are_passed_over(tmp_path):
    folder = series(tmp_path / "a", planes(2), [(0, 0, z) for z in range(2)])
    (folder / "notes.txt").write_text("patient moved")
    (folder / "report").write_bytes((SHIPPED / "reportsi.dcm").read_bytes())
    assert read(folder).grid.shape == (2, 6, 7)


@pytest.mark.parametrize(
    ("slope", "intercept", "bits", "dtype"),
    [(1, 0, 16, "u2"), (1, -1024, 12, "i2"), (1, -1024, 16, "i4"), (2, 0, 16, "i4"), (0.5, 1.5, 16, "f4")],
)
def test_values_mean_what_the_header_says(tmp_path, slope, intercept, bits, dtype):
    volume = planes(2, np.uint16)
    extra = {"RescaleSlope": slope, "RescaleIntercept": intercept, "BitsStored": bits, "HighBit": bits - 1}
    image = read(series(tmp_path / "a", volume, [(0, 0, 0), (0, 0, 1)], **extra))
    assert image.dtype == np.dtype(dtype)
    np.testing.assert_array_equal(image.read(), volume * float(slope) + intercept)


def test_each_slice_has_its_own_slope(tmp_path):
    volume = planes(2, np.uint16)
    folder = series(tmp_path / "a", volume, [(0, 0, 0), (0, 0, 1)], RescaleIntercept=0, RescaleSlope=1)
    data = pydicom.dcmread(folder / "71.dcm")
    data.RescaleSlope = 0.25
    data.save_as(folder / "71.dcm")
    np.testing.assert_array_equal(read(folder).read(), volume * [[[1.0]], [[0.25]]])


def test_one_file_is_a_plane_with_its_place(tmp_path):
    folder = series(tmp_path / "a", planes(1), [(1, 2, 3)], SliceThickness=4)
    image = read(folder / "00.dcm")
    assert (image.grid.axes, image.grid.spacing) == ("YX", (0.5, 0.25))
    assert image.grid.affine == ((-0.25, 0, 0, -1), (0, -0.5, 0, -2), (0, 0, 4, 3), (0, 0, 0, 1))


def test_colours_are_channels(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 255, (6, 7, 3), dtype=np.uint8)
    dataset(tmp_path / "a.dcm", pixels, colour=True).save_as(tmp_path / "a.dcm", enforce_file_format=True)
    image = read(tmp_path / "a.dcm")
    assert (image.grid.axes, image.is_rgb) == ("CYX", True)
    np.testing.assert_array_equal(image.read(), np.moveaxis(pixels, -1, 0))


def test_a_film_has_a_time_axis(tmp_path):
    pixels = planes(4, np.uint8)
    film = dataset(tmp_path / "a.dcm", pixels, UltrasoundMultiFrameImageStorage, NumberOfFrames=4, FrameTime=40)
    film.save_as(tmp_path / "a.dcm", enforce_file_format=True)
    image = read(tmp_path / "a.dcm")
    assert (image.grid.axes, image.grid.interval) == ("TYX", 0.04)
    np.testing.assert_array_equal(image.read(), pixels)
    shipped = read(SHIPPED / "examples_ybr_color.dcm")
    assert (shipped.grid.axes, shipped.grid.shape, shipped.is_rgb) == ("TCYX", (30, 3, 240, 320), True)


def item(**attributes) -> Dataset:
    data = Dataset()
    for key, value in attributes.items():
        setattr(data, key, value)
    return data


def test_frames_of_an_enhanced_file_are_sorted_and_rescaled(tmp_path):
    volume = planes(3, np.uint16)
    data = dataset(tmp_path / "a.dcm", volume, EnhancedCTImageStorage, NumberOfFrames=3)
    rescale = [item(RescaleSlope=2, RescaleIntercept=-10)]
    measures = [item(PixelSpacing=[0.5, 0.25], SliceThickness=7)]
    data.SharedFunctionalGroupsSequence = [
        item(
            PlaneOrientationSequence=[item(ImageOrientationPatient=AXIAL)],
            PixelMeasuresSequence=measures,
            PixelValueTransformationSequence=rescale,
        )
    ]
    data.PerFrameFunctionalGroupsSequence = [
        item(PlanePositionSequence=[item(ImagePositionPatient=[0, 0, z])]) for z in (4, 0, 2)
    ]
    data.save_as(tmp_path / "a.dcm", enforce_file_format=True)
    image = read(tmp_path / "a.dcm")
    assert image.grid.spacing == (2.0, 0.5, 0.25)
    np.testing.assert_array_equal(image.read(), volume[[1, 2, 0]] * 2.0 - 10)


def test_a_dose_has_its_planes_and_its_unit():
    image = read(SHIPPED / "rtdose.dcm")
    raw = pydicom.dcmread(SHIPPED / "rtdose.dcm")
    assert (image.grid.axes, image.grid.spacing) == ("ZYX", (5.0, 10.0, 10.0))
    np.testing.assert_allclose(image.read(), raw.pixel_array * float(raw.DoseGridScaling))


def test_frames_without_a_place_have_no_spacing():
    image = read(SHIPPED / "SC_rgb_rle_2frame.dcm")
    assert (image.grid.axes, image.grid.spacing, image.grid.affine) == ("CZYX", None, None)


@pytest.mark.parametrize(
    "name", ["MR_small", "MR_small_RLE", "MR_small_bigendian", "MR_small_implicit", "MR_small_jp2klossless"]
)
def test_every_way_of_packing_gives_the_same(name):
    image = read(SHIPPED / f"{name}.dcm")
    assert image.dtype.isnative
    np.testing.assert_array_equal(image.read(), pydicom.dcmread(SHIPPED / "MR_small.dcm").pixel_array)
    assert image.grid.spacing == (0.3125, 0.3125)


def test_a_segmentation_is_labels():
    labels = read_labels(SHIPPED / "liver_1frame.dcm")
    assert labels.ids.tolist() == [1]
    assert labels.grid.spacing == (0.810547, 0.810547)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("MR_small_jpeg_ls_lossless", "packed as JPEG-LS Lossless .* no installed decoder unpacks: pip install"),
        ("reportsi", "holds no DICOM image"),
        ("MR_truncated", "less than expected"),
        ("badVR", "can't be read as DICOM"),
        ("no_meta", "its name says DICOM, its content does not"),
    ],
)
def test_what_cannot_be_read_is_one_clear_line(name, message):
    with pytest.raises(InputError, match=message) as caught:
        read(SHIPPED / f"{name}.dcm")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ({"Rows": 60000, "Columns": 60000}, "claims 7.2 GB"),
        ({"NumberOfFrames": 2**30}, "claims 1073741824 frames"),
        ({"TotalPixelMatrixColumns": 9}, "whole slide"),
        ({"PixelSpacing": [0, 0]}, "must be positive"),
    ],
)
def test_headers_that_cannot_be_are_refused(tmp_path, attributes, message):
    folder = series(tmp_path / "a", planes(1, np.uint16), [(0, 0, 0)], **attributes)
    with pytest.raises(InputError, match=message):
        read(folder / "00.dcm")


def test_values_of_more_bits_than_the_header_has_never_wrap(tmp_path, monkeypatch):
    monkeypatch.setattr("segmentry.io.dicom._decoded", lambda _: np.full((1, 6, 7), 60000, np.uint16))
    folder = series(
        tmp_path / "a", planes(1, np.uint16), [(0, 0, 0)], BitsStored=12, HighBit=11, RescaleIntercept=-1024
    )
    with pytest.raises(InputError, match="more bits than it says"):
        read(folder)


def test_a_deflated_bomb_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("segmentry.io.dicom.ALWAYS_FINE", 2**22)
    data = dataset(tmp_path / "a.dcm", planes(1)[0])
    data.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    data.PixelData = bytes(2**23)
    data.save_as(tmp_path / "a.dcm", enforce_file_format=True)
    assert (tmp_path / "a.dcm").stat().st_size < 2**14
    with pytest.raises(InputError, match="unpacks to more than"):
        read(tmp_path / "a.dcm")


def test_without_pydicom_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "pydicom", None)
    with pytest.raises(MissingExtraError, match=r"segmentry\[dicom\]"):
        read(SHIPPED / "MR_small.dcm")
