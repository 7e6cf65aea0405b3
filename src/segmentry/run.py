"""Run steps on an image of any size: channels, time, planes, tiles, memory and progress are handled here only."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import DTypeLike

from segmentry.image import Array, Grid, Image, Region
from segmentry.labelling import Store, lookup, survey
from segmentry.mapping import MapSegmenter
from segmentry.mending import mend
from segmentry.resampling import Nearest
from segmentry.result import Instances, Panoptic, Result, Semantic
from segmentry.selection import filled, opaque, selected
from segmentry.step import Cleaner, Filter, Segmenter
from segmentry.stitching import Objects, stitch_instances
from segmentry.tiling import cores, grow, in_order, inside, slabs, thread_count, tile_shape, window_grid
from segmentry.workspace import Frame, Part, ensure_memory, new_array

__all__ = ["Outcome", "Progress", "run"]

#: Called with what is being done and the share that is done, 0 … 1; an exception raised in it stops the run.
Progress: TypeAlias = Callable[[str, float], None]

#: Images of up to this many values are held in memory between steps.
IN_MEMORY_VALUES = 2**26


@dataclass(frozen=True)
class Outcome:
    """What a run gives.

    Parameters
    ----------
    result
        Of the kind that the method gives, cleaned, on the grid of the image (without channels).
    instances
        The objects of the result.
    filters, segmenter, cleaners
        The steps, with what they learned from the image.
    filtered
        The image that the method saw.
    notes
        What the user should know: pixels that don't count, colours made grey, a whole image seen at once.
    """

    result: Result
    instances: Instances
    filters: tuple[Filter, ...]
    segmenter: Segmenter
    cleaners: tuple[Cleaner, ...]
    filtered: Image
    notes: tuple[str, ...]

    def __repr__(self) -> str:
        return f"Outcome({self.result!r}, {len(self.instances):,} objects, by {self.segmenter.name})"


def run(
    segmenter: Segmenter,
    image: Image,
    *,
    filters: Sequence[Filter] = (),
    cleaners: Sequence[Cleaner] = (),
    channel: str | int | None = None,
    planes: bool = False,
    probabilities: bool = False,
    tile: int | Sequence[int] | None = None,
    threads: int | None = None,
    workspace: Path | None = None,
    progress: Progress | None = None,
) -> Outcome:
    """Segment an image: filters, the method, cleaners, at every time point.

    Parameters
    ----------
    segmenter
        The method. One that has learned already (from another image) keeps what it knows.
    image
        Any axes; lazy images are read piece by piece.
    filters, cleaners
        Steps before and after, in order.
    channel
        Name or number of the channel to use; needed when there are several and the method sees one. Colour images give
        their luminance to a method that sees one channel. A filter that sees all channels gets them, and the name is
        that of a channel which the last such filter makes.
    planes
        Treat each plane of a volume as an image of its own.
    probabilities
        Keep the probability of every class, for semantic methods.
    tile
        Length of a tile along every spatial axis, or one number per axis; chosen by size when not given. The result
        does not depend on it.
    threads
        Tiles computed at once; ``SEGMENTRY_NUM_THREADS``, or all processors, when not given.
    workspace
        Folder for results that don't fit in memory; a temporary one when not given.
    progress
        Called with what is being done and how much of it is done, 0 … 1. Raise
        :class:`~segmentry.errors.Cancelled` in it to stop.

    Raises
    ------
    InputError, ParameterError, UnknownNameError
        When the method can't be used on this image, or a parameter does not fit it.

    Examples
    --------
    >>> from segmentry.methods.otsu import Otsu
    >>> image = Image.from_array([[0, 0, 9, 0, 0, 8], [0, 0, 9, 0, 0, 8]])
    >>> len(run(Otsu(), image).instances)
    2
    """
    tell = progress or (lambda _what, _share: None)
    notes: list[str] = []
    last = max((i for i, step in enumerate(filters, 1) if step.colour), default=0)
    chosen = opaque(image, notes) if last else selected(image, channel, segmenter.colour, notes)
    loose = _loose(chosen.grid, planes)
    _check(segmenter, chosen.channel(0) if last and not segmenter.colour else chosen, loose, notes)
    work, lost = filled(chosen, notes)
    in_memory = tile is None and work.grid.size <= IN_MEMORY_VALUES
    work = work.load() if in_memory else work
    done: list[Filter] = []
    for i, step in enumerate(filters, 1):
        tell(step.name, 0.0)
        done.append(step.prepared(work))
        work = done[-1].view(work)
        work = selected(work, channel, segmenter.colour, notes) if i == last else work
        work = work.load() if in_memory else work
    tell(f"{segmenter.name}: whole-image statistics", 0.0)
    ready = segmenter.prepared(work, loose)
    if isinstance(ready, MapSegmenter):
        work = _predicted(ready, work, loose, workspace, tell)
    job = _Job(ready, work, chosen.grid.without("C"), loose, tile, threads or thread_count(), workspace, tell)
    result = job.returned(job.segmented(probabilities))
    if lost:
        _blank(result, chosen)
    instances = job.objects(result)
    menders: list[Cleaner] = []
    for cleaner in cleaners:
        seen = cleaner.pictured(job.target, image, chosen)
        menders.append(cleaner if seen is None else cleaner.prepared(seen))
        instances = job.cleaned(instances, menders[-1], seen)
    result = job.lowered(result, instances, bool(cleaners))
    return Outcome(result, instances, tuple(done), ready, tuple(menders), work, tuple(notes))


@dataclass
class _Job:
    """The work on the frames (time points, or planes) of one image."""

    segmenter: Segmenter
    work: Image
    target: Grid
    loose: str
    tile: int | Sequence[int] | None
    threads: int
    workspace: Path | None
    tell: Progress

    def __post_init__(self) -> None:
        self.grid = self.work.grid.without("C")
        self.frame_grid = self.grid.without(*self.loose)
        shape = self.frame_grid.spatial_shape
        found = self.segmenter.halo(self.frame_grid)
        self.halo = (0,) * len(shape) if found is None else found
        self.tiles = shape if found is None else tile_shape(shape, self.tile)

    def _frames(self, grid: Grid) -> Iterator[tuple[int, ...]]:
        yield from np.ndindex(*(grid.length(a) for a in self.loose))

    def _array(self, shape: Sequence[int], dtype: DTypeLike) -> Store:
        return new_array(shape, dtype, self.workspace)

    def _ticker(self, what: str, grid: Grid) -> Callable[[int], None]:
        count = 0

        def tick(pixels: int) -> None:
            nonlocal count
            count += pixels
            self.tell(what, min(count / grid.size, 1.0))

        self.tell(what, 0.0)
        return tick

    def _windows(self, index: tuple[int, ...]) -> Callable[[Region], Result]:
        frame = _frame(self.work, self.loose, index)
        step = self.segmenter
        known = step.survey(frame) if isinstance(step, MapSegmenter) else None

        def segment(region: Region) -> Result:
            window = replace(frame.window(region), grid=window_grid(frame.grid, region))
            if not isinstance(step, MapSegmenter):
                return step.segment(window)
            return step.decode(window, None if known is None else known.within(region))

        return segment

    def segmented(self, probabilities: bool) -> Result:
        """Return the method's result on the grid that it worked on, objects with provisional ids."""
        task = self.segmenter.gives()
        classes = None if task == "instances" else self._semantic(probabilities)
        if classes is not None and task == "semantic":
            return classes
        things = self._instances()
        return things if classes is None else Panoptic(classes, things)

    def _semantic(self, probabilities: bool) -> Semantic:
        tick = self._ticker(self.segmenter.name, self.grid)
        stores: dict[str, Store] = {}
        names: tuple[str, ...] = ()
        for index in self._frames(self.grid):
            segment = self._windows(index)

            def work(core: Region, segment: Callable[[Region], Result] = segment) -> tuple[Region, Region, Semantic]:
                window = grow(core, self.halo, self.frame_grid.spatial_shape)
                return core, inside(core, window), segment(window).semantic()

            for core, local, part in in_order(work, cores(self.frame_grid.spatial_shape, self.tiles), self.threads):
                names = part.names
                self._keep(stores, part, (*index, *core), local, probabilities)
                tick(math.prod(s.stop - s.start for s in core))
        return Semantic(stores["classes"], self.grid, names, stores.get("probabilities"), stores.get("confidence"))

    def _keep(
        self, stores: dict[str, Store], part: Semantic, place: tuple[Any, ...], local: Region, probabilities: bool
    ) -> None:
        """Write one tile of a semantic result to where it belongs, making the arrays at the first."""
        sure = part.sureness()
        if "classes" not in stores:
            stores["classes"] = self._array(self.grid.shape, part.classes.dtype)
            if sure is not None:
                stores["confidence"] = self._array(self.grid.shape, np.uint16)
            if probabilities and part.probabilities is not None:
                stores["probabilities"] = self._array((len(part.names), *self.grid.shape), np.float32)
        stores["classes"][place] = np.asarray(part.classes)[local]
        if sure is not None:
            stores["confidence"][place] = np.asarray(sure)[local]
        if probabilities and part.probabilities is not None:
            stores["probabilities"][(slice(None), *place)] = np.asarray(part.probabilities)[(slice(None), *local)]

    def _instances(self) -> Instances:
        tick = self._ticker(self.segmenter.name, self.grid)
        labels = self._array(self.grid.shape, np.uint32)
        objects = Objects()
        for index in self._frames(self.grid):
            segment = self._windows(index)
            frame = Frame(labels, index)

            def work(region: Region, segment: Callable[[Region], Result] = segment) -> Instances:
                return segment(region).instances()

            stitch_instances(work, self.frame_grid, self.halo, self.tiles, frame, objects, self.threads, tick)
        scores = np.array(objects.scores, np.float32)
        return Instances(
            labels,
            self.grid,
            np.arange(1, len(scores) + 1, dtype=np.uint32),
            None if np.isnan(scores).all() else scores,
            np.array(objects.classes, np.int32),
            objects.names,
        )

    def returned(self, result: Result) -> Result:
        """Return a result on the grid of the image, taking the nearest pixel where a filter changed the grid."""
        if self.grid.shape == self.target.shape:
            return result
        if isinstance(result, Panoptic):
            classes, things = self.returned(result.classes), self.returned(result.things)
            return Panoptic(classes.semantic(), things.instances())
        if isinstance(result, Instances):
            labels = self._nearest(result.labels)
            return result.with_labels(labels, survey(labels).ids, self.target)
        return Semantic(
            self._nearest(result.classes),
            self.target,
            result.names,
            None if result.probabilities is None else self._nearest(result.probabilities),
            None if result.confidence is None else self._nearest(result.confidence),
        )

    def _nearest(self, source: Array) -> Store:
        lead = len(source.shape) - len(self.target.shape)
        found = Nearest(source, (*source.shape[:lead], *self.target.shape))
        out = self._array(found.shape, source.dtype)
        for region in slabs(found.shape):
            out[region] = found[region]
        return out

    def objects(self, result: Result) -> Instances:
        """Return the objects of a result, with ids that count in raster order."""
        if isinstance(result, Semantic):
            return result.instances("Z" in self.loose, self._array(self.target.shape, np.uint32))
        return result.instances().renumbered(self._array(self.target.shape, np.uint32))

    def cleaned(self, instances: Instances, cleaner: Cleaner, image: Image | None) -> Instances:
        """Return the objects after one cleaner, frame by frame, in pieces where they lie on disk."""
        in_pieces = self.tile is not None or not isinstance(instances.labels, np.ndarray)
        tiles = tile_shape(self.target.without(*self.loose).spatial_shape, self.tile) if in_pieces else None
        labels = self._array(self.target.shape, np.uint32)
        tick = self._ticker(cleaner.name, self.target)
        return mend(cleaner, instances, image, loose=self.loose, tile=tiles, into=labels, tick=tick)

    def lowered(self, result: Result, cleaned: Instances, changed: bool) -> Result:
        """Return a result of the method's kind that follows its cleaned objects: what was dropped is background."""
        if isinstance(result, Instances):
            return cleaned
        if not changed:
            return result if isinstance(result, Semantic) else Panoptic(result.classes, cleaned)
        old = result.semantic()
        classes = self._array(old.classes.shape, old.classes.dtype)
        kinds = np.ones(len(cleaned), np.int32) if cleaned.classes is None else cleaned.classes
        for region in slabs(classes.shape):
            part = lookup(np.asarray(cleaned.labels[region]), cleaned.ids, kinds)
            if isinstance(result, Panoptic):
                stuff = np.where(np.asarray(result.things.labels[region]) > 0, 0, np.asarray(old.classes[region]))
                part = np.where(part > 0, part, stuff)
            classes[region] = part
        same = cleaned.names == old.names
        semantic = Semantic(classes, old.grid, cleaned.names, old.probabilities if same else None)
        return semantic if isinstance(result, Semantic) else Panoptic(semantic, cleaned)


def _blank(result: Result, image: Image) -> None:
    """Write background, and that it is certain, where a pixel of the image is not finite."""
    stores: list[tuple[Any, float]] = []
    if not isinstance(result, Instances):
        classes = result.classes if isinstance(result, Panoptic) else result
        stores.append((classes.classes, 0))
        if classes.confidence is not None:
            stores.append((classes.confidence, 65_535))
        if classes.probabilities is not None:
            stores += [(Frame(classes.probabilities, (k,)), float(k == 0)) for k in range(len(classes.names))]
    if not isinstance(result, Semantic):
        stores.append((result.instances().labels, 0))
    place = image.grid.axes.find("C")
    for region in slabs(image.grid.without("C").shape):
        key = list(region)
        if place >= 0:
            key.insert(place, slice(0, image.grid.length("C")))
        fine = np.isfinite(image.read(tuple(key)))
        fine = fine.all(axis=place) if place >= 0 else fine
        for store, value in stores:
            store[region] = np.where(fine, store[region], value)


def _predicted(segmenter: MapSegmenter, image: Image, loose: str, workspace: Path | None, tell: Progress) -> Image:
    """Return the maps that a method makes of an image, frame by frame, on the same grid."""
    frame = _frame(image, loose, (0,) * len(loose))
    grid = image.grid.with_axis("C", segmenter.predicted(frame))
    known = None if loose else segmenter.foreseen(frame)
    if known is not None:
        tell(segmenter.name, 1.0)
        return Image(known, grid, (), image.name)
    maps = new_array(grid.shape, np.float32, workspace)
    indices = list(np.ndindex(*(grid.length(a) for a in loose)))
    for done, index in enumerate(indices):
        key = tuple(index[loose.index(a)] if a in loose else slice(None) for a in grid.axes)
        part = Part(maps, key)
        segmenter.predict(
            _frame(image, loose, index),
            part,
            lambda share, done=done: tell(segmenter.name, (done + share) / len(indices)),  # type: ignore[misc]
        )
    return Image(maps, grid, (), image.name)


def _loose(grid: Grid, planes: bool) -> str:
    """Return the axes along which frames are segmented one by one."""
    return "".join(a for a in ("TZ" if planes else "T") if a in grid.axes)


def _frame(image: Image, loose: str, index: tuple[int, ...]) -> Image:
    for axis, i in zip(loose, index, strict=True):
        image = image.at(axis, i)
    return image


def _check(segmenter: Segmenter, image: Image, loose: str, notes: list[str]) -> None:
    """Refuse an image that a method is not for, or that it can't see whole in the memory there is."""
    frame = _frame(image, loose, (0,) * len(loose))
    segmenter.check(frame)
    if segmenter.halo(frame.grid) is None:
        need = ensure_memory(
            frame.grid.size,
            f"{segmenter.name} must see the whole image at once",
            "resample the image, or take a method that works in tiles",
        )
        if need > 2**30:
            notes.append(f"{segmenter.name} sees the whole image at once: about {need / 1e9:.1f} GB")
