"""How good networks are on labelled images: Dice of the classes, or average precision of the objects."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from segmentry.image import Grid
from segmentry.learn.calibration import Calibration, calibration
from segmentry.learn.examples import Example, Examples
from segmentry.learn.network_file import Network
from segmentry.learn.prediction import Predictor, Scores
from segmentry.learn.representation import UNLABELLED, Representation
from segmentry.metrics import match_objects
from segmentry.metrics.matching import Matching
from segmentry.overview import Overview
from segmentry.resampling import Nearest, at_spacing
from segmentry.result import Instances, Semantic

__all__ = ["STRICT", "Judged", "maps_of", "reliability", "resampled", "score", "score_of"]

#: IoU at which objects are matched.
STRICT = (0.5, 0.6, 0.7, 0.8, 0.9)
#: Images that are judged at the most.
JUDGED = 32
#: Maps of an example, its labels, and its grid.
Judged: TypeAlias = tuple[NDArray[np.float32], NDArray[np.int64], Grid]


class Spaced(Protocol):
    """What says the size of a pixel that images are brought to."""

    @property
    def spacing(self) -> tuple[float, ...] | None:
        """Along each spatial axis; ``None``: they stay as they are."""

    @property
    def unit(self) -> str | None:
        """Unit of the spacing."""


def score_of(network: Network, scores: Scores, examples: Examples) -> float:
    """Return how good a network is on examples, run by an engine: the mean Dice or average precision."""
    predictor = Predictor.of(network, scores)
    return score(maps_of(predictor, resampled(examples, network)), network.representation, network.names)


def resampled(examples: Examples, to: Spaced) -> Examples:
    """Return examples at the pixel size that a plan or a network asks for, resampled when they are read."""
    if to.spacing is None:
        return examples
    return Examples(examples.names, lambda i: _example(examples[i], to))


def _example(example: Example, to: Spaced) -> Example:
    image = at_spacing(example.image, to.spacing, to.unit).load()
    shape = image.grid.spatial_shape
    labels = Nearest(example.labels, shape)[tuple(slice(0, n) for n in shape)]
    return Example(image, labels, example.unlabelled)


def maps_of(predictor: Predictor, held: Examples) -> Iterator[Judged]:
    """Yield what a network says of each example held out, and what is true."""
    for i in range(min(len(held), JUDGED)):
        example = held[i]
        grid = example.image.grid.without("C")
        into = np.zeros((predictor.outputs, *grid.shape), np.float32)
        predictor.predict(example.image, predictor.scaling.measured(Overview(example.image)), into)
        yield into, example.told((slice(None),) * len(grid.shape)), grid


def score(maps: Iterable[Judged], representation: Representation, names: Sequence[str]) -> float:
    """Return how good maps are: the mean Dice of the classes, or the mean average precision of the objects."""
    dice = np.zeros((len(names), 2))
    hits = np.zeros((len(STRICT), 2))
    for one, truth, grid in maps:
        result = representation.decode(one, grid, names)
        if isinstance(result, Semantic):
            dice += _overlaps(np.asarray(result.classes), truth, len(names))
        else:
            hits += _hits(result, truth, grid)
    with np.errstate(invalid="ignore"):
        score = np.nanmean(dice[1:, 0] / dice[1:, 1]) if dice.any() else np.nanmean(hits[:, 0] / hits[:, 1])
    return 0.0 if math.isnan(score) else float(score)


def reliability(maps: Iterable[Judged], representation: Representation, names: Sequence[str]) -> Calibration:
    """Return what the scores of objects stand for: the share of objects that match a true one at an IoU of 0.5."""
    scores, hits = [np.zeros(0, np.float32)], [np.zeros(0, np.bool_)]
    for one, truth, grid in maps:
        result = representation.decode(one, grid, names)
        if not isinstance(result, Instances) or result.scores is None:
            return ()
        matching = _matching(result, truth, grid)
        hit = matching.predicted_ids[matching.pairs[matching.matched(STRICT[0]), 0]]
        seen = np.isin(result.ids, matching.predicted_ids)
        scores.append(result.scores[seen])
        hits.append(np.isin(result.ids[seen], hit))
    return calibration(np.concatenate(scores), np.concatenate(hits))


def _overlaps(classes: NDArray[Any], truth: NDArray[np.int64], count: int) -> NDArray[np.float64]:
    """Return, for each class, twice the pixels that it is rightly told for, and those that it is told or true for."""
    told = truth != UNLABELLED
    table = np.bincount(truth[told] * count + classes[told], minlength=count * count).reshape(count, count)
    return np.stack([2.0 * np.diag(table), table.sum(axis=0) + table.sum(axis=1)], axis=1)


def _hits(result: Instances, truth: NDArray[np.int64], grid: Grid) -> NDArray[np.float64]:
    """Return how many objects match at each overlap, and how many there are, matched or not."""
    matching = _matching(result, truth, grid)
    found = np.array([float(len(matching.matched(t))) for t in STRICT])
    return np.stack([found, matching.n_predicted + matching.n_true - found], axis=1)


def _matching(result: Instances, truth: NDArray[np.int64], grid: Grid) -> Matching:
    """Return the overlaps of objects with the true ones, where these are known."""
    labels = np.where(truth == UNLABELLED, 0, np.asarray(result.labels[...])).astype(np.uint32)
    return match_objects(Instances.from_labels(labels, grid), Instances.from_labels(np.maximum(truth, 0), grid))
