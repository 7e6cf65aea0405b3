"""What the second and third moments of objects say of their shape: axes, directions, invariants."""

from __future__ import annotations

import itertools

import numpy as np
from numpy.typing import NDArray

from segmentry.analysis.moments import Cubes, Moments
from segmentry.analysis.objects import Objects
from segmentry.analysis.property import measured

#: Axes whose variances differ by less than this share of the greater are of one length.
ALIKE = 1e-9


@measured("length", needs=[Moments])
def major_axis(objects: Objects) -> NDArray[np.float64]:
    """Full length of the longest axis of the ellipse or ellipsoid with the covariance of the pixel centres: 4 (in 3D
    the square root of 20) standard deviations along it; 0 for a single pixel.
    """
    return _lengths(objects)[:, 0]


@measured("length", needs=[Moments], dimensions=(3,))
def middle_axis(objects: Objects) -> NDArray[np.float64]:
    """Full length of the second axis of the ellipsoid of `major_axis`; 0 for a line of pixels."""
    return _lengths(objects)[:, 1]


@measured("length", needs=[Moments])
def minor_axis(objects: Objects) -> NDArray[np.float64]:
    """Full length of the shortest axis of the ellipse or ellipsoid of `major_axis`; 0 for a line or plane of pixels."""
    return _lengths(objects)[:, -1]


@measured(needs=[Moments])
def elongation(objects: Objects) -> NDArray[np.float64]:
    """Length of the longest axis over that of the shortest, 1 or more; NaN where the shortest is 0."""
    lengths = _lengths(objects)
    return np.asarray(lengths[:, 0] / np.where(lengths[:, -1] > 0, lengths[:, -1], np.nan))


@measured(needs=[Moments], dimensions=(2,))
def eccentricity(objects: Objects) -> NDArray[np.float64]:
    """Distance of the foci of the ellipse of `major_axis` over the length of its longer axis: 0 for a disc and a single
    pixel, 1 for a line.
    """
    values, _ = objects[Moments].axes
    return np.sqrt(1 - values[:, 1] / np.where(values[:, 0] > 0, values[:, 0], 1)) * (values[:, 0] > 0)


@measured(needs=[Moments], dimensions=(2,))
def orientation(objects: Objects) -> NDArray[np.float64]:
    """Angle of the longest axis against the Y axis in radians, from -π/2 to π/2, positive where X grows with Y; -π/4
    for what has no longest axis, such as a square.
    """
    spread = objects[Moments].covariances
    across, shared = spread[:, 0, 0] - spread[:, 1, 1], spread[:, 0, 1]
    turned = np.arctan2(2 * shared, across) / 2
    return np.where((across == 0) & (shared == 0), -np.pi / 4, turned)


@measured(needs=[Moments], dimensions=(3,))
def major_direction(objects: Objects) -> dict[str, NDArray[np.float64]]:
    """Direction of the longest axis in space as a vector of length 1; the first of Z, Y and X that is not 0 is
    positive. NaN for what has no longest axis, such as a cube.
    """
    values, vectors = objects[Moments].axes
    one = values[:, 0] - values[:, 1] > ALIKE * values[:, 0]
    return {f"major_direction_{a}": np.where(one, vectors[:, i, 0], np.nan) for i, a in enumerate("zyx")}


@measured("square", needs=[Moments], by_default=False)
def inertia(objects: Objects) -> dict[str, NDArray[np.float64]]:
    """Inertia tensor about the centroid per pixel, and its eigenvalues, greatest first: on the diagonal the sum of the
    variances along the other axes, beside it the covariances with the opposite sign.
    """
    moments = objects[Moments]
    spread, names = moments.covariances, objects.grid.spatial.lower()
    trace = np.trace(spread, axis1=1, axis2=2)
    found = {}
    for i, j in itertools.combinations_with_replacement(range(objects.ndim), 2):
        found[f"inertia_{names[i]}{names[j]}"] = trace - spread[:, i, i] if i == j else -spread[:, i, j]
    values, _ = moments.axes
    others = values.sum(axis=1, keepdims=True) - values[:, ::-1]
    return found | {f"inertia_eigenvalue_{i + 1}": others[:, i] for i in range(objects.ndim)}


@measured("square", needs=[Moments], by_default=False)
def central_moments(objects: Objects) -> dict[str, NDArray[np.float64]]:
    """Sums over the pixels of the products of two coordinates, as lengths from the centroid."""
    moments = objects[Moments]
    names = objects.grid.spatial.lower()
    pairs = itertools.combinations_with_replacement(range(objects.ndim), 2)
    sums = moments.covariances * moments.counts[:, None, None]
    return {f"central_moment_{names[i]}{names[j]}": sums[:, i, j] for i, j in pairs}


@measured(needs=[Moments, Cubes], by_default=False)
def third_moments(objects: Objects) -> dict[str, NDArray[np.float64]]:
    """Sums over the pixels of the products of three coordinates, as lengths from the centroid; of cubed lengths."""
    cubes = objects[Cubes].central(objects[Moments])
    wanted = itertools.combinations_with_replacement(range(3 - objects.ndim, 3), 3)
    return {f"central_moment_{''.join('zyx'[i] for i in axes)}": cubes[axes] for axes in wanted}


@measured(
    needs=[Moments, Cubes], dimensions=(2,), by_default=False, source="Hu 1962, doi:10.1109/TIT.1962.1057692"
)  # fmt: skip
def hu_moments(objects: Objects) -> dict[str, NDArray[np.float64]]:
    """The seven combinations of normalised central moments of second and third order that don't change with position,
    size and rotation; the seventh changes its sign when the object is mirrored.
    """
    moments = objects[Moments]
    cubes = objects[Cubes].central(moments)
    area = (objects.pixel_size * moments.counts)[:, None, None]
    (yy, yx), (_, xx) = np.moveaxis(moments.covariances / area, 0, -1)
    scale = area[:, 0, 0] ** -2.5 * objects.pixel_size
    yyy, yyx, yxx, xxx = (scale * cubes[k] for k in ((1, 1, 1), (1, 1, 2), (1, 2, 2), (2, 2, 2)))
    a, b, c, d = yyy + yxx, yyx + xxx, yyy - 3 * yxx, 3 * yyx - xxx
    found = [
        yy + xx,
        (yy - xx) ** 2 + 4 * yx**2,
        c**2 + d**2,
        a**2 + b**2,
        c * a * (a**2 - 3 * b**2) + d * b * (3 * a**2 - b**2),
        (yy - xx) * (a**2 - b**2) + 4 * yx * a * b,
        d * a * (a**2 - 3 * b**2) - c * b * (3 * a**2 - b**2),
    ]
    return {f"hu_{i + 1}": values for i, values in enumerate(found)}


def _lengths(objects: Objects) -> NDArray[np.float64]:
    from segmentry.kernels.moments import axis_lengths

    return axis_lengths(objects[Moments].axes[0])
