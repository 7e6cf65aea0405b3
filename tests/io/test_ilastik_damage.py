"""What is no project of ilastik, is damaged or hostile, is refused in one line at once; nothing in it is run."""

import json
import os
import pickle
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
from ilastik_projects import add_data, add_features, add_stage, begin, refusal, replaced, tags, two_channels, without

from segmentry.errors import InputError
from segmentry.io.ilastik_project import read_project


class Exploit:
    """Makes a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (self.path,)


@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_nothing_is_unpickled(tmp_path, protocol):
    hostile = pickle.dumps(Exploit(str(tmp_path / "made")), protocol)
    path = two_channels(tmp_path / "a.ilp")
    replaced(path, "PixelClassification/ClassifierForests/pickled_type", np.bytes_(hostile.rstrip(b"\0")))
    try:
        assert "can be carried over" in read_project(path).left_out[0]
    except InputError as error:
        assert protocol, error  # a text with zeros in it is none
    assert not (tmp_path / "made").exists()


def test_what_is_no_project_is_refused(tmp_path):
    path = tmp_path / "a.ilp"
    assert "does not exist" in refusal(path)
    path.write_bytes(b"PK\3\4 and so on")
    assert "is not HDF5" in refusal(path)
    assert "is a folder" in refusal(tmp_path)
    with h5py.File(path, "w") as file:
        file["exported_data"] = np.zeros((3, 3))
    assert "no project of ilastik: it names no workflow (it has exported_data)" in refusal(path)
    with h5py.File(path, "w") as file:
        file["ilastikVersion"] = 0.5
    assert "older than 1.0" in refusal(path)
    begin(path, "Tracking").close()
    assert "'Tracking' is not understood (understood: Pixel Classification, Autocontext (2-stage)," in refusal(path)
    begin(path, "Pixel Classification").close()
    assert "no input data" in refusal(path)
    with begin(path, "Pixel Classification") as file:
        add_data(file, 0, "a.png", "yx", (4, 5))
        add_features(file, {"GaussianSmoothing": (1.0,)})
        add_stage(file, ())
    assert "neither a trained classifier nor labels" in refusal(path)


RAW = "Input Data/infos/lane0000/Raw Data"
BLOCK = "PixelClassification/LabelSets/labels000/block0000"


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("workflowName", 3, "not text"),
        (f"{RAW}/axistags", b"[[[", "are not distinct letters"),
        (f"{RAW}/axistags", json.dumps({"axes": [{"key": "q"}]}), "are not distinct letters"),
        (f"{RAW}/shape", [30, -40, 2], "lengths of an image's axes"),
        (f"{RAW}/shape", [2**60, 2**60, 2], "lengths of an image's axes"),
        (f"{RAW}/shape", [30, 40, 2**30], "features of 1,073,741,824 channels"),
        (f"{RAW}/location", b"ProjectInternal", "is not in the file"),
        ("FeatureSelections/Scales", [np.nan] * 7, "sigmas"),
        ("FeatureSelections/SelectionMatrix", np.ones((3, 3), bool), "of shape"),
        ("FeatureSelections/FeatureIds", [1, 2, 3], "not text"),
        ("PixelClassification/ClassifierForests/known_labels", [9], "among"),
        ("PixelClassification/ClassifierForests/feature_names", [b"a"], "1 names"),
        ("PixelClassification/LabelColors", [[1.5, 2, 3]], "integers"),
        (BLOCK, np.ones((2, 2, 1), np.float32), "blockSlice"),
        (BLOCK, np.ones((2, 2, 1), np.uint8), "blockSlice"),
        (BLOCK, h5py.SoftLink("/PixelClassification"), "link to elsewhere"),
        (BLOCK, h5py.ExternalLink("/etc/passwd", "/"), "link to elsewhere"),
    ],
)
def test_damage_is_refused(tmp_path, name, value, said):
    assert said in refusal(replaced(two_channels(tmp_path / "a.ilp"), name, value))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[__import__('os').system('true')]", "not like"),
        ("[3:5,4:6]", "2 dimensions"),
        ("[3:5,4:7,0:1]", "what its blockSlice says"),
        ("[5:3,4:6,0:1]", "what its blockSlice says"),
        ("[29:31,4:6,0:1]", "labels reach to"),
        ("[999999999999:1000000000001,4:6,0:1]", "not like"),
    ],
)
def test_places_of_labels_are_parsed_and_checked(tmp_path, text, said):
    path = two_channels(tmp_path / "a.ilp")
    with h5py.File(path, "a") as file:
        file[BLOCK].attrs["blockSlice"] = text
    assert said in refusal(path)


@pytest.mark.parametrize(
    ("name", "shape", "dtype", "said"),
    [
        (BLOCK, (2**20, 2**20, 1), "u1", "claims"),
        (BLOCK, (5000, 5000, 1), "u1", "at most"),
        ("PixelClassification/ClassifierForests/known_labels", (2**40,), "u4", "claims"),
        ("PixelClassification/LabelNames", (10**6,), h5py.string_dtype(), "at most"),
        ("PixelClassification/LabelNames", (1,), "S2000000", "at most"),
    ],
)
def test_huge_claims_are_refused_at_once(tmp_path, name, shape, dtype, said):
    path = without(two_channels(tmp_path / "a.ilp"), name)
    with h5py.File(path, "a") as file:
        data = file.create_dataset(name, shape, dtype, chunks=tuple(min(n, 64) for n in shape))
        data.attrs["blockSlice"] = "[" + ",".join(f"0:{n}" for n in shape) + "]"
    assert said in refusal(path)


def test_a_text_that_claims_gigabytes_is_refused_before_room_is_made(tmp_path):
    path = two_channels(tmp_path / "a.ilp")
    with h5py.File(path) as file:
        place = file["workflowName"].id.get_offset()
    raw = bytearray(path.read_bytes())
    raw[place : place + 4] = b"\xf0\xff\xff\xff"
    path.write_bytes(raw)
    assert "4,294,967,280 characters" in refusal(path)


def test_a_heap_that_hdf5_would_never_leave_is_refused(tmp_path):
    path = two_channels(tmp_path / "a.ilp")
    raw = bytearray(path.read_bytes())
    heap = raw.index(b"GCOL")
    raw[heap + 16 : heap + 32] = bytes(16)
    path.write_bytes(raw)
    assert "heap of texts without an end" in refusal(path)


def test_values_of_other_files_are_not_followed(tmp_path):
    path = without(two_channels(tmp_path / "a.ilp"), BLOCK)
    (tmp_path / "secret").write_bytes(bytes(range(1, 5)))
    with h5py.File(path, "a") as file:
        data = file.create_dataset(BLOCK, (2, 2, 1), "u1", external=[(str(tmp_path / "secret"), 0, 4)])
        data.attrs["blockSlice"], data.attrs["axistags"] = "[3:5,4:6,0:1]", tags("yxc")
    assert "from another file: that is not followed" in refusal(path)


def test_damaged_projects_are_read_or_refused_in_one_line_at_once():
    worker = [sys.executable, str(Path(__file__).with_name("ilastik_fuzz_worker.py")), "0"]
    outcome = subprocess.run(worker, capture_output=True, text=True, check=False, timeout=200)
    assert (outcome.returncode, outcome.stderr[-3000:]) == (0, "")
    assert json.loads(outcome.stdout.splitlines()[-1]) == []
