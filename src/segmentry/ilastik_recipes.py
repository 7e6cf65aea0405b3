"""Projects of ilastik as recipes: how pixels are told apart, objects found and sorted."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np

from segmentry.errors import InputError, one_line
from segmentry.ilastik import distinct
from segmentry.io.ilastik_project import Project, read_project
from segmentry.object_classification import ObjectModel
from segmentry.trained import file_sha256

__all__ = ["Named", "object_model", "recipe_content", "recipe_of"]

#: ilastik does not smooth probabilities by less.
THINNEST = 0.1
#: How many sigma its smoothing reaches.
WINDOW = 2.0


@dataclass(frozen=True)
class Named:
    """A model as a recipe names it.

    Parameters
    ----------
    model
        Its file.
    sha256
        The hash of the file.
    """

    model: str
    sha256: str

    @classmethod
    def file(cls, path: Path) -> Self:
        """Return a model in a file that will lie beside the recipe."""
        return cls(path.name, file_sha256(path))

    def parameters(self) -> dict[str, str]:
        """Return it as parameters of a step."""
        return {"model": self.model, "sha256": self.sha256}


def object_model(project: Project) -> ObjectModel | str:
    """Return what the classifier of objects of a project knows, or why it can't be carried over; empty for none."""
    if project.objects is None:
        return ""
    try:
        return ObjectModel.of_project(project)
    except InputError as error:
        return one_line(error)


def recipe_of(path: Path) -> tuple[dict[str, Any], list[str]]:
    """Return the steps that a project file means, which is their model, and what of it is left out, in sentences.

    Raises
    ------
    InputError
        When the project can't be read or has no classifier of pixels.
    """
    project = read_project(path)
    named = Named(str(path.resolve()), file_sha256(path))
    sorter = object_model(project)
    return recipe_content(project, named, sorter if isinstance(sorter, str) else named)


def recipe_content(project: Project, pixels: Named, objects: Named | str) -> tuple[dict[str, Any], list[str]]:
    """Return the steps that a project means, as plain data of a recipe, and what of it is left out, in sentences.

    Parameters
    ----------
    project
        With a classifier of pixels.
    pixels
        The model that tells pixels apart.
    objects
        The one that sorts objects, or why there is none.

    Raises
    ------
    InputError
        When the project has no classifier of pixels.
    """
    if not project.stages:
        raise InputError(
            f"{project.path.name} finds objects in images of other programs: it has no pixel classifier; "
            "segmentry classify sorts labels that exist by it"
        )
    why = objects if isinstance(objects, str) else ""
    left = [said for said in project.left_out if said not in why]
    found = project.thresholding
    if why:
        left.append(f"objects are not sorted into classes: {why}")
    if found is None:
        return {"method": {"pixel_classifier": pixels.parameters()}}, left
    several = found.core_channel != found.channel and "hysteresis" in found.method
    if several or found.method not in ("single", "hysteresis"):
        how = f"{found.method} over several channels" if several else found.method
        left.append(f"objects by {how} are not known here: classes of pixels are given, and no objects are sorted")
        return {"method": {"pixel_classifier": pixels.parameters()}}, left
    names = distinct(project.stages[-1].names)
    if found.channel >= len(names):
        raise InputError(f"{project.path.name} makes objects of class {found.channel + 1}, and has {len(names)}")
    filters = [{"pixel_probability": {**pixels.parameters(), "of": names[found.channel]}}, *_smoothing(project)]
    hysteresis = {"low": _under(found.low), "high": _under(found.low), "connectivity": "faces"}
    if found.method == "hysteresis":
        hysteresis |= {"high": _under(found.high), "min_core": found.min_size}
    cleaning: list[dict[str, Any]] = [
        {"drop_small": {"min_size": found.min_size}},
        {"drop_large": {"max_size": found.max_size}},
        {"relabel": {}},
    ]
    if isinstance(objects, Named):
        cleaning.append({"object_classifier": {**objects.parameters(), "score": "class"}})
    return {"filters": filters, "method": {"hysteresis": hysteresis}, "cleaning": cleaning}, left


def _smoothing(project: Project) -> list[dict[str, Any]]:
    """Return the step that smooths probabilities; none where nothing is smoothed."""
    assert project.thresholding is not None
    volume = project.lanes[0].raw.length("Z") > 1
    z, y, x = project.thresholding.sigma
    if min((z, y, x) if volume else (y, x)) < THINNEST:
        return []
    other = {"sigma_y": y} if y != x else {}
    other |= {"sigma_z": z} if volume and z != x else {}
    return [{"gaussian": {"sigma": x, **other, "truncate": WINDOW, "edges": "single"}}]


def _under(threshold: float) -> float:
    """Return the number that is exceeded by what lies at or above a threshold."""
    return float(np.nextafter(np.float32(threshold), np.float32(-np.inf)))
