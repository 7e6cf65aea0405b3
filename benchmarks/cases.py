"""What is compared: each hot loop there is with the usual library, on synthetic nuclei."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np
from harness import Case
from scipy import ndimage
from skimage import feature, filters, measure, morphology, segmentation

from segmentry.cleaning.drop_small import DropSmall
from segmentry.cleaning.fill_holes import FillHoles
from segmentry.image import Grid, Image
from segmentry.kernels.components import label_components
from segmentry.kernels.contours import trace_outlines
from segmentry.kernels.distance import distance_to_background
from segmentry.kernels.maxima import local_maxima
from segmentry.kernels.watershed import deep_maxima, flood
from segmentry.methods.watershed import Watershed
from segmentry.result import Instances
from segmentry.run import run


def nuclei(side: int, step: int = 24, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return a uint16 image of round nuclei on a jittered lattice, and their labels."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[step // 2 : side : step, step // 2 : side : step]
    centres = np.stack([rows.ravel(), columns.ravel()], 1) + rng.integers(-4, 5, (rows.size, 2))
    labels = np.zeros((side, side), np.uint32)
    y, x = np.mgrid[-12:13, -12:13]
    for number, (cy, cx) in enumerate(centres, 1):
        inside = y**2 + x**2 * rng.uniform(0.8, 1.3) < rng.uniform(7, 11) ** 2
        py, px = y[inside] + cy, x[inside] + cx
        fits = (py >= 0) & (py < side) & (px >= 0) & (px < side)
        labels[py[fits], px[fits]] = number
    image = ndimage.gaussian_filter((labels > 0) * 8000.0 + rng.normal(1000, 400, labels.shape), 1)
    return image.clip(0, 65_535).astype(np.uint16), labels


def balls(shape: tuple[int, ...], step: int, seed: int = 0, reach: tuple[float, float] = (0.4, 0.6)) -> np.ndarray:
    """Return a mask of discs or balls on a jittered lattice, most of which touch; radii are shares of the step."""
    rng = np.random.default_rng(seed)
    lattice = np.stack(np.meshgrid(*[np.arange(step // 2, n, step) for n in shape], indexing="ij"), -1)
    mask = np.zeros(shape, np.bool_)
    for centre in lattice.reshape(-1, len(shape)) + rng.integers(-4, 5, (lattice.size // len(shape), len(shape))):
        box = tuple(slice(max(0, c - step), min(c + step, n)) for c, n in zip(centre, shape, strict=True))
        away = sum((axis - c) ** 2 for axis, c in zip(np.ogrid[box], centre, strict=True))
        mask[box] |= away < (step * rng.uniform(*reach)) ** 2
    return mask


def loop_cases() -> Iterator[Case]:
    """Yield the comparisons of loops on plain arrays."""
    image, _ = nuclei(2048)
    mask = image > filters.threshold_otsu(image)
    yield from distance_cases("2048²", mask, (1, 1))
    yield from component_cases("2048²", mask)
    levels, seeds = landscape(mask)
    yield from watershed_cases("2048²", levels, seeds, mask)
    yield Case(
        "maxima of depth 1 px, 2048²",
        "scikit-image `h_maxima`",
        lambda: deep_maxima(levels, mask, 16),
        lambda: measure.label(morphology.h_maxima(levels.astype(np.int32), 16)),
        lambda a, b: f"{a.max()} and {b.max()} maxima",
    )
    smooth = ndimage.gaussian_filter(image.astype(np.float32), 3)
    yield Case(
        "local maxima, radius 5 px, 2048²",
        "scikit-image `peak_local_max`",
        lambda: local_maxima(smooth, (5, 5), 3000),
        lambda: feature.peak_local_max(smooth, min_distance=5, threshold_abs=3000, exclude_border=False),
        lambda a, b: f"{len(a):,} and {len(b):,} maxima",
    )
    whole = balls((4096, 4096), step=24)
    yield from watershed_cases("4096²", *landscape(whole), whole)
    yield from volume_cases()


def volume_cases() -> Iterator[Case]:
    """Yield the comparisons of loops on volumes."""
    volume = balls((64, 256, 256), step=22)
    yield from distance_cases("64 x 256 x 256, spacing 2.5 x 1 x 1", volume, (2.5, 1, 1))
    yield from component_cases("64 x 256 x 256", volume)
    large = balls((128, 512, 512), step=22)
    yield from watershed_cases("128 x 512 x 512", *landscape(large), large)


def landscape(mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the distances to the background in sixteenths of a pixel, and the maxima that stand out by one pixel."""
    levels = np.rint(distance_to_background(mask, (1,) * mask.ndim) * 16).astype(np.uint16)
    return levels, deep_maxima(levels, mask, 16)


def distance_cases(name: str, mask: np.ndarray, spacing: tuple[float, ...]) -> Iterator[Case]:
    yield Case(
        f"distance transform, {name}, exact",
        "scipy `distance_transform_edt`",
        lambda: distance_to_background(mask, spacing),
        lambda: ndimage.distance_transform_edt(mask, spacing),
        lambda a, b: f"largest difference {np.abs(a - b).max():.0e}",
    )


def component_cases(name: str, mask: np.ndarray) -> Iterator[Case]:
    yield Case(
        f"connected components, {name}, {3**mask.ndim - 1} neighbours",
        "scipy `ndimage.label`",
        lambda: label_components(mask)[0],
        lambda: ndimage.label(mask, np.ones((3,) * mask.ndim))[0],
        lambda a, b: f"{(a == b).mean():.2%} of pixels",
    )


def watershed_cases(name: str, levels: np.ndarray, seeds: np.ndarray, mask: np.ndarray) -> Iterator[Case]:
    heights = np.uint16(65_535) - levels
    yield Case(
        f"seeded watershed, {name}, {seeds.max():,} seeds, masked",
        "scikit-image `watershed`",
        lambda: flood(heights, seeds, mask),
        lambda: segmentation.watershed(heights, seeds.astype(np.int32), mask=mask),
        lambda a, b: f"{(a == b)[mask].mean():.3%} of the foreground",
    )


def whole_cases() -> Iterator[Case]:
    """Yield the comparisons of what starts from objects, or ends in them."""
    image, labels = nuclei(2048)
    found = Instances.from_labels(labels, Grid("YX", labels.shape))
    intensity = Image.from_array(image)
    yield Case(
        f"outlines of {len(found):,} objects, 2048²",
        "scikit-image `find_contours` per object",
        partial(trace_outlines, labels),
        lambda: [measure.find_contours(np.pad(r.image, 1), 0.5) for r in measure.regionprops(labels.astype(np.int32))],
        lambda _a, _b: "edges of pixels, not centres",
    )
    yield Case(
        "nuclei: threshold, split, fill, drop small, 2048²",
        "the same with scipy and scikit-image",
        lambda: run(Watershed(), intensity, cleaners=[FillHoles(), DropSmall(min_size=30)]).instances.ids.size,
        partial(_usual_job, image),
        lambda a, b: f"{a:,} and {b:,} objects",
    )


def _usual_job(image: np.ndarray) -> int:
    smooth = filters.gaussian(image, 1, preserve_range=True)
    mask = ndimage.binary_fill_holes(smooth > filters.threshold_otsu(image))
    distance = ndimage.distance_transform_edt(mask)
    peaks = measure.label(morphology.h_maxima(distance, 1))
    labels = segmentation.watershed(-distance, peaks, mask=mask)
    sizes = np.bincount(labels.ravel())
    labels[(sizes < 30)[labels]] = 0
    return int(len(np.unique(labels)) - 1)
