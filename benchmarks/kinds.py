"""How many examples it takes to tell kinds of objects apart: python benchmarks/kinds.py FOLDER.

FOLDER holds BBBC038 (Data Science Bowl 2018, stage 1, CC0) as benchmarks/nuclei.py describes it. The outlines of nuclei
are real, their kinds simulated: by size (above the median of all, or not), by texture (noise of two grains painted into
the nuclei, of the same mean and spread), by neighbours (which part of what lies within a diameter of the outline is
other nuclei: above the median of all, or not). Examples are drawn from half of the images; accuracy is the part of all
nuclei in the other half that get their kind.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from scipy import ndimage

from segmentry import read, read_labels
from segmentry.image import Image
from segmentry.object_classification import ObjectClassifier
from segmentry.result import Instances

COUNTS = (2, 5, 10, 20, 50)
Sample = tuple[Instances, Image, np.ndarray]


def main() -> None:
    """Print a line of the table for each way in which kinds differ and each classifier."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("folder", type=Path)
    arguments.add_argument("--images", type=int, default=20)
    arguments.add_argument("--draws", type=int, default=5)
    arguments.add_argument("--kinds", choices=KINDS, nargs="*", default=list(KINDS))
    arguments.add_argument("--properties", nargs="*", default=[], help="names or families; all when left out")
    given = arguments.parse_args()
    pairs = list(images(given.folder, given.images))
    print(f"{len(pairs)} images, {sum(len(labels) for labels, _ in pairs)} nuclei\n")
    print(f"| kinds by | classifier | {' | '.join(f'{n} per kind' for n in COUNTS)} |")
    print(f"|---|---|{'---|' * len(COUNTS)}")
    for by in given.kinds:
        samples = KINDS[by](pairs, np.random.default_rng(0))
        for classifier in ("random_forest", "fast_trees"):
            cells = [
                accuracies(samples, n, ObjectClassifier(given.properties, classifier), given.draws) for n in COUNTS
            ]
            told = " | ".join(f"{np.mean(found):.3f} ± {np.std(found):.3f}" for found in cells)
            print(f"| {by} | {classifier} | {told} |", flush=True)


def images(folder: Path, count: int) -> Iterator[tuple[Instances, Image]]:
    """Yield fluorescence images with 20 to 150 nuclei, spread over the set."""
    with (folder / "manifest.csv").open(encoding="utf-8") as file:
        ids = sorted(row["id"] for row in csv.DictReader(file) if row["modality"] == "fluorescence")
    for name in ids[::3]:
        labels = read_labels(folder / "masks" / f"{name}.png")
        if count and 20 <= len(labels) <= 150:
            count -= 1
            image = read(folder / "images" / f"{name}.png")
            yield labels, image.channel(0)


def by_size(pairs: list[tuple[Instances, Image]], _: np.random.Generator) -> list[Sample]:
    return halved(pairs, lambda labels: np.bincount(labels.ravel())[1:])


def by_neighbours(pairs: list[tuple[Instances, Image]], _: np.random.Generator) -> list[Sample]:
    return halved(pairs, crowding)


def by_texture(pairs: list[tuple[Instances, Image]], rng: np.random.Generator) -> list[Sample]:
    found = []
    for labels, image in pairs:
        ids = labels.labels
        fine = rng.normal(size=ids.shape)
        coarse = ndimage.gaussian_filter(rng.normal(size=ids.shape), 1.5)
        kinds = rng.integers(0, 2, len(labels)) == 1
        grain = np.where(kinds[np.searchsorted(labels.ids, ids).clip(max=len(kinds) - 1)], fine, coarse / coarse.std())
        pixels = image.read().astype(np.float32)
        painted = np.where(ids > 0, pixels + 0.2 * pixels.max() * grain, pixels).astype(np.float32)
        found.append((labels, Image(painted, image.grid), kinds))
    return found


KINDS = {"size": by_size, "texture": by_texture, "neighbours": by_neighbours}


def halved(pairs: list[tuple[Instances, Image]], measure: Callable[[np.ndarray], np.ndarray]) -> list[Sample]:
    """Return kinds by a number per object: above the median of all images, or not."""
    numbers = [measure(Instances.renumbered(labels).labels) for labels, _ in pairs]
    median = np.median(np.concatenate(numbers))
    return [(labels.renumbered(), image, n > median) for (labels, image), n in zip(pairs, numbers, strict=True)]


def crowding(labels: np.ndarray) -> np.ndarray:
    """Return for each object which part of what lies within a median diameter of its outline is other objects."""
    reach = np.median(np.sqrt(4 / np.pi * np.bincount(labels.ravel())[1:]))
    found = []
    for number in range(1, labels.max() + 1):
        near = ndimage.distance_transform_edt(labels != number) <= reach
        found.append((labels[near & (labels != number)] > 0).mean())
    return np.array(found)


def accuracies(samples: list[Sample], count: int, classifier: ObjectClassifier, draws: int) -> list[float]:
    """Return the accuracy on the images of which no example is drawn, for each draw."""
    known, held = samples[::2], samples[1::2]
    every = [
        (k, int(i), bool(kind))
        for k, (labels, _, kinds) in enumerate(known)
        for i, kind in zip(labels.ids, kinds, strict=True)
    ]
    found = []
    for draw in range(draws):
        rng = np.random.default_rng(draw)
        clicked: list[dict[int, str]] = [{} for _ in known]
        for wanted in (False, True):
            those = [one for one in every if one[2] == wanted]
            for at in rng.choice(len(those), count, replace=False):
                k, number, kind = those[at]
                clicked[k][number] = str(kind)
        examples = [(labels, image, one) for (labels, image, _), one in zip(known, clicked, strict=True) if one]
        model = replace(classifier, seed=draw).fit(examples)
        right = [(model.predict(labels, image)["class"] == "True") == kinds for labels, image, kinds in held]
        found.append(float(np.concatenate(right).mean()))
    return found


if __name__ == "__main__":
    main()
