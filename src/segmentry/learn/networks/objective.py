"""What a network is trained to make small: the losses of all heads, at all resolutions, together."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from segmentry.learn.loss import Loss
from segmentry.learn.networks.losses import binary_cross_entropy, make, masked_l1
from segmentry.learn.representation import Head, offsets

__all__ = ["Objective"]


class Objective:
    """The sum of the losses of all heads.

    Parameters
    ----------
    heads
        What the network tells.
    loss
        Of heads of classes.
    counts
        Pixels of each class, by the head, for losses that weigh classes by them.
    """

    def __init__(self, heads: Sequence[Head], loss: Loss, counts: Mapping[str, Sequence[int]]) -> None:
        self._heads, self._places = heads, offsets(heads)
        self._losses: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
            head.name: make(loss, counts.get(head.name)) for head in heads if head.kind == "classes"
        }

    def __call__(self, found: Tensor | list[Tensor], wanted: Mapping[str, Tensor]) -> Tensor:
        """Return the loss of scores (batch, outputs, *spatial), or of several resolutions of them.

        Parameters
        ----------
        found
            What the network says: finest first.
        wanted
            Maps by the name of their head: classes (batch, *spatial) int64, others (batch, channels, *spatial), not
            finite where nothing is known.
        """
        scores = found if isinstance(found, list) else [found]
        weights = [0.5**i for i in range(len(scores))]
        total = torch.zeros((), device=scores[0].device)
        for one, weight in zip(scores, weights, strict=True):
            total = total + weight / sum(weights) * self._at_one(one, wanted)
        return total

    def _at_one(self, scores: Tensor, wanted: Mapping[str, Tensor]) -> Tensor:
        total = torch.zeros((), device=scores.device)
        for head in self._heads:
            target = _thinned(wanted[head.name], scores.shape[2:])
            mine = scores[:, self._places[head.name]]
            if head.kind == "classes":
                part = self._losses[head.name](mine, target)
            else:
                known = torch.isfinite(target)
                loss = binary_cross_entropy if head.kind == "shares" else masked_l1
                part = loss(mine, torch.where(known, target, 0), known.to(mine.dtype))
            total = total + head.weight * part
        return total


def _thinned(target: Tensor, shape: Sequence[int]) -> Tensor:
    """Return every so many elements of a map along its spatial axes, which makes it of a shape."""
    lead = target.ndim - len(shape)
    steps = [m // n for m, n in zip(target.shape[lead:], shape, strict=True)]
    return target[(slice(None),) * lead + tuple(slice(s // 2, None, s) for s in steps)]
