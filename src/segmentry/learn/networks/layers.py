"""What all networks are put together from, in two or three axes alike."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from segmentry.learn.architecture import Architecture

__all__ = ["CONVOLUTION", "TRANSPOSED", "Block", "Layer", "finer", "level", "shortcut"]

CONVOLUTION: dict[int, Any] = {2: nn.Conv2d, 3: nn.Conv3d}
TRANSPOSED: dict[int, Any] = {2: nn.ConvTranspose2d, 3: nn.ConvTranspose3d}
_NORMALISATION: dict[tuple[str, int], Any] = {
    ("batch", 2): nn.BatchNorm2d,
    ("batch", 3): nn.BatchNorm3d,
    ("instance", 2): nn.InstanceNorm2d,
    ("instance", 3): nn.InstanceNorm3d,
}
_LINEAR = {2: "bilinear", 3: "trilinear"}


class Layer(nn.Sequential):
    """A convolution, its normalisation, and nothing below zero."""

    def __init__(
        self,
        before: int,
        after: int,
        kernel: Sequence[int],
        stride: Sequence[int],
        norm: str,
        active: bool = True,
        dilation: int = 1,
        padding: Sequence[int] | None = None,
    ) -> None:
        dimensions = len(kernel)
        around = tuple(dilation * (k // 2) for k in kernel) if padding is None else tuple(padding)
        convolution = CONVOLUTION[dimensions](
            before, after, tuple(kernel), tuple(stride), around, dilation=dilation, bias=False
        )
        nn.init.kaiming_normal_(convolution.weight, nonlinearity="relu")
        normalise = _NORMALISATION[norm, dimensions](after, affine=True)
        super().__init__(convolution, normalise, *([nn.ReLU(inplace=True)] if active else []))


class Block(nn.Module):
    """Layers; with another way around them, both are added before numbers are cut at zero."""

    def __init__(self, layers: Sequence[nn.Module], way: nn.Module | None = None) -> None:
        super().__init__()
        self.layers = nn.Sequential(*layers)
        self.way = way

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.layers(x)
        return found if self.way is None else torch.relu(found + self.way(x))


def level(before: int, after: int, plan: Architecture, number: int, stride: Sequence[int]) -> Block:
    """Return the convolutions of a level; with `residual`, what came in is added to what they give."""
    kernel, n, norm = plan.kernel(number), plan.convolutions, plan.normalisation
    one = (1,) * plan.dimensions
    layers = [
        Layer(
            before if i == 0 else after,
            after,
            kernel,
            stride if i == 0 else one,
            norm,
            not (plan.residual and i == n - 1),
            plan.dilation(number),
        )
        for i in range(n)
    ]
    return Block(layers, shortcut(before, after, stride, norm) if plan.residual else None)


def shortcut(before: int, after: int, stride: Sequence[int], norm: str) -> nn.Module:
    """Return the way around some layers: nothing is done where nothing changes."""
    changes = before != after or max(stride) > 1
    return Layer(before, after, (1,) * len(stride), stride, norm, False) if changes else nn.Identity()


def finer(x: Tensor, scale: Sequence[int]) -> Tensor:
    """Return numbers with so many times more pixels along each axis, linear between those that were there."""
    if max(scale) == 1:
        return x
    return nn.functional.interpolate(x, scale_factor=tuple(float(s) for s in scale), mode=_LINEAR[len(scale)])
