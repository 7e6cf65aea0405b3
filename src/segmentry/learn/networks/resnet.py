"""Residual networks as encoders (He 2016, doi:10.1109/CVPR.2016.90), for two or three axes.

Where a bottleneck has a stride, its middle convolution takes it, as has become usual.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from segmentry.learn.architecture import NARROWING, Architecture
from segmentry.learn.networks.layers import Block, Layer, shortcut

__all__ = ["resnet"]

_LARGEST = {2: nn.MaxPool2d, 3: nn.MaxPool3d}


def resnet(plan: Architecture) -> list[nn.Module]:
    """Return the levels of a residual network: a convolution, then some blocks each."""
    one = (1,) * plan.dimensions
    opening = Layer(plan.channels, plan.widths[0], plan.opening, plan.stem or one, plan.normalisation)
    return [opening, *(_Stage(plan, number) for number in range(1, len(plan.widths)))]


class _Stage(nn.Module):
    """The blocks of a level. The first level with blocks is made coarser by the largest of neighbours."""

    def __init__(self, plan: Architecture, number: int) -> None:
        super().__init__()
        one = (1,) * plan.dimensions
        stride, after = plan.strides[number - 1], plan.widths[number]
        self.pool: nn.Module = nn.Identity()
        if number == 1 and max(stride) > 1:
            around = tuple(s // 2 for s in stride)
            self.pool = _LARGEST[plan.dimensions](tuple(2 * n + 1 for n in around), stride, around)
            stride = one
        make = _bottleneck if plan.has_bottlenecks else _basic
        self.blocks = nn.Sequential(
            *(
                make(plan, number, after if i else plan.widths[number - 1], after, one if i else stride)
                for i in range(plan.block_counts[number - 1])
            )
        )

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.blocks(self.pool(x))
        return found


def _basic(plan: Architecture, number: int, before: int, after: int, stride: Sequence[int]) -> Block:
    kernel, norm, dilation = plan.kernel(number), plan.normalisation, plan.dilation(number)
    layers = [
        Layer(before, after, kernel, stride, norm, dilation=dilation),
        Layer(after, after, kernel, (1,) * len(kernel), norm, False, dilation),
    ]
    return Block(layers, shortcut(before, after, stride, norm))


def _bottleneck(plan: Architecture, number: int, before: int, after: int, stride: Sequence[int]) -> Block:
    kernel, norm, dilation = plan.kernel(number), plan.normalisation, plan.dilation(number)
    one, within = (1,) * len(kernel), after // NARROWING
    layers = [
        Layer(before, within, one, one, norm),
        Layer(within, within, kernel, stride, norm, dilation=dilation),
        Layer(within, after, one, one, norm, False),
    ]
    return Block(layers, shortcut(before, after, stride, norm))
