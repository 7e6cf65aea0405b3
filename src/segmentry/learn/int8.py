"""Convolutions in whole numbers of 8 bit: several times as fast on a CPU, and a little off.

What comes into a convolution lies in a range that is measured on images before (its least and greatest number, but for
one in ten thousand); within it 256 steps are left. Weights have 255, between plus and minus the greatest of each output
(Jacob et al. 2018, doi:10.1109/CVPR.2018.00286). What tells pixels apart in the end, the heads, stays as it is.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = ["Ranges", "in_int8", "input_ranges"]

#: Least and greatest number that comes into a convolution, by the name of its weights.
Ranges: TypeAlias = Mapping[str, tuple[float, float]]
#: Share of the numbers that may lie beyond either end.
BEYOND = 1e-4
_HEADS = "heads."


def input_ranges(model: Any, batches: Iterable[NDArray[np.float32]]) -> dict[str, tuple[float, float]]:
    """Return the range of what comes into each convolution but the heads.

    Parameters
    ----------
    model
        The network, as OpenVINO reads it.
    batches
        What it sees.
    """
    import openvino

    found = dict(_convolutions(model))
    ends = [openvino.opset13.result(node.input_value(0)) for node in found.values()]
    looking = openvino.Core().compile_model(
        openvino.Model(ends, model.get_parameters(), "inputs"), "CPU", {"INFERENCE_PRECISION_HINT": "f32"}
    )
    least, greatest = np.zeros(len(found)), np.zeros(len(found))
    for batch in batches:
        for i, values in enumerate(looking([batch]).values()):
            low, high = np.quantile(values, (BEYOND, 1 - BEYOND))
            least[i], greatest[i] = min(least[i], low), max(greatest[i], high)
    return {name: (float(a), float(b)) for name, a, b in zip(found, least, greatest, strict=True)}


def in_int8(model: Any, ranges: Ranges) -> None:
    """Have the convolutions of a network computed in 8 bit, those whose range is known.

    Parameters
    ----------
    model
        The network, as OpenVINO reads it; it is changed.
    ranges
        From :func:`input_ranges`.
    """
    for name, node in list(_convolutions(model)):
        low, high = ranges.get(name, (0.0, 0.0))
        if low == high:
            continue
        weights = _folded(node)
        step = (high - low) / 255
        below = round(-low / step)  # so that 0 stays 0
        node.input(0).replace_source_output(_stepped(node.input_value(0), -below * step, (255 - below) * step, 256))
        most = np.abs(weights).reshape(len(weights), -1).max(axis=1)
        most = np.maximum(most, 1e-12).reshape(-1, *(1,) * (weights.ndim - 1))
        node.input(1).replace_source_output(_stepped(_constant(weights), -most, most, 255))
    model.validate_nodes_and_infer_types()


def _convolutions(model: Any) -> Iterator[tuple[str, Any]]:
    """Yield the convolutions that may be in 8 bit, with the names of their weights."""
    for node in model.get_ordered_ops():
        if node.get_type_name() == "Convolution":
            name = node.input_value(1).get_node().get_friendly_name()
            if not name.startswith(_HEADS):
                yield name, node


def _folded(node: Any) -> NDArray[np.float32]:
    """Return the weights of a convolution, multiplied by those of the normalisation that follows; it then adds only."""
    import openvino

    weights: NDArray[np.float32] = node.input_value(1).get_node().data.astype(np.float32)
    after = [one.get_node() for one in node.output(0).get_target_inputs()]
    if len(after) != 1 or after[0].get_type_name() != "BatchNormInference":
        return weights
    normal, across = after[0], (-1, *(1,) * (weights.ndim - 1))
    values = [normal.input_value(i).get_node() for i in range(normal.get_input_size())]
    scale, shift, mean, variance = [one.data for one in values if one.get_type_name() == "Constant"]
    factor = scale / np.sqrt(variance + normal.get_attributes()["epsilon"])
    added = _constant((shift - mean * factor).reshape(1, -1, *(1,) * (weights.ndim - 2)))
    whole = openvino.opset13.add(node.output(0), added)
    for target in list(normal.output(0).get_target_inputs()):
        target.replace_source_output(whole.output(0))
    return np.asarray(weights * factor.reshape(across), np.float32)


def _stepped(values: Any, low: Any, high: Any, levels: int) -> Any:
    """Return numbers that take so many values from low to high."""
    import openvino

    ends = [_constant(low), _constant(high)] * 2
    return openvino.opset13.fake_quantize(values, *ends, levels).output(0)


def _constant(values: Any) -> Any:
    import openvino

    return openvino.opset13.constant(np.asarray(values, np.float32)).output(0)
