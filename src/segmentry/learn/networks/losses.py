"""How wrong scores and maps are: what training makes small.

Scores are (N, K, *spatial) before any softmax, classes (N, *spatial) int64 with -1 for unlabelled pixels. Those have no
part in any sum and their gradient is exactly 0; where nothing is labelled, the loss is 0. Every loss is a mean, so that
it does not grow with the number of pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Literal

import torch
from numpy.typing import ArrayLike
from torch import Tensor
from torch.nn import functional

from segmentry.errors import InputError, ParameterError
from segmentry.learn.loss import Loss, class_weights
from segmentry.learn.representation import UNLABELLED

__all__ = [
    "binary_cross_entropy",
    "class_weights",
    "cross_entropy",
    "dice",
    "dice_cross_entropy",
    "focal",
    "make",
    "masked_l1",
    "tversky",
]

Over = Literal["batch", "sample"]
Weights = Tensor | Sequence[float] | None


def make(loss: Loss, counts: ArrayLike | None = None) -> Callable[[Tensor, Tensor], Tensor]:
    """Return the function of scores and classes that a setting means.

    Parameters
    ----------
    loss
        The setting.
    counts : (K,) numbers, optional
        How many pixels of each class there are in the data; needed for balanced weights.
    """
    weights: Weights = None
    if loss.weights == "balanced":
        if counts is None:
            raise ParameterError("balanced weights need the number of pixels of each class; give the weights instead")
        weights = torch.from_numpy(class_weights(counts))
    elif not isinstance(loss.weights, str):
        weights = loss.weights
    match loss.name:
        case "cross_entropy":
            return partial(cross_entropy, weights=weights)
        case "focal":
            return partial(focal, gamma=loss.gamma, weights=weights)
        case "dice":
            return partial(dice, over=loss.over, background=loss.background, weights=weights)
        case "tversky":
            return partial(
                tversky,
                alpha=loss.alpha,
                beta=loss.beta,
                over=loss.over,
                background=loss.background,
                weights=weights,
            )
        case "dice_cross_entropy":
            return partial(dice_cross_entropy, over=loss.over, background=loss.background, weights=weights)


def cross_entropy(scores: Tensor, classes: Tensor, weights: Weights = None) -> Tensor:
    """Return the mean of -log p over labelled pixels, p the probability of the true class.

    With weights, that of its class goes with each pixel, and the sum is divided by the sum of these weights.
    """
    return focal(scores, classes, 0.0, weights)


def focal(scores: Tensor, classes: Tensor, gamma: float = 2.0, weights: Weights = None) -> Tensor:
    """Return the cross-entropy in which a pixel of true probability p counts (1 - p)^gamma.

    Lin 2017, doi:10.1109/ICCV.2017.324, with a softmax over all classes; the divisor is the sum of the class weights of
    the labelled pixels, so that a gamma of 0 gives the cross-entropy.
    """
    scores, share = _checked(scores, classes, weights)
    lost = functional.cross_entropy(scores, classes, reduction="none", ignore_index=UNLABELLED)
    if gamma:
        lost = lost * (-torch.expm1(-lost)).clamp_min(1e-12) ** gamma
    counted = share[classes.clamp_min(0)] * (classes >= 0)
    return _mean(lost, counted)


def dice(
    scores: Tensor,
    classes: Tensor,
    *,
    over: Over = "batch",
    background: bool = True,
    weights: Weights = None,
    smooth: float = 1e-5,
) -> Tensor:
    """Return 1 minus the mean overlap (Dice) of probabilities and truth, class by class.

    After Milletari 2016, doi:10.1109/3DV.2016.79, with probabilities that are not squared, as in Isensee 2021,
    doi:10.1038/s41592-020-01008-z: (2 Σpt + smooth) / (Σp + Σt + smooth).

    A class that the truth does not hold has no part in the mean: what is taken for it is missed by another class. A
    batch of nothing but background therefore teaches nothing when `background` is off.

    Parameters
    ----------
    over
        Sum over all pixels of the ``"batch"``, or those of each ``"sample"``; then the mean is that over all pairs of
        sample and class.
    background
        Whether class 0 has a part in the mean.
    weights : (K,) numbers, optional
        How much each class counts in the mean.
    smooth
        Pixels that are added above and below.
    """
    return tversky(scores, classes, 0.5, 0.5, over=over, background=background, weights=weights, smooth=smooth / 2)


def tversky(
    scores: Tensor,
    classes: Tensor,
    alpha: float = 0.3,
    beta: float = 0.7,
    *,
    over: Over = "batch",
    background: bool = True,
    weights: Weights = None,
    smooth: float = 1e-5,
) -> Tensor:
    """Return 1 minus the mean Tversky index: `alpha` weighs what is too much, `beta` what is missed.

    Salehi 2017, doi:10.1007/978-3-319-67389-9_44; both at 0.5 give :func:`dice`, which see for the rest.
    """
    scores, share = _checked(scores, classes, weights)
    labelled = (classes >= 0).unsqueeze(1)
    chance = scores.softmax(1) * labelled
    truth = torch.zeros_like(chance).scatter_(1, classes.clamp_min(0).unsqueeze(1), labelled.to(chance.dtype))
    pixels = [i for i in range(scores.ndim) if i != 1 and (i > 0 or over == "batch")]
    both, taken, true = ((chance * truth).sum(pixels), chance.sum(pixels), truth.sum(pixels))
    present = true > 0
    divisor = both + alpha * (taken - both) + beta * (true - both) + smooth
    missing = 1 - (both + smooth) / torch.where(present, divisor, 1.0)
    counted = present * share
    if not background:
        counted = counted * (torch.arange(len(share), device=share.device) > 0)
    return _mean(torch.where(present, missing, 0.0), counted)


def dice_cross_entropy(
    scores: Tensor,
    classes: Tensor,
    *,
    over: Over = "batch",
    background: bool = True,
    weights: Weights = None,
    smooth: float = 1e-5,
) -> Tensor:
    """Return :func:`dice` plus :func:`cross_entropy`; the weights are those of the latter."""
    overlap = dice(scores, classes, over=over, background=background, smooth=smooth)
    return overlap + cross_entropy(scores, classes, weights)


def masked_l1(predicted: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """Return the weighted mean of the absolute differences; a target of weight 0 may be anything, even NaN.

    Parameters
    ----------
    predicted, target : (N, k, *spatial)
    weight : (N, *spatial), (N, 1, *spatial) or (N, k, *spatial), none negative
    """
    predicted, target, weight = _map(predicted, target, weight)
    return _mean((predicted - target).abs(), weight)


def binary_cross_entropy(scores: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """Return the weighted mean cross-entropy of scores before a sigmoid and targets in 0 … 1, each for itself."""
    scores, target, weight = _map(scores, target, weight)
    return _mean(functional.binary_cross_entropy_with_logits(scores, target, reduction="none"), weight)


def _mean(values: Tensor, weights: Tensor) -> Tensor:
    """Return the weighted mean; 0 where nothing has weight."""
    total = weights.sum()
    return (values * weights).sum() / torch.where(total > 0, total, 1.0)


def _checked(scores: Tensor, classes: Tensor, weights: Weights) -> tuple[Tensor, Tensor]:
    """Return scores of at least single precision, and a weight per class."""
    if scores.ndim < 2 or classes.shape != (scores.shape[0], *scores.shape[2:]):
        raise InputError(
            f"scores of shape {tuple(scores.shape)} need classes of shape (samples, *spatial); "
            f"got {tuple(classes.shape)}"
        )
    scores = scores.to(torch.promote_types(scores.dtype, torch.float32))
    if weights is None:
        return scores, torch.ones(scores.shape[1], dtype=scores.dtype, device=scores.device)
    share = torch.as_tensor(weights, dtype=scores.dtype, device=scores.device)
    if share.shape != scores.shape[1:2]:
        raise ParameterError(f"{scores.shape[1]} classes need as many weights; got {tuple(share.tolist())}")
    return scores, share


def _map(predicted: Tensor, target: Tensor, weight: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return a map of at least single precision, a target that is finite where it doesn't count, and all weights."""
    if predicted.shape != target.shape:
        raise InputError(f"a map of shape {tuple(predicted.shape)} can't be compared to one of {tuple(target.shape)}")
    if weight.ndim == target.ndim - 1:
        weight = weight.unsqueeze(1)
    predicted = predicted.to(torch.promote_types(predicted.dtype, torch.float32))
    weight = weight.to(predicted.dtype).expand_as(target)
    return predicted, torch.where(weight > 0, target.to(predicted.dtype), 0.0), weight
