"""Train a network from files: a folder of images, a folder of labels, and one file that comes out."""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import numpy as np
import yaml
from numpy.typing import NDArray

import segmentry
from segmentry.charts import draw_course
from segmentry.errors import InputError, MissingExtraError, ParameterError, SegmentryError, one_line
from segmentry.image import Image
from segmentry.io import read
from segmentry.learn.architecture import Architecture
from segmentry.learn.examples import Example, Examples
from segmentry.learn.network_file import Network, load_network, save_network
from segmentry.learn.plan import Fingerprint, Plan, grown, planned
from segmentry.learn.representation import Representation
from segmentry.learning_curve import Curve, learning_curve
from segmentry.network_scores import STRICT
from segmentry.network_training import Lesson, Trained, lesson, train_network
from segmentry.result import as_labels
from segmentry.selection import selected
from segmentry.trained import file_sha256

__all__ = ["Asked", "examples_of_files", "learn"]

#: What the file of a training that goes on is called, beside the network that it makes.
TRAINING = ".training"
#: Share of the usual learning rate, for a network that begins with the weights of another.
GENTLE = 0.25


@dataclass(frozen=True)
class Asked:
    """What is asked of a training, beside the data.

    Parameters
    ----------
    names
        Of the classes, the background first.
    task
        Whether labels are classes or ids of objects; found out for ``None``.
    unlabelled
        Label of pixels that nobody told anything of.
    representation
        What is learned; chosen by the labels where it is empty.
    plan
        YAML file with a plan; the rules make one for ``None``.
    changes
        Parts of the plan, by their names.
    device, licence, seed
        Where it is computed; for the card; of what is left to chance.
    start
        Network file to begin with: its weights, and how it sees images.
    """

    names: tuple[str, ...] = ()
    task: Literal["semantic", "instances"] | None = None
    unlabelled: int | None = None
    representation: str = ""
    plan: Path | None = None
    changes: Mapping[str, Any] | None = None
    device: str = "auto"
    licence: str = ""
    seed: int = 0
    start: Path | None = None

    def planned(self, examples: Examples, tell: Callable[[str, float], None] | None = None) -> tuple[Lesson, str]:
        """Return what is learned from, and the plan as YAML, with what was found out of the data as a comment."""
        given = self.lesson(examples, tell)
        found = yaml.safe_dump(given.found.model_dump(mode="json"), sort_keys=False, allow_unicode=True)
        plan = yaml.safe_dump(self.plan_for(given.found).model_dump(mode="json"), sort_keys=False, allow_unicode=True)
        return given, "".join(f"# {line}\n" for line in found.splitlines()) + plan

    def plan_for(self, found: Fingerprint) -> Plan:
        """Return the plan for data of a fingerprint, with what was changed."""
        begun = None if self.start is None else load_network(self.start)
        if begun is not None and begun.architecture.dimensions != found.dimensions:
            raise ParameterError(
                f"{self.start} sees {begun.architecture.dimensions} dimensions; the images have {found.dimensions}"
            )
        plan = self._rules(found, begun) if self.plan is None else _plan_of(self.plan)
        seed = {"seed": self.seed} if self.plan is None else {}
        changed = plan.changed({**seed, **(self.changes or {})})
        channels, dimensions = changed.architecture.channels, changed.architecture.dimensions
        if (channels, dimensions) != (len(found.channels), found.dimensions):
            raise ParameterError(
                f"the plan is for {channels} channels in {dimensions} dimensions; "
                f"the images have {len(found.channels)} in {found.dimensions}"
            )
        if changed.representing().task != found.task:
            what = "classes" if found.task == "semantic" else "ids of objects"
            raise ParameterError(f"{changed.representation} tells of {changed.representing().task}; labels are {what}")
        outputs = _outputs(changed.representing(), found)
        if self.plan is None and "architecture.outputs" not in (self.changes or {}):
            changed = changed.changed({"architecture.outputs": outputs})
        if changed.architecture.outputs != outputs:
            raise ParameterError(
                f"{changed.representation} of {len(found.names)} classes needs architecture.outputs {outputs}; "
                f"the plan has {changed.architecture.outputs}"
            )
        if begun is not None and changed.architecture != _giving(begun, outputs):
            raise ParameterError(
                f"the plan is of a {changed.architecture.title}, and {self.start} of another network, a "
                f"{begun.architecture.title}: leave the architecture as it is there, or begin without it"
            )
        return changed

    def _rules(self, found: Fingerprint, begun: Network | None) -> Plan:
        """Return the plan that rules make, for a network that begins with none or with another."""
        if begun is None:
            return planned(found, self.representation)
        same = self.representation in ("", begun.representation.name) and begun.representation.task == found.task
        plan = planned(found, begun.representation.name if same else self.representation)
        known = begun.representation if same else plan.representing()
        return plan.changed(
            {
                "parameters": known.model_dump(mode="json"),
                "architecture": _giving(begun, _outputs(known, found)).model_dump(mode="json"),
                "scaling": begun.scaling.model_dump(mode="json"),
                "spacing": begun.spacing,
                "unit": begun.unit,
                "patch": grown(plan.patch, begun.multiple),
                "learning_rate": GENTLE * plan.learning_rate,
            }
        )

    def weights(self) -> Mapping[str, NDArray[Any]]:
        """Return the weights to begin with."""
        return {} if self.start is None else load_network(self.start).arrays

    def lesson(self, examples: Examples, tell: Callable[[str, float], None] | None = None) -> Lesson:
        """Return what is learned from, and what is held out."""
        before = Plan.model_fields["held_out"].default if self.plan is None else _plan_of(self.plan).held_out
        share = (self.changes or {}).get("held_out", before)
        if not isinstance(share, int | float) or not 0 < share < 1:
            raise ParameterError(f"held_out is {share!r}; it must be between 0 and 1")
        return lesson(examples, self.names, self.task, share, self.seed, tell)

    @staticmethod
    def what(trained: Trained) -> str:
        """Return what the score is."""
        if trained.plan.representing().task == "semantic":
            return "mean Dice of the classes"
        return f"mean average precision at IoU {STRICT[0]:g} to {STRICT[-1]:g}"


def _outputs(known: Representation, found: Fingerprint) -> int:
    """Return how many numbers per pixel a representation takes."""
    return sum(head.channels for head in known.heads(found.names, found.dimensions))


def _giving(network: Network, outputs: int) -> Architecture:
    """Return the architecture of a network, with another number of outputs."""
    if not isinstance(network.architecture, Architecture):
        raise ParameterError(f"a training can't begin with a {network.architecture.title}: it was made elsewhere")
    return network.architecture.model_copy(update={"outputs": outputs})


def _plan_of(path: Path) -> Plan:
    try:
        content = yaml.safe_load(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError, RecursionError) as error:
        raise InputError(f"plan {path} can't be read: {one_line(error)}") from error
    if not isinstance(content, dict):
        raise InputError(f"plan {path} is no mapping: --plan-only prints one")
    return Plan.from_dict(content)


def examples_of_files(
    images: Path, labels: Path, channel: str | int | None = None, unlabelled: int | None = None
) -> Examples:
    """Return examples of files whose names agree, opened when they are needed; time points are examples of their own.

    Parameters
    ----------
    images, labels
        An image and its labels, or folders; images without labels are passed over.
    channel
        The channel to look at; all when ``None``.
    unlabelled
        Label of pixels that nobody told anything of; with 0, the classes that follow are counted from 0 on.

    Raises
    ------
    InputError
        When an image is missing, or a file can't be read.
    """
    from segmentry.training import by_name

    told, named = by_name(labels), by_name(images)
    if len(told) == len(named) == 1:
        named = dict(zip(told, named.values(), strict=True))
    missing = [name for name in told if name not in named]
    if missing and len(missing) < len(told):
        raise InputError(f"{images} has no image called {missing[0]!r}, as its labels are: names must agree")
    if missing:
        raise InputError(
            f"no name in {labels} ({next(iter(told))!r} …) is one in {images} ({next(iter(named))!r} …): "
            "names must agree"
        )
    parts: list[tuple[str, int | None]] = []
    for name in told:
        with _named(name):
            times = read(told[name]).grid.length("T")
        parts += [(name, None)] if times == 1 else [(name, t) for t in range(times)]

    def opened(number: int) -> Example:
        name, time = parts[number]
        with _named(name):
            return _example(named[name], told[name], channel, time, unlabelled)

    return Examples([name if time is None else f"{name}, time {time}" for name, time in parts], opened)


@contextmanager
def _named(name: str) -> Iterator[None]:
    """Name the image in errors."""
    try:
        yield
    except SegmentryError as error:
        raise (error if name in str(error) else type(error)(f"{name}: {error}")) from error


def _example(image: Path, labels: Path, channel: str | int | None, time: int | None, unlabelled: int | None) -> Example:
    """Return an example at one time point."""
    seen, told = selected(read(image), channel, channel is None, []), read(labels)
    if seen.is_rgb and channel is None and _is_grey(seen):
        seen = selected(seen, None, False, [])
    if "C" in seen.grid.axes and seen.grid.length("C") == 1:
        seen = seen.channel(0)
    if "C" in told.grid.axes:
        raise InputError(f"{labels.name} has channels; labels are one number per pixel")
    if time is not None:
        seen, told = (one.at("T", time) if "T" in one.grid.axes else one for one in (seen, told))
    if told.grid.spatial_shape != seen.grid.spatial_shape:
        raise InputError(
            f"labels of {told.grid.spatial} {told.grid.spatial_shape} don't fit an image of {seen.grid.spatial} "
            f"{seen.grid.spatial_shape}"
        )
    array = as_labels(told.read()) if told.dtype.kind == "f" else told.data
    if unlabelled == 0:
        array, unlabelled = np.asarray(as_labels(np.asarray(array[...]))).astype(np.int64) - 1, -1
    return Example(seen, array, unlabelled)


def _is_grey(image: Image) -> bool:
    """Say whether red, green and blue are the same."""
    pixels = image.read()
    place = image.grid.axes.index("C")
    first = pixels.take([0], place)
    return bool((pixels.take(range(3), place) == first).all())


def learn(
    examples: Examples,
    asked: Asked,
    out: Path,
    *,
    resume: bool = False,
    curve: bool = False,
    tell: Callable[[Mapping[str, Any]], None] = lambda _: None,
    say: Callable[[str], None] = lambda _: None,
) -> tuple[Trained, Curve | None]:
    """Train a network and save it to a file, with its course drawn beside it.

    Parameters
    ----------
    examples, asked
        What is learned from, and how.
    out
        The file. While training goes on, all of it lies beside, in a file that ends in ``.training``.
    resume
        Go on with that.
    curve
        Learn from parts of the images as well; the curve of scores is then returned, too.
    tell
        Called with each row of the course.
    say
        Called with what the user should know.

    Raises
    ------
    SegmentryError
        When the data can't be learned from, or a file can't be written.
    """
    try:
        from segmentry.learn.networks.build import build
        from segmentry.learn.networks.export import graph_of
        from segmentry.learn.networks.fitting import chosen_device
    except ImportError as error:
        raise MissingExtraError("training a network", "train") from error
    going = out.with_name(out.name + TRAINING)
    if going.exists() and not resume:
        say(f"{going.name}, a training that was cut off, is replaced; --resume would go on with it")
    given = asked.lesson(examples)
    plan, start = asked.plan_for(given.found), asked.weights()
    say(_described(given, plan, str(chosen_device(asked.device))))
    graph = graph_of(build(plan.architecture), plan.architecture)
    growth: Curve | None = None
    if curve:
        if resume:
            raise ParameterError("a curve of several trainings can't be gone on with: leave out --resume or --curve")
        growth, trained = learning_curve(given, plan, device=asked.device, start=start, tell=lambda _, row: tell(row))
    else:
        trained = train_network(
            given, plan, device=asked.device, start=start, checkpoint=going, resume=resume, tell=tell
        )
    chosen = {name: getattr(trained.representation, name) for name in trained.representation.tunable}
    changed = [f"{name} {value}" for name, value in chosen.items() if value != getattr(plan.representing(), name)]
    if changed:
        say(f"chosen by what was held out: {', '.join(changed)}")
    save_network(out, _network(trained, graph, asked), overwrite=True)
    try:
        draw_course(trained.history, out.with_suffix(".png"), asked.what(trained))
    except MissingExtraError as error:
        say(f"the course is not drawn: {error}")
    going.unlink(missing_ok=True)
    return trained, growth


def _described(given: Lesson, plan: Plan, device: str) -> str:
    """Return what will be done, in a line."""
    found = given.found
    what = (
        f"{found.objects:,} objects (--task semantic, if labels are classes)"
        if found.task == "instances"
        else f"classes {', '.join(found.names)} (--task instances, if labels are ids of objects)"
    )
    return (
        f"{found.images} images ({len(given.held)} held out), {what}; {plan.representation}, "
        f"{plan.architecture.title}, crops of {'x'.join(map(str, plan.patch))}, {plan.steps:,} steps, on {device}"
    )


def _network(trained: Trained, graph: bytes, asked: Asked) -> Network:
    """Return what the file holds."""
    plan, found = trained.plan, trained.found
    best = max(trained.history, key=lambda row: float(row["score"]))
    stem = plan.architecture.stem or (1,) * len(plan.patch)
    tile = tuple(n if len(plan.patch) == 3 else 2 * n * step for n, step in zip(plan.patch, stem, strict=True))
    card = {
        "data": found.model_dump(mode="json"),
        "held_out": list(trained.held),
        "licence": asked.licence,
        "metric": Asked.what(trained),
        "score": trained.score,
        "steps": int(best["step"]),
        **({"started_from": file_sha256(asked.start)} if asked.start else {}),
        "plan": plan.model_dump(mode="json"),
        "versions": {
            "segmentry": segmentry.__version__,
            "python": platform.python_version(),
            "torch": version("torch"),
        },
    }
    return Network(
        architecture=plan.architecture,
        representation=trained.representation,
        names=found.names,
        channels=found.channels,
        scaling=plan.scaling,
        spacing=plan.spacing,
        unit=plan.unit if plan.spacing else None,
        tile=tile,
        card=card,
        diameter=found.diameters[1] if found.diameters else None,
        calibration=trained.calibration,
        arrays=trained.weights,
        graph=graph,
    )
