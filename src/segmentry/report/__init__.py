"""The report of an evaluation: a page to read or to print, and the same numbers as tables and as JSON.

The page is one file that needs no network and no script. It holds nothing of when it was made, so that the same files
give the same report, byte for byte.
"""

from __future__ import annotations

import json
import math
import os
from importlib import resources
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import segmentry
from segmentry.errors import OutputError
from segmentry.evaluation import Evaluation
from segmentry.io import written_whole
from segmentry.report.gallery import abridged
from segmentry.report.page import page

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["record", "write_report"]

_LIBRARIES = ("numpy", "scipy", "scikit-image", "numba", "pandas")


def write_report(evaluation: Evaluation, folder: str | os.PathLike[str], *, overwrite: bool = False) -> None:
    """Write a report into a folder, which appears whole or not at all.

    Parameters
    ----------
    evaluation
        What was judged; its files are opened again for the pictures of what went wrong.
    folder
        Where ``report.html``, ``report.json``, ``scores.csv`` (a row per score), ``images.csv`` (a row per image) and
        ``objects.csv`` (a row per true and per predicted object) go.
    overwrite
        Replace a folder that exists.

    Raises
    ------
    OutputError
        When the folder exists, or can't be written.
    InputError
        When a file that was judged is not there any more, or an image does not fit its labels.
    """
    folder = Path(folder)
    if folder.is_file():
        raise OutputError(f"{folder} is a file: a report is a folder")
    with written_whole(folder, overwrite) as aside:
        aside.mkdir()
        _write(aside / "report.html", _html(evaluation))
        _write(aside / "report.json", json.dumps(record(evaluation), indent=2, ensure_ascii=False) + "\n")
        _write(aside / "scores.csv", _csv(evaluation.scores.table()))
        _write(aside / "images.csv", _csv(_images(evaluation)))
        _write(aside / "objects.csv", _csv(evaluation.objects))


def _html(evaluation: Evaluation) -> str:
    from jinja2 import Environment, StrictUndefined

    text = resources.files("segmentry.report").joinpath("report.html").read_text("utf-8")
    known = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    known.filters["abridged"] = lambda name: abridged(name, 40)
    return known.from_string(text).render(page(evaluation))


def record(evaluation: Evaluation) -> dict[str, Any]:
    """Return an evaluation as data for JSON, with its rules, its files and the versions that made it.

    Numbers that JSON does not have are ``None``.
    """
    rules = evaluation.rules
    settings = {
        "classes": rules.classes,
        "metrics": list(rules.metrics),
        "thresholds": list(rules.thresholds),
        "tolerance": str(rules.tolerance),
        "ignore": rules.ignore if rules.ignore is None or isinstance(rules.ignore, int) else str(rules.ignore),
        "spacing": None if rules.spacing is None else rules.spacing.to_dict(),
    }
    grid = evaluation.grid
    files = {
        name: {"predicted": str(s.predicted), "truth": str(s.truth), "image": s.image and str(s.image), "time": s.time}
        for name, s in evaluation.sources.items()
    }
    told = {
        "segmentry": segmentry.__version__,
        "versions": {name: version(name) for name in _LIBRARIES},
        "rules": settings,
        "axes": grid.spatial,
        "unit": grid.unit or "px",
        "files": files,
    }
    plain: dict[str, Any] = _plain(told | evaluation.to_dict())
    return plain


def _images(evaluation: Evaluation) -> pd.DataFrame:
    """Return a row per image, and a column for each score, named as ``metric``, or ``metric threshold``."""
    import pandas as pd

    keys = list(evaluation.scores.found)
    columns = ["image", *(f"{name} {of}".strip() for name, of in keys)]
    rows = [[i.name, *(i[key] if key in i.found else math.nan for key in keys)] for i in evaluation.scores.images]
    return pd.DataFrame(rows, columns=columns)


def _csv(table: pd.DataFrame) -> str:
    return str(table.to_csv(index=False, lineterminator="\n")) if len(table.columns) else ""


def _write(path: Path, text: str) -> None:
    """Write a text; names of files that are no valid text are written with escapes."""
    path.write_bytes(text.encode("utf-8", "backslashreplace"))


def _plain(content: Any) -> Any:
    """Return plain data as JSON can hold it: numbers that it does not have become null."""
    if isinstance(content, dict):
        return {str(key): _plain(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [_plain(value) for value in content]
    if hasattr(content, "item"):
        content = content.item()
    return None if isinstance(content, float) and not math.isfinite(content) else content
