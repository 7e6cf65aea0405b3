"""Projects of ilastik as models: what their classifiers know, and what can be learned again from their labels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from segmentry.errors import InputError
from segmentry.features import Feature, FeatureBank
from segmentry.image import Grid
from segmentry.io.ilastik_pixels import Classifier as StoredClassifier
from segmentry.io.ilastik_pixels import Column
from segmentry.io.ilastik_project import PixelStage, Project, read_project
from segmentry.learn.random_forest import RandomForest
from segmentry.pixel_classification import PixelModel, Stage

__all__ = ["FEATURE_NAMES", "open_project", "pixel_model", "project_banks", "recipe_content"]

#: The features by ilastik's names.
FEATURE_NAMES = {
    "GaussianSmoothing": "gaussian_smoothing",
    "LaplacianOfGaussian": "laplacian_of_gaussian",
    "GaussianGradientMagnitude": "gradient_magnitude",
    "DifferenceOfGaussians": "difference_of_gaussians",
    "StructureTensorEigenvalues": "structure_tensor_eigenvalues",
    "HessianOfGaussianEigenvalues": "hessian_of_gaussian_eigenvalues",
}
#: ilastik does not smooth probabilities by less.
THINNEST = 0.1
#: A later stage of autocontext sees probabilities as whole numbers up to this.
LEVELS = 255
#: Letters of the name of a class.
LONGEST = 200


def pixel_model(project: Project) -> PixelModel:
    """Return what the classifiers of pixels of a project know.

    Raises
    ------
    InputError
        When it has none, or one of something that can't be computed here.
    """
    project.check_trained()
    if not project.stages:
        raise InputError(f"{project.path.name} finds objects in images of other programs: it has no pixel classifier")
    stages = []
    for number, stage in enumerate(project.stages):
        assert stage.classifier is not None
        banks = project_banks(stage)
        columns = _columns(stage)
        forest = _forest(stage.classifier, len(stage.names), _places(columns, banks, stage.n_channels))
        stages.append(Stage(banks, forest, LEVELS if number else 1))
    first, last = project.stages[0], project.stages[-1]
    count = first.n_channels
    channels = ("",) if count == 1 else tuple(f"channel {i}" for i in range(count))
    provenance = {"ilastik": project.version, "workflow": project.workflow, "project": project.path.name}
    names = _distinct(last.names)
    colours = last.colours if len(last.colours) == len(names) else ()
    return PixelModel(tuple(stages), names, channels, colours, provenance)


def _distinct(names: Sequence[str]) -> tuple[str, ...]:
    """Return names that differ and can be printed: ilastik lets classes have any."""
    found: list[str] = []
    for number, name in enumerate(names, 1):
        plain = "".join(c if c.isprintable() else " " for c in name).strip()[:LONGEST] or f"Label {number}"
        found.append(plain if plain not in found else f"{plain} ({number})")
    return tuple(found)


def project_banks(stage: PixelStage) -> tuple[FeatureBank, ...]:
    """Return the features of a stage: those of each plane by itself, then those of volumes.

    Raises
    ------
    InputError
        When features were not chosen, or can't be computed here.
    """
    columns = _columns(stage)
    if any(c.flat and not c.smoothed_flat for c in columns):
        raise InputError(
            "the images of the project have too few planes for some of its features in 3D: choose 2D features for "
            "those scales in ilastik, train and save"
        )
    banks = []
    for flat in (True, False):
        chosen = dict.fromkeys((c.feature, c.scale) for c in columns if c.flat == flat)
        if chosen:
            features = tuple(Feature(FEATURE_NAMES[name], float(scale)) for name, scale in chosen)
            banks.append(FeatureBank(features, planes=flat))
    return tuple(banks)


def _columns(stage: PixelStage) -> Sequence[Column]:
    if not stage.columns:
        raise InputError("the project does not say which features its classifier saw: add an image, train and save")
    return stage.columns


def _places(columns: Sequence[Column], banks: Sequence[FeatureBank], channels: int) -> np.ndarray:
    """Return where the banks put each column of a project."""
    found: dict[tuple[bool, str, float, int, int], int] = {}
    at = 0
    for bank in banks:
        grid = Grid("CYX", (channels, 9, 9)) if bank.planes else Grid("CZYX", (channels, 9, 9, 9))
        for feature in bank.features:
            planes = FeatureBank((feature,), bank.planes).n_planes(grid) // channels
            for channel in range(channels):
                for plane in range(planes):
                    found[bank.planes, feature.name, feature.sigma, channel, plane] = at
                    at += 1
    return np.array([found[c.flat, FEATURE_NAMES[c.feature], c.scale, c.channel, c.plane] for c in columns], np.int32)


def _forest(stored: StoredClassifier, n_classes: int, places: np.ndarray) -> RandomForest:
    """Return a stored classifier, its trees looking at features where the banks put them."""
    from segmentry.kernels.forest import Forest, Tree

    if stored.n_features != len(places):
        raise InputError(
            f"the classifier of the project looks at {stored.n_features} features, its selection has {len(places)}: "
            "train and save it again"
        )
    trees = []
    for forest in stored.forests:
        columns = np.array(forest.labels) - 1
        for tree in forest.trees:
            leaf = np.zeros((len(tree.feature), n_classes))
            leaf[:, columns] = tree.weights
            feature = np.where(tree.feature >= 0, places[np.maximum(tree.feature, 0)], -1)
            trees.append(Tree(feature, tree.threshold, tree.left, tree.right, leaf))
    return RandomForest.from_forest(Forest.from_trees(trees, len(places), stored.forests[0].below_is_left))


def recipe_content(project: Project, model: str, sha256: str) -> tuple[dict[str, Any], list[str]]:
    """Return the steps that a project means, as plain data of a recipe, and what of it is left out, in sentences.

    Parameters
    ----------
    project
        With a classifier of pixels.
    model, sha256
        The file that holds it, which may be the project, and its hash.
    """
    if not project.stages:
        raise InputError(f"{project.path.name} finds objects in images of other programs: it has no pixel classifier")
    named = {"model": model, "sha256": sha256}
    left = list(project.left_out)
    if project.objects is not None:
        left.append("objects are found, but not sorted into classes: train object_classifier from some of them")
    found = project.thresholding
    if found is None:
        return {"method": {"pixel_classifier": named}}, left
    if found.method not in ("single", "hysteresis") or found.core_channel != found.channel:
        left.append(f"objects by {found.method} over several channels are not known here: classes are given instead")
        return {"method": {"pixel_classifier": named}}, left
    names = _distinct(project.stages[-1].names)
    if found.channel >= len(names):
        raise InputError(f"{project.path.name} makes objects of class {found.channel + 1}, and has {len(names)}")
    filters: list[dict[str, Any]] = [{"pixel_probability": {**named, "of": names[found.channel]}}]
    sigmas = found.sigma if project.lanes[0].raw.length("Z") > 1 else found.sigma[1:]
    if min(sigmas) >= THINNEST:
        filters.append({"gaussian": {"sigma": sigmas[-1]}})
        if len(set(sigmas)) > 1:
            left.append(f"smoothing differs by axis there ({sigmas}); here it is {sigmas[-1]:g} along all")
        left.append("smoothing there ends at 2 sigma; here it ends at 4")
    high = found.high if found.method == "hysteresis" else found.low
    cleaning = [{"drop_small": {"min_size": found.min_size}}, {"drop_large": {"max_size": found.max_size}}]
    left.append("objects that touch only at a corner are one object here, and two in ilastik")
    return {
        "filters": filters,
        "method": {"hysteresis": {"low": _under(found.low), "high": _under(high)}},
        "cleaning": cleaning,
    }, left


def _under(threshold: float) -> float:
    """Return the number that is exceeded by what lies at or above a threshold."""
    return float(np.nextafter(np.float32(threshold), np.float32(-np.inf)))


def open_project(path: str) -> PixelModel:
    """Return what the classifiers of pixels of a project file know."""
    return pixel_model(read_project(path))
