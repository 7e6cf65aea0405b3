"""The network of StarDist (Schmidt 2018, doi:10.1007/978-3-030-00934-2_30; in volumes Weigert 2020,
doi:10.1109/WACV45572.2020.9093435), said without building it.

For each pixel of a grid it tells how deep in an object it lies, how far the object's edge is along each of some rays,
and of which class the object is. Everything before the heads is a U-Net or a residual network.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from segmentry.learn.architecture import Steps

__all__ = ["COUNT", "Convolution", "StarDistNetwork", "convolutions", "expected_weights"]

#: How the name of the number of batches seen ends, which torch keeps beside each normalisation as a whole number.
COUNT = "num_batches_tracked"
#: Length of the first filters of a residual network, and of the next.
_OPENING = (7, 3)
#: Numbers per pixel within a level, and what lengths may have to be multiples of.
_WIDEST, _COARSEST = 2**14, 2**12

Activation = Literal["relu", "elu", "tanh", "sigmoid", "linear"]
Step = Literal[1, 2, 4, 8]
Kernel = Annotated[tuple[Annotated[int, Field(ge=1, le=15)], ...], Field(min_length=2, max_length=3)]


class StarDistNetwork(BaseModel):
    """What StarDist's network is made of.

    Its input is (batch, channels, *spatial), of lengths that are multiples of ``multiple``; its output (batch, outputs,
    *spatial / grid): the score of being deep in an object, the length of each ray in pixels, the scores of the classes.

    Examples
    --------
    >>> plan = StarDistNetwork(channels=1, rays=32, grid=(2, 2), kernel=(3, 3))
    >>> plan.outputs, plan.multiple, plan.widths
    (33, (16, 16), (32, 64, 128, 256))
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    kind: Literal["stardist"] = "stardist"
    channels: int = Field(ge=1, le=1000, description="Channels of the image.")
    rays: int = Field(ge=3, le=4096, description="Directions in which the distance to the object's edge is told.")
    grid: tuple[Step, ...] = Field(
        min_length=2, max_length=3, description="How many pixels along each axis have one of the output."
    )
    classes: int | None = Field(
        default=None, ge=1, le=1000, description="Classes of objects that are told apart; none: they are not."
    )
    backbone: Literal["unet", "resnet"] = Field(
        default="unet", description="What comes before the heads: a U-Net, or blocks of a residual network."
    )
    depth: int = Field(default=3, ge=1, le=10, description="Coarser levels of a U-Net, or blocks of a resnet.")
    filters: int = Field(default=32, ge=1, le=4096, description="Numbers per pixel within the finest level.")
    expansion: float = Field(
        default=2.0, gt=0, le=16, description="How many times more a coarser level of a U-Net has."
    )
    kernel: Kernel = Field(description="Length of the filters along each axis.")
    pool: Steps | None = Field(
        default=None, description="How many times coarser each level of a U-Net is than the one before; none: 2."
    )
    convolutions: int = Field(default=2, ge=1, le=8, description="Convolutions per level, or per block of a resnet.")
    features: int = Field(
        default=128, ge=0, le=4096, description="Numbers per pixel of one more convolution, before the heads; 0: none."
    )
    activation: Activation = Field(default="relu", description="What follows a convolution.")
    last_activation: Activation = Field(default="relu", description="What follows the last convolution of a U-Net.")
    batch_norm: bool = Field(default=False, description="Whether convolutions of levels and blocks are normalised.")

    @model_validator(mode="after")
    def _fitting(self) -> Self:
        if any(len(part) != self.dimensions for part in (self.kernel, self.pool or self.kernel)):
            raise ValueError("grid, kernel and pool must all have one number per spatial axis")
        if any(length % 2 == 0 for length in self.kernel):
            raise ValueError("kernel must have odd lengths")
        if self.backbone == "resnet":
            if self.pool is not None or self.dimensions != 3:
                raise ValueError("a resnet is for volumes, and it has no pool")
            if self.convolutions < 2:
                raise ValueError("a block of a resnet has 2 convolutions or more")
            if self.depth < len(self.halvings):
                raise ValueError(f"a resnet of {self.depth} blocks does not reach the grid")
        if not 1 <= min(self.widths) <= max(self.widths) <= _WIDEST or max(self.multiple) > _COARSEST:
            raise ValueError("it is too deep: its levels have too many numbers, or are too coarse")
        return self

    @property
    def dimensions(self) -> int:
        """Number of spatial axes."""
        return len(self.grid)

    @property
    def outputs(self) -> int:
        """Numbers per pixel of the grid that come out."""
        return 1 + self.rays + (0 if self.classes is None else self.classes + 1)

    @property
    def multiple(self) -> tuple[int, ...]:
        """What the lengths of an image must be multiples of, per axis."""
        if self.backbone == "resnet":
            return self.grid
        return tuple(g * p**self.depth for g, p in zip(self.grid, self.pooling, strict=True))

    @property
    def pooling(self) -> tuple[int, ...]:
        """How many times coarser each level of a U-Net is than the one before."""
        return self.pool or (2,) * self.dimensions

    @property
    def halvings(self) -> tuple[tuple[int, ...], ...]:
        """By how much an image becomes coarser on its way to the grid, step by step."""
        steps, reached = [], (1,) * self.dimensions
        while reached != self.grid:
            steps.append(tuple(2 if n < g else 1 for n, g in zip(reached, self.grid, strict=True)))
            reached = tuple(n * s for n, s in zip(reached, steps[-1], strict=True))
        return tuple(steps)

    @property
    def strides(self) -> tuple[tuple[int, ...], ...]:
        """The stride of each block of a resnet."""
        return (*self.halvings, *((1,) * self.dimensions,) * (self.depth - len(self.halvings)))

    @property
    def widths(self) -> tuple[int, ...]:
        """Numbers per pixel of each level, the finest first, or of each block of a resnet."""
        if self.backbone == "resnet":
            return tuple(self.filters * 2 ** min(i + 1, len(self.halvings)) for i in range(self.depth))
        return tuple(int(self.filters * self.expansion**i) for i in range(self.depth + 1))

    @property
    def title(self) -> str:
        """What it is, in words."""
        name = "U-Net" if self.backbone == "unet" else "ResNet"
        widths, grid = "-".join(map(str, self.widths)), "×".join(map(str, self.grid))
        return f"StarDist of {self.rays} rays on a {name} of {widths}, grid {grid}"

    def narrowed(self, level: int) -> int:
        """Return how many numbers per pixel the last convolution of a level leaves, on the way up."""
        return self.widths[max(0, level - 1)]


@dataclass(frozen=True)
class Convolution:
    """A convolution, and what is learned with it.

    Parameters
    ----------
    name
        Ours.
    theirs
        That StarDist gives it; empty where Keras numbers it by itself.
    before, after, kernel
        Numbers per pixel that go in and come out, and the lengths of the filters.
    bias, norm
        Whether it has a bias, and whether it is normalised.
    """

    name: str
    theirs: str
    before: int
    after: int
    kernel: tuple[int, ...]
    bias: bool = True
    norm: bool = False

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The shape of each array, by the name that torch has for it."""
        found = {"convolution.weight": (self.after, self.before, *self.kernel)}
        if self.bias:
            found["convolution.bias"] = (self.after,)
        if self.norm:
            kept = ("weight", "bias", "running_mean", "running_var")
            found |= {f"norm.{part}": (self.after,) for part in kept} | {f"norm.{COUNT}": ()}
        return found


def convolutions(plan: StarDistNetwork) -> Iterator[Convolution]:
    """Yield all convolutions of a network, in the order in which StarDist makes them."""
    yield from _resnet(plan) if plan.backbone == "resnet" else _unet(plan)
    before = plan.widths[-1] if plan.backbone == "resnet" else plan.narrowed(0)
    after, one = plan.features or before, (1,) * plan.dimensions
    if plan.features:
        yield Convolution("features", "features", before, after, plan.kernel)
    yield Convolution("score", "prob", after, 1, one)
    yield Convolution("distances", "dist", after, plan.rays, one)
    if plan.classes is not None:
        if plan.features:
            yield Convolution("class_features", "features_class", before, after, plan.kernel)
        yield Convolution("class_scores", "prob_class", after, plan.classes + 1, one)


def expected_weights(plan: StarDistNetwork) -> dict[str, tuple[int, ...]]:
    """Return the shape of each array of a network; all are float32, but for counts, which are int64 without axes.

    Examples
    --------
    >>> plan = StarDistNetwork(channels=1, rays=8, grid=(1, 1), kernel=(3, 3), depth=1, filters=4)
    >>> expected_weights(plan)["distances.convolution.weight"]
    (8, 128, 1, 1)
    """
    return {f"{one.name}.{part}": shape for one in convolutions(plan) for part, shape in one.shapes.items()}


def _unet(plan: StarDistNetwork) -> Iterator[Convolution]:
    before, count = plan.channels, plan.convolutions
    for i in range(len(plan.halvings)):
        yield from _row(plan, f"coarser.{i}", [""] * count, [before, *[plan.filters] * count], norm=False)
        before = plan.filters
    for i in range(plan.depth):
        names = [f"down_level_{i}_no_{j}" for j in range(count)]
        yield from _row(plan, f"down.{i}", names, [before, *[plan.widths[i]] * count])
        before = plan.widths[i]
    names = [f"middle_{j}" for j in (*range(count - 1), count)]
    yield from _row(plan, "middle", names, [before, *[plan.widths[-1]] * (count - 1), plan.narrowed(plan.depth)])
    before = plan.narrowed(plan.depth)
    for at, i in enumerate(reversed(range(plan.depth))):
        names = [f"up_level_{i}_no_{j}" for j in (*range(count - 1), count)]
        widths = [before + plan.widths[i], *[plan.widths[i]] * (count - 1), plan.narrowed(i)]
        yield from _row(plan, f"up.{at}", names, widths)
        before = plan.narrowed(i)


def _row(
    plan: StarDistNetwork, name: str, theirs: Sequence[str], widths: Sequence[int], norm: bool = True
) -> Iterator[Convolution]:
    """Yield the convolutions of a level."""
    for j, other in enumerate(theirs):
        normed = norm and plan.batch_norm
        yield Convolution(f"{name}.{j}", other, widths[j], widths[j + 1], plan.kernel, norm=normed)


def _resnet(plan: StarDistNetwork) -> Iterator[Convolution]:
    before = plan.channels
    for i, length in enumerate(_OPENING):
        yield Convolution(f"opening.{i}", "", before, plan.filters, (length,) * plan.dimensions)
        before = plan.filters
    for i, (width, stride) in enumerate(zip(plan.widths, plan.strides, strict=True)):
        norm, name = plan.batch_norm, f"blocks.{i}"
        for j in range(plan.convolutions):
            first = before if j == 0 else width
            yield Convolution(f"{name}.layers.{j}", "", first, width, plan.kernel, not norm, norm)
        if math.prod(stride) > 1 or before != width:
            yield Convolution(f"{name}.way", "", before, width, (1,) * plan.dimensions, not norm)
        before = width
