"""Steps: what can be done to an image, with every parameter described once.

A step is a frozen pydantic model. Its fields are its parameters: their type, default, bounds and description are
written there and nowhere else; command line, recipes, forms and docs are made from them. What a step learns from the
whole image in ``prepare`` stands in fields that end in an underscore, so that a tile never sees other numbers than its
neighbour does.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal, Self, TypeAlias

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError

from segmentry.errors import InputError, ParameterError
from segmentry.image import Grid, Image, Region
from segmentry.mending import mend
from segmentry.overview import Overview
from segmentry.parameters import Parameter, described, explained
from segmentry.result import Instances, Panoptic, Result, Semantic
from segmentry.selection import selected
from segmentry.tiling import grow, inside, thread_count, window_grid

__all__ = ["Analysis", "Cleaner", "Filter", "Segmenter", "Step"]

#: Kinds of results.
Task: TypeAlias = Literal["semantic", "instances", "panoptic"]


class Step(BaseModel):
    """One thing to do, with its parameters.

    Class attributes
    ----------------
    name
        The step's name on the command line and in recipes: that of its module.
    source
        Where the algorithm was published (DOI), empty for what is common knowledge.
    trained
        Whether it needs a model that was trained, which its parameter ``model`` names; without, it refuses.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True, allow_inf_nan=False)

    name: ClassVar[str]
    kind: ClassVar[Literal["filter", "method", "cleaner", "analysis"]]
    source: ClassVar[str] = ""
    trained: ClassVar[bool] = False

    def __init__(self, /, **values: Any) -> None:
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise ParameterError(explained(self.name, self.parameter_names(), error)) from None

    @classmethod
    def summary(cls) -> str:
        """Return the first line of the docstring."""
        return (cls.__doc__ or "").strip().split("\n", 1)[0]

    @classmethod
    def parameters(cls) -> list[Parameter]:
        """Return every parameter with its type, default, bounds and description."""
        schema = cls.model_json_schema()["properties"]
        return described(schema, cls().settings())

    @classmethod
    def form(cls) -> dict[str, Any]:
        """Return the JSON Schema of the parameters, for forms and for other programs."""
        schema = cls.model_json_schema()
        defaults = cls().settings()
        schema["properties"] = {
            n: {**p, "default": defaults[n]} for n, p in schema["properties"].items() if n in defaults
        }
        return {key: value for key, value in schema.items() if key != "$defs"}

    @classmethod
    def parameter_names(cls) -> list[str]:
        """Return the names of the parameters, without what is learned from the image."""
        return [name for name in cls.model_fields if not name.endswith("_")]

    def settings(self) -> dict[str, Any]:
        """Return the parameters as plain data, ready for JSON and YAML."""
        return self.model_dump(mode="json", include=set(self.parameter_names()))

    def fitted(self) -> dict[str, Any]:
        """Return what was learned from the whole image as plain data; empty before ``prepare``."""
        learned = {name for name in type(self).model_fields if name.endswith("_")}
        found = self.model_dump(mode="json", include=learned)
        return {name: value for name, value in found.items() if value != type(self).model_fields[name].default}

    def prepare(self, overview: Overview) -> Self:
        """Return a copy that has learned what it must know of the whole image; the default needs nothing."""
        return self

    def prepared(self, image: Image, loose: str = "T") -> Self:
        """Return this step if it has learned already or needs nothing, else a copy prepared on this very image.

        Parameters
        ----------
        image
            At all time points.
        loose
            Axes that are seen one by one.
        """
        learned = [
            name for name, field in type(self).model_fields.items() if name.endswith("_") and field.default is None
        ]
        return self.prepare(Overview(image, loose)) if any(getattr(self, name) is None for name in learned) else self


class Filter(Step):
    """Image to image: float32 intensities, the same channels and time points.

    Class attributes
    ----------------
    colour
        Whether it needs all channels at once, of which it makes others, or a single one without the axis ``"C"``; it
        overrides :meth:`view`. Other filters see the channels one by one in :meth:`plane`.
    """

    kind = "filter"
    colour: ClassVar[bool] = False

    def halo(self, grid: Grid) -> tuple[int, ...]:
        """Return how many pixels around a pixel, per spatial axis, its new value depends on."""
        return (0,) * len(grid.spatial)

    def plane(self, pixels: NDArray[np.float32], grid: Grid, channel: int) -> NDArray[np.float32]:
        """Return the filtered pixels of one channel at one time point (spatial axes only)."""
        raise NotImplementedError

    def apply(self, image: Image) -> Image:
        """Return the filtered image, in memory; a step that must see the whole image sees this one."""
        return self.prepared(image).view(image).load()

    def view(self, image: Image) -> Image:
        """Return the filtered image lazily: what is sliced is computed, with the halo that it needs."""
        return image.with_data(_Filtered(self, image))


class _Filtered:
    """Pixels that are filtered when they are read."""

    def __init__(self, step: Filter, image: Image) -> None:
        self._step, self._image = step, image
        self._halo = step.halo(image.grid)
        self.shape = image.grid.shape
        self.dtype = np.dtype(np.float32)

    def __getitem__(self, key: Region) -> NDArray[np.float32]:
        grid = self._image.grid
        extra = len(grid.axes) - len(grid.spatial)
        full = tuple(slice(*s.indices(n)[:2]) for s, n in zip(key, grid.shape, strict=True))
        core = full[extra:]
        window = grow(core, self._halo, grid.spatial_shape)
        pixels = self._image.read(full[:extra] + window)
        channels = range(*full[grid.axes.index("C")].indices(grid.length("C"))) if "C" in grid.axes else range(1)
        planes = pixels.reshape(-1, *pixels.shape[extra:])
        place = window_grid(grid.without("T", "C"), window)
        out = np.empty((len(planes), *(s.stop - s.start for s in core)), np.float32)
        for i, plane in enumerate(planes):
            done = self._step.plane(plane.astype(np.float32), place, channels[i % len(channels)])
            out[i] = done[inside(core, window)]
        return out.reshape(*pixels.shape[:extra], *out.shape[1:])


class Segmenter(Step):
    """Image to result.

    Class attributes
    ----------------
    task
        Which kind of result it gives.
    dimensions
        For how many spatial axes it is defined.
    colour
        Whether it uses all channels at once; otherwise it sees one.
    """

    kind = "method"
    task: ClassVar[Task]
    dimensions: ClassVar[tuple[int, ...]] = (2, 3)
    colour: ClassVar[bool] = False

    def gives(self) -> Task:
        """Return which kind of result it gives, with the parameters that it has."""
        return self.task

    def fits(self) -> tuple[int, ...]:
        """Return for how many spatial axes it is defined, with the parameters that it has."""
        return self.dimensions

    def halo(self, grid: Grid) -> tuple[int, ...] | None:
        """Return how far it looks, in pixels per spatial axis; ``None`` when only the whole image will do.

        Semantic: the class of a pixel depends on nothing further away. Instances: an object depends on nothing further
        away than this from the connected region of foreground in which it lies, so that any window that holds the
        region and the halo gives the same object.
        """
        return (0,) * len(grid.spatial)

    def thresholds(self) -> tuple[float, ...]:
        """Return the intensities at which it parts the histogram, once prepared; none for most methods."""
        return ()

    def runs_on(self) -> str:
        """Return what computes it, in words."""
        return f"CPU, {thread_count()} thread{'s' * (thread_count() > 1)}"

    def segment(self, image: Image) -> Result:
        """Return the result for one time point.

        Parameters
        ----------
        image
            In memory, finite, without an axis ``"T"``, and with an axis ``"C"`` only where :attr:`colour` is true;
            :func:`segmentry.run.run` sees to that for images of any kind.
        """
        raise NotImplementedError

    def check(self, image: Image) -> None:
        """Refuse an image that this method is not defined for.

        Raises
        ------
        InputError
            Time points, more than one channel, or a number of spatial axes that the method does not support.
        """
        grid = image.grid
        if "T" in grid.axes:
            raise InputError(f"{self.name} segments one time point; use run() for a series of {grid.length('T')}")
        if "C" in grid.axes and not self.colour:
            raise InputError(f"{self.name} works on one channel; the image has {', '.join(image.channels)}: choose one")
        if len(grid.spatial) not in self.fits():
            able = " or ".join(f"{n} dimensions" for n in self.fits())
            raise InputError(f"{self.name} works in {able}; the image has the axes {grid.spatial}")


class Cleaner(Step):
    """Result to result: objects are changed, split, joined or dropped.

    Class attributes
    ----------------
    renumbers
        Whether the step does nothing but give fresh ids, over all time points; no other step changes an id.
    sorts
        Whether the step does nothing but say of which class objects are, in :meth:`sort`, of all time points at once.
    splits
        Whether an object may become several: one part keeps the id, the others get ids above the highest; every part
        lies within the object that it was of. Other steps give no new ids.
    """

    kind = "cleaner"
    renumbers: ClassVar[bool] = False
    sorts: ClassVar[bool] = False
    splits: ClassVar[bool] = False

    def halo(self, grid: Grid) -> tuple[int, ...]:
        """Return how many pixels around an object's bounding box its new shape depends on."""
        return (0,) * len(grid.spatial)

    def needs_image(self) -> bool:
        """Return whether it needs the intensities under the labels; its parameter ``channel`` may say of which."""
        return False

    def surveyed(self, instances: Instances, image: Image | None = None) -> Self:
        """Return a copy that has learned what it must know of all objects of a time point, whose labels may be lazy.

        The default needs nothing; what was learned stands in fields that end in an underscore.
        """
        return self

    def within(self, window: Region) -> Self:
        """Return a copy for a window of the image, for steps that have positions among their parameters."""
        return self

    def clean(self, instances: Instances, image: Image | None = None) -> Instances:
        """Return the cleaned objects of one time point.

        Parameters
        ----------
        instances
            In memory, without an axis ``"T"``: all objects, or those in a window that holds some of them whole.
        image
            The channel to measure, on the same grid, where :meth:`needs_image` is true; :meth:`apply` and
            :func:`segmentry.run.run` see to that. Values may not be finite.
        """
        raise NotImplementedError

    def sort(self, instances: Instances, image: Image | None = None) -> Instances:
        """Return the same objects with other classes, where :attr:`sorts` is true.

        Parameters
        ----------
        instances
            All of them, at all time points; the labels may be lazy.
        image
            What :meth:`pictured` gives.
        """
        raise NotImplementedError

    def pictured(self, grid: Grid, image: Image | None, chosen: Image | None = None) -> Image | None:
        """Return the channel whose intensities it needs: that of its parameter ``channel``, or the one `chosen`.

        Raises
        ------
        InputError
            When intensities are needed and there is no image, or one that does not lie on the `grid` of the labels, or
            a channel must be chosen.
        """
        if not self.needs_image():
            return None
        if image is None:
            raise InputError(f"{self.name} needs intensities: give the image that the labels are of (--image IMAGE)")
        channel: str | int | None = getattr(self, "channel", None)
        try:
            seen = selected(image if channel is not None else chosen or image, channel, False, [])
        except InputError:
            names = ", ".join((chosen or image).channels)
            raise InputError(f"{self.name} measures one channel; the image has {names}: set channel to one") from None
        if seen.grid.axes != grid.axes or seen.grid.shape != grid.shape:
            raise InputError(
                f"{self.name}: the image is {seen.grid.axes} of {seen.grid.shape}, the labels are {grid.axes} of "
                f"{grid.shape}: they must fit"
            )
        return seen

    def apply(self, result: Result, image: Image | None = None) -> Result:
        """Return a result of the same kind, cleaned at each time point.

        The connected regions of a semantic result are its objects: a pixel whose object is dropped becomes background,
        a pixel that an object gains takes that object's class. Steps that measure intensities need the `image`.

        Raises
        ------
        InputError
            When the step needs an image and there is none, or it does not fit.
        """
        before = result.instances()
        seen = self.pictured(before.grid, image)
        after = mend(self if seen is None else self.prepared(seen), before, seen)
        if isinstance(result, Instances):
            return after
        kept = after.semantic()
        if isinstance(result, Semantic):
            return Semantic(kept.classes, result.grid, kept.names)
        stuff = np.where(np.asarray(before.labels[...]) > 0, 0, np.asarray(result.classes.classes[...]))
        merged = np.where(np.asarray(after.labels[...]) > 0, np.asarray(kept.classes[...]), stuff)
        classes = merged.astype(result.classes.classes.dtype)
        return Panoptic(Semantic(classes, result.grid, result.names), after)


class Analysis(Step):
    """Result and image to a table.

    Class attributes
    ----------------
    needs_probabilities
        Whether it uses the probability of every class, which a run then keeps for it.
    """

    kind = "analysis"
    needs_probabilities: ClassVar[bool] = False

    @classmethod
    def columns(cls) -> Mapping[str, Any]:
        """Return what may stand in its table, for its page in the documentation; nothing unless it says so."""
        return {}

    def analyse(self, result: Result, image: Image | None) -> Any:
        """Return a pandas table, with a row for each object or class at each time point.

        Parameters
        ----------
        result
            Of any kind: objects, with the ids that are saved, are ``result.instances()``, classes and their
            probabilities are ``result.semantic()``.
        image
            What was segmented, with all its channels, where it is known.
        """
        raise NotImplementedError
