"""Methods that first make maps of all of an image, and then a result of those, window by window."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from segmentry.image import Array, Image
from segmentry.labelling import Store
from segmentry.result import Result
from segmentry.step import Segmenter

__all__ = ["MapSegmenter"]


class MapSegmenter(Segmenter):
    """Image to maps, and those to a result; :meth:`halo` says how far around a pixel of the maps the latter looks."""

    def predicted(self, image: Image) -> int:
        """Return how many maps :meth:`predict` makes of an image."""
        raise NotImplementedError

    def predict(self, image: Image, into: Store, tell: Callable[[float], None]) -> None:
        """Write the maps of one time point of an image, which may be lazy, to an array of zeros (maps, *spatial).

        Parameters
        ----------
        tell
            Called with the share that is done.
        """
        raise NotImplementedError

    def foreseen(self, image: Image) -> Array | None:
        """Return the maps of an image where preparing the step made them already."""
        return None

    def survey(self, maps: Image) -> Any:
        """Return what must be known of all maps of a time point before a window of them is decoded, if anything.

        It has a method ``within(region)`` that gives the same for a window.
        """
        return None

    def decode(self, maps: Image, survey: Any = None) -> Result:
        """Return the result that maps stand for, which lie along the axis ``"C"``.

        Parameters
        ----------
        survey
            What :meth:`survey` gave, within the window; not needed where the maps are those of the whole image.
        """
        raise NotImplementedError
