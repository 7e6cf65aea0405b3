"""What ilastik tells objects apart by, measured of any labels: the columns that the classifier of a project sees."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from segmentry.analysis.ilastik_regions import HULL, Regions, known
from segmentry.analysis.ilastik_surroundings import Boxes, defects, surroundings
from segmentry.analysis.measure import Measure
from segmentry.errors import InputError
from segmentry.image import Image
from segmentry.io.ilastik_project import Project
from segmentry.labelling import lookup, survey
from segmentry.result import Instances
from segmentry.workspace import Frame, ensure_memory

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["HULLS", "STANDARD", "IlastikFeatures"]

#: Groups of features that can be computed.
STANDARD = "Standard Object Features"
HULLS = {"2D Convex Hull Features": "YX", "3D Convex Hull Features": "ZYX"}
NEAR = " in neighborhood"
_NEAR = {"Mean", "Variance", "Skewness", "Kurtosis", "Histogram", "Covariance", "Minimum", "Maximum", "Sum"}
#: So many pixels around objects are measured at a time.
BATCH = 2**22
MOST, MOST_CHANNELS = 10_000, 1000


@dataclass(frozen=True)
class IlastikFeatures:
    """The features of objects that were chosen in a project, and what images must be like to have them.

    Parameters
    ----------
    chosen
        Group and name of each feature, in the order of the columns.
    axes
        ``"YX"`` or ``"ZYX"``.
    n_channels
        Of the image.
    margin
        How many pixels around an object its neighbourhood reaches, per axis; none where it is not looked at.

    Raises
    ------
    InputError
        When one of the features can't be computed.
    """

    chosen: tuple[tuple[str, str], ...]
    axes: str
    n_channels: int
    margin: tuple[int, ...] = ()

    #: Names of the channels that are looked at: any.
    channels: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self) -> None:
        if not 1 <= self.n_channels <= MOST_CHANNELS or not all(0 <= n < MOST for n in self.margin):
            raise InputError(f"{self.n_channels} channels, or a margin of {self.margin} pixels: that can't be")
        unknown = [f"{name} ({group})" for group, name in self.chosen if not self._can(group, name)]
        if unknown:
            raise InputError(f"its features of objects {', '.join(unknown)[:300]} can't be computed here")
        if not self.chosen:
            raise InputError("no features of objects were chosen")

    def _can(self, group: str, name: str) -> bool:
        if group in HULLS:
            return HULLS[group] == self.axes and name in HULL
        plain = name.removesuffix(NEAR)
        if group != STANDARD or (plain != name and (plain not in _NEAR or not any(self.margin))):
            return False
        return known(plain, self.n_channels)

    @classmethod
    def of(cls, project: Project) -> Self:
        """Return the features that were chosen in a project.

        Raises
        ------
        InputError
            When there are none, or some that can't be computed here.
        """
        chosen = () if project.objects is None else project.objects.features
        raw = project.lanes[0].raw
        axes = "ZYX" if raw.length("Z") > 1 else "YX"
        margins = [feature.margin for feature in chosen if feature.margin is not None]
        margin = tuple(int(max(column)) for column in zip(*margins, strict=True))[3 - len(axes) :]
        return cls(tuple((f.group, f.name) for f in chosen), axes, raw.length("C"), margin)

    @cached_property
    def widths(self) -> tuple[int, ...]:
        """How many columns each feature has."""
        tiny = np.zeros(2, np.int64)
        places, values = np.zeros((2, len(self.axes)), np.int64), np.zeros((2, self.n_channels), np.float32)
        regions = Regions(tiny, places, values)
        return tuple(
            (HULL[name] or len(self.axes)) if group in HULLS else regions.number(name.removesuffix(NEAR)).shape[1]
            for group, name in self.chosen
        )

    @property
    def columns(self) -> tuple[str, ...]:
        """Name of each column."""
        pairs = zip(self.chosen, self.widths, strict=True)
        return tuple(f"{name} {i + 1}" if width > 1 else name for (_, name), width in pairs for i in range(width))

    @property
    def names(self) -> tuple[str, ...]:
        """The column that each feature of the classifier is of."""
        return self.columns

    def table(self, instances: Instances, image: Image | None, also: Sequence[str] = ()) -> pd.DataFrame:
        """Return the measured objects, a row each per time point.

        Parameters
        ----------
        also
            Properties of :class:`~segmentry.analysis.measure.Measure` to measure as well.

        Raises
        ------
        InputError
            When the image is missing or not like those of the project.
        """
        import pandas as pd

        seen = self._picture(instances, image)
        told = Measure(properties=(*also, "centroid")).analyse(instances)
        rows = [self._frame(*frame) for frame in self._frames(instances, seen)]
        numbers = np.concatenate([np.zeros((0, len(self.columns)), np.float32), *rows])
        found = pd.concat([told, pd.DataFrame(numbers, told.index, self._keys())], axis=1)
        found.attrs = dict(told.attrs)
        return found

    def matrix(self, table: pd.DataFrame) -> NDArray[np.float32]:
        """Return a row of features for each row of a table."""
        return np.ascontiguousarray(table[self._keys()].to_numpy(np.float32))

    def _keys(self) -> list[str]:
        """Return names of columns in which no two are the same."""
        return [f"ilastik_{i}_{name}" for i, name in enumerate(self.columns)]

    def _picture(self, instances: Instances, image: Image | None) -> Image:
        grid = instances.grid
        flat = grid.spatial == "ZYX" and grid.length("Z") == 1
        if ("YX" if flat else grid.spatial) != self.axes:
            raise InputError(f"the project has objects with the axes {self.axes}; these have {grid.spatial}")
        if image is None:
            raise InputError("the project looks at intensities: give the image that the labels are of")
        if image.grid.length("C") != self.n_channels:
            here, there = image.grid.length("C"), self.n_channels
            raise InputError(f"the images of the project have {there} channel{'s' * (there > 1)}; this one has {here}")
        if image.grid.without("C").shape != grid.shape:
            raise InputError(f"the image has the shape {image.grid.shape}, the labels {grid.shape}: they must fit")
        return image

    def _frames(self, instances: Instances, image: Image) -> Iterator[tuple[NDArray[np.uint32], Image]]:
        grid = instances.grid
        ensure_memory(grid.without("T").size, "kinds of objects of a project need a whole image", "take a part of it")
        for t in range(grid.length("T")):
            timed = "T" in grid.axes
            labels = Frame(instances.labels, (t,)) if timed else instances.labels
            whole = tuple(slice(0, n) for n in grid.spatial_shape)
            found = np.ascontiguousarray(labels[whole], np.uint32).reshape(grid.spatial_shape[-len(self.axes) :])
            yield found, image.at("T", t) if timed else image

    def _frame(self, labels: NDArray[np.uint32], image: Image) -> NDArray[np.float32]:
        """Return the columns for the objects of a time point, by ascending ids."""
        held = survey(labels)
        pixels = image.read().astype(np.float32).reshape(self.n_channels, -1)
        if not len(held.ids):
            return np.zeros((0, len(self.columns)), np.float32)
        boxes: Boxes = (held.lower, held.upper)
        numbers: dict[tuple[str, str], NDArray[np.float64]] = {}
        own = [name for group, name in self.chosen if group == STANDARD and not name.endswith(NEAR)]
        if own:
            region = lookup(labels, held.ids, np.arange(1, len(held.ids) + 1, dtype=np.uint32)).ravel()
            at = np.flatnonzero(region)
            at = at[np.argsort(region[at], kind="stable")]
            regions = Regions(region[at].astype(np.int64) - 1, self._places(at, labels.shape), pixels[:, at].T)
            numbers |= {(STANDARD, name): regions.number(name) for name in own}
        near = [name for group, name in self.chosen if group == STANDARD and name.endswith(NEAR)]
        if near:
            found = self._around(near, surroundings(labels, held.ids, boxes, self.margin), pixels, labels.shape)
            numbers |= {(STANDARD, name): values for name, values in zip(near, found, strict=True)}
        if any(group in HULLS for group, _ in self.chosen):
            lacking = defects(labels, held.ids, boxes)
            numbers |= {(group, name): lacking[name] for group, name in self.chosen if group in HULLS}
        with np.errstate(over="ignore"):
            columns = np.concatenate([numbers[key] for key in self.chosen], axis=1).astype(np.float32)
        return np.where(np.isfinite(columns), columns, np.float32(0))

    def _around(
        self,
        names: Sequence[str],
        around: Iterable[NDArray[np.int64]],
        pixels: NDArray[np.float32],
        shape: tuple[int, ...],
    ) -> list[NDArray[np.float64]]:
        """Return features of the pixels around each object; 0 where there are none."""
        plain = [name.removesuffix(NEAR) for name in names]
        parts: list[list[NDArray[np.float64]]] = [[] for _ in names]
        for batch in _batches(around):
            sizes = np.array([len(one) for one in batch])
            filled = np.flatnonzero(sizes)
            at = np.concatenate(batch)
            region = np.repeat(np.arange(len(filled)), sizes[filled])
            regions = Regions(region, self._places(at, shape), pixels[:, at].T, together=False) if len(at) else None
            for part, name, width in zip(parts, plain, self._widths_of(names), strict=True):
                values = np.zeros((len(batch), width))
                if regions is not None:
                    values[filled] = regions.number(name)
                part.append(values)
        return [np.concatenate(part) for part in parts]

    def _widths_of(self, names: Sequence[str]) -> list[int]:
        widths = dict(zip(self.chosen, self.widths, strict=True))
        return [widths[STANDARD, name] for name in names]

    @staticmethod
    def _places(at: NDArray[np.int64], shape: tuple[int, ...]) -> NDArray[np.int64]:
        return np.stack(np.unravel_index(at, shape)[::-1], axis=1).astype(np.int64)

    def to_dict(self) -> dict[str, Any]:
        """Return all of it as plain data."""
        return {
            "ilastik": [list(pair) for pair in self.chosen],
            "axes": self.axes,
            "n_channels": self.n_channels,
            "margin": list(self.margin),
        }

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Self:
        """Return what plain data say, which may come from anywhere.

        Raises
        ------
        InputError
            When they don't say it.
        """
        if set(content) != {"ilastik", "axes", "n_channels", "margin"}:
            raise InputError("its features must say ilastik, axes, n_channels and margin")
        chosen, axes, channels, margin = (content[key] for key in ("ilastik", "axes", "n_channels", "margin"))
        pairs = (
            isinstance(chosen, list)
            and len(chosen) <= MOST
            and all(
                isinstance(pair, list) and len(pair) == 2 and all(isinstance(text, str) for text in pair)
                for pair in chosen
            )
        )
        if not pairs or axes not in ("YX", "ZYX") or type(channels) is not int:
            raise InputError("its features of ilastik are no pairs of texts, or its axes or channels are wrong")
        reach = isinstance(margin, list) and all(type(n) is int for n in margin)
        if not reach or len(margin) not in (0, len(axes)):
            raise InputError("its margin must be a whole number of pixels per axis")
        return cls(tuple((group, name) for group, name in chosen), axes, channels, tuple(margin))


def _batches(around: Iterable[NDArray[np.int64]]) -> Iterator[list[NDArray[np.int64]]]:
    batch: list[NDArray[np.int64]] = []
    total = 0
    for one in around:
        batch.append(one)
        total += len(one)
        if total > BATCH:
            yield batch
            batch, total = [], 0
    if batch:
        yield batch
