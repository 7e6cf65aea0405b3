"""Bias field of magnetic resonance images, estimated by N4 and divided out.

N4 (Tustison et al. 2010) sharpens the histogram of the logarithm of the intensities, takes the smooth part of what that
changed for the bias, and repeats, from a stiff spline to a more flexible one. It is fitted once, on a thinned copy of
the whole image (the mean over time, for a series), where the image is not background; the spline is then evaluated at
every pixel. It works on volumes and planes of a few materials, each of one intensity, which lie among each other as in
a brain; it fails where intensity changes smoothly by nature, or each material fills one large region, which it takes
for bias. It needs SimpleITK: ``pip install 'segmentry[medical]'``. An image of fewer than 8 pixels along its longest
axis, or without contrast, is left as it is.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from segmentry.errors import InputError, MissingExtraError
from segmentry.filters.by_place import ByPlace
from segmentry.image import Grid, Image, Region
from segmentry.kernels.splines import evaluate, through
from segmentry.overview import Overview
from segmentry.step import Filter

__all__ = ["BiasField"]

#: The thinned image has at most this many pixels, and at least this many per axis where the image has them.
MOST_PIXELS = 2**18
FEWEST_PER_AXIS = 16
#: Pixels of the thinned image, along its longest axis, that each piece of the spline needs; and in the mask.
PIXELS_PER_PIECE = 8
FEWEST_IN_MASK = 32


class BiasField(Filter):
    """Evens out the slow drift of brightness across magnetic resonance images (N4)."""

    name: ClassVar[str] = "bias_field"
    source: ClassVar[str] = "Tustison et al. 2010, doi:10.1109/TMI.2010.2046908"

    shrink: int = Field(4, ge=1, le=32, description="Every how many pixels, along the finest axis, one is looked at.")
    levels: int = Field(4, ge=1, le=6, description="Passes, from stiff to flexible; each halves the spline's pieces.")
    iterations: int = Field(50, ge=1, le=1000, description="Most iterations at each level.")
    mask: Literal["otsu", "all"] = Field(
        "otsu", description="Where the bias is fitted: above the threshold of Otsu, or wherever there is intensity."
    )
    fields_: tuple[tuple[float, ...], ...] | None = Field(
        None, description="Spline coefficients of each channel's logarithmic bias; none where nothing is changed."
    )

    def prepare(self, overview: Overview) -> Self:
        image = overview.image
        channels = [image.channel(c) for c in range(overview.n_channels)] if "C" in image.grid.axes else [image]
        return self.model_copy(update={"fields_": tuple(self._learned(channel) for channel in channels)})

    def view(self, image: Image) -> Image:
        grid, fields = image.grid, self.fields_ or ()
        if len(fields) != grid.length("C"):
            raise InputError(f"{self.name} has learned {len(fields)} channels; the image has {grid.length('C')}")
        ndim = len(grid.spatial)
        sides = [round(len(field) ** (1 / ndim)) for field in fields]
        if any(side**ndim != len(field) for side, field in zip(sides, fields, strict=True)):
            raise InputError(f"{self.name} has learned a field that does not have the axes {grid.spatial} of the image")
        lattices = [np.array(field).reshape((side,) * ndim) for field, side in zip(fields, sides, strict=True)]
        place = grid.axes.find("C")

        def corrected(pixels: NDArray[np.float32], region: Region) -> NDArray[np.float32]:
            out = pixels.copy()
            parts = np.moveaxis(out, place, 0) if place >= 0 else out[None]
            first = region[place].start if place >= 0 else 0
            for part, lattice in zip(parts, lattices[first:], strict=False):
                if lattice.size:
                    np.divide(part, np.exp(evaluate(lattice, grid.spatial_shape, region[-ndim:])), out=part)
            return out

        return image.with_data(ByPlace(image, corrected))

    def _learned(self, image: Image) -> tuple[float, ...]:
        """Return the lattice of the logarithmic bias, row by row; nothing where none can be told."""
        grid = image.grid.without("T")
        places = thinned(grid, self.shrink)
        counts = [len(p) for p in places]
        pixels = _taken(image, places).squeeze()
        if max(counts) < PIXELS_PER_PIECE or pixels.ndim < 2 or not np.ptp(pixels) > 0:
            return ()
        levels = min(self.levels, 1 + int(math.log2(max(1, max(counts) // PIXELS_PER_PIECE))))
        field = _n4(pixels, self.mask, levels, self.iterations)
        if field is None:
            return ()
        one = tuple(i for i, n in enumerate(counts) if n == 1)
        field = np.broadcast_to(np.expand_dims(field, one), (2 ** (levels - 1) + 3,) * len(counts))
        return tuple(round(float(v), 6) for v in field.ravel())


def thinned(grid: Grid, shrink: int) -> list[NDArray[np.int64]]:
    """Return which pixels are looked at along each axis, about equally far apart, the first and the last included."""
    while True:
        steps = [max(1, round(shrink / a)) for a in grid.anisotropy]
        counts = [max(n // step, min(n, FEWEST_PER_AXIS)) for n, step in zip(grid.spatial_shape, steps, strict=True)]
        if math.prod(counts) <= MOST_PIXELS or counts == [min(n, FEWEST_PER_AXIS) for n in grid.spatial_shape]:
            return [
                np.round(np.linspace(0, n - 1, m)).astype(np.int64)
                for n, m in zip(grid.spatial_shape, counts, strict=True)
            ]
        shrink += 1


def _taken(image: Image, places: list[NDArray[np.int64]]) -> NDArray[np.float32]:
    """Return the chosen pixels, as the mean over time; read plane by plane."""
    grid = image.grid
    total = np.zeros([len(p) for p in places])
    for t in range(grid.length("T")):
        moment = image.at("T", t) if "T" in grid.axes else image
        for index in np.ndindex(*total.shape[:-2]):
            plane = moment.at("Z", int(places[0][index[0]])) if index else moment
            total[index] += plane.read()[np.ix_(*places[-2:])]
    return (total / grid.length("T")).astype(np.float32)


def _n4(pixels: NDArray[np.float32], mask: str, levels: int, iterations: int) -> NDArray[np.float64] | None:
    """Return the lattice that N4 finds, ``2 ** (levels - 1) + 3`` coefficients per axis; none where it finds none."""
    try:
        import SimpleITK as sitk  # noqa: N813
    except ImportError as error:
        raise MissingExtraError("correcting the bias field", "medical") from error
    fine = np.isfinite(pixels)
    pixels = np.where(fine, pixels, pixels[fine].min())
    with _one_thread(sitk):
        image = sitk.GetImageFromArray(pixels)
        inside = pixels > 0
        if mask == "otsu":
            inside &= sitk.GetArrayFromImage(sitk.OtsuThreshold(image, 0, 1, 200)) > 0
        if inside.sum() < FEWEST_IN_MASK or np.ptp(pixels[inside]) == 0:
            return None
        correction = sitk.N4BiasFieldCorrectionImageFilter()
        correction.SetMaximumNumberOfIterations([iterations] * levels)
        correction.SetNumberOfControlPoints([4] * pixels.ndim)
        correction.Execute(image, sitk.GetImageFromArray(inside.astype(np.uint8)))
        # the field on a grid of points which lie on the joints of the spline's pieces and between them
        pieces = 2 ** (levels - 1)
        points = sitk.Image([4 * pieces + 1] * pixels.ndim, sitk.sitkFloat32)
        field = sitk.GetArrayFromImage(correction.GetLogBiasFieldAsImage(points)).astype(np.float64)
    if not np.isfinite(field).all():
        return None
    return through(field, [np.linspace(0, 1, n) for n in field.shape], pieces)


@contextmanager
def _one_thread(sitk: Any) -> Iterator[None]:
    """Let SimpleITK work with one thread: its sums, and so its field, depend on how many there are."""
    before = sitk.ProcessObject.GetGlobalDefaultNumberOfThreads()
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    try:
        yield
    finally:
        sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(before)
