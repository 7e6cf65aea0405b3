"""Damaged and hostile files of every format are read or refused: one clear line, at once, in little memory.

All is done in another process, so that a crash of a decoder is a failed test. A format that is added to the package is
tested here without another word. What went wrong can be seen alone by ``python tests/io/fuzz_worker.py SEED``.
"""

import itertools
import json
import subprocess
import sys
from pathlib import Path

import pytest

SEED = 20
MEGABYTES = 900


@pytest.fixture(scope="module")
def outcome():
    worker = [sys.executable, str(Path(__file__).with_name("fuzz_worker.py")), str(SEED)]
    return subprocess.run(worker, capture_output=True, text=True, check=False, timeout=280)


def lines(outcome):
    return [json.loads(line) for line in outcome.stdout.splitlines()]


def test_no_decoder_crashes_or_says_anything_aloud(outcome):
    last = lines(outcome)[-1]["sample"]
    assert (outcome.returncode, outcome.stderr[-3000:]) == (0, ""), f"the last sample that was survived is {last}"


def test_every_format_that_writes_is_tried(outcome):
    from segmentry.io import formats

    tried = " ".join(line["sample"] for line in lines(outcome))
    assert all(form.name.replace(" ", "-") in tried for form in formats() if form.writes)
    assert sum(line["attempts"] for line in lines(outcome)) > 1000


def test_every_file_is_read_or_refused_in_one_line_at_once(outcome):
    broken = {line["sample"]: line["problems"] for line in lines(outcome) if line["problems"]}
    assert not broken, json.dumps(broken, indent=1)[:8000]


def test_memory_stays_small(outcome):
    peaks = [(line["peak"], line["sample"]) for line in lines(outcome)]
    assert max(peaks)[0] - peaks[0][0] < MEGABYTES, [p for a, p in itertools.pairwise(peaks) if p[0] > a[0]]
