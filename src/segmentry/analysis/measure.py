"""A row of numbers per object: position, size, shape and intensity, in physical units where the pixel size is known.

Positions are those of pixel centres, the first pixel of the image being at 0. Axis lengths are those of the ellipse or
ellipsoid with the object's second moments.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from segmentry.analysis.crofton import boundary_sizes
from segmentry.errors import InputError
from segmentry.image import Image, Region
from segmentry.labelling import Survey, lookup, survey
from segmentry.result import Instances, Result
from segmentry.step import Analysis
from segmentry.tiling import slabs
from segmentry.workspace import Frame

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Measure", "measure"]


class Measure(Analysis):
    """Measures each object: position, size, shape, and intensity in every channel."""

    name: ClassVar[str] = "measure"
    planes: bool = Field(False, description="Measure areas in each plane of a volume instead of volumes.")

    def analyse(self, result: Result, image: Image | None = None) -> pd.DataFrame:
        """Return a table with one row per object and time point.

        Columns end in their unit (``_um``, ``_um2``, ``_um3``; ``_px`` where the pixel size is not known). ``sd`` is
        the population standard deviation; intensities that are not finite don't count. Perimeter and surface are those
        of the smooth outline that the pixels stand for, by Crofton's formula; where the image ends, objects end too.

        Raises
        ------
        InputError
            When labels and image differ in shape.
        """
        import pandas as pd

        instances = result.instances()
        grid = instances.grid
        if image is not None and image.grid.without("C").shape != grid.shape:
            raise InputError(
                f"labels of shape {grid.shape} ({grid.axes}) don't fit an image of shape {image.grid.shape} "
                f"({image.grid.axes})"
            )
        loose = "".join(a for a in ("TZ" if self.planes else "T") if a in grid.axes)
        tables = []
        for index in np.ndindex(*(grid.length(a) for a in loose)):
            labels = Frame(instances.labels, index)
            frame = instances.with_labels(labels, survey(labels).ids, grid.without(*loose))
            seen = image
            for axis, i in zip(loose, index, strict=True):
                seen = seen and seen.at(axis, i)
            columns = _measured(frame, seen)
            where: dict[str, Any] = {{"T": "time", "Z": "plane"}[a]: i for a, i in zip(loose, index, strict=True)}
            if grid.interval is not None and "T" in loose:
                where["time_s"] = index[0] * grid.interval
            tables.append(pd.DataFrame({"id": columns.pop("id"), **where, **columns}))
        filled = [t for t in tables if len(t)] or tables[:1]
        return pd.concat(filled, ignore_index=True)


def measure(result: Result, image: Image | None = None, *, planes: bool = False) -> pd.DataFrame:
    """Return the table of :class:`Measure` for objects and, where given, the intensities of an image.

    Raises
    ------
    InputError
        When labels and image differ in shape.
    """
    return Measure(planes=planes).analyse(result, image)


def _measured(instances: Instances, image: Image | None) -> dict[str, Any]:
    held = survey(instances.labels)
    columns: dict[str, Any] = {"id": instances.ids}
    kinds = instances.classes
    names = np.array(instances.names, dtype=object)
    columns["class"] = names[kinds] if kinds is not None else np.full(len(instances), names[-1])
    columns["score"] = instances.scores if instances.scores is not None else np.full(len(instances), np.nan)
    columns |= _shape(instances, held)
    if image is not None:
        columns |= _intensity(instances, held, image)
    return columns


def _shape(instances: Instances, held: Survey) -> dict[str, Any]:
    from segmentry.kernels.moments import add_positions

    grid = instances.grid
    ndim = len(grid.spatial)
    corner = np.zeros((len(held.ids) + 1, 3), np.int64)
    corner[1:, 3 - ndim :] = held.lower
    sums = np.zeros((len(held.ids) + 1, 10), np.int64)
    for region, index in _indexed(instances, held):
        start = np.array([0] * (3 - ndim) + [s.start for s in region], np.int64)
        add_positions(index, start, corner, sums)
    spacing = grid.spacing or (1.0,) * ndim
    unit = grid.unit or "px"
    count = sums[1:, 0].astype(np.float64)
    mean = sums[1:, 1:4] / count[:, None]
    columns: dict[str, Any] = {}
    size = "area" if ndim == 2 else "volume"
    columns[f"{size}_{unit}{'' if unit == 'px' else ndim}"] = count * math.prod(spacing)
    edge = f"perimeter_{unit}" if ndim == 2 else f"surface_{unit}{'' if unit == 'px' else 2}"
    columns[edge] = boundary_sizes(instances, held)
    for axis, step, k in zip(grid.spatial, spacing, range(3 - ndim, 3), strict=True):
        columns[f"centroid_{axis.lower()}_{unit}"] = (mean[:, k] + corner[1:, k]) * step
    for axis, low, high in zip(grid.spatial, held.lower.T, held.upper.T, strict=True):
        columns[f"box_{axis.lower()}_start_px"], columns[f"box_{axis.lower()}_stop_px"] = low, high
    ball = 4 / math.pi if ndim == 2 else 6 / math.pi
    columns[f"equivalent_diameter_{unit}"] = (ball * count * math.prod(spacing)) ** (1 / ndim)
    lengths = _axis_lengths(sums[1:], mean, count, spacing)
    for name, length in zip(("major", "middle", "minor") if ndim == 3 else ("major", "minor"), lengths.T, strict=True):
        columns[f"{name}_axis_{unit}"] = length
    columns["elongation"] = np.where(lengths[:, -1] > 0, lengths[:, 0] / np.maximum(lengths[:, -1], 1e-300), np.nan)
    box = np.prod(held.upper - held.lower, axis=1)
    columns["extent"] = count / np.maximum(box, 1)
    return columns


def _axis_lengths(
    sums: NDArray[np.int64], mean: NDArray[np.float64], count: NDArray[np.float64], spacing: tuple[float, ...]
) -> NDArray[np.float64]:
    """Return the full lengths of the principal axes, longest first."""
    ndim = len(spacing)
    product = np.zeros((len(sums), 3, 3))
    for k, (i, j) in enumerate([(0, 0), (1, 1), (2, 2), (0, 1), (0, 2), (1, 2)]):
        product[:, i, j] = product[:, j, i] = sums[:, 4 + k] / count - mean[:, i] * mean[:, j]
    scale = np.array(spacing)
    covariance = product[:, 3 - ndim :, 3 - ndim :] * scale[:, None] * scale[None, :]
    values = np.linalg.eigvalsh(covariance)[:, ::-1] if len(sums) else np.zeros((0, ndim))
    return np.asarray(np.sqrt(np.maximum(values, 0) * (16 if ndim == 2 else 20)))


def _intensity(instances: Instances, held: Survey, image: Image) -> dict[str, Any]:
    from segmentry.kernels.moments import add_intensities

    columns: dict[str, Any] = {}
    for c, name in enumerate(image.channels or ("",)):
        channel = image.channel(c) if name else image
        sums = np.zeros((len(held.ids) + 1, 6))
        sums[:, 3], sums[:, 4] = np.inf, -np.inf
        for region, index in _indexed(instances, held):
            add_intensities(index, channel.read(region).astype(np.float64).reshape(index.shape), sums)
        count, mean, squares, low, high, total = sums[1:].T
        some = count > 0
        end = f"_{name}" if name else ""
        columns[f"mean{end}"] = np.where(some, mean, np.nan)
        columns[f"sd{end}"] = np.where(some, np.sqrt(squares / np.maximum(count, 1)), np.nan)
        columns[f"min{end}"] = np.where(some, low, np.nan)
        columns[f"max{end}"] = np.where(some, high, np.nan)
        columns[f"sum{end}"] = total
    return columns


def _indexed(instances: Instances, held: Survey) -> Iterator[tuple[Region, NDArray[np.uint32]]]:
    """Yield slabs of the labels with each id replaced by its number, 1 … n, as three-dimensional arrays."""
    numbers = np.arange(1, len(held.ids) + 1, dtype=np.uint32)
    for region in slabs(instances.grid.shape):
        index = lookup(np.asarray(instances.labels[region]), held.ids, numbers)
        yield region, index.reshape((1,) * (3 - index.ndim) + index.shape)
