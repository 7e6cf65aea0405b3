import json

import numpy as np
import pandas as pd
import pytest

from segmentry import write, write_labels
from segmentry.app.cli import run
from segmentry.degradation import DEGRADATIONS, degraded, scores_under_degradation
from segmentry.errors import InputError, UnknownNameError
from segmentry.simulation import simulate_nuclei


@pytest.fixture(scope="module")
def sample():
    return simulate_nuclei((96, 112), 1)


@pytest.mark.parametrize("kind", DEGRADATIONS)
def test_every_kind_begins_with_the_intact_image_and_gets_worse(sample, kind):
    image, truth = sample
    amounts = DEGRADATIONS[kind].amounts
    intact, same = degraded(image, truth, kind, amounts[0])
    assert np.array_equal(np.asarray(same.labels), np.asarray(truth.labels))
    assert np.corrcoef(intact.read().ravel(), image.read().ravel())[0, 1] > 0.99
    for amount in amounts[1:]:
        seen, there = degraded(image, truth, kind, amount)
        assert seen.grid.shape == there.grid.shape
        again, _ = degraded(image, truth, kind, amount)
        assert np.array_equal(seen.read(), again.read())


def test_coarse_pixels_hold_the_mean_and_say_their_size(sample):
    image, truth = sample
    fine, _ = degraded(image, truth, "partial_volume", 1)
    coarse, labels = degraded(image, truth, "partial_volume", 4)
    assert coarse.grid.spacing == (4.0, 4.0)
    assert labels.grid.spacing == (4.0, 4.0)
    assert coarse.read().mean() == pytest.approx(fine.read().mean(), rel=1e-5)
    assert coarse.read()[3, 5] == pytest.approx(fine.read()[12:16, 20:24].mean(), rel=1e-5)


def test_noise_lowers_scores_and_its_filter_raises_them(sample):
    rows = pd.DataFrame(scores_under_degradation(*sample, ["otsu", "nuclei_classic"], ["noise"]))
    assert len(rows) == 2 * 2 * len(DEGRADATIONS["noise"].amounts)
    ap = rows.set_index(["method", "amount", "filter"])["ap50"]
    assert ap["otsu", 0.2, ""] < ap["otsu", 0, ""]
    assert ap["otsu", 0.1, "non_local_means"] > ap["otsu", 0.1, ""]


def test_every_filter_made_for_a_kind_exists_and_runs(sample):
    kinds = list(DEGRADATIONS)
    rows = pd.DataFrame(scores_under_degradation(*sample, ["otsu"], kinds))
    assert (rows["note"] == "").all()
    assert set(rows["kind"]) == set(kinds)


def test_a_name_that_does_not_exist_is_refused(sample):
    with pytest.raises(UnknownNameError, match="noise"):
        degraded(*sample, "noize", 1)
    with pytest.raises(UnknownNameError, match="otsu"):
        list(scores_under_degradation(*sample, ["otus"], ["noise"]))


def test_a_truth_of_another_shape_is_refused(sample):
    image, _ = sample
    _, other = simulate_nuclei((20, 20))
    with pytest.raises(InputError, match="shape"):
        degraded(image, other, "noise", 0)


def test_the_commands_make_an_image_and_degrade_it(tmp_path, capsys):
    place = tmp_path / "n.tif"
    assert run(["simulate", "-o", str(place), "--shape", "64,72", "--seed", "2", "--spacing", "0.5um"]) == 0
    assert (tmp_path / "n-labels.tif").exists()
    out = tmp_path / "out"
    command = ["degrade", str(place), str(tmp_path / "n-labels.tif"), "-o", str(out), "--kinds", "artefacts,blur"]
    assert run([*command, "--methods", "otsu,watershed", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    table = pd.read_csv(out / "scores.csv", keep_default_na=False)
    assert len(rows) == len(table)
    assert {"artefacts", "blur"} == set(table["kind"])
    assert "<svg" in (out / "scores.svg").read_text("utf-8")
    assert (out / "blur-6.png").exists()
    assert run(command) == 1
    assert "exists" in capsys.readouterr().err


def test_degrade_without_matplotlib_still_writes_the_scores(tmp_path, monkeypatch, sample):
    monkeypatch.setitem(__import__("sys").modules, "matplotlib", None)
    write(tmp_path / "i.tif", sample[0])
    write_labels(tmp_path / "t.tif", sample[1])
    out = tmp_path / "out"
    assert (
        run(
            [
                "degrade",
                *(str(tmp_path / n) for n in ("i.tif", "t.tif")),
                "-o",
                str(out),
                "--kinds",
                "contrast",
                "--methods",
                "otsu",
            ]
        )
        == 0
    )
    assert (out / "scores.csv").exists()
    assert not (out / "scores.svg").exists()
