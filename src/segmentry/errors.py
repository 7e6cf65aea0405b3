"""The errors that segmentry raises, all with one root, and the search for the nearest name.

Every message is one line that says what was asked, what was found and what to do.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

__all__ = [
    "Cancelled",
    "InputError",
    "MissingExtraError",
    "OutputError",
    "ParameterError",
    "SegmentryError",
    "UnknownNameError",
    "nearest",
    "one_line",
]


class SegmentryError(Exception):
    """Root of all errors that segmentry raises on purpose."""


class ParameterError(SegmentryError, ValueError):
    """A parameter is unknown, out of bounds or does not fit the image."""


class UnknownNameError(SegmentryError, LookupError):
    """A method, filter, cleaner, channel or format of that name does not exist."""


class InputError(SegmentryError, ValueError):
    """A file or an array can't be used as what it was given for."""


class OutputError(SegmentryError):
    """A result can't be written: it exists already, or the target can't hold it."""


class MissingExtraError(SegmentryError, ImportError):
    """An optional library is needed; the message names the extra that installs it."""

    def __init__(self, what: str, extra: str) -> None:
        super().__init__(f"{what} needs an optional library: pip install 'segmentry[{extra}]'")
        self.extra = extra


class Cancelled(SegmentryError):
    """Raised from a progress callback to stop a run; nothing half-written stays behind."""


def nearest(name: str, known: Iterable[str]) -> str:
    """Return `` (did you mean 'x'?)`` for the closest known name, else the list of known names.

    >>> nearest("otus", ["otsu", "kmeans"])
    " (did you mean 'otsu'?)"
    >>> nearest("zzz", ["otsu", "kmeans"])
    ' (known: kmeans, otsu)'
    """
    options = sorted(known)
    spelled = {option.lower(): option for option in options}
    close = difflib.get_close_matches(name.lower(), spelled, n=1, cutoff=0.6)
    if close:
        return f" (did you mean {spelled[close[0]]!r}?)"
    return f" (known: {', '.join(options)})" if options else ""


def one_line(error: BaseException, limit: int = 300) -> str:
    r"""Return the message of any exception folded to one line of at most `limit` characters.

    >>> one_line(ValueError("two\n  lines"))
    'two lines'
    """
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= limit else text[: limit - 1] + "…"
