"""Decoders that are lighter than the U-Net's: the finest levels are not seen again.

What they give has the size of a coarser level, and is linear between its pixels: outlines are smoother than those of a
U-Net, and what is a few pixels wide is lost the sooner.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from segmentry.learn.architecture import Architecture
from segmentry.learn.networks.layers import CONVOLUTION, Layer, finer, level
from segmentry.learn.networks.pixel_network import PixelNetwork

__all__ = ["FCN", "DeepLab"]


class FCN(PixelNetwork):
    """A fully convolutional network (Long 2015, doi:10.1109/CVPR.2015.7298965).

    The three coarsest levels each tell pixels apart; from the coarsest on, their scores are brought to the size of the
    next finer level and summed. With a ResNet's strides this is FCN-8s. What is brought to another size is always
    linear, not learned. Deep supervision trains the sums on the way, too, and takes no weights of its own.
    """

    def __init__(self, architecture: Architecture) -> None:
        super().__init__(architecture)
        plan = architecture
        self.finest = plan.scored[0]
        self.heads = nn.ModuleList(CONVOLUTION[plan.dimensions](plan.widths[i], plan.outputs, 1) for i in plan.scored)

    def decoded(self, levels: list[Tensor]) -> list[Tensor]:
        plan = self.architecture
        found: list[Tensor] = [self.heads[-1](levels[-1])]
        for i, head in zip(plan.scored[-2::-1], reversed(self.heads[:-1]), strict=True):
            found.insert(0, head(levels[i]) + finer(found[0], plan.strides[i]))
        found[0] = finer(found[0], plan.coarseness(self.finest))
        return found if self.training and plan.deep_supervision else found[:1]


class DeepLab(PixelNetwork):
    """DeepLabv3+ (Chen 2018, doi:10.1007/978-3-030-01234-2_49).

    The coarsest level is looked at by filters whose places lie several distances apart (``rates``), side by side; what
    they find is brought to the size of the second level and seen together with a little of what is there. All this has
    as many numbers per pixel as the second level, 256 of a ResNet-50. Deep supervision trains the coarsest level, too.

    The paper's mean over the whole image is left out: it would make the result depend on where tiles lie.

    The filters begin with their middle place alone, the others being 0. Those that lie outside of every crop in
    training are never changed, and must not speak up in tiles that are larger than crops.
    """

    #: The level that scores are told of.
    finest = 1

    def __init__(self, architecture: Architecture) -> None:
        super().__init__(architecture)
        plan = architecture
        one, norm = (1,) * plan.dimensions, plan.normalisation
        width, kernel = plan.widths[self.finest], plan.kernel(len(plan.widths) - 1)
        far = [Layer(plan.widths[-1], width, kernel, one, norm, dilation=rate) for rate in plan.rates]
        for layer in far:
            _keep_middle(layer)
        self.pyramid = nn.ModuleList([Layer(plan.widths[-1], width, one, one, norm), *far])
        self.join = Layer(width * len(self.pyramid), width, one, one, norm)
        self.low = Layer(width, plan.low_width, one, one, norm)
        self.up = level(width + plan.low_width, width, plan, self.finest, one)
        heads = 2 if plan.deep_supervision else 1
        self.heads: nn.ModuleList = nn.ModuleList(
            CONVOLUTION[plan.dimensions](width, plan.outputs, 1) for _ in range(heads)
        )

    def decoded(self, levels: list[Tensor]) -> list[Tensor]:
        strides = self.architecture.strides[self.finest :]
        coarse = self.join(torch.cat([look(levels[-1]) for look in self.pyramid], dim=1))
        fine = finer(coarse, [math.prod(along) for along in zip(*strides, strict=True)])
        x = self.up(torch.cat((self.low(levels[self.finest]), fine), dim=1))
        found = finer(self.heads[0](x), self.architecture.coarseness(self.finest))
        return [found, *(head(coarse) for head in self.heads[1:] if self.training)]


def _keep_middle(layer: Layer) -> None:
    """Set the weights of a convolution to 0 but for those of its middle, which become as large as they are alone."""
    (weight, *_) = layer.parameters()
    lengths = weight.shape[2:]
    kept = torch.zeros_like(weight)
    middle: Any = (..., *(n // 2 for n in lengths))
    kept[middle] = weight.detach()[middle] * math.sqrt(math.prod(lengths))
    with torch.no_grad():
        weight.copy_(kept)
