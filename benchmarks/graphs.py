"""Random walker and level sets against scikit-image, with the same equations and the same start."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from cases import nuclei
from harness import Case
from skimage import segmentation

from segmentry.image import Image
from segmentry.kernels.curvature import MovingRegion
from segmentry.kernels.laplace import solve_laplace
from segmentry.kernels.level_set import evolve
from segmentry.methods.random_walker import RandomWalker
from segmentry.overview import Overview
from segmentry.two_phases import checkerboard

STEPS = 40


def graph_cases() -> Iterator[Case]:
    """Yield the comparisons on an image of nuclei, 512²."""
    image = Image.from_array(nuclei(512)[0])
    step = RandomWalker().prepare(Overview(image))
    scaled = step.scaled(image.read())
    values = scaled.astype(np.float64)
    yield from _walkers(step, scaled, image)
    board = checkerboard(scaled.shape)
    # The range of scikit-image is brought to 0 … 1, so the same is done for ours.
    share = ((values - values.min()) / np.ptp(values)).astype(np.float32)
    yield Case(
        f"Chan–Vese, 512², {STEPS} steps",
        "scikit-image `chan_vese`",
        lambda: evolve(share, board, (1, 1), (0.25, 1, 1), 0.5, 0, STEPS) > 0,
        lambda: segmentation.chan_vese(values, mu=0.25, tol=0, max_num_iter=STEPS),
        _dice,
    )
    yield Case(
        f"morphological Chan–Vese, 512², {STEPS} steps",
        "scikit-image `morphological_chan_vese`",
        lambda: _even_regions(scaled, board > 0),
        lambda: segmentation.morphological_chan_vese(values, STEPS, board > 0) > 0,
        _dice,
    )
    landscape = segmentation.inverse_gaussian_gradient(values, sigma=1.5)
    slope = np.stack(np.gradient(landscape)).astype(np.float32)
    start = values > 0.1
    yield Case(
        f"geodesic active contour, 512², {STEPS} steps",
        "scikit-image `morphological_geodesic_active_contour`",
        lambda: _held_by_edges(slope, landscape > 0.35, start),
        lambda: (
            segmentation.morphological_geodesic_active_contour(landscape, STEPS, start, threshold=0.35, balloon=-1) > 0
        ),
        _dice,
    )


def _walkers(step: RandomWalker, scaled: np.ndarray, image: Image) -> Iterator[Case]:
    found = np.where(scaled > 0.75, 1, np.where(scaled < 0.25, 0, -1)).astype(np.int32)
    few = np.full(scaled.shape, -1, np.int32)
    few[::64, ::64] = np.arange(64).reshape(8, 8) % 2
    for what, held in (("seeds on most pixels", found), ("64 seeds", few)):
        for mode in ("bf", "cg_j"):
            if mode == "cg_j" and held is few:
                continue
            yield Case(
                f"random walker, 512², {what}",
                f"scikit-image `random_walker`, {mode}",
                lambda held=held: solve_laplace(step.weights(scaled, image.grid), held, 2),
                lambda held=held, mode=mode: segmentation.random_walker(
                    scaled.astype(np.float64), held + 1, mode=mode, return_full_prob=True
                ),
                lambda a, b: f"largest difference {np.abs(a - b).max():.0e}",
            )


def _even_regions(image: np.ndarray, start: np.ndarray) -> np.ndarray:
    region = MovingRegion(start)

    def step() -> None:
        region.follow_means(image, 1, 1)
        region.smooth()

    return region.run(step, STEPS)


def _held_by_edges(slope: np.ndarray, free: np.ndarray, start: np.ndarray) -> np.ndarray:
    region = MovingRegion(start)

    def step() -> None:
        region.spread(free, grow=False)
        region.follow_slope(slope)
        region.smooth()

    return region.run(step, STEPS)


def _dice(one: np.ndarray, other: np.ndarray) -> str:
    return f"Dice {2 * (one & other).sum() / (one.sum() + other.sum()):.4f}"
