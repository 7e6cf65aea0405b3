"""Clustering and superpixels against scikit-learn and scikit-image, on a photograph of a stained section."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from harness import Case
from scipy import ndimage
from skimage import color, data, segmentation
from skimage.metrics import adapted_rand_error
from sklearn.cluster import KMeans as SklearnKMeans
from sklearn.mixture import GaussianMixture as SklearnMixture

from segmentry.image import Image
from segmentry.methods.felzenszwalb import Felzenszwalb
from segmentry.methods.gaussian_mixture import GaussianMixture
from segmentry.methods.kmeans import KMeans
from segmentry.methods.slic import Slic
from segmentry.run import run


def section(side: int = 1024) -> np.ndarray:
    """Return the photograph enlarged to a square, as uint8 RGB."""
    pixels = data.immunohistochemistry()
    return ndimage.zoom(pixels, (side / pixels.shape[0], side / pixels.shape[1], 1), order=1)


def clustering_cases() -> Iterator[Case]:
    """Yield the comparisons of clustering and superpixels."""
    pixels = section()
    image = Image.from_array(pixels, "YXC")
    points = pixels.reshape(-1, 3).astype(np.float32)
    lab = color.rgb2lab(pixels).reshape(-1, 3)
    yield Case(
        "k-means, 8 colours, 1024² RGB, CIELAB",
        "scikit-learn `KMeans`, RGB",
        lambda: np.asarray(run(KMeans(n_classes=8), image).result.classes).ravel(),
        lambda: SklearnKMeans(8, n_init=1, random_state=0).fit(points).predict(points),
        lambda a, b: f"{explained(lab, a):.1%} and {explained(lab, b):.1%} of the variance explained",
    )
    yield Case(
        "Gaussian mixture, 3 classes, 1024² RGB, CIELAB",
        "scikit-learn `GaussianMixture`, 20% of pixels",
        lambda: np.asarray(run(GaussianMixture(), image).result.classes).ravel(),
        lambda: SklearnMixture(3, random_state=0).fit(lab[::5]).predict(lab),
        lambda a, b: f"adapted Rand {1 - adapted_rand_error(b + 1, a + 1)[0]:.3f}",
    )
    yield Case(
        "SLIC, 2,000 superpixels, 1024² RGB",
        "scikit-image `slic`",
        lambda: np.asarray(run(Slic(n_segments=2000), image).instances.labels).ravel(),
        lambda: segmentation.slic(pixels, 2000, compactness=10, start_label=1).ravel(),
        lambda a, b: f"{explained(lab, a):.1%} and {explained(lab, b):.1%} of the variance explained",
    )
    yield Case(
        "Felzenszwalb, scale 300, 1024² RGB",
        "scikit-image `felzenszwalb`",
        lambda: np.asarray(run(Felzenszwalb(), image).instances.labels).ravel(),
        lambda: segmentation.felzenszwalb(pixels, scale=300, sigma=0.8, min_size=50).ravel() + 1,
        lambda a, b: f"adapted Rand {1 - adapted_rand_error(b, a)[0]:.3f}",
    )


def explained(features: np.ndarray, labels: np.ndarray) -> float:
    """Return the share of the variance that the means of regions explain."""
    count = np.maximum(np.bincount(labels), 1)
    means = np.stack([np.bincount(labels, c) / count for c in features.T], axis=1)
    centre = features.mean(axis=0)
    return float(((means[labels] - centre) ** 2).sum() / ((features - centre) ** 2).sum())
