"""What is compared: each hot loop there is with the usual library, on synthetic nuclei."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np
from harness import Case
from scipy import ndimage
from skimage import filters, measure, morphology, segmentation

from segmentry.analysis.measure import Measure
from segmentry.cleaning.drop_small import DropSmall
from segmentry.cleaning.fill_holes import FillHoles
from segmentry.image import Grid, Image
from segmentry.kernels.components import label_components
from segmentry.kernels.contours import trace_outlines
from segmentry.kernels.distance import distance_to_background
from segmentry.kernels.watershed import deep_maxima, flood
from segmentry.methods.watershed import Watershed
from segmentry.metrics import evaluate_images
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


def loop_cases() -> Iterator[Case]:
    """Yield the comparisons of loops on plain arrays."""
    image, _ = nuclei(2048)
    mask = image > filters.threshold_otsu(image)
    yield Case(
        "distance transform, 2048², exact",
        "scipy `distance_transform_edt`",
        lambda: distance_to_background(mask, (1, 1)),
        lambda: ndimage.distance_transform_edt(mask),
        lambda a, b: f"largest difference {np.abs(a - b).max():.0e}",
    )
    yield Case(
        "connected components, 2048², 8 neighbours",
        "scipy `ndimage.label`",
        lambda: label_components(mask)[0],
        lambda: ndimage.label(mask, np.ones((3, 3)))[0],
        lambda a, b: f"{(a == b).mean():.2%} of pixels",
    )
    levels = np.rint(distance_to_background(mask, (1, 1)) * 16).astype(np.uint16)
    seeds = deep_maxima(levels, mask, 16)
    heights = np.uint16(65_535) - levels
    yield Case(
        "seeded watershed, 2048², masked",
        "scikit-image `watershed`",
        lambda: flood(heights, seeds, mask),
        lambda: segmentation.watershed(heights, seeds.astype(np.int32), mask=mask),
        lambda a, b: f"{(a == b)[mask].mean():.2%} of the foreground",
    )
    yield Case(
        "maxima of depth 1 px, 2048²",
        "scikit-image `h_maxima`",
        lambda: deep_maxima(levels, mask, 16),
        lambda: measure.label(morphology.h_maxima(levels.astype(np.int32), 16)),
        lambda a, b: f"{a.max()} and {b.max()} maxima",
    )


def whole_cases() -> Iterator[Case]:
    """Yield the comparisons of what starts from objects, or ends in them."""
    image, labels = nuclei(2048)
    found = Instances.from_labels(labels, Grid("YX", labels.shape))
    intensity = Image.from_array(image)
    wanted = (
        "label", "area", "centroid", "bbox", "extent", "equivalent_diameter_area", "axis_major_length",
        "axis_minor_length", "intensity_mean", "intensity_std", "intensity_min", "intensity_max",
    )  # fmt: skip
    yield Case(
        f"measuring {len(found):,} objects, 2048²",
        "scikit-image `regionprops_table`",
        lambda: Measure().analyse(found, intensity)["major_axis_px"].to_numpy(),
        lambda: measure.regionprops_table(labels.astype(np.int32), image, wanted)["axis_major_length"],
        lambda a, b: f"largest difference {np.abs(a - b).max():.0e}",
    )
    moved = Instances.from_labels(np.roll(labels, 2, axis=1), found.grid)
    yield Case(
        f"AP at ten thresholds, {len(found):,} objects",
        "scipy sparse contingency table",
        lambda: list(evaluate_images(moved, found)["tp"].values()),
        lambda: _sparse_matches(np.asarray(moved.labels), labels),
        lambda a, b: "same counts" if a == b else f"{a} and {b}",
    )
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


def _sparse_matches(one: np.ndarray, other: np.ndarray) -> list[int]:
    from scipy.sparse import coo_array

    shape = int(one.max()) + 1, int(other.max()) + 1
    table = coo_array((np.ones(one.size, np.int64), (one.ravel(), other.ravel())), shape=shape).tocsr()
    rows, columns = np.asarray(table.sum(axis=1)).ravel(), np.asarray(table.sum(axis=0)).ravel()
    inner = table[1:, 1:].tocoo()
    row, column = inner.coords
    iou = inner.data / (rows[1:][row] + columns[1:][column] - inner.data)
    return [int((iou >= 0.5 + 0.05 * i - 1e-12).sum()) for i in range(10)]


def _usual_job(image: np.ndarray) -> int:
    smooth = filters.gaussian(image, 1, preserve_range=True)
    mask = ndimage.binary_fill_holes(smooth > filters.threshold_otsu(image))
    distance = ndimage.distance_transform_edt(mask)
    peaks = measure.label(morphology.h_maxima(distance, 1))
    labels = segmentation.watershed(-distance, peaks, mask=mask)
    sizes = np.bincount(labels.ravel())
    labels[(sizes < 30)[labels]] = 0
    return int(len(np.unique(labels)) - 1)
