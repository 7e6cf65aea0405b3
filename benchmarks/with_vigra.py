"""Pixel classification from strokes, whole jobs and their parts, beside VIGRA and scikit-image: with_vigra.py.

VIGRA is what ilastik stands on; Debian has it for its own interpreter (python3-vigra), ``--interpreter`` names it. All
programs get the same image and the same painted pixels, turn by turn; seconds are those of the processor, medians.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from cases import nuclei
from skimage.feature import multiscale_basic_features
from sklearn.ensemble import RandomForestClassifier
from strokes import strokes

from segmentry.features import FEATURES, Feature, FeatureBank
from segmentry.image import Grid, Image
from segmentry.learn import classifier
from segmentry.strokes import Strokes, train_pixels

SIGMAS = (0.7, 1.0, 1.6, 3.5, 5.0, 10.0)
TREES = 100
REPEATS = 5
PARTS = ("features", "training", "classes of all pixels", "whole job")

#: The job as VIGRA does it, in its own interpreter: a line with the number of trees in, a line of seconds out.
CHILD = """
import json, math, sys, time
import numpy as np, vigra
from vigra import filters
image, marks = (np.load(path) for path in sys.argv[1:3])
image, sigmas = image.astype(np.float32), json.loads(sys.argv[3])

def features():
    found = []
    for sigma in sigmas:
        before = math.sqrt(sigma ** 2 - 1) if sigma > 1 else sigma
        smooth, scale = filters.gaussianSmoothing(image, before, window_size=3.5), min(sigma, 1.0)
        flat = filters.gaussianSmoothing(smooth, scale, window_size=2.0)
        found += [flat, filters.laplacianOfGaussian(smooth, scale, window_size=2.0)]
        found += [filters.gaussianGradientMagnitude(smooth, scale, window_size=2.0)]
        found += [flat - filters.gaussianSmoothing(smooth, 0.66 * scale, window_size=2.0)]
        for tensor in (filters.structureTensorEigenvalues(smooth, scale, 0.5 * scale, window_size=2.0),
                       filters.hessianOfGaussianEigenvalues(smooth, scale, window_size=2.0)):
            tensor = np.asarray(tensor)
            found += [tensor[..., 0], tensor[..., 1]]
    return np.stack(found, -1).reshape(-1, 8 * len(sigmas)).astype(np.float32)

for line in sys.stdin:
    start = time.process_time()
    rows = features()
    parts = [time.process_time() - start]
    start = time.process_time()
    forest = vigra.learning.RandomForest(treeCount=int(line))
    at = np.flatnonzero(marks)
    forest.learnRF(rows[at], marks.ravel()[at, None].astype(np.uint32))
    parts.append(time.process_time() - start)
    start = time.process_time()
    found = np.asarray(forest.predictProbabilities(rows))[:, 1] > 0.5
    parts.append(time.process_time() - start)
    print(json.dumps([*parts, float((found == (np.load(sys.argv[4]).ravel() > 0)).mean())]), flush=True)
"""


def main() -> None:
    """Print the table."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--interpreter", default="/usr/bin/python3", help="a Python that has vigra")
    given = arguments.parse_args()
    pixels, labels = nuclei(2048)
    marks = strokes(labels > 0, 2000 / labels.size, 0)
    with tempfile.TemporaryDirectory() as folder:
        paths = [str(Path(folder) / f"{name}.npy") for name in ("image", "marks", "labels")]
        for path, array in zip(paths, (pixels, marks, labels), strict=True):
            np.save(path, array)
        words = [given.interpreter, "-c", CHILD, paths[0], paths[1], json.dumps(SIGMAS), paths[2]]
        with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
            _table(child, pixels, labels > 0, marks)


def _table(child: subprocess.Popen[str], pixels: np.ndarray, truth: np.ndarray, marks: np.ndarray) -> None:
    def vigra() -> list[float]:
        assert child.stdin
        assert child.stdout
        print(TREES, file=child.stdin, flush=True)
        return json.loads(child.stdout.readline())

    ways: dict[str, Callable[[], list[float]]] = {
        "segmentry, fast_trees": lambda: _ours("fast_trees", pixels, truth, marks),
        "segmentry, random_forest": lambda: _ours("random_forest", pixels, truth, marks),
        "scikit-image and scikit-learn": lambda: _usual(pixels, truth, marks),
        "VIGRA": vigra,
    }
    seconds: dict[str, list[list[float]]] = {name: [] for name in ways}
    for repeat in range(REPEATS + 1):
        for name, way in ways.items():
            found = way()
            if repeat:  # the first is to warm up
                seconds[name].append(found)
    print(f"Seconds of CPU on 2048² pixels, {8 * len(SIGMAS)} features, {TREES} trees; medians of {REPEATS}\n")
    print("| | " + " | ".join(PARTS) + " | right |")
    print("|---|" + "---|" * (len(PARTS) + 1))
    for name, rows in seconds.items():
        parts = [statistics.median(row[i] for row in rows) for i in range(3)]
        whole = statistics.median(sum(row[:3]) for row in rows)
        print(f"| {name} | " + " | ".join(f"{s:.3f}" for s in (*parts, whole)) + f" | {rows[0][3]:.2%} |")


def _ours(kind: str, pixels: np.ndarray, truth: np.ndarray, marks: np.ndarray) -> list[float]:
    """Return the seconds of features, training and the whole image; its features are those beyond the first."""
    image, grid = Image.from_array(pixels), Grid("YX", pixels.shape)
    bank = FeatureBank(tuple(Feature(name, sigma) for sigma in SIGMAS for name in FEATURES))
    begun = time.process_time()
    for _ in bank.strips(pixels.astype(np.float32), grid):
        pass
    features = time.process_time() - begun
    begun = time.process_time()
    learner = classifier(kind, **({"n_trees": TREES} if kind == "random_forest" else {}))
    model = train_pixels([Strokes(image, marks)], (bank,), learner)
    training = time.process_time() - begun
    begun = time.process_time()
    found = model.probabilities(image)[1] > 0.5
    both = time.process_time() - begun
    return [features, training, max(both - features, 0.0), float((found == truth).mean())]


def _usual(pixels: np.ndarray, truth: np.ndarray, marks: np.ndarray) -> list[float]:
    begun = time.process_time()
    rows = multiscale_basic_features(pixels, sigma_min=0.7, sigma_max=10, num_sigma=6)
    features = time.process_time() - begun
    begun = time.process_time()
    forest = RandomForestClassifier(TREES, random_state=0, n_jobs=1).fit(rows[marks > 0], marks[marks > 0])
    training = time.process_time() - begun
    begun = time.process_time()
    found = forest.predict_proba(rows.reshape(-1, rows.shape[-1]))[:, 1] > 0.5
    return [features, training, time.process_time() - begun, float((found == truth.ravel()).mean())]


if __name__ == "__main__":
    main()
