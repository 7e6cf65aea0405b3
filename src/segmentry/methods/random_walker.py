"""Random walker: each pixel goes to the class whose seeds a random walker from there meets first.

Steps between pixels of like intensity are easy, steps over edges are hard; so walkers stay within objects even where an
edge has gaps. The probabilities solve Laplace's equation on the image (Grady 2006), here by multigrid to within 0.0001.
Seeds are given, or found where the smoothed image is surely darker or brighter than Otsu's threshold. It works on noisy
objects with weak or broken edges; it fails where a region has no seed of its own.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from segmentry.errors import ParameterError
from segmentry.image import Grid, Image
from segmentry.length import Length
from segmentry.result import Semantic
from segmentry.two_phases import TwoPhases, blurred, placed
from segmentry.workspace import ensure_memory

__all__ = ["RandomWalker"]

UNKNOWN = -1
#: How many times the memory of other methods a pixel that is not seed takes.
UNKNOWNS = 5
#: What the hardest step weighs, so that each pixel is reached from each other.
LEAST = 1e-10


class RandomWalker(TwoPhases):
    """Grows classes from seeds up to edges, also weak and broken ones, and says how sure each pixel is."""

    name: ClassVar[str] = "random_walker"
    source: ClassVar[str] = "Grady 2006, doi:10.1109/TPAMI.2006.233"

    seeds: tuple[tuple[int, ...], ...] | None = Field(
        None,
        description="Class and position of each seed: (class, row, column) or (class, plane, row, column); class 0 is "
        "background. None: found.",
    )
    beta: float = Field(
        130.0, ge=0, le=1e6, description="How hard steps over edges are; more keeps walkers within finer differences."
    )
    certainty: float = Field(
        0.5,
        ge=0,
        le=1,
        description="How far from Otsu's threshold (0) towards the mean of its class (1) a found seed is.",
    )
    sigma: Length = Field(Length(1.0), description="Smoothing of the image in which seeds are found.")

    def segment(self, image: Image) -> Semantic:
        from segmentry.kernels.laplace import solve_laplace

        ready = self.prepared(image)
        scaled = ready.scaled(image.read())
        held = ready._found(scaled, image.grid) if self.seeds is None else ready._given(image.grid)
        n_classes = max(2, int(held.max()) + 1)
        if len(np.unique(held[held >= 0])) == n_classes:
            need = held.size + UNKNOWNS * int(np.count_nonzero(held == UNKNOWN))
            ensure_memory(need, "random_walker solves for all pixels at once", "give more seeds, or resample the image")
            probabilities = solve_laplace(ready.weights(scaled, image.grid), held, n_classes)
        else:
            probabilities = np.zeros((n_classes, *held.shape), np.float32)
            probabilities[max(0, int(held.max()))] = 1
        others = ("foreground",) if n_classes == 2 else tuple(f"class {k}" for k in range(1, n_classes))
        classes = probabilities.argmax(axis=0).astype(np.uint8)
        return Semantic(classes, image.grid, ("background", *others), probabilities)

    def _found(self, scaled: NDArray[np.float32], grid: Grid) -> NDArray[np.int32]:
        """Return the class of each pixel that is surely of one, -1 elsewhere."""
        held = np.zeros(grid.shape, np.int32)
        if self.contrast:
            even = blurred(scaled, self.sigma, grid)
            held[even > self.level * (1 - self.certainty)] = UNKNOWN
            held[even > self.level + self.certainty * (1 - self.level)] = 1
        return held

    def _given(self, grid: Grid) -> NDArray[np.int32]:
        seeds = self.seeds or ()
        classes = [at[0] if at else -1 for at in seeds]
        n_classes = max([1, *classes]) + 1
        for k in range(n_classes):
            if k not in classes:
                raise ParameterError(f"random_walker.seeds: class {k} has none; each class from 0 on needs one")
        if min(classes) < 0 or n_classes > 255:
            raise ParameterError("random_walker.seeds: classes count from 0 to at most 254")
        held = np.full(grid.shape, UNKNOWN, np.int32)
        held[placed(self.name, tuple(at[1:] for at in seeds), grid)] = classes
        return held

    def weights(self, scaled: NDArray[np.float32], grid: Grid) -> NDArray[np.float32]:
        """Return how easy the step from each pixel to the next along each axis is."""
        weights = np.ones((scaled.ndim, *scaled.shape), np.float32)
        steepness = np.float32(self.beta / (10 * self.spread)) if self.spread else np.float32(0)
        for axis, step in enumerate(grid.anisotropy):
            along = np.moveaxis(weights[axis], axis, 0)[:-1]
            slope = np.moveaxis(np.diff(scaled, axis=axis), axis, 0) / np.float32(step)
            along[...] = np.exp(-steepness * slope**2) + np.float32(LEAST)
        return weights
