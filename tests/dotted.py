"""A tiny model that counts, in a file, for tests of everything that uses it."""

from __future__ import annotations

import atexit
import functools
import shutil
import tempfile
from pathlib import Path

import numpy as np
from scipy.ndimage import center_of_mass, label

from segmentry.density_counting import train_density
from segmentry.dots import Dots
from segmentry.features import Feature, FeatureBank
from segmentry.image import RGB
from segmentry.learn.random_forest import RandomForest
from segmentry.testing import sample_image
from segmentry.trained_models import save_density_model

#: Looks at planes, so that its models serve in two and in three dimensions.
BANK = FeatureBank((Feature("gaussian_smoothing", 1.0), Feature("structure_tensor_eigenvalues", 0.7)), planes=True)


@functools.cache
def density_file():
    """Return a file with a small model of red, green and blue, which is there as long as the tests run."""
    image = sample_image("CYX", channels=RGB)
    parts, n = label(image.read().mean(axis=0) > 40)
    dots = Dots.at(image, center_of_mass(parts > 0, parts, np.arange(1, n + 1)))
    folder = Path(tempfile.mkdtemp(prefix="segmentry-dotted-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return str(save_density_model(folder / "rgb.safetensors", train_density([dots], [BANK], RandomForest(n_trees=5))))
