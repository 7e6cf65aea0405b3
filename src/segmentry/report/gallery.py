"""The walls of pictures of a report: the worst objects of each kind of error, or the worst images of classes.

The files are opened again, one image at a time, and only those of objects that were chosen.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from segmentry.evaluation import Evaluation
from segmentry.metrics import metrics
from segmentry.metrics.errors import EXTRA, MERGED, MISSED, PART, POOR
from segmentry.metrics.pixels import PixelCounts
from segmentry.report.crops import Box, Scene, around, open_scene

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Picture", "Wall", "abridged", "size_text", "walls"]

#: Pictures of a wall.
LIMIT = 8
#: For each kind of error: its fate, of which side, its title, and what is said of it.
ERRORS = (
    (MISSED, "true", "Missed", "True objects of which less than a tenth was predicted."),
    (EXTRA, "predicted", "Extra", "Predicted objects where there is nothing, or less than a tenth of them is."),
    (PART, "predicted", "Split", "True objects with predicted ones in them that are only parts."),
    (
        MERGED,
        "true",
        "Merged",
        "Predicted objects in which several true ones lie, or one beside their own.",
    ),
    (POOR, "true", "Poor", "True objects that are there, but whose outline is wrong."),
)
EVERY = range(1, 2**32)
#: Objects of these fates are shown with all that share their partner.
TOGETHER = (PART, MERGED)


@dataclass(frozen=True)
class Picture:
    """A picture with what stands below it."""

    svg: str
    image: str
    short: str
    lines: tuple[str, ...]


@dataclass(frozen=True)
class Wall:
    """Pictures of one kind.

    Parameters
    ----------
    title, about
        What they show.
    count
        How many there are in all.
    """

    title: str
    about: str
    count: int
    pictures: Sequence[Picture]


@dataclass(frozen=True)
class _Choice:
    """Something to show: where, which ids of the truth and of the prediction, and what is said of it."""

    image: str
    plane: int
    box: Box | None
    marked: tuple[Collection[int], Collection[int]]
    lines: tuple[str, ...]


def walls(evaluation: Evaluation, limit: int = LIMIT) -> list[Wall]:
    """Return the walls that are not empty, each with its worst first.

    Raises
    ------
    InputError
        When a file is not there any more, or an image does not fit its labels.
    """
    if not len(evaluation.objects):
        chosen = _worst_images(evaluation, limit)
        about = "The images whose classes are found worst, in the plane where most pixels are wrong."
        return _hung(evaluation, [("Worst images", about, len(evaluation.sources), chosen)])
    plans = []
    for fate, side, title, about in ERRORS:
        those = (evaluation.objects["fate"] == fate) & (evaluation.objects["side"] == side)
        cases = _cases(evaluation.objects[those], fate in TOGETHER)
        plans.append((title, about, len(cases), [_choice(fate, case, evaluation) for case in cases[:limit]]))
    return _hung(evaluation, plans)


def _hung(evaluation: Evaluation, plans: Sequence[tuple[str, str, int, Sequence[_Choice]]]) -> list[Wall]:
    """Draw what was chosen, image by image, and return it in the order of the choice."""
    wanted: dict[str, list[_Choice]] = {}
    for choice in (c for *_, chosen in plans for c in chosen):
        wanted.setdefault(choice.image, []).append(choice)
    drawn: dict[int, str] = {}
    for name, choices in wanted.items():
        scene = open_scene(evaluation.sources[name], evaluation.rules)
        drawn |= {id(choice): _drawn(scene, choice) for choice in choices}
    return [
        Wall(title, about, count, [Picture(drawn[id(c)], c.image, abridged(c.image), c.lines) for c in chosen])
        for title, about, count, chosen in plans
        if chosen
    ]


def _drawn(scene: Scene, choice: _Choice) -> str:
    shape = scene.grid.shape[-2:]
    title = f"{choice.image}: {', '.join(choice.lines)}"
    if choice.box is None:
        return scene.draw(scene.worst_plane(), Box(0, shape[0], 0, shape[1]), title)
    return scene.draw(choice.plane, around(choice.box, (shape[0], shape[1])), title, choice.marked)


def _cases(rows: pd.DataFrame, together: bool) -> list[pd.DataFrame]:
    """Return objects that went wrong, worst first: the lowest IoU, then the surest, then the largest.

    Those that share an object of the other side are one case where `together`.
    """
    if not len(rows):
        return []
    by = ["iou", "score", "size", "image", "id"]
    ordered = rows.sort_values(by, ascending=[True, False, False, True, True], kind="stable")
    if not together:
        return [ordered.iloc[i : i + 1] for i in range(len(ordered))]
    return [case for _, case in ordered.groupby(["image", "other"], sort=False)]


def _choice(fate: str, case: pd.DataFrame, evaluation: Evaluation) -> _Choice:
    """Return where the objects of a case lie, with the one that they share, and what is said of them."""
    image, other = str(case["image"].iloc[0]), int(case["other"].iloc[0])
    whole = case
    if fate in TOGETHER:
        every = evaluation.objects
        shared = (every["image"] == image) & (every["id"] == other) & (every["side"] != case["side"].iloc[0])
        whole = every[shared]
    ids = tuple(int(i) for i in case["id"])
    others = (other,) if other and fate not in (MISSED, EXTRA) else ()
    true = case["side"].iloc[0] == "true"
    plane = 0
    lines = list(_told(case, fate, other, float(whole["size"].iloc[0]), evaluation))
    if "start_z" in case:
        low, high = _bounds(case, "z")
        plane = int(low + high - 1) // 2
        lines.append(f"plane {plane}")
    import pandas as pd

    box = Box(*(int(v) for v in _bounds(pd.concat([case, whole]), "yx")))
    return _Choice(image, plane, box, (ids, others) if true else (others, ids), tuple(lines))


def _bounds(case: pd.DataFrame, axes: str) -> Iterable[float]:
    for axis in axes:
        yield case[f"start_{axis}"].min()
        yield case[f"stop_{axis}"].max()


def _told(case: pd.DataFrame, fate: str, other: int, size: float, evaluation: Evaluation) -> Iterable[str]:
    """Yield what is said of a case: ids, size, IoU and score."""
    ids = ", ".join(str(i) for i in case["id"].iloc[:4]) + " …" * (len(case) > 4)
    if fate == MERGED:
        yield f"true {ids} in predicted {other}"
    elif fate == PART:
        yield f"true {other}, predicted {ids}"
    else:
        yield f"{case['side'].iloc[0]} {ids}"
    yield size_text(size, evaluation)
    iou = float(case["iou"].max())
    yield f"IoU {iou:.2f}" if iou else "no overlap"
    score = float(case["score"].iloc[0])
    if fate == EXTRA and math.isfinite(score):
        yield f"score {score:.2f}"


def size_text(size: float, evaluation: Evaluation) -> str:
    """Return an area or a volume with its unit."""
    grid = evaluation.grid
    power = {2: "²", 3: "³"}[len(grid.spatial)]
    if grid.spacing is None:
        return f"{size:,.0f} px"
    number = f"{size:,.0f}" if size >= 100 else f"{size:.3g}"
    return f"{number} {'µm' if grid.unit == 'um' else grid.unit}{power}"


def _worst_images(evaluation: Evaluation, limit: int) -> list[_Choice]:
    """Return the images with the lowest score of pixels that was computed; none where there is none."""
    names = [name for name, _ in evaluation.scores.found if metrics()[name].evidence is PixelCounts]
    if not names:
        return []
    scored = [(image[names[0]], image.name) for image in evaluation.scores.images]
    worst = sorted((score, name) for score, name in scored if score < 1)[:limit]
    return [_Choice(name, 0, None, (EVERY, EVERY), (f"{names[0]} {score:.3f}",)) for score, name in worst]


def abridged(name: str, longest: int = 28) -> str:
    """Return a name with its middle left out where it is long.

    >>> abridged("0123456789", 7)
    '012…789'
    """
    half = (longest - 1) // 2
    return name if len(name) <= longest else f"{name[:half]}…{name[-half:]}"
