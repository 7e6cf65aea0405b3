"""Charts of scores, drawn by matplotlib (the extra ``charts``)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from segmentry.errors import MissingExtraError

if TYPE_CHECKING:
    from pandas import DataFrame

__all__ = ["draw_course", "draw_degradation"]


def draw_degradation(table: DataFrame, meanings: Mapping[str, str], path: Path, score: str = "ap50") -> None:
    """Draw how scores fall: a panel per kind, a colour per method, dashed lines with the filter made for the kind.

    Parameters
    ----------
    table
        Rows of :func:`segmentry.degradation.scores_under_degradation`.
    meanings
        What the amounts of each kind say.
    path
        File to write; its suffix says the format (.svg, .png, .pdf).
    score
        Column to draw.

    Raises
    ------
    MissingExtraError
        When matplotlib is not there.
    """
    mpl, figure_of = _drawing()
    kinds: Sequence[str] = list(dict.fromkeys(table["kind"]))
    methods: Sequence[str] = list(dict.fromkeys(table["method"]))
    columns = min(3, len(kinds))
    rows = -(-len(kinds) // columns)
    with mpl.rc_context({"svg.hashsalt": "segmentry", "svg.fonttype": "none", "font.size": 8}):
        figure = figure_of(figsize=(3.6 * columns, 2.7 * rows + 0.6), layout="constrained")
        panels = figure.subplots(rows, columns, squeeze=False).ravel()
        for panel, kind in zip(panels, kinds, strict=False):
            _draw_kind(panel, table[table["kind"] == kind], methods, score)
            panel.set_title(kind.replace("_", " "))
            panel.set_xlabel(_folded(meanings[kind]))
        for panel in panels[len(kinds) :]:
            panel.set_axis_off()
        handles, names = panels[0].get_legend_handles_labels()
        figure.legend(handles, names, loc="outside lower center", ncols=min(len(methods), 5))
        figure.supylabel({"ap50": "AP at IoU 0.50", "ap75": "AP at IoU 0.75", "dice": "Dice"}[score])
        figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None, dpi=110)


def _draw_kind(panel: Any, table: DataFrame, methods: Sequence[str], score: str) -> None:
    places = {amount: i for i, amount in enumerate(dict.fromkeys(table["amount"]))}
    for i, method in enumerate(methods):
        for filtered in (False, True):
            part = table[(table["method"] == method) & ((table["filter"] != "") == filtered)]
            x = [places[a] for a in part["amount"]]
            style = {"color": f"C{i}", "linestyle": "--" if filtered else "-", "marker": "o", "markersize": 2.5}
            panel.plot(x, part[score], **style, label=None if filtered else method)
    panel.set_xticks(list(places.values()), [f"{a:g}" for a in places])
    panel.set_ylim(-0.03, 1.03)
    panel.grid(alpha=0.3)


def _folded(text: str, width: int = 44) -> str:
    import textwrap

    return "\n".join(textwrap.wrap(text, width))


def draw_course(history: Sequence[Mapping[str, Any]], path: Path, score: str) -> None:
    """Draw the course of a training: its loss, and the score on what was held out, whose best is marked.

    Parameters
    ----------
    history
        Rows with ``step``, ``loss``, ``score`` and ``best``.
    path
        File to write; its suffix says the format (.svg, .png, .pdf).
    score
        What the score is.

    Raises
    ------
    MissingExtraError
        When matplotlib is not there.
    """
    mpl, figure_of = _drawing()
    steps = [row["step"] for row in history]
    with mpl.rc_context({"svg.hashsalt": "segmentry", "svg.fonttype": "none", "font.size": 9}):
        figure = figure_of(figsize=(7.2, 3.2), layout="constrained")
        left, right = figure.subplots(1, 2)
        left.plot(steps, [row["loss"] for row in history], color="0.35")
        left.set_title("loss while learning", loc="left", fontsize=8)
        right.plot(steps, [row["score"] for row in history], color="tab:blue")
        best = max(history, key=lambda row: row["score"])
        right.plot(best["step"], best["score"], "o", color="tab:orange")
        right.annotate(
            f"{best['score']:.3f}", (best["step"], best["score"]), (-4, -14), textcoords="offset points", ha="right"
        )
        right.set_title(f"held out: {score}", loc="left", fontsize=8)
        for panel in (left, right):
            panel.set_xlabel("step")
            panel.spines[["top", "right"]].set_visible(False)
        figure.savefig(path)


def _drawing() -> tuple[Any, Any]:
    """Return matplotlib and its class of figures."""
    try:
        import matplotlib as mpl
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingExtraError("drawing a chart", "charts") from error
    return mpl, Figure
