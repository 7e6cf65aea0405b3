"""Degrade an image in a file, score methods on what comes out, and write all of it into a folder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from segmentry.charts import draw_degradation
from segmentry.degradation import DEGRADATIONS, degraded, scores_under_degradation
from segmentry.errors import MissingExtraError
from segmentry.io import read, read_labels, written_whole
from segmentry.picture import draw_overview
from segmentry.selection import selected

__all__ = ["degrade_file"]


def degrade_file(
    image: Path,
    truth: Path,
    out: Path,
    methods: Sequence[str],
    kinds: Sequence[str] | None = None,
    *,
    seed: int = 0,
    channel: str | None = None,
    overwrite: bool = False,
    tell: Callable[[str, float], None] = lambda _what, _share: None,
) -> list[dict[str, Any]]:
    """Return a row of scores for each degradation, amount and method, and write them with a chart and pictures.

    Parameters
    ----------
    image, truth
        An image of one time point, and the labels of its objects.
    out
        Folder for ``scores.csv``, ``scores.svg`` (where matplotlib is there) and a picture of each degraded image with
        the outlines of the truth.
    methods, kinds, seed, tell
        As :func:`segmentry.degradation.scores_under_degradation` takes them.
    channel
        Name or number of the channel; needed when there are several.
    overwrite
        Whether a folder that exists is replaced.

    Raises
    ------
    SegmentryError
        When a file can't be read, a name is not known, or the output exists.
    """
    import pandas as pd

    notes: list[str] = []
    seen = selected(read(image), channel, False, notes)
    there = read_labels(truth)
    with written_whole(out, overwrite) as folder:
        folder.mkdir()
        rows = list(scores_under_degradation(seen, there, methods, kinds or tuple(DEGRADATIONS), seed, tell))
        table = pd.DataFrame(rows)
        table.to_csv(folder / "scores.csv", index=False, lineterminator="\n")
        try:
            draw_degradation(table, {k: d.meaning for k, d in DEGRADATIONS.items()}, folder / "scores.svg")
        except MissingExtraError as error:
            tell(str(error), 1.0)
        for kind in dict.fromkeys(table["kind"]):
            for amount in DEGRADATIONS[kind].amounts[1:]:
                picture = draw_overview(*degraded(seen, there, kind, amount, seed), f"{kind} {amount:g}")
                picture.save(folder / f"{kind}-{amount:g}.png")
    return rows
