"""Objects that don't stand out from what is around them are dropped: ghosts, noise, what lies out of focus.

The contrast of an object is the difference between its mean intensity and that of its surroundings (the background
nearer to it than to other objects, up to a distance), in standard deviations of the surroundings: the contrast-to-noise
ratio of radiology. It does not depend on the brightness of the image. It works on objects with background about them;
where an object has none, only its mean counts. Intensities are those of the image before filters.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from segmentry.image import Grid, Image
from segmentry.labelling import lookup
from segmentry.length import Length
from segmentry.result import Instances
from segmentry.step import Cleaner

if TYPE_CHECKING:
    from segmentry.kernels.intensities import Statistics

__all__ = ["DropFaint"]


class DropFaint(Cleaner):
    """Drops objects that hardly differ in intensity from their surroundings."""

    name: ClassVar[str] = "drop_faint"
    min_contrast: float = Field(
        1.0, ge=0, le=1_000, description="Least contrast that stays, in standard deviations of the surroundings."
    )
    objects: Literal["bright", "dark", "any"] = Field("any", description="Whether objects must be brighter or darker.")
    surroundings: Length = Field(Length(5.0), description="How far from an object its surroundings reach.")
    min_mean: float | None = Field(
        None, description="Lowest mean intensity that stays, in units of the image; none: any."
    )
    channel: str | int | None = Field(None, description="Channel that is measured; none: the one that is segmented.")

    def halo(self, grid: Grid) -> tuple[int, ...]:
        return tuple(2 * n for n in self.surroundings.whole(grid))

    def needs_image(self) -> bool:
        return True

    def clean(self, instances: Instances, image: Image | None = None) -> Instances:
        from segmentry.kernels.reach import grow_labels

        assert image is not None
        labels = np.asarray(instances.labels[...])
        index = lookup(labels, instances.ids, np.arange(1, len(instances) + 1, dtype=np.uint32))
        around = grow_labels(index, *self.surroundings.metric(instances.grid)) - index
        pixels = image.read().astype(np.float64)
        mean = _statistics(index, pixels, len(instances)).mean
        near = _statistics(around, pixels, len(instances))
        above = mean - near.mean
        seen = {"bright": above, "dark": -above, "any": np.abs(above)}[self.objects]
        kept = (seen >= self.min_contrast * near.sd) | (near.count == 0)
        if self.min_mean is not None:
            kept &= mean >= self.min_mean
        return instances.keep(kept)


def _statistics(index: NDArray[np.uint32], pixels: NDArray[np.float64], count: int) -> Statistics:
    from segmentry.kernels.intensities import add_intensities, empty_sums, statistics
    from segmentry.kernels.runs import find_runs

    sums = empty_sums(pixels.dtype, count)
    shape = (1,) * (3 - index.ndim) + index.shape
    add_intensities(find_runs(index.reshape(shape), np.zeros(3, np.int64)), pixels.reshape(shape), sums)
    return statistics(sums)
