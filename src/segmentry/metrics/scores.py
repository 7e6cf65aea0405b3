"""All scores of one image, and of a set: pooled over it, as the mean over its images, and how far both may be off.

The intervals hold the middle 95% of what comes out when images are drawn again from the set, with repetition (bootstrap
of Efron 1979, doi:10.1214/aos/1176344552, by percentiles). They say how much the scores depend on which images were
taken, and nothing of a single image.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from segmentry.errors import ParameterError, nearest
from segmentry.image import Array
from segmentry.metrics.detection import Matches
from segmentry.metrics.evidence import Evidence
from segmentry.metrics.metric import Metric, Ratio, metrics
from segmentry.metrics.pixels import PixelCounts
from segmentry.metrics.ranking import Ranking
from segmentry.metrics.surfaces import Surfaces
from segmentry.result import Result

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "MEAN",
    "THRESHOLDS",
    "ImageScores",
    "Key",
    "SetScores",
    "Summary",
    "evaluate_images",
    "evaluate_set",
    "score",
]

#: IoU at which objects match.
THRESHOLDS = tuple(round(0.5 + 0.05 * i, 2) for i in range(10))
DRAWS = 2000
MEAN = "mean of classes"

#: A metric, and of what: a threshold ("0.50"), a class, or all ("").
Key: TypeAlias = tuple[str, str]


@dataclass(frozen=True, eq=False)
class ImageScores:
    """The scores of one image.

    ``scores["ap"]`` is a number: at the first threshold, and the mean over classes where there are several;
    ``scores["ap", "0.75"]`` is at another threshold.
    """

    found: Mapping[Key, Ratio | float]
    ranking: Ranking | None = None
    name: str = ""

    def __getitem__(self, key: str | Key) -> float:
        name, of = _key(key, self.found)
        return metrics()[name].value(self.found[name, of])

    def to_dict(self) -> dict[str, Any]:
        """Return all scores as plain data: by metric, and by threshold or class where there are any."""
        return _nested({key: self[key] for key in self.found})


@dataclass(frozen=True)
class Summary:
    """A score of a set.

    Parameters
    ----------
    pooled
        Of all its objects or pixels together; NaN where the metric can't be pooled.
    mean
        Of the scores of the images in which it is defined and finite.
    pooled_interval, mean_interval
        Bounds that hold 95% of it when images are drawn again; NaN for less than two images.
    n
        Number of images in which it is defined and finite.
    """

    pooled: float
    mean: float
    pooled_interval: tuple[float, float]
    mean_interval: tuple[float, float]
    n: int


@dataclass(frozen=True, eq=False)
class SetScores:
    """The scores of a set of images; ``scores["ap", "0.75"]`` is a :class:`Summary`."""

    images: Sequence[ImageScores]
    found: Mapping[Key, Summary] = field(default_factory=dict)

    def __getitem__(self, key: str | Key) -> Summary:
        return self.found[_key(key, self.found)]

    def table(self) -> pd.DataFrame:
        """Return a row per score: metric, of what, pooled, mean over images, their intervals, and its definition."""
        import pandas as pd

        rows = []
        for (name, of), summary in self.found.items():
            low, high = summary.pooled_interval
            below, above = summary.mean_interval
            known = metrics()[name]
            rows.append(
                {
                    "metric": name, "of": of, "pooled": summary.pooled, "pooled_low": low, "pooled_high": high,
                    "mean": summary.mean, "mean_low": below, "mean_high": above, "n": summary.n, "range": known.range,
                    "definition": known.definition, "caveat": known.caveat, "source": known.source,
                }
            )  # fmt: skip
        return pd.DataFrame(rows)

    def to_dict(self) -> dict[str, Any]:
        """Return all scores as plain data."""
        return _nested({key: vars(summary) for key, summary in self.found.items()})


def evaluate_images(
    predicted: Result,
    truth: Result,
    *,
    metrics: Sequence[str] = (),
    thresholds: Sequence[float] = THRESHOLDS,
    ignore: Array | None = None,
    tolerance: float | None = None,
) -> ImageScores:
    """Return the scores of one image at one time point.

    Parameters
    ----------
    predicted, truth
        Classes are compared where both are :class:`~segmentry.result.Semantic`, objects where they are not.
    metrics
        Names of the metrics to compute; all for none.
    thresholds
        IoU at which objects match, each above 0 and at most 1.
    ignore
        True where nothing counts.
    tolerance
        Distance at which surfaces still agree, in the unit of the grid; ``None``: two pixels.

    Raises
    ------
    InputError
        When shapes or pixel sizes differ.
    ParameterError
        When there is no such metric, or a threshold is out of range.
    """
    return score(Evidence(predicted, truth, ignore, tolerance), metrics, thresholds)


def score(
    evidence: Evidence, metrics: Sequence[str] = (), thresholds: Sequence[float] = THRESHOLDS, name: str = ""
) -> ImageScores:
    """Return the scores of one image from its evidence; as :func:`evaluate_images`."""
    wanted = _chosen(metrics)
    if not thresholds or not all(0 < t <= 1 for t in thresholds):
        raise ParameterError(f"thresholds {tuple(thresholds)}: one or more numbers above 0, up to 1")
    found: dict[Key, Ratio | float] = {}
    for one in wanted:
        found |= _values(one, evidence, thresholds)
    ranked = any(one.evidence is Ranking for one in wanted) and not evidence.of_classes
    return ImageScores(found, evidence.ranking if ranked else None, name)


def evaluate_set(images: Sequence[ImageScores], draws: int = DRAWS) -> SetScores:
    """Return the scores of several images together, with intervals from so many draws."""
    n = len(images)
    weights = np.random.default_rng(0).multinomial(n, [1 / n] * n, draws) if n else np.zeros((draws, 0), np.int64)
    found: dict[Key, Summary] = {}
    pooled: dict[Key, NDArray[np.float64]] = {}
    for key in dict.fromkeys(key for image in images for key in image.found):
        name, of = key
        one = metrics()[name]
        values = [image.found.get(key, Ratio(0, 0)) for image in images]  # a class may be missing
        if one.evidence is Ranking:
            pooled[key] = _pooled_ranking(one, images, weights)
        elif of == MEAN:
            pooled[key] = _mean_over([v for (m, c), v in pooled.items() if m == name and c != MEAN])
        else:
            pooled[key] = _pooled(one, values, weights)
        found[key] = _summary(one, values, pooled[key], weights)
    return SetScores(images, found)


def _chosen(names: Sequence[str]) -> list[Metric]:
    known = metrics()
    for name in names:
        if name not in known:
            raise ParameterError(f"there is no metric {name!r}{nearest(name, known)}")
    return [known[name] for name in names] if names else list(known.values())


def _values(one: Metric, evidence: Evidence, thresholds: Sequence[float]) -> dict[Key, Ratio | float]:
    """Return what a metric finds, for each threshold or class."""
    if one.evidence in (PixelCounts, Surfaces):
        return _by_class(one, evidence)
    if evidence.of_classes:
        return {}
    if one.evidence is Matches:
        return {(one.name, f"{t:.2f}"): one.function(evidence.matches(t)) for t in thresholds}
    if one.evidence is Ranking:
        return {(one.name, ""): one.function([evidence.ranking])}
    return {(one.name, ""): one.function(evidence.matching)}


def _by_class(one: Metric, evidence: Evidence) -> dict[Key, Ratio | float]:
    found: dict[Key, Ratio | float] = {}
    for kind, name in enumerate(evidence.classes, 1):
        seen = evidence.pixels(kind) if one.evidence is PixelCounts else evidence.surfaces(kind)
        found[one.name, name if evidence.of_classes else ""] = one.function(seen)
    if evidence.of_classes:
        found[one.name, MEAN] = _mean([one.value(v) for v in found.values()])
    return found


def _pooled(one: Metric, values: Sequence[Ratio | float], weights: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return a score of all images together, and of each draw; NaN where it can't be pooled."""
    ratios = [v for v in values if isinstance(v, Ratio)]
    if len(ratios) < len(values):
        return np.full(1 + len(weights), math.nan)
    each = np.vstack([np.ones((1, len(values)), np.int64), weights])
    above, below = each @ np.array([r[0] for r in ratios]), each @ np.array([r[1] for r in ratios])
    some = below > 0
    return np.where(some, above / np.where(some, below, 1), one.empty)


def _pooled_ranking(one: Metric, images: Sequence[ImageScores], weights: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return a score of the ranked objects of all images together, and of a tenth of the draws, as it takes longer."""
    ranked = [image.ranking for image in images]
    found = [one.function(ranked)]
    for draw in weights[: len(weights) // 10] if len(images) > 1 else ():
        found.append(one.function([r for r, n in zip(ranked, draw, strict=True) for _ in range(n)]))
    return np.array(found)


def _summary(
    one: Metric, values: Sequence[Ratio | float], pooled: NDArray[np.float64], weights: NDArray[np.int64]
) -> Summary:
    scores = np.array([one.value(v) for v in values], np.float64)
    known = np.isfinite(scores)
    number = weights @ known
    drawn = np.where(number > 0, weights @ np.where(known, scores, 0) / np.maximum(number, 1), math.nan)
    several = len(values) > 1
    nothing = (math.nan, math.nan)
    return Summary(
        float(pooled[0]),
        _mean(scores.tolist()),
        _interval(pooled[1:]) if several else nothing,
        _interval(drawn) if several else nothing,
        int(known.sum()),
    )


def _interval(drawn: NDArray[np.float64]) -> tuple[float, float]:
    """Return what holds the middle 95% of the draws in which a score is defined; nothing when that is under half."""
    known = drawn[np.isfinite(drawn)]
    if 2 * len(known) < len(drawn) or not len(known):
        return math.nan, math.nan
    low, high = np.percentile(known, [2.5, 97.5])
    return float(low), float(high)


def _mean_over(classes: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
    """Return the mean over the classes in which a score is defined, of all images and of each draw."""
    values = np.stack(classes)
    known = ~np.isnan(values)
    number = known.sum(axis=0)
    return np.where(number > 0, np.where(known, values, 0).sum(axis=0) / np.maximum(number, 1), math.nan)


def _mean(values: Sequence[float]) -> float:
    known = [v for v in values if math.isfinite(v)]
    return math.fsum(known) / len(known) if known else math.nan


def _key(key: str | Key, found: Mapping[Key, Any]) -> Key:
    """Return the key that is meant; a name alone is the mean over classes, or the first of that name."""
    if not isinstance(key, str):
        return key
    keys = [k for k in found if k[0] == key]
    if not keys:
        raise KeyError(f"{key!r} was not computed{nearest(key, {name for name, _ in found})}")
    return next((k for k in keys if k[1] == MEAN), keys[0])


def _nested(values: Mapping[Key, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for (name, of), value in values.items():
        if of:
            found.setdefault(name, {})[of] = value
        else:
            found[name] = value
    return found
