"""How good networks become that are trained by the rules: networks.py FOLDER TASK -o NETWORK.

FOLDER holds the data of all tasks. Images are held out by the SHA-1 of their names, and nothing was tuned on them.

- ``hippocampus``: task 4 of the Medical Segmentation Decathlon (``hippocampus/images``, ``labels``); tested on those of
  remainder 1 by 5. Dice of both parts, the mean over images.
- ``nuclei``: the fluorescence images of BBBC038 (``dsb2018``: ``manifest.csv``, ``images``, ``masks``); tested on those
  of remainder 1 by 10. Average precision TP / (TP + FP + FN) of all objects together, and the mean over images.
- ``membranes``: ISBI 2012 (``isbi2012``: ``images``, ``membranes``, 0 for membranes); tested on every fourth slice.
  Error of the pixels, and the adapted Rand error of the regions that are left between membranes.

The network is trained where its file does not exist; with ``--resume`` a training that was cut off goes on.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from segmentry import read
from segmentry.learn.examples import Example, Examples
from segmentry.methods.unet import UNet
from segmentry.metrics import evaluate_images, evaluate_set
from segmentry.network_from_files import Asked, learn
from segmentry.result import Instances
from segmentry.run import run
from segmentry.selection import selected

THRESHOLDS = (0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9)
#: The U-Net of three classes in arXiv:1806.03535, table 1, at these thresholds.
PUBLISHED = (0.8060, 0.7753, 0.7431, 0.7011, 0.6543, 0.5777, 0.4910, 0.3738, 0.2258)


@dataclass(frozen=True)
class Task:
    """Images by their names, those held out, and how they are learned."""

    names: tuple[str, ...]
    tested: tuple[str, ...]
    opened: Callable[[str], Example]
    asked: Asked


def main() -> None:
    """Train where it is needed, and print the scores."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("folder", type=Path)
    arguments.add_argument("task", choices=list(TASKS))
    arguments.add_argument("--out", "-o", type=Path, required=True)
    arguments.add_argument("--resume", action="store_true")
    arguments.add_argument("--start", type=Path, help="network to begin with")
    arguments.add_argument("--flips", action="store_true")
    arguments.add_argument("--precision", default="float32", choices=["float32", "int8"])
    arguments.add_argument("--set", action="append", default=[], help="part of the plan: steps=500")
    given = arguments.parse_args()
    open_task, score = TASKS[given.task]
    task = open_task(given.folder)
    if not given.out.exists():
        changes = {**(task.asked.changes or {}), **dict(_pair(text) for text in given.set)}
        learned = [name for name in task.names if name not in task.tested]
        examples = Examples(learned, lambda i: task.opened(learned[i]))
        asked = replace(task.asked, changes=changes, start=given.start)
        learn(examples, asked, given.out, resume=given.resume, tell=_told, say=print)
    begun = time.process_time()
    found = list(_results(task, UNet(model=str(given.out), flips=given.flips, precision=given.precision)))
    print(f"{len(found)} images held out, {(time.process_time() - begun) / len(found):.2f} s of CPU each\n")
    score(found)


def _told(row: Mapping[str, Any]) -> None:
    print(row, flush=True)


def _pair(text: str) -> tuple[str, Any]:
    import yaml

    key, _, value = text.partition("=")
    return key, yaml.safe_load(value)


Found = list[tuple[str, Any, Example]]


def _results(task: Task, method: UNet) -> Iterator[tuple[str, Any, Example]]:
    """Yield the name, the result and the truth of each image that is held out."""
    for name in task.tested:
        example = task.opened(name)
        yield name, run(method, example.image).result, example


def _hash(text: str) -> int:
    return int(hashlib.sha1(text.encode()).hexdigest(), 16)


def hippocampus(folder: Path) -> Task:
    """Return the parts of the hippocampus in volumes."""
    place = folder / "hippocampus"
    names = tuple(sorted(path.name for path in (place / "images").glob("*.nii.gz")))

    def opened(name: str) -> Example:
        return Example(read(place / "images" / name), read(place / "labels" / name).read())

    asked = Asked(("background", "anterior", "posterior"), changes={"steps": 1800}, licence="CC-BY-SA-4.0")
    return Task(names, tuple(n for n in names if _hash(n) % 5 == 1), opened, asked)


def nuclei(folder: Path) -> Task:
    """Return nuclei in fluorescence."""
    place = folder / "dsb2018"
    with (place / "manifest.csv").open(encoding="utf-8") as file:
        names = tuple(sorted(row["id"] for row in csv.DictReader(file) if row["modality"] == "fluorescence"))

    def opened(name: str) -> Example:
        image = selected(read(place / "images" / f"{name}.png"), None, False, [])
        return Example(image.load(), read(place / "masks" / f"{name}.png").read())

    changes = {"steps": 1500, "batch": 4, "held_out": 0.1, "architecture.widths": [24, 48, 96, 160, 160]}
    asked = Asked(task="instances", changes=changes, licence="CC0-1.0")
    return Task(names, tuple(n for n in names if _hash(n) % 10 == 1), opened, asked)


def membranes(folder: Path) -> Task:
    """Return membranes of nerve cells."""
    place = folder / "isbi2012"
    names = tuple(sorted((path.stem for path in (place / "images").glob("*.png")), key=int))

    def opened(name: str) -> Example:
        inside = read(place / "membranes" / f"{name}.png").read() > 0
        return Example(read(place / "images" / f"{name}.png"), np.where(inside, 0, 1))

    return Task(names, names[::4], opened, Asked(("cell", "membrane"), changes={"steps": 1000}))


def score_classes(found: Found) -> None:
    """Print the Dice of each class: the mean over images."""
    values: dict[str, list[float]] = {}
    for _, result, example in found:
        classes = np.asarray(result.classes)
        for kind, name in enumerate(result.names[1:], 1):
            told, true = classes == kind, example.labels == kind
            values.setdefault(name, []).append(2 * float((told & true).sum()) / max(float(told.sum() + true.sum()), 1))
    print("| class | Dice, mean over images | lowest |")
    print("|---|---|---|")
    for name, scores in values.items():
        print(f"| {name} | {np.mean(scores):.4f} | {min(scores):.3f} |")
    print(f"| mean | {np.mean(list(values.values())):.4f} | |")


def score_objects(found: Found) -> None:
    """Print the average precision at each threshold, of all objects together and as the mean over images."""
    images = []
    for _, result, example in found:
        truth = Instances.from_labels(np.asarray(example.labels), result.grid)
        images.append(evaluate_images(result, truth, metrics=["ap"], thresholds=THRESHOLDS))
    total = evaluate_set(images)
    print("| IoU | " + " | ".join(f"{t:.2f}" for t in THRESHOLDS) + " |")
    print("|---|" + "---|" * len(THRESHOLDS))
    print("| pooled | " + " | ".join(f"{total[_key(t)].pooled:.4f}" for t in THRESHOLDS) + " |")
    print("| mean over images | " + " | ".join(f"{total[_key(t)].mean:.4f}" for t in THRESHOLDS) + " |")
    print("| published | " + " | ".join(f"{p:.4f}" for p in PUBLISHED) + " |")


def _key(threshold: float) -> tuple[str, str]:
    return "ap", f"{threshold:.2f}"


def score_membranes(found: Found) -> None:
    """Print the error of the pixels, and of the regions between membranes."""
    from skimage.measure import label

    wrong, errors = [], []
    for _, result, example in found:
        inside, true = np.asarray(result.classes) == 0, np.asarray(example.labels) == 0
        wrong.append(float((inside != true).mean()))
        regions, truth = (label(mask, connectivity=1).astype(np.uint32) for mask in (inside, true))
        grid = result.grid
        # Only pixels inside true cells count, as in the challenge.
        kept = Instances.from_labels(np.where(truth > 0, regions, 0).astype(np.uint32), grid)
        one = evaluate_images(kept, Instances.from_labels(truth, grid), metrics=["are"])
        errors.append(one["are"])
    print("| | mean over slices |")
    print("|---|---|")
    print(f"| error of the pixels | {np.mean(wrong):.4f} |")
    print(f"| adapted Rand error inside cells | {np.mean(errors):.4f} |")


TASKS: dict[str, tuple[Callable[[Path], Task], Callable[[Found], None]]] = {
    "hippocampus": (hippocampus, score_classes),
    "nuclei": (nuclei, score_objects),
    "membranes": (membranes, score_membranes),
}

if __name__ == "__main__":
    main()
