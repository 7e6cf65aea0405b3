"""The network of Cellpose (Stringer 2021, doi:10.1038/s41592-020-01018-x), by the names that its files have."""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn

from segmentry.learn.cellpose_network import CellposeNetwork

__all__ = ["Cellpose"]

#: Length of the filters.
_LENGTH = 3


class Cellpose(nn.Module):
    """Planes (N, channels, Y, X) in, of lengths that ``architecture.multiple`` divides; (N, 3, Y, X) scores out.

    The scores are five times the flow along Y, five times that along X, and the logit of the probability of an object.
    The style is that of the plane given, so that what a pixel gets depends on all of it.
    """

    def __init__(self, architecture: CellposeNetwork) -> None:
        super().__init__()
        self.architecture = plan = architecture
        downward = pairwise((plan.channels, *plan.widths))
        upward = pairwise((*plan.widths, plan.widths[-1]))
        style = plan.widths[-1]
        self.downsample = _within("down", {f"res_down_{i}": _Down(*pair) for i, pair in enumerate(downward)})
        self.upsample = _within("up", {f"res_up_{i}": _Up(b, a, style) for i, (a, b) in enumerate(upward)})
        self.output = _layer(plan.widths[0], plan.outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        levels: list[Tensor] = []
        for down in self.downsample["down"].children():
            levels.append(down(nn.functional.max_pool2d(levels[-1], 2) if levels else x))
        x, style = levels[-1], _style(levels[-1])
        for up in reversed(list(self.upsample["up"].children())):
            skip = levels.pop()
            if x.shape[-1] != skip.shape[-1] or x is not skip:
                x = nn.functional.interpolate(x, scale_factor=(2.0, 2.0), mode="nearest")
            x = up(x, skip, style)
        found: Tensor = self.output(x)
        return found


class _Down(nn.Module):
    """A level on the way down: two blocks of two convolutions, each added to what came in."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.proj = _layer(before, after, 1, active=False)
        widths = (before, after, after, after)
        self.conv = nn.Sequential()
        for i, width in enumerate(widths):
            self.conv.add_module(f"conv_{i}", _layer(width, after, _LENGTH))

    def forward(self, x: Tensor) -> Tensor:
        x = self.proj(x) + self.conv[:2](x)
        found: Tensor = x + self.conv[2:](x)
        return found


class _Up(nn.Module):
    """A level on the way up: as on the way down, with the level of the way down and the style added within."""

    def __init__(self, before: int, after: int, style: int) -> None:
        super().__init__()
        self.proj = _layer(before, after, 1, active=False)
        self.conv = nn.ModuleDict({"conv_0": _layer(before, after, _LENGTH)})
        for i in range(1, 4):
            self.conv[f"conv_{i}"] = _Styled(after, style)

    def forward(self, x: Tensor, skip: Tensor, style: Tensor) -> Tensor:
        first, *others = self.conv.values()
        x = self.proj(x) + others[0](first(x) + skip, style)
        found: Tensor = x + others[2](others[1](x, style), style)
        return found


class _Styled(nn.Module):
    """A layer that sees the style with every pixel."""

    def __init__(self, width: int, style: int) -> None:
        super().__init__()
        self.conv = _layer(width, width, _LENGTH)
        self.full = nn.Linear(style, width)

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        found: Tensor = self.conv(x + self.full(style)[:, :, None, None])
        return found


def _style(x: Tensor) -> Tensor:
    """Return the mean over the plane, as a vector of length 1."""
    mean = x.mean((2, 3))
    length = mean.square().sum(1, keepdim=True).sqrt()
    return mean / length.clamp_min(1e-30)


def _layer(before: int, after: int, length: int, active: bool = True) -> nn.Sequential:
    """Return a normalisation, nothing below zero (if `active`), and a convolution."""
    convolution = nn.Conv2d(before, after, length, padding=length // 2)
    return nn.Sequential(
        nn.BatchNorm2d(before, momentum=0.05), *([nn.ReLU(inplace=True)] if active else []), convolution
    )


def _within(name: str, parts: dict[str, nn.Module]) -> nn.ModuleDict:
    return nn.ModuleDict({name: nn.ModuleDict(parts)})
