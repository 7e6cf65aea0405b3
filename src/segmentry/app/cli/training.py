"""The commands that train."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from cyclopts import App, Parameter

from segmentry.app.cli.console import counted, note, print_json, show_table
from segmentry.app.cli.network_training import cellpose, stardist, unet

__all__ = ["train"]

#: How many of the features that count most are told.
SHOWN = 5

Out = Annotated[Path, Parameter(name=["--out", "-o"])]
Switch = Annotated[bool, Parameter(negative="")]
Settings = Annotated[list[str] | None, Parameter(name="--set", negative="")]

train = App(
    name="train",
    help=(
        "Train a network from labelled images, a classifier of pixels from a few strokes, or a counter from dots.\n\n"
        "segmentry train unet --images images --labels labels -o cells.safetensors\n"
        "segmentry train pixel_classifier --images images --labels strokes -o nuclei.safetensors\n"
        "segmentry train density_counting --images images --dots dots -o colonies.safetensors"
    ),
)
train.command(unet, name="unet")
train.command(cellpose, name="cellpose")
train.command(stardist, name="stardist")


@train.command(name="pixel_classifier")
def pixel_classifier(
    *,
    out: Out,
    images: Path | None = None,
    labels: Path | None = None,
    project: Path | None = None,
    channel: str | None = None,
    classes: str | None = None,
    features: str | None = None,
    sigmas: str | None = None,
    planes: Switch = False,
    classifier: str = "random_forest",
    set_: Settings = None,
    stages: int = 1,
    seed: int = 0,
    overwrite: Switch = False,
    json: Switch = False,
) -> None:
    """Train a classifier of pixels from a few strokes.

    segmentry train pixel_classifier --images images --labels strokes -o nuclei.safetensors

    Parameters
    ----------
    out
        Model file to write (.safetensors).
    images
        Image, or folder of images.
    labels
        Label image with the same name, or folder of them: 1, 2 … for the classes, 0 where nothing was painted.
    project
        Project of ilastik, whose labels and features are taken.
    channel
        Name or number of the channel to look at; all are when nothing is said.
    classes
        Names of the classes 1, 2 …, with commas: `background,nucleus`.
    features
        What pixels are told apart by, with commas; all that ilastik offers when nothing is said.
    sigmas
        Scales of the features in pixels, with commas: `0.7,1.6,5`.
    planes
        Look at each plane of a volume by itself.
    classifier
        `random_forest`, `fast_trees` (much faster) or `scikit_learn`.
    set
        Parameter of the classifier, `key=value`; may be given again.
    stages
        2 for autocontext: a second classifier sees what the first one found around a pixel.
    seed
        Of what is left to chance.
    overwrite
        Replace a model that exists.
    json
        Print the scores as JSON.
    """
    from segmentry.app.cli.arguments import check_target, listed, numbers_of, pairs_of
    from segmentry.errors import ParameterError
    from segmentry.trained_models import save_pixel_model
    from segmentry.training import (
        AS_ILASTIK,
        Teaching,
        strokes_of_files,
        strokes_of_project,
        train_pixel_classifier,
    )

    check_target(out, overwrite)
    banks: Any = None
    names, parameters = listed(classes), pairs_of("--set", set_ or ())
    if project is not None:
        if labels is not None or channel is not None:
            raise ParameterError("labels and channels are those of the project: leave out --labels and --channel")
        strokes, known, chosen, least = strokes_of_project(project, images)
        names, banks, stages = names or known, None if features or sigmas else chosen, max(stages, least)
        parameters = AS_ILASTIK.get(classifier, {}) | parameters
    elif images is not None and labels is not None:
        strokes = strokes_of_files(images, labels, channel)
    else:
        raise ParameterError("give what to learn from: --images and --labels, or --project")
    teaching = Teaching(
        names, listed(features), numbers_of("--sigmas", sigmas), planes, classifier,
        tuple(parameters.items()), stages, seed,
    )  # fmt: skip
    model = train_pixel_classifier(strokes, teaching, banks)
    save_pixel_model(out, model, overwrite=True)
    note(f"{out}: pixel_classifier of {', '.join(model.names)}, from {counted(len(strokes), 'image')}")
    _tell_classifier(out, model, strokes, json)


def _tell_classifier(out: Path, model: Any, strokes: Any, json: bool) -> None:
    """Say how good a classifier of pixels is, and what it looks at."""
    from segmentry.trained import file_sha256
    from segmentry.training import what_counts

    if json:
        print_json({"model": str(out), "sha256": file_sha256(out), "classes": model.names, "scores": model.scores})
        return
    if model.scores:
        right = model.scores["right_of_class"]
        rows = [["all", f"{model.scores['accuracy']:.3f}"], *([name, f"{share:.3f}"] for name, share in right.items())]
        note(f"{model.scores['pixels']:,} painted pixels, each told by a model that did not see its stroke:")
        show_table("", ["class", "right"], rows)
    else:
        note("no score: it takes two strokes of each class, so that one can be kept aside")
    most = [f"{name} ({share:.0%})" for name, share in what_counts(model, strokes[0].image.grid)[:SHOWN]]
    note(f"what counts most: {', '.join(most)}")


@train.command(name="density_counting")
def density_counting(
    *,
    out: Out,
    images: Path,
    dots: Path,
    channel: str | None = None,
    features: str | None = None,
    sigmas: str | None = None,
    planes: Switch = False,
    dot_sigma: float = 2.5,
    set_: Settings = None,
    seed: int = 0,
    overwrite: Switch = False,
    json: Switch = False,
) -> None:
    """Train a counter from dots.

    segmentry train density_counting --images images --dots dots -o colonies.safetensors

    Parameters
    ----------
    out
        Model file to write (.safetensors).
    images
        Image, or folder of images.
    dots
        Table of places (`y,x`, in pixels) or label image of the same name, or folder of them; 1 is a dot, 2 background,
        3 an area in which each object has a dot.
    channel
        Name or number of the channel to look at; all are when nothing is said.
    features
        What pixels are told apart by, with commas; all that ilastik offers when nothing is said.
    sigmas
        Scales of the features in pixels, with commas: `0.7,1.6,5`.
    planes
        Look at each plane of a volume by itself.
    dot_sigma
        Width of a dot in pixels; a quarter of an object's diameter does.
    set
        Parameter of the random forest, `key=value`; may be given again.
    seed
        Of what is left to chance.
    overwrite
        Replace a model that exists.
    json
        Print the scores as JSON.
    """
    from segmentry.app.cli.arguments import check_target, listed, numbers_of, pairs_of
    from segmentry.counting import dots_of_files
    from segmentry.density_counting import FOREST, train_density
    from segmentry.learn.random_forest import RandomForest
    from segmentry.trained import file_sha256
    from segmentry.trained_models import save_density_model
    from segmentry.training import Teaching

    check_target(out, overwrite)
    bank = Teaching(features=listed(features), sigmas=numbers_of("--sigmas", sigmas), planes=planes).bank()
    forest = RandomForest(**{**FOREST, **pairs_of("--set", set_ or ())})
    examples = dots_of_files(images, dots, channel)
    model = train_density(examples, [bank], forest, sigma=dot_sigma, seed=seed)
    save_density_model(out, model, overwrite=True)
    note(
        f"{out}: density_counting, from {counted(model.provenance['dots'], 'dot')} in {counted(len(examples), 'image')}"
    )
    scores = model.scores
    if json:
        print_json({"model": str(out), "sha256": file_sha256(out), "scores": scores})
    elif scores["pieces"]:
        rows = [["mean absolute error", f"{scores['mean_absolute_error']:.2f}"]]
        rows += [["relative error", f"{scores['relative_error']:.1%}"], ["dispersion", f"{scores['dispersion']:.2f}"]]
        rows += [
            ["spread between images", f"{scores['spread']:.1%}" if len(examples) > 2 else "not known: 3 images tell"]
        ]
        show_table(f"{scores['pieces']} {scores['what']}, {scores['objects']:.0f} objects", ["", ""], rows)
