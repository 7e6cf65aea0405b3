"""Strokes that somebody painted, and the classifiers of pixels that learn from them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from segmentry.errors import InputError, ParameterError
from segmentry.features import FeatureBank
from segmentry.image import Image
from segmentry.learn.classifier import Classifier, classifier
from segmentry.learn.fast_trees import FastTrees
from segmentry.learn.random_forest import RandomForest
from segmentry.pixel_classification import MOST_CLASSES, PixelModel, Stage, joined
from segmentry.result import as_labels

__all__ = ["Strokes", "drawn_places", "suited", "train_pixels"]

#: Learning takes about so many pixels at most; of more, a draw, with so many of each class at least.
MOST_SAMPLES, LEAST_SAMPLES = 100_000, 2_000
MOST_STAGES = 8
#: Of fewer painted pixels than this the trees of a forest draw a part only, of this many at least.
PLENTY, FEWEST = 1000, 5
#: What fast trees learn by from pixels.
FAST = {"sample_share": 0.1, "feature_share": 0.05, "learning_rate": 0.1}


@dataclass(frozen=True, eq=False)
class Strokes:
    """An image and what was painted on it.

    Parameters
    ----------
    image
        One time point, with all channels that are used.
    classes
        On the spatial axes of the image: 1, 2 … for the classes, 0 where nothing was painted.
    channel
        What the only channel is called, where the image has no axis that says it.
    """

    image: Image
    classes: NDArray[np.uint32]
    channel: str = ""

    @property
    def channels(self) -> tuple[str, ...]:
        """Names of the channels."""
        return tuple(self.image.channels) or (self.channel,)

    @classmethod
    def of(cls, image: Image, classes: ArrayLike, channel: str = "") -> list[Strokes]:
        """Return the strokes of each time point that has some.

        Raises
        ------
        InputError
            When they don't fit the image, or are no classes.
        """
        painted = as_labels(np.asarray(classes))
        flat = image.grid.without("C")
        if painted.shape != flat.shape:
            raise InputError(f"strokes of shape {painted.shape} don't fit an image of shape {flat.shape} ({flat.axes})")
        if "T" not in flat.axes:
            return [cls(image, painted, channel)] if painted.any() else []
        return [cls(image.at("T", t), painted[t], channel) for t in range(flat.length("T")) if painted[t].any()]


def train_pixels(
    strokes: Sequence[Strokes],
    banks: Sequence[FeatureBank] | None = None,
    learner: Classifier | None = None,
    *,
    names: Sequence[str] = (),
    stages: int = 1,
    seed: int = 0,
) -> PixelModel:
    """Return a model that learned from strokes.

    Parameters
    ----------
    strokes
        One image or many, with the same channels.
    banks
        What pixels are told apart by; ilastik's offer when ``None``.
    learner
        A classifier that has learned nothing yet; a random forest when ``None``. Parameters that were not set are
        chosen by the number of painted pixels, as :func:`suited` does.
    names
        Names of the classes 1, 2 …; ``class 1`` … where there is none.
    stages
        2 or more for autocontext. What a later stage sees of the strokes comes from classifiers that did not see them.
    seed
        Of what is left to chance.

    Raises
    ------
    InputError, ParameterError
        When there are no strokes, channels differ, or names don't fit.
    """
    chosen = tuple(banks or (FeatureBank(),))
    learner = learner or classifier()
    if not strokes or not any(s.classes.any() for s in strokes):
        raise InputError("there is nothing to learn from: paint some pixels of each class (1, 2 …; 0 is unlabelled)")
    first = strokes[0]
    for one in strokes:
        if one.channels != first.channels or one.image.grid.axes != first.image.grid.axes:
            raise InputError(
                f"images to learn from must have the same axes and channels: {first.image.grid.axes} "
                f"{list(first.channels)} and {one.image.grid.axes} {list(one.channels)}"
            )
    if not 1 <= stages <= MOST_STAGES:
        raise ParameterError(f"stages ({stages}) must lie between 1 and {MOST_STAGES}")
    if not 0 <= seed <= 2**31:
        raise ParameterError(f"seed ({seed}) must lie between 0 and 2^31")
    known = _named(names, max(int(s.classes.max()) for s in strokes))
    drawn = drawn_places(strokes, seed)
    model = PixelModel((), known, first.channels)
    for _ in range(stages):
        model = _with_stage(model, chosen, learner, strokes, drawn, seed)
    return model


def _named(names: Sequence[str], count: int) -> tuple[str, ...]:
    """Return a name for each class, checked."""
    if count > MOST_CLASSES:
        raise InputError(
            f"the highest class is {count}; {MOST_CLASSES} are possible: paint classes (1, 2 …), not ids of objects"
        )
    known = tuple(names) + tuple(f"class {i}" for i in range(len(names) + 1, count + 1))
    if len(set(known)) < len(known) or not all(name.strip() and name.isprintable() for name in known):
        raise ParameterError(f"classes need different names, a line of text each; got {', '.join(map(repr, known))}")
    return known


def suited(learner: Classifier, n: int) -> Classifier:
    """Return a learner whose parameters, as far as they were not set, suit so many painted pixels.

    Pixels of one stroke are nearly copies of each other. Trees that each see few of them, and few features, differ, and
    together know more.
    """
    chosen: dict[str, float] = {}
    if isinstance(learner, RandomForest):
        chosen = {"sample_share": min(1.0, max(n / PLENTY, FEWEST / n))}
    elif isinstance(learner, FastTrees):
        chosen = dict(FAST)
    return learner.model_copy(update={k: v for k, v in chosen.items() if k not in learner.model_fields_set})


def _with_stage(
    model: PixelModel, banks: tuple[FeatureBank, ...], learner: Classifier, strokes: Sequence[Strokes],
    drawn: Sequence[NDArray[np.int64]], seed: int,
) -> PixelModel:  # fmt: skip
    """Return a model with one more stage, that sees the probabilities of those before."""
    stage = Stage(banks, learner)
    seen = [s.image for s in strokes] if not model.stages else _with_probabilities(model, strokes, drawn, seed)
    rows = [stage.at(image, points) for image, points in zip(seen, drawn, strict=True)]
    classes = [s.classes[tuple(points.T)].astype(np.int64) - 1 for s, points in zip(strokes, drawn, strict=True)]
    kinds = np.concatenate(classes)
    ready = suited(learner, len(kinds)).fit(np.concatenate(rows), kinds, n_classes=len(model.names), seed=seed)
    return replace(model, stages=(*model.stages, Stage(banks, ready)))


def _with_probabilities(
    model: PixelModel, strokes: Sequence[Strokes], drawn: Sequence[NDArray[np.int64]], seed: int
) -> list[Image]:
    """Return the images with probabilities as further channels, around each stroke from a model that did not see it.

    Two models learn from half of the strokes each; a pixel gets the probabilities of the one for which the nearest
    stroke is new.
    """
    last = model.stages[-1]
    halves = [_halves(s, points, seed) for s, points in zip(strokes, drawn, strict=True)]
    found: list[list[NDArray[np.float32]]] = []
    for half in (0, 1):
        parts = [points[own == half] for points, own in zip(drawn, halves, strict=True)]
        if all(not len(p) for p in parts):
            parts = list(drawn)
        bare = replace(model, stages=model.stages[:-1])
        learner = type(last.classifier)(**last.classifier.settings())
        trained = _with_stage(bare, last.banks, learner, strokes, parts, seed)
        found.append([trained.probabilities(s.image) for s in strokes])
    images = []
    for i, one in enumerate(strokes):
        nearest = _nearest(one, drawn[i], halves[i])
        mixed = np.where(nearest == 0, found[1][i], found[0][i])
        grid = one.image.grid
        data = joined(np.asarray(one.image.read(), np.float32), mixed, grid, 1)
        names = (*(one.image.channels or ("image",)), *(f"probability {n}" for n in model.names))
        images.append(Image(data, grid.with_axis("C", len(data)), names))
    return images


def _halves(strokes: Strokes, points: NDArray[np.int64], seed: int) -> NDArray[np.int64]:
    """Part the painted pixels in two: whole strokes, of each class about as many to either side."""
    from segmentry.kernels.components import label_components

    parts, _ = label_components(strokes.classes.astype(np.int32))
    own = parts[tuple(points.T)]
    kinds = strokes.classes[tuple(points.T)]
    rng = np.random.default_rng(seed)
    half = np.zeros(len(points), np.int64)
    for kind in np.unique(kinds):
        mine = np.unique(own[kinds == kind])
        if len(mine) == 1:
            half[kinds == kind] = rng.permutation(int((kinds == kind).sum())) % 2
        else:
            half[np.isin(own, rng.permutation(mine)[::2])] = 1
    return half


def _nearest(strokes: Strokes, points: NDArray[np.int64], halves: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return to which half the nearest painted pixel belongs, at each pixel."""
    from scipy.ndimage import distance_transform_edt

    marked = np.full(strokes.classes.shape, -1, np.int64)
    marked[tuple(points.T)] = halves
    if not len(points):
        return np.zeros(marked.shape, np.int64)
    at = distance_transform_edt(marked < 0, return_distances=False, return_indices=True)
    return np.asarray(marked[tuple(at)])


def drawn_places(strokes: Sequence[Strokes], seed: int = 0) -> list[NDArray[np.int64]]:
    """Return the places of painted pixels of each image, in raster order; a draw of each class that has too many."""
    places = [np.argwhere(s.classes > 0) for s in strokes]
    kinds = np.concatenate([s.classes[s.classes > 0] for s in strokes])
    if len(kinds) <= MOST_SAMPLES:
        return places
    rng = np.random.default_rng(seed)
    kept = np.zeros(len(kinds), np.bool_)
    for kind in np.unique(kinds):
        mine = np.flatnonzero(kinds == kind)
        count = max(LEAST_SAMPLES, math.ceil(MOST_SAMPLES * len(mine) / len(kinds)))
        kept[rng.permutation(mine)[:count]] = True
    parts = np.split(kept, np.cumsum([len(p) for p in places])[:-1])
    return [p[part] for p, part in zip(places, parts, strict=True)]
