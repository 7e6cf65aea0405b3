"""What a classifier is told of objects: columns of their table as plain numbers, of the same meaning in every image.

They are what is measured of an object itself and of what is about it. Left out are positions and directions in the
image, from which the place would be learned instead of the kind, numbers of pixels, which mean something else where
pixels have another size, and ids.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from segmentry.analysis.measure import Measure
from segmentry.analysis.property import chosen
from segmentry.errors import InputError
from segmentry.image import Grid, Image, normalise_unit, unit_ratio
from segmentry.io.tables import TOLD
from segmentry.length import Length
from segmentry.result import Instances

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["DEFAULT", "LEFT_OUT", "ObjectFeatures", "looked_at"]

#: Families of properties that are looked at when nothing is said.
DEFAULT = ("size", "shape", "outline", "hull", "topology", "neighbours", "neighbourhood", "intensity", "texture")
#: Properties that are looked at only when they are named themselves, not by their family.
LEFT_OUT = frozenset(
    {
        *("centroid", "box", "weighted_centroid", "touches_border"),
        *("orientation", "major_direction", "inertia", "central_moments", "third_moments"),
        *("n_pixels", "n_valid", "nearest_id"),
    }
)
_LARGEST = float(np.finfo(np.float32).max)


def looked_at(properties: Sequence[str] = ()) -> tuple[str, ...]:
    """Return the names of the properties that are looked at, where these or their families are asked for.

    Raises
    ------
    ParameterError
        When there is no such property or family.
    """
    return tuple(p.name for p in chosen(properties or DEFAULT) if p.name not in LEFT_OUT or p.name in properties)


@dataclass(frozen=True)
class ObjectFeatures:
    """The numbers that a classifier has learned from, and what objects and images must be like to have the same.

    Parameters
    ----------
    properties
        Names of what is measured.
    surround
        How far around an object its background reaches.
    axes
        ``"YX"`` or ``"ZYX"``.
    unit
        Of lengths: ``"px"`` where the size of a pixel is not known.
    channels
        Names of the channels of the image; none for a single one without a name, ``None`` where there is no image.
    columns
        Of the table, in the order of the features.
    fill
        For each column, what stands for a number that is missing: the median of the objects learned from.
    missing
        Columns that had missing numbers; whether one is missing is a feature as well.
    """

    properties: tuple[str, ...]
    surround: Length
    axes: str
    unit: str
    channels: tuple[str, ...] | None
    columns: tuple[str, ...] = ()
    fill: tuple[float, ...] = ()
    missing: tuple[str, ...] = ()

    @classmethod
    def of(cls, instances: Instances, image: Image | None, properties: Sequence[str], surround: Length) -> Self:
        """Return what is looked at in objects and images like these, before anything is learned."""
        axes, unit = instances.grid.spatial, instances.grid.unit or "px"
        channels = None if image is None else image.channels
        return cls(looked_at(properties), surround, axes, unit, channels)

    def learned(self, tables: Sequence[pd.DataFrame]) -> Self:
        """Return a copy that knows its columns and what stands for missing numbers.

        Raises
        ------
        InputError
            When there is no column.
        """
        columns = tuple(name for name in tables[0].columns if name not in TOLD)
        if not columns:
            raise InputError("nothing is measured of these objects: intensities need an image, others other dimensions")
        values = np.concatenate([_values(table, columns) for table in tables])
        known = np.isfinite(values)
        fill = [float(np.median(v[k])) if k.any() else 0.0 for v, k in zip(values.T, known.T, strict=True)]
        missing = tuple(name for name, k in zip(columns, known.T, strict=True) if not k.all())
        return replace(self, columns=columns, fill=tuple(fill), missing=missing)

    @property
    def names(self) -> tuple[str, ...]:
        """The column that each feature is of."""
        return self.columns + self.missing

    def table(self, instances: Instances, image: Image | None, also: Sequence[str] = ()) -> pd.DataFrame:
        """Return the measured objects, a row each per time point.

        Parameters
        ----------
        also
            Further properties to measure.

        Raises
        ------
        InputError
            When objects and image are not like those that were learned from.
        """
        seen = None if self.channels is None else self._picture(image, self.channels)
        grid = self._grid(instances.grid)
        step = Measure(properties=(*self.properties, *also), surround=self.surround)
        return step.analyse(replace(instances, grid=grid), seen)

    def matrix(self, table: pd.DataFrame) -> NDArray[np.float32]:
        """Return a row of finite features for each row of a table.

        Raises
        ------
        InputError
            When a column is missing.
        """
        gone = [name for name in self.columns if name not in table]
        if gone:
            raise InputError(f"the model looks at {gone[0]}, which is not measured here")
        values = _values(table, self.columns)
        known = np.isfinite(values)
        filled = np.where(known, values, np.array(self.fill)).clip(-_LARGEST, _LARGEST)
        absent = ~known[:, [self.columns.index(name) for name in self.missing]]
        return np.ascontiguousarray(np.concatenate([filled, absent], axis=1), np.float32)

    def to_dict(self) -> dict[str, Any]:
        """Return all of it as plain data."""
        return {
            "properties": list(self.properties),
            "surround": self.surround.dump(),
            "axes": self.axes,
            "unit": self.unit,
            "channels": None if self.channels is None else list(self.channels),
            "columns": list(self.columns),
            "fill": list(self.fill),
            "missing": list(self.missing),
        }

    @classmethod
    def from_dict(cls, content: Any) -> Self:
        """Return what plain data say, which may come from anywhere.

        Raises
        ------
        ParameterError, InputError
            When they don't say it.
        """
        keys = set(cls.__dataclass_fields__)
        if not isinstance(content, Mapping) or set(content) != keys:
            raise InputError(f"its features must say {', '.join(sorted(keys))}")
        lists = {key: _texts(key, content[key]) for key in ("properties", "columns", "missing")}
        fill, channels = content["fill"], content["channels"]
        if not isinstance(fill, list) or not all(type(v) in (int, float) and math.isfinite(v) for v in fill):
            raise InputError("what stands for missing numbers must be finite numbers")
        if len(fill) != len(lists["columns"]) or not set(lists["missing"]) <= set(lists["columns"]):
            raise InputError("its columns and what stands for missing numbers don't fit together")
        if content["axes"] not in ("YX", "ZYX") or (content["unit"] != "px" and not _is_unit(content["unit"])):
            raise InputError(f"axes {content['axes']!r:.40} or unit {content['unit']!r:.40} is not known")
        looked_at(lists["properties"])
        return cls(
            surround=Measure(surround=content["surround"]).surround,
            axes=content["axes"],
            unit=content["unit"],
            channels=None if channels is None else _texts("channels", channels),
            fill=tuple(float(v) for v in fill),
            **lists,
        )

    def _grid(self, grid: Grid) -> Grid:
        """Return the grid of some labels with its spacing in the unit that is expected."""
        if grid.spatial != self.axes:
            raise InputError(f"the model is of objects with the axes {self.axes}; these have {grid.spatial}")
        unit = grid.unit or "px"
        if "px" in (unit, self.unit) and unit != self.unit:
            raise InputError(
                f"the model measures in {self.unit}, these labels in {unit}: "
                + ("say how large a pixel is (--spacing 0.5um)" if unit == "px" else "train it on labels in a unit")
            )
        if unit == self.unit or grid.spacing is None:
            return grid
        ratio = unit_ratio(unit, self.unit)
        return replace(grid, spacing=tuple(s * ratio for s in grid.spacing), unit=self.unit, affine=None)

    def _picture(self, image: Image | None, wanted: tuple[str, ...]) -> Image:
        """Return the image with the channels that are expected."""
        told = ", ".join(wanted) or "one channel"
        if image is None:
            raise InputError(f"the model looks at intensities ({told}): give the image that the labels are of")
        if len(wanted) > 1 and set(wanted) <= set(image.channels):
            return image
        if len(wanted) == 1 and wanted[0] in image.channels:
            return image.channel(wanted[0])
        # A single channel without a name may be any.
        if len(wanted) < 2 and len(image.channels) < 2 and not (wanted and image.channels):
            return image.channel(0)
        raise InputError(
            f"the model looks at {told}; the image has {', '.join(image.channels) or 'one channel without a name'}"
        )


def _values(table: pd.DataFrame, columns: Sequence[str]) -> NDArray[np.float64]:
    return table[list(columns)].to_numpy(np.float64)


def _is_unit(word: Any) -> bool:
    return isinstance(word, str) and normalise_unit(word) == word


def _texts(key: str, given: Any) -> tuple[str, ...]:
    if not isinstance(given, list) or not all(isinstance(text, str) for text in given):
        raise InputError(f"{key} of its features must be a list of texts")
    return tuple(given)
