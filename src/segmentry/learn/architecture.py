"""What a network is made of, said without building it: enough to know its memory, its tiles and its file."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

__all__ = ["NARROWING", "Architecture", "Steps"]

#: Blocks of each level after the first, by the encoder that has them.
BLOCKS = {"resnet18": (2, 2, 2, 2), "resnet34": (3, 4, 6, 3), "resnet50": (3, 4, 6, 3)}
#: How many times fewer numbers a bottleneck has than what comes out of its block.
NARROWING = 4
#: Length of the filters that those encoders begin with.
_OPENING = 7
#: Coarsest levels that tell pixels apart in an FCN.
_SCORED = 3
_NAMES = {"resnet18": "ResNet-18", "resnet34": "ResNet-34", "resnet50": "ResNet-50"}
_TITLES = {"unet": "U-Net", "fcn": "FCN", "deeplab": "DeepLabv3+"}

#: A whole number for each spatial axis.
Steps = Annotated[tuple[Annotated[int, Field(ge=1, le=8)], ...], Field(min_length=2, max_length=3)]
Width = Annotated[int, Field(ge=1, le=4096)]
Blocks = Annotated[int, Field(ge=1, le=64)]
Rate = Annotated[int, Field(ge=1, le=64)]


class Architecture(BaseModel):
    """A network: an encoder whose levels see further and coarser, and a decoder that leads back to every pixel.

    The encoder is ``plain``, a few convolutions per level, or a residual network (He 2016,
    doi:10.1109/CVPR.2016.90): its first level is one convolution, 7 long where ``kernels`` say nothing else; each other
    level is some blocks, of two convolutions or (``resnet50``) of one between two that narrow and widen. The first
    stride takes the largest of neighbours, the others are those of convolutions. Widths of 64, 64, 128, 256 and 512,
    strides of 2 and a stem of 2 give the paper's ResNet-18; without the stem, the first level keeps every pixel.

    The decoder is that of the U-Net (Ronneberger 2015, doi:10.1007/978-3-319-24574-4_28), of the fully convolutional
    network (``fcn``) or of DeepLabv3+ (``deeplab``); :mod:`segmentry.learn.networks.heads` says what these do.

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
        description="How many times coarser each level is than the one before, per spatial axis. In a `deeplab`, last"
        " levels that are no coarser along any axis look further apart instead."
    )
    stem: Steps | None = Field(
        default=None,
        description="How many pixels along each axis become one before anything else; none: every pixel counts.",
    )
    kernels: tuple[Steps, ...] = Field(
        default=(),
        description="Length of the filters of each level per axis; none: 3 along all, and 7 in the first"
        " convolution of a resnet.",
    )
    encoder: Literal["plain", "resnet18", "resnet34", "resnet50"] = Field(
        default="plain",
        description="What the levels on the way down are: convolutions (`plain`), or the blocks of a residual network.",
    )
    blocks: tuple[Blocks, ...] = Field(
        default=(),
        max_length=9,
        description="Blocks of a resnet in each level after the first; none: as its name says, 2, 2, 2 and 2 (resnet18)"
        " or 3, 4, 6 and 3.",
    )
    decoder: Literal["unet", "fcn", "deeplab"] = Field(
        default="unet",
        description="How levels become pixels again: each joins the next finer one (`unet`), the scores of the three"
        " coarsest are summed (`fcn`), or the coarsest looks at several distances and joins the second (`deeplab`).",
    )
    rates: tuple[Rate, ...] = Field(
        default=(2, 4, 6),
        min_length=1,
        max_length=8,
        description="How far apart a `deeplab` looks in its coarsest level, in pixels of that level; 6, 12 and 18 are"
        " usual where a crop has 30 of them along an axis.",
    )
    convolutions: int = Field(
        default=2, ge=1, le=8, description="Convolutions per level, on the way down (if `plain`) and on the way up."
    )
    residual: bool = Field(
        default=False, description="Whether what comes into a level of convolutions is added to what goes out."
    )
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

    @model_validator(mode="after")
    def _possible(self) -> Self:
        levels = len(self.widths)
        if self.decoder == "deeplab" and levels < 3:
            raise ValueError(
                f"a deeplab needs three levels or more, and there are {levels}: take the decoder unet or fcn"
            )
        if self.encoder == "plain":
            if self.blocks:
                raise ValueError("a plain encoder has no blocks: leave them out, or take the encoder resnet18")
            return self
        if levels < 2:
            raise ValueError(f"a {self.encoder} needs two levels or more: its first is one convolution")
        if self.blocks and len(self.blocks) != levels - 1:
            raise ValueError(f"{levels} levels need blocks for {levels - 1}, all but the first, not {len(self.blocks)}")
        if len(self.block_counts) != levels - 1:
            raise ValueError(
                f"a {self.encoder} has {len(self.block_counts) + 1} levels, and there are {levels}: say the number of"
                f" blocks of each but the first (blocks), or leave out levels"
            )
        if self.has_bottlenecks and any(width % NARROWING for width in self.widths[1:]):
            raise ValueError(f"widths of a {self.encoder} must be multiples of {NARROWING}, but for the first")
        return self

    @property
    def dimensions(self) -> int:
        """Number of spatial axes."""
        return len((*self.strides, *self.kernels, *([self.stem] if self.stem else []))[0])

    @property
    def multiple(self) -> tuple[int, ...]:
        """What the lengths of an image must be multiples of, per axis."""
        return self.coarseness(len(self.strides))

    @property
    def block_counts(self) -> tuple[int, ...]:
        """Blocks of each level after the first; none where the encoder is plain."""
        return self.blocks or BLOCKS.get(self.encoder, ())[: len(self.strides)]

    @property
    def has_bottlenecks(self) -> bool:
        """Whether a block is one convolution between two that narrow and widen."""
        return self.encoder == "resnet50"

    @property
    def opening(self) -> tuple[int, ...]:
        """Lengths of the filters that a residual encoder begins with."""
        return self.kernels[0] if self.kernels else (_OPENING,) * self.dimensions

    @property
    def scored(self) -> range:
        """The levels whose scores an FCN sums."""
        return range(max(0, len(self.widths) - _SCORED), len(self.widths))

    @property
    def low_width(self) -> int:
        """Numbers per pixel that a DeepLab keeps of the second level: 48 of 256, as in the paper."""
        return max(1, 3 * self.widths[1] // 16)

    @property
    def title(self) -> str:
        """What it is, in words."""
        widths = "-".join(map(str, self.widths))
        if self.encoder == "plain":
            return f"{_TITLES[self.decoder]} of {widths}"
        blocks = "-".join(map(str, self.block_counts))
        return f"{_TITLES[self.decoder]} on a {_NAMES[self.encoder]} of {widths} ({blocks} blocks)"

    def coarseness(self, level: int) -> tuple[int, ...]:
        """Return how many pixels of the image make one of a level, per axis."""
        steps: list[Sequence[int]] = [*self.strides[:level], *([self.stem] if self.stem else [])]
        return tuple(math.prod(s[axis] for s in steps) for axis in range(self.dimensions))

    def dilation(self, level: int) -> int:
        """Return how far apart filters of a level look: 1, but in last levels of a DeepLab that are no coarser."""
        if self.decoder != "deeplab":
            return 1
        strided = max((i for i, stride in enumerate(self.strides, 1) if max(stride) > 1), default=0)
        return int(2 ** max(0, level - strided))

    def kernel(self, level: int) -> tuple[int, ...]:
        """Return the lengths of the filters of a level."""
        return self.kernels[level] if self.kernels else (3,) * self.dimensions
