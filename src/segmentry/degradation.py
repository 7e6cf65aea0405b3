"""What makes images hard, step by step: degrade an image whose truth is known, and see how methods' scores fall.

Each kind of degradation has amounts from none to severe, and a filter that is made for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segmentry.errors import InputError, SegmentryError, UnknownNameError, nearest
from segmentry.image import Image
from segmentry.metrics import evaluate_images
from segmentry.recipe import VERSION, Recipe, recipes
from segmentry.result import Instances

__all__ = ["DEGRADATIONS", "Degradation", "degraded", "scores_under_degradation"]

#: Noise that every degraded image of low contrast has, as a share of the range of the intact one.
CAMERA = 0.01


@dataclass(frozen=True)
class Degradation:
    """A way in which images become hard.

    Parameters
    ----------
    meaning
        What an amount says.
    amounts
        From none to severe.
    change
        From pixels (float64, 0 … 1), labels, an amount and a generator to pixels and labels of the degraded image.
    filters
        From an amount to the steps made for it, as a recipe has them.
    """

    meaning: str
    amounts: tuple[float, ...]
    change: Callable[[NDArray[Any], NDArray[Any], float, np.random.Generator], tuple[NDArray[Any], NDArray[Any]]]
    filters: Callable[[float], list[Any]]


def _noise(pixels: NDArray[Any], labels: NDArray[Any], amount: float, rng: np.random.Generator) -> Any:
    return pixels + rng.normal(0, 1, pixels.shape) * amount, labels


def _blur(pixels: NDArray[Any], labels: NDArray[Any], amount: float, _rng: np.random.Generator) -> Any:
    from scipy.ndimage import gaussian_filter

    return gaussian_filter(pixels, amount), labels


def _uneven(pixels: NDArray[Any], labels: NDArray[Any], amount: float, _rng: np.random.Generator) -> Any:
    ramp = np.linspace(0, 1, pixels.shape[-1])
    return pixels * (1 - 0.5 * amount * ramp) + amount * (1 - ramp), labels


def _contrast(pixels: NDArray[Any], labels: NDArray[Any], amount: float, rng: np.random.Generator) -> Any:
    return 0.5 + (pixels - 0.5) * amount + rng.normal(0, CAMERA, pixels.shape), labels


def _anisotropy(pixels: NDArray[Any], labels: NDArray[Any], amount: float, _rng: np.random.Generator) -> Any:
    return pixels[:: int(amount)], labels[:: int(amount)]


def _partial_volume(pixels: NDArray[Any], labels: NDArray[Any], amount: float, _rng: np.random.Generator) -> Any:
    n = int(amount)
    whole = tuple(slice(0, size // n * n) for size in pixels.shape)
    apart = [part for size in pixels.shape for part in (size // n, n)]
    mean = pixels[whole].reshape(apart).mean(axis=tuple(range(1, 2 * pixels.ndim, 2)))
    return mean, labels[tuple(slice(n // 2, size // n * n, n) for size in pixels.shape)]


def _artefacts(pixels: NDArray[Any], labels: NDArray[Any], amount: float, rng: np.random.Generator) -> Any:
    struck = rng.random(pixels.shape) < amount
    return np.where(struck, rng.choice([0.0, 2.0], pixels.shape), pixels), labels


DEGRADATIONS: Mapping[str, Degradation] = MappingProxyType(
    {
        "noise": Degradation(
            "standard deviation of added noise, as a share of the range",
            (0, 0.05, 0.1, 0.2, 0.4),
            _noise,
            lambda _: [{"non_local_means": {}}],
        ),
        "blur": Degradation(
            "standard deviation of a Gaussian, in pixels",
            (0, 1, 2, 4, 6),
            _blur,
            lambda amount: [{"richardson_lucy": {"sigma": amount}}] if amount else [],
        ),
        "illumination": Degradation(
            "glow from one side, as a share of the range; the other side loses half as much of its light",
            (0, 0.25, 0.5, 1, 1.5),
            _uneven,
            lambda _: [{"background": {"radius": 20}}],
        ),
        "contrast": Degradation(
            f"share of the range that is left over noise of {CAMERA:.0%} of it",
            (1, 0.5, 0.2, 0.1, 0.05),
            _contrast,
            lambda _: [{"non_local_means": {}}],
        ),
        "anisotropy": Degradation(
            "one row (2D) or plane (3D) in so many is kept",
            (1, 2, 3, 4, 6),
            _anisotropy,
            lambda _: [{"resample": {}}],
        ),
        "partial_volume": Degradation(
            "so many pixels along each axis become one, their mean",
            (1, 2, 3, 4, 6),
            _partial_volume,
            lambda amount: [{"resample": {"spacing": "1 um"}}] if amount > 1 else [],
        ),
        "artefacts": Degradation(
            "share of pixels that are dead or hot",
            (0, 0.005, 0.02, 0.05, 0.1),
            _artefacts,
            lambda _: [{"median": {"radius": 1}}],
        ),
    }
)


def degraded(image: Image, truth: Instances, kind: str, amount: float, seed: int = 0) -> tuple[Image, Instances]:
    """Return a degraded image (float32, the intact one has the range 0 … 1) and the truth on its pixels.

    Parameters
    ----------
    image : one channel, one time point, two or three spatial axes
    truth
        Its objects.
    kind
        One of :data:`DEGRADATIONS`.
    amount
        As the kind means it.
    seed
        Of the noise.

    Raises
    ------
    InputError, UnknownNameError
        When the image is not of that kind, the truth does not fit it, or there is no such degradation.
    """
    if kind not in DEGRADATIONS:
        raise UnknownNameError(f"no degradation is called {kind!r}{nearest(kind, list(DEGRADATIONS))}")
    if image.grid.axes != image.grid.spatial:
        raise InputError(f"one channel and one time point are degraded at once; the image has {image.grid.axes}")
    if image.grid.shape != truth.grid.shape:
        raise InputError(f"the image has shape {image.grid.shape}, the truth {truth.grid.shape}")
    pixels = image.read().astype(np.float64)
    low, high = np.percentile(pixels, (0.1, 99.9))
    share = (pixels - low) / (high - low if high > low else 1.0)
    found, labels = DEGRADATIONS[kind].change(share, np.asarray(truth.labels[...]), amount, np.random.default_rng(seed))
    spacing = [float(a) for a in image.grid.anisotropy]
    if kind == "partial_volume":
        spacing = [s * amount for s in spacing]
    elif kind == "anisotropy":
        spacing[0] *= amount
    grid = replace(image.grid, shape=found.shape, spacing=tuple(spacing), unit="um", affine=None)
    return Image(found.astype(np.float32), grid, name=image.name), Instances.from_labels(labels, grid)


def scores_under_degradation(
    image: Image,
    truth: Instances,
    methods: Sequence[str],
    kinds: Sequence[str] = tuple(DEGRADATIONS),
    seed: int = 0,
    tell: Callable[[str, float], None] = lambda _what, _share: None,
) -> Iterator[dict[str, Any]]:
    """Yield a row for each kind, amount and method, once without and once with the filter made for it.

    Parameters
    ----------
    methods
        Names of methods (with their defaults) and of recipes that come along.
    tell
        Called with what is being done and how much of it is done.

    Yields
    ------
    dict with ``kind``, ``amount``, ``method``, ``filter`` (empty where there is none), ``objects``, ``ap50``, ``ap75``
    and ``dice`` (as :func:`segmentry.metrics.evaluate_images` defines them); a method that refuses the image scores 0
    and says why under ``note``.
    """
    steps = [(kind, amount) for kind in kinds for amount in DEGRADATIONS[kind].amounts]
    for done, (kind, amount) in enumerate(steps):
        tell(f"{kind} {amount:g}", done / len(steps))
        seen, there = degraded(image, truth, kind, amount, seed)
        made_for = DEGRADATIONS[kind].filters(amount)
        for method in methods:
            for filters in [[], made_for] if made_for else [[]]:
                named = " ".join(name for step in filters for name in step)
                row = {"kind": kind, "amount": amount, "method": method, "filter": named}
                yield row | _scored(_recipe(method, filters), seen, there)


def _recipe(method: str, filters: list[Any]) -> Recipe:
    content: dict[str, Any] = {"segmentry": VERSION, "method": method}
    if method in recipes():
        content = Recipe.named(method).to_dict()
    return Recipe.from_dict({**content, "filters": [*filters, *content.get("filters", [])]})


def _scored(recipe: Recipe, image: Image, truth: Instances) -> dict[str, Any]:
    try:
        found = recipe.run(image).instances
    except SegmentryError as error:
        return {"objects": 0, "ap50": 0.0, "ap75": 0.0, "dice": 0.0, "note": str(error)}
    scores = evaluate_images(found, truth, metrics=("ap", "dice"), thresholds=(0.5, 0.75))
    return {
        "objects": len(found),
        "ap50": scores["ap", "0.50"],
        "ap75": scores["ap", "0.75"],
        "dice": scores["dice"],
        "note": "",
    }
