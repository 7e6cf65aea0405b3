"""How good the networks are that come along: shipped_scores.py FOLDER [--variant fast] [--stardist PACKAGE].

FOLDER holds ``dsb2018`` and ``bioimages``. Nothing was learned from, or tuned on, what is measured here:

- the images of BBBC038 whose SHA-1 of the id has remainder 1 by 10: AP = TP / (TP + FP + FN) of all objects together,
  and the mean over images, in fluorescence, in stained tissue and in bright field; beside it what was published for
  fluorescence (arXiv:1806.03535, table 1, on a split of its own);
- how often an object of some score matches a true one at an IoU of 0.5;
- strokes in four crops of BBBC007: the nuclei that are painted, and the background;
- images without nuclei; the same nuclei at half and twice the magnification, by pixel size and by estimated diameter;
- the plane that comes with the package of StarDist (``PACKAGE`` is its folder); ``volumes.py`` has the volume.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from scipy.ndimage import label, zoom

from segmentry import Image, read, segment
from segmentry.image import Grid
from segmentry.metrics import evaluate_images, evaluate_set, match_objects
from segmentry.result import Instances
from segmentry.simulation import Scene, random_scene, simulate

THRESHOLDS = (0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9)
#: At IoU 0.5, 0.75 and 0.9: arXiv:1806.03535, table 1.
PUBLISHED = {
    "StarDist": (0.8641, 0.5862, 0.1191),
    "Mask R-CNN": (0.8323, 0.5974, 0.1891),
    "U-Net of three classes": (0.8060, 0.5777, 0.2258),
}
SHARES = (0.0, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0001)
#: Diameter of simulated nuclei in pixels, and how many times larger they are seen.
RADIUS, ZOOMS = 10.0, (0.5, 2.0)


def main() -> None:
    """Print the tables."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("folder", type=Path)
    arguments.add_argument("--variant", default="accurate", choices=["accurate", "fast"])
    arguments.add_argument("--model", default="", help="another network instead")
    arguments.add_argument("--flips", action="store_true")
    arguments.add_argument("--precision", default="float32", choices=["float32", "int8"])
    arguments.add_argument("--stardist", type=Path)
    arguments.add_argument("--diagram", type=Path, help="SVG file for what scores stand for")
    given = arguments.parse_args()
    asked = {key: getattr(given, key) for key in ("variant", "flips", "precision", "model")}
    told = held_out(given.folder / "dsb2018", asked)
    reliability(told, given.diagram)
    strokes(given.folder / "bioimages" / "bbbc007", asked)
    empty(asked)
    magnified(asked)
    if given.stardist:
        samples(given.stardist / "data" / "images", asked)


def held_out(folder: Path, asked: dict[str, Any]) -> list[tuple[float, bool]]:
    """Print the average precision of each kind of images; return scores of objects, and whether they are right."""
    with (folder / "manifest.csv").open(encoding="utf-8") as file:
        rows = [r for r in csv.DictReader(file) if int(hashlib.sha1(r["id"].encode()).hexdigest(), 16) % 10 == 1]
    print("| held out | images, nuclei | " + " | ".join(f"{t:.2f}" for t in THRESHOLDS) + " |")
    print("|---|---|" + "---|" * len(THRESHOLDS))
    told: list[tuple[float, bool]] = []
    for kind in sorted({row["modality"] for row in rows}, key=lambda k: -sum(r["modality"] == k for r in rows)):
        images = []
        nuclei = 0
        for row in rows:
            if row["modality"] != kind:
                continue
            found = segment(read(folder / "images" / f"{row['id']}.png"), "nuclei", **asked).instances
            truth = Instances.from_labels(read(folder / "masks" / f"{row['id']}.png").read(), found.grid)
            nuclei += len(truth)
            images.append(evaluate_images(found, truth, metrics=["ap"], thresholds=THRESHOLDS))
            told += scored(found, truth)
        total = evaluate_set(images)
        for name in ("pooled", "mean"):
            values = [getattr(total["ap", f"{t:.2f}"], name) for t in THRESHOLDS]
            print(f"| {kind}, {name} | {len(images)}, {nuclei} | " + " | ".join(f"{v:.4f}" for v in values) + " |")
    for name, values in PUBLISHED.items():
        known = dict(zip((0.5, 0.75, 0.9), values, strict=True))
        print(
            f"| published, {name} | | " + " | ".join(f"{known[t]:.4f}" if t in known else "" for t in THRESHOLDS) + " |"
        )
    return told


def reliability(told: list[tuple[float, bool]], diagram: Path | None) -> None:
    """Print what share of the objects of some score matches a true one, and draw it."""
    scores, hits = np.array([s for s, _ in told]), np.array([h for _, h in told])
    print("\n| score | objects | mean score | share that match at IoU 0.5 |\n|---|---|---|---|")
    rows = []
    for low, high in pairwise(SHARES):
        here = (scores >= low) & (scores < high)
        if here.any():
            rows.append((scores[here].mean(), hits[here].mean(), here.sum()))
            mean, share, count = rows[-1]
            print(f"| {low:g} to {min(high, 1):g} | {count} | {mean:.3f} | {share:.3f} |")
    if diagram is None:
        return
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "segmentry"
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(4, 4), layout="constrained")
    axes.plot((0, 1), (0, 1), color="0.6", linewidth=1, label="score = share")
    means, shares, counts = (np.array(column) for column in zip(*rows, strict=True))
    axes.scatter(means, shares, 12 + 200 * counts / counts.max(), label="held-out objects, by number")
    axes.set(xlabel="score", ylabel="share that matches at IoU 0.5", xlim=(0, 1.02), ylim=(0, 1.02))
    axes.legend(loc="upper left", frameon=False)
    figure.savefig(diagram, metadata={"Date": None})


def scored(found: Instances, truth: Instances) -> list[tuple[float, bool]]:
    """Return the score of each object, and whether it matches a true one at an IoU of 0.5."""
    matching = match_objects(found, truth)
    hit = set(matching.predicted_ids[matching.pairs[matching.matched(0.5), 0]].tolist())
    assert found.scores is not None
    return [(float(s), int(i) in hit) for i, s in zip(found.ids, found.scores, strict=True)]


def strokes(folder: Path, asked: dict[str, Any]) -> None:
    """Print how many painted nuclei are found, and how much of the painted background is left alone."""
    ious, clear = [], np.zeros(2)
    for path in sorted((folder / "images").iterdir()):
        labels = np.asarray(segment(read(path), "nuclei", **asked).instances.labels)
        painted = read(folder / "masks" / path.name).read()
        nuclei, count = label(painted == 2)
        for number in range(1, count + 1):
            mine = nuclei == number
            ids = labels[mine]
            best = np.bincount(ids[ids > 0], minlength=2).argmax() if (ids > 0).any() else 0
            ious.append(0.0 if not best else float((mine & (labels == best)).sum() / (mine | (labels == best)).sum()))
        clear += ((labels == 0)[painted == 1].sum(), (painted == 1).sum())
    found = np.sort(ious)
    each = ", ".join(f"{v:.2f}" for v in found)
    print(f"\nBBBC007: {sum(found >= 0.5)} of {len(found)} painted nuclei at IoU 0.5 ({each})")
    print(f"{100 * clear[0] / clear[1]:.1f}% of the painted background is background")


def empty(asked: dict[str, Any]) -> None:
    """Print how many nuclei are found where there are none."""
    rng = np.random.default_rng(0)
    flat = np.full((256, 256), 100, np.uint16)
    images = {
        "one value": flat,
        "noise": rng.poisson(flat).astype(np.uint16),
        "a gradient with noise": rng.poisson(np.linspace(50, 900, 256) * np.ones((256, 1))).astype(np.uint16),
    }
    for i, kind in enumerate(("fluorescence", "histology", "brightfield") * 4):
        scene = random_scene(1000 + i, kind=kind).model_copy(update={"density": 0.0})
        images[f"{kind} {i}"] = simulate(scene, (256, 256), 1000 + i)[0]
    counts = {name: len(segment(image, "nuclei", **asked).instances) for name, image in images.items()}
    print(f"\n{sum(n == 0 for n in counts.values())} of {len(counts)} images without nuclei give none", end="")
    print("; " + ", ".join(f"{name}: {n}" for name, n in counts.items() if n))


def magnified(asked: dict[str, Any]) -> None:
    """Print how many nuclei are the same when an image is larger or smaller."""
    image, _ = simulate(Scene(radius=RADIUS, density=0.15), (512, 512), 7, spacing=(0.5, 0.5))
    pixels = image.read().astype(np.float32)
    diameter = f"{RADIUS} um"  # 2 x 10 pixels of 0.5 um
    print("\n| seen | diameter given in um | estimated | pixels as they are |\n|---|---|---|---|")
    ways = ({"diameter": diameter}, {}, {"estimate_diameter": False})
    before = [segment(image, "nuclei", **asked, **way).instances for way in ways]
    for factor in ZOOMS:
        spacing = (0.5 / factor,) * 2
        seen = zoom(pixels, factor, order=1 if factor > 1 else 3, grid_mode=True, mode="nearest")
        if factor < 1:
            step = round(1 / factor)
            seen = pixels.reshape(512 // step, step, 512 // step, step).mean(axis=(1, 3))
        other = Image(seen, Grid("YX", seen.shape, spacing, "um"))
        row = [
            same(segment(other, "nuclei", **asked, **w).instances, b, factor) for w, b in zip(ways, before, strict=True)
        ]
        print(f"| {factor:g} times as large | " + " | ".join(row) + " |")


def same(found: Instances, before: Instances, factor: float) -> str:
    """Return how many objects match those of the image as it was at an IoU of 0.5."""
    at = (np.arange(512) + 0.5) * factor
    back = np.asarray(found.labels)[np.ix_(at.astype(int), at.astype(int))]
    matching = match_objects(Instances.from_labels(back, before.grid), before)
    return f"{len(matching.matched(0.5))} of {len(before)} ({len(found)} found)"


def samples(folder: Path, asked: dict[str, Any]) -> None:
    """Print the average precision on the images that come with StarDist."""
    print("\n| StarDist's samples | found, true | AP at 0.5, 0.75, 0.9 |\n|---|---|---|")
    pixels, truth = (tifffile.imread(folder / f"{part}2d.tif") for part in ("img", "mask"))
    print(f"| 2d | {precision(Image.from_array(pixels), truth, asked)} |")


def precision(
    image: Image, truth: np.ndarray[Any, Any], asked: dict[str, Any], ious: Sequence[float] = (0.5, 0.75, 0.9)
) -> str:
    """Return how many objects are found, and the average precision."""
    found = segment(image, "nuclei", **asked).instances
    matching = match_objects(found, Instances.from_labels(truth.astype(np.uint32), found.grid))
    hits = [len(matching.matched(t)) for t in ious]
    aps = [n / (matching.n_predicted + matching.n_true - n) for n in hits]
    return f"{matching.n_predicted}, {matching.n_true} | {', '.join(f'{ap:.3f}' for ap in aps)}"


if __name__ == "__main__":
    main()
