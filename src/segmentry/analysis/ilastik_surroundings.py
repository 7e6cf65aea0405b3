"""What surrounds objects, and what they lack of their boxes, as ilastik sees it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from segmentry.image import Region

__all__ = ["Boxes", "defects", "surroundings"]

#: First pixel and end of the box of each object, per axis of the labels.
Boxes: TypeAlias = tuple[NDArray[np.int64], NDArray[np.int64]]


def surroundings(
    labels: NDArray[np.uint32], ids: NDArray[np.uint32], boxes: Boxes, margin: Sequence[int]
) -> Iterator[NDArray[np.int64]]:
    """Yield for each object the flat indices of the pixels around it, in raster order.

    They lie nearer than the largest margin, where a step along an axis of less margin counts as often as the largest
    holds the less; and in the box of the object with its margins and, at the far side, one pixel more. Where some axis
    has no margin, the object itself is taken, as there.
    """
    from scipy.ndimage import distance_transform_edt

    shape = np.array(labels.shape)
    reach = np.array(margin, np.int64)
    strides = np.array([int(np.prod(shape[i + 1 :])) for i in range(len(shape))])
    for number, low, high in zip(ids.tolist(), *boxes, strict=True):
        start, stop = np.maximum(low - reach, 0), np.minimum(high + 1 + reach, shape)
        own = labels[_window(start, stop)] == number
        if reach.all():
            pitch = reach.max() // reach
            near = (distance_transform_edt(~own, sampling=pitch) < reach.max()) & ~own
        else:
            near = own
        yield (np.stack(np.nonzero(near), axis=1) + start) @ strides


def defects(labels: NDArray[np.uint32], ids: NDArray[np.uint32], boxes: Boxes) -> dict[str, NDArray[np.float64]]:
    """Return numbers of what each object lacks of its box, by name; coordinates are in the order X, Y, Z.

    VIGRA's hull has no faces, so that nothing lies beyond it but what lies beyond the box. Where an object fills its
    box, the centre of what is missing is 0: there it is left to chance.
    """
    rows = [_defects(labels[_window(low, high)] == number, low) for number, low, high in zip(ids, *boxes, strict=True)]
    return {name: np.array([row[name] for row in rows]).reshape(len(rows), -1) for name in rows[0]} if rows else {}


def _defects(own: NDArray[np.bool_], corner: NDArray[np.int64]) -> dict[str, NDArray[np.float64] | float]:
    from segmentry.kernels.components import label_components

    centre = np.argwhere(own).mean(axis=0)
    parts, count = label_components(~own, full=False)
    number = parts[~own].astype(np.int64) - 1
    places = np.argwhere(~own)
    sizes = np.bincount(number, minlength=count).astype(np.float64)
    sums = [np.bincount(number, column, count) for column in places.T.astype(np.float64)]
    apart = np.sqrt(((np.stack(sums, axis=1) / sizes[:, None] - centre) ** 2).sum(axis=1))
    found: dict[str, NDArray[np.float64] | float] = {
        "InputCenter": (centre + corner)[::-1],
        "HullCenter": ((np.array(own.shape) - 1) / 2 + corner)[::-1],
        "DefectCenter": (places.mean(axis=0) + corner)[::-1] if count else np.zeros(own.ndim),
        "InputVolume": float(own.sum()),
        "HullVolume": float(own.size),
        "Convexity": float(own.sum() / own.size),
        "DefectCount": float(count),
        "DefectDisplacementMean": float((sizes * apart).sum() / sizes.sum()) if count else 0.0,
    }
    return found | _spread(sizes)


def _spread(sizes: NDArray[np.float64]) -> dict[str, NDArray[np.float64] | float]:
    """Return unbiased moments of the sizes of defects; 0 where there are too few."""
    n = len(sizes)
    found = dict.fromkeys((f"DefectVolume{name}" for name in ("Mean", "Variance", "Skewness", "Kurtosis")), 0.0)
    if n:
        found["DefectVolumeMean"] = float(sizes.mean())
    apart = sizes - found["DefectVolumeMean"]
    square, cube, fourth = (float((apart**k).sum()) for k in (2, 3, 4))
    if n > 1:
        found["DefectVolumeVariance"] = square / (n - 1)
    if n > 2 and square:
        found["DefectVolumeSkewness"] = (n * (n - 1)) ** 0.5 / (n - 2) * n**0.5 * cube / square**1.5
    if n > 3 and square:
        kurtosis = n * fourth / square**2 - 3
        found["DefectVolumeKurtosis"] = (n - 1) / ((n - 2) * (n - 3)) * ((n + 1) * kurtosis + 6)
    return dict(found)


def _window(start: NDArray[np.int64], stop: NDArray[np.int64]) -> Region:
    return tuple(slice(int(a), int(b)) for a, b in zip(start, stop, strict=True))
