"""Objects are given classes by a model that has learned from a few examples: kinds of cells, of grains, of defects.

What is measured of each object and of its neighbours is what the model knows kinds by; `segmentry classify` does the
same to labels that exist. It works on objects like those that it learned from, in images taken alike; it fails where
kinds differ in what was never measured. Other steps keep the classes, and the table of objects shows them. A project of
ilastik that classifies objects is such a model too: it gives the classes of ilastik.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import ClassVar, Literal, Self

from pydantic import Field, PrivateAttr

from segmentry.errors import InputError, ParameterError
from segmentry.image import Grid, Image
from segmentry.object_classification import ObjectModel
from segmentry.overview import Overview
from segmentry.result import Instances
from segmentry.step import Cleaner
from segmentry.trained import file_sha256

__all__ = ["ObjectClassifierStep"]


class ObjectClassifierStep(Cleaner):
    """Gives objects their kinds, learned from a few named examples."""

    name: ClassVar[str] = "object_classifier"
    sorts: ClassVar[bool] = True
    trained: ClassVar[bool] = True

    model: str = Field(
        default="", max_length=4096, description="File of a trained model of objects, or project of ilastik."
    )
    sha256: str = Field(
        default="", pattern="^([0-9a-f]{64})?$", description="SHA-256 that the file must have; empty: any."
    )
    score: Literal["object", "class"] = Field(
        "object", description="What the score of an object says: how sure it is that it is one, or its class."
    )
    sha256_: str | None = Field(default=None, description="SHA-256 of the model that was used.")

    _known: ObjectModel | None = PrivateAttr(None)

    def needs_image(self) -> bool:
        return self.knowledge().features.channels is not None

    def pictured(self, grid: Grid, image: Image | None, chosen: Image | None = None) -> Image | None:
        """Return the image with all its channels, of which the model takes those that it knows."""
        if image is not None and image.grid.without("C").shape != grid.shape:
            raise InputError(f"{self.name}: the image has the shape {image.grid.shape}, the labels {grid.shape}")
        return image

    def prepare(self, overview: Overview) -> Self:
        self.knowledge()
        return self.model_copy(update={"sha256_": file_sha256(Path(self.model))})

    def sort(self, instances: Instances, image: Image | None = None) -> Instances:
        known = self.knowledge()
        table = known.predict(instances, image)
        found = known.assigned(instances, table)
        return found if self.score == "object" else replace(found, scores=known.sureness(instances, table))

    def clean(self, instances: Instances, image: Image | None = None) -> Instances:
        return self.sort(instances, image)

    def knowledge(self) -> ObjectModel:
        """Return the model, read when it is first asked for.

        Raises
        ------
        ParameterError, InputError
            When none is named, or the file is no such model, or another than the one that is meant.
        """
        if self._known is None:
            if not self.model:
                raise ParameterError(
                    f"{self.name} needs a model: set model to one that learned from examples, or a project of ilastik"
                )
            known, meant = ObjectModel.load(self.model), self.sha256 or self.sha256_
            if meant and (found := file_sha256(Path(self.model))) != meant:
                raise InputError(
                    f"the model {self.model} is another than the recipe means: sha256 {found[:12]}…, not {meant[:12]}…"
                )
            self._known = known
        return self._known
