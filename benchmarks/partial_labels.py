"""How well a network learns where few pixels are labelled: python benchmarks/partial_labels.py FOLDER.

FOLDER holds ``dsb2018`` (BBBC038, Data Science Bowl 2018, stage 1, CC0: ``manifest.csv``, ``images/``, ``masks/``). Of
the fluorescence images in order of their ids, 40 whose SHA-1 of the id is not 1 modulo 10 are learned from, spread
evenly, a fifth of them held out; 30 of the others are tests. Nuclei are told from background by one plan

- with all pixels labelled;
- with 5% of them, any ones;
- with strokes on 5% (walks of ten steps, two pixels wide, half of them in each class, as in benchmarks/strokes.py;
  where nuclei cover little, strokes stop at half of their pixels).

Images that are held out are labelled like the others. Scores are those of the nuclei over the pixels of all test
images, all of which count. The last column is the mean Dice as a share of that with all labels.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from losses import classes, scores, trained
from strokes import strokes

from segmentry import read
from segmentry.learn.examples import Example, Examples
from segmentry.selection import selected

SHARE, UNTOLD = 0.05, 255
LEARNED, TESTED = 40, 30


def main() -> None:
    """Print the table."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("folder", type=Path)
    arguments.add_argument("--seeds", type=int, default=3, help="networks per row")
    arguments.add_argument("--steps", type=int, default=400, help="steps of each training")
    arguments.add_argument("--ways", default=",".join(WAYS), help="how pixels are labelled, with commas")
    arguments.add_argument("--set", action="append", default=[], help="part of the plan: foreground=0.5")
    given = arguments.parse_args()
    changes = {"steps": given.steps, **dict(pair(text) for text in given.set)}
    with (given.folder / "dsb2018" / "manifest.csv").open(encoding="utf-8") as file:
        ids = sorted(row["id"] for row in csv.DictReader(file) if row["modality"] == "fluorescence")
    learned = [example(given.folder, i) for i in spread([i for i in ids if remainder(i) != 1], LEARNED)]
    tests = [example(given.folder, i) for i in spread([i for i in ids if remainder(i) == 1], TESTED)]
    print(f"{len(learned)} images learned from, {len(tests)} test images\n")
    print("| labels | of the pixels | IoU | Dice | precision | recall | Dice of all |\n|---|---|---|---|---|---|---|")
    whole = np.nan
    for way in given.ways.split(","):
        rows = []
        for seed in range(given.seeds):
            marked = [WAYS[way](one, 1000 * seed + i) for i, one in enumerate(learned)]
            method = trained(Examples.of(marked), {**changes, "seed": seed}, 0.2)
            _, dice, precision, recall = scores([classes(method, test.image) for test in tests], tests)
            rows.append((told_share(marked), dice / (2 - dice), dice, precision, recall))
        found = np.array(rows)
        whole = float(found[:, 2].mean()) if way == "all" else whole
        print(line(way, found, whole), flush=True)


def pair(text: str) -> tuple[str, object]:
    """Return the name and the value of a part of the plan."""
    import yaml

    key, _, value = text.partition("=")
    return key, yaml.safe_load(value)


def remainder(name: str) -> int:
    """Return which tenth of all images one belongs to."""
    return int(hashlib.sha1(name.encode()).hexdigest(), 16) % 10


def spread(names: Sequence[str], count: int) -> Sequence[str]:
    """Return some names, spread evenly."""
    return names[:: len(names) // count][:count]


def example(folder: Path, name: str) -> Example:
    """Return an image and where nuclei are."""
    image = selected(read(folder / "dsb2018" / "images" / f"{name}.png"), None, False, [])
    truth = np.asarray(read(folder / "dsb2018" / "masks" / f"{name}.png").read()) > 0
    return Example(image.load(), truth.astype(np.uint8))


def all_pixels(one: Example, _: int) -> Example:
    return one


def any_pixels(one: Example, seed: int) -> Example:
    """Label pixels drawn at random."""
    told = np.random.default_rng(seed).random(one.labels.shape) < SHARE
    return Example(one.image, np.where(told, one.labels, UNTOLD), UNTOLD)


def stroked_pixels(one: Example, seed: int) -> Example:
    """Label pixels under strokes."""
    marks = strokes(np.asarray(one.labels) > 0, SHARE, seed)
    return Example(one.image, np.where(marks > 0, marks - 1, UNTOLD).astype(np.uint8), UNTOLD)


WAYS: Mapping[str, Callable[[Example, int], Example]] = {
    "all": all_pixels,
    "any 5%": any_pixels,
    "strokes": stroked_pixels,
}


def told_share(examples: Sequence[Example]) -> float:
    """Return the share of the pixels that are labelled."""
    told = sum(int((np.asarray(one.labels) != UNTOLD).sum()) for one in examples)
    return told / sum(one.labels.size for one in examples)


def line(way: str, rows: np.ndarray, whole: float) -> str:
    """Return a line of the table; the last cell compares the mean Dice with another."""
    spread = rows.std(axis=0, ddof=min(1, len(rows) - 1))
    cells = [f"{mean:.3f} ± {s:.3f}" for mean, s in zip(rows.mean(axis=0), spread, strict=True)]
    share = "" if np.isnan(whole) else f"{rows[:, 2].mean() / whole:.1%}"
    return f"| {way} | {rows[:, 0].mean():.1%} | {' | '.join(cells[1:])} | {share} |"


if __name__ == "__main__":
    main()
