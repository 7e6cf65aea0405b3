"""Files of microscope makers: made here byte by byte, read, and compared with what was put in."""

import struct
import sys
from collections.abc import Iterable
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import tifffile

from segmentry.errors import InputError, MissingExtraError
from segmentry.io import formats, read


def numbers(*shape, dtype="<u2") -> np.ndarray:
    return np.random.default_rng(3).integers(0, 250, shape).astype(dtype)


# --- Nikon


def variant(name: str, value) -> str:
    """Return a value in Nikon's XML."""
    if isinstance(value, dict):
        return f'<{name} runtype="CLxListVariant">{"".join(variant(k, v) for k, v in value.items())}</{name}>'
    kind = {bool: "bool", int: "lx_int32", float: "double", str: "CLxStringW"}[type(value)]
    return f'<{name} runtype="{kind}" value="{value}"/>'


def put_nd2(
    path: Path, data: np.ndarray, loops: Iterable[tuple[int, dict]], names=(), calibrated=True, colours=1
) -> None:
    """Write frames of shape (frames, Y, X, components)."""
    count, height, width, components = data.shape
    attributes = {
        "uiWidth": width,
        "uiWidthBytes": width * components * data.itemsize,
        "uiHeight": height,
        "uiComp": components,
        "uiBpcInMemory": data.itemsize * 8,
        "uiBpcSignificant": data.itemsize * 8,
        "uiSequenceCount": count,
        "eCompression": 2,
    }
    planes = {
        f"a{i}": {"sDescription": name, "uiCompCount": colours, "pFluorescentProbe": {"m_sName": "x"}}
        for i, name in enumerate(names)
    }
    metadata = {
        "bCalibrated": calibrated,
        "dCalibration": 0.25,
        "sPicturePlanes": {"uiCount": len(names), "sPlaneNew": planes},
    }
    experiment: dict = {}
    for kind, parameters in reversed(list(loops)):
        experiment = {"eType": kind, "uLoopPars": parameters} | (
            {"ppNextLevelEx": {"i0": experiment}} if experiment else {}
        )
    chunks = {
        "ImageAttributesLV!": variant("SLxImageAttributes", attributes).encode(),
        "ImageMetadataSeqLV|0!": variant("SLxPictureMetadata", metadata).encode(),
    }
    if experiment:
        chunks["ImageMetadataLV!"] = variant("SLxExperiment", experiment).encode()
    chunks |= {f"ImageDataSeq|{i}!": bytes(8) + frame.tobytes() for i, frame in enumerate(data)}
    signature = b"ND2 CHUNK MAP SIGNATURE 0000001!"
    table = b""
    with path.open("wb") as file:
        file.write(
            struct.pack("<IIQ", 0x0ABECEDA, 32, 64) + b"ND2 FILE SIGNATURE CHUNK NAME01!" + b"Ver3.0".ljust(64, b"\0")
        )
        for name, content in chunks.items():
            table += name.encode() + struct.pack("<QQ", file.tell(), len(content))
            # pixels begin 4096 bytes after their chunk does, 8 bytes of time before them
            reserved = 4096 - 16 - 8
            file.write(
                struct.pack("<IIQ", 0x0ABECEDA, reserved, len(content)) + name.encode().ljust(reserved, b"\0") + content
            )
        place = file.tell()
        table += signature + bytes(16)
        file.write(struct.pack("<IIQ", 0x0ABECEDA, 32, len(table)) + b"ND2 FILEMAP SIGNATURE NAME 0001!" + table)
        file.write(signature + struct.pack("<Q", place))


TIME = (1, {"uiCount": 2, "dStart": 0.0, "dPeriod": 1500.0, "dDuration": 3000.0})
DEPTH = (4, {"uiCount": 3, "dZLow": 0.0, "dZHigh": 4.0, "dZStep": 2.0})


def test_nikon_keeps_axes_spacing_time_and_channels(tmp_path):
    data = numbers(6, 5, 4, 2)
    put_nd2(tmp_path / "a.nd2", data, [TIME, DEPTH], ["DAPI", "GFP"])
    image = read(tmp_path / "a.nd2")
    assert (image.grid.axes, image.grid.shape) == ("TCZYX", (2, 2, 3, 5, 4))
    assert (image.grid.spacing, image.grid.unit, image.grid.interval) == ((2.0, 0.25, 0.25), "um", 1.5)
    assert image.channels == ("DAPI", "GFP")
    expected = data.reshape(2, 3, 5, 4, 2).transpose(0, 4, 1, 2, 3)
    np.testing.assert_array_equal(image.read(), expected)
    part = np.s_[1:2, :, 1:3, 2:5, ::2]
    np.testing.assert_array_equal(image.data[part], expected[part])


def test_nikon_planes_without_calibration_have_no_spacing(tmp_path):
    data = numbers(1, 5, 4, 1, dtype="u1")
    put_nd2(tmp_path / "a.nd2", data, [], ["DAPI"], calibrated=False)
    image = read(tmp_path / "a.nd2")
    assert (image.grid.axes, image.grid.spacing, image.dtype) == ("YX", None, np.uint8)
    np.testing.assert_array_equal(image.read(), data[0, :, :, 0])


def test_nikon_colours_are_channels(tmp_path):
    data = numbers(1, 5, 4, 3, dtype="u1")
    put_nd2(tmp_path / "a.nd2", data, [], ["Brightfield"], colours=3)
    image = read(tmp_path / "a.nd2")
    assert (image.grid.axes, image.is_rgb) == ("CYX", True)
    np.testing.assert_array_equal(image.read(), data[0].transpose(2, 0, 1))


def test_nikon_positions_are_several_images(tmp_path):
    points = {f"i{i}": {"dPosX": 0.0, "dPosY": 0.0, "dPosZ": 0.0, "dPosName": f"p{i}"} for i in range(2)}
    put_nd2(tmp_path / "a.nd2", numbers(2, 5, 4, 1), [(2, {"uiCount": 2, "Points": points})], ["DAPI"])
    with pytest.raises(InputError, match=r"a\.nd2 holds several images, 2 along its axis 'P'"):
        read(tmp_path / "a.nd2")


# --- Leica


def leica_image(name: str, shape: dict[str, int], names, lengths: dict[str, float], itemsize: int, block: str) -> str:
    """Return the XML of an image whose pixels are stored with X fastest, then channels by Y, then the rest."""
    step, dimensions, channels = itemsize, "", ""
    for axis in ("X", "Y", "C", "Z", "T"):
        if axis == "C":
            for i, channel in enumerate(names):
                channels += (
                    f'<ChannelDescription DataType="0" ChannelTag="0" Resolution="{itemsize * 8}" LUTName="{channel}" '
                    f'BytesInc="{i * step}" BitInc="0" NameOfMeasuredQuantity="" Min="0" Max="1" Unit="" '
                    'IsLUTInverted="0"/>'
                )
            step *= len(names)
        elif axis in shape:
            number = "XYZT".index(axis) + 1
            dimensions += (
                f'<DimensionDescription DimID="{number}" NumberOfElements="{shape[axis]}" Origin="0" '
                f'Length="{lengths.get(axis, 0)}" Unit="{"s" if axis == "T" else "m"}" BytesInc="{step}" BitInc="0"/>'
            )
            step *= shape[axis]
    return (
        f'<Element Name="{name}"><Data><Image><ImageDescription><Channels>{channels}</Channels>'
        f"<Dimensions>{dimensions}</Dimensions></ImageDescription></Image></Data>"
        f'<Memory Size="{step}" MemoryBlockID="{block}"/></Element>'
    )


def put_lif(path: Path, elements: str, blocks: dict[str, bytes]) -> None:
    inside = f"<Children>{elements}</Children>"
    root = f'<LMSDataContainerHeader Version="2"><Element Name="project">{inside}</Element></LMSDataContainerHeader>'
    text = root.encode("utf-16-le")
    with path.open("wb") as file:
        file.write(struct.pack("<IIBI", 0x70, len(text) + 5, 0x2A, len(text) // 2) + text)
        for name, content in blocks.items():
            file.write(
                struct.pack("<IIBQBI", 0x70, 0, 0x2A, len(content), 0x2A, len(name))
                + name.encode("utf-16-le")
                + content
            )


def test_leica_keeps_axes_spacing_time_and_channels(tmp_path):
    data = numbers(2, 3, 2, 5, 4)  # T, Z, C, Y, X
    lengths = {"X": 3 * 0.5e-6, "Y": 4 * 0.5e-6, "Z": 2 * 2e-6, "T": 30.0}
    xml = leica_image("cells", {"X": 4, "Y": 5, "Z": 3, "T": 2}, ["Green", "Red"], lengths, 2, "m1")
    put_lif(tmp_path / "a.lif", xml, {"m1": data.tobytes()})
    image = read(tmp_path / "a.lif")
    assert (image.grid.axes, image.grid.shape) == ("TCZYX", (2, 2, 3, 5, 4))
    assert image.grid.spacing == pytest.approx((2.0, 0.5, 0.5))
    assert (image.grid.unit, image.grid.interval) == ("um", 30.0)
    assert image.channels == ("Green", "Red")
    np.testing.assert_array_equal(image.read(), data.transpose(0, 2, 1, 3, 4))
    np.testing.assert_array_equal(
        image.data[1:2, :1, 2:3, 1:4, :3], data.transpose(0, 2, 1, 3, 4)[1:2, :1, 2:3, 1:4, :3]
    )


def test_leica_channels_of_one_colour_are_numbered(tmp_path):
    xml = leica_image("cells", {"X": 4, "Y": 5}, ["Gray", "Gray"], {}, 1, "m1")
    put_lif(tmp_path / "a.lif", xml, {"m1": numbers(2, 5, 4, dtype="u1").tobytes()})
    image = read(tmp_path / "a.lif")
    assert (image.channels, image.grid.spacing) == (("Gray 0", "Gray 1"), None)


def test_leica_projects_of_several_images_are_listed(tmp_path):
    xml = "".join(leica_image(name, {"X": 4, "Y": 5}, ["Gray"], {}, 1, name) for name in ("day 1", "day 2"))
    put_lif(tmp_path / "a.lif", xml, {"day 1": bytes(20), "day 2": bytes(20)})
    with pytest.raises(InputError, match=r"a\.lif holds 2 images \('day 1', 'day 2'\): export"):
        read(tmp_path / "a.lif")


# --- Zeiss


def segment(name: str, content: bytes) -> bytes:
    return struct.pack("<16sqq", name.encode(), len(content), len(content)) + content


def entry(axes: str, start, shape, pixel_type: int, position: int, packing: int, stored=None) -> bytes:
    sizes = list(zip(axes, start, shape, stored or shape, strict=True))[::-1]
    dimensions = b"".join(struct.pack("<4siifi", a.encode(), s, n, 0.0, kept) for a, s, n, kept in sizes)
    return struct.pack("<2siqiiBB4si", b"DV", pixel_type, position, 0, packing, 0, 0, b"", len(axes)) + dimensions


def put_czi(path: Path, axes: str, tiles, pixel_type=1, packing=0, xml="<ImageDocument/>") -> None:
    """Write tiles: pairs of a start per axis and pixels (colours last, blue first)."""
    blocks, entries, position = [], [], 32 + 512
    for start, data in tiles:
        shape = data.shape[: len(axes)]
        packed = pack(data, packing)
        about = entry(axes, start, shape, pixel_type, position, packing)
        content = struct.pack("<iiq", 0, 0, len(packed)) + about.ljust(240, b"\0") + packed
        blocks.append(segment("ZISRAWSUBBLOCK", content))
        entries.append(about)
        position += len(blocks[-1])
    directory = segment("ZISRAWDIRECTORY", struct.pack("<i", len(entries)) + bytes(124) + b"".join(entries))
    metadata = segment("ZISRAWMETADATA", struct.pack("<ii", len(xml.encode()), 0) + bytes(248) + xml.encode())
    places = (position, position + len(directory))
    header = struct.pack("<iiii16s16siqqiq", 1, 0, 0, 0, bytes(16), bytes(16), 0, *places, 0, 0).ljust(512, b"\0")
    path.write_bytes(segment("ZISRAWFILE", header) + b"".join(blocks) + directory + metadata)


def pack(data: np.ndarray, packing: int) -> bytes:
    raw = data.tobytes()
    if packing == 5:
        return imagecodecs.zstd_encode(raw)
    if packing == 6:
        split = np.frombuffer(raw, np.uint8).reshape(-1, data.itemsize).T.tobytes()
        return bytes([3, 1, 1]) + imagecodecs.zstd_encode(split)
    if packing == 4:
        return imagecodecs.jpegxr_encode(data.squeeze(), level=100)
    return raw


XML = """<ImageDocument><Metadata><Scaling><Items><Distance Id="X"><Value>2.5e-07</Value></Distance>
<Distance Id="Y"><Value>5e-07</Value></Distance><Distance Id="Z"><Value>1e-06</Value></Distance></Items></Scaling>
<Information><Image><Dimensions><Channels><Channel Name="DAPI"/><Channel Name="GFP"/></Channels>
<T><Positions><Interval><Increment>20</Increment></Interval></Positions></T></Dimensions></Image></Information>
</Metadata></ImageDocument>"""


@pytest.mark.parametrize("packing", [0, 4, 5, 6])
def test_zeiss_keeps_axes_spacing_time_and_channels(tmp_path, packing):
    data = numbers(2, 2, 3, 5, 4)
    tiles = [((t, c, z, 0, 0), data[t, c, z][None, None, None]) for t in range(2) for c in range(2) for z in range(3)]
    put_czi(tmp_path / "a.czi", "TCZYX", tiles, packing=packing, xml=XML)
    image = read(tmp_path / "a.czi")
    assert (image.grid.axes, image.grid.shape) == ("TCZYX", (2, 2, 3, 5, 4))
    assert image.grid.spacing == pytest.approx((1.0, 0.5, 0.25))
    assert (image.grid.unit, image.grid.interval, image.channels) == ("um", 20.0, ("DAPI", "GFP"))
    np.testing.assert_array_equal(image.read(), data)
    part = np.s_[:1, 1:2, ::2, 2:4, 1:4]
    np.testing.assert_array_equal(image.data[part], data[part])


def test_zeiss_tiles_become_one_image(tmp_path):
    data = numbers(7, 10)
    tiles = [
        ((y + 100, x - 5, i), data[y : y + 4, x : x + 6, None])
        for i, (y, x) in enumerate([(0, 0), (0, 4), (3, 0), (3, 4)])
    ]
    put_czi(tmp_path / "a.czi", "YXM", tiles)
    image = read(tmp_path / "a.czi")
    assert image.grid.axes == "YX"
    np.testing.assert_array_equal(image.read(), data)
    np.testing.assert_array_equal(image.data[2:5, 3:7], data[2:5, 3:7])


def test_zeiss_colours_are_channels(tmp_path):
    data = numbers(1, 5, 4, 3, dtype="u1")
    for packing in (0, 5):
        put_czi(tmp_path / "a.czi", "CYX", [((0, 0, 0), data)], pixel_type=3, packing=packing)
        image = read(tmp_path / "a.czi")
        assert (image.grid.axes, image.is_rgb) == ("CYX", True)
        np.testing.assert_array_equal(image.read(), data[0, ..., ::-1].transpose(2, 0, 1))


def test_zeiss_scenes_and_unknown_packings_are_refused(tmp_path):
    tiles = [((s, 0, 0), numbers(1, 5, 4)) for s in range(2)]
    put_czi(tmp_path / "a.czi", "SYX", tiles)
    with pytest.raises(InputError, match=r"a\.czi holds several images, 2 along its axis 'S'"):
        read(tmp_path / "a.czi")
    put_czi(tmp_path / "b.czi", "YX", [((0, 0), numbers(5, 4))], packing=99)
    with pytest.raises(InputError, match="code 99"):
        read(tmp_path / "b.czi").read()


# --- Olympus


def put_oif(path: Path, data: np.ndarray, axes: str, sizes: dict[str, int]) -> None:
    """Write planes (the last two axes) as TIFF files beside their settings."""
    folder = path.with_name(path.name + ".files")
    folder.mkdir()
    for index in np.ndindex(data.shape[:-2]):
        place = "".join(f"{a}{i + 1:03}" for a, i in zip(axes, index, strict=True))
        tifffile.imwrite(folder / f"s_{place}.tif", data[index])
    units, intervals = {"Z": "nm", "T": "ms"}, {"Z": 750.0, "T": 2500.0}
    sections = {"ProfileSaveInfo": {"Name": '"x"', "Version": '"1"'}, "Axis Parameter Common": {"AxisOrder": '"XYCZT"'}}
    for i, axis in enumerate("XYCZTALP"):
        sections[f"Axis {i} Parameters Common"] = {
            "AxisCode": f'"{axis}"',
            "MaxSize": sizes.get(axis, 0),
            "UnitName": f'"{units.get(axis, "um")}"',
            "Interval": intervals.get(axis, 0.0),
        }
    sections["Reference Image Parameter"] = {
        "ValidBitCounts": 12,
        "WidthConvertValue": 0.25,
        "WidthUnit": '"um"',
        "HeightConvertValue": 0.5,
        "HeightUnit": '"um"',
    }
    sections["GUI Channel 1 Parameters"] = {"DyeName": '"DAPI"'}
    sections["GUI Channel 2 Parameters"] = {"CH Name": '"CH2"'}
    lines = [f"[{name}]\r\n" + "".join(f"{k}={v}\r\n" for k, v in keys.items()) for name, keys in sections.items()]
    path.write_bytes(b"\xff\xfe" + "".join(lines).encode("utf-16-le"))


def test_olympus_keeps_axes_spacing_time_and_channels(tmp_path):
    data = numbers(2, 3, 2, 5, 4)  # C, Z, T, Y, X
    put_oif(tmp_path / "a.oif", data, "CZT", {"X": 4, "Y": 5, "C": 2, "Z": 3, "T": 2})
    image = read(tmp_path / "a.oif")
    assert (image.grid.axes, image.grid.shape) == ("TCZYX", (2, 2, 3, 5, 4))
    assert (image.grid.spacing, image.grid.unit, image.grid.interval) == ((0.75, 0.5, 0.25), "um", 2.5)
    assert image.channels == ("DAPI", "CH2")
    np.testing.assert_array_equal(image.read(), data.transpose(2, 0, 1, 3, 4))


def test_olympus_planes_that_are_missing_are_noticed(tmp_path):
    put_oif(tmp_path / "a.oif", numbers(2, 5, 4), "Z", {"X": 4, "Y": 5, "Z": 3})
    with pytest.raises(InputError, match="says that it has"):
        read(tmp_path / "a.oif")


# --- all


@pytest.mark.parametrize(
    ("suffix", "start", "module", "extra"),
    [
        (".nd2", b"\xda\xce\xbe\x0a", "nd2", "nikon"),
        (".lif", b"\x70\0\0\0\0\0\0\0\x2a", "liffile", "leica"),
        (".czi", b"ZISRAWFILE", "czifile", "zeiss"),
        (".oif", b"\xff\xfe[\0", "oiffile", "olympus"),
        (".oib", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "oiffile", "olympus"),
    ],
)
def test_a_missing_library_and_a_damaged_file_are_one_clear_line(
    tmp_path, monkeypatch, capfd, suffix, start, module, extra
):
    path = tmp_path / f"a{suffix}"
    path.write_bytes(start + bytes(200))
    with pytest.raises(InputError, match=r"a\.\w+ (can't be read as|holds no tile)") as caught:
        read(path)
    assert "\n" not in str(caught.value)
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingExtraError, match=rf"segmentry\[{extra}\]"):
        read(path)
    assert capfd.readouterr() == ("", "")


def test_none_of_them_writes():
    makers = {"Nikon ND2", "Leica LIF", "Zeiss CZI", "Olympus OIF"}
    assert {form.name for form in formats() if form.name in makers and not form.writes} == makers
