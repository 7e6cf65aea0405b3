"""How fast labels become what networks learn, and maps objects: decoding.py --cellpose PYTHON --stardist PYTHON.

Beside ours run, turn by turn, Cellpose 3 and StarDist on the same arrays, in interpreters of their own that have these
packages. 1024 by 1024 pixels with some 300 round nuclei, and a volume of 64 by 128 by 128 with balls; maps are the true
ones with smooth noise. Times are medians of CPU seconds; agreement is the share of objects that match at an IoU of 0.9.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import numpy as np
from scipy.ndimage import gaussian_filter

from segmentry.image import Grid
from segmentry.learn.objects import flows_of, own_distance, ray_lengths_of
from segmentry.learn.representations.flows import Flows
from segmentry.learn.representations.stars import Stars, rays
from segmentry.metrics import match_objects
from segmentry.result import Instances

SIDE, NUCLEI, REPEATS = 1024, 300, 5
NAMES = ("background", "object")
#: Of the volume: its shape, rays, and how many times longer voxels are along Z.
VOLUME, RAYS, LONG = (64, 128, 128), 96, 2.0
#: What other interpreters do with the arrays in a file: a task's name comes in, CPU seconds go out.
LOOP = """
import json, sys, time
import numpy as np
data = np.load(sys.argv[1])
tasks = {}
TASKS
for line in sys.stdin:
    begun = time.process_time()
    found = tasks[line.strip()]()
    taken = time.process_time() - begun
    np.save(sys.argv[2], np.asarray(found))
    print(json.dumps(taken), flush=True)
"""
CELLPOSE = """
import torch
from cellpose import dynamics
torch.set_num_threads(2)
cpu = torch.device("cpu")
def masks(threshold):
    return dynamics.resize_and_compute_masks(
        5 * data["flows"], data["logits"], niter=200, flow_threshold=threshold, min_size=0, device=cpu)
tasks["labels to flows"] = lambda: dynamics.labels_to_flows([data["labels"].astype(np.int32)], device=cpu)[0][2:]
tasks["flows to labels"] = lambda: masks(0.0)
tasks["flows to labels, checked"] = lambda: masks(0.4)
"""
STARDIST = """
from stardist import Rays_GoldenSpiral, star_dist, star_dist3D
from stardist.geometry import polygons_to_label, polyhedron_to_label
from stardist.nms import non_maximum_suppression, non_maximum_suppression_3d
def drawn(prob, dist, threshold):
    points, scores, lengths = non_maximum_suppression(dist, prob, prob_thresh=threshold, nms_thresh=0.4)
    return polygons_to_label(lengths, points, shape=prob.shape, prob=scores)
rays = Rays_GoldenSpiral(96, anisotropy=(2, 1, 1))
def drawn3d(prob, dist, threshold):
    points, scores, lengths = non_maximum_suppression_3d(dist, prob, rays, prob_thresh=threshold, nms_thresh=0.4)
    return polyhedron_to_label(lengths, points, rays=rays, shape=prob.shape, prob=scores, verbose=False)
flat, prob, dist = data["labels"].astype(np.uint16), data["prob"], np.moveaxis(data["dist"], 0, -1).copy()
tasks["labels to 32 distances"] = lambda: star_dist(flat, n_rays=32, mode="cpp")
tasks["distances to labels"] = lambda: drawn(prob, dist, 0.5)
tasks["distances to labels, few"] = lambda: drawn(prob, dist, 0.8)
deep, prob3, dist3 = data["deep"].astype(np.uint16), data["prob3"], np.moveaxis(data["dist3"], 0, -1).copy()
tasks["labels to 96 distances, volume"] = lambda: star_dist3D(deep, rays, mode="cpp")
tasks["distances to labels, volume"] = lambda: drawn3d(prob3, dist3, 0.93)
"""


def main() -> None:
    """Print the table."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--cellpose", required=True, help="a Python that has cellpose 3")
    arguments.add_argument("--stardist", required=True, help="a Python that has stardist")
    given = arguments.parse_args()
    data = arrays()
    with ExitStack() as stack:
        place = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        np.savez(place / "data.npz", **data)
        children = {
            name: stack.enter_context(started(interpreter, code, place, name))
            for name, interpreter, code in (
                ("Cellpose 3", given.cellpose, CELLPOSE),
                ("StarDist", given.stardist, STARDIST),
            )
        }
        print("| loop | theirs | CPU | ours | ratio | objects that agree |\n|---|---|---|---|---|---|")
        for name, (program, ours) in tasks(data).items():
            compare(name, program, children[program], ours, place)


def started(interpreter: str, code: str, place: Path, name: str) -> subprocess.Popen[str]:
    """Start another interpreter that does its tasks when told."""
    words = [interpreter, "-c", LOOP.replace("TASKS", code), str(place / "data.npz"), str(place / f"{name}.npy")]
    return subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def arrays() -> dict[str, np.ndarray]:
    """Return labels, and maps as of networks."""
    rng = np.random.default_rng(0)
    labels, deep = balls((SIDE, SIDE), NUCLEI, (20, 34), rng), balls(VOLUME, 120, (9, 15), rng)
    smooth = gaussian_filter(rng.standard_normal((2, SIDE, SIDE)), (0, 2, 2))
    flows = flows_of(labels, (1.0, 1.0)) + 0.6 * smooth.astype(np.float32)
    prob, dist = noisy(labels, 32, (1.0, 1.0), rng)
    prob3, dist3 = noisy(deep, RAYS, (LONG, 1.0, 1.0), rng)
    logits = np.where(labels > 0, 6, -6).astype(np.float32)
    return {
        **{"labels": labels, "flows": flows.astype(np.float32), "logits": logits, "prob": prob, "dist": dist},
        **{"deep": deep, "prob3": prob3, "dist3": dist3},
    }


def balls(shape: tuple[int, ...], count: int, radii: tuple[float, float], rng: np.random.Generator) -> np.ndarray:
    """Return balls that touch: what lies nearer to a middle, as a share of the radius, belongs to it."""
    labels, near = np.zeros(shape, np.int64), np.ones(shape, np.float32)
    for number in range(1, count + 1):
        centre, radius = [rng.uniform(0, n) for n in shape], rng.uniform(*radii)
        box = tuple(
            slice(max(int(c - radius), 0), min(int(c + radius) + 2, n)) for c, n in zip(centre, shape, strict=True)
        )
        places = np.meshgrid(*(np.arange(s.start, s.stop) for s in box), indexing="ij", sparse=True)
        away = np.sqrt(sum((p - c) ** 2 for p, c in zip(places, centre, strict=True))) / radius
        mine = away < near[box]
        labels[box][mine], near[box][mine] = number, away[mine]
    return labels


def noisy(labels: np.ndarray, count: int, ratio: tuple[float, ...], rng: np.random.Generator) -> list[np.ndarray]:
    """Return the probability of middles and distances along rays, a little off."""
    depth, largest = own_distance(labels, (1.0,) * labels.ndim)
    lengths = ray_lengths_of(labels, rays(count, labels.ndim, ratio)[0])
    prob = depth / np.maximum(largest, 1) * (1 - 0.05 * rng.random(labels.shape))
    dist = np.maximum(lengths * (1 + 0.05 * rng.standard_normal(lengths.shape)), 1)
    return [prob.astype(np.float32), dist.astype(np.float32)]


def tasks(data: dict[str, np.ndarray]) -> dict[str, tuple[str, Callable[[], object]]]:
    """Return our ways to do each task, and the program that they are compared with."""
    labels, deep = data["labels"], data["deep"]
    flat, volume = Grid("YX", labels.shape), Grid("ZYX", deep.shape)
    flows = np.concatenate([data["flows"], 1 / (1 + np.exp(-data["logits"]))[None]])
    stars, stars3 = (np.concatenate([data[f"prob{n}"][None], data[f"dist{n}"]]) for n in ("", "3"))
    directions, directions3 = rays(32, 2, (1.0, 1.0))[0], rays(RAYS, 3, (LONG, 1.0, 1.0))[0]
    deep_stars = Stars(n_rays=RAYS, anisotropy=(LONG, 1.0, 1.0), threshold=0.93)
    return {
        "labels to flows": ("Cellpose 3", lambda: flows_of(labels, (1.0, 1.0))),
        "flows to labels": ("Cellpose 3", lambda: Flows(max_error=4).decode(flows, flat, NAMES)),
        "flows to labels, checked": ("Cellpose 3", lambda: Flows().decode(flows, flat, NAMES)),
        "labels to 32 distances": ("StarDist", lambda: ray_lengths_of(labels, directions)),
        "distances to labels": ("StarDist", lambda: Stars().decode(stars, flat, NAMES)),
        "distances to labels, few": ("StarDist", lambda: Stars(threshold=0.8).decode(stars, flat, NAMES)),
        "labels to 96 distances, volume": ("StarDist", lambda: ray_lengths_of(deep, directions3)),
        "distances to labels, volume": ("StarDist", lambda: deep_stars.decode(stars3, volume, NAMES)),
    }


def compare(name: str, program: str, child: subprocess.Popen[str], ours: Callable[[], object], place: Path) -> None:
    """Print a row: both turn by turn, the first time to warm up."""
    assert child.stdin
    assert child.stdout
    seconds: list[tuple[float, float]] = []
    for _ in range(REPEATS + 1):
        print(name, file=child.stdin, flush=True)
        theirs = float(json.loads(child.stdout.readline()))
        begun = time.process_time()
        found = ours()
        seconds.append((theirs, time.process_time() - begun))
    them, us = (statistics.median(column) for column in zip(*seconds[1:], strict=True))
    agreed = ""
    if isinstance(found, Instances):
        other = np.load(place / f"{program}.npy").astype(np.uint32)
        matching = match_objects(found, Instances.from_labels(other, found.grid))
        agreed = f"{len(matching.matched(0.9))} of {matching.n_predicted} and {matching.n_true}"
    print(f"| {name} | {program} | {them:.2f} s | {us:.3f} s | {them / us:.0f} | {agreed} |", flush=True)


if __name__ == "__main__":
    main()
