"""What is compared: local thresholds, and filters of the neighbourhood, with scipy and scikit-image."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from cases import nuclei
from harness import Case
from scipy import ndimage
from scipy.stats import spearmanr
from skimage import exposure, filters, restoration

from segmentry.filters.clahe import Clahe
from segmentry.filters.median import Median
from segmentry.filters.rolling_ball import RollingBall
from segmentry.filters.top_hat import TopHat
from segmentry.image import Image
from segmentry.kernels.rolling_ball import ball_erosion
from segmentry.methods.local_gaussian import LocalGaussian
from segmentry.methods.local_mean import LocalMean
from segmentry.methods.sauvola import Sauvola
from segmentry.step import Filter, Segmenter


def filter_cases() -> Iterator[Case]:
    """Yield the comparisons of local thresholds and of filters."""
    pixels, _ = nuclei(2048)
    low, high = int(pixels.min()), int(pixels.max())
    turned = (high - pixels) / np.float32(high - low)
    rules: tuple[tuple[str, Segmenter, Callable[[], np.ndarray]], ...] = (
        ("local mean", LocalMean(), lambda: pixels > filters.threshold_local(pixels, 51, "mean") + 0.05 * (high - low)),
        ("local Gaussian mean", LocalGaussian(), lambda: turned < filters.threshold_local(turned, 51) - 0.05),
        ("Sauvola", Sauvola(), lambda: turned < filters.threshold_sauvola(turned, 51, 0.2, 0.5)),
    )
    for name, rule, usual in rules:
        yield Case(
            f"{name} and probability, 51×51, 2048²",
            "scikit-image, class only",
            _segmented(rule, pixels),
            usual,
            lambda a, b: f"{(a == b)[25:-25, 25:-25].mean():.3%} of pixels",
        )
    yield from _boxes(pixels)
    yield from _balls(nuclei(1024)[0].astype(np.float32))


def _boxes(pixels: np.ndarray) -> Iterator[Case]:
    real = pixels.astype(np.float32)
    for radius in (1, 2):
        side = 2 * radius + 1
        yield Case(
            f"median {side}×{side}, 2048² uint16",
            "scipy `median_filter`",
            _applied(Median(radius=radius), pixels),
            lambda side=side: ndimage.median_filter(pixels, side).astype(np.float32),
            _difference,
        )
    yield Case(
        "top-hat 51×51, 2048²",
        "scipy `white_tophat`",
        _applied(TopHat(radius=25), real),
        lambda: ndimage.white_tophat(real, 51),
        _difference,
    )
    yield Case(
        "CLAHE, 129×129, 2048², a box for each pixel",
        "scikit-image `equalize_adapthist`, in tiles",
        _applied(Clahe(), pixels),
        lambda: exposure.equalize_adapthist(pixels, 129),
        lambda a, b: f"rank correlation {spearmanr(a[::7, ::7].ravel(), b[::7, ::7].ravel()).statistic:.3f}",
    )


def _balls(real: np.ndarray) -> Iterator[Case]:
    yield Case(
        "ball under an image, r = 50, 1024²",
        "scikit-image `rolling_ball`",
        lambda: ball_erosion(real, (50.0, 50.0), 50.0),
        lambda: restoration.rolling_ball(real, radius=50),
        _difference,
    )
    yield Case(
        "rolling ball (opening), r = 50, 1024²",
        "scikit-image `rolling_ball`, twice",
        _applied(RollingBall(sigma=0), real),
        lambda: real + restoration.rolling_ball(-restoration.rolling_ball(real, radius=50), radius=50),
        _difference,
    )


def _segmented(rule: Segmenter, pixels: np.ndarray) -> Callable[[], np.ndarray]:
    image = Image.from_array(pixels)
    ready = rule.prepared(image)
    return lambda: np.asarray(ready.segment(image).semantic().classes)


def _applied(step: Filter, pixels: np.ndarray) -> Callable[[], np.ndarray]:
    image = Image.from_array(pixels)
    ready = step.prepared(image)
    return lambda: ready.view(image).read()


def _difference(one: np.ndarray, other: np.ndarray) -> str:
    return f"largest difference {np.abs(one - other).max():.0e}"
