"""Objects that share much of their outline are joined: what a method has cut in too many pieces.

For each two objects that touch, the contact is set against the outline of the smaller one, measured as faces of pixels
in true size. Where it is a large part, and the mean intensities are alike if that is asked for, the two become one,
with the id, the score and the class of the largest. Chains are joined as one. It works on over-segmented objects; it
fails where whole objects are packed closely: of a half disc 0.33 is in contact, of a cell among cells about 0.17.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from segmentry.image import Image
from segmentry.labelling import Survey, lookup, survey
from segmentry.result import Instances
from segmentry.step import Cleaner
from segmentry.tiling import slabs

__all__ = ["MergeTouching"]


class MergeTouching(Cleaner):
    """Joins objects that touch along much of their outline, and are of like intensity if asked."""

    name: ClassVar[str] = "merge_touching"
    min_contact: float = Field(
        0.25, gt=0, le=1, description="Least share of the smaller object's outline that must be in contact."
    )
    max_difference: float | None = Field(
        None, ge=0, description="Largest difference of mean intensities, in units of the image; none: any."
    )
    channel: str | int | None = Field(None, description="Channel that is measured; none: the one that is segmented.")
    joined_: tuple[tuple[int, int], ...] | None = Field(None, description="Ids that are joined, each with its new id.")

    def needs_image(self) -> bool:
        return self.max_difference is not None

    def surveyed(self, instances: Instances, image: Image | None = None) -> Self:
        from segmentry.kernels.components import merge_pairs

        held = survey(instances.labels)
        one, other, contact = self._contacts(instances, held)
        near = contact >= self.min_contact
        if self.max_difference is not None:
            assert image is not None
            means = _means(instances, held, image)
            near &= np.abs(means[one] - means[other]) <= self.max_difference
        group = np.arange(len(held.ids))
        merge_pairs(group, one[near], other[near])
        order = np.lexsort((held.ids, -held.sizes, group))
        lead = order[np.append(True, group[order][1:] != group[order][:-1])[: len(order)]]
        heirs = held.ids[lead][group - 1]
        pairs = zip(held.ids.tolist(), heirs.tolist(), strict=True)
        return self.model_copy(update={"joined_": tuple((a, b) for a, b in pairs if a != b)})

    def clean(self, instances: Instances, image: Image | None = None) -> Instances:
        joined = self.joined_ if self.joined_ is not None else self.surveyed(instances, image).joined_
        heirs = dict(joined or ())
        labels = np.asarray(instances.labels[...])
        ids = np.array([heirs.get(i, i) for i in instances.ids.tolist()], np.uint32)
        left, member = np.unique(ids, return_index=True)
        origins = np.where(np.isin(left, instances.ids), left, instances.ids[member])
        return instances.with_labels(lookup(labels, instances.ids, ids), left, origins=origins)

    def _contacts(
        self, instances: Instances, held: Survey
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
        """Return two places in the ids for each pair that touches, and the share of the smaller one's outline."""
        spacing = np.array(instances.grid.spacing or (1.0,) * len(instances.grid.spatial))
        faces = np.zeros(len(held.ids) + 1)
        pairs: dict[tuple[int, int], float] = {}
        for axis, low, high, count in _faces(instances):
            size = float(np.prod(spacing) / spacing[axis])
            for side in (low, high):
                np.add.at(faces, np.where(side > 0, np.searchsorted(held.ids, side) + 1, 0), count * size)
            for pair, n in zip(zip(low.tolist(), high.tolist(), strict=True), count.tolist(), strict=True):
                if pair[0] > 0:
                    pairs[pair] = pairs.get(pair, 0.0) + n * size
        both = np.array(list(pairs), np.uint32).reshape(-1, 2)
        one, other = np.searchsorted(held.ids, both.T)
        smaller = np.where(held.sizes[one] <= held.sizes[other], one, other)
        return one, other, np.array(list(pairs.values())) / faces[smaller + 1]


def _faces(instances: Instances) -> Iterator[tuple[int, NDArray[np.uint32], NDArray[np.uint32], NDArray[np.int64]]]:
    """Yield for each slab and axis the pairs of ids (the lower one first; 0: none) that share faces, and how many."""
    shape = instances.grid.spatial_shape
    for region in slabs(shape):
        block = np.asarray(instances.labels[tuple(slice(max(s.start - 1, 0), s.stop) for s in region)])
        for axis in range(block.ndim):
            own = tuple(slice(int(s.start > 0 and i != axis), None) for i, s in enumerate(region))
            moved = np.moveaxis(block[own], axis, 0)
            differ = moved[1:] != moved[:-1]
            a, b = moved[1:][differ], moved[:-1][differ]
            keys = np.minimum(a, b).astype(np.uint64) << np.uint64(32) | np.maximum(a, b)
            found, count = np.unique(keys, return_counts=True)
            yield axis, (found >> np.uint64(32)).astype(np.uint32), found.astype(np.uint32), count


def _means(instances: Instances, held: Survey, image: Image) -> NDArray[np.float64]:
    """Return the mean of the finite pixels of each object; NaN where there is none."""
    from segmentry.kernels.intensities import add_intensities, empty_sums, statistics
    from segmentry.kernels.runs import find_runs

    sums = empty_sums(np.float64, len(held.ids))
    numbers = np.arange(1, len(held.ids) + 1, dtype=np.uint32)
    for region in slabs(instances.grid.spatial_shape):
        index = lookup(np.asarray(instances.labels[region]), held.ids, numbers)
        shape = (1,) * (3 - index.ndim) + index.shape
        pixels = image.read(region).astype(np.float64).reshape(shape)
        add_intensities(find_runs(index.reshape(shape), np.zeros(3, np.int64)), pixels, sums)
    return statistics(sums).mean
