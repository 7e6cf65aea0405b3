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
from numba.core.caching import FunctionCache
from numba.core.runtime import rtsys

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


class _Cache(FunctionCache):  # type: ignore[misc]
    """Loops that were compiled before, loaded without all that only a compilation needs: half a second the first time.

    Numba makes itself ready to compile (and loads parts of SciPy) before it looks whether there is anything to compile.
    """

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        rtsys.initialize(target_context)
        with self._guard_against_spurious_io_errors():
            return self._load_overload(sig, target_context)


def compiled(function: F) -> F:
    """Compile a loop on first use, for any thread to call without holding the interpreter's lock."""
    loop = numba.njit(nogil=True, cache=True)(function)
    loop._cache = _Cache(function)
    made: F = loop
    return made
