"""Projects of ilastik as models: what their classifiers know, and what can be learned again from their labels."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from segmentry.errors import InputError
from segmentry.features import Feature, FeatureBank
from segmentry.image import Grid
from segmentry.io.ilastik_pixels import Classifier as StoredClassifier
from segmentry.io.ilastik_pixels import Column
from segmentry.io.ilastik_project import PixelStage, Project, read_project
from segmentry.learn.random_forest import RandomForest
from segmentry.pixel_classification import PixelModel, Stage

__all__ = ["FEATURE_NAMES", "distinct", "object_classifier", "open_project", "pixel_model", "project_banks"]

#: The features by ilastik's names.
FEATURE_NAMES = {
    "GaussianSmoothing": "gaussian_smoothing",
    "LaplacianOfGaussian": "laplacian_of_gaussian",
    "GaussianGradientMagnitude": "gradient_magnitude",
    "DifferenceOfGaussians": "difference_of_gaussians",
    "StructureTensorEigenvalues": "structure_tensor_eigenvalues",
    "HessianOfGaussianEigenvalues": "hessian_of_gaussian_eigenvalues",
}
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
    project.check_trained(objects=False)
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
    names = distinct(last.names)
    colours = last.colours if len(last.colours) == len(names) else ()
    return PixelModel(tuple(stages), names, channels, colours, provenance)


def distinct(names: Sequence[str]) -> tuple[str, ...]:
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


def object_classifier(project: Project) -> tuple[RandomForest, tuple[str, ...]]:
    """Return the classifier of objects of a project, and the names of its classes.

    Raises
    ------
    InputError
        When it has none.
    """
    if project.objects is None:
        raise InputError(f"{project.path.name} does not classify objects")
    project.check_trained(pixels=False)
    stored = project.objects.classifier
    assert stored is not None
    names = distinct(project.objects.names)
    return _forest(stored, len(names), np.arange(stored.n_features, dtype=np.int32)), names


def open_project(path: str) -> PixelModel:
    """Return what the classifiers of pixels of a project file know."""
    return pixel_model(read_project(path))
