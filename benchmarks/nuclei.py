"""How well methods find nuclei in fluorescence images not used for tuning: python benchmarks/nuclei.py FOLDER.

FOLDER holds BBBC038 (Data Science Bowl 2018, stage 1, CC0): ``manifest.csv`` with the columns id and modality,
``images/ID.png`` and ``masks/ID.png`` with a number per nucleus. Of the fluorescence images in order of their ids every
fourth was used to tune, the others are scored.
"""

from __future__ import annotations

import argparse
import csv
import time
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np

from segmentry import Recipe, catalog, read, read_labels
from segmentry.errors import SegmentryError
from segmentry.metrics import ImageScores, evaluate_images, evaluate_set
from segmentry.recipe import recipes
from segmentry.result import Instances


def main() -> None:
    """Print a line of the table for each recipe and method."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("folder", type=Path)
    arguments.add_argument("--methods", help="names of methods and recipes, with commas; all when left out")
    arguments.add_argument("--tuning", action="store_true", help="score the images used for tuning instead")
    given = arguments.parse_args()
    with (given.folder / "manifest.csv").open(encoding="utf-8") as file:
        ids = sorted(row["id"] for row in csv.DictReader(file) if row["modality"] == "fluorescence")
    tuned = set(ids[::4])
    chosen = [i for i in ids if (i in tuned) == given.tuning]
    untrained = [name for name in catalog.names("method") if not catalog.step("method", name).trained]
    names = given.methods.split(",") if given.methods else [*recipes(), *untrained]
    print(f"{len(chosen)} images\n")
    print("| method | AP .50 pooled | AP .75 pooled | AP .50 mean | AP .75 mean | objects | s per image |")
    print("|---|---|---|---|---|---|---|")
    with ProcessPoolExecutor(2) as pool:
        for name in names:
            done = list(pool.map(partial(_scored, given.folder, name), chosen, chunksize=4))
            print(_line(name, done), flush=True)


def _scored(folder: Path, name: str, image: str) -> tuple[ImageScores, int, float]:
    """Return the scores of one image, how many objects were found, and the seconds that it took.

    A method that refuses finds nothing.
    """
    truth = read_labels(folder / "masks" / f"{image}.png")
    recipe = Recipe.named(name) if name in recipes() else Recipe.from_dict({"segmentry": 1, "method": name})
    pixels = read(folder / "images" / f"{image}.png")
    begun = time.perf_counter()
    try:
        found = recipe.run(pixels).instances
    except SegmentryError:
        found = Instances.from_labels(np.zeros(truth.grid.shape, np.uint32), truth.grid)
    seconds = time.perf_counter() - begun
    return evaluate_images(found, truth, metrics=("ap",), thresholds=(0.5, 0.75)), len(found), seconds


def _line(name: str, done: list[tuple[ImageScores, int, float]]) -> str:
    scores = evaluate_set([scores for scores, _, _ in done])
    half, strict = scores["ap", "0.50"], scores["ap", "0.75"]
    cells = [f"{score:.3f}" for score in (half.pooled, strict.pooled, half.mean, strict.mean)]
    seconds = float(np.mean([seconds for *_, seconds in done]))
    return f"| {name} | {' | '.join(cells)} | {sum(n for _, n, _ in done):,} | {seconds:.2f} |"


if __name__ == "__main__":
    main()
