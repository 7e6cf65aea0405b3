"""The pixels of a TIFF file that is too large to be read at once: strips and tiles, decoded where they are sliced."""

from __future__ import annotations

import itertools
import math
import threading
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segmentry.image import Region

__all__ = ["Segments"]

Span = tuple[int, int]


class Segments:
    """An image of a file that tifffile holds open, which slices; several threads may do so.

    tifffile describes each page by five axes: separate samples, depth, length, width, samples side by side.

    Parameters
    ----------
    series
        A ``tifffile.TiffPageSeries``; pages follow each other along its first axes.
    """

    def __init__(self, series: Any) -> None:
        self._series, self._key, self._lock = series, series.keyframe, threading.RLock()
        self.shape = tuple(int(n) for n in series.shape)
        self.dtype = np.dtype(series.dtype)
        self._lead = next(i for i in range(len(self.shape), -1, -1) if math.prod(self.shape[i:]) == self._key.size)
        _, _, length, width, samples = self._key.shaped
        if self._key.is_tiled:
            self._segment = (1, self._key.tiledepth, self._key.tilelength, self._key.tilewidth, samples)
        else:
            self._segment = (1, 1, min(self._key.rowsperstrip, length), width, samples)
        self._counts = tuple(-(-n // size) for n, size in zip(self._key.shaped, self._segment, strict=True))

    def __getitem__(self, key: Region) -> NDArray[Any]:
        spans = [s.indices(n) for s, n in zip(key, self.shape, strict=True)]
        pages = [range(*span) for span in spans[: self._lead]]
        inner = [(start, max(start, stop)) for start, stop, _ in spans[self._lead :]]
        sizes = [stop - start for start, stop in inner]
        out: NDArray[Any] = np.full([*map(len, pages), math.prod(sizes)], self._key.nodata, self.dtype)
        if out.size:
            of_page = self._five(inner)
            shape = [stop - start for start, stop in of_page]
            for place in np.ndindex(out.shape[:-1]):
                index = [pages[axis][i] for axis, i in enumerate(place)]
                number = int(np.ravel_multi_index(index, self.shape[: self._lead])) if index else 0
                self._read(number, of_page, out[place].reshape(shape))
        steps = [slice(None)] * self._lead + [slice(None, None, step) for _, _, step in spans[self._lead :]]
        whole: NDArray[Any] = out.reshape([*map(len, pages), *sizes])[tuple(steps)]
        return whole

    def _five(self, inner: Sequence[Span]) -> list[Span]:
        """Spread spans along the axes of a page in the series over tifffile's five, most of which have length one."""
        long = iter(span for span, n in zip(inner, self.shape[self._lead :], strict=True) if n > 1)
        return [next(long) if n > 1 else (0, 1) for n in self._key.shaped]

    def _read(self, number: int, spans: Sequence[Span], out: NDArray[Any]) -> None:
        """Fill `out` with a part of one page; segments that are not in the file stay as they are."""
        with self._lock:
            page = self._series[number]
        if page is None:
            return
        for segment in self._touched(spans):
            raw = self._raw(page, segment)
            if raw is None:
                continue
            tables = {"jpegtables": page.jpegtables, "jpegheader": self._key.jpegheader}
            block, (sample, *corner), _ = self._key.decode(raw, segment, **tables)
            into, of_block = [slice(sample - spans[0][0], sample - spans[0][0] + 1)], []
            for (start, stop), first, length in zip(spans[1:], corner, block.shape, strict=True):
                low, high = max(start, first), min(stop, first + length)
                into.append(slice(low - start, high - start))
                of_block.append(slice(low - first, high - first))
            out[tuple(into)] = block[tuple(of_block)]

    def _touched(self, spans: Sequence[Span]) -> Iterator[int]:
        """Yield the numbers of the segments that have pixels in the spans."""
        ranges = [range(a // size, -(-b // size)) for (a, b), size in zip(spans, self._segment, strict=True)]
        for place in itertools.product(*ranges):
            yield int(np.ravel_multi_index(place, self._counts))

    def _raw(self, page: Any, segment: int) -> bytes | None:
        """Read the bytes of a segment."""
        offset, count = page.dataoffsets[segment], page.databytecounts[segment]
        if not offset or not count:
            return None
        file = page.parent.filehandle
        with self._lock:
            if file.closed:  # another file of the same image
                file.open()
            file.seek(offset)
            return bytes(file.read(count))
