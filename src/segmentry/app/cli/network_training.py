"""The command that trains a network."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Parameter

from segmentry.app.cli.console import counted, note, print_json, show_table

__all__ = ["cellpose", "stardist", "unet"]


def unet(
    *,
    out: Annotated[Path, Parameter(name=["--out", "-o"])],
    images: Path,
    labels: Path,
    channel: str | None = None,
    classes: str | None = None,
    task: Literal["semantic", "instances"] | None = None,
    unlabelled: int | None = None,
    representation: str = "",
    start: Path | None = None,
    plan: Path | None = None,
    set_: Annotated[list[str] | None, Parameter(name="--set", negative="")] = None,
    plan_only: Annotated[bool, Parameter(negative="")] = False,
    curve: Annotated[bool, Parameter(negative="")] = False,
    device: str = "auto",
    licence: str = "",
    seed: int = 0,
    resume: Annotated[bool, Parameter(negative="")] = False,
    overwrite: Annotated[bool, Parameter(negative="")] = False,
    json: Annotated[bool, Parameter(negative="")] = False,
) -> None:
    """Train a U-Net from labelled images.

    segmentry train unet --images images --labels labels -o cells.safetensors

    Some images are held out; the weights that do best on them are kept, with their score, in one file, and the course
    of the training is drawn beside it. Stop it when you like: --resume goes on.

    Parameters
    ----------
    out
        Network file to write (.safetensors).
    images
        Image, or folder of images.
    labels
        Label image with the same name, or folder of them: classes, or ids of objects; 0 is background.
    channel
        Name or number of the channel to look at; all are when nothing is said.
    classes
        Names of the classes, the background first, with commas: `background,membrane`.
    task
        Whether labels are classes (`semantic`) or ids of objects (`instances`); found out when nothing is said.
    unlabelled
        Label of pixels that nobody told anything of. With 0, the class 1 is the background, as it is for strokes.
    representation
        What is learned: `classes`, or of objects `boundary`, `distance`, `flows` or `stars`; chosen by the labels when
        nothing is said.
    start
        Network to begin with, a file or `nuclei`, `nuclei_fast` or `nuclei_3d`, which fewer images and steps then
        adapt: its weights, and how it sees images.
    plan
        YAML file that says how, as --plan-only prints it.
    set
        Part of the plan, `key=value` (`steps=500`, `architecture.residual=true`); may be given again.
    plan_only
        Print what was found out of the data, and the plan, and train nothing.
    curve
        Train with an eighth, a quarter and half of the images as well, and say what more labels would bring.
    device
        `auto`, `cpu`, `cuda` or `mps`.
    licence
        Licence of the network, for its card.
    seed
        Of what is left to chance.
    resume
        Go on with a training that was cut off.
    overwrite
        Replace a network that exists.
    json
        Print score and course as JSON.
    """
    from segmentry.app.cli.arguments import check_target, listed, pairs_of
    from segmentry.learn.shipped import located
    from segmentry.network_from_files import Asked, examples_of_files, learn

    check_target(out, overwrite or plan_only)
    asked = Asked(
        listed(classes),
        task,
        unlabelled,
        representation,
        plan,
        pairs_of("--set", set_ or ()),
        device,
        licence,
        seed,
        None if start is None else located(start),
    )
    examples = examples_of_files(images, labels, channel, unlabelled)
    if plan_only:
        print(asked.planned(examples)[1])
        return
    told = _Course()
    trained, growth = learn(examples, asked, out, resume=resume, curve=curve, tell=told.row, say=note)
    if json:
        found = {"network": str(out), "score": trained.score, "history": list(trained.history)}
        print_json(found if growth is None else {**found, "images": growth.images, "scores": growth.scores})
        return
    if growth is not None:
        points = zip(growth.images, growth.scores, strict=True)
        show_table("", ["images", "held out"], [[f"{count:,}", f"{score:.4f}"] for count, score in points])
        note(growth.advice())
    note(f"{out}: {asked.what(trained)} {trained.score:.4f} on {counted(len(trained.held), 'image')} held out")


def _telling(representation: str, title: str, name: str) -> Callable[..., None]:
    """Return the command that trains a network to tell a representation of objects."""

    @wraps(unet)
    def command(**words: Any) -> None:
        words["task"] = words.get("task") or "instances"
        unet(**{**words, "representation": words.get("representation") or representation})

    lines = (unet.__doc__ or "").splitlines()
    command.__doc__ = "\n".join([f"Train a {title} from labelled images.", *lines[1:]]).replace("train unet", name)
    return command


cellpose = _telling("flows", "network for the method cellpose", "train cellpose")
stardist = _telling("stars", "network for the method stardist", "train stardist")


class _Course:
    """The course of a training, a line for each look at what is held out."""

    def __init__(self) -> None:
        self._begun = False

    def row(self, row: Mapping[str, Any]) -> None:
        if not self._begun:
            note(f"{'step':>8} {'loss':>9} {'held out':>9} {'rate':>9} {'time':>9}")
        self._begun = True
        time = f"{row['seconds'] // 60:.0f}:{row['seconds'] % 60:02.0f}"
        best = "  best so far" if row["best"] else ""
        note(f"{row['step']:>8,} {row['loss']:>9.4f} {row['score']:>9.4f} {row['rate']:>9.1e} {time:>9}{best}")
