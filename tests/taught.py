"""Tiny models of pixels and strokes to learn them from, for tests of everything that uses them."""

from __future__ import annotations

import atexit
import functools
import shutil
import tempfile
from pathlib import Path

import numpy as np

from segmentry.features import Feature, FeatureBank
from segmentry.image import RGB
from segmentry.learn.architecture import Architecture
from segmentry.learn.classifier import classifier
from segmentry.learn.network_file import Network, save_network
from segmentry.learn.representation import representation
from segmentry.learn.scaling import Scaling
from segmentry.strokes import Strokes, train_pixels
from segmentry.testing import sample_image
from segmentry.trained_models import save_pixel_model

#: Looks at planes, so that its models serve in two and in three dimensions.
BANK = FeatureBank((Feature("gaussian_smoothing", 1.0), Feature("structure_tensor_eigenvalues", 0.7)), planes=True)
NAMES = ("background", "cell")
LEVEL = 60


def strokes(axes="YX", *, every=7, **how):
    """Return the strokes that somebody would paint on a sample image: short lines within cells and beside them."""
    image = sample_image(axes, **how)
    bright = image.read() > LEVEL
    if "C" in axes:
        bright = bright.all(axis=axes.index("C"))
    painted = np.where(bright, 2, 1).astype(np.uint32)
    painted[..., np.arange(painted.shape[-1]) % every > 2] = 0
    painted[..., np.arange(painted.shape[-2]) % 3 > 0, :] = 0
    return Strokes.of(image, painted)


def taught(axes="YX", banks=(BANK,), kind="fast_trees", stages=1, **how):
    """Return a small model that tells the cells of sample images."""
    learner = classifier(kind, **({"n_trees": 8, "depth": 3} if kind == "fast_trees" else {"n_trees": 10}))
    return train_pixels(strokes(axes, **how), banks, learner, names=NAMES, stages=stages)


@functools.cache
def model_file(name="one.safetensors", axes="YX", channels=()):
    """Return a file with a small model, which is there as long as the tests run."""
    path = _folder() / name
    save_pixel_model(path, taught(axes, channels=channels))
    return str(path)


def colour_model_file():
    """Return a file with a model that sees red, green and blue."""
    return model_file("rgb.safetensors", "CYX", RGB)


@functools.cache
def network_file(dimensions=2, kind="classes"):
    """Return a file with a network whose weights were chosen by hand: it tells what is bright, or how bright."""
    from segmentry.learn.networks.build import build
    from segmentry.learn.networks.export import graph_of

    names = ("background", "cell")
    told = representation(kind, **({"max_error": 4} if kind == "flows" else {}))
    outputs = sum(head.channels for head in told.heads(names, dimensions))
    plan = Architecture(
        channels=1, outputs=outputs, widths=(2,), strides=(), kernels=((3,) * dimensions,), convolutions=1
    )
    network = build(plan).eval()
    weights = {name: np.zeros(value.shape, value.numpy().dtype) for name, value in network.state_dict().items()}
    weights["down.0.layers.0.0.weight"][(0, 0, *(1,) * dimensions)] = 1
    weights["down.0.layers.0.1.weight"][:] = weights["down.0.layers.0.1.running_var"][:] = 1
    slopes, starts = _told(kind, outputs)
    weights["heads.0.weight"].reshape(outputs, 2)[:, 0], weights["heads.0.bias"][:] = slopes, starts
    network.load_state_dict({name: torch_of(value) for name, value in weights.items()})
    made = Network(
        plan, told, names, ("",), Scaling(), None, None, (32,) * dimensions, {"licence": "CC0-1.0"}, weights,
        graph_of(network, plan), diameter=6.0, calibration=((0.1, 0.2), (0.9, 0.95)),
    )  # fmt: skip
    return str(save_network(_folder() / f"{kind}-{dimensions}.safetensors", made, overwrite=True))


def _told(kind, outputs):
    """Return by how much each number rises with the brightness, and where it starts."""
    if kind == "stars":  # what is bright is deep in an object, whose edge is some pixels away
        return (30, *(2,) * (outputs - 1)), (-15, *np.linspace(1, 3, outputs - 1))
    if kind == "flows":  # what is bright flows to the far end of its object
        return (*(0,) * (outputs - 1), 30), (*(0.7,) * (outputs - 1), -15)
    # What is bright is the first class after the background, what is less so the next.
    return (0, 30, *(10,) * (outputs - 2)), (0, -15, *(-3,) * (outputs - 2))


def torch_of(array):
    """Return an array as torch has it."""
    import torch

    return torch.from_numpy(array)


@functools.cache
def _folder():
    path = Path(tempfile.mkdtemp(prefix="segmentry-taught-"))
    atexit.register(shutil.rmtree, path, ignore_errors=True)
    return path
