"""Judge files against files: one pair, or every label image of a folder against the truth of the same name.

Each time point of a series counts as an image. Pixel values are ids of objects, or classes where that is said.
"""

from __future__ import annotations

import functools
import os
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from segmentry.errors import InputError
from segmentry.image import Array, Grid, Image
from segmentry.io import find_inputs, read, read_labels
from segmentry.job import RECORD, Options, load_record
from segmentry.labelling import lookup, survey
from segmentry.length import Length
from segmentry.metrics import (
    THRESHOLDS,
    Evidence,
    ImageScores,
    SetScores,
    check_fit,
    compare,
    evaluate_set,
    metrics,
    score,
)
from segmentry.metrics.breakdown import by_class, by_size, confusion, object_rows
from segmentry.metrics.ranking import reliability
from segmentry.result import Result, Semantic, as_labels
from segmentry.workspace import Frame

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Evaluation", "Rules", "Source", "evaluate", "pairs"]


@dataclass(frozen=True)
class Rules:
    """How results are judged.

    Parameters
    ----------
    classes
        Pixel values are classes, not ids of objects.
    metrics
        Names of the metrics to compute; all for none.
    thresholds
        IoU at which objects match. What becomes of each object is told at the first.
    tolerance
        Distance at which two surfaces still agree; a number counts smallest sides of pixels.
    ignore
        Value of true pixels that don't count, or the path of a mask, or of a folder of masks, that is not 0 there.
    spacing
        Pixel size of both, instead of what the files say.
    """

    classes: bool = False
    metrics: tuple[str, ...] = ()
    thresholds: tuple[float, ...] = THRESHOLDS
    tolerance: Length = field(default_factory=lambda: Length(2))
    ignore: int | Path | None = None
    spacing: Options | None = None


@dataclass(frozen=True)
class Source:
    """Where an image that was judged comes from: its files and, of a series, the time point."""

    predicted: Path
    truth: Path
    image: Path | None = None
    time: int | None = None


@dataclass(frozen=True, eq=False)
class Evaluation:
    """What came out.

    Parameters
    ----------
    scores
        Of every image, and of all.
    objects
        A row per true and per predicted object, its image in the first column; empty where classes were judged.
    confusion
        Where classes were judged, a row per true and predicted class: the number of their pixels; else empty.
    sources
        Where each image comes from.
    grid
        Geometry of the last image, whose unit is that of lengths.
    rules
        How it was judged.
    other
        Another method judged by the same truth, to compare with.
    """

    scores: SetScores
    objects: pd.DataFrame
    confusion: pd.DataFrame
    sources: Mapping[str, Source]
    grid: Grid
    rules: Rules
    other: Evaluation | None = None

    def breakdowns(self) -> dict[str, pd.DataFrame]:
        """Return the tables that there are: fates of objects, by size, by class, reliability, comparison."""
        return dict(self._tables)

    @functools.cached_property
    def _tables(self) -> dict[str, pd.DataFrame]:
        found: dict[str, pd.DataFrame] = {}
        if len(self.objects):
            fates = self.objects.groupby(["side", "fate"], sort=False).size()
            found["fates"] = fates.rename("objects").reset_index()
            found["by_size"] = by_size(self.objects)
            if self.objects["class"].nunique() > 1:
                found["by_class"] = by_class(self.objects)
                found["confusion"] = confusion(self.objects)
        if len(self.confusion):
            found["confusion"] = self.confusion
        ranked = [i.ranking for i in self.scores.images if i.ranking is not None]
        if ranked and len(reliable := reliability(ranked, self.rules.thresholds[0])):
            found["reliability"] = reliable
        if self.other is not None:
            found["comparison"] = compare(self.scores, self.other.scores)
        return found

    def to_dict(self) -> dict[str, Any]:
        """Return everything but the single objects as plain data."""
        known = metrics()
        names = dict.fromkeys(name for name, _ in self.scores.found)
        definitions = {
            n: {"definition": known[n].definition, "range": known[n].range, "caveat": known[n].caveat,
                "source": known[n].source} for n in names
        }  # fmt: skip
        return {
            "definitions": definitions,
            "n_images": len(self.scores.images),
            "scores": self.scores.to_dict(),
            "images": {i.name: i.to_dict() for i in self.scores.images},
            **{name: table.to_dict("records") for name, table in self.breakdowns().items()},
        }


def evaluate(
    predicted: str | os.PathLike[str],
    truth: str | os.PathLike[str],
    rules: Rules | None = None,
    *,
    images: str | os.PathLike[str] | None = None,
    against: str | os.PathLike[str] | None = None,
) -> Evaluation:
    """Return the scores of each pair of files, and of all of them together.

    Parameters
    ----------
    predicted, truth
        Two files, or two folders in which names agree; the output folder of a run counts as its labels.
    rules
        How to judge.
    images
        The images that were segmented, for pictures; what a run says that it read, if it is there.
    against
        Results of another method on the same images, to compare with.

    Raises
    ------
    InputError
        When files can't be paired or read, or shapes or pixel sizes differ.
    """
    rules = rules or Rules()
    predicted, truth = Path(predicted), Path(truth)
    other = None if against is None else evaluate(against, truth, rules)
    scores: list[ImageScores] = []
    tables: list[pd.DataFrame] = []
    pixels: Counter[tuple[str, str]] = Counter()
    sources: dict[str, Source] = {}
    grid = Grid("YX", (1, 1))
    shown = Path(images) if images is not None else None
    for name, (ours, theirs) in pairs(predicted, truth, rules.classes).items():
        source = Source(ours, theirs, _image_of(name, ours, shown))
        try:
            for part, time, evidence in _frames(name, source, rules):
                scores.append(score(evidence, rules.metrics, rules.thresholds, part))
                sources[part] = replace(source, time=time)
                grid = evidence.grid
                if evidence.of_classes:
                    pixels.update(_pixels(evidence))
                else:
                    rows = object_rows(evidence, rules.thresholds[0])
                    rows.insert(0, "image", part)
                    tables.append(rows)
        except InputError as error:
            raise InputError(f"{name}: {error}") from error
    return Evaluation(evaluate_set(scores), _joined(tables), _counted(pixels), sources, grid, rules, other)


def pairs(predicted: Path, truth: Path, classes: bool = False) -> dict[str, tuple[Path, Path]]:
    """Return predicted and true files that belong together, by name.

    Two files are a pair. In folders names must agree, suffixes apart; the output folders of a run count by their name.

    Raises
    ------
    InputError
        When the truth of an image is missing, or a prediction for a truth.
    """
    ours, theirs = _by_name(predicted, classes), _by_name(truth, classes)
    if len(ours) == len(theirs) == 1 and (_is_one(predicted) or _is_one(truth)):
        ((name, file),), (other,) = ours.items(), theirs.values()
        return {name: (file, other)}
    for one, another, what in ((ours, theirs, truth), (theirs, ours, predicted)):
        missing = sorted(set(one) - set(another))
        if missing:
            more = f" (and {len(missing) - 1} more)" if len(missing) > 1 else ""
            raise InputError(f"{what} has no labels called {missing[0]!r}{more}: names must agree, suffixes apart")
    return {name: (ours[name], theirs[name]) for name in sorted(ours)}


def _is_one(path: Path) -> bool:
    """Return whether a path is a single image, or the output of a run on one."""
    if not path.is_dir() or (path / RECORD).exists():
        return True
    return not any(path.glob(f"*/{RECORD}")) and find_inputs([path], labels=True) == [path]


def _by_name(path: Path, classes: bool) -> dict[str, Path]:
    outputs = [path] if (path / RECORD).exists() else sorted(p.parent for p in path.glob(f"*/{RECORD}"))
    if outputs:
        return {folder.name: _output(folder, "classes" if classes else "labels") for folder in outputs}
    found: dict[str, Path] = {}
    for file in find_inputs([path], labels=True):
        name = file.name.split(".", 1)[0]
        if name in found:
            raise InputError(f"{path} has two files called {name!r}: {found[name].name} and {file.name}")
        found[name] = file
    return found


def _output(folder: Path, what: str) -> Path:
    file = next(iter(sorted(folder.glob(f"{what}.*"))), None)
    if file is None:
        raise InputError(f"{folder} has no {what}: the method that was run gives none")
    return file


def _image_of(name: str, predicted: Path, images: Path | None) -> Path | None:
    """Return the file that was segmented: that of the name in a folder, or the one that the run read."""
    if images is not None:
        if not images.is_dir():
            return images
        known = {file.name.split(".", 1)[0]: file for file in find_inputs([images])}
        if name not in known:
            raise InputError(f"{images} has no image called {name!r}")
        return known[name]
    try:
        read_from = Path(load_record(predicted.parent)["path"])
    except InputError:
        return None
    return read_from if read_from.exists() else None


def _frames(name: str, source: Source, rules: Rules) -> Iterator[tuple[str, int | None, Evidence]]:
    """Yield each time point of a pair of files, with its name."""
    ours, theirs = _results(source, rules)
    check_fit(ours.grid, theirs.grid)
    grid = theirs.grid if theirs.grid.spacing else ours.grid
    ignore = _ignored(name, source, rules)
    tolerance = _tolerance(rules.tolerance, grid)
    if "T" not in grid.axes:
        yield name, None, Evidence(ours, theirs, ignore, tolerance)
        return
    for time in range(grid.length("T")):
        hidden = None if ignore is None else Frame(ignore, (time,))
        yield f"{name} t={time}", time, Evidence(_at(ours, time), _at(theirs, time), hidden, tolerance)


def _results(source: Source, rules: Rules) -> tuple[Result, Result]:
    """Return what two files hold: objects, or classes, one for each value that occurs in either, 0 the background."""
    if not rules.classes:
        found = [read_labels(path) for path in (source.predicted, source.truth)]
        ours, theirs = (replace(f, grid=_grid(Image(f.labels, f.grid), rules)) for f in found)
        ignored = np.array([] if not isinstance(rules.ignore, int) else [rules.ignore], np.uint32)
        return ours, theirs.keep(~np.isin(theirs.ids, ignored))
    images = [_plain(path, rules) for path in (source.predicted, source.truth)]
    arrays = [as_labels(image.read()) for image in images]
    values = np.unique(np.concatenate([np.unique(a) for a in arrays]))
    values = values[(values > 0) & (values != (rules.ignore if isinstance(rules.ignore, int) else 0))]
    numbers = np.arange(1, len(values) + 1, dtype=np.uint16)
    names = ("background", *(str(v) for v in values))
    ours_, theirs_ = (Semantic(lookup(a, values, numbers), i.grid, names) for a, i in zip(arrays, images, strict=True))
    return ours_, theirs_


def _plain(path: Path, rules: Rules) -> Image:
    image = read(path)
    if "C" in image.grid.axes:
        raise InputError(f"classes are one number per pixel; {path.name} has channels {', '.join(image.channels)}")
    return replace(image, grid=_grid(image, rules))


def _grid(image: Image, rules: Rules) -> Grid:
    return image.grid if rules.spacing is None else rules.spacing.applied(image).grid


def _tolerance(length: Length, grid: Grid) -> float:
    """Return a distance in the unit of a grid; a number of pixels counts their smallest sides."""
    sides = grid.spacing or (1.0,) * len(grid.spatial)
    return (
        max(p * s for p, s in zip(length.pixels(grid), sides, strict=True))
        if length.unit
        else length.value * min(sides)
    )


def _ignored(name: str, source: Source, rules: Rules) -> Array | None:
    if rules.ignore is None:
        return None
    if isinstance(rules.ignore, int):
        return np.asarray(read(source.truth).read() == rules.ignore)
    mask = rules.ignore
    if mask.is_dir():
        known = _by_name(mask, False)
        if name not in known:
            raise InputError(f"{mask} has no mask called {name!r}")
        mask = known[name]
    return np.asarray(read(mask).read() != 0)


def _at(result: Result, time: int) -> Result:
    """Return a time point of a result."""
    grid = result.grid.without("T")
    if isinstance(result, Semantic):
        return replace(result, classes=Frame(result.classes, (time,)), grid=grid)
    instances = result.instances()
    labels = Frame(instances.labels, (time,))
    return instances.with_labels(labels, survey(labels).ids, grid)


def _joined(tables: list[pd.DataFrame]) -> pd.DataFrame:
    import pandas as pd

    filled = [t for t in tables if len(t)] or tables[:1]
    return (
        pd.DataFrame({name: np.concatenate([t[name] for t in filled]) for name in filled[0]})
        if filled
        else pd.DataFrame()
    )


def _pixels(evidence: Evidence) -> dict[tuple[str, str], int]:
    """Return the numbers of pixels of each true and predicted class that occur together."""
    names = ("background", *evidence.classes)
    rows, columns = np.nonzero(evidence.confusion)
    return {(names[i], names[j]): int(evidence.confusion[i, j]) for i, j in zip(rows, columns, strict=True)}


def _counted(pixels: Mapping[tuple[str, str], int]) -> pd.DataFrame:
    import pandas as pd

    rows = [(true, predicted, n) for (true, predicted), n in pixels.items()]
    return pd.DataFrame(rows, columns=["true", "predicted", "pixels"])
