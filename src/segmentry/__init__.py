"""segmentry: images into objects, objects into numbers.

Importing the package is free: each name is loaded when it is first used.

>>> import segmentry
>>> image = segmentry.Image.from_array([[0, 0, 9, 0, 0, 8], [0, 0, 9, 0, 0, 8]])
>>> len(segmentry.segment(image, "otsu").instances)
2
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from segmentry.analysis.measure import measure
    from segmentry.errors import SegmentryError
    from segmentry.image import Grid, Image
    from segmentry.io import read, read_labels, write, write_labels
    from segmentry.recipe import Recipe, segment
    from segmentry.result import Instances, Panoptic, Semantic
    from segmentry.run import Outcome

__version__ = "0.1.0"

__all__ = [
    "Grid",
    "Image",
    "Instances",
    "Outcome",
    "Panoptic",
    "Recipe",
    "SegmentryError",
    "Semantic",
    "__version__",
    "measure",
    "read",
    "read_labels",
    "segment",
    "write",
    "write_labels",
]

_HOMES = {
    "analysis.measure": ("measure",),
    "errors": ("SegmentryError",),
    "image": ("Grid", "Image"),
    "io": ("read", "read_labels", "write", "write_labels"),
    "recipe": ("Recipe", "segment"),
    "result": ("Instances", "Panoptic", "Semantic"),
    "run": ("Outcome",),
}


def __getattr__(name: str) -> Any:
    import importlib.util

    for home, names in _HOMES.items():
        if name in names:
            return getattr(importlib.import_module(f"segmentry.{home}"), name)
    if importlib.util.find_spec(f"segmentry.{name}") is not None:
        return importlib.import_module(f"segmentry.{name}")
    raise AttributeError(f"module 'segmentry' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
