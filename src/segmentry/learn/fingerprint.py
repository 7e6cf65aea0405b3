"""What a set of labelled images is like: one pass over it, image by image."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from segmentry.errors import InputError
from segmentry.learn.examples import Example, Examples
from segmentry.learn.objects import diameters
from segmentry.learn.plan import Fingerprint
from segmentry.learn.representation import UNLABELLED
from segmentry.overview import Overview

__all__ = ["Places", "fingerprint"]

#: Places of each class that are remembered for each image.
REMEMBERED = 1000
#: Labels up to this may be classes; up to so few they are.
MOST_CLASSES, FEW = 20, 3

#: For each example, where pixels of each class lie: some of them, as (n, axes) positions.
Places = list[dict[int, NDArray[np.int32]]]


@dataclass
class _Seen:
    """What is counted while images go by."""

    shapes: list[tuple[int, ...]] = field(default_factory=list)
    spacings: list[tuple[tuple[float, ...], str]] = field(default_factory=list)
    channels: list[tuple[str, ...]] = field(default_factory=list)
    values: Counter[int] = field(default_factory=Counter)
    sizes: list[int] = field(default_factory=list)
    moments: list[NDArray[np.float64]] = field(default_factory=list)
    pieces: list[float] = field(default_factory=list)


def fingerprint(
    examples: Examples,
    names: Sequence[str] = (),
    task: Literal["semantic", "instances"] | None = None,
    seed: int = 0,
    tell: Callable[[str, float], None] | None = None,
) -> tuple[Fingerprint, Places]:
    """Return what is known of examples, and where pixels of each class lie in them.

    Parameters
    ----------
    examples
        All of them.
    names
        Of the classes, the background first; numbers for none.
    task
        Whether labels are classes or ids of objects; found out for ``None``: they are ids where they go beyond 20, or
        beyond 3 and each is one connected region in most images. More than two names mean classes.
    seed
        Of the choice of places.
    tell
        Called with what is being done, and the share that is done.

    Raises
    ------
    InputError
        When there is nothing to learn: no image, no label, or images that differ in what they are.
    """
    if not len(examples):
        raise InputError("there is no image to learn from")
    rng = np.random.default_rng(seed)
    seen, places = _Seen(), []
    for i, name in enumerate(examples.names):
        if tell:
            tell(f"looking at {name}", i / len(examples))
        try:
            places.append(_look(examples[i], seen, rng))
        except InputError as error:
            raise InputError(f"{name}: {error}") from error
    _check(seen, examples.names)
    kind = task or ("semantic" if len(names) > 2 or _are_classes(seen) else "instances")
    if kind == "instances":
        places = [_as_foreground(one) for one in places]
    return _told(seen, kind, tuple(names)), places


def _look(example: Example, seen: _Seen, rng: np.random.Generator) -> dict[int, NDArray[np.int32]]:
    """Count what one example holds; return places of each of its labels."""
    grid = example.image.grid
    labels = example.told((slice(None),) * len(grid.spatial))
    if labels.min(initial=0) < UNLABELLED:
        raise InputError(f"labels go down to {labels.min()}; they are 0 or more")
    overview = Overview(example.image)
    if overview.n_lost == grid.size:
        raise InputError("no pixel of the image is a finite number")
    seen.shapes.append(grid.spatial_shape)
    seen.channels.append(example.image.channels or ("",))
    if grid.spacing is not None and grid.unit is not None:
        seen.spacings.append((grid.spacing, grid.unit))
    moments = []
    for channel in range(overview.n_channels):
        histogram = overview.histogram(channel)
        total = max(int(histogram.counts.sum()), 1)
        mean = float((histogram.counts * histogram.values).sum() / total)
        moments.append((total, mean, float((histogram.counts * (histogram.values - mean) ** 2).sum() / total)))
    seen.moments.append(np.array(moments))
    values, counts = np.unique(labels, return_counts=True)
    seen.values.update(dict(zip(values.tolist(), counts.tolist(), strict=True)))
    seen.sizes += counts[values > 0].tolist()
    if (values > 0).any():
        seen.pieces.append(_pieces(labels, int(values.max())))
    flat = labels.ravel()
    order = rng.permutation(flat.size)[: max(50 * REMEMBERED, flat.size // 20)] if flat.size > 10**6 else None
    return {int(v): _some(flat, int(v), labels.shape, order, rng) for v in values[:MOST_CLASSES]} | {
        -2: _some(np.minimum(flat, 1), 1, labels.shape, order, rng)
    }


def _some(
    flat: NDArray[np.int64], value: int, shape: Sequence[int], order: NDArray[np.int64] | None, rng: np.random.Generator
) -> NDArray[np.int32]:
    """Return some positions of a label."""
    at = np.flatnonzero(flat == value) if order is None else order[flat[order] == value]
    if not len(at) and order is not None:
        at = np.flatnonzero(flat == value)
    if len(at) > REMEMBERED:
        at = rng.choice(at, REMEMBERED, replace=False)
    return np.stack(np.unravel_index(at, tuple(shape)), axis=1).astype(np.int32)


def _pieces(labels: NDArray[np.int64], highest: int) -> float:
    """Return how many connected pieces there are for each label, less one: many for classes, none for objects."""
    from segmentry.kernels.components import label_components

    if highest > MOST_CLASSES:
        return 0.0
    _, count = label_components(np.maximum(labels, 0).astype(np.uint32))
    return count / max(len(np.unique(labels[labels > 0])), 1) - 1


def _are_classes(seen: _Seen) -> bool:
    """Say whether labels look like classes: they are few, and not each one connected region."""
    highest = max(seen.values)
    return highest <= FEW or (highest <= MOST_CLASSES and float(np.median(seen.pieces)) > 0.1)


def _as_foreground(places: dict[int, NDArray[np.int32]]) -> dict[int, NDArray[np.int32]]:
    return {0: places.get(0, np.zeros((0, 2), np.int32)), 1: places[-2]}


def _check(seen: _Seen, names: Sequence[str]) -> None:
    """Refuse images that can't be learned from together."""
    for i, (shape, channels) in enumerate(zip(seen.shapes, seen.channels, strict=True)):
        if len(shape) != len(seen.shapes[0]):
            raise InputError(
                f"{names[0]} has {len(seen.shapes[0])} spatial axes, {names[i]} has {len(shape)}: train on one kind"
            )
        if len(channels) != len(seen.channels[0]):
            raise InputError(
                f"{names[0]} has {len(seen.channels[0])} channels, {names[i]} has {len(channels)}: choose one"
            )
    if not any(v > 0 for v in seen.values):
        raise InputError("all labels are empty: there is nothing to learn from")


def _told(seen: _Seen, kind: Any, names: tuple[str, ...]) -> Fingerprint:
    values = seen.values
    highest = max(values)
    if kind == "semantic":
        given = names or ("background", *(("foreground",) if highest == 1 else map(str, range(1, highest + 1))))
        if len(given) <= highest:
            raise InputError(f"labels go up to {highest}; {len(given)} classes are named ({', '.join(given)})")
        pixels = tuple(values[k] for k in range(len(given)))
    else:
        given = names or ("background", "object")
        pixels = (values[0], sum(n for v, n in values.items() if v > 0))
    spacing, unit, one = _spacing(seen)
    weight = np.stack([m[:, 0] for m in seen.moments])
    mean = (weight * np.stack([m[:, 1] for m in seen.moments])).sum(0) / weight.sum(0)
    square = (weight * np.stack([m[:, 2] + (m[:, 1] - mean) ** 2 for m in seen.moments])).sum(0) / weight.sum(0)
    ndim = len(seen.shapes[0])
    shapes = np.array(seen.shapes)
    small, median, large = np.percentile(diameters(np.array(seen.sizes), ndim), [5, 50, 95]).round(2).tolist()
    return Fingerprint(
        images=len(shapes),
        channels=seen.channels[0],
        shape=tuple(int(n) for n in np.median(shapes, axis=0)),
        largest=tuple(int(n) for n in shapes.max(axis=0)),
        spacing=spacing,
        unit=unit,
        one_spacing=one,
        task=kind,
        names=given,
        pixels=pixels,
        unlabelled=values[UNLABELLED] / values.total(),
        objects=0 if kind == "semantic" else len(seen.sizes),
        diameters=None if kind == "semantic" else (small, median, large),
        intensities=tuple((float(m), float(np.sqrt(s))) for m, s in zip(mean, square, strict=True)),
    )


def _spacing(seen: _Seen) -> tuple[tuple[float, ...] | None, str | None, bool]:
    """Return the median spacing and its unit where all images have one, and whether it is that of all."""
    units = {unit for _, unit in seen.spacings}
    if len(seen.spacings) < len(seen.shapes) or len(units) != 1:
        return None, None, True
    sizes = np.array([size for size, _ in seen.spacings])
    median = np.median(sizes, axis=0)
    alike = bool((np.abs(sizes / median - 1) < 0.05).all())
    return tuple(float(s) for s in median), units.pop(), alike
