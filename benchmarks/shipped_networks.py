"""Train a network that ships with segmentry: shipped_networks.py FOLDER VARIANT -o NETWORK.

FOLDER holds ``dsb2018`` (BBBC038 with corrected labels: ``manifest.csv``, ``images``, ``masks``): images of nuclei in
fluorescence, stained tissue and bright field. Those whose SHA-1 of the id has remainder 1 by 10 are never seen. To the
others come simulated scenes, some of them without a nucleus. A tenth of all is held out to choose by.

``nuclei_3d`` learns from simulated volumes alone, of nuclei and of cells with bright borders; planes of half of them
lie further apart than pixels do, and are interpolated. ``volumes.py`` has it learn from a real one as well.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from segmentry import read
from segmentry.image import Image
from segmentry.learn.examples import Example, Examples
from segmentry.learn.network_file import Network, load_network, save_network
from segmentry.learn.networks.build import build
from segmentry.learn.objects import diameters
from segmentry.methods.nuclei import Nuclei, resizing
from segmentry.network_from_files import Asked, learn
from segmentry.network_precision import ready_for_int8
from segmentry.network_scores import reliability, score
from segmentry.resampling import Interpolated, Nearest, zoomed
from segmentry.selection import selected
from segmentry.simulation import random_scene, simulate

#: Simulated scenes, their length, how they are seen in turn, and after how many comes an empty one.
SIMULATED, LENGTH, EMPTY = 48, 288, 8
KINDS = ("fluorescence", "fluorescence", "histology", "fluorescence", "brightfield", "fluorescence")
#: The same of volumes; how much denser they are than scenes are by themselves; and how far apart planes lie, in turn.
VOLUMES, VOLUME = 72, (48, 112, 112)
VOLUME_KINDS = ("fluorescence", "fluorescence", "fluorescence", "membrane")
DENSER, APART = 1.6, (1, 2, 1, 3)

PLANS: dict[str, dict[str, Any]] = {
    "nuclei": {
        "parameters.block": 2,
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
PLANS["nuclei_3d"] = {
    "steps": 2200,
    "batch": 2,
    "check_every": 550,
    "held_out": 0.1,
    "patch": [48, 80, 80],
    "architecture.widths": [24, 48, 96],
    "architecture.strides": [[2, 2, 2], [2, 2, 2]],
    "architecture.stem": [2, 2, 2],
    "architecture.residual": True,
    "architecture.deep_supervision": False,
}
#: What differs in the second part of a training, which begins with a network of the first.
FURTHER: dict[str, dict[str, Any]] = {
    "nuclei": {
        "steps": 5000,
        "learning_rate": 1.5e-3,
        "average": 0.998,
        "augmentation.scale": [0.75, 1.35],
        "augmentation.noise_probability": 0.1,
        "augmentation.blur_probability": 0.1,
        "augmentation.resolution_probability": 0.1,
        "seed": 1,
    },
    "nuclei_fast": {"steps": 1500, "learning_rate": 1e-3, "average": 0.995, "check_every": 500},
}
#: The same of the third part, which begins with a network of the second that was made wider.
THIRD: dict[str, Any] = {"architecture.widths": (48, 96, 192, 192), "seed": 2}
#: Parameters that are tried when they are chosen anew.
TRIED: dict[str, dict[str, tuple[float, ...]]] = {
    "outlined": {
        "threshold": (0.4, 0.5, 0.6),
        "seed_threshold": (0.45, 0.5, 0.55, 0.6),
        "max_overlap": (0.3, 0.4, 0.5, 0.6),
    },
    "flows": {"threshold": (0.3, 0.4, 0.5, 0.6), "max_error": (0.4, 0.7, 1.0, 4.0), "min_size": (0, 20, 50, 100)},
}


def main() -> None:
    """Train, or go on with a training that was cut off."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("folder", type=Path)
    arguments.add_argument("variant", choices=list(PLANS))
    arguments.add_argument("--out", "-o", type=Path, required=True)
    arguments.add_argument("--start", type=Path, help="a network of the first part: now small nuclei are enlarged")
    arguments.add_argument("--resume", action="store_true")
    arguments.add_argument("--tune", type=Path, help="a network whose parameters are chosen anew, by all held out")
    arguments.add_argument("--widen", type=Path, help="a network that gets the widths of the last part, and no worse")
    given = arguments.parse_args()
    if given.widen:
        save_network(given.out, wider(load_network(given.widen), THIRD["architecture.widths"]), overwrite=True)
        return
    if given.tune:
        save_network(given.out, tuned(load_network(given.tune), given.folder), overwrite=True)
        return
    if given.variant == "nuclei_3d":
        examples = Examples([f"volume-{seed}" for seed in range(VOLUMES)], volume)
    else:
        names = [*real(given.folder), *(f"simulated-{seed}" for seed in range(SIMULATED))]
        seen = resized if given.start else lambda example: example
        examples = Examples(names, lambda i: seen(opened(given.folder, names[i])))
    changes = PLANS[given.variant]
    if given.start:
        widths = load_network(given.start).architecture.widths
        changes = changes | FURTHER[given.variant] | (THIRD if widths == THIRD["architecture.widths"] else {})
    asked = Asked(
        names=("background", "nucleus"),
        task="instances",
        representation="flows" if given.variant == "nuclei_3d" else "outlined",
        changes=changes,
        licence="CC0-1.0",
        start=given.start,
    )
    learn(examples, asked, given.out, resume=given.resume, tell=_told, say=print)


def tuned(known: Network, folder: Path) -> Network:
    """Return a network with the parameters that do best on what is held out, seen as the method `nuclei` sees it.

    Scores of objects stand for what they are worth with these. A network for planes is judged by real images alone, and
    made ready for 8 bit, too.
    """
    judged, planes = [], known.architecture.dimensions == 2
    names = [name for name in known.card["held_out"] if not (planes and name.startswith("simulated"))]
    for name in names:
        example = opened(folder, name)
        grid = example.image.grid.without("C")
        step = Nuclei.with_model(known).prepared(example.image)
        maps = np.zeros((known.architecture.outputs, *grid.shape), np.float32)
        step.predict(example.image, maps, lambda _: None)
        judged.append((maps.astype(np.float16), np.asarray(example.labels).astype(np.int64), grid))
    best, most, tried = known.representation, -1.0, TRIED[known.representation.name]
    for values in product(*tried.values()):
        one = known.representation.model_copy(update=dict(zip(tried, values, strict=True)))
        reached = score(((maps.astype(np.float32), *rest) for maps, *rest in judged), one, known.names)
        if reached > most:
            best, most = one, reached
    print(best, most)
    told = reliability(((maps.astype(np.float32), *rest) for maps, *rest in judged), best, known.names)
    found = replace(known, representation=best, calibration=told, card={**known.card, "score": most})
    if not planes:
        return found
    ready, before, after = ready_for_int8(found, Examples(names, lambda i: resized(opened(folder, names[i]))))
    print(f"score {before:.4f}, in 8 bit {after:.4f}")
    return ready


def wider(known: Network, widths: tuple[int, ...]) -> Network:
    """Return a network of more channels that says the same: nothing of before hears the new ones yet.

    They begin by chance and hear all, so that they learn at once (as in Net2Net, Chen 2016, arXiv:1511.05641, but
    without copies of channels that would have to be told apart first).
    """
    architecture = known.architecture.model_copy(update={"widths": widths})
    arrays = {name: value.numpy().copy() for name, value in build(architecture, seed=2).state_dict().items()}
    for name, before in known.arrays.items():
        if before.ndim < 2:
            arrays[name][tuple(slice(n) for n in before.shape)] = before
            continue
        turned = name.startswith("heads")  # transposed: what comes in is first
        here, there = (array.swapaxes(0, 1) if turned else array for array in (arrays[name], before))
        joined = 2 if name.startswith("up.") and (".layers.0.0." in name or ".way.0." in name) else 1
        old, new = there.shape[1] // joined, here.shape[1] // joined
        here[: len(there)] = 0
        for part in range(joined):  # what a level sees of its own way down, and of the coarser one
            here[: len(there), part * new : part * new + old] = there[:, part * old : (part + 1) * old]
    return replace(known, architecture=architecture, arrays=arrays, graph=b"", ranges={})


def real(folder: Path) -> list[str]:
    """Return the ids of the images that may be learned from."""
    with (folder / "dsb2018" / "manifest.csv").open(encoding="utf-8") as file:
        names = sorted(row["id"] for row in csv.DictReader(file))
    return [name for name in names if int(hashlib.sha1(name.encode()).hexdigest(), 16) % 10 != 1]


def opened(folder: Path, name: str) -> Example:
    """Return an image and its truth by the name."""
    kind, _, seed = name.partition("-")
    if kind == "volume":
        return volume(int(seed))
    if kind == "simulated":
        return simulated(int(seed))
    image = selected(read(folder / "dsb2018" / "images" / f"{name}.png"), None, False, [])
    return Example(image.load(), read(folder / "dsb2018" / "masks" / f"{name}.png").read())


def resized(example: Example) -> Example:
    """Return an example as the method `nuclei` would see it: small nuclei are made larger, large ones smaller."""
    sizes, dimensions = np.bincount(np.asarray(example.labels).ravel())[1:], len(example.image.grid.spatial)
    if not sizes.any():
        return example
    zoom = resizing(float(np.median(diameters(sizes[sizes > 0], dimensions))), dimensions)
    if zoom == 1:
        return example
    image = zoomed(example.image, zoom).load()
    whole = (slice(None),) * dimensions
    return Example(image, Nearest(example.labels, image.grid.spatial_shape)[whole])


@cache
def simulated(seed: int) -> Example:
    """Return a simulated image and its truth."""
    scene = random_scene(seed, kind=KINDS[seed % len(KINDS)])
    if seed % EMPTY == EMPTY - 1:
        scene = scene.model_copy(update={"density": 0.0})
    image, truth = simulate(scene, (LENGTH, LENGTH), seed)
    return Example(selected(image, None, False, []).load(), truth.labels)


@cache
def volume(seed: int) -> Example:
    """Return a simulated volume and its truth, as the method `nuclei` would see it: with voxels as long as wide."""
    scene = random_scene(seed, 3, VOLUME_KINDS[seed % len(VOLUME_KINDS)])
    empty = seed % EMPTY == EMPTY - 2
    scene = scene.model_copy(update={"density": 0.0 if empty else min(DENSER * scene.density, 0.5)})
    image, truth = simulate(scene, VOLUME, seed)
    apart = APART[seed % len(APART)]
    if apart > 1:
        pixels = np.asarray(image.data, np.float32)
        planes = pixels[: len(pixels) // apart * apart].reshape(-1, apart, *pixels.shape[1:]).mean(axis=1)
        whole = (slice(None),) * 3
        image = Image.from_array(Interpolated(planes, VOLUME)[whole])
    return resized(Example(Image.from_array(np.asarray(image.data, np.float32)), truth.labels))


def _told(row: Mapping[str, Any]) -> None:
    print(row, flush=True)


if __name__ == "__main__":
    main()
