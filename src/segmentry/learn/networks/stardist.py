"""StarDist's network in torch, as Keras computes it (Schmidt 2018, doi:10.1007/978-3-030-00934-2_30)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from segmentry.learn.networks.layers import CONVOLUTION
from segmentry.learn.stardist_network import Convolution, StarDistNetwork, convolutions

__all__ = ["StarDist"]

_ACTIVATIONS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "elu": nn.ELU,
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
    "linear": nn.Identity,
}
_NORMALISATION: dict[int, type[nn.BatchNorm2d] | type[nn.BatchNorm3d]] = {2: nn.BatchNorm2d, 3: nn.BatchNorm3d}
_LARGEST: dict[int, type[nn.MaxPool2d] | type[nn.MaxPool3d]] = {2: nn.MaxPool2d, 3: nn.MaxPool3d}
#: What Keras adds to a variance, and how much of its statistics it keeps at each step.
_EPSILON, _MOMENTUM = 1e-3, 0.01


class StarDist(nn.Module):
    """Images in; for each pixel of the grid the score of being deep in an object, lengths of rays, scores of classes.

    The input is (batch, channels, *spatial), of lengths that are multiples of ``plan.multiple``; the output is (batch,
    outputs, *spatial / grid). The first output and the classes are scores: their sigmoid and softmax are probabilities.
    """

    def __init__(self, plan: StarDistNetwork) -> None:
        super().__init__()
        self.plan = plan
        known = {one.name: one for one in convolutions(plan)}
        if plan.backbone == "resnet":
            self.opening = nn.Sequential(*(_Layer(one, "linear") for one in _under(known, "opening.")))
            self.blocks = nn.Sequential(
                *(_Block(plan, _under(known, f"blocks.{i}."), stride) for i, stride in enumerate(plan.strides))
            )
        else:
            self._make_unet(known)
        self.features = self._one(known.get("features"), plan.activation)
        self.score = _Layer(known["score"], "linear")
        self.distances = _Layer(known["distances"], "linear")
        if plan.classes is not None:
            self.class_features = self._one(known.get("class_features"), plan.activation)
            self.class_scores = _Layer(known["class_scores"], "linear")

    def _make_unet(self, known: dict[str, Convolution]) -> None:
        plan = self.plan
        steps = len(plan.halvings)
        self.coarser = nn.ModuleList(_level(_under(known, f"coarser.{i}."), plan.activation) for i in range(steps))
        self.down = nn.ModuleList(_level(_under(known, f"down.{i}."), plan.activation) for i in range(plan.depth))
        self.middle = _level(_under(known, "middle."), plan.activation)
        self.up = nn.ModuleList(
            _level(_under(known, f"up.{i}."), plan.activation, plan.last_activation if i == plan.depth - 1 else None)
            for i in range(plan.depth)
        )
        pool = _LARGEST[plan.dimensions]
        self.to_grid = nn.ModuleList(pool(step) for step in plan.halvings)
        self.pool = pool(plan.pooling)
        self.finer = nn.Upsample(scale_factor=tuple(float(n) for n in plan.pooling), mode="nearest")

    @staticmethod
    def _one(convolution: Convolution | None, activation: str) -> nn.Module:
        return nn.Identity() if convolution is None else _Layer(convolution, activation)

    def forward(self, image: Tensor) -> Tensor:
        base = self.blocks(self.opening(image)) if self.plan.backbone == "resnet" else self._unet(image)
        features = self.features(base)
        found = [self.score(features), self.distances(features)]
        if self.plan.classes is not None:
            found.append(self.class_scores(self.class_features(base)))
        return torch.cat(found, dim=1)

    def _unet(self, x: Tensor) -> Tensor:
        for level, pool in zip(self.coarser, self.to_grid, strict=True):
            x = pool(level(x))
        skipped = []
        for level in self.down:
            x = level(x)
            skipped.append(x)
            x = self.pool(x)
        x = self.middle(x)
        for level, skip in zip(self.up, reversed(skipped), strict=True):
            x = level(torch.cat((self.finer(x), skip), dim=1))
        return x


class _Layer(nn.Module):
    """A convolution that keeps the size, or divides it by a stride, then normalisation and activation.

    As many zeros go around as Keras adds for lengths that the stride divides: one more at the end where they are odd.
    """

    def __init__(self, one: Convolution, activation: str, stride: Sequence[int] = ()) -> None:
        super().__init__()
        dimensions = len(one.kernel)
        strides = tuple(stride) or (1,) * dimensions
        around = [max(k - s, 0) for k, s in zip(one.kernel, strides, strict=True)]
        even = not any(n % 2 for n in around)
        self.around = [] if even else [part for n in reversed(around) for part in (n // 2, n - n // 2)]
        padding = tuple(n // 2 for n in around) if even else 0
        self.convolution = CONVOLUTION[dimensions](one.before, one.after, one.kernel, strides, padding, bias=one.bias)
        nn.init.kaiming_normal_(self.convolution.weight, nonlinearity="relu")
        if one.bias:
            nn.init.zeros_(self.convolution.bias)
        if one.norm:
            self.norm: nn.Module = _NORMALISATION[dimensions](one.after, _EPSILON, _MOMENTUM)
        else:
            self.norm = nn.Identity()
        self.activation = _ACTIVATIONS[activation]()

    def forward(self, x: Tensor) -> Tensor:
        if self.around:
            x = nn.functional.pad(x, self.around)
        found: Tensor = self.activation(self.norm(self.convolution(x)))
        return found


class _Block(nn.Module):
    """Convolutions, of which the first has the stride, added to what came in."""

    def __init__(self, plan: StarDistNetwork, parts: list[Convolution], stride: tuple[int, ...]) -> None:
        super().__init__()
        ways = [one for one in parts if one.name.endswith(".way")]
        layers = [one for one in parts if one not in ways]
        last = len(layers) - 1
        self.layers = nn.Sequential(
            *(
                _Layer(one, "linear" if i == last else plan.activation, stride if i == 0 else ())
                for i, one in enumerate(layers)
            )
        )
        self.way = _Layer(ways[0], "linear", stride) if ways else nn.Identity()
        self.activation = _ACTIVATIONS[plan.activation]()

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.activation(self.way(x) + self.layers(x))
        return found


def _level(parts: list[Convolution], activation: str, last: str | None = None) -> nn.Sequential:
    """Return the convolutions of a level; the last may have another activation."""
    ends = [activation] * (len(parts) - 1) + [last or activation]
    return nn.Sequential(*(_Layer(one, end) for one, end in zip(parts, ends, strict=True)))


def _under(known: dict[str, Convolution], name: str) -> list[Convolution]:
    return [one for one in known.values() if one.name.startswith(name)]
