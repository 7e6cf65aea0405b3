"""Random forest: many decision trees, each grown on a draw of the samples, vote on the class.

Each tree sees as many samples as there are, drawn with replacement, and each of its nodes asks for the best of a few
features drawn at random, as many as the root of their number (Breiman 2001). It is trained by scikit-learn and gives
its probabilities, faster. It works where a few hundred pixels are marked and nothing is known of the features, which
may have any scale; it fails where classes differ only in a combination of many features.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, PrivateAttr

from segmentry.errors import InputError
from segmentry.learn.classifier import Arrays, Classifier, Samples, column
from segmentry.tiling import thread_count

if TYPE_CHECKING:
    from segmentry.kernels.forest import Forest

__all__ = ["RandomForest"]

_NODES = {"feature": np.int32, "threshold": np.float32, "child": np.int32, "row": np.int32, "roots": np.int32}


class RandomForest(Classifier):
    """Votes of many decision trees: robust, hardly anything to set."""

    name = "random_forest"
    source: ClassVar[str] = "Breiman 2001, doi:10.1023/A:1010933404324"

    n_trees: int = Field(100, ge=1, le=2000, description="Number of trees; more are smoother and slower.")
    max_depth: int | None = Field(None, ge=1, le=1000, description="Levels of a tree at most; none: as it needs.")
    min_samples: int = Field(1, ge=1, le=100_000, description="Samples in each leaf at least; more are smoother.")
    sample_share: float | None = Field(
        default=None, gt=0, le=1, description="Share of the samples that each tree draws; none: as many as there are."
    )

    _forest: Forest | None = PrivateAttr(None)
    _packed: NDArray[np.int64] | None = PrivateAttr(None)
    _weights: NDArray[np.float64] | None = PrivateAttr(None)

    @classmethod
    def from_forest(
        cls, forest: Forest, importance: NDArray[np.float64] | None = None, **settings: Any
    ) -> RandomForest:
        """Return a classifier that is a forest grown by another program.

        Parameters
        ----------
        forest
            The trees.
        importance
            How much each feature counts, where it is known.
        settings
            Parameters with which it was grown.
        """
        made = cls(**({"n_trees": len(forest.roots)} | settings))
        made._set_shape(forest.n_features, forest.n_classes, np.arange(forest.n_classes))
        made._take(forest, np.zeros(forest.n_features) if importance is None else importance)
        return made

    def _learn(self, samples: Samples, seed: int) -> None:
        from sklearn.ensemble import RandomForestClassifier

        from segmentry.kernels.forest import Forest, Tree

        forest = RandomForestClassifier(
            self.n_trees,
            max_depth=self.max_depth,
            min_samples_leaf=self.min_samples,
            max_samples=None if self.sample_share is None else max(1, round(self.sample_share * len(samples.classes))),
            n_jobs=thread_count(),
            random_state=seed,
        )
        forest.fit(samples.features, samples.classes, samples.weights)
        trees = [
            Tree(t.feature, t.threshold, t.children_left, t.children_right, t.value[:, 0])
            for t in (estimator.tree_ for estimator in forest.estimators_)
        ]
        self._take(Forest.from_trees(trees, self.n_features), forest.feature_importances_.astype(np.float64))

    def _take(self, forest: Forest, importance: NDArray[np.float64]) -> None:
        self._forest, self._packed, self._weights = forest, forest.packed(), importance

    def _classify(self, features: NDArray[np.float32], out: NDArray[np.float32]) -> None:
        assert self._forest is not None
        self._forest.predict(features, out, self._packed)

    def _importance(self) -> NDArray[np.float64]:
        assert self._weights is not None
        return self._weights

    def _learned(self) -> dict[str, NDArray[Any]]:
        nodes = {name: getattr(self._forest, name) for name in (*_NODES, "distributions")}
        return nodes | {"importance": self._importance()}

    def _restore(self, arrays: Arrays) -> None:
        from segmentry.kernels.forest import Forest

        nodes = {name: column(arrays, name, kind) for name, kind in _NODES.items()}
        present = self._trained()
        distributions = column(arrays, "distributions", np.float32, None, len(present))
        importance = column(arrays, "importance", np.float64, self.n_features)
        if not np.isfinite(importance).all() or (importance < 0).any():
            raise InputError("an importance of a feature is negative or not finite")
        self._take(Forest(**nodes, distributions=distributions, n_features=self.n_features), importance)
