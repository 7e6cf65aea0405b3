"""Objects counted without being told apart: a density that was learned from dots, and its integral.

Somebody puts a dot on each object in a few images or areas, and paints some background. Each dot, smoothed to a bell of
volume 1, is density; a forest of regression trees learns it from the features of the pixels (Lempitsky & Zisserman
2010; Fiaschi et al. 2012, as in ilastik). The sum of the density over an image, or a part of it, is the number of its
objects. How far it is off is known from blocks and images that were held out (:mod:`segmentry.learn.count_errors`).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segmentry.dots import Dots, blocks_of
from segmentry.errors import InputError, ParameterError
from segmentry.features import FeatureBank
from segmentry.image import Array, Grid, Image, Region
from segmentry.learn.count_errors import FEWEST_IMAGES, CountErrors
from segmentry.learn.model_file import Model
from segmentry.learn.random_forest import RandomForest
from segmentry.pixel_classification import PixelModel, Stage
from segmentry.tiling import cores, grow, inside, thread_count, tile_shape, window_grid

__all__ = ["FOREST", "Count", "DensityModel", "train_density"]

#: Learning takes so many pixels at most, one half of them near dots.
MOST_SAMPLES = 20_000
FOLDS = 5
FOREST: dict[str, Any] = {"n_trees": 50, "min_samples": 2}
TASK = "density"
NAMES = ("background", "object")
#: Densities are summed in whole parts of an object, so that no order of tiles changes the sum.
PARTS = 2**32
MAX_SIGMA = 100.0


@dataclass(frozen=True)
class Count:
    """How many objects there are: the number, and between which numbers it lies in 95 of 100 cases."""

    number: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.number:.1f} ({self.low:.1f} … {self.high:.1f})"


@dataclass(frozen=True, eq=False)
class DensityModel:
    """What was learned from dots.

    Parameters
    ----------
    pixels
        Its probability of ``object`` is the density as a share of `peak`.
    peak
        The highest density that it can give, in objects per pixel.
    sigma
        Width of a dot's bell, in pixels of the finest axis.
    errors
        How far its counts are off.
    """

    pixels: PixelModel
    peak: float
    sigma: float
    errors: CountErrors

    def __repr__(self) -> str:
        return f"DensityModel(sigma {self.sigma:g}, {len(self.pixels.channels)} channels, {self.errors})"

    @property
    def channels(self) -> tuple[str, ...]:
        """Names of the channels that it was trained on; an empty name for the only one."""
        return self.pixels.channels

    @property
    def provenance(self) -> Mapping[str, Any]:
        """What it was learned from."""
        return self.pixels.provenance

    @property
    def scores(self) -> Mapping[str, Any]:
        """How well it counted what was held out."""
        return self.pixels.scores

    def halo(self, grid: Grid) -> tuple[int, ...]:
        """Return how far it looks, in pixels per spatial axis."""
        return self.pixels.halo(grid)

    def picked(self, image: Image) -> tuple[int, ...] | None:
        """Return the numbers of the channels that it knows, as :meth:`PixelModel.picked` does."""
        return self.pixels.picked(image)

    def density(self, image: Image) -> NDArray[np.float32]:
        """Return the density of one time point, in objects per pixel.

        Where the image is a window cut out of a larger one, pixels nearer to a cut face than :meth:`halo` are 0.

        Raises
        ------
        InputError
            When the image has another number of channels than the model was trained on.
        """
        found: NDArray[np.float32] = self.pixels.probabilities(image)[1] * np.float32(self.peak)
        return found

    def count(self, image: Image, region: Region | NDArray[np.bool_] | None = None) -> Count:
        """Return the number of objects in one time point, which is read piece by piece.

        Parameters
        ----------
        image
            In memory or lazy.
        region
            Where to count: one slice per spatial axis, or a mask on them; everywhere when ``None``. Objects at its
            border count in part.

        Raises
        ------
        InputError
            When the image has other channels than were trained on, or time points, or the mask does not fit.
        """
        shape = image.grid.spatial_shape
        if isinstance(region, np.ndarray):
            if region.shape != shape:
                raise InputError(f"a mask of {region.shape} does not fit an image of {shape}")
            return self.judged(float(self.sums(image, region, np.array([False, True]))[1]))
        within = tuple(slice(*s.indices(n)) for s, n in zip(region or (slice(None),) * len(shape), shape, strict=True))
        total = sum(_parts(density).sum() for _, density in self.pieces(image, within))
        return self.judged(int(total) / PARTS)

    def sums(self, image: Image, labels: Array, ids: NDArray[Any]) -> NDArray[np.float64]:
        """Return the number of objects in the pixels of each label, which must be among the ascending ids."""
        found = np.zeros(len(ids), np.float64)
        whole = tuple(slice(0, size) for size in image.grid.spatial_shape)
        for place, density in self.pieces(image, whole):
            # Whole numbers below 2^53 have exact sums.
            parts = _parts(density).astype(np.float64).ravel()
            found += np.bincount(np.searchsorted(ids, np.asarray(labels[place]).ravel()), parts, len(ids))
        return found / PARTS

    def judged(self, number: float) -> Count:
        """Return a number with its interval."""
        return Count(number, *self.errors.interval(number))

    def pieces(self, image: Image, region: Region) -> Iterator[tuple[Region, NDArray[np.float32]]]:
        """Yield the density of a region piece by piece, and where each piece is."""
        if "T" in image.grid.axes:
            raise InputError("count one time point at a time")
        self.picked(image)
        shape = [s.stop - s.start for s in region]
        if min(shape) < 1:
            return
        for core in cores(shape, tile_shape(shape)):
            place = tuple(slice(c.start + r.start, c.stop + r.start) for c, r in zip(core, region, strict=True))
            window = grow(place, self.halo(image.grid), image.grid.spatial_shape)
            seen = image.window(window)
            cut = Image(seen.data, window_grid(image.grid, window), seen.channels)
            yield place, self.density(cut)[inside(place, window)]

    def to_model(self) -> Model:
        """Return it as what a file holds."""
        model = self.pixels.to_model()
        more = {"peak": self.peak, "sigma": self.sigma, "errors": self.errors.to_dict()}
        return replace(model, task=TASK, features={**model.features, "density": more})

    @classmethod
    def from_model(cls, model: Model) -> DensityModel:
        """Return what a file holds.

        Raises
        ------
        InputError
            When it is a model of something else, or makes no sense.
        """
        if model.task != TASK:
            raise InputError(f"the model tells {model.task} apart, it does not count: train density_counting")
        told = model.features.get("density") if isinstance(model.features, dict) else None
        if not isinstance(told, dict) or set(told) != {"peak", "sigma", "errors"} or model.names != NAMES:
            raise InputError("the model does not say what its density is")
        for name, most in (("peak", 1e6), ("sigma", MAX_SIGMA)):
            if type(told[name]) not in (int, float) or not 0 < told[name] <= most:
                raise InputError(f"{name} of the model's density is {told[name]!r:.40}")
        pixels = PixelModel.from_model(replace(model, task="pixels"))
        if len(pixels.stages) != 1:
            raise InputError(f"a density has one stage; the model has {len(pixels.stages)}")
        return cls(pixels, float(told["peak"]), float(told["sigma"]), CountErrors.from_dict(told["errors"]))


@dataclass(frozen=True, eq=False)
class _Sample:
    """Pixels to learn from: their features, density as a share of the peak, weights, and the fold of each."""

    features: NDArray[np.float32]
    shares: NDArray[np.float64]
    weights: NDArray[np.float64]
    folds: NDArray[np.int64]


def train_density(
    examples: Sequence[Dots],
    banks: Sequence[FeatureBank] | None = None,
    forest: RandomForest | None = None,
    *,
    sigma: float = 2.5,
    seed: int = 0,
) -> DensityModel:
    """Return a model that learned from dots, and how far its counts are off in images or blocks that it did not see.

    Parameters
    ----------
    examples
        One image or many, with the same channels; three and more tell how images differ.
    banks
        What pixels are told apart by; ilastik's offer when ``None``.
    forest
        Says how many trees there are, and how large; 50 with 2 pixels in a leaf when ``None``.
    sigma
        Width of a dot's bell, in pixels of the finest axis: a quarter of an object's diameter does.
    seed
        Of what is left to chance.

    Raises
    ------
    InputError
        When there are no dots, or channels differ.
    """
    _check(examples, sigma)
    chosen = tuple(banks or (FeatureBank(),))
    settings = forest or RandomForest(**FOREST)
    lessons = [one.lesson(sigma) for one in examples]
    peak = max(float(density[known].max()) for known, density in lessons if known.any())
    blocks = [blocks_of(one.image.grid, sigma) for one in examples]
    folds = _folds(blocks, [known for known, _ in lessons], seed)
    sample = _drawn(examples, lessons, folds, peak, chosen, seed)
    channels = examples[0].channels
    n = sum(len(one.places) for one in examples)
    provenance = {"dots": n, "images": [one.image.name for one in examples], "seed": seed}

    def grown(kept: NDArray[np.bool_]) -> PixelModel:
        stage = Stage(chosen, _forest(sample, kept, settings, seed))
        return PixelModel((stage,), NAMES, channels, provenance=provenance)

    rows = []
    for fold in np.unique(np.concatenate([np.unique(f[k]) for f, (k, _) in zip(folds, lessons, strict=True)])):
        model = grown(sample.folds != fold) if (sample.folds != fold).any() else None
        for i, (known, density) in enumerate(lessons):
            there = known & (folds[i] == fold)
            if model is not None and there.any():
                found = model.probabilities(examples[i].image)[1]
                rows += _held_out(i, blocks[i][there], density[there], found[there] * peak)
    table = np.array(rows).reshape(-1, 4)
    errors = CountErrors.of(table[:, 2], table[:, 3], table[:, 0])
    pixels = replace(grown(np.ones(len(sample.folds), np.bool_)), scores=_scores(table, errors))
    return DensityModel(pixels, peak * errors.ratio, sigma, errors)


def _check(examples: Sequence[Dots], sigma: float) -> None:
    if not 0 < sigma <= MAX_SIGMA:
        raise ParameterError(f"sigma of a dot is {sigma:g}; it must be above 0, {MAX_SIGMA:g} at most")
    if not any(len(one.places) for one in examples):
        raise InputError("there is nothing to learn from: put a dot on each object of an image, or of an area in it")
    first = examples[0].image
    for one in examples:
        if one.channels != examples[0].channels or one.image.grid.axes != first.grid.axes:
            raise InputError(
                f"images to learn from must have the same axes and channels: {first.grid.axes} "
                f"{list(examples[0].channels)} and {one.image.grid.axes} {list(one.channels)}"
            )


def _folds(
    blocks: Sequence[NDArray[np.int64]], known: Sequence[NDArray[np.bool_]], seed: int
) -> list[NDArray[np.int64]]:
    """Give each pixel the part with which it is held out: that of its image or, of fewer images, of its block."""
    rng = np.random.default_rng(seed)
    several = sum(bool(k.any()) for k in known) >= FEWEST_IMAGES
    found = []
    order = rng.permutation(len(blocks)) % FOLDS
    for i, (block, there) in enumerate(zip(blocks, known, strict=True)):
        numbers = np.unique(block[there])
        part = np.zeros(int(block.max()) + 1, np.int64)
        part[numbers] = order[i] if several else rng.permutation(len(numbers)) % FOLDS
        found.append(part[block])
    return found


def _drawn(
    examples: Sequence[Dots], lessons: Sequence[tuple[NDArray[np.bool_], NDArray[np.float32]]],
    folds: Sequence[NDArray[np.int64]], peak: float, banks: Sequence[FeatureBank], seed: int,
) -> _Sample:  # fmt: skip
    """Draw the pixels to learn from, evenly among those near dots and among the others; weights make up for it."""
    rng = np.random.default_rng(seed)
    near = sum(int((density[known] > 0).sum()) for known, density in lessons)
    far = sum(int(known.sum()) for known, _ in lessons) - near
    most = max(MOST_SAMPLES // 2, MOST_SAMPLES - min(near, far))
    rows, shares, weights, parts = [], [], [], []
    for one, (known, density), fold in zip(examples, lessons, folds, strict=True):
        for total, mask in ((near, known & (density > 0)), (far, known & (density <= 0))):
            points = np.argwhere(mask)
            kept = min(1.0, most / max(total, 1))
            points = points[np.sort(rng.permutation(len(points))[: math.ceil(len(points) * kept)])]
            at = tuple(points.T)
            rows.append(np.concatenate([bank.at(one.image, points) for bank in banks], axis=1))
            shares.append(np.clip(density[at].astype(np.float64) / peak, 0, 1))
            weights.append(np.full(len(points), 1 / kept))
            parts.append(fold[at])
    joined = np.concatenate(rows)
    if not np.isfinite(joined).all():
        raise InputError("images to learn from must be finite near dots and background: fill NaN and infinity first")
    return _Sample(joined, np.concatenate(shares), np.concatenate(weights), np.concatenate(parts))


def _forest(sample: _Sample, kept: NDArray[np.bool_], settings: RandomForest, seed: int) -> RandomForest:
    """Return regression trees, packed as those of a classifier: a leaf of mean share s says s for an object."""
    from sklearn.ensemble import RandomForestRegressor

    from segmentry.kernels.forest import Forest, Tree

    forest = RandomForestRegressor(
        settings.n_trees,
        max_depth=settings.max_depth,
        min_samples_leaf=settings.min_samples,
        max_features="sqrt",
        n_jobs=thread_count(),
        random_state=seed,
    )
    forest.fit(sample.features[kept], sample.shares[kept], sample.weights[kept])
    trees = []
    for tree in (estimator.tree_ for estimator in forest.estimators_):
        share = np.clip(tree.value[:, 0, 0], 0, 1)
        leaf = np.stack([1 - share, share], axis=1)
        trees.append(Tree(tree.feature, tree.threshold, tree.children_left, tree.children_right, leaf))
    packed = Forest.from_trees(trees, sample.features.shape[1])
    return RandomForest.from_forest(packed, forest.feature_importances_, **settings.settings())


def _held_out(
    image: int, block: NDArray[np.int64], true: NDArray[np.float32], found: NDArray[np.float32]
) -> list[tuple[int, int, float, float]]:
    """Return a row for each block: image, block, true and predicted number."""
    sums = (np.bincount(block, values.astype(np.float64)) for values in (true, found))
    return [(image, int(b), t, p) for b, (t, p) in enumerate(zip(*sums, strict=True)) if b in set(np.unique(block))]


def _scores(table: NDArray[np.float64], errors: CountErrors) -> dict[str, Any]:
    """Return how well blocks and images were counted by models that did not see them."""
    images = np.unique(table[:, 0])
    several = len(images) >= FEWEST_IMAGES
    pieces = [table[table[:, 0] == i] for i in images] if several else [row[None] for row in table]
    sums = np.array([piece[:, 2:].sum(axis=0) for piece in pieces]).reshape(-1, 2) * (1, errors.ratio)
    off = np.abs(sums[:, 0] - sums[:, 1])
    return {
        "what": f"{'images' if several else 'blocks'} that were not learned from",
        "pieces": len(sums),
        "objects": float(sums[:, 0].sum()),
        "mean_absolute_error": float(off.mean()) if len(sums) else None,
        "relative_error": float(off.sum() / max(sums[:, 0].sum(), 1)) if len(sums) else None,
        **errors.to_dict(),
    }


def _parts(density: NDArray[np.float32]) -> NDArray[np.int64]:
    found: NDArray[np.int64] = np.rint(density.astype(np.float64) * PARTS).astype(np.int64)
    return found
