"""Any classifier of scikit-learn: by its name there, with its parameters.

What is kept of it are its name, its parameters and the samples: a model is trained anew when it is loaded, which gives
the same one with the same version of scikit-learn, and no program code is ever kept in a file. It works where you know
which classifier you want; it is slower than the others, and its features must often be brought to one scale first.
"""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, JsonValue, PrivateAttr

from segmentry.errors import InputError, ParameterError, nearest, one_line
from segmentry.learn.classifier import BLOCK, Arrays, Classifier, Samples, column
from segmentry.tiling import thread_count

__all__ = ["ScikitLearn"]

#: No whole number among the parameters may be larger, so that no file asks for endless work.
LARGEST = 10_000
_SET_HERE = ("random_state", "n_jobs", "verbose", "warm_start")


class ScikitLearn(Classifier):
    """Any classifier of scikit-learn, by its name there."""

    name = "scikit_learn"
    source: ClassVar[str] = "Pedregosa et al. 2011, https://jmlr.org/papers/v12/pedregosa11a.html"

    estimator: str = Field("ExtraTreesClassifier", max_length=100, description="Its name in scikit-learn.")
    options: dict[str, JsonValue] = Field(default_factory=dict, description="Its parameters, by their names there.")

    _fitted: Any = PrivateAttr(None)
    _samples: Samples | None = PrivateAttr(None)
    _seed: int = PrivateAttr(0)

    def model_post_init(self, context: Any, /) -> None:
        """Refuse what scikit-learn has not, before anything is learned."""
        super().model_post_init(context)
        if self.model_fields_set:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                self._made(0)

    def _learn(self, samples: Samples, seed: int) -> None:
        from joblib import parallel_config

        try:
            with warnings.catch_warnings(), parallel_config(backend="threading", n_jobs=thread_count()):
                warnings.simplefilter("ignore")
                made = self._made(seed)
                how = {} if samples.weights is None else {"sample_weight": samples.weights}
                if how and "sample_weight" not in inspect.signature(made.fit).parameters:
                    raise InputError("it knows no weights of samples: give none")
                self._fitted = made.fit(samples.features, samples.classes, **how)
        except Exception as error:  # each of many classifiers fails in its own way
            raise InputError(f"{self.estimator} of scikit-learn can't learn from these: {one_line(error)}") from error
        self._samples, self._seed = samples, seed

    def _classify(self, features: NDArray[np.float32], out: NDArray[np.float32]) -> None:
        for start in range(0, features.shape[1], BLOCK):
            rows = np.ascontiguousarray(features[:, start : start + BLOCK].T)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                if hasattr(self._fitted, "predict_proba"):
                    found = np.nan_to_num(self._fitted.predict_proba(rows))
                else:
                    found = np.eye(len(out))[self._fitted.predict(rows)]
            total = found.sum(axis=1, keepdims=True)
            even = np.full_like(found, 1 / len(out))
            out[:, start : start + BLOCK] = np.divide(found, total, out=even, where=total > 0).T

    def _importance(self) -> NDArray[np.float64]:
        found = getattr(self._fitted, "feature_importances_", None)
        if found is None:
            weights = getattr(self._fitted, "coef_", None)
            if weights is None:
                return np.zeros(self.n_features)
            spread = self._samples.features.std(axis=0, dtype=np.float64) if self._samples else 1.0
            found = np.abs(weights).reshape(-1, self.n_features).mean(axis=0) * spread
        return np.maximum(np.nan_to_num(np.asarray(found, np.float64)), 0)

    def _learned(self) -> dict[str, NDArray[Any]]:
        assert self._samples is not None
        s = self._samples
        found: dict[str, NDArray[Any]] = {
            "features": s.features,
            "classes": s.classes,
            "seed": np.array([self._seed], np.int64),
        }
        return found if s.weights is None else {**found, "weights": s.weights}

    def _restore(self, arrays: Arrays) -> None:
        features = column(arrays, "features", np.float32, None, self.n_features)
        classes = column(arrays, "classes", np.int64, len(features))
        seed = int(column(arrays, "seed", np.int64, 1)[0])
        weights = column(arrays, "weights", np.float64, len(features)) if "weights" in arrays else None
        samples = Samples(features, classes, weights, len(self._trained()))
        if len(samples.present) != len(self._trained()) or not 0 <= seed <= 2**31:
            raise InputError("its samples don't hold all classes, or its seed is out of range")
        samples.weights = weights
        self._learn(samples, seed)

    def _made(self, seed: int) -> Any:
        """Return the classifier of scikit-learn, which has learned nothing."""
        from sklearn.utils import all_estimators

        known = dict(all_estimators(type_filter="classifier"))
        if self.estimator not in known:
            raise ParameterError(f"scikit-learn has no classifier {self.estimator!r}{nearest(self.estimator, known)}")
        kind = known[self.estimator]
        takes = inspect.signature(kind).parameters
        able = [name for name in takes if name not in _SET_HERE]
        for name, value in self.options.items():
            if name not in able:
                raise ParameterError(f"options: {self.estimator} takes no {name!r}{nearest(name, able)}")
            if not _bounded(value):
                raise ParameterError(f"options.{name}: whole numbers may be {LARGEST} at most")
        needs = [name for name in able if takes[name].default is inspect.Parameter.empty and name not in self.options]
        if needs:
            raise ParameterError(f"estimator: {self.estimator} is made of others ({needs[0]}): choose another")
        return kind(**self.options, **({"random_state": seed} if "random_state" in takes else {}))


def _bounded(value: JsonValue) -> bool:
    if isinstance(value, Mapping):
        return all(map(_bounded, value.values()))
    if isinstance(value, list):
        return all(map(_bounded, value))
    return not isinstance(value, int) or abs(value) <= LARGEST
