"""Eigenvalues of symmetric 3x3 matrices in closed form (Smith 1961, doi:10.1145/355578.366316), many at once.

The cosine of a third of an angle is a polynomial in the cosine of its half, so that nothing in the loop keeps a
compiler from using vectors. In double precision: where two eigenvalues are nearly equal, half of the digits are lost.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from segmentry.kernels.jit import compiled

__all__ = ["eigenvalues"]

# cos(2/3 arccos t) for t from 0 to 1, interpolated in Chebyshev's points: off by 8e-11 at most.
_C0, _C1, _C2, _C3, _C4, _C5 = (
    0.5000000000810807,
    0.5773502495000359,
    -0.11111030975044248,
    0.05344544286599371,
    -0.032813031297800305,
    0.022319909488609055,
)
_C6, _C7, _C8, _C9, _C10 = (
    -0.015279988153534681,
    0.009378130722780044,
    -0.004485294580345826,
    0.001402487394939685,
    -0.00020759631562131372,
)


@compiled
def eigenvalues(matrices: NDArray[np.float32], count: int, values: NDArray[np.float32]) -> None:
    """Write the eigenvalues of the first matrices, the largest first.

    Parameters
    ----------
    matrices : (6, n) float32 array
        The elements xx, yy, zz, xy, xz, yz.
    count
        How many matrices.
    values : (3, n) float32 array
    """
    xx, yy, zz, xy, xz, yz = matrices[0], matrices[1], matrices[2], matrices[3], matrices[4], matrices[5]
    first, second, third = values[0], values[1], values[2]
    for x in range(count):
        a, b, c = np.float64(xx[x]), np.float64(yy[x]), np.float64(zz[x])
        d, e, f = np.float64(xy[x]), np.float64(xz[x]), np.float64(yz[x])
        mean = (a + b + c) * (1 / 3)
        a, b, c = a - mean, b - mean, c - mean
        spread = (a * a + b * b + c * c + 2 * (d * d + e * e + f * f)) * (1 / 6)
        width = math.sqrt(spread)
        determinant = a * (b * c - f * f) - d * (d * c - f * e) + e * (d * f - b * e)
        # The smallest float32 squared and cubed is far above 1e-300.
        cosine = min(max(0.5 * determinant / max(spread * width, 1e-300), -1.0), 1.0)
        most = mean + 2 * width * _third(math.sqrt(0.5 + 0.5 * cosine))
        least = mean - 2 * width * _third(math.sqrt(0.5 - 0.5 * cosine))
        first[x], second[x], third[x] = most, 3 * mean - most - least, least


@compiled
def _third(t: float) -> float:
    high = _C5 + t * (_C6 + t * (_C7 + t * (_C8 + t * (_C9 + t * _C10))))
    return _C0 + t * (_C1 + t * (_C2 + t * (_C3 + t * (_C4 + t * high))))
