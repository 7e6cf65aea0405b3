"""What each loss does where one class is rare: python benchmarks/losses.py.

Simulated images of 128 by 128 pixels hold round spots in noise. A dozen of them are full. One or two are of another
kind, darker in their middle, by an amount that varies down to what noise hides: the class `rare`, under 1% of the
pixels. Everything else is background. With each loss, networks are trained as users train them, by one plan; they
differ in the seed and in the 24 images that they learn from, of which 6 are held out. All are scored on the same 40
test images, whose pixels are counted together. Cells are means over the networks and, after ±, standard deviations;
precision is `none` where a network finds nothing.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy import ndimage

from segmentry.image import Image
from segmentry.learn.examples import Example, Examples
from segmentry.learn.network_file import Network
from segmentry.learn.plan import planned
from segmentry.methods.unet import UNet
from segmentry.network_training import Trained, lesson, train_network
from segmentry.run import run

SIDE, LEARNED, TESTED = 128, 24, 40
#: What is changed in every plan, so that a training takes half a minute of CPU.
SMALL = {
    "architecture.widths": [16, 32, 64],
    "architecture.strides": [[2, 2], [2, 2]],
    "architecture.deep_supervision": False,
    "patch": [64, 64],
    "batch": 8,
    "check_every": 50,
}
LOSSES: Mapping[str, Mapping[str, Any]] = {
    "cross_entropy": {"name": "cross_entropy"},
    "cross_entropy, balanced": {"name": "cross_entropy", "weights": "balanced"},
    "focal": {"name": "focal"},
    "focal, balanced": {"name": "focal", "weights": "balanced"},
    "dice": {"name": "dice"},
    "dice_cross_entropy": {"name": "dice_cross_entropy"},
    "tversky (0.3, 0.7)": {"name": "tversky"},
    "tversky (0.1, 0.9)": {"name": "tversky", "alpha": 0.1, "beta": 0.9},
}


def main() -> None:
    """Print the table."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--seeds", type=int, default=3, help="networks per loss")
    arguments.add_argument("--steps", type=int, default=300, help="steps of each training")
    arguments.add_argument(
        "--losses", default="", help="names of losses as in the table, with semicolons; all if empty"
    )
    given = arguments.parse_args()
    tests = [spots(10**6 + i) for i in range(TESTED)]
    share = np.mean([test.labels.mean() for test in tests])
    print(f"rare: {share:.2%} of the test pixels\n")
    print("| loss | accuracy | Dice of rare | precision | recall |\n|---|---|---|---|---|")
    print(line("nothing found", [scores([np.zeros_like(t.labels) for t in tests], tests)]))
    for name in given.losses.split(";") if given.losses else LOSSES:
        rows = []
        for seed in range(given.seeds):
            learned = Examples.of([spots(1000 * seed + i) for i in range(LEARNED)])
            method = trained(learned, {"loss": LOSSES[name], "steps": given.steps, "seed": seed})
            rows.append(scores([classes(method, test.image) for test in tests], tests))
        print(line(name, rows), flush=True)


def spots(seed: int) -> Example:
    """Return an image of spots, and where those with a dark middle are."""
    rng = np.random.default_rng(seed)
    places = np.indices((SIDE, SIDE))
    light, labels, taken = np.zeros((SIDE, SIDE)), np.zeros((SIDE, SIDE), np.int64), np.zeros((SIDE, SIDE), bool)
    kinds = [True] * int(rng.integers(1, 3)) + [False] * 12
    while kinds:
        centre, radius = rng.uniform(0, SIDE, 2), rng.uniform(4, 6.5)
        away = np.sqrt(((places - centre[:, None, None]) ** 2).sum(axis=0))
        if (taken & (away < radius + 2)).any():
            continue
        inside = away < radius
        taken |= inside
        light[inside] = rng.uniform(0.7, 1.3)
        if kinds.pop(0):
            light[away < 0.55 * radius] *= rng.uniform(0.1, 0.8)
            labels[inside] = 1
    pixels = 100 + 100 * ndimage.gaussian_filter(light, 1) + rng.normal(0, 15, light.shape)
    return Example(Image.from_array(pixels.clip(0, 65_535).astype(np.uint16)), labels)


def trained(examples: Examples, changes: Mapping[str, Any], share: float = 0.25) -> UNet:
    """Return the method whose network a plan gives, changed in part."""
    given = lesson(examples, task="semantic", share=share)
    plan = planned(given.found).changed({**SMALL, **changes})
    return UNet.with_model(network(train_network(given, plan, device="cpu")), engine="torch")


def network(learned: Trained) -> Network:
    """Return what training gave, as it lies in a network's file."""
    plan, found = learned.plan, learned.found
    return Network(
        architecture=plan.architecture,
        representation=plan.representing(),
        names=found.names,
        channels=found.channels,
        scaling=plan.scaling,
        spacing=plan.spacing,
        unit=plan.unit,
        tile=tuple(4 * n for n in plan.patch),
        card={},
        arrays=learned.weights,
    )


def classes(method: UNet, image: Image) -> np.ndarray:
    """Return the class of each pixel."""
    return np.asarray(run(method, image).result.classes)


def scores(found: Sequence[np.ndarray], tests: Sequence[Example]) -> tuple[float, float, float, float]:
    """Return accuracy, and Dice, precision and recall of class 1, over the pixels of all images."""
    told = np.concatenate([one.ravel() > 0 for one in found])
    true = np.concatenate([np.asarray(test.labels).ravel() > 0 for test in tests])
    both = int((told & true).sum())
    precision = both / told.sum() if told.any() else np.nan
    return float((told == true).mean()), 2 * both / float(told.sum() + true.sum()), precision, both / float(true.sum())


def line(name: str, rows: Sequence[tuple[float, ...]]) -> str:
    """Return a line of the table."""
    cells = []
    for i, column in enumerate(np.array(rows).T):
        digits = 2 if i == 0 else 1
        spread = f" ± {100 * column.std(ddof=1):.{digits}f}" if len(rows) > 1 else ""
        cells.append("none" if np.isnan(column).any() else f"{100 * column.mean():.{digits}f}%{spread}")
    return f"| {name} | {' | '.join(cells)} |"


if __name__ == "__main__":
    main()
