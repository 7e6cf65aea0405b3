"""Examples varied at random, as an :class:`Augmentation` says: in space, by one sampling of all, then in intensity."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from segmentry.errors import InputError
from segmentry.learn.augmentation import Augmentation, Movement, factors, movement, moving
from segmentry.learn.representation import UNLABELLED

__all__ = ["augmented", "movement"]


def augmented(
    image: Tensor | NDArray[np.float32],
    labels: Tensor | NDArray[np.int64],
    patch: Sequence[int],
    spacing: Sequence[float] | None,
    augmentation: Augmentation,
    rng: np.random.Generator,
    move: Movement | None = None,
) -> tuple[Tensor, Tensor]:
    """Return a patch from the middle of a window, varied at random: float32 intensities and int64 labels.

    Intensities are interpolated linearly, labels are those of the nearest pixel. Beyond the window the image is
    reflected and labels are -1; a window as large as that of the :class:`Movement` has all that is needed.

    Parameters
    ----------
    image : (C, *window)
        Finite intensities of any range.
    labels : (*window)
        Classes or ids, -1 for unlabelled pixels.
    patch
        Shape of what is returned.
    spacing
        Distance between pixels along each spatial axis.
    rng
        Chance; one of the same state gives the same patch.
    move
        How space is moved, when it was drawn before: so no larger a window has to be read than this one needs.
    """
    image, labels = _tensor(image, np.float32, torch.float32), _tensor(labels, np.int64, torch.int64)
    if image.shape[1:] != labels.shape or labels.ndim != len(patch) or not image.numel():
        raise InputError(
            f"an image of shape {tuple(image.shape)}, labels of {tuple(labels.shape)} and a patch of {tuple(patch)} "
            "don't fit: expected (channels, *window), (*window) and as many axes"
        )
    move = movement(augmentation, patch, spacing, rng) if move is None else move
    places = _places(labels.shape, move)
    for axis, length in enumerate(move.patch[: -len(places)] if places else move.patch):
        image, labels = _middle(image, labels, axis, length)
    if places:
        image, labels = _sampled(image, labels, places)
    for axis, name in enumerate("ZYX"[-len(patch) :]):
        if rng.random() < augmentation.flip_probability and name in augmentation.flip_axes:
            image, labels = image.flip(axis + 1), labels.flip(axis)
    steps = np.ones(len(patch)) if spacing is None else np.asarray(spacing, np.float64)
    image = _measured_again(image, steps[-moving(tuple(steps)) :], augmentation, rng)
    return image.clone(memory_format=torch.contiguous_format), labels.clone(memory_format=torch.contiguous_format)


def _tensor(given: Tensor | NDArray[np.generic], kind: type[np.generic], same: torch.dtype) -> Tensor:
    if isinstance(given, Tensor):
        return given.to(same)
    return torch.from_numpy(np.require(given, kind, ["C", "W"]))


def _middle(image: Tensor, labels: Tensor, axis: int, length: int) -> tuple[Tensor, Tensor]:
    """Cut the middle out along an axis; reflect the image where it is too short."""
    size = labels.shape[axis]
    start = (size - length) // 2
    if start >= 0:
        return image.narrow(axis + 1, start, length), labels.narrow(axis, start, length)
    where = torch.arange(start, start + length)
    there = _reflected(where, size)
    outside = torch.nonzero((where < 0) | (where >= size))[:, 0]
    labels = labels.index_select(axis, there).index_fill_(axis, outside, UNLABELLED)
    return image.index_select(axis + 1, there), labels


def _reflected(where: Tensor, size: int) -> Tensor:
    """Return indices within a size, mirrored about the first and the last pixel."""
    period = max(2 * size - 2, 1)
    there = where.remainder(period)
    return torch.minimum(there, period - there) if size > 1 else torch.zeros_like(there)


def _places(size: Sequence[int], move: Movement) -> list[Tensor]:
    """Return where in a window each pixel of the patch comes from, per axis that is moved; nothing if none is."""
    if move.matrix is None:
        return []
    axes = len(move.matrix)
    sides, size = move.patch[-axes:], size[-axes:]
    offsets = [
        (torch.arange(n, dtype=torch.float32) - (n - 1) / 2).reshape([-1 if i == axis else 1 for i in range(axes)])
        for axis, n in enumerate(sides)
    ]
    found = []
    for axis, row in enumerate(move.matrix):
        place = torch.full(sides, (size[axis] - sides[axis]) // 2 + (sides[axis] - 1) / 2)
        for share, offset in zip(row, offsets, strict=True):
            place += float(share) * offset
        found.append(place if move.bent is None else place.add_(torch.from_numpy(move.bent[axis])))
    return found


def _sampled(image: Tensor, labels: Tensor, places: list[Tensor]) -> tuple[Tensor, Tensor]:
    """Return intensities and labels at places along the last axes."""
    axes, sides = len(places), places[0].shape
    size = labels.shape[-axes:]
    grid = torch.stack([p * (2 / max(n - 1, 1)) - 1 for p, n in zip(places[::-1], size[::-1], strict=True)], -1)
    found = functional.grid_sample(
        image.reshape(1, -1, *size), grid[None], mode="bilinear", padding_mode="reflection", align_corners=True
    )
    number = torch.zeros(sides, dtype=torch.int64)
    outside = torch.zeros(sides, dtype=torch.bool)
    for place, n in zip(places, size, strict=True):
        nearest = place.add(0.5).floor_().long()
        outside |= (nearest < 0) | (nearest >= n)
        number.mul_(n).add_(nearest.clamp_(0, n - 1))
    taken = labels.reshape(-1, math.prod(size))[:, number].masked_fill_(outside, UNLABELLED)
    return found.reshape(*image.shape[:-axes], *sides), taken.reshape(*labels.shape[:-axes], *sides)


def _measured_again(
    image: Tensor, steps: NDArray[np.float64], augmentation: Augmentation, rng: np.random.Generator
) -> Tensor:
    """Return intensities as another microscope or another day might have given them."""
    channels = len(image)
    if rng.random() < augmentation.noise_probability:
        noise = torch.from_numpy(rng.standard_normal(tuple(image.shape), np.float32))
        image = image + noise * (_spread(image) * rng.uniform(*augmentation.noise))
    if rng.random() < augmentation.blur_probability:
        image = _blurred(image, rng.uniform(*augmentation.blur) * steps.min() / steps)
    if rng.random() < augmentation.brightness_probability:
        image = image + _spread(image) * _each(rng.uniform(*augmentation.brightness, channels), image)
    if rng.random() < augmentation.contrast_probability:
        mean = image.mean(_spatial(image), keepdim=True)
        image = (image - mean) * _each(factors(augmentation.contrast, channels, rng), image) + mean
    if rng.random() < augmentation.resolution_probability:
        image = _coarse(image, rng.uniform(*augmentation.resolution) * steps / steps.min())
    if rng.random() < augmentation.inverted_gamma_probability:
        image = -_bowed(-image, _each(factors(augmentation.gamma, channels, rng), image))
    if rng.random() < augmentation.gamma_probability:
        image = _bowed(image, _each(factors(augmentation.gamma, channels, rng), image))
    return image


def _each(values: NDArray[np.float64], image: Tensor) -> Tensor:
    """Return one number per channel."""
    return torch.from_numpy(values.astype(np.float32)).reshape(-1, *(1,) * (image.ndim - 1))


def _spatial(image: Tensor) -> tuple[int, ...]:
    return tuple(range(1, image.ndim))


def _spread(image: Tensor) -> Tensor:
    """Return the standard deviation of each channel."""
    return image.std(_spatial(image), correction=0, keepdim=True)


def _blurred(image: Tensor, sigmas: NDArray[np.float64]) -> Tensor:
    """Return the Gaussian mean along the last axes; what lies beyond the image is its reflection."""
    for axis, sigma in enumerate(sigmas, image.ndim - len(sigmas)):
        radius, length = math.ceil(3 * sigma), image.shape[axis]
        if sigma < 0.1:
            continue
        weights = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
        weights /= weights.sum()
        wide = image.index_select(axis, _reflected(torch.arange(-radius, length + radius), length))
        image = wide.narrow(axis, 0, length) * float(weights[0])
        for start, weight in enumerate(weights[1:], 1):
            image.add_(wide.narrow(axis, start, length), alpha=float(weight))
    return image


def _coarse(image: Tensor, shares: NDArray[np.float64]) -> Tensor:
    """Return the image with fewer pixels along the last axes, the mean of what they cover, made many again."""
    sides = image.shape[-len(shares) :]
    fewer = [max(round(n * min(share, 1.0)), 1) for n, share in zip(sides, shares, strict=True)]
    if fewer == list(sides):
        return image
    small = functional.interpolate(image.reshape(1, -1, *sides), fewer, mode="area")
    again = functional.interpolate(small, list(sides), mode="bilinear" if len(sides) == 2 else "trilinear")
    return again.reshape(image.shape)


def _bowed(image: Tensor, exponent: Tensor) -> Tensor:
    """Return intensities to a power, between the least and the greatest of each channel, which stay."""
    low, high = image.amin(_spatial(image), keepdim=True), image.amax(_spatial(image), keepdim=True)
    width = torch.where(high > low, high - low, 1.0)
    return ((image - low) / width).clamp_(0, 1).pow_(exponent).mul_(width).add_(low)
