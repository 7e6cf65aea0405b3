"""Classifiers: what each has in common, and all of them by name.

A classifier is a frozen pydantic model whose fields are its parameters. :meth:`Classifier.fit` returns a copy that has
learned; nothing is learned from classes that have no sample, and they get the probability 0.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray
from pydantic import BaseModel, ConfigDict, PrivateAttr, ValidationError

from segmentry.errors import InputError, ParameterError, UnknownNameError, nearest
from segmentry.parameters import Parameter, described, explained

__all__ = ["Arrays", "Classifier", "Samples", "classifier", "column", "kinds"]

Arrays = Mapping[str, NDArray[Any]]

#: Pixels whose features are copied at a time where they don't lie in one piece.
BLOCK = 2**15
MOST = 2**16 - 1

_CLASSES = {
    "random_forest": ("segmentry.learn.random_forest", "RandomForest"),
    "fast_trees": ("segmentry.learn.fast_trees", "FastTrees"),
    "scikit_learn": ("segmentry.learn.scikit_learn", "ScikitLearn"),
}


class Samples:
    """Checked samples to learn from.

    Parameters
    ----------
    features : (n, n_features) array, finite
    classes : (n,) array, 0 and up
    weights
        How much each sample counts; all alike when ``None``. Samples that count nothing are left out.
    n_classes
        How many classes there are; as many as are seen when ``None``.

    Attributes
    ----------
    features, classes, weights
        float32, int64 and float64 or, when all count alike, ``None``. Classes are numbered among those that have a
        sample, weights have a mean of 1.
    present
        The classes that have a sample.
    """

    def __init__(
        self, features: ArrayLike, classes: ArrayLike, weights: ArrayLike | None, n_classes: int | None
    ) -> None:
        rows, numbers = np.asarray(features), np.asarray(classes)
        if rows.ndim != 2 or not rows.size or numbers.shape != rows.shape[:1]:
            raise InputError(
                f"samples must be rows of features with a class for each; got features of shape {rows.shape} and "
                f"classes of shape {numbers.shape}"
            )
        if rows.dtype.kind not in "biuf" or numbers.dtype.kind not in "biu":
            raise InputError(f"features must be numbers and classes whole; got {rows.dtype} and {numbers.dtype}")
        share = None if weights is None else np.asarray(weights, np.float64)
        if share is not None:
            if share.shape != numbers.shape or not np.isfinite(share).all() or (share < 0).any() or not share.any():
                raise InputError("weights must be a number for each sample, none negative and not all 0")
            rows, numbers, share = rows[share > 0], numbers[share > 0], share[share > 0]
        with np.errstate(over="ignore"):
            self.features = np.ascontiguousarray(rows, np.float32)
        if not np.isfinite(self.features).all():
            raise InputError("a feature of a sample is not finite: leave such samples out, or fill them")
        self.n_classes = int(numbers.max()) + 1 if n_classes is None else n_classes
        if numbers.min() < 0 or numbers.max() >= self.n_classes:
            raise InputError(f"classes run from {numbers.min()} to {numbers.max()}; expected 0 to {self.n_classes - 1}")
        if self.n_classes > MOST or rows.shape[1] > MOST:
            raise InputError(f"there are {self.n_classes} classes and {rows.shape[1]} features; {MOST} are the most")
        self.present, number = np.unique(numbers.astype(np.int64), return_inverse=True)
        self.classes = number.astype(np.int64)
        self.weights = None if share is None or (share == share[0]).all() else share / share.mean()


class Classifier(BaseModel):
    """Tells classes apart by their features, once it has learned from samples."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True, allow_inf_nan=False)

    name: ClassVar[str]
    source: ClassVar[str] = ""

    _present: NDArray[np.int64] | None = PrivateAttr(None)
    _n_classes: int = PrivateAttr(0)
    _n_features: int = PrivateAttr(0)

    def __init__(self, /, **values: Any) -> None:
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise ParameterError(explained(self.name, list(type(self).model_fields), error)) from None

    @classmethod
    def summary(cls) -> str:
        """Return the first line of the docstring."""
        return (cls.__doc__ or "").strip().split("\n", 1)[0]

    @classmethod
    def parameters(cls) -> list[Parameter]:
        """Return every parameter with its type, default, bounds and description."""
        return described(cls.model_json_schema()["properties"], cls().settings())

    def settings(self) -> dict[str, Any]:
        """Return the parameters as plain data."""
        return self.model_dump(mode="json")

    @property
    def n_features(self) -> int:
        """How many features a sample has; 0 before it has learned."""
        return self._n_features

    @property
    def n_classes(self) -> int:
        """How many classes it gives probabilities of; 0 before it has learned."""
        return self._n_classes

    def fit(
        self,
        features: ArrayLike,
        classes: ArrayLike,
        weights: ArrayLike | None = None,
        *,
        n_classes: int | None = None,
        seed: int = 0,
    ) -> Self:
        """Return a copy that has learned; the same samples and seed give the same one.

        Parameters
        ----------
        features : (n, n_features) array
            A row per sample, finite.
        classes : (n,) array of whole numbers from 0
        weights : (n,) array, optional
            How much each sample counts.
        n_classes
            How many classes there are, when the last may have no sample.
        seed
            Of whatever is left to chance, 0 to 2^31.

        Raises
        ------
        InputError
            When the samples can't be learned from.
        """
        if not 0 <= seed <= 2**31:
            raise ParameterError(f"seed is {seed}; it must lie between 0 and 2^31")
        samples = Samples(features, classes, weights, n_classes)
        fresh = self.model_copy()
        fresh._set_shape(samples.features.shape[1], samples.n_classes, samples.present)
        if len(samples.present) > 1:
            fresh._learn(samples, seed)
        return fresh

    def predict(self, features: NDArray[np.float32], out: NDArray[np.float32] | None = None) -> NDArray[np.float32]:
        """Return the probability of each class, which sum to 1.

        Parameters
        ----------
        features : (n_features, n) array
            A plane per feature, finite. Fastest as float32 in C order: nothing is copied then.
        out : (n_classes, n) float32 array, optional
            Where to write it.

        Raises
        ------
        InputError
            When it has learned nothing yet, or from another number of features.
        """
        present = self._trained()
        if features.ndim != 2 or len(features) != self._n_features:
            raise InputError(
                f"{self.name} learned from {self._n_features} features; got an array of shape {features.shape}, "
                f"expected ({self._n_features}, pixels)"
            )
        n = features.shape[1]
        if out is None:
            out = np.empty((self._n_classes, n), np.float32)
        if out.shape != (self._n_classes, n) or out.dtype != np.float32:
            raise InputError(f"out must be float32 of shape {(self._n_classes, n)}; it is {out.dtype} {out.shape}")
        if len(present) == 1:
            out[:] = 0
            out[present[0]] = 1
            return out
        every = len(present) == self._n_classes
        if every and features.dtype == np.float32 and features.flags.c_contiguous and out.flags.c_contiguous:
            self._classify(features, out)
            return out
        for start in range(0, n, BLOCK):
            piece = np.ascontiguousarray(features[:, start : start + BLOCK], np.float32)
            found = np.empty((len(present), piece.shape[1]), np.float32)
            self._classify(piece, found)
            there = out[:, start : start + BLOCK]
            if not every:
                there[:] = 0
            there[present] = found
        return out

    @property
    def importance(self) -> NDArray[np.float64]:
        """How much each feature counts, in sum 1; all 0 where it can't be said."""
        if len(self._trained()) == 1:
            return np.zeros(self._n_features)
        found = self._importance()
        total = found.sum()
        return found / total if total > 0 else np.zeros(self._n_features)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return all that was learned, for a file."""
        present = self._trained()
        shape = np.array([self._n_features, self._n_classes], np.int64)
        return {"shape": shape, "present": present} | (self._learned() if len(present) > 1 else {})

    @classmethod
    def from_arrays(cls, arrays: Arrays, settings: Mapping[str, Any]) -> Self:
        """Return the classifier that gave these arrays and settings.

        Raises
        ------
        InputError, ParameterError
            When they don't fit: everything is checked, so that arrays from anywhere can't do harm.
        """
        made = cls(**settings)
        shape, present = column(arrays, "shape", np.int64), column(arrays, "present", np.int64)
        if len(shape) != 2 or (shape < 1).any() or (shape > MOST).any():
            raise InputError(f"shape must be two numbers from 1 to {MOST}; it is {shape[:5].tolist()}")
        if present[0] < 0 or present[-1] >= shape[1] or (np.diff(present) <= 0).any():
            raise InputError(f"the classes with samples must ascend from 0 to {shape[1] - 1}")
        made._set_shape(int(shape[0]), int(shape[1]), present)
        if len(present) > 1:
            made._restore({name: array for name, array in arrays.items() if name not in ("shape", "present")})
        return made

    def _learn(self, samples: Samples, seed: int) -> None:
        """Learn from samples of two classes or more; called on a fresh copy."""
        raise NotImplementedError

    def _classify(self, features: NDArray[np.float32], out: NDArray[np.float32]) -> None:
        """Write the probabilities of the classes that have samples; both arrays are in C order."""
        raise NotImplementedError

    def _importance(self) -> NDArray[np.float64]:
        raise NotImplementedError

    def _learned(self) -> dict[str, NDArray[Any]]:
        raise NotImplementedError

    def _restore(self, arrays: Arrays) -> None:
        raise NotImplementedError

    def _set_shape(self, n_features: int, n_classes: int, present: NDArray[np.int64]) -> None:
        self._n_features, self._n_classes, self._present = n_features, n_classes, present

    def _trained(self) -> NDArray[np.int64]:
        if self._present is None:
            raise InputError(f"this {self.name} has learned nothing yet: fit it, or load a model")
        return self._present


def kinds() -> Mapping[str, type[Classifier]]:
    """Return all kinds of classifiers by name, the default first."""
    return MappingProxyType({name: getattr(importlib.import_module(at), kind) for name, (at, kind) in _CLASSES.items()})


def classifier(name: str = "random_forest", /, **parameters: Any) -> Classifier:
    """Return a classifier that has learned nothing yet.

    Raises
    ------
    UnknownNameError, ParameterError
        When there is no such kind, or it has no such parameter or value.
    """
    known = kinds()
    if name not in known:
        raise UnknownNameError(f"no classifier is called {name!r}{nearest(name, known)}")
    return known[name](**parameters)


def column(arrays: Arrays, name: str, kind: DTypeLike, *shape: int | None) -> NDArray[Any]:
    """Return one of some arrays, checked.

    Parameters
    ----------
    arrays, name
        Where it is expected.
    kind
        Its data type.
    shape
        Its length along each axis, ``None`` for any but 0; one axis of any length when nothing is said.

    Raises
    ------
    InputError
        When it is missing or another.
    """
    wanted = shape or (None,)
    if name not in arrays:
        raise InputError(f"the array {name} is missing")
    array = arrays[name]
    fits = array.ndim == len(wanted) and all(
        n == w if w is not None else n for n, w in zip(array.shape, wanted, strict=False)
    )
    if array.dtype != np.dtype(kind) or not fits:
        told = ", ".join("n" if w is None else str(w) for w in wanted)
        raise InputError(
            f"the array {name} must be {np.dtype(kind)} of shape ({told}); it is {array.dtype} {array.shape}"
        )
    return array
