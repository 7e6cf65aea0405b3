"""Clustering: pixels grouped by their intensities alone, whatever the rule that groups them.

One channel is learned from the histogram of the whole image, several from a sample of it. Colours are compared in
CIELAB, where distances are those that people see; other channels are divided by their spread, so that they count alike.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from segmentry.filters.lab import full_white, rgb_to_lab
from segmentry.image import Image
from segmentry.overview import Overview
from segmentry.result import Semantic
from segmentry.step import Segmenter

__all__ = ["Clustering", "Rows", "first_groups", "rows"]

SAMPLE = 200_000
#: Of so many points the first centres are chosen.
SOME = 20_000
ROUNDS = 100

Rows = tuple[tuple[float, ...], ...]


class Clustering(Segmenter):
    """A method that learns groups of intensities and gives each pixel to one of them."""

    task: ClassVar[Literal["semantic"]] = "semantic"
    colour: ClassVar[bool] = True

    n_classes: int = Field(3, ge=2, le=64, description="Number of classes, the background included.")
    background: Literal["darkest", "brightest", "largest"] = Field(
        "darkest", description="Which class is background; the others are numbered by distance from it."
    )
    seed: int = Field(0, ge=0, le=2**31, description="Seed of the sample and of the first centres.")
    centres_: Rows | None = Field(None, description="Centre of each class, background first.")
    scale_: tuple[float, ...] | None = Field(None, description="What each channel is divided by.")
    white_: float = Field(1.0, description="Intensity of full white, for colour images.")

    def learn(self, points: NDArray[np.float64], weights: NDArray[np.float64], colour: bool) -> dict[str, Any]:
        """Return what describes the classes, ``centres_`` among it, in the order of :meth:`ordered`.

        Parameters
        ----------
        points : (n, channels) array, each row once
        weights : (n,) array, how often it occurs
        colour
            Whether the first channel is lightness, and the others hue.
        """
        raise NotImplementedError

    def assign(self, points: NDArray[np.float64]) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
        """Return the class of each point, and the probability of each class, classes first."""
        raise NotImplementedError

    def prepare(self, overview: Overview) -> Self:
        colour = overview.image.is_rgb
        white = full_white(max(overview.range(c)[1] for c in range(overview.n_channels))) if colour else 1.0
        raw, weights = _seen(overview, self.seed)
        values = _lab(raw, white) if colour else raw
        scale = np.ones(values.shape[1])
        if values.shape[1] > 1 and not colour:
            mean = np.average(values, axis=0, weights=weights)
            spread = np.sqrt(np.average((values - mean) ** 2, axis=0, weights=weights))
            scale = np.where(spread > 0, spread, 1.0)
        learned = self.learn(values / scale, weights, colour)
        return self.model_copy(update={"scale_": tuple(map(float, scale)), "white_": white, **learned})

    def segment(self, image: Image) -> Semantic:
        from segmentry.kernels.clusters import palette

        ready = self.prepared(image)
        assert ready.scale_ is not None
        grid = image.grid.without("C")
        raw = image.read()
        channels = np.moveaxis(raw, image.grid.axes.index("C"), 0) if "C" in image.grid.axes else raw[None]
        seen = [c.ravel() for c in channels[: len(ready.scale_)]]
        pixels = np.stack(seen, axis=-1, dtype=np.float32, casting="unsafe")
        # Most images hold far fewer colours than pixels: each colour is looked at once.
        found = palette(pixels, max(len(pixels) // 2, 1))
        colours = pixels if found is None else pixels[found[0]]
        values = _lab(colours, ready.white_) if image.is_rgb else colours.astype(np.float64)
        classes, probabilities = ready.assign(values / np.array(ready.scale_))
        missing = self.n_classes - len(probabilities)
        if missing:
            probabilities = np.concatenate([probabilities, np.zeros((missing, len(classes)), np.float32)])
        if found is not None:
            classes, probabilities = classes[found[1]], np.take(probabilities, found[1], axis=1)
        names = ("background", *(f"class {i}" for i in range(1, self.n_classes)))
        shape = (self.n_classes, *grid.shape)
        return Semantic(classes.reshape(grid.shape), grid, names, probabilities.reshape(shape))

    def ordered(self, centres: NDArray[np.float64], shares: NDArray[Any], colour: bool) -> NDArray[np.int64]:
        """Return the classes with the background first and the others by their distance from it."""
        bright = centres[:, 0] if colour else centres.sum(axis=1)
        first = {"darkest": bright.argmin(), "brightest": bright.argmax(), "largest": shares.argmax()}[self.background]
        distance = ((centres - centres[first]) ** 2).sum(axis=1)
        distance[first] = -1
        return np.argsort(distance, kind="stable")


def first_groups(
    points: NDArray[np.float64], weights: NDArray[np.float64], n: int, seed: int
) -> tuple[NDArray[np.float64], NDArray[np.int64], float]:
    """Return at most `n` centres of weighted points by k-means, the nearest of each point, and their spread.

    They find their place among some of the points, so that few rounds are left with all of them.
    """
    from segmentry.kernels.clusters import lloyd

    some = slice(None, None, max(1, len(points) // SOME))
    centres = _far_apart(points[some], weights[some], n, np.random.default_rng(seed))
    lloyd(points[some], weights[some], centres, ROUNDS)
    nearest, spread = lloyd(points, weights, centres, ROUNDS)
    return centres, nearest, spread / float(weights.sum())


def _far_apart(
    points: NDArray[np.float64], weights: NDArray[np.float64], n: int, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Return at most `n` points that lie far apart (k-means++, Arthur & Vassilvitskii 2007).

    Of some candidates for each, drawn with a chance that grows with the squared distance to those there are, the best
    is taken.
    """
    centres = points[rng.choice(len(points), 1, p=weights / weights.sum())]
    distance = _squared(points, centres[0])
    for _ in range(min(n, len(points)) - 1):
        chance = weights * distance
        drawn = rng.choice(len(points), 2 + int(np.log(n)), p=chance / chance.sum())
        closer = [np.minimum(distance, _squared(points, points[i])) for i in drawn]
        best = int(np.argmin([(weights * c).sum() for c in closer]))
        centres, distance = np.vstack([centres, points[drawn[best]]]), closer[best]
    return centres


def rows(array: NDArray[np.float64]) -> Rows:
    """Return an array as plain data."""
    return tuple(tuple(float(v) for v in row) for row in array)


def _seen(overview: Overview, seed: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the intensities to learn from, one row each, and how often they occur."""
    from segmentry.kernels.clusters import palette

    if overview.n_channels == 1:
        histogram = overview.histogram()
        used = histogram.counts > 0
        points, weights = histogram.values[used][:, None], histogram.counts[used].astype(np.float64)
    else:
        sample = overview.sample(SAMPLE, seed)
        found = palette(sample, max(len(sample), 1))
        assert found is not None
        points, weights = sample[found[0]].astype(np.float64), np.bincount(found[1]).astype(np.float64)
    if not len(points):
        return np.zeros((1, overview.n_channels)), np.ones(1)
    return points, weights


def _squared(points: NDArray[np.float64], centre: NDArray[np.float64]) -> NDArray[np.float64]:
    total = np.zeros(len(points))
    for channel, at in zip(points.T, centre, strict=True):
        total += (channel - at) ** 2
    return total


def _lab(rgb: NDArray[Any], white: float) -> NDArray[np.float64]:
    """Return CIELAB of rows of red, green and blue."""
    return np.ascontiguousarray(rgb_to_lab(rgb[:, :3].T, white).T)
