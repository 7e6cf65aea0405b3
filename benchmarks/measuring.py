"""Measuring and matching objects: each against the usual libraries, for the same columns."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import SimpleITK
from cases import balls, nuclei
from harness import Case
from scipy import ndimage
from scipy.sparse import coo_array
from skimage.measure import regionprops_table

from segmentry.analysis.measure import Measure
from segmentry.image import Grid, Image
from segmentry.kernels.components import label_components
from segmentry.metrics.matching import match_objects
from segmentry.metrics.surfaces import hausdorff_95, surface_dice, surfaces
from segmentry.result import Instances

#: The columns of scikit-image, and the properties that give the same.
FLAT = (
    "label", "area", "centroid", "bbox", "equivalent_diameter_area", "extent", "axis_major_length", "axis_minor_length",
    "eccentricity", "orientation", "perimeter_crofton", "area_convex", "solidity", "feret_diameter_max", "euler_number",
    "intensity_mean", "intensity_std", "intensity_min", "intensity_max", "intensity_median",
)  # fmt: skip
SOLID = (
    "label", "area", "centroid", "bbox", "equivalent_diameter_area", "extent", "axis_major_length", "axis_minor_length",
    "solidity", "feret_diameter_max", "euler_number", "intensity_mean", "intensity_std", "intensity_min",
    "intensity_max", "intensity_median",
)  # fmt: skip
SAME = (
    "area", "volume", "equivalent_diameter", "extent", "centroid", "box", "major_axis", "minor_axis", "eccentricity",
    "orientation", "perimeter", "hull", "euler_number", "mean", "sd", "min", "max", "median",
)  # fmt: skip
STATISTICS = ("mean", "sd", "min", "max")


def measuring_cases() -> Iterator[Case]:
    """Yield tables of objects, statistics of intensity, overlaps and surface distances."""
    for side in (1024, 4096):
        image, labels = nuclei(side)
        yield table_case(f"{side}²", labels, four_channels(image), FLAT)
    yield from statistics_cases(image, labels)
    yield from matching_cases(labels)
    volume = label_components(balls((128, 512, 512), step=22, reach=(0.3, 0.45)))[0]
    rng = np.random.default_rng(0)
    bright = (rng.normal(1000, 200, volume.shape) + 500 * (volume > 0)).clip(0, 65_535).astype(np.uint16)
    yield table_case("128 x 512 x 512", volume.astype(np.uint32), Image.from_array(bright), SOLID)
    yield shape_case(volume.astype(np.uint32))
    yield surface_case()


def four_channels(image: np.ndarray) -> Image:
    """Return an image whose channels are variations of one."""
    data = np.stack([image, image // 2, image[::-1], image[..., ::-1]])
    return Image(data, Grid("C" + "ZYX"[-image.ndim :], data.shape), ("a", "b", "c", "d"))


def table_case(name: str, labels: np.ndarray, image: Image, columns: tuple[str, ...]) -> Case:
    """Return the whole table against that of scikit-image, for the columns that both have."""
    objects = Instances.from_labels(labels, image.grid.without("C"))
    pixels = np.moveaxis(image.read(), 0, -1) if image.channels else image.read()
    step = Measure(properties=SAME)
    channels = len(image.channels) or 1
    named = f"{channels} channel{'s' * (channels > 1)}"
    return Case(
        f"table of {len(objects):,} objects, {name}, {named}, {len(columns)} kinds of columns",
        "scikit-image `regionprops_table`",
        lambda: step.analyse(objects, image),
        lambda: regionprops_table(labels.astype(np.int32), pixels, columns),
        lambda a, b: _agreement(a, b),
    )


def _agreement(ours: object, theirs: dict[str, np.ndarray]) -> str:
    """Return the largest relative difference over the columns that are compared."""
    names = {
        "axis_major_length": "major_axis_px", "axis_minor_length": "minor_axis_px", "solidity": "solidity",
        "feret_diameter_max": "feret_max_px", "euler_number": "euler_number", "perimeter_crofton": "perimeter_px",
        "intensity_mean-0": "mean_a", "intensity_std-3": "sd_d", "intensity_median-1": "median_b",
        "intensity_mean": "mean", "intensity_std": "sd", "intensity_median": "median",
    }  # fmt: skip
    gaps = {
        theirs_name: np.abs(ours[name].to_numpy() - theirs[theirs_name]) / np.maximum(np.abs(theirs[theirs_name]), 1)
        for theirs_name, name in names.items()
        if theirs_name in theirs
    }
    worst = max(gaps, key=lambda name: gaps[name].max())
    return f"largest relative difference {gaps[worst].max():.0e} ({worst})"


def statistics_cases(image: np.ndarray, labels: np.ndarray) -> Iterator[Case]:
    """Yield mean, standard deviation, minimum and maximum of one channel against two libraries."""
    objects = Instances.from_labels(labels)
    given = Image.from_array(image)
    step = Measure(properties=STATISTICS)
    index = objects.ids.astype(np.int64)
    filled, seen = SimpleITK.GetImageFromArray(labels), SimpleITK.GetImageFromArray(image)

    def usual() -> np.ndarray:
        work = (ndimage.mean, ndimage.standard_deviation, ndimage.minimum, ndimage.maximum)
        return np.stack([one(image, labels, index) for one in work], axis=1)

    def itk() -> np.ndarray:
        work = SimpleITK.LabelStatisticsImageFilter()
        work.UseHistogramsOff()
        work.Execute(seen, filled)
        return np.array([[work.GetMean(int(i)), work.GetMinimum(int(i)), work.GetMaximum(int(i))] for i in index])

    name = f"mean, sd, min, max of {len(objects):,} objects, {image.shape[0]}²"

    def ours() -> np.ndarray:
        return step.analyse(objects, given)[list(STATISTICS)].to_numpy()

    def close(a: np.ndarray, b: np.ndarray) -> str:
        return f"largest difference {np.abs(a - b).max():.0e}"

    yield Case(name, "`scipy.ndimage`", ours, usual, close)
    yield Case(name, "SimpleITK `LabelStatistics`", ours, itk, lambda a, b: close(a[:, [0, 2, 3]], b))


def matching_cases(labels: np.ndarray) -> Iterator[Case]:
    """Yield the matching of as many objects, moved by two pixels, at ten thresholds."""
    truth = Instances.from_labels(labels)
    moved = Instances.from_labels(np.roll(labels, 2, axis=1))
    thresholds = [round(0.5 + 0.05 * i, 2) for i in range(10)]

    def ours() -> list[int]:
        found = match_objects(moved, truth)
        return [len(found.matched(t)) for t in thresholds]

    yield Case(
        f"matching {len(moved):,} and {len(truth):,} objects at ten IoU, {labels.shape[0]}²",
        "scipy sparse contingency table",
        ours,
        lambda: sparse_matches(np.asarray(moved.labels), labels),
        lambda a, b: "same counts" if a == b else f"{a} and {b}",
    )


def sparse_matches(one: np.ndarray, other: np.ndarray) -> list[int]:
    """Return the number of matches at ten thresholds from a sparse table of all pixels."""
    shape = int(one.max()) + 1, int(other.max()) + 1
    table = coo_array((np.ones(one.size, np.int64), (one.ravel(), other.ravel())), shape=shape).tocsr()
    rows, columns = np.asarray(table.sum(axis=1)).ravel(), np.asarray(table.sum(axis=0)).ravel()
    inner = table[1:, 1:].tocoo()
    row, column = inner.coords
    iou = inner.data / (rows[1:][row] + columns[1:][column] - inner.data)
    return [int((iou >= 0.5 + 0.05 * i - 1e-12).sum()) for i in range(10)]


def shape_case(labels: np.ndarray) -> Case:
    """Return volumes, centroids and axes against SimpleITK."""
    objects = Instances.from_labels(labels)
    step = Measure(properties=("size", "centroid", "major_axis", "minor_axis", "surface", "feret_max"))
    filled = SimpleITK.GetImageFromArray(labels)

    def itk() -> np.ndarray:
        work = SimpleITK.LabelShapeStatisticsImageFilter()
        work.ComputeFeretDiameterOn()
        work.ComputePerimeterOn()
        work.Execute(filled)
        return np.array([[work.GetPhysicalSize(int(i)), work.GetFeretDiameter(int(i))] for i in objects.ids])

    return Case(
        f"volume, centroid, axes, surface and Feret diameter of {len(objects):,} objects, 128 x 512 x 512",
        "SimpleITK `LabelShapeStatistics`",
        lambda: step.analyse(objects)["volume_px"].to_numpy(),
        itk,
        lambda a, b: f"largest difference of volumes {np.abs(a - b[:, 0]).max():.0e}",
    )


def surface_case() -> Case:
    """Return the 95th percentile of surface distances, and the surface Dice, against distance transforms."""
    mask = balls((64, 256, 256), step=40)
    other = np.roll(mask, 2, axis=2)

    def usual() -> tuple[float, float]:
        rims = [m & ~ndimage.binary_erosion(m) for m in (mask, other)]
        far = [ndimage.distance_transform_edt(~rim) for rim in rims]
        ours, theirs = far[1][rims[0]], far[0][rims[1]]
        both = np.concatenate([ours, theirs])
        return max(np.percentile(ours, 95), np.percentile(theirs, 95)), float((both <= 2).mean())

    def ours() -> tuple[float, float]:
        found = surfaces(mask, other, (1, 1, 1), tolerance=2)
        return hausdorff_95(found), surface_dice(found)

    return Case(
        "HD95 and surface Dice, 64 x 256 x 256",
        "scipy `distance_transform_edt` from rims of pixels",
        ours,
        usual,
        lambda a, b: f"{a[0]:.2f}, {a[1]:.2f} and {b[0]:.2f}, {b[1]:.2f}",
    )
