"""The command that judges labels by the truth."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

from cyclopts import Parameter

from segmentry.app.cli.console import counted, note, print_json, show_table
from segmentry.errors import OutputError, ParameterError

if TYPE_CHECKING:
    from segmentry.evaluation import Evaluation, Rules
    from segmentry.metrics.scores import Key

__all__ = ["evaluate"]

T = TypeVar("T")


def evaluate(
    predicted: Annotated[Path, Parameter(name="PREDICTED")],
    truth: Annotated[Path, Parameter(name="TRUTH")],
    /,
    *,
    out: Annotated[Path | None, Parameter(name=["--out", "-o"])] = None,
    overwrite: Annotated[bool, Parameter(negative="")] = False,
    images: Path | None = None,
    against: Path | None = None,
    classes: Annotated[bool, Parameter(negative="")] = False,
    ignore: str | None = None,
    tolerance: str | None = None,
    spacing: str | None = None,
    metrics: str | None = None,
    thresholds: str | None = None,
    json: Annotated[bool, Parameter(negative="")] = False,
) -> None:
    """Score labels by the truth: objects found, their pixels and outlines, and what went wrong.

    `segmentry metrics` lists the scores, each with its definition.

    Parameters
    ----------
    predicted
        Label file, folder of them, or output folder of `segmentry segment`.
    truth
        Label file, or folder of files with the same names.
    out
        Folder to write a report to: a page with charts and pictures of the worst errors, tables, and JSON.
    overwrite
        Replace a report that exists.
    images
        The images that were segmented, for the pictures of a report: a file, or a folder of files with the same names.
    against
        Results of another method on the same images, to compare with.
    classes
        Pixel values are classes, not ids of objects.
    ignore
        Value of true pixels that don't count, or a mask (or a folder of masks) that is not 0 where nothing counts.
    tolerance
        Distance at which two outlines still agree: `2` (pixels), or `1.5um`.
    spacing
        Pixel size instead of that in the files: `0.5,0.2,0.2um`.
    metrics
        Scores to compute, with commas (`ap,dice`); all when left out.
    thresholds
        IoU at which objects match, with commas (`0.5,0.75`).
    json
        Print all of it as JSON.
    """
    from segmentry.evaluation import evaluate as judge
    from segmentry.report import record, write_report

    if out is not None and out.exists() and not overwrite:
        raise OutputError(f"{out} exists already: choose another name, or use --overwrite to replace it")
    rules = _rules(classes, ignore, tolerance, spacing, metrics, thresholds)
    evaluation = judge(predicted, truth, rules, images=images, against=against)
    if out is not None:
        write_report(evaluation, out, overwrite=overwrite)
    print_json(record(evaluation)) if json else _show(evaluation)
    if out is not None:
        note(f"report in {out / 'report.html'}")


def _rules(
    classes: bool, ignore: str | None, tolerance: str | None, spacing: str | None, metrics: str | None,
    thresholds: str | None,
) -> Rules:  # fmt: skip
    from segmentry.app.cli.arguments import make_options
    from segmentry.evaluation import Rules
    from segmentry.length import Length

    given: dict[str, Any] = {"classes": classes}
    if ignore is not None:
        given["ignore"] = int(ignore) if ignore.isdigit() and not Path(ignore).exists() else Path(ignore)
    if tolerance is not None:
        given["tolerance"] = _understood("--tolerance", tolerance, Length.parse)
    if spacing is not None:
        given["spacing"] = make_options(spacing)
    if metrics is not None:
        given["metrics"] = tuple(name.strip() for name in metrics.split(","))
    if thresholds is not None:
        given["thresholds"] = tuple(_understood("--thresholds", part, float) for part in thresholds.split(","))
    return Rules(**given)


def _understood(option: str, text: str, meaning: Callable[[str], T]) -> T:
    try:
        return meaning(text)
    except ValueError as error:
        raise ParameterError(f"{option} {text!r}: {error}") from None


def _show(evaluation: Evaluation) -> None:
    """Print the main scores, what to know before they are believed, and what became of the objects."""
    from segmentry.metrics import metrics

    known = metrics()
    keys = list(_main(evaluation))
    rows, told = [], set()
    for name, of in keys:
        summary = evaluation.scores[name, of]
        title = f"{name} at {of}" if of in _thresholds(evaluation) else f"{name}, {of}" if of else name
        values = [_number(summary.pooled), _between(*summary.pooled_interval)]
        values += [_number(summary.mean), _between(*summary.mean_interval)]
        rows.append([title, *values, "" if name in told else known[name].definition])
        told.add(name)
    heads = ["score", "pooled", "95% interval", "mean", "95% interval", "definition"]
    show_table(_title(evaluation), heads, rows)
    _show_comparison(evaluation, keys)
    caveats: dict[str, list[str]] = {}
    for name in dict.fromkeys(name for name, _ in keys):
        caveats.setdefault(known[name].caveat, []).append(name)
    caveats.pop("", None)
    if caveats:
        print()
    for caveat, names in caveats.items():
        print(f"{', '.join(names)}: {caveat}")
    for line in _fates(evaluation):
        print(line)


def _show_comparison(evaluation: Evaluation, keys: list[Key]) -> None:
    """Print the means of two methods, by how much they differ, and whether that may be chance."""
    if evaluation.other is None:
        return
    rows = []
    for row in evaluation.breakdowns()["comparison"].to_dict("records"):
        if (row["metric"], row["of"]) in keys:
            numbers = [row[k] for k in ("mean", "mean_of_other", "difference", "low", "high", "p")]
            rows.append([f"{row['metric']} {row['of']}".strip(), *(_number(n) for n in numbers)])
    heads = ["score", "mean", "of the other", "difference", "from", "to", "p"]
    show_table("\nCompared, image by image", heads, rows)


def _thresholds(evaluation: Evaluation) -> list[str]:
    return [f"{t:.2f}" for t in evaluation.rules.thresholds]


def _main(evaluation: Evaluation) -> Iterator[Key]:
    """Yield AP at each threshold and Dice of each class, other scores at the first and on average."""
    from segmentry.metrics.scores import MEAN

    shown = ("", MEAN, *_thresholds(evaluation)[:1])
    yield from (key for key in evaluation.scores.found if key[1] in shown or key[0] in ("ap", "dice"))


def _title(evaluation: Evaluation) -> str:
    title = counted(len(evaluation.scores.images), "image")
    if len(evaluation.objects):
        sides = evaluation.objects["side"].value_counts()
        title += f", {counted(int(sides.get('predicted', 0)), 'object')} against {sides.get('true', 0):,}"
    return title


def _fates(evaluation: Evaluation) -> Iterator[str]:
    """Yield what became of the objects of each side, in a line each."""
    from segmentry.report.page import FATES

    if not len(evaluation.objects):
        return
    table = evaluation.breakdowns()["fates"]
    print(f"\nWhat became of the objects, at IoU {_thresholds(evaluation)[0]}:")
    counts = {(side, fate): n for side, fate, n in table.itertuples(index=False)}
    for side, (name, fates) in FATES.items():
        each = [(counts.get((side, fate), 0), fate) for fate in fates]
        yield f"{sum(n for n, _ in each):,} {name}: {', '.join(f'{n:,} {fate}' for n, fate in each)}"


def _number(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:.4f}"


def _between(low: float, high: float) -> str:
    return "" if math.isnan(low) else f"{low:.3f} … {high:.3f}"
