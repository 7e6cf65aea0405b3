"""k-means: pixels are grouped by colour or by the intensities of their channels.

Centres start far apart (k-means++, Arthur & Vassilvitskii 2007) and move to the mean of the pixels nearest to them
until they rest (Lloyd 1982). They are learned from a sample of the whole image. Colour images are compared in CIELAB,
where distances are those that people see. It works where each material has a colour of its own; it knows nothing of
neighbourhood, so smooth noisy images first.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from segmentry.filters.lab import rgb_to_lab
from segmentry.image import Image
from segmentry.overview import Overview
from segmentry.result import Semantic
from segmentry.step import Segmenter

__all__ = ["KMeans"]

SAMPLE = 200_000
ROUNDS = 100


class KMeans(Segmenter):
    """Groups pixels of similar colour or intensity into classes: stains, tissues, materials."""

    name: ClassVar[str] = "kmeans"
    task: ClassVar[Literal["semantic"]] = "semantic"
    source: ClassVar[str] = "Lloyd 1982, doi:10.1109/TIT.1982.1056489"
    colour: ClassVar[bool] = True

    n_classes: int = Field(3, ge=2, le=64, description="Number of classes, the background included.")
    background: Literal["darkest", "brightest", "largest"] = Field(
        "darkest", description="Which class is background; the others are numbered by distance from it."
    )
    seed: int = Field(0, ge=0, le=2**31, description="Seed of the sample and of the first centres.")
    centres_: tuple[tuple[float, ...], ...] | None = Field(None, description="Centre of each class, background first.")
    scale_: tuple[float, ...] | None = Field(None, description="What each channel is divided by.")
    white_: float = Field(1.0, description="Intensity of full white, for colour images.")
    spread_: float | None = Field(None, description="Mean squared distance of a pixel to its centre.")

    def prepare(self, overview: Overview) -> Self:
        raw = overview.sample(SAMPLE, self.seed)
        colour = overview.image.is_rgb
        white = _white(max(overview.range(c)[1] for c in range(overview.n_channels))) if colour else 1.0
        values = rgb_to_lab(raw.T[:3], white).T if colour else raw.astype(np.float64)
        if not len(values):
            values = np.zeros((1, values.shape[1]))
        scale = np.ones(values.shape[1]) if colour or values.shape[1] == 1 else np.maximum(values.std(axis=0), 1e-12)
        pixels, weights = np.unique(values / scale, axis=0, return_counts=True)
        centres, nearest = _lloyd(pixels, weights, self.n_classes, np.random.default_rng(self.seed))
        shares = np.bincount(nearest, weights, len(centres))
        spread = float((weights * ((pixels - centres[nearest]) ** 2).sum(axis=1)).sum() / weights.sum())
        order = _order(centres, shares, self.background, lightness=0 if colour else None)
        found = tuple(tuple(float(v) for v in centre) for centre in centres[order])
        learned = {"centres_": found, "scale_": tuple(float(s) for s in scale), "white_": white, "spread_": spread}
        return self.model_copy(update=learned)

    def segment(self, image: Image) -> Semantic:
        ready = self.prepared(image)
        assert ready.centres_ is not None
        assert ready.scale_ is not None
        raw = image.read()
        channels = np.moveaxis(raw, image.grid.axes.index("C"), 0) if "C" in image.grid.axes else raw[None]
        values = rgb_to_lab(channels[:3], ready.white_) if image.is_rgb else channels.astype(np.float64)
        scaled = [channel / scale for channel, scale in zip(values, ready.scale_, strict=True)]
        squared = _squared(scaled, np.array(ready.centres_))
        classes = squared.argmin(axis=0)
        near = (squared - squared.min(axis=0)) / (2 * max(ready.spread_ or 0.0, 1e-12) / len(values))
        weight = np.exp(-np.minimum(near, 80))
        total = np.zeros(weight.shape[1:])
        for part in weight:
            total += part
        names = ("background", *(f"class {i}" for i in range(1, self.n_classes)))
        probabilities = np.zeros((self.n_classes, *classes.shape), np.float32)
        probabilities[: len(weight)] = weight / total
        return Semantic(classes.astype(np.uint8), image.grid.without("C"), names, probabilities)


def _squared(channels: Sequence[NDArray[np.float64]], centres: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the squared distance of each pixel (channels first) to each centre, centres first."""
    total = np.zeros((len(centres), *channels[0].shape))
    for k, centre in enumerate(centres):
        for channel, at in zip(channels, centre, strict=True):
            total[k] += (channel - at) ** 2
    return total


def _lloyd(
    pixels: NDArray[np.float64], weights: NDArray[np.int64], n: int, rng: np.random.Generator
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return at most `n` centres of weighted points, and for each point the nearest of them."""
    centres = pixels[rng.choice(len(pixels), 1, p=weights / weights.sum())]
    for _ in range(min(n, len(pixels)) - 1):
        chance = weights * _squared(list(pixels.T), centres).min(axis=0)
        centres = np.vstack([centres, pixels[rng.choice(len(pixels), p=chance / chance.sum())]])
    nearest = np.full(len(pixels), -1)
    for _ in range(ROUNDS):
        before = nearest
        nearest = _squared(list(pixels.T), centres).argmin(axis=0)
        if np.array_equal(before, nearest):
            break
        shares = np.bincount(nearest, weights, len(centres))
        for axis in range(pixels.shape[1]):
            sums = np.bincount(nearest, weights * pixels[:, axis], len(centres))
            centres[:, axis] = np.where(shares > 0, sums / np.maximum(shares, 1), centres[:, axis])
    return centres, nearest


def _order(
    centres: NDArray[np.float64], shares: NDArray[Any], background: str, lightness: int | None
) -> NDArray[np.int64]:
    """Return the classes with the background first and the others by their distance from it."""
    bright = centres.sum(axis=1) if lightness is None else centres[:, lightness]
    first = int({"darkest": bright.argmin(), "brightest": bright.argmax(), "largest": shares.argmax()}[background])
    distance = ((centres - centres[first]) ** 2).sum(axis=1)
    distance[first] = -1
    return np.argsort(distance, kind="stable")


def _white(highest: float) -> float:
    """Return the intensity of full white: the least of 1, 255 and 65,535 that no pixel exceeds."""
    return next((white for white in (1.0, 255.0, 65_535.0) if highest <= white), highest)
