"""Pixels told apart by what they look like: features at several scales, and a classifier that learned from strokes.

A model has one stage or, for autocontext, several: each sees the image and the probabilities that the stage before
gives, so that a class can depend on which classes lie around (Tu & Bai 2010, doi:10.1109/TPAMI.2009.186). Features and
probabilities of a pixel are the same in any window that holds its surroundings.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segmentry.errors import InputError, one_line
from segmentry.features import Feature, FeatureBank
from segmentry.image import Grid, Image, Region
from segmentry.learn.classifier import Classifier
from segmentry.learn.model_file import Model

__all__ = ["MOST_CLASSES", "PixelModel", "Stage", "joined"]

#: Values of features that are held at a time.
VALUES = 2**23
#: Classes are saved as 8-bit numbers.
MOST_CLASSES = 255
MOST_LEVELS = 65_535
TASK = "pixels"
#: What a channel is called that has no name.
UNNAMED = re.compile(r"|channel \d+")


@dataclass(frozen=True, eq=False)
class Stage:
    """One classifier and what it looks at.

    Parameters
    ----------
    banks
        Their features lie one after the other.
    classifier
        It has learned from these features.
    levels
        Probabilities of the stage before are channels: times this number and, where it is not 1, rounded down.
    """

    banks: tuple[FeatureBank, ...]
    classifier: Classifier
    levels: int = 1

    def n_planes(self, grid: Grid) -> int:
        """Return how many values a pixel has."""
        return sum(bank.n_planes(grid) for bank in self.banks)

    def halo(self, grid: Grid) -> tuple[int, ...]:
        """Return how far it looks, in pixels per spatial axis."""
        return tuple(max(reach) for reach in zip(*(bank.halo(grid) for bank in self.banks), strict=True))

    def names(self, grid: Grid, channels: Sequence[str]) -> list[str]:
        """Return what each feature is called."""
        return [name for bank in self.banks for name in bank.names(grid, channels)]

    def at(self, image: Image, points: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return the features of some pixels, as (points, planes)."""
        return np.concatenate([bank.at(image, points) for bank in self.banks], axis=1)

    def predict(self, pixels: NDArray[Any], grid: Grid, region: Region, out: NDArray[np.float32]) -> None:
        """Write the probabilities of the pixels of a region to ``out[:, region]``, strip by strip."""
        planes = self.n_planes(grid)
        shape = [s.stop - s.start for s in region]
        rows = max(1, VALUES // (planes * math.prod(shape[1:])))
        buffer = np.empty(planes * min(rows, shape[0]) * math.prod(shape[1:]), np.float32)
        for start in range(region[0].start, region[0].stop, rows):
            strip = (slice(start, min(start + rows, region[0].stop)), *region[1:])
            size = [s.stop - s.start for s in strip]
            values = buffer[: planes * math.prod(size)].reshape(planes, *size)
            at = 0
            for bank in self.banks:
                n = bank.n_planes(grid)
                bank.compute(pixels, grid, strip, values[at : at + n])
                at += n
            found = self.classifier.predict(values.reshape(planes, -1))
            out[(slice(None), *strip)] = found.reshape(len(found), *size)


@dataclass(frozen=True, eq=False)
class PixelModel:
    """What a trained pixel classifier knows.

    Parameters
    ----------
    stages
        One, or several for autocontext.
    names
        Names of the classes, in the order of the probabilities.
    channels
        Names of the channels that it was trained on; an empty name for the only one.
    colours, provenance, scores
        As in :class:`segmentry.learn.model_file.Model`.
    """

    stages: tuple[Stage, ...]
    names: tuple[str, ...]
    channels: tuple[str, ...] = ("",)
    colours: tuple[tuple[int, int, int], ...] = ()
    provenance: Mapping[str, Any] = field(default_factory=dict)
    scores: Mapping[str, Any] = field(default_factory=dict)

    def halo(self, grid: Grid) -> tuple[int, ...]:
        """Return how far it looks, in pixels per spatial axis: the stages one after the other."""
        reaches = [stage.halo(self._seen(grid, i)) for i, stage in enumerate(self.stages)]
        return tuple(sum(axis) for axis in zip(*reaches, strict=True))

    def probabilities(self, image: Image) -> NDArray[np.float32]:
        """Return the probability of each class as (classes, *spatial).

        Where the image is a window cut out of a larger one, pixels nearer to a cut face than :meth:`halo` are 0.

        Raises
        ------
        InputError
            When the image has other channels than the model was trained on, or is a volume and the model knows planes.
        """
        pixels, image_grid = np.asarray(image.read(), np.float32), image.grid
        picked = self.picked(image)
        if picked is not None:
            pixels = pixels.take(picked, axis=image_grid.axes.index("C"))
            image_grid = image_grid.with_axis("C", len(picked))
        self._check(image_grid)
        found = np.zeros((0, *image_grid.spatial_shape), np.float32)
        far = (0,) * len(image_grid.spatial)
        for i, stage in enumerate(self.stages):
            grid = self._seen(image_grid, i)
            seen = joined(pixels, found, image_grid, stage.levels) if i else pixels
            far = tuple(a + b for a, b in zip(far, stage.halo(grid), strict=True))
            found = np.zeros((stage.classifier.n_classes, *image_grid.spatial_shape), np.float32)
            region = _kept(image_grid, far)
            if all(s.start < s.stop for s in region):
                stage.predict(seen, grid, region, found)
        return found

    def picked(self, image: Image) -> tuple[int, ...] | None:
        """Return the numbers of the channels that it knows by name; ``None`` where it takes all as they come.

        Raises
        ------
        InputError
            When names don't tell and the image has another number of channels, with both.
        """
        known, here = self.channels, image.channels
        if here and not any(UNNAMED.fullmatch(name) for name in known) and set(known) <= set(here):
            found = tuple(here.index(name) for name in known)
            return None if found == tuple(range(len(here))) else found
        self.check(image.grid)
        return None

    def check(self, grid: Grid) -> None:
        """Refuse images with another number of channels.

        Raises
        ------
        InputError
            With both numbers.
        """
        here, known = grid.length("C"), self.channels
        if here != len(known):
            names = f" ({', '.join(known)})" if known[0] else ""
            raise InputError(
                f"the model was trained on {len(known)} channel{'s' * (len(known) > 1)}{names}; the image has {here}: "
                "choose the channels that it knows"
            )

    def to_model(self) -> Model:
        """Return it as what a file holds."""
        told = [{"banks": [_written(bank) for bank in s.banks], "levels": s.levels} for s in self.stages]
        *before, last = (stage.classifier for stage in self.stages)
        channels = self.channels if self.channels[0] else ()
        return Model(
            last, self.names, {"stages": told}, TASK, self.colours, channels, self.provenance, self.scores,
            tuple(before),
        )  # fmt: skip

    @classmethod
    def from_model(cls, model: Model) -> PixelModel:
        """Return what a file holds.

        Raises
        ------
        InputError
            When it is a model of something else, or its features can't be understood.
        """
        if model.task != TASK:
            raise InputError(f"the model tells {model.task} apart, not pixels")
        try:
            told = model.features["stages"]
            classifiers = (*model.before, model.classifier)
            stages = tuple(_stage(one, classifier) for one, classifier in zip(told, classifiers, strict=True))
        except (ArithmeticError, LookupError, TypeError, ValueError) as error:
            raise InputError(f"the features of the model can't be understood: {one_line(error)}") from error
        if len(model.names) > MOST_CLASSES:
            raise InputError(f"the model tells {len(model.names)} classes apart; {MOST_CLASSES} are the most")
        return cls(stages, model.names, model.channels or ("",), model.colours, model.provenance, model.scores)

    def _check(self, grid: Grid) -> None:
        """Refuse images of which there are other features than the classifiers learned from."""
        if all(self._fits(grid)):
            return
        channels = grid.length("C")
        if len(grid.spatial) == 3 and all(self._fits(Grid("CYX", (channels, 9, 9)))):
            raise InputError(
                "the model was trained on planes, and the image is a volume: segment each plane by itself (planes: "
                "true), or train with --planes"
            )
        if all(self._fits(Grid("CZYX", (channels, 9, 9, 9)))):
            raise InputError("the model was trained on volumes, and the image is a plane: train one on planes")
        raise InputError("the model is damaged: its classifiers don't look at as many features as it says")

    def _fits(self, grid: Grid) -> list[bool]:
        """Return for each stage whether it learned from as many features as there are."""
        return [s.n_planes(self._seen(grid, i)) == s.classifier.n_features for i, s in enumerate(self.stages)]

    def _seen(self, grid: Grid, stage: int) -> Grid:
        """Return the grid of what a stage sees: the image and the probabilities of the stage before."""
        before = self.stages[stage - 1].classifier.n_classes if stage else 0
        return grid.with_axis("C", grid.length("C") + before) if stage else grid


def joined(pixels: NDArray[np.float32], found: NDArray[np.float32], grid: Grid, levels: int) -> NDArray[np.float32]:
    """Return the channels of an image and probabilities as further ones."""
    scaled = found if levels == 1 else np.floor(found * np.float32(levels))
    return np.concatenate([pixels if "C" in grid.axes else pixels[None], scaled]).astype(np.float32, copy=False)


def _kept(grid: Grid, far: Sequence[int]) -> Region:
    """Return the pixels of a window that are at least so far from its cut faces."""
    cut = grid.cut or ((False, False),) * len(grid.spatial)
    sides = zip(grid.spatial_shape, cut, far, strict=True)
    return tuple(slice(f * low, n - f * high) for n, (low, high), f in sides)


def _stage(told: Mapping[str, Any], learned: Classifier) -> Stage:
    """Return a stage as a file describes it, checked."""
    stage = Stage(tuple(_read(bank) for bank in told["banks"]), learned, int(told["levels"]))
    if not stage.banks or not 1 <= stage.levels <= MOST_LEVELS:
        raise InputError(f"a stage has {len(stage.banks)} lists of features, and {stage.levels} levels")
    return stage


def _written(bank: FeatureBank) -> dict[str, Any]:
    features = [[f.name, f.sigma] for f in bank.features]
    return {"features": features, "planes": bank.planes, "spacing_aware": bank.spacing_aware}


def _read(told: Mapping[str, Any]) -> FeatureBank:
    features = tuple(Feature(str(name), float(sigma)) for name, sigma in told["features"])
    return FeatureBank(features, bool(told["planes"]), bool(told["spacing_aware"]))
