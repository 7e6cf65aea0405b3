"""Kinds of objects, learned from a few examples: a class and its probability for every object of any labels.

>>> labels = np.zeros((12, 42), np.uint32)
>>> for i, length in enumerate([2, 3, 8, 9, 4, 7]):
...     labels[1 : 1 + length, 7 * i + 1 : 7 * i + 4] = i + 1
>>> objects = Instances.from_labels(labels)
>>> clicked = {1: "small", 2: "small", 3: "large", 4: "large"}
>>> model = ObjectClassifier(properties=["size"]).fit([(objects, None, clicked)])
>>> model.predict(objects)["class"].tolist()
['small', 'small', 'large', 'large', 'small', 'large']
"""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeAlias

import numpy as np
from numpy.typing import NDArray

from segmentry.analysis.ilastik_features import IlastikFeatures
from segmentry.analysis.measure import Measure
from segmentry.analysis.object_features import ObjectFeatures, looked_at
from segmentry.errors import InputError, ParameterError, SegmentryError, one_line
from segmentry.ilastik import distinct, object_classifier
from segmentry.image import Image
from segmentry.io.hdf5 import MAGIC
from segmentry.io.ilastik_project import Project, read_project
from segmentry.io.tables import MEANINGS
from segmentry.learn import Classifier, Model, classifier, load_model, save_model
from segmentry.length import Length
from segmentry.result import Instances

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Example", "ObjectClassifier", "ObjectModel", "suggest"]

#: Objects, the image that they are of, and the classes of some of them by their ids.
Example: TypeAlias = tuple[Instances, Image | None, Mapping[int, str]]

TASK = "objects"
BACKGROUND = "background"
_PROBABILITY = "probability_"
_PLACE = "centroid"


@dataclass(frozen=True)
class ObjectClassifier:
    """What is looked at in objects, and what learns from it.

    Parameters
    ----------
    properties
        Names of properties, or of their families. When none is given: size, shape, outline, hull, topology, neighbours
        and neighbourhood, and where there is an image intensity and texture; of these families everything but what
        depends on the place of an object, on its direction, or on the size of a pixel alone, which is looked at where
        its own name is given.
    classifier
        Kind of classifier, or one with its parameters as :func:`segmentry.learn.classifier` gives it.
    seed
        Of whatever is left to chance.
    surround
        How far around an object its background reaches: pixels, or a text like ``"2.5 um"``.

    Raises
    ------
    ParameterError, UnknownNameError
        When there is no such property or classifier.
    """

    properties: Sequence[str] = ()
    classifier: str | Classifier = "random_forest"
    seed: int = 0
    surround: Length | float | str = 5.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "properties", tuple(self.properties))
        given: dict[str, Any] = {"surround": self.surround}
        object.__setattr__(self, "surround", Measure(**given).surround)
        if isinstance(self.classifier, str):
            object.__setattr__(self, "classifier", classifier(self.classifier))
        looked_at(self.properties)
        if not 0 <= self.seed <= 2**31:
            raise ParameterError(f"seed is {self.seed}; it must lie between 0 and 2^31")

    def fit(self, examples: Sequence[Example]) -> ObjectModel:
        """Return what was learned; the same examples and seed give the same.

        Parameters
        ----------
        examples
            For each image its objects, the image itself or ``None``, and the classes of a few objects by their ids. An
            id that occurs at several time points is an example at each.

        Raises
        ------
        InputError
            When an id does not exist, there are fewer than two classes, or the images are not alike: in pixel unit,
            axes or channels.
        """
        if not examples:
            raise InputError("there are no examples: name the class of a few objects")
        instances, image, _ = examples[0]
        assert isinstance(self.surround, Length)
        plain = ObjectFeatures.of(instances, image, self.properties, self.surround)
        for objects, _, clicked in examples:
            _check_ids(objects, clicked)
        tables = [plain.table(objects, seen) for objects, seen, _ in examples]
        features = plain.learned(tables)
        said = [table["id"].map(dict(clicked)) for table, (*_, clicked) in zip(tables, examples, strict=True)]
        given = np.concatenate([column.dropna().to_numpy(object) for column in said])
        names = _class_names(given)
        rows = np.concatenate([features.matrix(t[c.notna()]) for t, c in zip(tables, said, strict=True)])
        numbers = np.array([names.index(name) for name in given.tolist()])
        assert isinstance(self.classifier, Classifier)
        counts = {name: int(np.count_nonzero(numbers == i)) for i, name in enumerate(names)}
        spacing = instances.grid.spacing
        return ObjectModel(
            self.classifier.fit(rows, numbers, n_classes=len(names), seed=self.seed),
            names,
            features,
            {"examples": counts, "images": len(examples), "seed": self.seed, "spacing": spacing and list(spacing)},
        )


@dataclass(frozen=True, eq=False)
class ObjectModel:
    """A classifier of objects that has learned.

    Parameters
    ----------
    classifier
        It has learned.
    names
        Name of each class.
    features
        What it looks at.
    provenance
        Where it comes from, as plain data.
    """

    classifier: Classifier
    names: tuple[str, ...]
    features: ObjectFeatures | IlastikFeatures
    provenance: Mapping[str, Any] = field(default_factory=dict)

    def __repr__(self) -> str:
        return f"ObjectModel({', '.join(self.names)}; {self.classifier.name}, {len(self.features.columns)} columns)"

    @property
    def importance(self) -> dict[str, float]:
        """How much each column counts, in sum 1, the most important first; all 0 where the classifier can't say."""
        found = dict.fromkeys(self.features.columns, 0.0)
        for name, share in zip(self.features.names, self.classifier.importance.tolist(), strict=True):
            found[name] += share
        return dict(sorted(found.items(), key=lambda item: -item[1]))

    def predict(self, instances: Instances, image: Image | None = None) -> pd.DataFrame:
        """Return a table with a row per object and time point.

        It has the columns ``id``, ``time`` where there is time, ``class``, ``probability`` (of that class),
        ``probability_NAME`` for every class, and ``centroid_y…``: where the object lies.

        Raises
        ------
        InputError
            When objects or image are not like those that were learned from: in axes, pixel unit or channels.
        """
        import pandas as pd

        measured = self.features.table(instances, image, also=[_PLACE])
        found = self.classifier.predict(np.ascontiguousarray(self.features.matrix(measured).T))
        best = found.argmax(axis=0)
        told: dict[str, Any] = {c: measured[c] for c in ("id", "time", "time_s") if c in measured}
        told["class"] = np.array(self.names, object)[best]
        told["probability"] = found.max(axis=0, initial=0)
        told |= {f"{_PROBABILITY}{name}": share for name, share in zip(self.names, found, strict=True)}
        told |= {c: measured[c] for c in _columns(measured, f"{_PLACE}_")}
        table = pd.DataFrame(told)
        known = measured.attrs.get(MEANINGS, {})
        table.attrs = {**measured.attrs, MEANINGS: {c: _meaning(c) or known.get(c, "") for c in table.columns}}
        return table

    def classify(self, instances: Instances, image: Image | None = None) -> Instances:
        """Return the same objects with their classes; ids and scores stay as they are.

        An object that is there at several time points has one class: the most probable on the mean.

        Raises
        ------
        InputError
            As :meth:`predict`.
        """
        return self.assigned(instances, self.predict(instances, image))

    def assigned(self, instances: Instances, table: pd.DataFrame) -> Instances:
        """Return the objects with the classes that a table of :meth:`predict` says."""
        total = self._total(instances, table)
        classes = np.where(total.any(axis=1), total.argmax(axis=1) + 1, 0).astype(np.int32)
        return replace(instances, classes=classes, names=(BACKGROUND, *self.names))

    def sureness(self, instances: Instances, table: pd.DataFrame) -> NDArray[np.float32]:
        """Return how probable the classes are that :meth:`assigned` gives."""
        total = self._total(instances, table)
        share = total.max(axis=1, initial=0) / np.maximum(total.sum(axis=1), 1e-9)
        return np.asarray(share.clip(0, 1), np.float32)

    def _total(self, instances: Instances, table: pd.DataFrame) -> NDArray[np.float64]:
        """Return the probabilities of each object, in sum over all time points."""
        shares = table[[f"{_PROBABILITY}{name}" for name in self.names]].to_numpy(np.float64)
        total = np.zeros((len(instances), len(self.names)))
        np.add.at(total, np.searchsorted(instances.ids, table["id"].to_numpy()), shares)
        return total

    @classmethod
    def of_project(cls, project: Project) -> Self:
        """Return what the classifier of objects of a project of ilastik knows.

        Raises
        ------
        InputError
            When it has none, or one that looks at something that can't be computed here.
        """
        forest, names = object_classifier(project)
        features = IlastikFeatures.of(project)
        if forest.n_features != sum(features.widths):
            raise InputError(
                f"the classifier of objects of {project.path.name} looks at {forest.n_features} columns, its features "
                f"give {sum(features.widths)}: train and save it again"
            )
        names = distinct([f"{name} ({i})" if name == BACKGROUND else name for i, name in enumerate(names, 1)])
        told = {"ilastik": project.version, "workflow": project.workflow, "project": project.path.name}
        return cls(forest, names, features, told)

    def save(self, path: str | os.PathLike[str], *, overwrite: bool = False) -> Path:
        """Write it to a file, from which no code is ever run.

        Raises
        ------
        OutputError
            When the file exists and may not be replaced, or can't be written.
        """
        content = Model(
            self.classifier,
            self.names,
            self.features.to_dict(),
            TASK,
            channels=self.features.channels or (),
            provenance=self.provenance,
        )
        return save_model(path, content, overwrite=overwrite)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Read it from a file, which may be a project of ilastik that classifies objects.

        Raises
        ------
        InputError
            When it is no model of objects, or damaged.
        """
        if Path(path).is_file():
            with Path(path).open("rb") as file:
                project = file.read(len(MAGIC)) == MAGIC
            if project:
                return cls.of_project(read_project(path))
        content = load_model(path)
        if content.task != TASK:
            raise InputError(f"{path} is a model of {content.task}; expected one of {TASK}")
        try:
            theirs = isinstance(content.features, Mapping) and "ilastik" in content.features
            kind = IlastikFeatures if theirs else ObjectFeatures
            features = kind.from_dict(content.features)
            if content.classifier.n_features != len(features.names):
                raise InputError(f"{content.classifier.n_features} features, {len(features.names)} names for them")
            if BACKGROUND in content.names:
                raise InputError(f"a class is called {BACKGROUND}")
        except (SegmentryError, OverflowError, TypeError) as error:
            raise InputError(f"{path} can't be used as a model of {TASK}: {one_line(error)}") from error
        return cls(content.classifier, content.names, features, content.provenance)


def suggest(table: pd.DataFrame, n: int = 10, known: Collection[int] = ()) -> pd.DataFrame:
    """Return the rows of a table of :meth:`ObjectModel.predict` for the objects to give a class next, best first.

    These are objects for which the two most probable classes are about as probable, and that don't lie together: an
    object counts less, the nearer it is to one that was taken before.

    Parameters
    ----------
    n
        How many.
    known
        Ids that have a class already.

    Raises
    ------
    ParameterError
        When `n` is no positive number.
    """
    if n < 1:
        raise ParameterError(f"n is {n}; it must be 1 or more")
    left = table[~table["id"].isin(list(known))]
    shares = np.sort(left[_columns(left, _PROBABILITY)].to_numpy(np.float64), axis=1)
    doubt = 1 - (shares[:, -1] - shares[:, -2]) if shares.shape[1] > 1 else np.zeros(len(left))
    places = left[_columns(left, f"{_PLACE}_")].to_numpy(np.float64)
    times = left["time"].to_numpy() if "time" in left else np.zeros(len(left))
    reach = _reach(places, n)
    taken: list[int] = []
    weight = np.ones(len(left))
    for _ in range(min(n, len(left))):
        score = (doubt + 1e-9) * weight
        score[taken] = -1
        taken.append(int(score.argmax()))
        apart = np.sqrt(((places - places[taken[-1]]) ** 2).sum(axis=1)) / reach
        weight = np.where(times == times[taken[-1]], np.minimum(weight, apart), weight)
    return left.iloc[taken]


def _meaning(column: str) -> str:
    """Return what a column of the probability of a class means."""
    if column == "probability":
        return "How probable the class is, 0 … 1, as the model sees it."
    start, _, name = column.partition("_")
    return f"How probable the class {name} is, 0 … 1." if name and f"{start}_" == _PROBABILITY else ""


def _columns(table: pd.DataFrame, start: str) -> list[str]:
    return [str(name) for name in table.columns if str(name).startswith(start)]


def _reach(places: NDArray[np.float64], n: int) -> float:
    """Return half of about how far some objects lie from each other where they are spread over all places."""
    size = np.ptp(places, axis=0) if len(places) else np.zeros(1)
    size = size[size > 0]
    return float(np.prod(size) / n) ** (1 / len(size)) / 2 if len(size) else 1.0


def _check_ids(instances: Instances, clicked: Mapping[int, str]) -> None:
    gone = sorted(set(clicked) - set(instances.ids.tolist()))
    if gone:
        told = ", ".join(map(str, gone[:5])) + " …" * (len(gone) > 5)
        ids = f"{len(instances)} objects with ids up to {instances.ids.max()}" if len(instances) else "no objects"
        raise InputError(f"there is no object {told} among the labels ({ids}): were they renumbered since?")


def _class_names(given: NDArray[Any]) -> tuple[str, ...]:
    """Return the names of the classes of all examples, sorted."""
    wrong = next((name for name in given if not isinstance(name, str) or not name.strip()), None)
    if wrong is not None:
        raise InputError(f"the name of a class must be a text; got {wrong!r:.60}")
    names = tuple(sorted(set(given)))
    if not names:
        raise InputError("there are no examples: name the class of a few objects")
    if BACKGROUND in names:
        raise InputError(f"{BACKGROUND} is what is no object: give that class another name, such as debris")
    if len(names) < 2:
        raise InputError(f"all examples are {names[0]}: classes are told apart from examples of two or more")
    return names
