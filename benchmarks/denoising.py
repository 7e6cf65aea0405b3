"""What is compared: each filter against noise with scikit-image's, or SimpleITK's where that has none."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import SimpleITK
from harness import Case
from skimage import data, restoration

from segmentry.filters.richardson_lucy import RichardsonLucy
from segmentry.filters.wavelet import Wavelet
from segmentry.image import Image
from segmentry.kernels.bilateral import bilateral
from segmentry.kernels.diffusion import diffuse
from segmentry.kernels.non_local_means import non_local_means
from segmentry.kernels.total_variation import total_variation

NOISE = 0.06


def noisy(side: int) -> tuple[np.ndarray, np.ndarray]:
    """Return a photograph with noise, float32 between 0 and 1, and the same without."""
    times = -(-side // 512)
    truth = np.tile(data.camera() / 255, (times, times))[:side, :side]
    image = truth + np.random.default_rng(0).normal(0, NOISE, truth.shape)
    return image.clip(0, 1).astype(np.float32), truth


def denoising_cases() -> Iterator[Case]:
    """Yield the comparisons; both ways run on one thread with the same parameters."""
    yield from _averages()
    yield from _iterations()
    image, truth = noisy(1024)
    step = Wavelet(noise_=(NOISE,))
    yield Case(
        "wavelets, 1024²",
        "scikit-image `denoise_wavelet`",
        lambda: step.apply(Image.from_array(image)).read(),
        lambda: restoration.denoise_wavelet(image, sigma=NOISE, rescale_sigma=True),
        _closeness(truth),
    )


def _averages() -> Iterator[Case]:
    image, truth = noisy(1024)
    yield Case(
        "bilateral, sigma 1.5, 1024²",
        "scikit-image `denoise_bilateral`",
        lambda: bilateral(image, (1.5, 1.5), (5, 5), 0.15),
        lambda: restoration.denoise_bilateral(image, sigma_color=0.15, sigma_spatial=1.5, mode="symmetric"),
        _closeness(truth),
    )
    small, clean = noisy(512)
    for fast in (True, False):
        yield Case(
            "non-local means, patch 5², search 13², 512²",
            f"scikit-image `denoise_nl_means`, {'fast' if fast else 'Gaussian patches as ours'}",
            lambda: non_local_means(small, (2, 2), (6, 6), NOISE, NOISE),
            lambda fast=fast: restoration.denoise_nl_means(small, 5, 6, h=NOISE, sigma=NOISE, fast_mode=fast),
            _closeness(clean),
        )


def _iterations() -> Iterator[Case]:
    image, truth = noisy(1024)
    yield Case(
        "total variation, 50 iterations, 1024²",
        "scikit-image `denoise_tv_chambolle`",
        lambda: total_variation(image, 0.05, 50, (1, 1)),
        lambda: restoration.denoise_tv_chambolle(image, 0.05, eps=0, max_num_iter=51),
        lambda a, b: f"largest difference {np.abs(a - b).max():.0e}",
    )
    SimpleITK.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    foreign = SimpleITK.GetImageFromArray(image)
    yield Case(
        "anisotropic diffusion, 10 iterations, 1024²",
        "SimpleITK `GradientAnisotropicDiffusion`, one thread",
        lambda: diffuse(image, 2 * NOISE, 0.125, 10, (1, 1)),
        lambda: SimpleITK.GetArrayFromImage(SimpleITK.GradientAnisotropicDiffusion(foreign, 0.125, 1.0, 1, 10)),
        _closeness(truth),
    )
    step = RichardsonLucy(sigma=1.5, range_=((0.0, 1.0),))
    curve = np.exp(-0.5 * (np.arange(-6, 7) / 1.5) ** 2)
    psf = np.outer(curve, curve) / curve.sum() ** 2
    yield Case(
        "Richardson-Lucy, sigma 1.5, 10 iterations, 1024²",
        "scikit-image `richardson_lucy`",
        lambda: step.apply(Image.from_array(image)).read(),
        lambda: restoration.richardson_lucy(image, psf, 10, clip=False),
        lambda a, b: f"largest difference inside {np.abs(a - b)[40:-40, 40:-40].max():.0e}",
    )


def _closeness(truth: np.ndarray) -> Callable[[np.ndarray, np.ndarray], str]:
    def said(ours: np.ndarray, theirs: np.ndarray) -> str:
        one, other = (-10 * np.log10(np.square(found - truth).mean()) for found in (ours, theirs))
        return f"{one:.1f} and {other:.1f} dB from the truth"

    return said
