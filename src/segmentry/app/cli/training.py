"""The command that trains."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Parameter

from segmentry.app.cli.console import counted, note, print_json, show_table

__all__ = ["train"]

#: How many of the features that count most are told.
SHOWN = 5


def train(
    method: Annotated[Literal["pixel_classifier", "density_counting"], Parameter(name="METHOD")],
    /,
    *,
    out: Annotated[Path, Parameter(name=["--out", "-o"])],
    images: Path | None = None,
    labels: Path | None = None,
    dots: Path | None = None,
    project: Path | None = None,
    channel: str | None = None,
    classes: str | None = None,
    features: str | None = None,
    sigmas: str | None = None,
    planes: Annotated[bool, Parameter(negative="")] = False,
    dot_sigma: float | None = None,
    classifier: str | None = None,
    set_: Annotated[list[str] | None, Parameter(name="--set", negative="")] = None,
    stages: int | None = None,
    seed: int = 0,
    overwrite: Annotated[bool, Parameter(negative="")] = False,
    json: Annotated[bool, Parameter(negative="")] = False,
) -> None:
    """Train a classifier of pixels from a few strokes, or a counter from dots.

    segmentry train pixel_classifier --images images --labels strokes -o nuclei.safetensors

    segmentry train density_counting --images images --dots dots -o colonies.safetensors

    Parameters
    ----------
    method
        What is trained.
    out
        Model file to write (.safetensors).
    images
        Image, or folder of images.
    labels
        Label image with the same name, or folder of them: 1, 2 … for the classes, 0 where nothing was painted.
    dots
        Of density_counting: table of places (`y,x`, in pixels) or label image of the same name, or folder of them; 1 is
        a dot, 2 background, 3 an area in which each object has a dot.
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
    dot_sigma
        Of density_counting: width of a dot in pixels, 2.5 when nothing is said; a quarter of an object's diameter does.
    classifier
        `random_forest` (when nothing is said), `fast_trees` (much faster) or `scikit_learn`.
    set
        Parameter of the classifier or, to count, of its random forest, `key=value`; may be given again.
    stages
        2 for autocontext: a second classifier sees what the first one found around a pixel.
    seed
        Of what is left to chance.
    overwrite
        Replace a model that exists.
    json
        Print the scores as JSON.
    """
    from segmentry.errors import OutputError

    if out.is_dir():
        raise OutputError(f"{out} is a folder: name a file")
    if out.exists() and not overwrite:
        raise OutputError(f"{out} exists already: choose another name, or --overwrite")
    if method == "density_counting":
        unfit = {"--labels": labels, "--project": project, "--classes": classes, "--stages": stages}
        _refuse(method, {**unfit, "--classifier": classifier})
        _train_counter(out, images, dots, channel, _listed(features), sigmas, planes, dot_sigma, set_ or (), seed, json)
    else:
        _refuse(method, {"--dots": dots, "--dot-sigma": dot_sigma})
        _train_classifier(
            out, images, labels, project, channel, _listed(classes), _listed(features), sigmas, planes,
            classifier or "random_forest", set_ or (), 1 if stages is None else stages, seed, json,
        )  # fmt: skip


def _refuse(method: str, options: Mapping[str, Any]) -> None:
    """Refuse options that are given and say nothing to what is trained."""
    from segmentry.errors import ParameterError

    given = [name for name, value in options.items() if value is not None]
    if given:
        raise ParameterError(f"{method} has no {' and no '.join(given)}: leave it out")


def _train_counter(
    out: Path, images: Path | None, dots: Path | None, channel: str | None, features: tuple[str, ...],
    sigmas: str | None, planes: bool, dot_sigma: float | None, settings: Sequence[str], seed: int, json: bool,
) -> None:  # fmt: skip
    from segmentry.app.cli.arguments import numbers_of, pairs_of
    from segmentry.counting import dots_of_files
    from segmentry.density_counting import FOREST, train_density
    from segmentry.errors import ParameterError
    from segmentry.learn.random_forest import RandomForest
    from segmentry.trained import file_sha256, save_density_model
    from segmentry.training import Teaching

    if images is None or dots is None:
        raise ParameterError("give what to learn from: --images and --dots")
    bank = Teaching(features=features, sigmas=numbers_of("--sigmas", sigmas), planes=planes).bank()
    forest = RandomForest(**{**FOREST, **pairs_of("--set", settings)})
    examples = dots_of_files(images, dots, channel)
    model = train_density(examples, [bank], forest, sigma=2.5 if dot_sigma is None else dot_sigma, seed=seed)
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


def _train_classifier(
    out: Path, images: Path | None, labels: Path | None, project: Path | None, channel: str | None,
    names: tuple[str, ...], features: tuple[str, ...], sigmas: str | None, planes: bool, classifier: str,
    settings: Sequence[str], stages: int, seed: int, json: bool,
) -> None:  # fmt: skip
    from segmentry.app.cli.arguments import numbers_of, pairs_of
    from segmentry.errors import ParameterError
    from segmentry.trained import file_sha256, save_pixel_model
    from segmentry.training import (
        AS_ILASTIK,
        Teaching,
        strokes_of_files,
        strokes_of_project,
        train_pixel_classifier,
        what_counts,
    )

    banks: Any = None
    parameters = pairs_of("--set", settings)
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
        names, features, numbers_of("--sigmas", sigmas), planes, classifier,
        tuple(parameters.items()), stages, seed,
    )  # fmt: skip
    model = train_pixel_classifier(strokes, teaching, banks)
    save_pixel_model(out, model, overwrite=True)
    note(f"{out}: pixel_classifier of {', '.join(model.names)}, from {counted(len(strokes), 'image')}")
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


def _listed(text: str | None) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",")) if text else ()
