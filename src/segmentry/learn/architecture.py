"""What a network is made of, said without building it: enough to know its memory, its tiles and its file."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

__all__ = ["Architecture", "Steps"]

#: A whole number for each spatial axis.
Steps = Annotated[tuple[Annotated[int, Field(ge=1, le=8)], ...], Field(min_length=2, max_length=3)]
Width = Annotated[int, Field(ge=1, le=4096)]


class Architecture(BaseModel):
    """A U-Net: an encoder whose levels see further and coarser, and a decoder that leads back to every pixel.

    Examples
    --------
    >>> plan = Architecture(channels=1, outputs=3, widths=(16, 32, 64), strides=((2, 2), (2, 2)))
    >>> plan.dimensions, plan.multiple
    (2, (4, 4))
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    channels: int = Field(ge=1, le=1000, description="Channels of the image.")
    outputs: int = Field(ge=1, le=10_000, description="Numbers per pixel that come out.")
    widths: tuple[Width, ...] = Field(
        min_length=1, max_length=10, description="Numbers per pixel within each level, from the finest to the coarsest."
    )
    strides: tuple[Steps, ...] = Field(
        description="How many times coarser each level is than the one before, per spatial axis."
    )
    stem: Steps | None = Field(
        default=None,
        description="How many pixels along each axis become one before anything else; none: every pixel counts.",
    )
    kernels: tuple[Steps, ...] = Field(
        default=(), description="Length of the filters of each level per axis; none: 3 along all."
    )
    convolutions: int = Field(
        default=2, ge=1, le=8, description="Convolutions per level, on the way down and on the way up."
    )
    residual: bool = Field(default=False, description="Whether what comes into a level is added to what goes out.")
    normalisation: Literal["batch", "instance"] = Field(
        default="batch",
        description="What numbers are scaled by: statistics of the training (`batch`; the same for every tile), or of"
        " the tile at hand (`instance`).",
    )
    deep_supervision: bool = Field(
        default=False, description="Whether coarse levels are trained to tell pixels apart, too."
    )

    @model_validator(mode="after")
    def _fitting(self) -> Self:
        if len(self.strides) != len(self.widths) - 1:
            raise ValueError(f"{len(self.widths)} widths need {len(self.widths) - 1} strides, not {len(self.strides)}")
        if self.kernels and len(self.kernels) != len(self.widths):
            raise ValueError(f"{len(self.widths)} widths need as many kernels, not {len(self.kernels)}")
        if len({len(s) for s in (*self.strides, *self.kernels, *([self.stem] if self.stem else []))}) > 1:
            raise ValueError("stem, strides and kernels must all have one number per spatial axis: two or three")
        if not self.strides and self.stem is None and not self.kernels:
            raise ValueError("a network of one level needs kernels, which say how many spatial axes there are")
        if any(k % 2 == 0 for kernel in self.kernels for k in kernel):
            raise ValueError("kernels must have odd lengths")
        return self

    @property
    def dimensions(self) -> int:
        """Number of spatial axes."""
        return len((*self.strides, *self.kernels, *([self.stem] if self.stem else []))[0])

    @property
    def multiple(self) -> tuple[int, ...]:
        """What the lengths of an image must be multiples of, per axis."""
        steps: list[Sequence[int]] = [*self.strides, *([self.stem] if self.stem else [])]
        return tuple(math.prod(s[axis] for s in steps) for axis in range(self.dimensions))

    def kernel(self, level: int) -> tuple[int, ...]:
        """Return the lengths of the filters of a level."""
        return self.kernels[level] if self.kernels else (3,) * self.dimensions
