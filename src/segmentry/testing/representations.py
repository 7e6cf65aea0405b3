"""The promises of representations: labels come back from their maps, and what nobody told stays untold."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from segmentry.image import Grid
from segmentry.learn.representation import UNLABELLED, Representation, offsets
from segmentry.metrics import match_objects
from segmentry.result import Instances, Semantic

__all__ = ["check_representation", "perfect_maps"]

NAMES = ("background", "object")
#: Overlap of each object with what comes back of it, for representations of any shape, and of round ones.
CLOSE = {"any": 0.95, "round": 0.7}


def check_representation(representation: Representation) -> None:
    """Assert every promise of a representation, in two and in three dimensions, with long pixels too."""
    for spacing in ((1.0, 1.0), (1.0, 0.5), (1.0, 1.0, 1.0), (2.0, 1.0, 1.0)):
        labels = _labels(len(spacing), representation.task == "semantic", representation.shapes == "any")
        grid = Grid("ZYX"[3 - len(spacing) :], labels.shape, spacing, "um")
        _comes_back(representation, labels, grid)
        _stays_untold(representation, labels, spacing)
    grid = Grid("YX", (5, 6))
    found = representation.decode(perfect_maps(representation, np.zeros(grid.shape, np.int64), (1, 1)), grid, NAMES)
    assert not len(found.instances()), "an image without objects gives some"


def perfect_maps(
    representation: Representation, labels: NDArray[np.int64], spacing: Sequence[float], names: Sequence[str] = NAMES
) -> NDArray[np.float32]:
    """Return the maps that a network would give that never errs."""
    known = representation.encode(labels, spacing)
    heads = representation.heads(names, labels.ndim)
    maps = np.zeros((sum(head.channels for head in heads), *labels.shape), np.float32)
    for head in heads:
        part, told = maps[offsets(heads)[head.name]], known[head.name]
        classes = np.arange(head.channels).reshape(-1, *(1,) * labels.ndim)
        part[:] = told == classes if head.kind == "classes" else np.nan_to_num(told)
    return maps


def _labels(ndim: int, semantic: bool, boxes: bool) -> NDArray[np.int64]:
    """Return balls, some of which touch, and boxes."""
    shape = (48, 60) if ndim == 2 else (20, 40, 48)
    places = np.indices(shape)
    labels = np.zeros(shape, np.int64)
    radius = 7.0
    for number, centre in enumerate([(0.3, 0.3), (0.3, 0.62), (0.75, 0.4), (0.72, 0.85)], 1):
        at = [0.5 * shape[0]] * (ndim - 2) + [c * n for c, n in zip(centre, shape[-2:], strict=True)]
        away = sum((p - a) ** 2 for p, a in zip(places, at, strict=True))
        labels[(away < radius**2) & (labels == 0)] = number
    if boxes:
        labels[..., 2:12, -12:-2], labels[..., 12:22, -12:-2] = 5, 6
    return np.minimum(labels, 1) if semantic else labels


def _comes_back(representation: Representation, labels: NDArray[np.int64], grid: Grid) -> None:
    maps = perfect_maps(representation, labels, grid.spacing or (1.0,) * labels.ndim)
    before = maps.copy()
    found = representation.decode(maps, grid, NAMES)
    assert np.array_equal(maps, before), "decode wrote to the maps"
    assert found.grid == grid, f"the grid became {found.grid}"
    if isinstance(found, Semantic):
        assert np.array_equal(np.asarray(found.classes), labels), "classes are others"
        return
    truth = Instances.from_labels(labels, grid)
    matched = len(match_objects(found, truth).matched(CLOSE[representation.shapes]))
    assert matched == len(truth) == len(found), f"{matched} of {len(truth)} objects come back, among {len(found)}"


def _stays_untold(representation: Representation, labels: NDArray[np.int64], spacing: Sequence[float]) -> None:
    untold = np.zeros(labels.shape, np.bool_)
    untold[..., 20:] = True
    for name, told in representation.encode(np.where(untold, UNLABELLED, labels), spacing).items():
        lost = told == UNLABELLED if told.dtype.kind == "i" else ~np.isfinite(told)
        assert lost[..., untold].all(), f"{name} says something where nothing is known"
        # Some maps have a meaning within objects only.
        assert not lost[..., ~untold & (labels > 0)].any(), f"{name} says nothing where something is known"
