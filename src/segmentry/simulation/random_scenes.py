"""Scenes drawn at random, as varied as images of many microscopes are."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from segmentry.errors import ParameterError
from segmentry.simulation.scene import Scene

__all__ = ["random_scene"]

#: What is drawn evenly between two values, and what evenly on a logarithmic scale.
EVEN = {
    "size_spread": (0.1, 0.4), "elongation": (1.05, 2.2), "bending": (0, 0.2), "roughness": (0.01, 0.08),
    "density": (0.02, 0.55), "clumping": (0, 0.8), "pressing": (0.02, 0.12), "mitosis": (0, 0.06),
    "brightness_spread": (0.1, 0.5), "dome": (0, 0.9), "rim": (-0.3, 0.6), "chromatin": (0.03, 0.35),
    "cytoplasm": (0, 0.15), "cell_size": (1.5, 3.5), "clouds": (0, 0.4), "haze": (0, 0.3), "illumination": (0, 0.4),
    "overlap": (0, 0.1), "out_of_focus": (0, 0.3), "defocus": (0.4, 1.5), "debris": (0, 0.3), "offset": (0, 0.08),
}  # fmt: skip
SPREAD = {
    "radius": (4, 30), "grain": (0.05, 0.4), "background": (0.01, 0.4), "blur": (0.5, 2.5), "photons": (30, 10_000),
    "exposure": (0.1, 0.9), "read_noise": (1, 10),
}  # fmt: skip
IN_WHITE_LIGHT = {
    "background": (0.0, 0.0), "cytoplasm": (0.05, 0.6), "absorbance": (0.3, 1.3), "halo": (0.05, 0.6),
    "eosin": (0.05, 0.8), "fibres": (0, 1), "stain_shift": (0, 0.12), "photons": (500, 20_000), "exposure": (0.7, 0.95),
    "offset": (0, 0.02), "haze": (0, 0.15), "chromatin": (0.1, 0.5), "brightness_spread": (0.2, 0.6),
}  # fmt: skip


def random_scene(seed: int, dimensions: int = 2, kind: str | None = None) -> Scene:
    """Return a scene whose parameters are drawn over wide ranges, for training sets.

    Parameters
    ----------
    seed
        The same seed gives the same scene.
    dimensions
        2, or 3 for volumes: nuclei are smaller there, and their planes blurred into each other.
    kind
        Kind of the scene; fluorescence when left out.

    Raises
    ------
    ParameterError
        When the kind does not exist, dimensions are not 2 or 3, or the seed is negative.

    Examples
    --------
    >>> random_scene(1) == random_scene(1), random_scene(1) == random_scene(2)
    (True, False)
    """
    if dimensions not in (2, 3):
        raise ParameterError(f"a scene has 2 or 3 dimensions, not {dimensions}")
    if seed < 0:
        raise ParameterError(f"seed {seed} must not be negative")
    rng = np.random.default_rng([seed, dimensions])
    drawn: dict[str, Any] = {"kind": kind or "fluorescence"}
    for name, (low, high) in EVEN.items():
        drawn[name] = rng.uniform(low, high)
    for name, (low, high) in SPREAD.items():
        drawn[name] = math.exp(rng.uniform(math.log(low), math.log(high)))
    drawn["spots"] = float(rng.choice([0, 0, 1, 3, 8]))
    drawn["nucleoli"] = float(rng.choice([0, 0, 1, 2, 4]))
    drawn["psf"] = str(rng.choice(["gaussian", "airy"]))
    drawn["bit_depth"] = int(rng.choice([8, 12, 16]))
    white = {name: rng.uniform(low, high) for name, (low, high) in IN_WHITE_LIGHT.items()}
    if kind in ("brightfield", "histology"):
        drawn |= white | {"bit_depth": 8}
    if kind == "membrane":
        drawn |= {"objects": "cells", "cell_size": drawn["cell_size"] + 1}
    if dimensions == 3:
        drawn |= {"radius": min(drawn["radius"], 14.0), "density": drawn["density"] * 0.6}
        drawn |= {"bleaching": rng.uniform(0, 0.6), "axial": rng.uniform(1.5, 4)}
    return Scene(**{name: round(v, 4) if isinstance(v, float) else v for name, v in drawn.items()})
