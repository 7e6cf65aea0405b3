"""Train a network that ships with segmentry: shipped_networks.py FOLDER VARIANT -o NETWORK.

FOLDER holds ``dsb2018`` (BBBC038 with corrected labels: ``manifest.csv``, ``images``, ``masks``): images of nuclei in
fluorescence, stained tissue and bright field. Those whose SHA-1 of the id has remainder 1 by 10 are never seen. To the
others come simulated scenes, some of them without a nucleus. A tenth of all is held out to choose by.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from segmentry import read
from segmentry.learn.examples import Example, Examples
from segmentry.network_from_files import Asked, learn
from segmentry.selection import selected
from segmentry.simulation import random_scene, simulate

#: Simulated scenes, their length, how they are seen in turn, and after how many comes an empty one.
SIMULATED, LENGTH, EMPTY = 48, 288, 8
KINDS = ("fluorescence", "fluorescence", "histology", "fluorescence", "brightfield", "fluorescence")

PLANS: dict[str, dict[str, Any]] = {
    "nuclei": {
        "steps": 8000,
        "batch": 4,
        "check_every": 1000,
        "held_out": 0.1,
        "architecture.widths": [32, 64, 128, 160],
        "architecture.strides": [[2, 2], [2, 2], [2, 2]],
        "architecture.stem": [2, 2],
        "architecture.residual": True,
        "architecture.deep_supervision": False,
    }
}
PLANS["nuclei_fast"] = {**PLANS["nuclei"], "steps": 3000, "architecture.widths": [16, 32, 64, 96]}


def main() -> None:
    """Train, or go on with a training that was cut off."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("folder", type=Path)
    arguments.add_argument("variant", choices=list(PLANS))
    arguments.add_argument("--out", "-o", type=Path, required=True)
    arguments.add_argument("--resume", action="store_true")
    given = arguments.parse_args()
    names = [*real(given.folder), *(f"simulated-{seed}" for seed in range(SIMULATED))]
    examples = Examples(names, lambda i: opened(given.folder, names[i]))
    asked = Asked(
        names=("background", "nucleus"),
        task="instances",
        representation="outlined",
        changes=PLANS[given.variant],
        licence="CC0-1.0",
    )
    learn(examples, asked, given.out, resume=given.resume, tell=_told, say=print)


def real(folder: Path) -> list[str]:
    """Return the ids of the images that may be learned from."""
    with (folder / "dsb2018" / "manifest.csv").open(encoding="utf-8") as file:
        names = sorted(row["id"] for row in csv.DictReader(file))
    return [name for name in names if int(hashlib.sha1(name.encode()).hexdigest(), 16) % 10 != 1]


def opened(folder: Path, name: str) -> Example:
    """Return an image and its truth by the name."""
    kind, _, seed = name.partition("-")
    if kind == "simulated":
        return simulated(int(seed))
    image = selected(read(folder / "dsb2018" / "images" / f"{name}.png"), None, False, [])
    return Example(image.load(), read(folder / "dsb2018" / "masks" / f"{name}.png").read())


@cache
def simulated(seed: int) -> Example:
    """Return a simulated image and its truth."""
    scene = random_scene(seed, kind=KINDS[seed % len(KINDS)])
    if seed % EMPTY == EMPTY - 1:
        scene = scene.model_copy(update={"density": 0.0})
    image, truth = simulate(scene, (LENGTH, LENGTH), seed)
    return Example(selected(image, None, False, []).load(), truth.labels)


def _told(row: Mapping[str, Any]) -> None:
    print(row, flush=True)


if __name__ == "__main__":
    main()
