"""The U-Net (Ronneberger 2015, doi:10.1007/978-3-319-24574-4_28; in volumes Çiçek 2016), for two or three axes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from segmentry.learn.architecture import Architecture

__all__ = ["UNet", "build"]

_CONVOLUTION: dict[int, Any] = {2: nn.Conv2d, 3: nn.Conv3d}
_NORMALISATION: dict[tuple[str, int], Any] = {
    ("batch", 2): nn.BatchNorm2d,
    ("batch", 3): nn.BatchNorm3d,
    ("instance", 2): nn.InstanceNorm2d,
    ("instance", 3): nn.InstanceNorm3d,
}
_LINEAR = {2: "bilinear", 3: "trilinear"}


def build(architecture: Architecture, seed: int = 0) -> UNet:
    """Return a network with weights drawn at random, without touching the state of torch's own generator."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return UNet(architecture)


class _Layer(nn.Sequential):
    """A convolution, its normalisation, and nothing below zero."""

    def __init__(
        self, before: int, after: int, kernel: Sequence[int], stride: Sequence[int], norm: str, active: bool = True
    ) -> None:
        dimensions = len(kernel)
        convolution = _CONVOLUTION[dimensions](
            before, after, tuple(kernel), tuple(stride), tuple(k // 2 for k in kernel), bias=False
        )
        nn.init.kaiming_normal_(convolution.weight, nonlinearity="relu")
        normalise = _NORMALISATION[norm, dimensions](after, affine=True)
        super().__init__(convolution, normalise, *([nn.ReLU(inplace=True)] if active else []))


class _Level(nn.Module):
    """The convolutions of a level; with `residual`, what came in is added before the last numbers are cut at zero."""

    def __init__(self, before: int, after: int, plan: Architecture, level: int, stride: Sequence[int]) -> None:
        super().__init__()
        kernel, n, norm = plan.kernel(level), plan.convolutions, plan.normalisation
        one = (1,) * plan.dimensions
        self.layers = nn.Sequential(
            *(
                _Layer(
                    before if i == 0 else after,
                    after,
                    kernel,
                    stride if i == 0 else one,
                    norm,
                    not (plan.residual and i == n - 1),
                )
                for i in range(n)
            )
        )
        self.way: nn.Module | None = None
        if plan.residual:
            changes = before != after or tuple(stride) != one
            self.way = _Layer(before, after, one, stride, norm, False) if changes else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.layers(x)
        return found if self.way is None else torch.relu(found + self.way(x))


class UNet(nn.Module):
    """Images in, scores of the same size out, as an :class:`Architecture` says.

    The input is (batch, channels, *spatial), of lengths that are multiples of ``architecture.multiple``; the output is
    (batch, outputs, *spatial). Deep supervision gives, in training, a list: the output, then those of coarser levels.
    """

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        self.architecture = plan = architecture
        one = (1,) * plan.dimensions
        convolution = _CONVOLUTION[plan.dimensions]
        first = plan.channels
        self.stem: nn.Module = nn.Identity()
        if plan.stem:
            first = plan.widths[0]
            self.stem = _stem(plan)
        strides = [one, *plan.strides]
        befores = [first, *plan.widths[:-1]]
        self.down = nn.ModuleList(
            _Level(b, a, plan, i, s) for i, (b, a, s) in enumerate(zip(befores, plan.widths, strides, strict=True))
        )
        levels = list(range(len(plan.widths) - 2, -1, -1))
        self.narrow = nn.ModuleList(convolution(plan.widths[i + 1], plan.widths[i], 1, bias=False) for i in levels)
        self.up = nn.ModuleList(_Level(2 * plan.widths[i], plan.widths[i], plan, i, one) for i in levels)
        self.heads = nn.ModuleList([convolution(plan.widths[0], plan.outputs, 1)])
        if plan.deep_supervision:
            self.heads.extend(convolution(plan.widths[i], plan.outputs, 1) for i in levels[-2:0:-1])

    def forward(self, x: Tensor) -> Tensor | list[Tensor]:
        plan = self.architecture
        x = self.stem(x)
        skips = []
        for level in self.down:
            x = level(x)
            skips.append(x)
        coarse = [x]
        scales = [tuple(float(s) for s in stride) for stride in reversed(plan.strides)]
        for narrow, up, skip, scale in zip(self.narrow, self.up, reversed(skips[:-1]), scales, strict=True):
            x = nn.functional.interpolate(narrow(x), scale_factor=scale, mode="nearest")
            x = up(torch.cat((skip, x), dim=1))
            coarse.append(x)
        found: Tensor = self.heads[0](x)
        if plan.stem:
            scale = tuple(float(s) for s in plan.stem)
            found = nn.functional.interpolate(found, scale_factor=scale, mode=_LINEAR[plan.dimensions])
        if self.training and len(self.heads) > 1:
            return [found, *(head(c) for head, c in zip(self.heads[1:], coarse[-2::-1], strict=False))]
        return found


def _stem(plan: Architecture) -> nn.Module:
    assert plan.stem is not None
    convolution = _CONVOLUTION[plan.dimensions](plan.channels, plan.widths[0], plan.stem, plan.stem, bias=False)
    nn.init.kaiming_normal_(convolution.weight, nonlinearity="relu")
    normalise = _NORMALISATION[plan.normalisation, plan.dimensions](plan.widths[0], affine=True)
    return nn.Sequential(convolution, normalise, nn.ReLU(inplace=True))
