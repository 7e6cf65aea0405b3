"""The charts of a report: AP against IoU, every image, how well objects overlap, sizes, and reliability of scores."""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from segmentry.evaluation import Evaluation
from segmentry.report.charts import Axis, Bar, Dot, Line, bar_chart, dot_chart, line_chart
from segmentry.report.gallery import abridged, size_text

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["figures"]

#: Scores that the chart of the images shows, the first that there is.
OF_IMAGES = ("ap", "dice", "iou", "f1")
#: Images beyond so many are drawn without tooltips.
MANY = 1000
NAMED = 5
BINS = 20


def figures(
    evaluation: Evaluation, tables: Mapping[str, pd.DataFrame], names: Mapping[str, str]
) -> list[dict[str, str]]:
    """Return the charts that there is something to draw for, each with its title and its caption.

    Parameters
    ----------
    evaluation
        What was judged.
    tables
        Its breakdowns.
    names
        What ``"predicted"``, and ``"other"`` that it is compared with, are called.
    """
    return [
        *_by_threshold(evaluation, names),
        *_of_images(evaluation),
        *_of_overlaps(evaluation),
        *_of_sizes(tables.get("by_size"), evaluation),
        *_of_scores(tables.get("reliability"), evaluation),
    ]


def _by_threshold(evaluation: Evaluation, names: Mapping[str, str]) -> Iterator[dict[str, str]]:
    lines = []
    for side, one in (("predicted", evaluation), ("other", evaluation.other)):
        found = {} if one is None else {float(of): s for (n, of), s in one.scores.found.items() if n == "ap"}
        if len(found) > 1:
            points = [(at, summary.pooled) for at, summary in found.items()]
            lines.append(Line(abridged(names[side]), points, [summary.pooled_interval for summary in found.values()]))
    if not lines:
        return
    ends = [x for x, _ in lines[0].points]
    lines = lines if len(lines) > 1 else [Line("pooled", lines[0].points, lines[0].bounds)]
    marks = [x for i, x in enumerate(ends) if i % 2 == 0 or len(ends) < 7]
    margin = (max(ends) - min(ends)) * 0.03
    axis = Axis("IoU at which objects match", min(ends) - margin, max(ends) + margin, marks)
    caption = "AP = TP / (TP + FP + FN), of all objects together."
    if any(math.isfinite(low) for low, _ in lines[0].bounds):
        caption += " The bands hold 95% of what comes out when the images are drawn again."
    yield _figure("AP against IoU", line_chart("AP against IoU", axis, Axis("AP"), lines), caption)


def _of_images(evaluation: Evaluation) -> Iterator[dict[str, str]]:
    images = evaluation.scores.images
    names = {name for name, _ in evaluation.scores.found}
    metric = next((name for name in OF_IMAGES if name in names), "")
    if len(images) < 2 or not metric:
        return
    scored = sorted((image[metric], image.name) for image in images if math.isfinite(image[metric]))
    if not scored:
        return
    what = f"AP at {evaluation.rules.thresholds[0]:.2f}" if metric == "ap" else metric
    mean = sum(score for score, _ in scored) / len(scored)
    n = len(scored)
    dots = [
        Dot(i, score, f"{name}: {score:.3f}" if n <= MANY else "", 3.4 if n < 100 else 2)
        for i, (score, name) in enumerate(scored, 1)
    ]
    axis = Axis.around("images, the worst first", [n])
    ticks = [t for t in axis.ticks if t == int(t)]
    axis = Axis(axis.name, 0, n + 1, [t for t in ticks if t <= n])
    lines = [Line(f"mean {mean:.3f}", [(0, mean), (n + 1, mean)], marks=False)]
    worst = ", ".join(f"{abridged(name)} ({score:.2f})" for score, name in scored[:NAMED])
    svg = dot_chart(f"{what} of each image", axis, Axis(what), dots, lines)
    yield _figure(f"{what} of each image", svg, f"The worst: {worst}.")


def _of_overlaps(evaluation: Evaluation) -> Iterator[dict[str, str]]:
    if not len(evaluation.objects):
        return
    iou = evaluation.objects.loc[evaluation.objects["side"] == "true", "iou"].to_numpy(np.float64)
    if len(iou) < 2:
        return
    counts, edges = np.histogram(iou, BINS, (0, 1))
    bars = [
        Bar([float(n) if n else math.nan], [f"{n:,} objects with an IoU of {a:.2f} to {b:.2f}"])
        for n, a, b in zip(counts.tolist(), edges[:-1], edges[1:], strict=True)
    ]
    marks = list(range(0, BINS + 1, 4))
    axis = Axis("highest IoU with a predicted object", -0.5, BINS - 0.5, [m - 0.5 for m in marks])
    axis = Axis(axis.name, axis.low, axis.high, axis.ticks, [f"{edges[m]:g}" for m in marks])
    svg = bar_chart("Overlap of true objects", axis, Axis.around("true objects", counts.tolist()), bars, [""])
    caption = (
        f"Every true object with the predicted one that it overlaps with most; the median is {np.median(iou):.2f}."
    )
    yield _figure("Overlap of true objects", svg, caption)


def _of_sizes(table: pd.DataFrame | None, evaluation: Evaluation) -> Iterator[dict[str, str]]:
    if table is None or len(table) < 2:
        return
    bars, names = [], []
    for row in table.to_dict("records"):
        last = math.isinf(row["to"])
        names.append(f"{'≥' if last else '<'} {size_text(row['from'] if last else row['to'], evaluation)}")
        said = [f"{k} {row[k]:.3f} of {row[n]:,} objects" for k, n in _COUNTED]
        bars.append(Bar([row[k] for k, _ in _COUNTED], said))
    axis = Axis("size", -0.5, len(bars) - 0.5, list(range(len(bars))), names)
    svg = bar_chart("Scores by size", axis, Axis("share"), bars, [k for k, _ in _COUNTED])
    caption = f"Groups of as many true objects each, matched at an IoU of {evaluation.rules.thresholds[0]:.2f}."
    yield _figure("Scores by size", svg, caption)


_COUNTED = (("recall", "n_true"), ("precision", "n_predicted"))


def _of_scores(table: pd.DataFrame | None, evaluation: Evaluation) -> Iterator[dict[str, str]]:
    if table is None or not len(table):
        return
    rows: list[dict[Hashable, Any]] = table.to_dict("records")
    most = max(row["n"] for row in rows)
    dots = []
    for row in rows:
        said = f"scores {row['from']:.1f} to {row['to']:.1f}: {row['right']:.1%} of {row['n']:,} are right"
        dots.append(Dot(row["score"], row["right"], said, 3 + 9 * math.sqrt(row["n"] / most), f"{row['n']:,}"))
    same = Line("as sure as right", [(0, 0), (1, 1)], marks=False)
    axis = Axis("score that the method gives", 0, 1.04)
    svg = dot_chart("Reliability of scores", axis, Axis("share that is right", 0, 1.04), dots, [same])
    caption = (
        f"Predicted objects of like score, and how many of them match at an IoU of "
        f"{evaluation.rules.thresholds[0]:.2f}; dots below the line: the method is too sure of itself."
    )
    yield _figure("Reliability of scores", svg, caption)


def _figure(title: str, svg: str, caption: str) -> dict[str, str]:
    return {"title": title, "svg": svg, "caption": caption}
