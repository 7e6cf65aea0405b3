"""How good nuclei and cells in volumes are told apart: volumes.py FOLDER [--learn NETWORK | --network NETWORK].

Average precision, TP / (TP + FP + FN) of all objects together, at IoU 0.5, 0.75 and 0.9, of the default method and of
`watershed`, in volumes that nothing was learned from:

- simulated ones, of nuclei and of cells with bright borders, with every plane and with every third;
- the volume that comes with the package of StarDist (``--stardist``: its folder), whose planes lie two pixels apart;
  and interpolated to voxels as long as wide;
- plant tissue (``FOLDER/plant3d``; Wolny et al. 2020, doi:10.7554/eLife.57613): rows from 140 on. Its objects of fewer
  than 1,000 voxels, slivers at the edge, do not count.

``--learn`` writes a network that begins with the one that comes along and learns from the other rows; ``--network``
measures it on the tissue.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import tifffile
from numpy.typing import NDArray
from shipped_networks import DENSER, PLANS

from segmentry import segment
from segmentry.image import Grid, Image
from segmentry.learn.examples import Example, Examples
from segmentry.learn.shipped import shipped
from segmentry.metrics import match_objects
from segmentry.network_from_files import Asked, learn
from segmentry.resampling import Interpolated, Nearest, zoomed
from segmentry.result import Instances
from segmentry.simulation import random_scene, simulate

THRESHOLDS = (0.5, 0.75, 0.9)
#: First seed of volumes that are measured, how many, and their shape.
SEED, COUNT, SHAPE = 1000, 4, (48, 128, 128)
#: First row of the tissue that is measured, and the smallest object that counts.
ROW, SLIVER = 140, 1000
#: The tissue is seen at half its size, and learned from so.
HALF, DIAMETER = 0.5, 40
TISSUE: dict[str, Any] = {
    "steps": 600,
    "batch": 2,
    "patch": [32, 64, 64],
    "check_every": 100,
    "learning_rate": 2e-3,
    "held_out": 0.15,
    "parameters.max_error": 4.0,
}

Volume = tuple[NDArray[Any], NDArray[Any], tuple[float, ...]]


def main() -> None:
    """Print the table, or learn."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("folder", type=Path)
    arguments.add_argument("--stardist", type=Path)
    arguments.add_argument("--learn", type=Path)
    arguments.add_argument("--network", default="")
    given = arguments.parse_args()
    if given.learn:
        learn_tissue(given.folder, given.learn)
        return
    for name, volumes in sets(given.folder, given.stardist).items():
        if given.network and "tissue" not in name:
            continue
        trained = {"model": given.network, "diameter": DIAMETER, "min_size": SLIVER} if given.network else {}
        for method, asked in (("nuclei", trained), ("watershed", {})):
            told = [precision(one, method, asked) for one in volumes]
            true = np.sum([t for t, _ in told], 0) / np.maximum(np.sum([n for _, n in told], 0), 1)
            print(f"{name:40} {method:10}", " ".join(f"{value:.3f}" for value in true), flush=True)


def sets(folder: Path, stardist: Path | None) -> dict[str, list[Volume]]:
    """Return volumes, their truth and their spacing, by what they are."""
    found: dict[str, list[Volume]] = {}
    for kind in ("fluorescence", "membrane"):
        whole = [simulated(SEED + i, kind) for i in range(COUNT)]
        found[f"simulated, {kind}"] = whole
        found[f"simulated, {kind}, every third plane"] = [third(one) for one in whole]
    if stardist is not None:
        image, truth = (tifffile.imread(stardist / "data" / "images" / f"{n}3d.tif") for n in ("img", "mask"))
        found["sample of StarDist, 2:1:1"] = [(image, truth, (2, 1, 1))]
        shape, all_of = (2 * image.shape[0], *image.shape[1:]), (slice(None),) * 3
        found["sample of StarDist, interpolated"] = [
            (Interpolated(image, shape)[all_of], Nearest(truth, shape)[all_of], (1, 1, 1))
        ]
    tissue = plant(folder, slice(ROW, None))
    return {**found, "plant tissue": [tissue], "plant tissue, every third plane": [third(tissue)]}


def simulated(seed: int, kind: str) -> Volume:
    """Return a simulated volume."""
    scene = random_scene(seed, 3, kind)
    image, truth = simulate(scene.model_copy(update={"density": min(DENSER * scene.density, 0.5)}), SHAPE, seed)
    return np.asarray(image.data), np.asarray(truth.labels), (1, 1, 1)


def third(given: Volume) -> Volume:
    """Return every third plane of a volume."""
    return given[0][1::3], given[1][1::3], (3, 1, 1)


def plant(folder: Path, rows: slice) -> Volume:
    """Return rows of the tissue."""
    with h5py.File(folder / "plant3d" / "sample_patch_a.h5") as file:
        labels = np.unique(file["label"][:, rows], return_inverse=True)[1].reshape(file["label"][:, rows].shape)
        labels[np.bincount(labels.ravel())[labels] < SLIVER] = 0
        return file["raw"][:, rows], labels, (1, 1, 1)


def precision(given: Volume, method: str, asked: dict[str, Any]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return how many objects are right, and how many there are in the result or the truth, at each IoU."""
    pixels, labels, spacing = given
    grid = Grid("ZYX", pixels.shape, tuple(float(s) for s in spacing), "um")
    found = segment(Image(pixels, grid), method, **asked).instances
    match = match_objects(found, Instances.from_labels(labels.astype(np.uint32), grid))
    right = np.array([len(match.matched(t)) for t in THRESHOLDS])
    return right, match.n_predicted + match.n_true - right


def learn_tissue(folder: Path, out: Path) -> None:
    """Learn from the rows of the tissue that are not measured; their far end is held out."""
    pixels, labels, _ = plant(folder, slice(0, ROW))
    image = zoomed(Image.from_array(pixels.astype(np.float32)), HALF).load()
    example = Example(image, Nearest(labels, image.grid.spatial_shape)[(slice(None),) * 3])
    asked = Asked(
        names=("background", "nucleus"),
        task="instances",
        representation="flows",
        changes=PLANS["nuclei_3d"] | TISSUE,
        start=shipped("nuclei_3d"),
    )
    learn(Examples.of([example]), asked, out, tell=print, say=print)


if __name__ == "__main__":
    main()
