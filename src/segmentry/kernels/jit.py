"""How the kernels are compiled: serial, without the interpreter's lock, cached on disk.

The first call of a kernel on a machine compiles it, a second each: a message says so once. The cache lies beside
the source or, where that can't be written, in the user's cache folder.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, TypeVar

import numba
from numba.core import event

__all__ = ["compiled"]

F = TypeVar("F", bound=Callable[..., Any])


class _SayOnce(event.Listener):  # type: ignore[misc]
    def __init__(self) -> None:
        self.said = False

    def on_start(self, event: event.Event) -> None:
        if not self.said:
            self.said = True
            logging.getLogger("segmentry").info(
                "compiling fast loops for this machine: a first run takes some 20 seconds longer"
            )

    def on_end(self, event: event.Event) -> None:
        """Nothing to say when a compilation ends."""


event.register("numba:compile", _SayOnce())


def compiled(function: F) -> F:
    """Compile a loop on first use, for any thread to call without holding the interpreter's lock."""
    loop: F = numba.njit(nogil=True, cache=True)(function)
    return loop
