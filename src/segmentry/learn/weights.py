"""The names, shapes and types of the numbers that a network learns, as its architecture asks for them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segmentry.errors import InputError
from segmentry.learn.architecture import NARROWING, Architecture

__all__ = ["check_weights", "expected_weights"]

#: Arrays by their names, as shapes.
Named = Iterator[tuple[str, tuple[int, ...]]]


def expected_weights(plan: Architecture) -> dict[str, tuple[int, ...]]:
    """Return the shape of each array of a network; all are float32, but for counts, which are int64 without axes.

    Examples
    --------
    >>> plan = Architecture(channels=1, outputs=2, widths=(4,), strides=(), kernels=((3, 3),))
    >>> expected_weights(plan)["heads.0.weight"]
    (2, 4, 1, 1)
    """
    return dict((*_encoder(plan), *_DECODERS[plan.decoder](plan)))


def check_weights(arrays: Mapping[str, NDArray[Any]], expected: Mapping[str, tuple[int, ...]]) -> None:
    """Refuse arrays that are not those that are expected, by their names and shapes.

    Raises
    ------
    InputError
        When an array is missing, is one too many, or has another shape or type; or a number is not finite.
    """
    for name in (*expected, *arrays):
        if name not in arrays or name not in expected:
            said = "is missing" if name not in arrays else "is not one of the network's"
            raise InputError(f"the array {name[:100]!r} {said}")
    for name, shape in expected.items():
        array, kind = arrays[name], np.dtype(np.int64 if _counts(name) else np.float32)
        if array.shape != shape or array.dtype != kind:
            raise InputError(f"{name} must be {kind} of shape {shape}; it is {array.dtype} of shape {array.shape}")
        if kind.kind == "f" and not np.isfinite(array).all():
            raise InputError(f"{name} has numbers that are not finite")
        if (name.endswith("running_var") or _counts(name)) and array.min(initial=0) < 0:
            raise InputError(f"{name} has negative numbers")


def _counts(name: str) -> bool:
    return name.endswith("num_batches_tracked")


def _encoder(plan: Architecture) -> Named:
    one = (1,) * plan.dimensions
    if plan.encoder != "plain":
        yield from _layer("down.0", plan, plan.channels, plan.widths[0], plan.opening)
        for i, count in enumerate(plan.block_counts, 1):
            before, width, stride = plan.widths[i - 1], plan.widths[i], plan.strides[i - 1]
            for j in range(count):
                coarser = j == 0 and i > 1 and max(stride) > 1
                yield from _block(f"down.{i}.blocks.{j}", plan, i, width if j else before, width, coarser)
        return
    first = plan.channels
    if plan.stem:
        first = plan.widths[0]
        yield from _layer("stem", plan, plan.channels, first, plan.stem)
    befores, strides = (first, *plan.widths), (one, *plan.strides)
    for i, (before, width, stride) in enumerate(zip(befores, plan.widths, strides, strict=False)):
        yield from _level(f"down.{i}", plan, i, before, width, stride)


def _unet(plan: Architecture) -> Named:
    one = (1,) * plan.dimensions
    coarse = range(len(plan.widths) - 2, -1, -1)
    for at, i in enumerate(coarse):
        yield f"narrow.{at}.weight", (plan.widths[i], plan.widths[i + 1], *one)
        yield from _level(f"up.{at}", plan, i, 2 * plan.widths[i], plan.widths[i], one)
    heads = dict(_heads(plan, [0, *coarse[-2:0:-1]] if plan.deep_supervision else [0]))
    if plan.stem:
        heads["heads.0.weight"] = (plan.widths[0], plan.outputs, *plan.stem)
    yield from heads.items()


def _fcn(plan: Architecture) -> Named:
    return _heads(plan, plan.scored)


def _deeplab(plan: Architecture) -> Named:
    one = (1,) * plan.dimensions
    width, last = plan.widths[1], len(plan.widths) - 1
    for i in range(len(plan.rates) + 1):
        yield from _layer(f"pyramid.{i}", plan, plan.widths[-1], width, plan.kernel(last) if i else one)
    yield from _layer("join", plan, width * (len(plan.rates) + 1), width, one)
    yield from _layer("low", plan, width, plan.low_width, one)
    yield from _level("up", plan, 1, width + plan.low_width, width, one)
    yield from _heads(plan, [1, 1] if plan.deep_supervision else [1])


_DECODERS = {"unet": _unet, "fcn": _fcn, "deeplab": _deeplab}


def _heads(plan: Architecture, levels: Sequence[int]) -> Named:
    for at, i in enumerate(levels):
        yield f"heads.{at}.weight", (plan.outputs, plan.widths[i], *(1,) * plan.dimensions)
        yield f"heads.{at}.bias", (plan.outputs,)


def _block(name: str, plan: Architecture, level: int, before: int, width: int, coarser: bool) -> Named:
    """Yield what a block of a residual network learns."""
    one, kernel = (1,) * plan.dimensions, plan.kernel(level)
    within = width // NARROWING if plan.has_bottlenecks else width
    kernels = (one, kernel, one) if plan.has_bottlenecks else (kernel, kernel)
    widths = (before, *(within,) * (len(kernels) - 1), width)
    for i, lengths in enumerate(kernels):
        yield from _layer(f"{name}.layers.{i}", plan, widths[i], widths[i + 1], lengths)
    if before != width or coarser:
        yield from _layer(f"{name}.way", plan, before, width, one)


def _level(name: str, plan: Architecture, level: int, before: int, width: int, stride: Sequence[int]) -> Named:
    for i in range(plan.convolutions):
        yield from _layer(f"{name}.layers.{i}", plan, width if i else before, width, plan.kernel(level))
    if plan.residual and (before != width or max(stride) > 1):
        yield from _layer(f"{name}.way", plan, before, width, (1,) * plan.dimensions)


def _layer(name: str, plan: Architecture, before: int, width: int, kernel: Sequence[int]) -> Named:
    yield f"{name}.0.weight", (width, before, *kernel)
    yield f"{name}.1.weight", (width,)
    yield f"{name}.1.bias", (width,)
    if plan.normalisation == "batch":
        yield f"{name}.1.running_mean", (width,)
        yield f"{name}.1.running_var", (width,)
        yield f"{name}.1.num_batches_tracked", ()
