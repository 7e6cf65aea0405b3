"""Steps that need a model which was trained: a file that a recipe names, or a model in memory."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, ClassVar, Self

from pydantic import Field, PrivateAttr

from segmentry.errors import InputError, ParameterError, one_line
from segmentry.image import Grid, Image
from segmentry.overview import Overview
from segmentry.step import Step

__all__ = ["TrainedStep", "checked_sha256", "file_sha256"]


class TrainedStep(Step):
    """A step that needs a trained model; its subclasses say of which kind."""

    trained: ClassVar[bool] = True

    #: Where a model comes from.
    sources: ClassVar[str]

    model: str = Field(default="", max_length=4096, description="File of a trained model (`segmentry train`).")
    sha256: str = Field(
        default="", pattern="^([0-9a-f]{64})?$", description="SHA-256 that the file must have; empty: any."
    )
    sha256_: str | None = Field(default=None, description="SHA-256 of the model that was used.")

    _known: Any = PrivateAttr(None)
    _found: str = PrivateAttr("")

    def __eq__(self, other: object) -> bool:
        """Whether parameters are the same, and the model where it is in memory."""
        if not isinstance(other, TrainedStep) or type(self) is not type(other):
            return NotImplemented
        return self.model_dump() == other.model_dump() and (bool(self.model) or self._known is other._known)

    def __hash__(self) -> int:
        return hash(self.model_dump_json())

    @classmethod
    def with_model(cls, model: Any, **parameters: Any) -> Self:
        """Return the step with a model that is in memory."""
        step = cls(**parameters)
        step._known = model
        return step

    def knowledge(self) -> Any:
        """Return the model, read when it is first asked for.

        Raises
        ------
        ParameterError
            When none is named.
        InputError
            When the file can't be read, is no such model, or another than the one that is meant.
        """
        if self._known is None:
            if not self.model:
                raise ParameterError(f"{self.name} needs a model: set model to {self.sources}")
            self._found = checked_sha256(Path(self.model), self.sha256_ or self.sha256)
            self._known = self.opened(Path(self.model))
        return self._known

    @classmethod
    def opened(cls, source: Path) -> Any:
        """Return the model in a file."""
        raise NotImplementedError

    def prepare(self, overview: Overview) -> Self:
        ready = self.model_copy()
        if self.model and self._known is not None and self._found != file_sha256(Path(self.model)):
            ready._known = None  # the file has been replaced since it was read
        ready.knowledge().picked(ready.seen(overview.image))
        return ready.model_copy(update={"sha256_": ready._found})

    def seen(self, image: Image) -> Image:
        """Return what the model sees of an image: all of it, or a channel that was chosen."""
        return image

    def reach(self, grid: Grid) -> tuple[int, ...]:
        """Return how far the model looks."""
        found: tuple[int, ...] = self.knowledge().halo(grid)
        return found


def checked_sha256(source: Path, sha256: str = "") -> str:
    """Return the SHA-256 of the file of a model, which must be the one that is meant, where one is."""
    found = file_sha256(source)
    if sha256 and found != sha256:
        raise InputError(
            f"the model {source} is another than the recipe means: sha256 {found[:12]}…, not {sha256[:12]}…"
        )
    return found


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of the file of a model.

    Raises
    ------
    InputError
        When there is no such file, or it can't be read.
    """
    if not path.is_file():
        raise InputError(f"the model {path} does not exist{' as a file' if path.exists() else ''}")
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise InputError(f"the model {path} can't be read: {one_line(error)}") from error
