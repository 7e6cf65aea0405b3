"""Small files that claim to be huge: each function writes one into a folder and returns its path."""

import gzip
import io
import json
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import h5py
import nibabel
import numpy as np
import zarr
from numpy.lib import format as npy

BOMBS: list[Callable[[Path], Path]] = []


def bomb(make: Callable[[Path], Path]) -> Callable[[Path], Path]:
    BOMBS.append(make)
    return make


def deflated_zeros(size: int, wbits: int) -> bytes:
    """Return `size` zeros (whole mebibytes), deflated; made of one block again and again, which takes no time."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    block = packer.compress(bytes(2**20)) + packer.flush(zlib.Z_FULL_FLUSH)
    stream = block * (size // 2**20) + packer.flush()
    if wbits < 0:
        return stream
    if wbits > 15:
        return b"\x1f\x8b\x08\0\0\0\0\0\0\xff" + stream + struct.pack("<II", 0, size % 2**32)
    return b"\x78\xda" + stream + bytes(4)


def packed_zip(path: Path, entries: dict[str, tuple[bytes, int]]) -> Path:
    """Write a zip whose entries begin with some bytes and go on with zeros."""
    body = table = b""
    for name, (start, zeros) in entries.items():
        packer = zlib.compressobj(9, zlib.DEFLATED, -15)
        stream = packer.compress(start) + packer.flush(zlib.Z_FULL_FLUSH) + deflated_zeros(zeros, -15)
        about = struct.pack(
            "<3H2H3L2H", 20, 0, 8, 0, 33, zlib.crc32(start), len(stream), len(start) + zeros, len(name), 0
        )
        table += b"PK\1\2\x14\0" + about + struct.pack("<3H2L", 0, 0, 0, 0, len(body)) + name.encode()
        body += b"PK\3\4" + about + name.encode() + stream
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, len(entries), len(entries), len(table), len(body), 0)
    path.write_bytes(body + table + end)
    assert zipfile.is_zipfile(path)
    return path


def npy_header(shape: tuple[int, ...], dtype: str) -> bytes:
    out = io.BytesIO()
    npy.write_array_header_1_0(out, {"descr": dtype, "fortran_order": False, "shape": shape})
    return out.getvalue()


def put_png(path: Path, width: int, height: int, content: bytes) -> Path:
    chunks = ((b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)), (b"IDAT", content), (b"IEND", b""))
    body = b"".join(struct.pack(">I", len(c)) + n + c + struct.pack(">I", zlib.crc32(n + c)) for n, c in chunks)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + body)
    return path


@bomb
def png_of_ten_gigapixels(folder: Path) -> Path:
    return put_png(folder / "bomb.png", 100_000, 100_000, zlib.compress(bytes(1000)))


@bomb
def small_png_that_unpacks_to_gigabytes(folder: Path) -> Path:
    return put_png(folder / "bomb2.png", 40, 40, deflated_zeros(5 * 2**30, 15))


@bomb
def png_with_a_text_that_unpacks_to_a_gigabyte(folder: Path) -> Path:
    path = put_png(folder / "bomb3.png", 4, 4, zlib.compress(bytes(20)))
    text = b"zTXt", b"segmentry\0\0" + deflated_zeros(2**30, 15)
    chunk = struct.pack(">I", len(text[1])) + text[0] + text[1] + struct.pack(">I", zlib.crc32(text[0] + text[1]))
    raw = path.read_bytes()
    path.write_bytes(raw[:33] + chunk + raw[33:])
    return path


def put_tiff(path: Path, tags: dict[int, tuple[int, int, int]], tail: bytes = b"", following: int = 0) -> Path:
    entries = b"".join(struct.pack("<HHII", tag, *value) for tag, value in sorted(tags.items()))
    head = b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + struct.pack("<I", following)
    path.write_bytes(head + tail)
    return path


TAGS = {
    256: (4, 1, 16),
    257: (4, 1, 16),
    258: (3, 1, 8),
    259: (3, 1, 1),
    262: (3, 1, 1),
    273: (4, 1, 200),
    277: (3, 1, 1),
    278: (4, 1, 16),
    279: (4, 1, 256),
}


@bomb
def tiff_of_gigapixels(folder: Path) -> Path:
    huge = {256: (4, 1, 2**31), 257: (4, 1, 2**31), 278: (4, 1, 2**31), 279: (4, 1, 2**31)}
    return put_tiff(folder / "bomb.tif", TAGS | huge, bytes(500))


@bomb
def small_tiff_that_unpacks_to_gigabytes(folder: Path) -> Path:
    content = deflated_zeros(2**32, 15)
    return put_tiff(folder / "bomb2.tif", TAGS | {279: (4, 1, len(content)), 259: (3, 1, 8)}, bytes(78) + content)


@bomb
def tiff_with_a_million_missing_tiles(folder: Path) -> Path:
    tiles = {322: (3, 1, 16), 323: (3, 1, 16), 324: (4, 10**6, 300), 325: (4, 10**6, 300)}
    huge = {256: (4, 1, 16000), 257: (4, 1, 16000)}
    return put_tiff(folder / "bomb3.tif", {k: v for k, v in TAGS.items() if k < 273} | huge | tiles, bytes(4 * 10**6))


@bomb
def tiff_whose_pages_go_round(folder: Path) -> Path:
    return put_tiff(folder / "round.tif", TAGS, bytes(500), following=8)


@bomb
def tiff_with_laughing_xml(folder: Path) -> Path:
    lines = "".join(f'<!ENTITY a{i} "{f"&a{i - 1};" * 10}">' for i in range(1, 12))
    xml = f'<?xml version="1.0"?><!DOCTYPE OME [<!ENTITY a0 "ha">{lines}]><OME>&a11;</OME>'.encode()
    return put_tiff(folder / "laugh.ome.tif", TAGS | {270: (2, len(xml), 600)}, bytes(600 - 134) + xml)


@bomb
def npy_of_a_petabyte(folder: Path) -> Path:
    (folder / "bomb.npy").write_bytes(npy_header((10**5, 10**5, 10**5), "<u1") + bytes(100))
    return folder / "bomb.npy"


@bomb
def npy_that_is_pickled(folder: Path) -> Path:
    np.save(folder / "pickle.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    return folder / "pickle.npy"


@bomb
def small_npz_that_unpacks_to_gigabytes(folder: Path) -> Path:
    return packed_zip(folder / "bomb.npz", {"image.npy": (npy_header((40, 40), "|u1"), 3 * 2**30)})


@bomb
def npz_with_a_description_of_a_gigabyte(folder: Path) -> Path:
    pixels = npy_header((40, 40), "|u1") + bytes(1600)
    said = npy_header((2**30,), "|u1") + b'{"segmentry": "'
    return packed_zip(folder / "bomb2.npz", {"image.npy": (pixels, 0), "segmentry.npy": (said, 2**30)})


@bomb
def roi_zip_that_unpacks_to_gigabytes(folder: Path) -> Path:
    return packed_zip(folder / "bomb.zip", {"0001.roi": (b"Iout", 3 * 2**30)})


@bomb
def roi_zip_of_very_many_entries(folder: Path) -> Path:
    with zipfile.ZipFile(folder / "many.zip", "w") as archive:
        for i in range(20_000):
            archive.writestr(zipfile.ZipInfo(f"{i}.roi"), b"Iout")
    return folder / "many.zip"


@bomb
def nifti_of_terabytes(folder: Path) -> Path:
    header = nibabel.Nifti1Header()
    header["dim"][:4] = 3, 32767, 32767, 32767
    header["vox_offset"] = 352
    (folder / "bomb.nii.gz").write_bytes(gzip.compress(header.binaryblock + bytes(1000)))
    return folder / "bomb.nii.gz"


@bomb
def nifti_whose_header_unpacks_to_a_gigabyte(folder: Path) -> Path:
    header = nibabel.Nifti1Header()
    header["dim"][:4] = 3, 4, 4, 4
    header["vox_offset"] = 2**30
    start = zlib.compressobj(9, zlib.DEFLATED, -15)
    first = start.compress(header.binaryblock + b"\1\0\0\0" + struct.pack("<ii", -1, 6)) + start.flush(
        zlib.Z_FULL_FLUSH
    )
    packed = b"\x1f\x8b\x08\0\0\0\0\0\0\xff" + first + deflated_zeros(2**30 + 2**20, -15) + bytes(8)
    (folder / "bomb2.nii.gz").write_bytes(packed)
    return folder / "bomb2.nii.gz"


@bomb
def zarr_of_exabytes(folder: Path) -> Path:
    zarr.create_array(str(folder / "bomb.zarr"), shape=(10**9, 10**9), chunks=(512, 512), dtype="u4")
    return folder / "bomb.zarr"


@bomb
def zarr_of_one_huge_chunk(folder: Path) -> Path:
    zarr.create_array(str(folder / "chunk.zarr"), shape=(50, 50), dtype="u4")
    place = folder / "chunk.zarr" / "zarr.json"
    meta = json.loads(place.read_text())
    meta["chunk_grid"]["configuration"]["chunk_shape"] = [10**5, 10**5]
    place.write_text(json.dumps(meta))
    return folder / "chunk.zarr"


@bomb
def hdf5_of_petabytes(folder: Path) -> Path:
    with h5py.File(folder / "bomb.h5", "w") as file:
        file.create_dataset("data", shape=(10**6, 10**5, 10**4), dtype="u1", chunks=(64, 64, 64))
    return folder / "bomb.h5"


@bomb
def hdf5_of_one_huge_chunk(folder: Path) -> Path:
    with h5py.File(folder / "chunk.h5", "w") as file:
        shape = (2**15, 2**16)
        file.create_dataset("data", shape=shape, dtype="u1", chunks=shape, compression="gzip")
    return folder / "chunk.h5"


def put_json(path: Path, content: object) -> Path:
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def coco(counts: object, height: int, width: int) -> dict[str, object]:
    annotation = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [0, 0, 1, 1], "area": 1, "iscrowd": 0}
    annotation["segmentation"] = {"size": [height, width], "counts": counts}
    image = {"id": 1, "width": width, "height": height, "file_name": "a.png"}
    return {"images": [image], "categories": [{"id": 1, "name": "cell"}], "annotations": [annotation]}


@bomb
def coco_of_a_terapixel(folder: Path) -> Path:
    return put_json(folder / "bomb.json", coco([5, 3, 10**12 - 8], 10**6, 10**6))


@bomb
def coco_of_runs_beyond_the_image(folder: Path) -> Path:
    return put_json(folder / "runs.json", coco([0, 10**15], 100, 100))


@bomb
def json_nested_ten_thousand_deep(folder: Path) -> Path:
    return put_json(folder / "deep.json", '{"images": ' + "[" * 10**5 + "]" * 10**5 + "}")


@bomb
def geojson_nested_ten_thousand_deep(folder: Path) -> Path:
    start = '{"type": "FeatureCollection", "features": '
    return put_json(folder / "deep.geojson", start + "[" * 10**5 + "]" * 10**5 + "}")


@bomb
def geojson_of_a_terapixel(folder: Path) -> Path:
    ring = [[0, 0], [10**6, 0], [10**6, 10**6], [0, 10**6], [0, 0]]
    feature = {"type": "Feature", "geometry": {"type": "Polygon", "coordinates": [ring]}, "properties": {}}
    return put_json(folder / "bomb.geojson", {"type": "FeatureCollection", "features": [feature]})


@bomb
def geojson_of_infinite_corners(folder: Path) -> Path:
    ring = "[[0, 0], [1e400, 0], [NaN, 5], [0, 5], [0, 0]]"
    start = '{"type": "FeatureCollection", "features": [{"type": "Feature", "properties": {}, "geometry": '
    return put_json(folder / "nan.geojson", start + '{"type": "Polygon", "coordinates": [' + ring + "]}}]}")
