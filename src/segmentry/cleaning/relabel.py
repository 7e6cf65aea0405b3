"""Ids are renumbered from 1 without gaps."""

from __future__ import annotations

from typing import ClassVar

from segmentry.image import Image
from segmentry.result import Instances
from segmentry.step import Cleaner

__all__ = ["Relabel"]


class Relabel(Cleaner):
    """Renumbers the objects 1 … n in raster order of their first pixel, over all time points."""

    name: ClassVar[str] = "relabel"
    renumbers: ClassVar[bool] = True

    def clean(self, instances: Instances, image: Image | None = None) -> Instances:
        return instances.renumbered()
