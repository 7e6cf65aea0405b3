"""Pixel classification within an ilastik project: the features that were chosen, the labels, the classifier."""

from __future__ import annotations

import math
import pickletools
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from segmentry.errors import InputError
from segmentry.image import AXES
from segmentry.io.hdf5_values import INTEGERS, Place, number_in
from segmentry.io.ilastik_data import Lane, axes_of
from segmentry.io.vigra_forest import Forest, read_forest

__all__ = [
    "Classifier",
    "Colour",
    "Column",
    "Labels",
    "Selection",
    "named",
    "read_classifier",
    "read_colours",
    "read_labels",
    "read_names",
    "read_selection",
]

#: Per filter of ilastik, how many times the scale its Gaussians are wide.
FILTERS = {
    "GaussianSmoothing": (1.0,),
    "LaplacianOfGaussian": (1.0,),
    "GaussianGradientMagnitude": (1.0,),
    "DifferenceOfGaussians": (1.0, 0.66),
    "StructureTensorEigenvalues": (1.0, 0.5),
    "HessianOfGaussianEigenvalues": (1.0,),
}
#: Extents of what a filter looks at, in sigmas.
REACH = 2.0
MOST_COLUMNS = 50_000
SLICES = re.compile(r"\[\d{1,12}:\d{1,12}(?:,\d{1,12}:\d{1,12})*\]")
#: Labelled pixels beyond this were painted by no hand.
MOST_LABELLED = 20_000_000
#: Blocks that hold them are no larger than this together.
LARGEST_BLOCKS = 2**30
FORESTS = {"ParallelVigraRfLazyflowClassifier", "VigraRfLazyflowClassifier", "VigraRfPixelwiseClassifier"}
Colour = tuple[int, int, int]


@dataclass(frozen=True)
class Column:
    """One column of what the classifier sees.

    Parameters
    ----------
    feature, scale
        The filter by ilastik's name, and its sigma in pixels.
    channel, plane
        Channel of the image, and which of the filter's results: of eigenvalues, the largest first.
    flat
        Whether the filter works slice by slice.
    smoothed_flat
        Whether the smoothing before it does.
    """

    feature: str
    scale: float
    channel: int
    plane: int
    flat: bool
    smoothed_flat: bool


@dataclass(frozen=True, eq=False)
class Selection:
    """The features that were chosen.

    Parameters
    ----------
    features, scales
        Names of ilastik's filters and their sigmas in pixels: the rows and columns of the table.
    chosen
        Whether a filter is taken at a scale, bool (feature, scale).
    flat
        Per scale, whether it works slice by slice; ``None`` where the project does not say.
    """

    features: tuple[str, ...]
    scales: tuple[float, ...]
    chosen: NDArray[np.bool_]
    flat: tuple[bool, ...] | None

    @property
    def unknown(self) -> tuple[str, ...]:
        """Chosen features that ilastik itself does not have."""
        return tuple(f for f, row in zip(self.features, self.chosen, strict=True) if f not in FILTERS and row.any())

    def columns(self, n_channels: int, spatial_shape: Sequence[int]) -> tuple[Column, ...]:
        """Return the columns that the classifier sees, in their order, for an image of that (Z)YX shape.

        In the order of features, of scales within each, of channels, of a filter's results. Where the volume is too
        thin for a filter, ilastik lets it work slice by slice, though not the smoothing before it.

        Raises
        ------
        InputError
            When there is a filter that ilastik does not have, or with more channels than any image has.
        """
        if self.unknown:
            raise InputError(f"ilastik has no pixel features {', '.join(self.unknown)} (known: {', '.join(FILTERS)})")
        if n_channels * max(int(self.chosen.sum()), 1) > MOST_COLUMNS:
            raise InputError(f"features of {n_channels:,} channels are more than {MOST_COLUMNS:,}: the file is damaged")
        depth = spatial_shape[0] if len(spatial_shape) == 3 else 1
        flat = self.flat or (depth == 1,) * len(self.scales)
        found = []
        for row, feature in enumerate(self.features):
            for j in np.flatnonzero(self.chosen[row]).tolist():
                sigmas = [min(self.scales[j], 1.0) * part for part in FILTERS[feature]]
                thin = depth == 1 or any(math.ceil(sigma * REACH) + 1 > depth for sigma in sigmas)
                seen = spatial_shape[-2:] if flat[j] or thin else spatial_shape
                planes = sum(n > 1 for n in seen) if feature.endswith("Eigenvalues") else 1
                found += [
                    Column(feature, self.scales[j], channel, plane, flat[j] or thin, flat[j])
                    for channel in range(n_channels)
                    for plane in range(planes)
                ]
        return tuple(found)


@dataclass(frozen=True, eq=False)
class Labels:
    """Pixels that a user gave a class.

    Parameters
    ----------
    axes, shape
        Of the image without its channels, in the order of ``"TZYX"``.
    places
        Where the pixels are, int64 (pixel, axis), in raster order.
    classes
        Which class each has, int64; 1 is the first of the names.
    """

    axes: str
    shape: tuple[int, ...]
    places: NDArray[np.int64]
    classes: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Classifier:
    """A trained classifier: one or several random forests.

    A class has the mean of its probability in each forest, weighted by the number of the forest's trees. Columns of
    the probabilities are those of the forests' labels; a class that no label was given for may have none, and has
    probability 0.

    Parameters
    ----------
    kind
        Its name in ilastik.
    forests
        At least one; all with the same labels and the same number of columns.
    trained
        Classes that labels were given for.
    feature_names
        What ilastik calls the columns; empty in older projects.
    """

    kind: str
    forests: tuple[Forest, ...]
    trained: tuple[int, ...]
    feature_names: tuple[str, ...]

    @property
    def n_features(self) -> int:
        """How many columns it looks at."""
        return self.forests[0].n_features

    @property
    def labels(self) -> tuple[int, ...]:
        """Which classes the columns of its probabilities are."""
        return self.forests[0].labels


@dataclass(frozen=True, eq=False)
class Block:
    """Labels of one block: places in the whole image, and where the block ends."""

    axes: str
    places: NDArray[np.int64]
    classes: NDArray[np.int64]
    ends: NDArray[np.int64]


def read_selection(place: Place | None, notes: list[str]) -> Selection | None:
    """Return the features that were chosen; ``None`` where none were."""
    if place is None:
        return None
    if place.dataset("FeatureListFilename") is not None:
        notes.append(f"{place.where} takes its features from a file of its own, which is not read")
    features, scales = place.texts("FeatureIds"), place.numbers("Scales", ndim=1)
    matrix = place.numbers("SelectionMatrix", INTEGERS, 2)
    if features is None or scales is None or matrix is None:
        return None
    if matrix.shape != (len(features), len(scales)):
        raise place.wrong("SelectionMatrix", f"of shape {matrix.shape}", f"({len(features)}, {len(scales)})")
    if not ((scales > 0) & (scales < 1000)).all() or len(set(features)) < len(features):
        raise place.wrong("Scales", f"{scales[:9].tolist()}", "sigmas between 0 and 1000, with features named once")
    flat = place.numbers("ComputeIn2d", ndim=1)
    flags = tuple(bool(value) for value in flat) if flat is not None and len(flat) == len(scales) else None
    return Selection(features, tuple(float(s) for s in scales), matrix.astype(bool), flags)


def read_names(place: Place) -> tuple[str, ...]:
    """Return the names of the classes."""
    if place.dataset("LabelNames") is None or place.flag("LabelNames", "isEmpty"):
        return ()
    return place.texts("LabelNames") or ()


def named(
    names: tuple[str, ...], classes: Iterable[NDArray[np.int64]], classifier: Classifier | None
) -> tuple[str, ...]:
    """Name classes that are used but have no name as ilastik would."""
    used = [int(lane.max()) for lane in classes if lane.size]
    used += [max(classifier.labels)] if classifier is not None else []
    if max(used, default=0) > 255:
        raise InputError(f"it has a class {max(used)}: the file is damaged")
    return names + tuple(f"Label {number}" for number in range(len(names) + 1, max(used, default=0) + 1))


def read_colours(place: Place, name: str) -> tuple[Colour, ...]:
    """Return the colours of the classes, red, green and blue from 0 to 255."""
    if place.dataset(name) is None or place.flag(name, "isEmpty"):
        return ()
    found = place.numbers(name, INTEGERS, 2)
    if found is None or found.shape[1] < 3:
        return ()
    clipped = np.clip(found[:, :3], 0, 255).astype(int)
    return tuple((r, g, b) for r, g, b in clipped.tolist())


def read_labels(place: Place, lanes: Sequence[Lane], notes: list[str]) -> tuple[Labels, ...]:
    """Return the labels of each lane."""
    sets = place.place("LabelSets")
    groups = {number_in(name): inner for name, inner in sets.places()} if sets is not None else {}
    found, room, size = [], MOST_LABELLED, 0
    for index, lane in enumerate(lanes):
        blocks: list[Block] = []
        for name in groups[index].names() if index in groups else ():
            data = groups[index].dataset(name)
            if data is None:
                notes.append(f"{groups[index].where}/{name} has labels under a mask, which are not read")
                continue
            size += data.size or 0
            if size > LARGEST_BLOCKS:
                raise InputError(f"{groups[index].where} claims {size:,} pixels of labels: the file is damaged")
            blocks.append(_block(groups[index], name, lane, room))
            room -= len(blocks[-1].classes)
        found.append(_joined(lane, blocks))
    return tuple(found)


def _block(place: Place, name: str, lane: Lane, most: int) -> Block:
    text = place.attribute(name, "blockSlice").replace(" ", "")
    if not SLICES.fullmatch(text):
        raise place.wrong(f"{name}@blockSlice", f"{text[:60]!r}", "like '[0:1,2:3]'")
    bounds = np.array([[int(end) for end in part.split(":")] for part in text[1:-1].split(",")])
    block = place.numbers(name, INTEGERS, len(bounds))
    if block is None or tuple(np.diff(bounds, axis=1)[:, 0]) != block.shape:
        raise place.wrong(
            name, f"of shape {block is not None and block.shape}", f"what its blockSlice says: {text[:60]}"
        )
    said = place.attribute(name, "axistags")
    axes = axes_of(said, f"{place.where}/{name}") if said else _older(lane, len(bounds))
    if len(axes) != len(bounds):
        raise place.wrong(name, f"of {len(bounds)} axes", f"{axes!r}")
    if np.count_nonzero(block) > most:
        raise InputError(f"{place.where} has more than {MOST_LABELLED:,} labelled pixels: the file is damaged")
    inside = np.nonzero(block)
    return Block(axes, np.stack(inside, axis=1) + bounds[:, 0], block[inside].astype(np.int64), bounds[:, 1])


def _older(lane: Lane, ndim: int) -> str:
    """Return the axes of labels that do not say them: those of the image with the channels last, else all five."""
    axes = lane.raw.axes.replace("C", "") + "C"
    return "TXYZC" if ndim == 5 and len(axes) != 5 else axes


def _joined(lane: Lane, blocks: Sequence[Block]) -> Labels:
    """Put the blocks of a lane together; where two lie over each other, the last wins."""
    raw, axes = lane.raw, blocks[0].axes if blocks else ""
    if any(block.axes != axes for block in blocks):
        raise InputError("blocks of labels have different axes: the file is damaged")
    ends = dict(zip(axes, np.max([block.ends for block in blocks], axis=0).tolist(), strict=True)) if blocks else {}
    sizes = dict(zip(raw.axes, raw.shape, strict=True)) or ends
    kept = [a for a in AXES if a in "YX" or (a != "C" and a in raw.axes) or (not raw.axes and sizes.get(a, 1) > 1)]
    kept = [a for a in kept if a != "C"]
    shape = tuple(sizes.get(a, 1) for a in kept)
    if any(end > (shape[kept.index(a)] if a in kept else 1) for a, end in ends.items()) or math.prod(shape) >= 2**62:
        raise InputError(f"labels reach to {ends}, their image has {''.join(kept)} {shape}: the file is damaged")
    if not blocks:
        return Labels("".join(kept), shape, np.zeros((0, len(kept)), np.int64), np.zeros(0, np.int64))
    places, classes = (np.concatenate([getattr(block, part) for block in blocks]) for part in ("places", "classes"))
    if (classes < 1).any() or (classes > 255).any():
        raise InputError("labels are not numbers from 1 to 255: the file is damaged")
    ordered = np.stack([places[:, axes.index(a)] if a in axes else 0 * classes for a in kept], axis=1)
    flat = np.ravel_multi_index(tuple(ordered.T), shape)
    _, last = np.unique(flat[::-1], return_index=True)
    taken = len(flat) - 1 - last
    return Labels("".join(kept), shape, ordered[taken], classes[taken])


def read_classifier(place: Place | None) -> tuple[Classifier | None, str]:
    """Return the classifier, and where it can't be carried over why not."""
    if place is None or not place.names():
        return None, ""
    kind = _kind(place)
    if kind == "SklearnLazyflowClassifier":
        return None, "its classifier is a pickled one of scikit-learn: to load it would run whatever the file says"
    if kind not in FORESTS:
        return None, f"its classifier is a {kind[:80]!r}: only random forests of VIGRA can be carried over"
    groups = [inner for name, inner in place.places() if re.fullmatch(r"Forest\d+|forest", name)]
    forests = tuple(read_forest(group) for group in groups)
    if not forests:
        raise InputError(f"{place.where} has no forests: the file is damaged")
    for one, other in pairwise(forests):
        if (one.labels, one.n_features) != (other.labels, other.n_features):
            raise InputError(f"{place.where} has forests of other classes or features than the first: it is damaged")
    known = place.numbers("known_labels", ndim=1)
    trained = forests[0].labels if known is None else tuple(int(label) for label in known)
    if not set(trained) <= set(forests[0].labels):
        raise place.wrong("known_labels", f"{trained}", f"among {forests[0].labels}")
    names = place.texts("feature_names") or ()
    if names and len(names) != forests[0].n_features:
        raise place.wrong("feature_names", f"{len(names)} names", f"{forests[0].n_features}")
    return Classifier(kind, forests, trained, names), ""


def _kind(place: Place) -> str:
    """Return the name of the classifier's type, which is stored as a pickle: its opcodes are read, never run."""
    text = place.text("pickled_type")
    if not text:
        return "ParallelVigraRfLazyflowClassifier"  # as older projects, which do not say
    words: list[str] = []
    try:
        for opcode, argument, _ in pickletools.genops(text.encode("latin-1", "replace")[:1000]):
            if isinstance(argument, str):
                words.append(argument)
            if opcode.name in ("GLOBAL", "STACK_GLOBAL"):
                return " ".join(words).split()[-1]
    except (ValueError, IndexError, UnicodeError):
        pass
    return "classifier of unknown type"
