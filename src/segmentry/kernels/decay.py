"""exp(-x) for weights: made of additions and multiplications alone.

The compiler turns loops of it into vector instructions, and a number has the same weight wherever in an array it lies.
"""

from __future__ import annotations

import numpy as np

from segmentry.kernels.jit import compiled

__all__ = ["decay"]

FAR = np.float32(20)
HALVED = np.float32(1 / 64)
ONE = np.float32(1)
C2, C3, C4, C5 = (np.float32(c) for c in (1 / 2, 1 / 6, 1 / 24, 1 / 120))


@compiled
def decay(x: np.float32) -> np.float32:
    """Return exp(-x) of a float32 number from 0 up, to some millionths; 0 beyond 20.

    It is the Taylor series at x / 64, squared six times.
    """
    u = min(x, FAR) * HALVED
    y = ONE - u * (ONE - u * (C2 - u * (C3 - u * (C4 - u * C5))))
    y *= y
    y *= y
    y *= y
    y *= y
    y *= y
    y *= y
    return y if x < FAR else np.float32(0)
