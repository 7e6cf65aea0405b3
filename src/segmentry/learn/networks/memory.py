"""How the C library treats memory that tensors no longer need."""

from __future__ import annotations

import ctypes
import sys
from functools import lru_cache

__all__ = ["keep_memory"]

#: Numbers of the options in malloc.h of the GNU C library, and bytes that they are set to.
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
_TRIMMED_FROM, _MAPPED_FROM = 2**31 - 1, 2**30


@lru_cache(1)
def keep_memory() -> bool:
    """Have memory that is given back kept for what comes next, and say whether that could be done.

    Each step of a training makes and drops the same large tensors. The GNU C library hands such memory back to the
    system each time, which then clears it page by page: a tenth to a fifth of the time of a step on a CPU.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        option = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    return bool(option(_MMAP_THRESHOLD, _MAPPED_FROM)) and bool(option(_TRIM_THRESHOLD, _TRIMMED_FROM))
