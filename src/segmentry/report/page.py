"""What stands on the page of a report: texts, tables and charts as plain data, for the template to place."""

from __future__ import annotations

import math
import os
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import segmentry
from segmentry.evaluation import Evaluation
from segmentry.metrics import Metric, metrics
from segmentry.metrics.errors import CORRECT, EXTRA, FOUND, MERGE, MERGED, MISSED, PART, POOR, SPLIT
from segmentry.metrics.scores import MEAN, Key, Summary
from segmentry.report.charts import interval_mark
from segmentry.report.figures import figures
from segmentry.report.gallery import size_text, walls

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["FATES", "Cell", "number", "page", "titled"]

#: Titles of the groups of scores, by the module of their metrics.
GROUPS = {
    "detection": "Objects found",
    "overlaps": "Objects by their pixels",
    "errors": "Errors",
    "ranking": "Objects by their score",
    "pixels": "Pixels",
    "surfaces": "Outlines",
}
#: The scores that stand first; where there are not many, all do.
MAIN = ("ap", "f1", "precision", "recall", "pq", "aji_plus", "seg", "dice", "iou", "hausdorff_95", "surface_dice")
#: What a summary says of true objects that were not found.
WORDS = ((MERGED, "merged with others"), (SPLIT, "split"), (POOR, "outlined poorly"), (MISSED, "missed"))
#: The fates of each side, in the order in which they are told.
FATES = {
    "true": ("true objects", (FOUND, MERGED, SPLIT, POOR, MISSED)),
    "predicted": ("predicted objects", (CORRECT, MERGE, PART, POOR, EXTRA)),
}
#: What the fates mean, as :mod:`segmentry.metrics.errors` has it.
DEFINITIONS = (
    "An object lies in another when more than half of its pixels do. True objects are found when they match a "
    "predicted one (which is correct), one to one; else merged when they lie in a predicted object (a merge) with "
    "another true one, or in one that matches another; else split when two or more predicted objects (parts) lie in "
    "them; else missed when less than a tenth of them is predicted. Predicted objects are extra when less than a tenth "
    "of them is true. The rest is poor: it is there, but its outline is wrong."
)


@dataclass(frozen=True)
class Cell:
    """A number as text, and why there is none."""

    text: str
    title: str = ""


@dataclass
class _Notes:
    """Footnotes, each told once, counted from 1."""

    texts: list[str] = field(default_factory=list)

    def number(self, text: str) -> int:
        if text not in self.texts:
            self.texts.append(text)
        return self.texts.index(text) + 1


def page(evaluation: Evaluation) -> dict[str, Any]:
    """Return all that the template of a report needs."""
    notes = _Notes()
    tables = evaluation.breakdowns()
    groups, title = _groups(evaluation, notes), titled(evaluation)
    return {
        "title": title,
        "version": segmentry.__version__,
        "facts": _facts(evaluation),
        "summary": _summary(evaluation),
        "fates": _fates(tables.get("fates")),
        "definitions": DEFINITIONS,
        "groups": groups[0],
        "others": groups[1],
        "classes": _per_class(evaluation),
        "figures": figures(evaluation, tables, title),
        "comparison": _comparison(evaluation, tables, notes),
        "confusion": _confusion(tables.get("confusion")),
        "by_class": _by_class(tables.get("by_class")),
        "by_size": _by_size(tables.get("by_size"), evaluation),
        "walls": walls(evaluation),
        "with_images": any(source.image for source in evaluation.sources.values()),
        "rules": _rules(evaluation),
        "files": [[Cell(name), *(Cell(str(f) if f else "–") for f in (s.predicted, s.truth, s.image))]
                  for name, s in evaluation.sources.items()],
        "notes": notes.texts,
    }  # fmt: skip


def titled(evaluation: Evaluation) -> dict[str, str]:
    """Return what was judged, by what, and what it was compared with: the files, or the folders that hold them."""
    sources = list(evaluation.sources.values())
    others = [] if evaluation.other is None else list(evaluation.other.sources.values())
    return {
        "predicted": _place([s.predicted for s in sources]),
        "truth": _place([s.truth for s in sources]),
        "other": _place([s.predicted for s in others]) if others else "",
    }


def number(value: float, digits: int = 3) -> str:
    """Return a number for people; – for none.

    >>> number(0.12345), number(12345.6), number(float("nan")), number(float("inf"))
    ('0.123', '12,346', '–', '∞')
    """
    if math.isnan(value):
        return "–"
    if math.isinf(value):
        return "∞" if value > 0 else "-∞"
    text = f"{value:,.{digits}f}" if abs(value) < 10 else f"{value:,.1f}" if abs(value) < 1000 else f"{value:,.0f}"
    return text.replace("-", "−")


def _place(paths: Sequence[Path]) -> str:
    if not paths:
        return "nothing"
    if len(set(paths)) == 1:
        return "/".join(paths[0].parts[-2:])
    try:
        common = os.path.commonpath([str(p.parent) for p in paths])
    except ValueError:
        common = str(paths[0].parent)
    return Path(common).name or common or "."


def _facts(evaluation: Evaluation) -> list[str]:
    n = len(evaluation.scores.images)
    told = [f"{n:,} image{'s' * (n != 1)}"]
    if len(evaluation.objects):
        counts = evaluation.objects["side"].value_counts()
        told.append(f"{counts.get('true', 0):,} true and {counts.get('predicted', 0):,} predicted objects")
    if len(evaluation.confusion):
        told.append(f"{int(evaluation.confusion['pixels'].sum()):,} pixels")
    grid = evaluation.grid
    if evaluation.sources and grid.spacing is not None:
        sides = " × ".join(f"{s:g}" for s in grid.spacing)
        told.append(f"{len(grid.spatial)}D, pixels of {sides} {_unit(evaluation)}")
    elif evaluation.sources:
        told.append(f"{len(grid.spatial)}D, pixel size not known")
    return told


def _summary(evaluation: Evaluation) -> list[str]:
    """Return what came out, in plain sentences."""
    if not evaluation.sources:
        return ["There was nothing to judge."]
    at = f"an IoU of {evaluation.rules.thresholds[0]:.2f}"
    if len(evaluation.objects):
        fates = _counts(evaluation.breakdowns()["fates"])
        true, predicted = (sum(n for (s, _), n in fates.items() if s == side) for side in FATES)
        found = fates.get(("true", FOUND), 0)
        share = f" ({found / true:.1%})" if true else ""
        rest = [f"{n:,} {word}" for fate, word in WORDS if (n := fates.get(("true", fate), 0))]
        first = f"{found:,} of {true:,} objects were found at {at}{share}" + (f"; {_listed(rest)}." if rest else ".")
        extra = fates.get(("predicted", EXTRA), 0)
        beside = f"{extra:,} of them {'lies' if extra == 1 else 'lie'}" if extra else "none of them lies"
        return [first, f"There are {predicted:,} predicted objects; {beside} where there is nothing."]
    if not len(table := evaluation.confusion):
        return ["There was no object to judge."]
    right = table.loc[table["true"] == table["predicted"], "pixels"].sum() / table["pixels"].sum()
    told = [f"{right:.2%} of all pixels have the right class, the background being one."]
    if any(name == "dice" for name, _ in evaluation.scores.found):
        told.append(f"Dice is {number(evaluation.scores['dice'].pooled)} on average over the classes.")
    return told


def _fates(table: pd.DataFrame | None) -> list[dict[str, Any]]:
    """Return how many objects of each side have each fate."""
    counts = {} if table is None else _counts(table)
    found = []
    for side, (name, fates) in FATES.items():
        total = sum(counts.get((side, fate), 0) for fate in fates)
        if total:
            each = [(fate, counts.get((side, fate), 0)) for fate in fates]
            parts = [{"fate": f, "count": n, "text": f"{n:,}", "share": f"{n / total:.1%}"} for f, n in each]
            found.append({"name": f"{total:,} {name}", "parts": parts})
    return found


def _counts(table: pd.DataFrame) -> dict[tuple[str, str], int]:
    return {(str(side), str(fate)): int(n) for side, fate, n in table.itertuples(index=False)}


def _listed(parts: Sequence[str]) -> str:
    return " and ".join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 1 else parts)


def _groups(evaluation: Evaluation, notes: _Notes) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return the main scores and the others by the module of their metric.

    Those of objects are at the first threshold, those of classes on average over the classes.
    """
    first = f"{evaluation.rules.thresholds[0]:.2f}"
    keys = [key for key in evaluation.scores.found if key[1] in ("", first, MEAN)]
    few = len(keys) <= len(MAIN)
    found: tuple[dict[str, list[dict[str, Any]]], ...] = ({}, {})
    for rest in (False, True):
        for name, of in (key for key in keys if (few or key[0] in MAIN) != rest):
            known = metrics()[name]
            row = _row(known, evaluation.scores.found[name, of], evaluation)
            row["name"] = f"{name} at {of}" if of == first else name
            texts = (known.caveat, known.source and f"Source: {known.source}")
            row["notes"] = [notes.number(text) for text in texts if text]
            found[rest].setdefault(known.function.__module__.rpartition(".")[2], []).append(row)
    first_ones, others = ([{"title": GROUPS.get(m, m), "rows": rows} for m, rows in part.items()] for part in found)
    return first_ones, others


def _row(known: Metric, summary: Summary, evaluation: Evaluation) -> dict[str, Any]:
    unit = {"length": _unit(evaluation)}.get(known.unit, known.unit)
    total = len(evaluation.scores.images)
    low, high = summary.pooled_interval if math.isfinite(summary.pooled) else summary.mean_interval
    value = summary.pooled if math.isfinite(summary.pooled) else summary.mean
    shown = known.best in (0, 1) and known.worst in (0, 1) and math.isfinite(value)
    title = f"{known.name} {number(value)}, 95% of draws in {number(low)} … {number(high)}"
    return {
        "pooled": _value(summary.pooled, summary),
        "pooled_interval": _interval(summary.pooled, summary.pooled_interval, summary.n),
        "mean": _value(summary.mean, summary),
        "mean_interval": _interval(summary.mean, summary.mean_interval, summary.n),
        "n": "" if summary.n in (0, total) else f"of {summary.n:,} of {total:,} images",
        "range": known.range.replace(", best", f" {unit}, best" if unit else ", best"),
        "definition": known.definition.replace("`", ""),
        "mark": interval_mark(value, low, high, title) if shown else "",
    }


def _value(value: float, summary: Summary) -> Cell:
    if not math.isnan(value):
        return Cell(number(value))
    return Cell("–", "can't be pooled, only averaged" if summary.n else "not defined in any image")


def _interval(value: float, bounds: tuple[float, float], n: int) -> Cell:
    if math.isnan(value):
        return Cell("")
    if math.isnan(bounds[0]):
        return Cell("–", "one image has no interval" if n < 2 else "not defined in most draws")
    return Cell(f"{number(bounds[0])} … {number(bounds[1])}")


def _per_class(evaluation: Evaluation) -> dict[str, Any] | None:
    """Return a row per metric, a column per class, pooled; nothing where objects were judged."""
    if not len(evaluation.confusion):
        return None
    keys: Sequence[Key] = [key for key in evaluation.scores.found if key[1] not in ("", MEAN)]
    kinds = list(dict.fromkeys(of for _, of in keys))
    rows = []
    for name in dict.fromkeys(name for name, _ in keys):
        cells = [Cell(name)]
        for kind in kinds:
            summary = evaluation.scores.found.get((name, kind))
            value = math.nan if summary is None else summary.mean if math.isnan(summary.pooled) else summary.pooled
            cells.append(Cell(number(value)))
        rows.append(cells)
    return {"heads": ["score", *kinds], "rows": rows}


def _comparison(evaluation: Evaluation, tables: dict[str, pd.DataFrame], notes: _Notes) -> dict[str, Any] | None:
    if "comparison" not in tables:
        return None
    first = f"{evaluation.rules.thresholds[0]:.2f}"
    rows = []
    for row in tables["comparison"].to_dict("records"):
        if row["of"] not in ("", first, MEAN):
            continue
        gap, low, high = row["difference"], row["low"], row["high"]
        known = metrics()[row["metric"]]
        closer = abs(row["mean"] - known.best) < abs(row["mean_of_other"] - known.best)
        clear = math.isfinite(low) and low * high > 0 and row["p"] < 0.05
        rows.append(
            {
                "name": f"{row['metric']} at {first}" if row["of"] == first else row["metric"],
                "cells": [Cell(number(row["mean"])), Cell(number(row["mean_of_other"])), Cell(_signed(gap)),
                          Cell(f"{_signed(low)} … {_signed(high)}" if math.isfinite(low) else "–"),
                          Cell(_p(row["p"])), Cell(f"{row['n']:,}")],
                "side": ("better" if closer else "worse") if clear else "no clear difference",
            }
        )  # fmt: skip
    note = notes.number(
        "Both are judged on every image. p: Fisher's permutation test for pairs, which turns the signs of the "
        "differences at random; two-sided, not corrected for the number of scores that are tested."
    )
    return {"rows": rows, "note": note}


def _signed(value: float) -> str:
    return number(value) if value <= 0 or not math.isfinite(value) else f"+{number(value)}"


def _p(value: float) -> str:
    return "–" if math.isnan(value) else "< 0.001" if value < 0.001 else f"{value:.3f}"


def _confusion(table: pd.DataFrame | None) -> dict[str, Any] | None:
    """Return numbers by true (rows) and predicted class, each with its share of the row."""
    if table is None:
        return None
    what = table.columns[-1]
    names = list(dict.fromkeys([*table["true"], *table["predicted"]]))
    names = [n for n in names if n != "none"] + ["none"] * ("none" in names)
    counts = {(t, p): n for t, p, n in table.itertuples(index=False)}
    rows = []
    for true in names:
        total = sum(counts.get((true, p), 0) for p in names)
        cells = [(f"{n:,}", n / total if total else 0.0) for n in (counts.get((true, p), 0) for p in names)]
        rows.append({"name": true, "cells": [{"text": t, "share": s, "title": f"{s:.1%} of {what} that are {true}"}
                                             for t, s in cells]})  # fmt: skip
    return {"what": what, "names": names, "rows": rows}


def _by_class(table: pd.DataFrame | None) -> list[list[Cell]]:
    return [] if table is None else [_broken(row, row["class"], "class") for row in table.to_dict("records")]


def _by_size(table: pd.DataFrame | None, evaluation: Evaluation) -> list[list[Cell]]:
    found = []
    for row in [] if table is None else table.to_dict("records"):
        low, high = (size_text(row[end], evaluation) for end in ("from", "to"))
        if math.isinf(row["to"]):
            limits = f"{low} and more" if row["from"] else "all"
        else:
            limits = f"{low} to {high}" if row["from"] else f"below {high}"
        found.append(_broken(row, limits, "size"))
    return found


def _broken(row: Mapping[Hashable, Any], name: str, what: str) -> list[Cell]:
    """Return a row of a table of scores by size or by class."""
    why = {"precision": f"none of this {what} was predicted", "recall": f"there is none of this {what}"}
    scores = [(row[k], why.get(k, why["recall"])) for k in ("precision", "recall", "mean_iou")]
    counts = [Cell(f"{row[k]:,}") for k in ("n_true", "n_predicted")]
    return [Cell(name), *counts, *(Cell(number(v), "" if math.isfinite(v) else reason) for v, reason in scores)]


def _rules(evaluation: Evaluation) -> list[tuple[str, str]]:
    rules = evaluation.rules
    told = [("Pixel values are", "classes" if rules.classes else "ids of objects")]
    told.append(("Objects match at an IoU of", ", ".join(f"{t:.2f}" for t in rules.thresholds)))
    told.append(
        (
            "Surfaces agree within",
            f"{rules.tolerance}" + " (pixels, by their smallest side)" * (not rules.tolerance.unit),
        )
    )
    told.append(("Ignored", "nothing" if rules.ignore is None else f"true pixels of value {rules.ignore}"
                 if isinstance(rules.ignore, int) else f"what is not 0 in {rules.ignore}"))  # fmt: skip
    if rules.spacing is not None and rules.spacing.spacing:
        told.append(
            ("Pixel size said to be", " × ".join(f"{s:g}" for s in rules.spacing.spacing) + f" {rules.spacing.unit}")
        )
    return told


def _unit(evaluation: Evaluation) -> str:
    return {"um": "µm", None: "px"}.get(evaluation.grid.unit, str(evaluation.grid.unit))
