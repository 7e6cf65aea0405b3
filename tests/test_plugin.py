"""A step in a file outside the package, registered by entry point, is there everywhere with no other edit."""

import json
import os
import subprocess
import sys

import pytest

from segmentry.io import write
from segmentry.testing import sample_image

PLUGIN = '''
"""Bright pixels by a fixed intensity."""
from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from segmentry.result import Semantic
from segmentry.step import Segmenter


class Fixed(Segmenter):
    """Takes what is brighter than a number."""

    name: ClassVar[str] = "fixed"
    task: ClassVar[Literal["semantic"]] = "semantic"
    level: float = Field(60.0, ge=0, description="Intensity above which a pixel is foreground.")

    def segment(self, image):
        return Semantic((image.read() > self.level).astype(np.uint8), image.grid)


class Broken(Segmenter):
    """Calls itself otherwise than it is registered."""

    name: ClassVar[str] = "other"
'''


@pytest.fixture
def python(tmp_path):
    (tmp_path / "plugin.py").write_text(PLUGIN)
    info = tmp_path / "plugin-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: plugin\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[segmentry.steps]\nfixed = plugin:Fixed\nbroken = plugin:Broken\nabsent = nowhere:Nothing\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}

    def call(*words):
        return subprocess.run([sys.executable, *words], env=environment, capture_output=True, text=True, check=False)

    return call


def test_it_is_on_the_command_line_in_the_schema_and_in_conformance(python, tmp_path):
    image = write(tmp_path / "cells.tif", sample_image())
    listed = python("-m", "segmentry", "methods", "--json")
    methods = json.loads(listed.stdout)["method"]
    assert methods["fixed"]["summary"] == "Takes what is brighter than a number."
    assert methods["fixed"]["parameters"]["properties"]["level"]["minimum"] == 0
    done = python(
        "-m", "segmentry", "segment", str(image), "-o", str(tmp_path / "o"), "-m", "fixed", "--set", "level=70"
    )
    assert done.returncode == 0, done.stderr
    code = (
        "from segmentry import catalog, testing\n"
        "assert 'fixed' in catalog.names('method')\n"
        "testing.check_segmenter(catalog.make('method', 'fixed'))\n"
    )
    checked = python("-c", code)
    assert checked.returncode == 0, checked.stderr


def test_one_that_cannot_be_loaded_is_named_and_the_others_stay(python):
    listed = python("-m", "segmentry", "methods", "--json")
    assert listed.returncode == 0
    assert "calls itself 'other'" in listed.stderr
    assert "absent" in listed.stderr
    assert "Traceback" not in listed.stderr
    assert "otsu" in json.loads(listed.stdout)["method"]
