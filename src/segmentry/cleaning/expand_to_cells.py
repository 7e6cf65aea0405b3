"""Nuclei become cells with the same ids: each grows by a distance, or to where the stain of the cytoplasm ends.

Each pixel that is near enough goes to the nearest nucleus. Where an image guides, only pixels above a threshold count,
and only those that hang together with their nucleus. It works where cells are about as wide as the distance allows and
nuclei lie in their middle; it fails on cells of uneven shape that touch, whose border it draws half-way between nuclei.
"""

from __future__ import annotations

from typing import ClassVar, Self

import numpy as np
from pydantic import Field

from segmentry.image import Grid, Image
from segmentry.length import Length
from segmentry.overview import Overview
from segmentry.result import Instances
from segmentry.step import Cleaner
from segmentry.thresholds import otsu_threshold

__all__ = ["ExpandToCells"]


class ExpandToCells(Cleaner):
    """Grows nuclei to cells of the same ids, up to a distance and, if asked, within a stain."""

    name: ClassVar[str] = "expand_to_cells"
    distance: Length = Field(Length(10.0), description="How far a cell reaches beyond its nucleus at most.")
    guided: bool = Field(False, description="Whether cells end where an image is not above a threshold.")
    channel: str | int | None = Field(None, description="Channel that guides; none: the one that is segmented.")
    threshold: float | None = Field(None, description="Intensity above which a pixel may be of a cell; none: Otsu's.")
    threshold_: float | None = Field(None, description="The threshold.")

    def halo(self, grid: Grid) -> tuple[int, ...]:
        return tuple(2 * n for n in self.distance.whole(grid))

    def needs_image(self) -> bool:
        return self.guided

    def prepare(self, overview: Overview) -> Self:
        level = otsu_threshold(overview.histogram()) if self.threshold is None else self.threshold
        return self.model_copy(update={"threshold_": level})

    def clean(self, instances: Instances, image: Image | None = None) -> Instances:
        from segmentry.kernels.components import label_components
        from segmentry.kernels.reach import grow_labels

        labels = np.asarray(instances.labels[...])
        grown = grow_labels(labels, *self.distance.metric(instances.grid))
        if self.guided:
            assert image is not None
            ready = self.prepared(image)
            grown[(labels == 0) & ~(image.read() > ready.threshold_)] = 0
            pieces, count = label_components(grown)
            held = np.zeros(count + 1, np.bool_)
            held[pieces[labels > 0]] = True
            grown[~held[pieces]] = 0
        return instances.with_labels(grown, instances.ids)
