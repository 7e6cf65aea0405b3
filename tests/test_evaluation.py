import json
import math

import numpy as np
import pytest

from segmentry import Image, write, write_labels
from segmentry.app.cli import run
from segmentry.errors import InputError, ParameterError
from segmentry.evaluation import Rules, evaluate, pairs
from segmentry.image import Grid
from segmentry.job import Options
from segmentry.length import Length
from segmentry.report import record
from segmentry.result import Instances


def blobs(seed=0, shape=(40, 48)):
    """Return labels of squares, and those labels moved by a pixel with one square lacking."""
    rng = np.random.default_rng(seed)
    truth = np.zeros(shape, np.uint32)
    for i, (y, x) in enumerate(np.ndindex(3, 4), 1):
        side = rng.integers(5, 9)
        truth[y * 13 + 2 : y * 13 + 2 + side, x * 12 + 2 : x * 12 + 2 + side] = i
    predicted = np.roll(np.where(truth == 4, 0, truth), 1, axis=1)
    return predicted, truth


def save(path, labels, axes="YX", **known):
    write_labels(path, Instances.from_labels(labels, Grid(axes, labels.shape, **known)))
    return path


@pytest.fixture
def folders(tmp_path):
    for seed, name in enumerate("abc"):
        predicted, truth = blobs(seed)
        save(tmp_path / "predicted" / f"{name}.tif", predicted)
        save(tmp_path / "truth" / f"{name}.png", truth)
    return tmp_path / "predicted", tmp_path / "truth"


def test_folders_are_paired_by_name(folders):
    predicted, truth = folders
    found = evaluate(predicted, truth, Rules(metrics=("recall", "ap", "dice")))
    assert [image.name for image in found.scores.images] == ["a", "b", "c"]
    assert found.scores["recall"].pooled == 33 / 36
    assert found.objects.groupby(["image", "side"]).size().tolist() == [11, 12] * 3
    assert list(found.objects.columns[:3]) == ["image", "side", "id"]
    assert found.sources["b"].predicted == predicted / "b.tif"
    assert found.sources["b"].image is None
    fates = {(r["side"], r["fate"]): r["objects"] for r in found.breakdowns()["fates"].to_dict("records")}
    assert fates == {("true", "found"): 33, ("true", "missed"): 3, ("predicted", "correct"): 33}


def test_a_pair_of_files_may_have_any_names(folders):
    predicted, truth = folders
    assert list(pairs(predicted / "a.tif", truth / "b.png")) == ["a"]


def test_what_lacks_its_partner_is_named(folders):
    predicted, truth = folders
    (truth / "c.png").unlink()
    with pytest.raises(InputError, match="truth has no labels called 'c'"):
        evaluate(predicted, truth)
    with pytest.raises(InputError, match="truth has no labels called 'c'"):
        evaluate(truth, predicted)


def test_two_files_of_one_name_are_refused(folders):
    predicted, truth = folders
    save(predicted / "a.png", blobs()[0])
    with pytest.raises(InputError, match=r"two files called 'a'"):
        evaluate(predicted, truth)


def test_a_file_that_does_not_fit_is_named(folders):
    predicted, truth = folders
    save(truth / "b.tif", blobs(shape=(40, 50))[1])
    (truth / "b.png").unlink()
    with pytest.raises(InputError, match=r"b: predicted labels have shape \(40, 48\).*\(40, 50\)"):
        evaluate(predicted, truth)


def test_every_time_point_is_an_image(tmp_path):
    series = [np.stack(pair) for pair in zip(*(blobs(seed) for seed in range(3)), strict=True)]
    files = [save(tmp_path / f"{name}.tif", s, "TYX") for name, s in zip(("ours", "theirs"), series, strict=True)]
    found = evaluate(*files, Rules(metrics=("ap",)))
    assert [image.name for image in found.scores.images] == ["ours t=0", "ours t=1", "ours t=2"]
    assert [found.sources[image.name].time for image in found.scores.images] == [0, 1, 2]
    assert found.scores["ap"].pooled == 33 / 36
    mask = np.zeros(series[0].shape, np.uint8)
    mask[1] = 1
    write(tmp_path / "mask.tif", Image(mask, Grid("TYX", mask.shape)))
    hidden = evaluate(*files, Rules(metrics=("ap",), ignore=tmp_path / "mask.tif"))
    assert hidden.scores["ap"].pooled == 22 / 24


def test_regions_can_be_ignored_by_value_or_by_mask(tmp_path, folders):
    predicted, truth = folders
    assert evaluate(predicted, truth, Rules(metrics=("recall",), ignore=4)).scores["recall"].pooled == 1
    for name in "abc":
        save(tmp_path / "masks" / f"{name}.tif", (blobs("abc".index(name))[1] == 4).astype(np.uint32))
    found = evaluate(predicted, truth, Rules(metrics=("recall",), ignore=tmp_path / "masks"))
    assert found.scores["recall"].pooled == 1
    (tmp_path / "masks" / "b.tif").unlink()
    with pytest.raises(InputError, match="no mask called 'b'"):
        evaluate(predicted, truth, Rules(ignore=tmp_path / "masks"))


def test_a_pixel_size_can_be_said_where_files_disagree(tmp_path):
    predicted, truth = blobs()
    files = save(tmp_path / "p.tif", predicted, spacing=(1.0, 1.0), unit="um"), save(tmp_path / "t.tif", truth,
                 spacing=(0.5, 0.5), unit="um")  # fmt: skip
    with pytest.raises(InputError, match=r"\(1\.0, 1\.0\) um.*\(0\.5, 0\.5\) um"):
        evaluate(*files)
    found = evaluate(*files, Rules(spacing=Options((0.25,), "um")))
    assert found.grid.spacing == (0.25, 0.25)
    true = found.objects[found.objects["side"] == "true"]
    assert true["size"].sum() == pytest.approx((truth > 0).sum() / 16)


def test_a_tolerance_in_micrometres_is_one_in_pixels(tmp_path):
    predicted, truth = blobs()
    known = {"spacing": (0.5, 0.5), "unit": "um"}
    files = save(tmp_path / "p.tif", predicted, **known), save(tmp_path / "t.tif", truth, **known)
    scores = [
        evaluate(*files, Rules(metrics=("surface_dice",), tolerance=Length.parse(text))).scores["surface_dice"].pooled
        for text in ("0.5 um", "1", "0.1 um")
    ]
    assert scores[0] == scores[1] > scores[2]
    plain = [save(tmp_path / f"{name}.png", blobs()[i]) for i, name in enumerate("pt")]
    with pytest.raises(ParameterError, match="no pixel size"):
        evaluate(*plain, Rules(tolerance=Length.parse("1 um")))


def test_classes_are_values_of_pixels(tmp_path):
    truth = np.array([[0, 0, 1, 1, 200, 200, 255]], np.uint8)
    predicted = np.array([[0, 1, 1, 1, 200, 0, 0]], np.uint8)
    for name, array in (("p", predicted), ("t", truth)):
        write(tmp_path / f"{name}.tif", Image.from_array(array, "YX"))
    found = evaluate(tmp_path / "p.tif", tmp_path / "t.tif", Rules(classes=True, ignore=255))
    assert found.scores["dice", "1"].pooled == 4 / 5
    assert found.scores["dice", "200"].pooled == 2 / 3
    assert found.scores["dice"].pooled == pytest.approx((4 / 5 + 2 / 3) / 2)
    table = found.breakdowns()["confusion"]
    counts = {(r["true"], r["predicted"]): r["pixels"] for r in table.to_dict("records")}
    assert counts == {("background", "background"): 1, ("background", "1"): 1, ("1", "1"): 2, ("200", "200"): 1,
                      ("200", "background"): 1}  # fmt: skip
    assert found.objects.empty
    assert not {"ap", "seg"} & {name for name, _ in found.scores.found}


def test_ids_may_be_whole_numbers_of_any_type(tmp_path):
    predicted, truth = blobs()
    write(tmp_path / "p.tif", Image.from_array(predicted.astype(np.float32), "YX"))
    high = np.where(truth > 0, truth + np.uint32(2**31 + 7), 0).astype(np.uint32)
    save(tmp_path / "t.tif", high)
    found = evaluate(tmp_path / "p.tif", tmp_path / "t.tif", Rules(metrics=("recall",)))
    assert found.scores["recall"].pooled == 11 / 12
    assert found.objects.loc[found.objects["side"] == "true", "id"].min() == 2**31 + 8
    write(tmp_path / "p.tif", Image.from_array(predicted + np.float32(0.5), "YX"), overwrite=True)
    with pytest.raises(InputError, match="fractions"):
        evaluate(tmp_path / "p.tif", tmp_path / "t.tif")


def test_the_output_of_a_run_counts_as_its_labels_and_knows_its_images(tmp_path):
    _, truth = blobs()
    for name in "ab":
        write(tmp_path / "images" / f"{name}.tif", Image.from_array((truth > 0).astype(np.uint8) * 200, "YX"))
        save(tmp_path / "truth" / f"{name}.tif", truth)
    assert run(["segment", str(tmp_path / "images"), "-o", str(tmp_path / "out"), "-m", "otsu"]) == 0
    found = evaluate(tmp_path / "out", tmp_path / "truth", Rules(metrics=("ap",)))
    assert found.scores["ap"].pooled == 1
    assert found.sources["a"].image == tmp_path / "images" / "a.tif"
    assert list(pairs(tmp_path / "out", tmp_path / "out")) == ["a", "b"]
    single = evaluate(tmp_path / "out" / "a", tmp_path / "truth" / "b.tif", Rules(metrics=("ap",)))
    assert [image.name for image in single.scores.images] == ["a"]
    write(tmp_path / "none" / "c.tif", Image.from_array(truth, "YX"))
    with pytest.raises(InputError, match="no image called 'a'"):
        evaluate(tmp_path / "out", tmp_path / "truth", images=tmp_path / "none")


def test_two_methods_are_compared(folders):
    predicted, truth = folders
    found = evaluate(predicted, truth, Rules(metrics=("recall", "dice")), against=truth)
    table = found.breakdowns()["comparison"].set_index(["metric", "of"])
    assert table.loc[("recall", "0.50"), "difference"] == pytest.approx(-1 / 12)
    assert table.loc[("recall", "0.50"), "p"] == 0.25
    assert found.other.scores["dice"].pooled == 1


def test_a_record_of_everything_is_plain_data(folders):
    found = evaluate(*folders, Rules(thresholds=(0.5, 0.75)))
    told = json.loads(json.dumps(record(found), allow_nan=False))
    assert told["n_images"] == 3
    assert told["scores"]["ap"]["0.75"]["pooled"] == found.scores["ap", "0.75"].pooled
    assert told["scores"]["coco_ap"]["pooled"] is None  # no object has a score
    assert math.isnan(found.scores["coco_ap"].pooled)
    assert told["images"]["b"]["dice"] == found.scores.images[1]["dice"]
    assert told["definitions"]["ap"]["definition"].startswith("TP / (TP + FP + FN)")
    assert told["rules"]["thresholds"] == [0.5, 0.75]
    assert told["files"]["c"]["truth"].endswith("c.png")


def test_empty_labels_are_judged(tmp_path):
    nothing = np.zeros((20, 20), np.uint32)
    files = [save(tmp_path / f"{name}.tif", nothing) for name in "pt"]
    found = evaluate(*files)
    assert found.scores["ap"].pooled == found.scores["dice"].pooled == 1
    assert math.isnan(found.scores["seg"].pooled)
    assert found.objects.empty
    assert set(found.breakdowns()) <= {"comparison"}


def test_volumes_have_boxes_along_all_axes(tmp_path):
    volume = np.zeros((6, 12, 12), np.uint32)
    volume[2:5, 3:8, 4:10] = 9
    known = {"spacing": (2.0, 1.0, 1.0), "unit": "um"}
    file = save(tmp_path / "v.tif", volume, "ZYX", **known)
    rows = evaluate(file, file).objects
    assert rows.loc[0, ["start_z", "stop_z", "start_y", "stop_y", "start_x", "stop_x"]].tolist() == [2, 5, 3, 8, 4, 10]
    assert rows.loc[0, "size"] == 3 * 5 * 6 * 2
