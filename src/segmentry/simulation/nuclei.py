"""Plain simulated nuclei with their truth, for tests and trials that need no more.

Ellipsoids of varying size, direction, brightness and texture lie at random over a dim background, some of them
touching; the optics blur them, and photons and the camera add noise.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from segmentry.errors import InputError
from segmentry.image import Grid, Image
from segmentry.result import Instances

__all__ = ["LARGEST", "check_shape", "grid_of", "simulate_nuclei"]

BACKGROUND, HEIGHT = 200.0, 2000.0
#: Photons that one grey value stands for, and the noise of the camera in grey values.
PHOTONS, CAMERA = 0.1, 10.0
LARGEST = 2**28


def simulate_nuclei(
    shape: Sequence[int],
    seed: int = 0,
    *,
    spacing: Sequence[float] | None = None,
    unit: str = "um",
    radius: float = 9.0,
    density: float = 0.25,
    noise: float = 1.0,
) -> tuple[Image, Instances]:
    """Return an image of nuclei and the true objects.

    Parameters
    ----------
    shape : (Y, X) or (Z, Y, X)
    seed
        The same seed gives the same image.
    spacing, unit
        Pixel size per axis; not known when left out. Nuclei are round in space, not in pixels.
    radius
        Mean radius, in pixels of the finest axis.
    density
        Share of the area or volume that nuclei are meant to cover; less is reached where there is no room.
    noise
        Factor on all noise; 0 gives none.

    Returns
    -------
    image
        uint16; background near 200, nuclei some 2,000 above it.
    truth
        uint32 labels in raster order.

    Raises
    ------
    InputError
        When a shape, spacing, radius or density is not possible.

    Examples
    --------
    >>> image, truth = simulate_nuclei((64, 64), seed=1)
    >>> image.dtype, len(truth) > 1
    (dtype('uint16'), True)
    """
    shape = tuple(int(n) for n in shape)
    check_shape(shape, spacing)
    _check(radius, density, noise)
    grid = grid_of(shape, spacing, unit)
    rng = np.random.default_rng(seed)
    labels = np.zeros(shape, np.uint32)
    signal = np.zeros(shape, np.float32)
    ball = math.pi ** (len(shape) / 2) / math.gamma(len(shape) / 2 + 1)
    room = math.prod(n * a for n, a in zip(shape, grid.anisotropy, strict=True))
    for _ in range(math.ceil(density * room / (ball * radius ** len(shape)))):
        _add_nucleus(labels, signal, grid.anisotropy, radius, rng)
    from scipy.ndimage import gaussian_filter

    light = gaussian_filter(signal, [1.0 / a for a in grid.anisotropy]) * HEIGHT + BACKGROUND
    seen = rng.poisson(light * PHOTONS) / PHOTONS + rng.normal(0, CAMERA, shape) - light
    pixels = np.clip(np.rint(light + noise * seen), 0, 65_535).astype(np.uint16)
    return Image(pixels, grid, name="nuclei"), Instances.from_labels(labels, grid).renumbered()


def check_shape(shape: tuple[int, ...], spacing: Sequence[float] | None) -> None:
    """Refuse what is no shape of an image, or no spacing of its axes.

    Raises
    ------
    InputError
    """
    if len(shape) not in (2, 3) or min(shape) < 1 or math.prod(shape) > LARGEST:
        raise InputError(f"shape {shape}: two or three numbers are needed, of at most {LARGEST:,} pixels together")
    if spacing is not None and (len(spacing) != len(shape) or not all(0 < s < math.inf for s in spacing)):
        raise InputError(f"spacing {tuple(spacing)}: {len(shape)} numbers above 0 are needed, one per axis")


def grid_of(shape: tuple[int, ...], spacing: Sequence[float] | None, unit: str) -> Grid:
    """Return the grid of an image (Y, X) or (Z, Y, X)."""
    known = None if spacing is None else tuple(spacing)
    return Grid("ZYX"[3 - len(shape) :], shape, known, None if known is None else unit)


def _check(radius: float, density: float, noise: float) -> None:
    if not 1 <= radius <= 1000:
        raise InputError(f"radius {radius:g} must lie between 1 and 1,000 pixels")
    if not 0 <= density <= 0.8:
        raise InputError(f"density {density:g} must lie between 0 and 0.8")
    if not 0 <= noise <= 100:
        raise InputError(f"noise {noise:g} must lie between 0 and 100")


def _add_nucleus(
    labels: NDArray[np.uint32],
    signal: NDArray[np.float32],
    anisotropy: Sequence[float],
    radius: float,
    rng: np.random.Generator,
) -> None:
    """Put a nucleus where at most a tenth of it is taken by others; give up after a while."""
    from scipy.ndimage import gaussian_filter

    ndim = labels.ndim
    axes = radius * rng.lognormal(0, 0.2) * rng.uniform(0.8, 1.2, ndim)
    turn, _ = np.linalg.qr(rng.normal(size=(ndim, ndim)))
    brightness = rng.lognormal(0, 0.35)
    for _ in range(20):
        centre = rng.uniform(0, 1, ndim) * labels.shape
        reach = [max(axes) / a for a in anisotropy]
        box = tuple(
            slice(max(0, math.floor(c - r)), min(n, math.ceil(c + r) + 1))
            for c, r, n in zip(centre, reach, labels.shape, strict=True)
        )
        place = np.stack(np.meshgrid(*[np.arange(s.start, s.stop) for s in box], indexing="ij"), -1)
        offset = (place - centre) * anisotropy @ turn
        inside = ((offset / axes) ** 2).sum(axis=-1) <= 1
        free = inside & (labels[box] == 0)
        if inside.any() and free.sum() >= 0.9 * inside.sum():
            texture = gaussian_filter(rng.normal(size=inside.shape), [radius / 4 / a for a in anisotropy])
            texture = 1 + 0.15 * texture / max(texture.std(), 1e-9)
            labels[box][free] = labels.max() + 1
            signal[box][free] = (brightness * texture.clip(0.3, 2))[free]
            return
