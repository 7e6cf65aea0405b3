"""ImageJ ROIs against roifile, in both directions."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import roifile
from hypothesis import given, settings
from listed_objects import assert_damage_is_one_line, assert_same, instances
from skimage.draw import ellipse, polygon2mask

from segmentry.errors import InputError, OutputError
from segmentry.image import Grid
from segmentry.io import read_labels, read_provenance, write_labels
from segmentry.io.imagej_roi import ImagejRoi
from segmentry.result import Instances

some = settings(max_examples=25, deadline=None)
TYPES, OPTIONS, SUBTYPES = roifile.ROI_TYPE, roifile.ROI_OPTIONS, roifile.ROI_SUBTYPE

IDS = np.array([5, 7, 9], np.uint32)
LABELS = np.array([[7, 7, 7, 0], [7, 0, 7, 9], [7, 7, 7, 9], [5, 0, 5, 0]], np.uint32)


def box(left: int, top: int, width: int, height: int, **more: Any) -> roifile.ImagejRoi:
    more = {"roitype": TYPES.RECT, **more}
    return roifile.ImagejRoi(left=left, top=top, right=left + width, bottom=top + height, **more)


def polygon(points: Any, kind: Any = TYPES.POLYGON, **more: Any) -> roifile.ImagejRoi:
    roi = roifile.ImagejRoi.frompoints(points)
    roi.roitype, roi.name = kind, more.pop("name", "")
    for key, value in more.items():
        setattr(roi, key, value)
    return roi


def file_of(folder: Path, *rois: roifile.ImagejRoi) -> Path:
    path = folder / "RoiSet.zip"
    path.unlink(missing_ok=True)
    roifile.roiwrite(path, rois, name=[f"{i:04}-{roi.name or 'region'}" for i, roi in enumerate(rois)])
    return path


def read_array(path: Path) -> list[list[int]]:
    rows: list[list[int]] = np.asarray(read_labels(path).labels[...]).tolist()
    return rows


@given(instances(("YX", "ZYX", "TYX", "TZYX")))
@some
def test_everything_comes_back(tmp_path_factory: pytest.TempPathFactory, given_labels: Instances) -> None:
    path = write_labels(tmp_path_factory.mktemp("roi") / "a.zip", given_labels, provenance={"seed": 1})
    assert_same(read_labels(path), given_labels)
    assert read_provenance(path) == {"seed": 1}


@given(instances(("YX", "ZYX", "TYX", "TZYX")))
@some
def test_roifile_reads_what_we_write(tmp_path_factory: pytest.TempPathFactory, given_labels: Instances) -> None:
    path = write_labels(tmp_path_factory.mktemp("roi") / "a.zip", given_labels)
    labels = np.asarray(given_labels.labels[...])
    grid = given_labels.grid
    back = np.zeros((grid.length("T"), grid.length("Z"), *labels.shape[-2:]), np.uint32)
    for roi in roifile.roiread(path):
        assert ("T" in grid.axes, "Z" in grid.axes) == (roi.t_position > 0, roi.z_position > 0)
        plane = back[max(roi.t_position - 1, 0), max(roi.z_position - 1, 0)]
        inside = np.zeros(plane.shape, bool)
        for ring in roi.coordinates(multi=True):
            inside ^= polygon2mask(plane.shape, ring[:, ::-1] - 0.5)
        assert not plane[inside].any()
        plane[inside] = int(roi.name)
    assert np.array_equal(back.reshape(labels.shape), labels)


def test_one_ring_is_a_traced_polygon_and_more_are_a_composite(tmp_path: Path) -> None:
    path = write_labels(tmp_path / "a.zip", Instances.from_labels(LABELS))
    rois = {roi.name: roi for roi in roifile.roiread(path)}
    assert sorted(rois) == ["5", "7", "9"]
    assert rois["9"].roitype == TYPES.TRACED
    assert rois["9"].coordinates().tolist() == [[3, 1], [4, 1], [4, 3], [3, 3]]
    assert [rois[name].composite for name in "579"] == [True, True, False]
    assert len(rois["7"].coordinates(multi=True)) == 2
    assert (rois["7"].left, rois["7"].top, rois["7"].right, rois["7"].bottom) == (0, 0, 3, 3)
    with zipfile.ZipFile(path) as archive:
        assert archive.namelist() == ["5.roi", "7.roi", "9.roi"]


def test_classes_are_groups_and_scores_are_properties(tmp_path: Path) -> None:
    ids, kinds, scores = (
        np.array([5, 7, 9], np.uint32),
        np.array([2, 1, 1], np.int32),
        np.array([0.5, 1, 0.1], np.float32),
    )
    given_labels = Instances(LABELS, Grid("YX", (4, 4)), ids, scores, kinds, ("no", "a", "b"))
    rois = roifile.roiread(write_labels(tmp_path / "a.zip", given_labels))
    assert [roi.group for roi in rois] == [2, 1, 1]
    assert rois[0].props == "score: 0.5\n"


@pytest.mark.parametrize("shape", [(3, 40_000), (70_000, 3)])
def test_coordinates_beyond_16_bits_are_exact(tmp_path: Path, shape: tuple[int, int]) -> None:
    labels = np.zeros(shape, np.uint32)
    labels[1:, 1:] = 4
    labels[0, :] = 2
    back = read_labels(write_labels(tmp_path / "a.zip", Instances.from_labels(labels)))
    assert np.array_equal(back.labels[...], labels)


def test_reads_the_kinds_of_area_that_imagej_draws(tmp_path: Path) -> None:
    corners = [[0, 0], [2, 0], [2, 2], [0, 2]]
    for kind in (TYPES.POLYGON, TYPES.FREEHAND, TYPES.TRACED):
        assert read_array(file_of(tmp_path, polygon(corners, kind))) == [[1, 1], [1, 1]]
    assert read_array(file_of(tmp_path, polygon(np.array(corners) * 0.8))) == [[1, 1], [1, 1]]
    assert read_array(file_of(tmp_path, box(1, 0, 2, 1))) == [[0, 1, 1]]
    real = box(0, 0, 2, 2, options=OPTIONS.SUB_PIXEL_RESOLUTION, xd=0.6, yd=0.0, widthd=1.0, heightd=1.4)
    assert read_array(file_of(tmp_path, real)) == [[0, 1], [0, 0]]


def test_ovals_are_drawn_by_pixel_centres(tmp_path: Path) -> None:
    labels = np.asarray(read_labels(file_of(tmp_path, box(3, 2, 17, 11, roitype=TYPES.OVAL))).labels[...])
    wanted = np.zeros(labels.shape, bool)
    wanted[ellipse(2 + 5.5 - 0.5, 3 + 8.5 - 0.5, 5.5, 8.5, shape=wanted.shape)] = True
    assert labels.shape == (13, 20)
    assert np.array_equal(labels > 0, wanted)


def test_a_single_roi_file_is_read(tmp_path: Path) -> None:
    box(1, 0, 2, 1, name="31").tofile(tmp_path / "one.roi")
    back = read_labels(tmp_path / "one.roi")
    assert np.asarray(back.labels[...]).tolist() == [[0, 31, 31]]
    assert read_provenance(tmp_path / "one.roi") == {}
    with pytest.raises(OutputError, match=r"write a \.zip"):
        write_labels(tmp_path / "two.roi", back)


def test_names_that_are_numbers_are_ids_and_others_are_counted(tmp_path: Path) -> None:
    boxes = [box(0, 0, 1, 1, name="90"), box(1, 0, 1, 1, name="4")]
    assert read_array(file_of(tmp_path, *boxes)) == [[90, 4]]
    boxes[1].name = "90"
    assert read_array(file_of(tmp_path, *boxes)) == [[1, 2]]
    boxes[1].name = "nucleus"
    assert read_array(file_of(tmp_path, *boxes)) == [[1, 2]]


def test_groups_become_classes(tmp_path: Path) -> None:
    back = read_labels(file_of(tmp_path, box(0, 0, 1, 1, group=4), box(1, 0, 1, 1), box(2, 0, 1, 1, group=4)))
    assert back.names == ("background", "object", "group 4")
    assert back.classes is not None
    assert back.classes.tolist() == [2, 1, 2]


def test_positions_are_planes_and_none_is_all_planes(tmp_path: Path) -> None:
    back = read_labels(file_of(tmp_path, box(0, 0, 1, 1, z_position=3), box(1, 0, 1, 1), box(2, 0, 1, 1, position=2)))
    assert back.grid.axes == "ZYX"
    assert np.asarray(back.labels[...]).tolist() == [[[0, 2, 0]], [[0, 2, 3]], [[1, 2, 0]]]


def test_one_name_in_several_planes_is_one_object(tmp_path: Path) -> None:
    rois = [box(0, 0, 1, 1, name="8", z_position=z, t_position=2) for z in (1, 2)]
    back = read_labels(file_of(tmp_path, *rois))
    assert back.grid.axes == "TZYX"
    assert back.ids.tolist() == [8]
    assert np.asarray(back.labels[...]).tolist() == [[[[0]], [[0]]], [[[8]], [[8]]]]


@pytest.mark.parametrize(
    ("roi", "message"),
    [
        (box(0, 0, 4, 4, roitype=TYPES.LINE, name="a"), r"ROI 'a' \(line\) is no area"),
        (polygon([[0, 0], [2, 0], [2, 2]], TYPES.POINT), r"\(point\) is no area"),
        (polygon([[0, 0], [2, 0], [2, 2]], TYPES.POLYLINE), r"\(polyline\) is no area"),
        (polygon([[0, 0], [2, 0], [2, 2]], options=OPTIONS.SPLINE_FIT), r"\(spline-fitted polygon\) is no area"),
        (box(0, 0, 4, 4, rounded_rect_arc_size=2), r"\(rounded rect\) is no area"),
        (box(0, 0, 4, 4, subtype=SUBTYPES.TEXT, text="hello"), r"\(text rect\) is no area"),
        (box(-2, 0, 4, 4), "negative coordinates"),
        (box(3, 0, 0, 4), "impossible left, top, width and height"),
        (box(0, 0, 4, 4, z_position=2**31 - 1, t_position=2**31 - 1), "it is damaged"),
    ],
)
def test_what_is_no_area_is_refused(tmp_path: Path, roi: roifile.ImagejRoi, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_labels(file_of(tmp_path, box(0, 0, 1, 1), roi))


def test_objects_that_overlap_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="objects 1 and 2 share 1 pixel;"):
        read_labels(file_of(tmp_path, box(0, 0, 2, 2), box(1, 1, 2, 2)))


def test_other_zips_are_not_taken_for_rois(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", labels=LABELS)
    assert not ImagejRoi().sniff(tmp_path / "a.npz", (tmp_path / "a.npz").read_bytes()[:4096])


def test_long_provenance_is_left_out(tmp_path: Path) -> None:
    labels = Instances.from_labels(LABELS)
    path = write_labels(tmp_path / "a.zip", labels, provenance={"note": "x" * 70_000})
    assert_same(read_labels(path), labels)
    assert read_provenance(path) == {}


def test_more_classes_than_imagej_has_groups_are_refused(tmp_path: Path) -> None:
    names = tuple(str(i) for i in range(300))
    labels = Instances(LABELS, Grid("YX", (4, 4)), IDS, None, np.array([1, 2, 299]), names)
    with pytest.raises(OutputError, match="255 groups"):
        write_labels(tmp_path / "a.zip", labels)


def test_the_same_objects_give_the_same_bytes(tmp_path: Path) -> None:
    labels = Instances.from_labels(LABELS)
    first, second = (write_labels(tmp_path / name / "a.zip", labels).read_bytes() for name in "xy")
    assert first == second


def test_damaged_files_are_refused_in_one_line(tmp_path: Path) -> None:
    path = write_labels(tmp_path / "a.zip", Instances.from_labels(LABELS))
    assert_damage_is_one_line(path)
    for roi in (polygon([[0, 0], [2, 0], [2, 2]]), box(0, 0, 3, 3, roitype=TYPES.OVAL)):
        roi.tofile(tmp_path / "a.roi")
        assert_damage_is_one_line(tmp_path / "a.roi")


def test_a_zip_that_unpacks_to_far_more_than_itself_is_refused(tmp_path: Path) -> None:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.roi", b"Iout" + bytes(40 * 2**20))
    (tmp_path / "a.zip").write_bytes(content.getvalue())
    with pytest.raises(InputError, match="damaged or not what it says"):
        read_labels(tmp_path / "a.zip")
