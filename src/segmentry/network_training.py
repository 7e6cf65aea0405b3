"""Train a dense network: images and labels in, the best network these data allow out, with its score and its curves.

Some images are held out. How good the network is on them (Dice of the classes, or average precision of the objects)
decides which weights are kept, and when training ends.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from segmentry.errors import InputError
from segmentry.learn.calibration import Calibration
from segmentry.learn.examples import Example, Examples
from segmentry.learn.fingerprint import Places, fingerprint
from segmentry.learn.patches import Patches
from segmentry.learn.plan import Fingerprint, Plan, planned
from segmentry.learn.prediction import Predictor, Scores
from segmentry.learn.representation import Representation
from segmentry.network_scores import Judged, maps_of, reliability, resampled, score
from segmentry.resampling import shape_at

__all__ = ["Lesson", "Trained", "lesson", "train_network", "tuned"]

#: A parameter is changed where the score grows by more.
LEAST_GAIN = 1e-3
#: How often all parameters are gone through at the most: what is best for one depends on the others.
ROUNDS = 3
#: Longest tile for looks at what is held out, by the number of dimensions.
TILE = {2: 512, 3: 96}


@dataclass(frozen=True, eq=False)
class Lesson:
    """What is learned from, and what is held out.

    Parameters
    ----------
    learned, held
        Examples for training, and those that the network is judged by.
    found
        What all of them are like.
    places
        Where pixels of each class lie in those for training.
    """

    learned: Examples
    held: Examples
    found: Fingerprint
    places: Places


@dataclass(frozen=True, eq=False)
class Trained:
    """What a training gives.

    Parameters
    ----------
    weights
        By their names.
    history
        A row for each look: step, loss, score, rate, seconds, and whether it was the best so far.
    plan, found
        How it was trained, and on what.
    held
        Names of the images that it was judged by.
    representation
        With the parameters that did best on them.
    score
        Of the best weights, with these parameters, on what was held out.
    calibration
        What the scores of objects stand for there.
    """

    weights: Mapping[str, NDArray[Any]]
    history: Sequence[Mapping[str, Any]]
    plan: Plan
    found: Fingerprint
    held: tuple[str, ...]
    representation: Representation
    score: float
    calibration: Calibration = ()


def lesson(
    examples: Examples,
    names: Sequence[str] = (),
    task: Literal["semantic", "instances"] | None = None,
    share: float = 0.2,
    seed: int = 0,
    tell: Callable[[str, float], None] | None = None,
) -> Lesson:
    """Return examples in two parts: a share of the images is held out, of a single image its far end.

    It is more than the share where a class would be lacking among them. Which ones, their names and the seed decide, so
    that another run, or another machine, holds out the same.

    Raises
    ------
    InputError
        As :func:`segmentry.learn.fingerprint.fingerprint`.
    """
    found, places = fingerprint(examples, names, task, seed, tell)
    if len(examples) == 1:
        near, far = _halves(examples[0], share)
        _, places = fingerprint(Examples.of([near], examples.names), found.names, found.task, seed)
        return Lesson(Examples.of([near], examples.names), Examples.of([far], examples.names), found, places)
    order = sorted(range(len(examples)), key=lambda i: hashlib.sha1(f"{seed}{examples.names[i]}".encode()).digest())
    held = _with_all_classes(order, min(max(1, round(share * len(examples))), len(examples) - 1), places)
    learned = [i for i in range(len(examples)) if i not in held]
    held = sorted(held)
    return Lesson(examples.only(learned), examples.only(held), found, [places[i] for i in learned])


def _with_all_classes(order: Sequence[int], count: int, places: Places) -> list[int]:
    """Return the first so many examples, and more where these lack a class that several others have."""
    held = list(order[:count])
    having = [{kind for kind, at in known.items() if kind > 0 and len(at)} for known in places]
    for kind in sorted(set().union(*having)):
        others = [i for i in order if kind in having[i] and i not in held]
        if len(others) > 1 and not any(kind in having[i] for i in held):
            held.append(others[0])
    return held


def _halves(example: Example, share: float) -> tuple[Example, Example]:
    """Return the two parts of an example along its longest axis."""
    shape = example.image.grid.spatial_shape
    axis = int(np.argmax(shape))
    at = min(max(1, round(shape[axis] * (1 - share))), shape[axis] - 1)
    if shape[axis] < 2:
        raise InputError("one image of one pixel can't be parted in images to learn from and to be judged by")
    parts = []
    for part in (slice(0, at), slice(at, shape[axis])):
        region = tuple(part if i == axis else slice(0, n) for i, n in enumerate(shape))
        parts.append(Example(example.image.window(region), np.asarray(example.labels[region]), example.unlabelled))
    return parts[0], parts[1]


def train_network(
    given: Lesson,
    plan: Plan | None = None,
    *,
    device: str = "auto",
    start: Mapping[str, NDArray[Any]] | None = None,
    checkpoint: Path | None = None,
    resume: bool = False,
    tell: Callable[[Mapping[str, Any]], None] = lambda _: None,
) -> Trained:
    """Return the network that was best on the images held out.

    Parameters
    ----------
    given
        What is learned from.
    plan
        How; what the rules say for ``None``.
    device
        ``auto``, ``cpu``, ``cuda`` or ``mps``.
    start
        Weights of another network to begin with, as far as they fit.
    checkpoint
        File that holds the whole of the training after each look at what is held out.
    resume
        Go on from there.
    tell
        Called with a row of the history after each look.

    Raises
    ------
    InputError, ParameterError, MissingExtraError
        When the data can't be learned from, the device is not there, or torch is not.
    """
    from segmentry.learn.networks.fitting import Fitting, chosen_device, scores_of

    plan = plan or planned(given.found)
    representation = plan.representing()
    heads = representation.heads(given.found.names, given.found.dimensions)
    learned, held = resampled(given.learned, plan), resampled(given.held, plan)
    patches = Patches(learned, _moved(given, plan), plan.foreground, plan.scaling)

    tile = tuple(max(TILE[len(plan.patch)], n) for n in plan.patch)

    def maps(scores: Scores) -> Iterator[Judged]:
        return maps_of(Predictor(scores, heads, plan.scaling, tile, plan.architecture.multiple), held)

    def judge(scores: Scores) -> float:
        return score(maps(scores), representation, given.found.names)

    place = chosen_device(device)
    fitting = Fitting(plan, heads, representation, patches, judge, place, start or {})
    if resume:
        if checkpoint is None:
            raise InputError("there is no file to go on from")
        fitting.resume(checkpoint)
    weights = fitting.run(checkpoint, tell)
    told = list(maps(scores_of(plan.architecture, weights, place))) if representation.tunable else []
    before = max(float(row["score"]) for row in fitting.history)
    best, after = tuned(told, representation, given.found, before)
    means = reliability(told, best, given.found.names)
    return Trained(weights, tuple(fitting.history), plan, given.found, given.held.names, best, after, means)


def _moved(given: Lesson, plan: Plan) -> Places:
    """Return places at the pixel size of a plan."""
    if plan.spacing is None:
        return given.places
    found: Places = []
    for i, known in enumerate(given.places):
        grid = given.learned[i].image.grid
        zoom = [m / n for n, m in zip(grid.spatial_shape, shape_at(grid, plan.spacing, plan.unit), strict=True)]
        found.append({k: ((at + 0.5) * zoom).astype(np.int32) for k, at in known.items()})
    return found


def tuned(
    maps: Sequence[Judged], representation: Representation, found: Fingerprint, before: float
) -> tuple[Representation, float]:
    """Return a representation with the parameters that do best on maps, changed in turn until none is better otherwise.

    Their score is returned as well.

    Parameters
    ----------
    maps
        What a network says of images, the labels that are true, and their grids.
    representation, before
        As it is, and how good it is.
    found
        What the data are like.
    """
    for _ in range(ROUNDS if maps else 0):
        known = representation
        for name, values in representation.tunable.items():
            for value in values:
                other = representation.model_copy(update={name: value})
                better = score(maps, other, found.names) if other != representation else before
                if better > before + LEAST_GAIN:
                    representation, before = other, better
        if representation == known:
            break
    return representation, before
