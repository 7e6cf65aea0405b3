"""Images with their labels, as networks learn from them: opened when they are needed, a few kept in memory."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from threading import Lock

import numpy as np
from numpy.typing import NDArray

from segmentry.errors import InputError
from segmentry.image import Array, Image
from segmentry.learn.representation import UNLABELLED

__all__ = ["Example", "Examples"]

#: Bytes of opened images and labels that are kept.
KEPT = 2**30


@dataclass(frozen=True, eq=False)
class Example:
    """An image at one time point, and what is known of it.

    Parameters
    ----------
    image
        Without an axis ``"T"``.
    labels
        Of the shape of its spatial axes: classes or ids of objects, 0 for background.
    unlabelled
        The label of pixels that nobody told anything of; ``None`` where all are told.
    """

    image: Image
    labels: Array
    unlabelled: int | None = None

    def __post_init__(self) -> None:
        if tuple(self.labels.shape) != self.image.grid.spatial_shape:
            raise InputError(
                f"labels of shape {tuple(self.labels.shape)} don't fit an image of {self.image.grid.spatial_shape}"
            )

    def told(self, region: tuple[slice, ...]) -> NDArray[np.int64]:
        """Return the labels of a region as int64, UNLABELLED where nothing is told."""
        found = np.asarray(self.labels[region]).astype(np.int64)
        if self.unlabelled is not None:
            found[found == self.unlabelled] = UNLABELLED
        return found

    @property
    def size(self) -> int:
        """Bytes that it takes in memory."""
        held = [(self.image.data, self.image.grid.size), (self.labels, self.image.grid.without("C").size)]
        return sum(n * np.dtype(a.dtype).itemsize for a, n in held if isinstance(a, np.ndarray))


class Examples(Sequence[Example]):
    """Examples that are opened when they are asked for.

    Parameters
    ----------
    names
        One per example, for messages and for the choice of what is held out.
    opened
        Opens the example of a number.
    """

    def __init__(self, names: Sequence[str], opened: Callable[[int], Example]) -> None:
        self.names = tuple(names)
        self._opened = opened
        self._kept: OrderedDict[int, Example] = OrderedDict()
        self._held = 0
        self._lock = Lock()

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index):  # type: ignore[no-untyped-def] # slices of examples are made by `only`
        number = range(len(self))[index]
        with self._lock:
            found = self._kept.get(number)
            if found is not None:
                self._kept.move_to_end(number)
                return found
        found = self._opened(number)
        with self._lock:
            if number not in self._kept:  # another thread may have been faster
                self._held += found.size
            self._kept[number] = found
            while self._held > KEPT and len(self._kept) > 1:
                self._held -= self._kept.popitem(last=False)[1].size
        return found

    def only(self, numbers: Sequence[int]) -> Examples:
        """Return some of the examples."""
        chosen = list(numbers)
        return Examples([self.names[i] for i in chosen], lambda i: self[chosen[i]])

    @classmethod
    def of(cls, examples: Sequence[Example], names: Sequence[str] = ()) -> Examples:
        """Return examples that are in memory."""
        held = list(examples)
        return cls(names or [str(i) for i in range(len(held))], held.__getitem__)
