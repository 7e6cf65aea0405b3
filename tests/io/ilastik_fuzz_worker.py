"""Reads damaged projects of ilastik, in a process of bounded memory: run by test_ilastik_damage.

Prints one line of JSON: which damage broke the promise of `read_project`, and how.
"""

import faulthandler
import json
import resource
import sys
import tempfile
from pathlib import Path

import numpy as np
from fuzz_worker import ADDRESS_SPACE, attempt, damaged
from ilastik_projects import PROJECTS

from segmentry.io.ilastik_data import open_embedded
from segmentry.io.ilastik_project import read_project


def use(path: Path) -> None:
    project = read_project(path)
    for lane in project.lanes:
        for data in lane.inputs:
            data.located(path)
            if data.embedded:
                open_embedded(path, data)


def fuzz(path: Path, random: np.random.Generator) -> list[str]:
    """Damage a project in many ways, and read it each time."""
    raw = path.read_bytes()
    use(path)
    problems = []
    for change, content in damaged(raw, random):
        path.write_bytes(content)
        problem = attempt(lambda: use(path))
        problems += [f"{path.name}, {change}: {problem}"] if problem else []
    return problems


def main(seed: int) -> None:
    faulthandler.enable()
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE, ADDRESS_SPACE))
    random = np.random.default_rng(seed)
    with tempfile.TemporaryDirectory() as folder:
        made = [make(Path(folder) / f"{name}.ilp") for name, make in PROJECTS.items()]
        print(json.dumps([problem for path in made for problem in fuzz(path, random)]))


if __name__ == "__main__":
    main(int(sys.argv[1]))
