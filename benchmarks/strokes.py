"""How well pixels are told apart after a few strokes, beside scikit-image's TrainableSegmenter: strokes.py FOLDER.

FOLDER holds ``dsb2018`` (BBBC038, Data Science Bowl 2018, stage 1, CC0: ``manifest.csv``, ``images/``, ``masks/``),
``isbi2012`` (electron microscopy: ``images/``, ``membranes/`` with 0 for membranes) and ``plant3d``
(``sample_patch_a.h5``). Scored are

- nuclei: 20 fluorescence images, spread evenly over those that benchmarks/nuclei.py scores, too;
- membranes: the slices 0, 4, 8, 12 and 16;
- cells: the eight octants of the volume; borders are where the labels of two neighbouring voxels differ.

``--tuning`` takes others: nuclei of the images used for tuning, five more slices, and the quarters of a section of
maize in ``bioimages``.

Strokes are simulated: random walks of ten steps, two pixels wide, which stay inside a class and, in a volume, in a
plane; half of them for each class. All programs get the same strokes. Pixels under strokes are not scored.
"""

from __future__ import annotations

import argparse
import csv
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path

import h5py
import numpy as np
from cases import nuclei
from harness import Case
from skimage.feature import multiscale_basic_features
from skimage.future import fit_segmenter
from skimage.segmentation import find_boundaries
from sklearn.ensemble import RandomForestClassifier

from segmentry import read, read_labels
from segmentry.image import Grid, Image
from segmentry.learn import classifier
from segmentry.methods.intensity_watershed import IntensityWatershed
from segmentry.methods.watershed import Watershed
from segmentry.metrics import ImageScores, SetScores, compare, evaluate_images, evaluate_set
from segmentry.result import Instances, Semantic
from segmentry.run import run
from segmentry.step import Segmenter
from segmentry.strokes import Strokes, train_pixels

SHARES = (0.01, 0.001)
STEPS = 10
IMAGES = 20

Marked = tuple[Image, np.ndarray]
#: From an image to the probability of the class 2 at each pixel.
Trained = Callable[[Image], np.ndarray]
Trainer = Callable[[Sequence[Marked]], Trained]
Scores = dict[str, list[ImageScores]]


@dataclass(frozen=True, eq=False)
class Sample:
    """An image, which of its pixels are of the class that is scored, and its objects."""

    name: str
    image: Image
    target: np.ndarray
    objects: Instances


@dataclass(frozen=True)
class Task:
    """What is asked of some samples.

    Parameters
    ----------
    title, samples
        What they are.
    inside
        Whether objects are of the class that is scored; otherwise that class lies between them.
    pixels, regions, divided
        Metrics of the class, of its connected regions or what lies between them, and of watershed basins.
    watershed
        Finds objects in the probability of being inside.
    """

    title: str
    samples: Sequence[Sample]
    inside: bool
    pixels: tuple[str, ...]
    regions: tuple[str, ...]
    divided: tuple[str, ...]
    watershed: Segmenter


def main() -> None:
    """Print the tables."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("folder", type=Path)
    arguments.add_argument("--tasks", default="nuclei,one model,membranes,cells", help="which, with commas")
    arguments.add_argument("--tuning", action="store_true", help="score images that no reported score is of")
    given = arguments.parse_args()
    for name in given.tasks.split(","):
        task = TASKS[name](given.folder, given.tuning)
        print(f"### {task.title}\n\n{', '.join(s.name[:8] for s in task.samples)}\n", flush=True)
        for share in SHARES:
            print_tables(task, share, name == "one model")


def nuclei_task(folder: Path, tuning: bool) -> Task:
    """Return nuclei in fluorescence images."""
    place = folder / "dsb2018"
    with (place / "manifest.csv").open(encoding="utf-8") as file:
        ids = sorted(row["id"] for row in csv.DictReader(file) if row["modality"] == "fluorescence")
    tuned = ids[::4]
    known = tuned if tuning else [i for i in ids if i not in set(tuned)]
    samples = []
    for name in known[:: len(known) // IMAGES][:IMAGES]:
        seen = read(place / "images" / f"{name}.png")
        image = seen.channel(0) if seen.channels else seen
        objects = read_labels(place / "masks" / f"{name}.png")
        samples.append(Sample(name, image, np.asarray(objects.labels) > 0, objects))
    return Task(f"Nuclei, {IMAGES} images", samples, True, ("iou",), ("ap",), ("ap",), Watershed(threshold=0.5))


def membrane_task(folder: Path, tuning: bool) -> Task:
    """Return membranes between cells in electron microscopy."""
    samples = []
    for number in range(2 if tuning else 0, 20, 4):
        image = read(folder / "isbi2012" / "images" / f"{number}.png")
        inside = np.asarray(read(folder / "isbi2012" / "membranes" / f"{number}.png").read()) > 0
        objects = Semantic(inside.astype(np.uint8), image.grid).instances()
        samples.append(Sample(str(number), image, ~inside, objects))
    return Task(
        "Membranes, 5 slices", samples, False, ("iou", "boundary_f"), ("are", "vi"), ("are", "vi"), flooding(0.3, 2.0)
    )


def cell_task(folder: Path, tuning: bool) -> Task:
    """Return borders between cells in a volume, cut into octants."""
    if tuning:
        raw = np.asarray(read(folder / "bioimages" / "maize_clsm.tif").read())
        labels = np.asarray(read_labels(folder / "bioimages" / "maize_clsm_labels.tif").labels)
    else:
        with h5py.File(folder / "plant3d" / "sample_patch_a.h5") as file:
            raw, labels = file["raw"][()], file["label"][()]
    samples = []
    for at in np.ndindex((2,) * raw.ndim):
        part = tuple(slice(i * n // 2, (i + 1) * n // 2) for i, n in zip(at, raw.shape, strict=True))
        border = find_boundaries(labels, mode="thick")[part] | (labels[part] == 0)
        grid = Grid("ZYX"[-raw.ndim :], border.shape)
        objects = Instances.from_labels(labels[part].astype(np.uint32), grid)
        samples.append(Sample("".join(map(str, at)), Image(raw[part], grid), border, objects))
    return Task("Cells of a plant, 3D, 8 octants", samples, False, ("iou",), (), ("ap", "vi"), flooding(0.1, 1.0))


def flooding(contrast: float, sigma: float) -> Segmenter:
    """Return a watershed of the probability that gives nearly every pixel to a cell."""
    return IntensityWatershed(threshold=0.01, contrast=contrast, sigma=sigma)


TASKS: Mapping[str, Callable[[Path, bool], Task]] = {
    "nuclei": nuclei_task,
    "one model": nuclei_task,
    "membranes": membrane_task,
    "cells": cell_task,
}


def strokes(target: np.ndarray, share: float, seed: int) -> np.ndarray:
    """Return 1 and 2 where strokes were painted outside and inside a mask, 0 elsewhere."""
    rng = np.random.default_rng(seed)
    marks = np.zeros(target.shape, np.uint32)
    for number, mask in ((1, ~target), (2, target)):
        wanted = max(round(share * target.size / 2), 2)
        starts = np.argwhere(mask)
        wanted = min(wanted, len(starts) // 2)
        count = 0
        while count < wanted:
            for y, x, plane in walk(mask, starts[rng.integers(len(starts))], rng):
                if count < wanted and not marks[(*plane, y, x)]:
                    marks[(*plane, y, x)] = number
                    count += 1
    return marks


def walk(mask: np.ndarray, start: np.ndarray, rng: np.random.Generator) -> Iterator[tuple[int, int, tuple[int, ...]]]:
    """Yield the pixels of a stroke that stays inside a mask and, in a volume, in a plane."""
    plane, at = tuple(start[:-2]), start[-2:].astype(float)
    flat = mask[plane]
    angle = rng.uniform(0, 2 * np.pi)
    for _ in range(STEPS):
        y, x = np.floor(at).astype(int)
        for py, px in ((y, x), (y + 1, x), (y, x + 1), (y + 1, x + 1)):
            if py < flat.shape[0] and px < flat.shape[1] and flat[py, px]:
                yield py, px, plane
        for spread in (0.3, 0.6, 1.2, 2.4, 3.1):
            turned = angle + rng.normal(0, spread)
            ahead = at + np.array([np.sin(turned), np.cos(turned)])
            inside = (ahead >= 0).all() and (ahead < flat.shape).all()
            if inside and flat[tuple(np.floor(ahead).astype(int))]:
                at, angle = ahead, turned
                break
        else:
            return


def ours(kind: str, marked: Sequence[Marked]) -> Trained:
    """Return our classifier, with ilastik's features."""
    model = train_pixels([Strokes(image, marks) for image, marks in marked], learner=classifier(kind))
    return lambda image: np.asarray(model.probabilities(image)[1])


def theirs(plain: bool, marked: Sequence[Marked]) -> Trained:
    """Return what scikit-image's TrainableSegmenter does, with one forest or many images.

    The forest is that of scikit-image's example or, where `plain`, scikit-learn's with 100 trees.
    """
    more = {} if plain else {"max_depth": 10, "max_samples": 0.05}
    forest = RandomForestClassifier(100 if plain else 50, n_jobs=-1, random_state=0, **more)
    rows = np.concatenate([basic_features(image)[marks > 0] for image, marks in marked])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # 5% of few pixels are very few
        fit_segmenter(np.concatenate([marks[marks > 0] for _, marks in marked]), rows, forest)

    def probable(image: Image) -> np.ndarray:
        seen = basic_features(image)
        return forest.predict_proba(seen.reshape(-1, seen.shape[-1]))[:, 1].reshape(seen.shape[:-1])

    return probable


@lru_cache(maxsize=1)
def basic_features(image: Image) -> np.ndarray:
    """Return the features of scikit-image's example of trainable segmentation."""
    return multiscale_basic_features(
        np.asarray(image.read()), intensity=True, edges=True, texture=True, sigma_min=1, sigma_max=16
    )


WAYS: Mapping[str, Trainer] = {
    "random_forest": partial(ours, "random_forest"),
    "fast_trees": partial(ours, "fast_trees"),
    "scikit-image, 100 trees": partial(theirs, True),
    "scikit-image, its example": partial(theirs, False),
}


def print_tables(task: Task, share: float, together: bool, ways: Mapping[str, Trainer] = WAYS) -> None:
    """Print a line for each way, and one for each of ours against the better of theirs."""
    found = scored_together(task, share, ways) if together else scored_alone(task, share, ways)
    columns = {
        f"{what}: {metric}{' .50' * (metric == 'ap')}": (what, metric, "0.50" if metric == "ap" else "target")
        for what, names in (("class", task.pixels), ("regions", task.regions), ("watershed", task.divided))
        for metric in names
    }
    named = f"{'one model for all images, ' * together}{share:.1%} of the pixels painted"
    print(f"| {named} | {' | '.join(columns)} |\n|{'---|' * (len(columns) + 1)}")
    sets = {way: {what: evaluate_set(images) for what, images in parts.items()} for way, parts in found.items()}
    for way, parts in sets.items():
        cells = []
        for what, metric, of in columns.values():
            summary = parts[what][metric, of if what == "class" or metric == "ap" else ""]
            low, high = summary.mean_interval
            cells.append(f"{summary.mean:.3f} [{low:.3f}, {high:.3f}]")
        print(f"| {way} | {' | '.join(cells)} |")
    usual = [way for way in sets if way.startswith("scikit")]
    for way in (way for way in sets if way not in usual):
        cells = []
        for what, metric, of in columns.values():
            cells.append(difference([sets[u][what] for u in usual], sets[way][what], metric, of))
        print(f"| {way}, less the better of scikit-image | {' | '.join(cells)} |", flush=True)
    print()


def difference(usual: Sequence[SetScores], mine: SetScores, metric: str, of: str) -> str:
    """Return by how much we differ from the better of some, and the p value of it."""
    tables = [compare(mine, other) for other in usual]
    rows = [t[t["metric"].eq(metric) & t["of"].isin([of, ""])].iloc[0] for t in tables]
    lower = metric in ("are", "vi")
    worst = max(rows, key=lambda row: row["difference"]) if lower else min(rows, key=lambda row: row["difference"])
    return f"{worst['difference']:+.3f} [{worst['low']:+.3f}, {worst['high']:+.3f}], p = {worst['p']:.2g}"


def scored_alone(task: Task, share: float, ways: Mapping[str, Trainer]) -> dict[str, Scores]:
    """Return the scores of each way, trained on each image anew."""
    found: dict[str, Scores] = {way: {"class": [], "regions": [], "watershed": []} for way in ways}
    for number, sample in enumerate(task.samples):
        marks = strokes(sample.target, share, number)
        for way, train in ways.items():
            add(found[way], task, sample, train([(sample.image, marks)])(sample.image), marks > 0)
    return found


def scored_together(task: Task, share: float, ways: Mapping[str, Trainer]) -> dict[str, Scores]:
    """Return the scores of each way on every second image, trained on all others."""
    found: dict[str, Scores] = {way: {"class": [], "regions": [], "watershed": []} for way in ways}
    marked = [(s.image, strokes(s.target, share, 2 * n)) for n, s in enumerate(task.samples[::2])]
    trained = {way: train(marked) for way, train in ways.items()}
    for sample in task.samples[1::2]:
        for way, probable in trained.items():
            add(found[way], task, sample, probable(sample.image), np.zeros(sample.target.shape, np.bool_))
    return found


def add(scores: Scores, task: Task, sample: Sample, probability: np.ndarray, ignore: np.ndarray) -> None:
    """Score the probability of the class at each pixel of a sample."""
    grid, names = sample.image.grid, ("other", "target")
    found = (probability > 0.5).astype(np.uint8)
    truth = Semantic(sample.target.astype(np.uint8), grid, names)
    wanted = {"metrics": task.pixels, "ignore": ignore}
    scores["class"].append(evaluate_images(Semantic(found, grid, names), truth, **wanted))
    objects = found if task.inside else 1 - found
    if task.regions:
        regions = Semantic(objects, grid).instances()
        scores["regions"].append(
            evaluate_images(regions, sample.objects, metrics=task.regions, thresholds=(0.5,), ignore=ignore)
        )
    of_objects = Image((probability if task.inside else 1 - probability).astype(np.float32), grid)
    divided = run(task.watershed, of_objects).instances
    scores["watershed"].append(
        evaluate_images(divided, sample.objects, metrics=task.divided, thresholds=(0.5,), ignore=ignore)
    )


def stroke_cases() -> Iterator[Case]:
    """Yield whole jobs: from strokes to the classes of a large image."""
    pixels, labels = nuclei(2048)
    image, marks = Image.from_array(pixels), strokes(labels > 0, 2000 / labels.size, 0)
    for kind in ("random_forest", "fast_trees"):
        yield Case(
            f"strokes to classes, {kind}, 2,000 painted of 2048²",
            "scikit-image features, scikit-learn forest of 100 trees",
            lambda kind=kind: ours(kind, [(image, marks)])(image) > 0.5,
            lambda: fresh_theirs(image, marks),
            lambda a, b: f"{(a == (labels > 0)).mean():.2%} and {(b == (labels > 0)).mean():.2%} right",
        )


def fresh_theirs(image: Image, marks: np.ndarray) -> np.ndarray:
    """Return what scikit-image finds, with features computed once."""
    basic_features.cache_clear()
    return theirs(True, [(image, marks)])(image) > 0.5


if __name__ == "__main__":
    main()
