"""Where a result is good and where it is not: what became of every object, and scores by size and by class."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from segmentry.labelling import survey
from segmentry.metrics.errors import fates
from segmentry.metrics.evidence import Evidence
from segmentry.metrics.matching import Matching
from segmentry.result import Instances

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["by_class", "by_size", "confusion", "object_rows"]

#: Objects are parted by size into so many groups of as many true objects.
SIZE_GROUPS = 4
#: What an object is confused with that matches none.
NONE = "none"


def object_rows(evidence: Evidence, threshold: float) -> pd.DataFrame:
    """Return a row for each true and each predicted object of an image.

    Columns: ``side`` (true, predicted), ``id``, ``class``, ``score``, ``size`` (area or volume in units of the grid),
    ``iou`` and ``other`` (the highest IoU with an object of the other side, and that object's id; 0: none), ``matches``
    (whether they match at the `threshold`), ``right`` (and are of one class), ``fate`` (see
    :func:`segmentry.metrics.errors.fates`), and the box in pixels: ``start_y``, ``stop_y`` … per axis.
    """
    import pandas as pd

    matching = evidence.matching
    matched = matching.pairs[matching.matched(threshold)]
    told = fates(matching, threshold)
    kinds = [_kinds(instances) for instances in evidence.objects]
    same = kinds[0][matched[:, 0]] == kinds[1][matched[:, 1]]
    sides: list[dict[str, Any]] = []
    for side, name, fate in ((1, "true", told.true), (0, "predicted", told.predicted)):
        instances = evidence.objects[side]
        held = survey(instances.labels)
        n = len(held.ids)
        own: dict[str, Any] = {"side": np.full(n, name, object), "id": held.ids, "class": kinds[side]}
        own["score"] = np.full(n, np.nan, np.float32) if instances.scores is None else instances.scores
        own["size"] = held.sizes * math.prod(evidence.grid.spacing or (1.0,))
        own["iou"], own["other"] = _best(matching, side)
        for column, chosen in (("matches", matched), ("right", matched[same])):
            own[column] = np.zeros(n, np.bool_)
            own[column][chosen[:, side]] = True
        own["fate"] = fate
        for axis, low, high in zip(instances.grid.spatial.lower(), held.lower.T, held.upper.T, strict=True):
            own |= {f"start_{axis}": low, f"stop_{axis}": high}
        sides.append(own)
    return pd.DataFrame({name: np.concatenate([side[name] for side in sides]) for name in sides[0]})


def by_size(rows: pd.DataFrame, groups: int = SIZE_GROUPS) -> pd.DataFrame:
    """Return scores of objects of like size: groups of as many true objects each, the smallest first.

    Precision counts predicted objects of that size, recall true ones; the other scores follow from both.
    """
    sizes = rows.loc[rows["side"] == "true", "size"].to_numpy(np.float64)
    if not len(sizes):
        return _scores([])
    bounds = np.unique(np.quantile(sizes, np.linspace(0, 1, groups + 1)[1:-1]))
    place = np.searchsorted(bounds, rows["size"].to_numpy(np.float64), side="right")
    limits = [0.0, *bounds.tolist(), math.inf]
    parts = [({"from": limits[g], "to": limits[g + 1]}, rows[place == g]) for g in range(len(bounds) + 1)]
    return _scores([(where, part, "matches") for where, part in parts])


def by_class(rows: pd.DataFrame) -> pd.DataFrame:
    """Return scores for each class: an object is right when it matches one of its own class."""
    return _scores([({"class": name}, rows[rows["class"] == name], "right") for name in sorted(set(rows["class"]))])


def confusion(rows: pd.DataFrame) -> pd.DataFrame:
    """Return how many objects of each true class match one of each predicted class; "none" where they match nothing."""
    import pandas as pd

    true, predicted = rows[rows["side"] == "true"], rows[rows["side"] == "predicted"]
    kinds = predicted.set_index(["image", "id"])["class"]
    found = kinds.reindex(list(zip(true["image"], true["other"], strict=True))).to_numpy()
    pairs = pd.DataFrame({"true": true["class"], "predicted": np.where(true["matches"], found, NONE)})
    extra = predicted.loc[~predicted["matches"], ["class"]].rename(columns={"class": "predicted"}).assign(true=NONE)
    counted = pd.concat([pairs, extra]).groupby(["true", "predicted"]).size()
    return counted.rename("objects").reset_index()


def _scores(parts: list[tuple[dict[str, Any], pd.DataFrame, str]]) -> pd.DataFrame:
    import pandas as pd

    found = []
    for where, rows, column in parts:
        true, predicted = rows[rows["side"] == "true"], rows[rows["side"] == "predicted"]
        counted = {"n_true": len(true), "n_predicted": len(predicted)}
        hit, right = int(true[column].sum()), int(predicted[column].sum())
        scores = {
            "precision": right / len(predicted) if len(predicted) else math.nan,
            "recall": hit / len(true) if len(true) else math.nan,
            "mean_iou": float(true["iou"].mean()) if len(true) else math.nan,
        }
        found.append({**where, **counted, **scores})
    return pd.DataFrame(found)


def _kinds(instances: Instances) -> NDArray[Any]:
    """Return the name of the class of each object."""
    names = np.array(instances.names, dtype=object)
    kinds = instances.classes
    return np.asarray(np.full(len(instances), names[-1], object) if kinds is None else names[kinds])


def _best(matching: Matching, side: int) -> tuple[NDArray[np.float64], NDArray[np.uint32]]:
    """Return, for each object of a side, the highest IoU with one of the other, and the id of that one."""
    n = matching.n_predicted if side == 0 else matching.n_true
    others = matching.true_ids if side == 0 else matching.predicted_ids
    best, other = np.zeros(n), np.zeros(n, np.uint32)
    order = np.argsort(matching.iou, kind="stable")
    rows = matching.pairs[order]
    best[rows[:, side]] = matching.iou[order]
    other[rows[:, side]] = others[rows[:, 1 - side]]
    return best, other
