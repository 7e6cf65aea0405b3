"""How far predicted counts are from true ones: learned from pieces whose count is known, and said as an interval.

The true number in an image whose predicted number is ``p`` is taken to vary about it with the variance
``dispersion · p + spread² · p²``: objects are seen or missed one by one, as in a quasi-Poisson model, and all those of
an image may be seen a little better or worse together. The dispersion is estimated between the blocks within images.
The spread is that between images, from three on, as generalised Q statistics give it (Jackson 2013,
doi:10.1002/jrsm.1081): not the likeliest, but one that differences as small as those seen exceed three times in four,
for few images often look alike by chance. The interval is Student's with the degrees of freedom of Welch and
Satterthwaite. It holds for images like those that it was learned from.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from segmentry.errors import InputError

__all__ = ["FEWEST_IMAGES", "CountErrors"]

LEVEL = 0.95
#: From so many images on, the spread between them is estimated.
FEWEST_IMAGES = 3
TINY, LARGEST = 1e-9, 1e12


@dataclass(frozen=True)
class CountErrors:
    """How far counts are off.

    Parameters
    ----------
    ratio
        True over predicted number, in all pieces together.
    dispersion
        Variance of the true number over the predicted one, within an image.
    spread
        Relative standard deviation between images; 0 where there are too few of them.
    objects
        Predicted number in all pieces, corrected by the ratio.
    share
        Sum of the squares of the shares that the images have in it: 1 over their number where all have as many.
    blocks, images
        Degrees of freedom of dispersion and spread. Without those of blocks nothing can be said.
    """

    ratio: float
    dispersion: float
    spread: float
    objects: float
    share: float
    blocks: int
    images: int

    @classmethod
    def of(cls, true: ArrayLike, predicted: ArrayLike, images: ArrayLike) -> Self:
        """Learn from blocks.

        Parameters
        ----------
        true, predicted : (n,) arrays
            Numbers of objects in each block; predicted by a model that did not see it.
        images : (n,) array of whole numbers
            Which image a block is of.
        """
        n, p = np.asarray(true, np.float64), np.asarray(predicted, np.float64)
        _, image = np.unique(np.asarray(images), return_inverse=True)
        # Half an object more on either side tempers the ratio where hardly any were seen.
        ratio = (n.sum() + 0.5) / (p.sum() + 0.5)
        p = p * ratio
        whole, guess = np.bincount(image, n).astype(np.float64), np.bincount(image, p).astype(np.float64)
        several = len(whole) >= FEWEST_IMAGES
        own = (whole + 0.5) / (guess + 0.5) if several else np.ones(len(whole))
        free = len(n) - (len(whole) if several else 1)
        # One object of Poisson's dispersion is added, so that a few lucky blocks don't promise exactness.
        dispersion = (((n - p * own[image]) ** 2).sum() * len(n) / max(free, 1) + 1) / (p.sum() + 1)
        return cls(
            float(ratio),
            float(dispersion),
            _spread(whole, guess, dispersion) if several else 0.0,
            max(float(p.sum()), 1.0),
            float((guess**2).sum() / max(p.sum(), 1.0) ** 2),
            max(free, 0),
            len(whole) - 1 if several else 0,
        )

    @classmethod
    def from_dict(cls, told: Mapping[str, Any]) -> Self:
        """Return what :meth:`to_dict` gave.

        Raises
        ------
        InputError
            When it is something else.
        """
        names = [f.name for f in fields(cls)]
        if not isinstance(told, Mapping) or sorted(told) != sorted(names):
            raise InputError(f"errors of a count are {', '.join(names)}")
        for name, value in told.items():
            kind = int if name in ("blocks", "images") else (int, float)
            lowest = 0 if name in ("spread", "share", "blocks", "images") else TINY
            if isinstance(value, bool) or not isinstance(value, kind) or not lowest <= value <= LARGEST:
                raise InputError(f"{name} in the errors of a count is {value!r:.40}")
        return cls(**told)

    def to_dict(self) -> dict[str, Any]:
        """Return plain data."""
        return asdict(self)

    def interval(self, predicted: float | Sequence[float]) -> tuple[float, float]:
        """Return between which numbers the true one lies in 95 of 100 cases.

        Parameters
        ----------
        predicted
            The number in an image, corrected by the ratio, or those in several, for their sum.
        """
        from scipy.stats import t

        p = np.atleast_1d(np.asarray(predicted, np.float64))
        total = float(p.sum())
        if not self.blocks:
            return math.nan, math.nan
        single = self.dispersion * (float(np.maximum(p, 1).sum()) + total**2 / self.objects)
        joint = self.spread**2 * (float((p**2).sum()) + total**2 * self.share)
        degrees = (single + joint) ** 2 / (single**2 / self.blocks + joint**2 / max(self.images, 1))
        reach = float(t.ppf((1 + LEVEL) / 2, degrees)) * math.sqrt(single + joint)
        return max(total - reach, 0.0), total + reach


def _spread(true: NDArray[np.float64], predicted: NDArray[np.float64], dispersion: float) -> float:
    """Return the relative deviation between images of which their differences are the lower quartile."""
    from scipy.stats import chi2

    aim = float(chi2.ppf(0.25, len(true) - 1))

    def excess(spread: float) -> float:
        variance = dispersion * np.maximum(predicted, 1) + (spread * predicted) ** 2
        return float(((true - predicted) ** 2 / variance).sum()) - aim

    low, high = 0.0, 16.0
    if excess(low) <= 0:
        return 0.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if excess(middle) > 0 else (low, middle)
    return high
