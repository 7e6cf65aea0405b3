"""The U-Net (Ronneberger 2015, doi:10.1007/978-3-319-24574-4_28; in volumes Çiçek 2016), for two or three axes."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from segmentry.learn.architecture import Architecture
from segmentry.learn.networks.layers import CONVOLUTION, TRANSPOSED, level
from segmentry.learn.networks.pixel_network import PixelNetwork

__all__ = ["UNet"]


class UNet(PixelNetwork):
    """Each level is brought to the size of the next finer one and seen together with it, up to the finest.

    Pixels that a stem makes one of are told apart again at the end, each by weights of its own.
    """

    def __init__(self, architecture: Architecture) -> None:
        super().__init__(architecture)
        plan = architecture
        one = (1,) * plan.dimensions
        convolution = CONVOLUTION[plan.dimensions]
        levels = list(range(len(plan.widths) - 2, -1, -1))
        self.narrow = nn.ModuleList(convolution(plan.widths[i + 1], plan.widths[i], 1, bias=False) for i in levels)
        self.up = nn.ModuleList(level(2 * plan.widths[i], plan.widths[i], plan, i, one) for i in levels)
        self.heads = nn.ModuleList(
            [
                TRANSPOSED[plan.dimensions](plan.widths[0], plan.outputs, plan.stem, plan.stem)
                if plan.stem
                else convolution(plan.widths[0], plan.outputs, 1)
            ]
        )
        if plan.deep_supervision:
            self.heads.extend(convolution(plan.widths[i], plan.outputs, 1) for i in levels[-2:0:-1])

    def decoded(self, levels: list[Tensor]) -> list[Tensor]:
        x = levels[-1]
        coarse = [x]
        scales = [tuple(float(s) for s in stride) for stride in reversed(self.architecture.strides)]
        for narrow, up, skip, scale in zip(self.narrow, self.up, reversed(levels[:-1]), scales, strict=True):
            x = nn.functional.interpolate(narrow(x), scale_factor=scale, mode="nearest")
            x = up(torch.cat((skip, x), dim=1))
            coarse.append(x)
        found = [self.heads[0](x)]
        if self.training:
            found += [head(c) for head, c in zip(self.heads[1:], coarse[-2::-1], strict=False)]
        return found
