import base64
import io
import json
import math
import re
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
from PIL import Image as Pictures

from segmentry import Image, write, write_labels
from segmentry.errors import InputError, OutputError
from segmentry.evaluation import Evaluation, Rules, evaluate
from segmentry.image import Grid
from segmentry.metrics import THRESHOLDS, evaluate_set
from segmentry.report import crops, write_report
from segmentry.report.page import number
from segmentry.result import Instances

VOID = {"meta", "br", "wbr", "hr", "img", "link", "input"}
NASTY = "a <script>alert('x')<script> & b"


class Page(HTMLParser):
    """A page as its elements with their attributes, its text, and the rows of its tables."""

    def __init__(self, text):
        super().__init__()
        self.open, self.elements, self.text, self.rows = [], [], [], []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "style" not in self.open:
            self.text.append(data)
        if {"td", "th"} & set(self.open):
            self.rows[-1][-1] += data

    def row(self, name):
        return next([" ".join(cell.split()) for cell in row] for row in self.rows if row and row[0].strip() == name)


def mistakes(shape=(64, 64)):
    """Return predicted and true labels in which an object is missed, one extra, one split, two merged and one poor."""
    truth, predicted = np.zeros(shape, np.uint32), np.zeros(shape, np.uint32)
    for i, left in enumerate((2, 14, 26), 1):
        truth[2:12, left : left + 10] = predicted[2:12, left : left + 10] = i  # found
    truth[16:26, 2:12] = 4  # missed
    predicted[16:26, 30:40] = 40  # extra
    truth[30:40, 2:14] = 5  # split
    predicted[30:40, 2:7], predicted[30:40, 9:14] = 50, 51
    truth[30:40, 20:28], truth[30:40, 28:36] = 6, 7  # merged
    predicted[30:40, 19:37] = 60
    truth[44:54, 2:12] = 8  # poor
    predicted[47:57, 5:15] = 80
    return predicted, truth


def save(path, labels, axes="YX", **known):
    write_labels(path, Instances.from_labels(labels, Grid(axes, labels.shape, **known)))
    return path


@pytest.fixture
def folders(tmp_path):
    known = {"spacing": (0.5, 0.5), "unit": "um"}
    for name in (NASTY, "plain"):
        predicted, truth = mistakes()
        save(tmp_path / "found" / f"{name}.tif", predicted, **known)
        save(tmp_path / "truth" / f"{name}.tif", truth, **known)
        pixels = (truth > 0) * 90 + np.random.default_rng(0).integers(0, 30, truth.shape)
        write(tmp_path / "images" / f"{name}.tif", Image.from_array(pixels.astype(np.uint16), "YX"))
    return tmp_path / "found", tmp_path / "truth", tmp_path / "images"


def written(evaluation, folder):
    write_report(evaluation, folder)
    return Page((folder / "report.html").read_text("utf-8"))


def drawings(folder):
    text = (folder / "report.html").read_text("utf-8")
    return [ElementTree.fromstring(svg) for svg in re.findall(r"<svg .*?</svg>", text, re.DOTALL)]


def test_a_page_needs_nothing_but_itself(folders, tmp_path):
    found, truth, images = folders
    page = written(evaluate(found, truth, images=images, against=truth), tmp_path / "report")
    tags = {tag for tag, _ in page.elements}
    assert not tags & {"script", "link", "iframe", "object", "base", "form"}
    for _, attributes in page.elements:
        assert not any(name.startswith("on") for name in attributes)
        assert attributes.get("href", "data:").startswith("data:image/png;base64,") or "href" not in attributes
        assert "src" not in attributes
    text = (tmp_path / "report" / "report.html").read_text("utf-8")
    assert not re.search(r"https?://|@import|url\(", text)
    assert "<script" not in text
    assert any(NASTY in part for part in page.text)
    pictures = [e for svg in drawings(tmp_path / "report") for e in svg.iter("image")]
    assert len(pictures) == 10  # five kinds of errors in two images
    for picture in pictures:
        opened = Pictures.open(io.BytesIO(base64.b64decode(picture.get("href").partition(",")[2])))
        assert min(opened.size) >= 20
        assert np.asarray(opened).std() > 5


def test_every_kind_of_error_is_shown_with_its_outlines(folders, tmp_path):
    found, truth, images = folders
    page = written(evaluate(found, truth, images=images), tmp_path / "report")
    text = " ".join(" ".join(page.text).split())
    for title in ("Missed 2", "Extra 2", "Split 2", "Merged 2", "Poor 2"):
        assert title in text
    assert "6 of 16 objects were found at an IoU of 0.50 (37.5%)" in text
    assert "4 merged with others, 2 split, 2 outlined poorly and 2 missed" in text
    assert "true 4, 25 µm², no overlap" in text
    assert "true 6, 7 in predicted 60, 45 µm², IoU 0.44" in text
    crop = next(s for s in drawings(tmp_path / "report") if "true 6, 7" in (s.findtext("title") or ""))
    marked = [p.get("d") for p in crop.iter("path") if "marked" in p.get("class") and "truth" in p.get("class")]
    assert len(marked) == 1
    assert marked[0].count("M") == 2  # both true objects
    # What is shown, 10 high and 18 wide, in the middle of a square with context: from row 15 and column 8 on.
    assert crop.get("viewBox") == "0 0 39 39"
    assert marked[0].startswith(f"M{20 - 8} {30 - 15}H{28 - 8}V{40 - 15}")


def test_numbers_on_the_page_are_those_in_the_files(folders, tmp_path):
    found, truth, _ = folders
    page = written(evaluate(found, truth, Rules(thresholds=(0.5, 0.75))), tmp_path / "report")
    told = json.loads((tmp_path / "report" / "report.json").read_text("utf-8"))
    table = pd.read_csv(tmp_path / "report" / "scores.csv", keep_default_na=False, na_values=[""])
    images = pd.read_csv(tmp_path / "report" / "images.csv")
    objects = pd.read_csv(tmp_path / "report" / "objects.csv")
    for name in ("ap", "f1", "recall", "dice", "aji_plus"):
        score = told["scores"][name]
        score = score["0.50"] if name in ("ap", "f1", "recall") else score
        row = page.row(f"{name} at 0.50" if name in ("ap", "f1", "recall") else name)
        assert row[2].startswith(number(score["pooled"]))
        assert row[3].startswith(number(score["mean"]))
        first = table[table["metric"] == name].iloc[0]
        assert first["pooled"] == pytest.approx(score["pooled"])
        assert first["definition"] == told["definitions"][name]["definition"]
    assert images["image"].tolist() == [NASTY, "plain"]
    assert images["ap 0.75"].tolist() == pytest.approx([told["images"][n]["ap"]["0.75"] for n in (NASTY, "plain")])
    assert len(objects) == 2 * (8 + 8)
    assert set(objects["fate"]) == {"found", "missed", "split", "merged", "poor", "correct", "extra", "part", "merge"}
    undefined = page.row("coco_ap")
    assert undefined[2] == undefined[3] == "–"
    titles = {attributes["title"] for tag, attributes in page.elements if tag == "td" and "title" in attributes}
    assert {"not defined in any image", "can't be pooled, only averaged"} <= titles


def test_charts_are_drawn_within_their_bounds(folders, tmp_path):
    found, truth, _ = folders
    write_report(evaluate(found, truth, against=truth), tmp_path / "report")
    charts = {svg.get("aria-label"): svg for svg in drawings(tmp_path / "report") if svg.get("class") == "chart"}
    assert set(charts) == {"AP against IoU", "AP at 0.50 of each image", "Overlap of true objects", "Scores by size"}
    for svg in charts.values():
        _, _, width, height = (float(v) for v in svg.get("viewBox").split())
        for element in svg.iter():
            for name, limit in (("x", width), ("cx", width), ("y", height), ("cy", height)):
                if name in element.attrib and element.get("transform") is None:
                    assert 0 <= float(element.get(name)) <= limit
    ap = charts["AP against IoU"]
    names = [e.text for e in ap.iter("text")]
    assert {"found", "truth"} <= set(names)
    dots = [e for e in ap.iter("circle") if e.get("class") == "dot s0"]
    assert [e.findtext("title") for e in dots] == [f"found: 0.231 at {t:g}" for t in THRESHOLDS]
    assert len(ap.findall("polyline")) == 2


def test_the_same_files_give_the_same_bytes(folders, tmp_path):
    found, truth, images = folders
    for name in ("one", "two"):
        write_report(evaluate(found, truth, images=images, against=truth), tmp_path / name)
    files = sorted(path.name for path in (tmp_path / "one").iterdir())
    assert files == ["images.csv", "objects.csv", "report.html", "report.json", "scores.csv"]
    for file in files:
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()


def test_an_evaluation_of_nothing_is_a_page(tmp_path):
    nothing = Evaluation(evaluate_set([]), pd.DataFrame(), pd.DataFrame(), {}, Grid("YX", (1, 1)), Rules())
    page = written(nothing, tmp_path / "report")
    assert "There was nothing to judge." in page.text
    file = save(tmp_path / "empty.tif", np.zeros((20, 20), np.uint32))
    page = written(evaluate(file, file), tmp_path / "empty")
    assert "There was no object to judge." in page.text
    assert page.row("dice")[2].startswith("1.000")


def test_a_report_appears_whole_or_not_at_all(folders, tmp_path):
    found, truth, images = folders
    write(images / "plain.tif", Image.from_array(np.zeros((9, 9), np.uint8), "YX"), overwrite=True)
    before = sorted(tmp_path.iterdir())
    with pytest.raises(InputError, match=r"plain.tif has shape \(9, 9\).*is it the image"):
        write_report(evaluate(found, truth, images=images), tmp_path / "report")
    assert sorted(tmp_path.iterdir()) == before
    write_report(evaluate(found, truth), tmp_path / "report")
    with pytest.raises(OutputError, match="exists already"):
        write_report(evaluate(found, truth), tmp_path / "report")
    (tmp_path / "report" / "old.txt").write_text("old")
    write_report(evaluate(found, truth), tmp_path / "report", overwrite=True)
    assert not (tmp_path / "report" / "old.txt").exists()
    with pytest.raises(OutputError, match="is a file"):
        write_report(evaluate(found, truth), truth / "plain.tif", overwrite=True)


def test_files_are_read_once_each_for_the_pictures(folders, tmp_path, monkeypatch):
    found, truth, images = folders
    evaluation = evaluate(found, truth, images=images)
    read, seen = crops.read_labels, []
    monkeypatch.setattr(crops, "read_labels", lambda path: seen.append(path) or read(path))
    write_report(evaluation, tmp_path / "report")
    assert len(seen) == len(set(seen)) == 4


def test_without_images_outlines_stand_alone(folders, tmp_path):
    found, truth, _ = folders
    page = written(evaluate(found, truth), tmp_path / "report")
    assert any("Without the images" in part for part in page.text)


def test_volumes_show_the_middle_plane_of_an_object(tmp_path):
    flat = mistakes()
    volumes = [np.zeros((7, *flat[0].shape), np.uint32) for _ in flat]
    for volume, plane in zip(volumes, flat, strict=True):
        volume[1:6] = plane
    known = {"spacing": (2.0, 0.5, 0.5), "unit": "um"}
    files = [save(tmp_path / f"{n}.tif", v, "ZYX", **known) for n, v in zip(("p", "t"), volumes, strict=True)]
    pixels = np.zeros(volumes[0].shape, np.uint8)
    pixels[3, 20:22] = 255
    write(tmp_path / "i.tif", Image.from_array(pixels, "ZYX"))
    page = written(evaluate(*files, Rules(metrics=("ap",)), images=tmp_path / "i.tif"), tmp_path / "report")
    assert "true 4, 250 µm³, no overlap, plane 3" in " ".join(page.text)
    crop = next(s for s in drawings(tmp_path / "report") if "true 4," in (s.findtext("title") or ""))
    picture = Pictures.open(io.BytesIO(base64.b64decode(crop.find("image").get("href").partition(",")[2])))
    assert np.asarray(picture).max() == 255  # the bright line lies in plane 3 alone


def test_a_series_shows_the_time_point_of_an_object(tmp_path):
    predicted, truth = mistakes()
    series = np.stack([truth, predicted]), np.stack([truth, truth])
    files = [save(tmp_path / f"{n}.tif", s, "TYX") for n, s in zip(("p", "t"), series, strict=True)]
    colours = np.zeros((2, *truth.shape, 3), np.uint8)
    colours[1, ..., 0] = 200
    write(tmp_path / "i.tif", Image.from_array(colours, "TYXC"))
    evaluation = evaluate(*files, Rules(metrics=("ap",)), images=tmp_path / "i.tif")
    page = written(evaluation, tmp_path / "report")
    assert "p t=1" in page.text
    picture = next(e for svg in drawings(tmp_path / "report") for e in svg.iter("image"))
    opened = Pictures.open(io.BytesIO(base64.b64decode(picture.get("href").partition(",")[2])))
    assert opened.getpixel((0, 0)) == (200, 0, 0)


def test_classes_have_a_table_of_what_is_taken_for_what(tmp_path):
    predicted, truth = ((labels > 0) * 1 + (labels > 4) for labels in mistakes())
    for name, array in (("p", predicted), ("t", truth)):
        write(tmp_path / name / "a.tif", Image.from_array(array.astype(np.uint8), "YX"))
    evaluation = evaluate(tmp_path / "p", tmp_path / "t", Rules(classes=True))
    page = written(evaluation, tmp_path / "report")
    told = json.loads((tmp_path / "report" / "report.json").read_text("utf-8"))
    counts = {(r["true"], r["predicted"]): r["pixels"] for r in told["confusion"]}
    row = page.row("1")
    assert [int(cell.replace(",", "")) for cell in row[1:]] == [
        counts.get(("1", p), 0) for p in ("background", "1", "2")
    ]
    assert any("Worst images" in part for part in page.text)
    marked = {p.get("class") for svg in drawings(tmp_path / "report") for p in svg.iter("path")}
    assert {"truth marked", "predicted marked"} <= marked


def test_names_of_classes_are_text(tmp_path):
    predicted, truth = mistakes()
    for name, labels in (("p", predicted), ("t", truth)):
        found = Instances.from_labels(labels)
        classes = np.where(found.ids % 2, 1, 2).astype(np.int32)
        kinds = ("background", "<b>round</b>", "flat & thin")
        write_labels(tmp_path / f"{name}.geojson", Instances(labels, found.grid, found.ids, None, classes, kinds))
    page = written(evaluate(tmp_path / "p.geojson", tmp_path / "t.geojson"), tmp_path / "report")
    assert page.row("<b>round</b>")
    assert page.row("flat & thin")


def test_a_name_that_is_no_text_is_written_with_escapes(tmp_path):
    predicted, truth = mistakes()
    name = "caf\udce9"  # a byte that is no UTF-8, as the system gives it
    try:
        files = [save(tmp_path / folder / f"{name}.npy", a) for folder, a in (("p", predicted), ("t", truth))]
    except (OSError, UnicodeError, OutputError):
        pytest.skip("this file system takes text only")
    write_report(evaluate(*files), tmp_path / "report")
    assert "caf\\udce9" in (tmp_path / "report" / "report.html").read_text("utf-8")


def test_numbers_are_short():
    assert [number(v) for v in (0.5, -0.25, 12.345, 1234.5, math.nan, -math.inf)] == [
        "0.500", "−0.250", "12.3", "1,234", "–", "-∞",
    ]  # fmt: skip


def test_the_template_comes_along():
    assert (Path(crops.__file__).parent / "report.html").exists()
