"""How many more labels? Trainings with fewer images say what more of them would bring.

Each smaller set is part of the next larger one, and all are judged by the same images held out. Scores of growing sets
follow a power law (Hestness et al. 2017, arXiv:1712.00409); it is drawn through them and read beyond the last.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segmentry.errors import InputError
from segmentry.learn.plan import Plan
from segmentry.network_training import Lesson, Trained, train_network

__all__ = ["Curve", "learning_curve"]

SHARES = (1 / 8, 1 / 4, 1 / 2, 1.0)
#: A gain of less than this is not worth labels.
WORTH = 0.01
#: Exponents of the power law that are tried.
EXPONENTS = np.linspace(0.1, 2, 39)


@dataclass(frozen=True)
class Curve:
    """Scores by the number of images that were learned from.

    Parameters
    ----------
    images, scores
        Of each training, ascending.
    """

    images: tuple[int, ...]
    scores: tuple[float, ...]

    def expected(self, images: int) -> float:
        """Return the score that so many images lead one to expect, at most 1."""
        count, scores = np.array(self.images, float), np.array(self.scores)
        best: tuple[float, float] = (math.inf, float(scores[-1]))
        for exponent in EXPONENTS:
            rows = np.stack([np.ones(len(count)), -(count**-exponent)], axis=1)
            (limit, fall), *_ = np.linalg.lstsq(rows, scores, rcond=None)
            # More images never make it worse, and nothing is better than all right.
            fall = max(float(fall), 0.0)
            limit = min(float(np.mean(scores + fall * count**-exponent)), 1.0)
            lost = float(((limit - fall * count**-exponent - scores) ** 2).sum())
            if lost < best[0]:
                best = lost, limit - fall * images**-exponent
        return min(max(best[1], float(scores.max())), 1.0)

    def advice(self) -> str:
        """Return what follows, in a sentence."""
        now, twice = self.images[-1], 2 * self.images[-1]
        gain = self.expected(twice) - self.scores[-1]
        if gain >= WORTH:
            return (
                f"more labels help: {twice:,} images instead of {now:,} can be expected to bring {self.scores[-1]:.3f} "
                f"to about {self.expected(twice):.3f}"
            )
        return (
            f"more labels of this kind bring little: about {max(gain, 0):.3f} with {twice:,} images instead of "
            f"{now:,}; rather label images on which the network fails"
        )


def learning_curve(
    given: Lesson,
    plan: Plan,
    shares: Sequence[float] = SHARES,
    *,
    device: str = "auto",
    start: Mapping[str, NDArray[Any]] | None = None,
    tell: Callable[[int, Mapping[str, Any]], None] = lambda _images, _row: None,
) -> tuple[Curve, Trained]:
    """Return the scores of trainings with parts of the images, and the last training.

    Parameters
    ----------
    given, plan
        What is learned from, and how.
    shares
        Of the images for training, ascending.
    device, start
        As for :func:`segmentry.network_training.train_network`.
    tell
        Called with the number of images and a row of the history after each look.

    Raises
    ------
    InputError
        When there are too few images to be parted.
    """
    count = len(given.learned)
    sizes = sorted({max(1, round(share * count)) for share in shares})
    if len(sizes) < 2:
        raise InputError(f"{count} images for training can't be parted in several sets: label more, or train on all")
    order = np.random.default_rng(plan.seed).permutation(count)
    scores, trained = [], None
    for size in sizes:
        chosen = sorted(order[:size].tolist())
        part = replace(given, learned=given.learned.only(chosen), places=[given.places[i] for i in chosen])
        told = partial(tell, size)
        trained = train_network(part, plan, device=device, start=start, tell=told)
        scores.append(trained.score)
    assert trained is not None
    return Curve(tuple(sizes), tuple(scores)), trained
