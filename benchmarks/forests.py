"""What is compared: classifiers of pixels, trained on marks in one half of an image, with scikit-learn on the other."""

from __future__ import annotations

import time
from collections.abc import Iterator

import numpy as np
from cases import nuclei
from harness import Case
from scipy import ndimage
from sklearn.ensemble import RandomForestClassifier

from segmentry.features import DEFAULT_FEATURES, FeatureBank
from segmentry.image import Grid
from segmentry.learn import Classifier, classifier

PIXELS = 2**18
MARKED = 5000


def forest_cases() -> Iterator[Case]:
    """Yield the comparisons of classifiers: training, and the probabilities of 2^18 pixels."""
    planes, classes = _problem()
    half = classes.size // 2
    rng = np.random.default_rng(0)
    marked = half + np.concatenate([rng.choice(np.flatnonzero(classes[half:] == c), MARKED // 3) for c in range(3)])
    rows, truth = np.ascontiguousarray(planes[:, marked].T), classes[marked]
    some = np.ascontiguousarray(planes[:, :PIXELS])
    usual = RandomForestClassifier(100, random_state=0, n_jobs=1).fit(rows, truth)
    turned = np.ascontiguousarray(some.T)
    known = classes[:PIXELS]

    def accuracies(ours: np.ndarray, theirs: np.ndarray) -> str:
        scores = [(found == known).mean() for found in (ours.argmax(axis=0), theirs.argmax(axis=1))]
        return f"accuracy {scores[0]:.2%}, {scores[1]:.2%}"

    def difference(ours: np.ndarray, theirs: np.ndarray) -> str:
        return f"largest difference {np.abs(ours.T - theirs).max():.0e}; {accuracies(ours, theirs)}"

    for kind, agree in (("random_forest", difference), ("fast_trees", accuracies)):
        made = classifier(kind).fit(rows, truth)
        yield Case(
            f"{kind}: probabilities of 512² pixels from {len(planes)} features",
            "scikit-learn `RandomForestClassifier`",
            lambda made=made: made.predict(some),
            lambda: usual.predict_proba(turned),
            agree,
        )
    yield Case(
        f"fast_trees: trained on {MARKED:,} pixels",
        "scikit-learn `RandomForestClassifier`",
        lambda: classifier("fast_trees").fit(rows, truth),
        lambda: RandomForestClassifier(100, random_state=0, n_jobs=1).fit(rows, truth),
        lambda ours, theirs: accuracies(ours.predict(some), theirs.predict_proba(turned)),
    )


def _problem() -> tuple[np.ndarray, np.ndarray]:
    """Return the features of an image of nuclei as planes, and the class of each pixel: outside, inside, outline."""
    pixels, labels = nuclei(1024)
    noisy = (pixels + np.random.default_rng(1).normal(0, 1500, pixels.shape)).astype(np.float32)
    grid = Grid("YX", noisy.shape)
    planes = FeatureBank(DEFAULT_FEATURES).compute(noisy, grid)
    outline = ndimage.minimum_filter(labels, 3) != ndimage.maximum_filter(labels, 3)
    return planes.reshape(len(planes), -1), np.where(outline, 2, labels > 0).ravel()


def accuracy_by_marks(repeats: int = 5) -> Iterator[str]:
    """Yield how accurate the kinds are on the half that was not marked, by the number of marked pixels."""
    planes, classes = _problem()
    half = classes.size // 2
    some = np.ascontiguousarray(planes[:, :half:7])
    for n in (24, 48, 500, MARKED, 20_000):
        scores: dict[str, list[float]] = {}
        begun = time.process_time()
        for seed in range(repeats):
            marked = half + np.random.default_rng(seed).choice(half, n, replace=False)
            for kind in ("random_forest", "fast_trees"):
                made: Classifier = classifier(kind).fit(planes[:, marked].T, classes[marked], n_classes=3, seed=seed)
                right = made.predict(some).argmax(axis=0) == classes[:half:7]
                scores.setdefault(kind, []).append(float(right.mean()))
        told = ", ".join(f"{kind} {np.mean(found):.3%}" for kind, found in scores.items())
        yield f"{n:,} pixels: {told} ({time.process_time() - begun:.0f} s)"


if __name__ == "__main__":
    print("\n".join(accuracy_by_marks()))
