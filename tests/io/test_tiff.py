import gc
import json
from xml.etree import ElementTree as ET

import numpy as np
import pytest
import tifffile
from array_images import (
    SHARED,
    Recorder,
    assert_damage_is_one_line,
    assert_same,
    assert_slices_alike,
    assert_written_alike_twice,
    images,
    objects,
)
from hypothesis import given, settings

from segmentry.errors import InputError, OutputError
from segmentry.image import Grid, Image
from segmentry.io import read, read_labels, read_provenance, write, write_labels
from segmentry.io.arrange import BAND

rng = np.random.default_rng(0)
STACK = rng.integers(0, 4000, (2, 3, 4, 33, 41), dtype=np.uint16)
FIVE = Grid("TCZYX", STACK.shape, (2.0, 0.1, 0.3), "um", 0.7)
COLOUR = rng.integers(0, 256, (33, 41, 3), dtype=np.uint8)


@pytest.fixture
def lazily(monkeypatch):
    monkeypatch.setattr("segmentry.io.arrange.LAZY_FROM", 0)
    monkeypatch.setattr("segmentry.io.tiff.LAZY_FROM", 0)


@settings(max_examples=25, deadline=None)
@given(image=images())
def test_keeps_everything_of_an_image(tmp_path_factory, image):
    path = tmp_path_factory.mktemp("tiff") / "image.ome.tif"
    write(path, image)
    assert_same(read(path), image)
    seen = tifffile.imread(path)
    np.testing.assert_array_equal(seen.reshape(image.grid.shape), image.read())


@settings(max_examples=25, deadline=None)
@given(labels=objects())
def test_keeps_ids_up_to_the_largest(tmp_path_factory, labels):
    path = tmp_path_factory.mktemp("tiff") / "labels.tif"
    write_labels(path, labels, provenance={"method": "otsu"})
    again = read_labels(path)
    np.testing.assert_array_equal(again.labels, labels.labels)
    assert again.grid == labels.grid
    assert read_provenance(path) == {"method": "otsu"}
    assert tifffile.imread(path).dtype == np.uint32


def test_other_programs_see_geometry_and_names(tmp_path):
    write(tmp_path / "a.tif", Image(STACK, FIVE, ("red", "Zellkern µ", "x\x00y")))
    with tifffile.TiffFile(tmp_path / "a.tif") as tif:
        assert tif.series[0].axes == "TCZYX"
        resolution = tif.pages[0].tags["XResolution"].value
        assert tif.pages[0].tags["ResolutionUnit"].value.name == "CENTIMETER"
        pixels = ET.fromstring(tif.ome_metadata).find("{*}Image/{*}Pixels")
    assert resolution[1] / resolution[0] == pytest.approx(0.3e-4)
    assert [pixels.get(f"PhysicalSize{a}") for a in "ZYX"] == ["2.0", "0.1", "0.3"]
    assert {pixels.get(f"PhysicalSize{a}Unit") for a in "ZYX"} == {"µm"}
    assert (pixels.get("TimeIncrement"), pixels.get("TimeIncrementUnit")) == ("0.7", "s")
    assert [c.get("Name") for c in pixels.iterfind("{*}Channel")] == ["red", "Zellkern µ", "xy"]


@pytest.mark.parametrize("dtype", ["bool", "u1", "f2", "f8"])
def test_writes_valid_ome_xml(tmp_path, dtype):
    ome_types = pytest.importorskip("ome_types")
    write(tmp_path / "a.tif", Image(STACK.astype(dtype), FIVE, ("red", "", "x\x00y"), "", {"a": ["µ", None]}))
    with tifffile.TiffFile(tmp_path / "a.tif") as tif:
        ome = ome_types.from_xml(tif.ome_metadata, validate=False)
    pixels = ome.images[0].pixels
    assert [pixels.physical_size_z, pixels.physical_size_y, pixels.physical_size_x] == [2.0, 0.1, 0.3]
    assert pixels.channels[0].color.as_rgb_tuple() == (255, 0, 0)
    assert json.loads(ome.structured_annotations[0].value)["segmentry"]["provenance"] == {"a": ["µ", None]}


def test_writes_the_same_bytes_twice(tmp_path):
    assert_written_alike_twice(tmp_path, ".ome.tif", Image(STACK, FIVE))


@pytest.mark.parametrize("dtype", ["i8", "u8"])
def test_refuses_types_that_ome_lacks(tmp_path, dtype):
    with pytest.raises(OutputError, match=r"no pixels of type u?int64: save as \.zarr"):
        write(tmp_path / "a.tif", Image.from_array(np.zeros((3, 4), dtype)))
    assert not list(tmp_path.iterdir())


def test_reads_imagej_hyperstacks(tmp_path):
    said = {"axes": "TZCYX", "unit": "\\u00B5m", "spacing": 1.5, "finterval": 250.0, "tunit": "ms"}
    said["Labels"] = ["DAPI", "GFP", "RFP"] * 8
    stack = np.moveaxis(STACK, 1, 2)
    tifffile.imwrite(tmp_path / "a.tif", stack, imagej=True, resolution=(4, 2), metadata=said)
    image = read(tmp_path / "a.tif")
    assert image.grid == Grid("TCZYX", STACK.shape, (1.5, 0.5, 0.25), "um", 0.25)
    assert image.channels == ("DAPI", "GFP", "RFP")
    np.testing.assert_array_equal(image.data, STACK)


def test_takes_slice_names_of_imagej_for_no_channels(tmp_path):
    said = {"axes": "ZCYX", "Labels": [f"slice {i}" for i in range(12)]}
    tifffile.imwrite(tmp_path / "a.tif", np.moveaxis(STACK[0], 0, 1), imagej=True, metadata=said)
    assert read(tmp_path / "a.tif").channels == ("channel 0", "channel 1", "channel 2")


def test_a_depth_that_imagej_leaves_out_is_one(tmp_path):
    tifffile.imwrite(
        tmp_path / "a.tif", STACK[0, 0], imagej=True, resolution=(2, 2), metadata={"axes": "ZYX", "unit": "nm"}
    )
    assert read(tmp_path / "a.tif").grid.spacing == (1.0, 0.5, 0.5)


@pytest.mark.parametrize(
    ("resolution", "unit", "spacing"),
    [
        (96, "INCH", None),
        (25_400, "INCH", None),
        (96 / 2.54, "CENTIMETER", None),
        (40_000, "CENTIMETER", (0.25, 0.25)),
        (40_000, "NONE", None),
    ],
)
def test_takes_resolution_tags_for_a_pixel_size_only_where_they_are_one(tmp_path, resolution, unit, spacing):
    tifffile.imwrite(tmp_path / "a.tif", COLOUR[..., 0], resolution=(resolution,) * 2, resolutionunit=unit)
    assert read(tmp_path / "a.tif").grid.spacing == spacing


def test_reads_ome_with_a_unit_per_axis(tmp_path):
    said = {"axes": "CZYX", "PhysicalSizeX": 0.1, "PhysicalSizeY": 0.1, "PhysicalSizeZ": 300.0}
    said |= {"PhysicalSizeZUnit": "nm", "Channel": {"Name": ["a", "b", "c"]}}
    tifffile.imwrite(tmp_path / "a.ome.tif", STACK[0], metadata=said)
    image = read(tmp_path / "a.ome.tif")
    assert image.grid == Grid("CZYX", (3, 4, 33, 41), (0.3, 0.1, 0.1), "um")
    assert image.channels == ("a", "b", "c")


def test_knows_no_spacing_where_an_axis_lacks_it(tmp_path):
    said = {"axes": "ZYX", "PhysicalSizeX": 0.1, "PhysicalSizeY": 0.1}
    tifffile.imwrite(tmp_path / "a.ome.tif", STACK[0, 0], metadata=said)
    assert read(tmp_path / "a.ome.tif").grid == Grid("ZYX", (4, 33, 41))


@pytest.mark.parametrize("planar", [False, True])
def test_samples_are_channels(tmp_path, planar):
    data = np.moveaxis(COLOUR, -1, 0) if planar else COLOUR
    how = "separate" if planar else "contig"
    tifffile.imwrite(tmp_path / "a.tif", data, photometric="rgb", planarconfig=how)
    image = read(tmp_path / "a.tif")
    assert image.grid.axes == "CYX"
    assert image.channels == ("red", "green", "blue")
    np.testing.assert_array_equal(image.data, np.moveaxis(COLOUR, -1, 0))


def test_a_fourth_sample_is_alpha(tmp_path):
    data = np.dstack([COLOUR, COLOUR[..., 0]])
    tifffile.imwrite(tmp_path / "a.tif", data, photometric="rgb", extrasamples=["unassalpha"])
    assert read(tmp_path / "a.tif").channels == ("red", "green", "blue", "alpha")


def test_pages_without_a_meaning_are_planes(tmp_path):
    for plane in STACK[0, 0]:
        tifffile.imwrite(tmp_path / "a.tif", plane, append=True, metadata=None)
    image = read(tmp_path / "a.tif")
    assert image.grid.axes == "ZYX"
    np.testing.assert_array_equal(image.data, STACK[0, 0])


def test_refuses_axes_that_have_no_place(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", STACK[0], photometric="minisblack")
    with pytest.raises(InputError, match=r"a\.tif has axes 'QQYX' of lengths \(3, 4, 33, 41\)"):
        read(tmp_path / "a.tif")


def test_reads_the_largest_of_several_images(tmp_path):
    with tifffile.TiffWriter(tmp_path / "a.ome.tif") as tif:
        for k, size in enumerate([10, 41, 30]):
            tif.write(STACK[0, 0, :, :, :size], metadata={"axes": "ZYX", "PhysicalSizeX": k + 1, "PhysicalSizeY": 1})
    image = read(tmp_path / "a.ome.tif")
    np.testing.assert_array_equal(image.data, STACK[0, 0])


def test_reads_full_resolution_of_a_pyramid(tmp_path):
    with tifffile.TiffWriter(tmp_path / "a.tif", bigtiff=True, byteorder=">") as tif:
        tif.write(COLOUR, subifds=1, photometric="rgb", tile=(16, 16))
        tif.write(COLOUR[::2, ::2], subfiletype=1, photometric="rgb")
    np.testing.assert_array_equal(read(tmp_path / "a.tif").data, np.moveaxis(COLOUR, -1, 0))


KINDS = {
    "contiguous": {},
    "big endian": {"byteorder": ">"},
    "imagej": {"imagej": True},
    "strips": {"rowsperstrip": 7, "compression": "lzw"},
    "tiles": {"tile": (16, 32), "compression": "zstd"},
    "ome": {"ome": True, "tile": (16, 16), "compression": "deflate", "predictor": True, "bigtiff": True},
}


@pytest.mark.usefixtures("lazily")
@pytest.mark.parametrize("how", KINDS.values(), ids=KINDS)
def test_lazy_pixels_are_those_of_the_file(tmp_path, how):
    stack = np.moveaxis(STACK, 1, 2)
    tifffile.imwrite(tmp_path / "a.tif", stack, metadata={"axes": "TZCYX"}, photometric="minisblack", **how)
    assert_slices_alike(read(tmp_path / "a.tif").data, STACK)
    gc.collect()  # an unclosed file would warn here


@pytest.mark.usefixtures("lazily")
@pytest.mark.parametrize("planar", [False, True])
def test_lazy_colours_are_those_of_the_file(tmp_path, planar):
    data = np.moveaxis(COLOUR, -1, 0) if planar else COLOUR
    how = {"photometric": "rgb", "planarconfig": "separate" if planar else "contig", "tile": (16, 16)}
    tifffile.imwrite(tmp_path / "a.tif", data, compression="deflate", **how)
    pixels = read(tmp_path / "a.tif").data
    np.testing.assert_array_equal(pixels[1:3, 5:20, 7:30], np.moveaxis(COLOUR, -1, 0)[1:3, 5:20, 7:30])


@pytest.mark.usefixtures("lazily")
def test_lazy_files_restore_types_and_axes(tmp_path):
    image = Image(STACK[:1, :, :1] > 2000, Grid("TCZYX", (1, 3, 1, 33, 41)))
    write(tmp_path / "a.tif", image)
    assert_same(read(tmp_path / "a.tif"), image)


@pytest.mark.usefixtures("lazily")
def test_damage_met_while_slicing_is_one_line(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", STACK[0, 0], compression="deflate", photometric="minisblack")
    image = read(tmp_path / "a.tif")
    with (tmp_path / "a.tif").open("r+b") as file:
        file.seek(-4000, 2)
        file.write(bytes(3000))
    with pytest.raises(InputError, match=r"a\.tif can't be read as TIFF"):
        image.read()


@pytest.mark.parametrize("kind", ["image", "labels"])
def test_large_planes_get_a_pyramid(tmp_path, kind):
    data = np.zeros((2, 4101, 70), np.uint32)
    data[:, 1::2, 1::2] = 2**32 - 3
    recorder = Recorder(data)
    write(tmp_path / "a.ome.tif", Image(recorder, Grid("ZYX", data.shape)), kind=kind)
    assert recorder.largest == BAND * 70
    with tifffile.TiffFile(tmp_path / "a.ome.tif") as tif:
        assert tif.pages[0].is_tiled
        levels = tif.series[0].levels
        assert [level.shape for level in levels] == [(2, 4101, 70), (2, 2051, 35), (2, 1026, 18), (2, 513, 9)]
        np.testing.assert_array_equal(levels[0].asarray(), data)
        smaller = levels[1].asarray()
    assert set(np.unique(smaller[:, :-1])) == ({0} if kind == "labels" else {2**30 - 1})


def test_small_planes_are_streamed_too(tmp_path):
    recorder = Recorder(STACK)
    write(tmp_path / "a.ome.tif", Image(recorder, FIVE))
    assert recorder.largest == 33 * 41


def test_large_files_have_wide_offsets(tmp_path, monkeypatch):
    monkeypatch.setattr("segmentry.io.tiff.CLASSIC", 1000)
    write(tmp_path / "a.tif", Image(STACK, FIVE))
    assert (tmp_path / "a.tif").read_bytes()[:4] == b"II+\x00"
    assert_same(read(tmp_path / "a.tif"), Image(STACK, FIVE))


@pytest.mark.parametrize("how", [{"compression": "deflate", "ome": True}, {"imagej": True}, {"tile": (16, 16)}])
def test_damaged_files_are_refused_quietly(tmp_path, capfd, how):
    tifffile.imwrite(tmp_path / "a.tif", STACK[0, 0], photometric="minisblack", **how)
    assert_damage_is_one_line(tmp_path / "a.tif", capfd)


@pytest.mark.parametrize(
    "lie",
    [
        {"description": json.dumps({"shape": [10**9, 33, 41]})},
        {"description": '<OME><Image><Pixels SizeX="1" SizeY="1" SizeZ="999999999" SizeT="9"/></Image></OME>'},
    ],
)
def test_refuses_claims_that_the_file_can_not_hold(tmp_path, lie):
    tifffile.imwrite(tmp_path / "a.tif", STACK[0, 0, 0], metadata=None, **lie)
    with pytest.raises(InputError, match="claims"):
        read(tmp_path / "a.tif")


@pytest.mark.parametrize(
    ("name", "axes", "spacing"),
    [
        ("bioimages/hela-cells.tif", "CYX", (0.0515, 0.0515)),
        ("bioimages/banana/banana0002.tif", "YX", (0.390625, 0.390625)),
        ("bioimages/blobs.tif", "YX", None),
        ("u373/images/t000.tif", "YX", None),
    ],
)
def test_reads_files_of_others(name, axes, spacing):
    if not SHARED.is_dir():
        pytest.skip("the shared data sets are not here")
    image = read(SHARED / name)
    assert image.grid.axes == axes
    assert image.grid.spacing == (spacing and pytest.approx(spacing, rel=1e-3))


def test_keeps_the_pixel_size_of_aperio_slides(tmp_path):
    path = tmp_path / "slide.svs"
    text = "Aperio Image Library v11.2.1\n64x48 (256x256) J2K/YUV16 Q=70|AppMag = 20|MPP = 0.4990|Left = 3"
    tifffile.imwrite(path, np.zeros((48, 64, 3), np.uint8), description=text, metadata=None, photometric="rgb")
    assert read(path).grid.spacing == (0.499, 0.499)
    assert read(path).grid.unit == "um"
