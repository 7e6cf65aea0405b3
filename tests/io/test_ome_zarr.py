"""OME-Zarr: what is written comes back, other programs see the same, and other programs' files are understood."""

import json
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import hypothesis.strategies as st
import numpy as np
import pytest
import yaozarrs
import zarr
from array_images import images
from hypothesis import given, settings
from hypothesis.extra.numpy import arrays

from segmentry.errors import InputError, OutputError
from segmentry.image import Grid, Image
from segmentry.io import read, read_labels, read_provenance, write, write_labels
from segmentry.io.ome_zarr import OmeZarr
from segmentry.result import Instances

VERSIONS = ("0.4", "0.5")
DTYPES = ("?", "u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f2", "f4", "f8")
positive = st.floats(1e-9, 1e9)


def assert_same(found: Image, image: Image) -> None:
    assert (found.grid, found.channels, found.dtype) == (image.grid, image.channels, image.dtype)
    assert dict(found.provenance) == dict(image.provenance)
    np.testing.assert_array_equal(found.read(), image.data)


def content(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def volume(shape=(3, 40, 50), axes="ZYX", dtype="u2", **geometry) -> Image:
    data = np.random.default_rng(1).integers(0, 200, shape).astype(dtype)
    return Image.from_array(data, axes, **geometry)


def put_zarr(path: Path, data, attributes, zarr_format=2, **kwargs) -> None:
    """Write an array the way another program would: no metadata of ours."""
    group = zarr.create_group(store=str(path), zarr_format=zarr_format, attributes=attributes)
    group.create_array("s0", data=data, **kwargs)


def multiscales(axes, steps=(), **more):
    return {"multiscales": [{"axes": axes, "datasets": [{"path": "s0", "coordinateTransformations": steps}], **more}]}


@pytest.mark.parametrize("version", VERSIONS)
@given(image=images(DTYPES))
@settings(max_examples=25, deadline=None)
def test_gives_back_every_image_exactly(tmp_path_factory, version, image):
    path = tmp_path_factory.mktemp("zarr") / "image.ome.zarr"
    OmeZarr(version).write(path, image)
    found = read(path)
    assert_same(found, image)
    assert found.name == "image.ome.zarr"


@given(
    labels=arrays(np.uint32, st.tuples(*[st.integers(1, 5)] * 3), elements=st.integers(0, 2**32 - 1)),
    spacing=st.tuples(positive, positive, positive),
)
@settings(max_examples=25, deadline=None)
def test_gives_back_every_id_exactly(tmp_path_factory, labels, spacing):
    path = tmp_path_factory.mktemp("zarr") / "labels.zarr"
    result = Instances.from_labels(labels, Grid("ZYX", labels.shape, spacing, "um"))
    write_labels(path, result, provenance={"seed": 3})
    found = read_labels(path)
    np.testing.assert_array_equal(found.labels, labels)
    assert found.grid == result.grid
    assert dict(read_provenance(path)) == {"seed": 3}


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("kind", ["image", "labels"])
def test_yaozarrs_accepts_what_is_written(tmp_path, version, kind):
    labels = kind == "labels"
    image = volume((2, 3, 600, 520) if labels else (2, 2, 3, 600, 520), "TZYX" if labels else "TCZYX", "u4")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        OmeZarr(version).write(tmp_path / "a.zarr", image, kind)
        yaozarrs.validate_zarr_store(str(tmp_path / "a.zarr"))
        group = yaozarrs.open_group(str(tmp_path / "a.zarr"))
    assert group.ome_version() == version
    assert type(group.ome_metadata()).__name__ == ("LabelImage" if labels else "Image")


@pytest.mark.parametrize("version", VERSIONS)
def test_ome_zarr_reads_the_same_pixels_spacing_and_names(tmp_path, version):
    from ome_zarr.io import parse_url
    from ome_zarr.reader import Reader

    image = volume((2, 3, 700, 601), "CZYX", spacing=(2.0, 0.5, 0.25), unit="um", channels=["DAPI", "µ-actin"])
    OmeZarr(version).write(tmp_path / "a.zarr", image)
    (node,) = Reader(parse_url(str(tmp_path / "a.zarr")))()
    np.testing.assert_array_equal(np.asarray(node.data[0]), image.data)
    assert [a["name"] for a in node.metadata["axes"]] == ["c", "z", "y", "x"]
    assert [a.get("unit") for a in node.metadata["axes"]] == [None, "micrometer", "micrometer", "micrometer"]
    assert node.metadata["channel_names"] == ["DAPI", "µ-actin"]
    assert node.metadata["contrast_limits"] == [[0, 199], [0, 199]]
    first, second = node.metadata["coordinateTransformations"]
    assert first == [{"type": "scale", "scale": [1.0, 2.0, 0.5, 0.25]}]
    assert second == [
        {"type": "scale", "scale": [1.0, 2.0, 1.0, 0.5]},
        {"type": "translation", "translation": [0.0, 0.0, 0.25, 0.125]},
    ]


@pytest.mark.parametrize("version", VERSIONS)
def test_ome_zarr_sees_labels_as_labels(tmp_path, version):
    from ome_zarr.io import parse_url
    from ome_zarr.reader import Label, Reader

    labels = np.arange(36, dtype=np.uint32).reshape(6, 6) * 100_000_000
    OmeZarr(version).write(tmp_path / "a.zarr", Image.from_array(labels, spacing=(0.1, 0.1)), "labels")
    (node,) = Reader(parse_url(str(tmp_path / "a.zarr")))()
    assert any(isinstance(spec, Label) for spec in node.specs)
    np.testing.assert_array_equal(np.asarray(node.data[0]), labels)


def test_writes_the_same_bytes_twice(tmp_path):
    image = volume((3, 700, 900), spacing=(1.0, 0.5, 0.5))
    write(tmp_path / "a.zarr", image)
    write(tmp_path / "b.zarr", image)
    assert content(tmp_path / "a.zarr") == content(tmp_path / "b.zarr")


def test_pyramid_of_an_image_is_its_mean(tmp_path):
    image = volume((1025, 601), "YX", "u1")
    write(tmp_path / "a.zarr", image)
    group = zarr.open_group(str(tmp_path / "a.zarr"), mode="r")
    assert [group[str(i)].shape for i in range(3)] == [(1025, 601), (513, 301), (257, 151)]
    assert "3" not in group
    means = image.data[:1024, :600].reshape(512, 2, 300, 2).mean(axis=(1, 3))
    np.testing.assert_array_equal(group["1"][:512, :300], np.rint(means))
    np.testing.assert_array_equal(group["1"][512, 300], image.data[1024, 600])


def test_pyramid_of_labels_invents_no_id(tmp_path):
    labels = np.random.default_rng(1).integers(0, 2**32, (2, 601, 777), dtype=np.uint32)
    write_labels(tmp_path / "a.zarr", Instances.from_labels(labels))
    group = zarr.open_group(str(tmp_path / "a.zarr"))
    np.testing.assert_array_equal(group["1"][...], labels[:, ::2, ::2])
    del group.attrs["segmentry"]
    assert read(tmp_path / "a.zarr").kind == "labels"


def test_lazy_sources_are_read_region_by_region(tmp_path):
    class Counted:
        shape, dtype, largest = (4, 3000, 3000), np.dtype("u2"), 0

        def __getitem__(self, key):
            sizes = [len(range(*part.indices(n))) for part, n in zip(key, self.shape, strict=True)]
            self.largest = max(self.largest, int(np.prod(sizes)))
            return np.full(sizes, key[0].start, np.uint16)

    source = Counted()
    write(tmp_path / "a.zarr", Image(source, Grid("TYX", source.shape)))
    assert source.largest <= 2**23
    np.testing.assert_array_equal(
        read(tmp_path / "a.zarr").read()[:, ::2999, ::2999], [[[t] * 2] * 2 for t in range(4)]
    )


def test_pixels_are_read_when_they_are_sliced(tmp_path):
    write(tmp_path / "a.zarr", volume((2, 1100, 1100), "TYX"))
    image = read(tmp_path / "a.zarr")
    for chunk in (tmp_path / "a.zarr" / "0" / "c" / "1").rglob("*"):
        if chunk.is_file():
            chunk.write_bytes(b"not zstd")
    assert image.data[0:1, :9, :9].shape == (1, 9, 9)
    with pytest.raises(Exception, match=r".+"):
        image.data[1:2, :9, :9]


def test_threads_read_at_once(tmp_path):
    image = volume((8, 300, 300))
    write(tmp_path / "a.zarr", image)
    found = read(tmp_path / "a.zarr")
    with ThreadPoolExecutor(8) as pool:
        planes = list(pool.map(lambda z: found.read((slice(z, z + 1), slice(None), slice(None))), range(8)))
    np.testing.assert_array_equal(np.concatenate(planes), image.data)


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_labels_are_written_into_the_image_they_belong_to(tmp_path, version):
    from ome_zarr.io import parse_url
    from ome_zarr.reader import Label, Reader

    image = Image.from_array(np.arange(36, dtype=np.uint16).reshape(6, 6), spacing=(0.1, 0.2))
    OmeZarr(version).write(tmp_path / "a.zarr", image)
    ids = np.eye(6, dtype=np.uint32) * 70_000
    for name in ("cells", "nuclei"):
        write_labels(tmp_path / "a.zarr/labels" / name, Instances.from_labels(ids, image.grid))
    assert np.array_equal(read_labels(tmp_path / "a.zarr" / "labels" / "nuclei").labels, ids)
    with pytest.raises(InputError, match=r"cells.*nuclei"):
        read_labels(tmp_path / "a.zarr")
    nodes = Reader(parse_url(str(tmp_path / "a.zarr")))()
    found = next(node for node in nodes if any(isinstance(spec, Label) for spec in node.specs))
    np.testing.assert_array_equal(np.asarray(found.data[0]), ids)


@pytest.mark.parametrize(
    ("word", "unit", "spacing"),
    [
        ("micrometer", "um", 0.5),
        ("nanometer", "nm", 0.5),
        ("millimeter", "mm", 0.5),
        ("angstrom", "nm", 0.05),
        ("µm", "um", 0.5),
        ("parsec", None, None),
        (None, None, None),
    ],
)
def test_knows_the_units_of_other_programs(tmp_path, word, unit, spacing):
    axes = [{"name": n, "type": "space"} | ({"unit": word} if word else {}) for n in "yx"]
    put_zarr(tmp_path / "a.zarr", np.ones((4, 5)), multiscales(axes, [{"type": "scale", "scale": [0.5, 0.5]}]))
    grid = read(tmp_path / "a.zarr").grid
    assert grid.unit == unit
    assert grid.spacing == (spacing and pytest.approx((spacing, spacing)))


def test_spacing_in_two_units_becomes_one(tmp_path):
    axes = [{"name": "z", "unit": "micrometer"}, {"name": "y", "unit": "nanometer"}, {"name": "x", "unit": "nanometer"}]
    steps = [{"type": "scale", "scale": [2, 250, 250]}]
    put_zarr(tmp_path / "a.zarr", np.ones((2, 4, 5)), multiscales(axes, steps))
    grid = read(tmp_path / "a.zarr").grid
    assert (grid.spacing, grid.unit) == ((2000.0, 250.0, 250.0), "nm")


def test_scales_multiply_translations_become_an_affine_and_time_an_interval(tmp_path):
    axes = [{"name": "t", "type": "time", "unit": "minute"}] + [{"name": n, "unit": "micrometer"} for n in "zyx"]
    steps = [{"type": "scale", "scale": [1, 1, 2, 2]}, {"type": "translation", "translation": [0, 10, 20, 30]}]
    outer = [{"type": "scale", "scale": [5.0, 1, 0.5, 0.5]}]
    meta = multiscales(axes, steps, coordinateTransformations=outer)
    put_zarr(tmp_path / "a.zarr", np.ones((2, 3, 4, 5)), {"ome": meta}, zarr_format=3)
    grid = read(tmp_path / "a.zarr").grid
    assert (grid.axes, grid.interval, grid.spacing) == ("TZYX", 300.0, (1.0, 1.0, 1.0))
    assert grid.affine == ((1, 0, 0, 15), (0, 1, 0, 10), (0, 0, 1, 10), (0, 0, 0, 1))


def test_an_affine_without_rotation_is_a_translation_to_others(tmp_path):
    affine = ((0.5, 0, 0, 7.0), (0, 0.5, 0, -3.0), (0, 0, 2.0, 0.25), (0, 0, 0, 1))
    image = volume((2, 520, 20))
    placed = image.with_data(image.data, Grid("ZYX", (2, 520, 20), (2.0, 0.5, 0.5), "mm", affine=affine))
    write(tmp_path / "a.zarr", placed)
    group = zarr.open_group(str(tmp_path / "a.zarr"))
    levels = group.attrs["ome"]["multiscales"][0]["datasets"]
    assert levels[0]["coordinateTransformations"][1]["translation"] == [0.25, -3.0, 7.0]
    assert levels[1]["coordinateTransformations"][1]["translation"] == [0.25, -2.75, 7.25]
    del group.attrs["segmentry"]
    assert read(tmp_path / "a.zarr").grid == placed.grid


def test_axes_in_any_order_come_in_ours(tmp_path):
    data = np.arange(24, dtype=">u2").reshape(2, 3, 4)
    axes = [{"name": n, "unit": "meter"} for n in "xyz"]
    put_zarr(tmp_path / "a.zarr", data, multiscales(axes, [{"type": "scale", "scale": [1, 2, 3]}]))
    image = read(tmp_path / "a.zarr")
    assert (image.grid.axes, image.grid.shape, image.grid.spacing) == ("ZYX", (4, 3, 2), (3.0, 2.0, 1.0))
    assert image.dtype == np.dtype("=u2") == image.read().dtype
    np.testing.assert_array_equal(image.data[1:3, :2, :1], data.T[1:3, :2, :1])


def test_old_versions_name_axes_briefly_or_not_at_all(tmp_path):
    put_zarr(
        tmp_path / "v03.zarr",
        np.ones((2, 3, 4)),
        {"multiscales": [{"axes": list("cyx"), "datasets": [{"path": "s0"}]}]},
    )
    put_zarr(tmp_path / "v01.zarr", np.ones((1, 2, 3, 4, 5)), {"multiscales": [{"datasets": [{"path": "s0"}]}]})
    assert read(tmp_path / "v03.zarr").grid == Grid("CYX", (2, 3, 4))
    assert read(tmp_path / "v01.zarr").grid == Grid("TCZYX", (1, 2, 3, 4, 5))


def test_missing_channel_names_are_made_up(tmp_path):
    meta = multiscales(list("cyx")) | {"omero": {"channels": [{"label": "DAPI"}, {"color": "FF0000"}]}}
    put_zarr(tmp_path / "a.zarr", np.ones((3, 4, 5)), meta)
    assert read(tmp_path / "a.zarr").channels == ("DAPI", "channel 1", "channel 2")


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_plain_arrays_are_planes_and_volumes_or_what_they_name_their_axes(tmp_path, zarr_format):
    for shape, axes in (((4, 5), "YX"), ((3, 4, 5), "ZYX")):
        path = tmp_path / f"{axes}.zarr"
        zarr.create_array(str(path), data=np.ones(shape), zarr_format=zarr_format)
        assert read(path).grid == Grid(axes, shape)
    zarr.create_array(str(tmp_path / "named.zarr"), data=np.ones((2, 4, 5)), dimension_names=["c", "y", "x"])
    assert read(tmp_path / "named.zarr").grid.axes == "CYX"
    zarr.create_array(str(tmp_path / "t.zarr"), data=np.ones((2, 2, 2, 2)), zarr_format=zarr_format)
    with pytest.raises(InputError, match="whose axes nothing names"):
        read(tmp_path / "t.zarr")


def labelled(path: Path, *names: str) -> None:
    """Write an image with label images in its folder ``labels``."""
    write(path, volume((40, 50), "YX", "f4"))
    for i, name in enumerate(names, 1):
        zarr.open_group(str(path / "labels"), mode="a", attributes={"ome": {"labels": list(names)}})
        OmeZarr().write_labels(path / "labels" / name, Instances.from_labels(np.full((40, 50), i, np.uint32)), {})


def test_labels_beside_an_image_are_found(tmp_path):
    labelled(tmp_path / "a.zarr", "nuclei")
    assert read_labels(tmp_path / "a.zarr").ids.tolist() == [1]
    assert read_labels(tmp_path / "a.zarr" / "labels" / "nuclei").ids.tolist() == [1]
    assert read(tmp_path / "a.zarr").dtype == np.float32
    labelled(tmp_path / "b.zarr", "nuclei", "cells")
    with pytest.raises(InputError, match=r"b\.zarr/labels holds 2 .*\(cells, nuclei\): open one of them"):
        read_labels(tmp_path / "b.zarr")
    assert read_labels(tmp_path / "b.zarr" / "labels" / "cells").ids.tolist() == [2]


def test_intensities_without_labels_are_no_labels(tmp_path):
    write(tmp_path / "a.zarr", Image.from_array(np.full((3, 3), 0.5)))
    with pytest.raises(InputError, match="fractions"):
        read_labels(tmp_path / "a.zarr")


def test_a_folder_around_one_image_is_that_image(tmp_path):
    zarr.create_group(store=str(tmp_path / "a.zarr"), attributes={"bioformats2raw.layout": 3}, zarr_format=2)
    OmeZarr("0.4").write(tmp_path / "a.zarr" / "0", volume())
    assert read(tmp_path / "a.zarr").grid.shape == (3, 40, 50)
    OmeZarr("0.4").write(tmp_path / "a.zarr" / "1", volume())
    with pytest.raises(InputError, match=r"holds 2 .*\(0, 1\): open one of them, as a\.zarr/0"):
        read(tmp_path / "a.zarr")


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ({"plate": {}}, "is a plate"),
        ({}, "holds 1 arrays or images"),
        (multiscales(list("qyx")), "must be distinct ones of T, C, Z, Y, X"),
        (multiscales(list("yx")), "names its 3 axes Y, X"),
        ({"multiscales": [{"axes": list("zyx"), "datasets": [{"path": "s9"}]}]}, "has no such array"),
        ({"multiscales": []}, "can't be read as OME-Zarr"),
        (multiscales(list("zyx"), [{"type": "scale", "scale": [0, 1, 1]}]), None),
        (multiscales([{"name": a, "unit": "um"} for a in "zyx"], [{"type": "scale", "scale": [0, 1, 1]}]), "positive"),
    ],
)
def test_metadata_that_make_no_sense_are_one_clear_line(tmp_path, attributes, message):
    put_zarr(tmp_path / "a.zarr", np.ones((2, 3, 4)), attributes)
    if message is None:
        assert read(tmp_path / "a.zarr").grid.spacing is None
    else:
        with pytest.raises(InputError, match=message) as caught:
            read(tmp_path / "a.zarr")
        assert "\n" not in str(caught.value)


def test_a_shape_of_petabytes_is_opened_lazily(tmp_path):
    zarr.create_array(str(tmp_path / "a.zarr"), shape=(10**9, 10**9), chunks=(512, 512), dtype="u4")
    image = read(tmp_path / "a.zarr")
    assert not image.data[10**8 : 10**8 + 3, :3].any()
    with pytest.raises(InputError, match="more than the free memory"):
        read_labels(tmp_path / "a.zarr")


def test_chunks_that_no_memory_holds_are_refused(tmp_path):
    zarr.create_array(str(tmp_path / "a.zarr"), shape=(8, 8), dtype="u4")
    place = tmp_path / "a.zarr" / "zarr.json"
    meta = json.loads(place.read_text())
    meta["chunk_grid"]["configuration"]["chunk_shape"] = [10**6, 10**6]
    place.write_text(json.dumps(meta))
    with pytest.raises(InputError, match=r"chunks of 4e\+03 GB"):
        read(tmp_path / "a.zarr")


def test_complex_and_long_pixels_are_refused(tmp_path):
    zarr.create_array(str(tmp_path / "a.zarr"), data=np.ones((3, 3), np.complex64))
    with pytest.raises(InputError, match="complex64"):
        read(tmp_path / "a.zarr")
    with pytest.raises(OutputError, match="float64"):
        write(tmp_path / "b.zarr", Image.from_array(np.ones((3, 3), np.longdouble)))
