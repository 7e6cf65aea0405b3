"""What all networks have in common: images in, scores of the same size out."""

from __future__ import annotations

from torch import Tensor, nn

from segmentry.learn.architecture import Architecture
from segmentry.learn.networks.layers import Layer, level
from segmentry.learn.networks.resnet import resnet

__all__ = ["PixelNetwork"]


class PixelNetwork(nn.Module):
    """Images in, scores of the same size out, as an :class:`Architecture` says.

    The input is (batch, channels, *spatial), of lengths that are multiples of ``architecture.multiple``; the output is
    (batch, outputs, *spatial). Deep supervision gives, in training, a list: the output, then those of coarser levels.
    """

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        self.architecture = plan = architecture
        self.stem: nn.Module = nn.Identity()
        if plan.encoder != "plain":
            self.down = nn.ModuleList(resnet(plan))
            return
        first = plan.channels
        if plan.stem:
            first, none = plan.widths[0], (0,) * plan.dimensions
            self.stem = Layer(plan.channels, first, plan.stem, plan.stem, plan.normalisation, padding=none)
        strides = [(1,) * plan.dimensions, *plan.strides]
        befores = [first, *plan.widths[:-1]]
        self.down = nn.ModuleList(
            level(b, a, plan, i, s) for i, (b, a, s) in enumerate(zip(befores, plan.widths, strides, strict=True))
        )

    def decoded(self, levels: list[Tensor]) -> list[Tensor]:
        """Return the scores of every pixel, and, in training with deep supervision, of coarser ones."""
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor | list[Tensor]:
        x = self.stem(x)
        levels = []
        for one in self.down:
            x = one(x)
            levels.append(x)
        found = self.decoded(levels)
        return found if len(found) > 1 else found[0]
