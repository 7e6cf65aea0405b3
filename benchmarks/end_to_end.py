"""From an image file to labels, beside Cellpose 3 and StarDist: end_to_end.py --cellpose PYTHON --stardist PYTHON.

1024 by 1024 pixels with some 300 simulated nuclei. Each program reads the image, finds the nuclei and writes labels, on
the CPU: as a process of its own (cold), and again and again in one (warm), turn by turn; medians of the wall time, and
the peak memory (RSS) of the whole process. The other two run in interpreters of their own that have these packages.

Their published weights need a download, so both are trained here for a short time with their own defaults, on the
simulated scenes of ``--networks FOLDER`` (made where it is missing): they find most nuclei, so that as much is left
to be done after the network as in earnest. How well they find them says nothing of what they can learn.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import tifffile

from segmentry.image import Grid
from segmentry.metrics import match_objects
from segmentry.result import Instances
from segmentry.simulation import Scene, simulate

SHAPE, REPEATS, SCENES = (1024, 1024), 5, 24
SCENE = {"radius": 12.0, "density": 0.15}
IOUS = (0.5, 0.75, 0.9)

#: Reads lines "image labels"; writes the seconds that each took.
LOOP = """
import sys, time, json, resource
READY
for line in sys.stdin:
    source, target = line.split()
    begun = time.perf_counter()
    segment(source, target)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps([time.perf_counter() - begun, peak]), flush=True)
"""
OURS = """
from segmentry import read, segment as found
from segmentry.io import write_labels
def segment(source, target):
    write_labels(target, found(read(source), "nuclei", **PARAMETERS).instances, overwrite=True)
"""
CELLPOSE = """
import tifffile
from cellpose import models
model = models.CellposeModel(gpu=False, pretrained_model="NETWORKS/models/cells")
def segment(source, target):
    labels = model.eval(tifffile.imread(source), channels=[0, 0], diameter=24.0)[0]
    tifffile.imwrite(target, labels.astype("uint32"), compression="zlib")
"""
STARDIST = """
import os
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
import tifffile
from csbdeep.utils import normalize
from stardist.models import StarDist2D
model = StarDist2D(None, name="stars", basedir="NETWORKS")
def segment(source, target):
    labels = model.predict_instances(normalize(tifffile.imread(source), 1, 99.8))[0]
    tifffile.imwrite(target, labels.astype("uint32"), compression="zlib")
"""
LEARN_CELLPOSE = """
import glob, tifffile
from cellpose import models, train
images = [tifffile.imread(f) for f in sorted(glob.glob("NETWORKS/images/*.tif"))]
labels = [tifffile.imread(f).astype("int32") for f in sorted(glob.glob("NETWORKS/labels/*.tif"))]
model = models.CellposeModel(gpu=False, pretrained_model=None, model_type=None, diam_mean=24.0)
train.train_seg(model.net, images, labels, channels=[0, 0], n_epochs=12, batch_size=8, learning_rate=0.1,
    save_path="NETWORKS", model_name="cells")
"""
LEARN_STARDIST = """
import glob, os
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
import tifffile
from csbdeep.utils import normalize
from stardist.models import Config2D, StarDist2D
images = [normalize(tifffile.imread(f), 1, 99.8) for f in sorted(glob.glob("NETWORKS/images/*.tif"))]
labels = [tifffile.imread(f).astype("uint16") for f in sorted(glob.glob("NETWORKS/labels/*.tif"))]
config = Config2D(n_rays=32, grid=(2, 2), n_channel_in=1, train_patch_size=(128, 128), train_epochs=4,
    train_steps_per_epoch=75, train_tensorboard=False)
model = StarDist2D(config, name="stars", basedir="NETWORKS")
model.train(images, labels, validation_data=(images[:4], labels[:4]), augmenter=None)
model.optimize_thresholds(images[:4], labels[:4])
"""


def main() -> None:
    """Print the table."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--cellpose", type=Path, help="its Python")
    arguments.add_argument("--stardist", type=Path, help="its Python")
    arguments.add_argument("--networks", type=Path, required=True)
    arguments.add_argument("--learn-only", action="store_true")
    given = arguments.parse_args()
    place = str(given.networks.resolve())
    programs = {
        "nuclei": (sys.executable, OURS.replace("PARAMETERS", "{}")),
        "nuclei, in 8 bit": (sys.executable, OURS.replace("PARAMETERS", "{'precision': 'int8'}")),
        "nuclei, fast": (sys.executable, OURS.replace("PARAMETERS", "{'variant': 'fast'}")),
        "nuclei, fast, in 8 bit": (
            sys.executable,
            OURS.replace("PARAMETERS", "{'variant': 'fast', 'precision': 'int8'}"),
        ),
    }
    scenes(given.networks)
    if given.cellpose:
        learned(given.cellpose, LEARN_CELLPOSE, given.networks / "models" / "cells", place)
        programs["cellpose 3"] = (str(given.cellpose), CELLPOSE.replace("NETWORKS", place))
    if given.stardist:
        learned(given.stardist, LEARN_STARDIST, given.networks / "stars" / "thresholds.json", place)
        programs["stardist"] = (str(given.stardist), STARDIST.replace("NETWORKS", place))
    if given.learn_only:
        return
    image, truth = simulate(Scene(**SCENE), SHAPE, seed=1000)
    source = given.networks / "image.tif"
    tifffile.imwrite(source, image.read(), compression="zlib")
    show(compared(programs, source, given.networks), truth, given.networks)


def scenes(folder: Path) -> None:
    """Write images and labels to learn from, where there are none."""
    for part in ("images", "labels"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    for seed in range(SCENES):
        target = folder / "images" / f"{seed:02}.tif"
        if not target.exists():
            image, truth = simulate(Scene(**SCENE), (256, 256), seed)
            tifffile.imwrite(folder / "labels" / target.name, np.asarray(truth.labels).astype(np.uint16))
            tifffile.imwrite(target, image.read())


def learned(python: Path, code: str, target: Path, place: str) -> None:
    """Train a network of another program, where there is none."""
    if not target.exists():
        subprocess.run([str(python), "-c", code.replace("NETWORKS", place)], check=True)


def compared(programs: dict[str, tuple[str, str]], source: Path, folder: Path) -> dict[str, dict[str, Any]]:
    """Return the seconds of each program, cold and warm, and its peak memory, by its name."""
    found: dict[str, dict[str, Any]] = {name: {"cold": [], "warm": [], "peak": []} for name in programs}
    for _ in range(REPEATS):
        for name, (python, code) in programs.items():
            begun = time.perf_counter()
            process = _started(python, code)
            answer = _asked(process, source, folder / f"{name}.tif")
            process.communicate()
            found[name]["cold"].append(time.perf_counter() - begun)
            found[name]["peak"].append(answer[1])
    with ExitStack() as stack:
        running = {name: stack.enter_context(_started(*program)) for name, program in programs.items()}
        for turn in range(REPEATS + 1):
            for name, process in running.items():
                seconds, _ = _asked(process, source, folder / f"{name}.tif")
                if turn:
                    found[name]["warm"].append(seconds)
        for process in running.values():
            process.communicate()
    return found


def _started(python: str, code: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [python, "-c", LOOP.replace("READY", code)],
        **{"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL, "text": True},
        env={**os.environ, "CUDA_VISIBLE_DEVICES": "", "PYTHONDONTWRITEBYTECODE": ""},  # as where they are installed
    )


def _asked(process: subprocess.Popen[str], source: Path, target: Path) -> list[float]:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(f"{source.resolve()} {str(target.resolve()).replace(' ', '_')}\n")
    process.stdin.flush()
    while True:
        line = process.stdout.readline()
        if not line:
            raise SystemExit(f"{process.args[0]} ended: run its code by hand")  # type: ignore[index]
        if line.startswith("["):
            return list(json.loads(line))


def show(found: dict[str, dict[str, Any]], truth: Instances, folder: Path) -> None:
    """Print a row for each program."""
    print(f"{len(truth.ids)} nuclei\n")
    print("| | cold, s | warm, s | peak RSS, MB | AP at IoU " + ", ".join(map(str, IOUS)) + " |")
    print("|---|---|---|---|---|")
    grid = Grid("YX", SHAPE)
    true = Instances.from_labels(np.asarray(truth.labels).astype(np.uint32), grid)
    for name, times in found.items():
        labels = tifffile.imread(str(folder.resolve() / f"{name}.tif").replace(" ", "_"))
        matching = match_objects(Instances.from_labels(labels.astype(np.uint32), grid), true)
        hits = [len(matching.matched(t)) for t in IOUS]
        aps = [n / (matching.n_predicted + matching.n_true - n) for n in hits]
        cold, warm, peak = (statistics.median(times[key]) for key in ("cold", "warm", "peak"))
        print(f"| {name} | {cold:.2f} | {warm:.3f} | {peak:.0f} | {', '.join(f'{ap:.3f}' for ap in aps)} |")


if __name__ == "__main__":
    main()
