"""Gaussian mixture: each class is a bell curve in the space of intensities, with its own share, mean and covariance.

The curves are fitted by expectation and maximisation (Dempster, Laird & Rubin 1977), starting from the groups of
k-means; a pixel goes to the class that is most probable there. With `partial_volume` there is one more kind of pixel
between each two classes: one that both share, in any proportion (Santago & Gage 1993). Its probability goes to the two
classes in the proportion that its intensity tells, so that the sum of the probabilities of a class is its volume even
where most of an object's pixels lie on its border. It works where intensities are normal in each class, also when one
class is rare or spreads more than another; it knows nothing of neighbourhood, and a class that is not bell-shaped takes
several curves.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any, ClassVar, TypeAlias

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from segmentry.clustering import Clustering, Rows, first_groups, rows

__all__ = ["GaussianMixture", "Mixture", "fit"]

Terms: TypeAlias = tuple[NDArray[Any], NDArray[Any], NDArray[Any], NDArray[np.int64], NDArray[Any]]

ROUNDS = 500
#: The fit rests when the mean log likelihood of a pixel grows by less than this.
TOLERANCE = 1e-7


class GaussianMixture(Clustering):
    """Groups pixels by bell curves of intensity; gives true probabilities, and volumes from coarse pixels."""

    name: ClassVar[str] = "gaussian_mixture"
    source: ClassVar[str] = "Dempster, Laird & Rubin 1977, doi:10.1111/j.2517-6161.1977.tb01600.x"

    partial_volume: bool = Field(
        False, description="Whether pixels on the border of two classes may hold both, in any proportion."
    )
    regularisation: float = Field(
        1e-4, gt=0, le=1, description="What is added to the variance of each class, as a share of the image's."
    )
    covariances_: tuple[Rows, ...] | None = Field(None, description="Covariance of each class.")
    shares_: tuple[float, ...] | None = Field(None, description="Share of the pixels of each class, then of each pair.")
    pairs_: tuple[tuple[int, int], ...] = Field((), description="Classes that share pixels.")

    def learn(self, points: NDArray[np.float64], weights: NDArray[np.float64], colour: bool) -> dict[str, Any]:
        centres, nearest, _ = first_groups(points, weights, self.n_classes, self.seed)
        mean = np.average(points, axis=0, weights=weights)
        variance = float(np.average(((points - mean) ** 2).mean(axis=1), weights=weights))
        floor = max(self.regularisation * variance, 1e-12)
        pairs = neighbours(centres) if self.partial_volume else np.zeros((0, 2), np.int64)
        found = fit(points, weights, grouped(points, weights, centres, nearest, pairs, floor), floor)
        order = self.ordered(found.means, found.shares[: len(centres)], colour)
        place = np.argsort(order)
        return {
            "centres_": rows(found.means[order]),
            "covariances_": tuple(rows(c) for c in found.covariances[order]),
            "shares_": tuple(map(float, (*found.shares[order], *found.shares[len(order) :]))),
            "pairs_": tuple((int(place[a]), int(place[b])) for a, b in pairs),
        }

    def assign(self, points: NDArray[np.float64]) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
        from segmentry.kernels.mixture import posterior

        pairs = np.array(self.pairs_, np.int64).reshape(-1, 2)
        found = Mixture(np.array(self.centres_), np.array(self.covariances_), np.array(self.shares_), pairs)
        return posterior(points, *found.terms())


@dataclass(frozen=True, eq=False)
class Mixture:
    """A mixture of k classes and of p pairs of classes.

    Parameters
    ----------
    means : (k, d) array
    covariances : (k, d, d) array
    shares : (k + p,) array that sums to 1
    pairs : (p, 2) array of numbers of classes
    """

    means: NDArray[np.float64]
    covariances: NDArray[np.float64]
    shares: NDArray[np.float64]
    pairs: NDArray[np.int64]

    def terms(self) -> Terms:
        """Return the model as the kernels take it; the noise of a pair is the mean of that of its classes."""
        first, second = self.pairs.T
        covariances = np.concatenate([self.covariances, (self.covariances[first] + self.covariances[second]) / 2])
        whitening = np.linalg.inv(np.linalg.cholesky(covariances))
        diagonal = np.log(np.diagonal(whitening, axis1=1, axis2=2)).sum(axis=1)
        level = np.log(np.maximum(self.shares, 1e-300)) + diagonal
        apart = self.means[second] - self.means[first]
        steps = (whitening[len(self.means) :] * apart[:, None, :]).sum(axis=2)
        return self.means, whitening, level, self.pairs, steps


def neighbours(centres: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the pairs of centres with no other centre in the ball between them; along a line, those in sequence."""
    found = []
    for a, b in itertools.combinations(range(len(centres)), 2):
        middle, radius = (centres[a] + centres[b]) / 2, ((centres[a] - centres[b]) ** 2).sum() / 4
        others = np.delete(centres, [a, b], axis=0)
        if (((others - middle) ** 2).sum(axis=1) >= radius).all():
            found.append((a, b))
    return np.array(found, np.int64).reshape(-1, 2)


def grouped(
    points: NDArray[np.float64],
    weights: NDArray[np.float64],
    centres: NDArray[np.float64],
    nearest: NDArray[np.int64],
    pairs: NDArray[np.int64],
    floor: float,
) -> Mixture:
    """Return the mixture that hard groups of points make; pairs start with a tenth of all."""
    k, d = centres.shape
    covariances = np.zeros((k, d, d))
    share = np.bincount(nearest, weights, k)
    for c in range(k):
        ahead = points[nearest == c] - centres[c]
        for i, j in np.ndindex(d, d):
            covariances[c, i, j] = (weights[nearest == c] * ahead[:, i] * ahead[:, j]).sum() / max(share[c], 1e-300)
    mixed = np.full(len(pairs), 0.1 / max(len(pairs), 1))
    shares = np.concatenate([share / share.sum() * (1 - mixed.sum()), mixed])
    return Mixture(centres, covariances + floor * np.eye(d), shares, pairs)


def fit(
    points: NDArray[np.float64],
    weights: NDArray[np.float64],
    start: Mixture,
    floor: float,
    tolerance: float = TOLERANCE,
) -> Mixture:
    """Return the mixture to which expectation and maximisation lead; `floor` is added to each variance.

    Means and covariances follow the pixels of one class alone.
    """
    from segmentry.kernels.mixture import expect

    k, d = start.means.shape
    before = -np.inf
    found = start
    for _ in range(ROUNDS):
        totals, firsts, seconds = np.zeros(len(found.shares)), np.zeros((k, d)), np.zeros((k, d, d))
        likelihood = expect(points, weights, *found.terms(), totals, firsts, seconds) / float(weights.sum())
        share = np.maximum(totals[:k], 1e-300)
        ahead = firsts / share[:, None]
        seconds += np.tril(seconds, -1).transpose(0, 2, 1)
        covariances = seconds / share[:, None, None] - ahead[:, :, None] * ahead[:, None, :] + floor * np.eye(d)
        some = totals[:k] > 1e-9 * weights.sum()
        found = Mixture(
            np.where(some[:, None], found.means + ahead, found.means),
            np.where(some[:, None, None], covariances, found.covariances),
            totals / totals.sum(),
            found.pairs,
        )
        if likelihood - before <= tolerance:
            break
        before = likelihood
    return found
