"""Record random forests with what VIGRA predicts by them: python make_vigra_forest.py vigra_forest.h5.gz

Needs VIGRA's Python module and h5py (1.11.1 and 3.7 were used). Each group has a forest as VIGRA writes it, random
samples, and the probabilities that VIGRA gives them.
"""

import gzip
import sys
import tempfile
from pathlib import Path

import h5py
import numpy as np
import vigra

FORESTS = {
    # name: (labels, features, trees, samples, options of VIGRA)
    "eight": ((1, 2), 8, 2, 60, {}),
    "six": ((1, 2), 6, 1, 60, {}),
    "three": ((1, 2, 3), 3, 2, 60, {}),
    "gaps": ((1, 3, 7), 4, 2, 60, {}),
    "unseen": ((1, 3), 7, 2, 60, {"labels": [1, 2, 3]}),
    "leaf": ((5,), 2, 1, 20, {}),
    "votes": ((1, 2, 3), 5, 3, 60, {}),
}


def samples(random, labels, n_features, count):
    """Return samples around the centre of their class, rounded so that some lie on thresholds."""
    classes = random.integers(0, len(labels), count)
    centres = random.normal(0, 1, (len(labels), n_features))
    features = np.round(centres[classes] + random.normal(0, 1.2, (count, n_features)), 1).astype(np.float32)
    return features, np.array(labels, np.uint32)[classes][:, np.newaxis]


def record(path, name, labels, n_features, n_trees, count, options):
    """Train a forest, write it by VIGRA, and add what it predicts."""
    random = np.random.default_rng([7, len(name), n_features])
    forest = vigra.learning.RandomForest(n_trees, **options)
    features, classes = samples(random, labels, n_features, count)
    forest.learnRF(features, classes, 1)
    forest.writeHDF5(path, f"{name}/forest")
    if name == "votes":
        with h5py.File(path, "a") as file:
            file[f"{name}/forest/_options/predict_weighted_"][...] = 1
        forest = vigra.learning.RandomForest(path, f"{name}/forest")
    asked = np.concatenate([features[:30], samples(random, labels, n_features, 30)[0]])
    asked[-1, 0] = np.nan
    with h5py.File(path, "a") as file:
        file[f"{name}/samples"], file[f"{name}/probabilities"] = asked, forest.predictProbabilities(asked)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        place = f"{folder}/forests.h5"
        for name, details in FORESTS.items():
            record(place, name, *details)
        Path(sys.argv[1]).write_bytes(gzip.compress(Path(place).read_bytes(), 9, mtime=0))
