"""A network of torch as a graph in the ONNX format, without its weights."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Container, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from segmentry.errors import InputError, MissingExtraError
from segmentry.learn.families import Family
from segmentry.learn.onnx_graph import with_weights, without_weights

__all__ = ["TOLERANCE", "arrays_of", "graph_of"]

#: Version of ONNX's operators, which engines of some years ago know.
OPERATORS = 18
#: Largest difference between the scores of two engines, as a share of the largest score.
TOLERANCE = 1e-4


def arrays_of(module: nn.Module) -> dict[str, NDArray[Any]]:
    """Return the weights of a network by their names, as arrays of their own."""
    return {name: weight.detach().cpu().numpy().copy() for name, weight in module.state_dict().items()}


def graph_of(module: nn.Module, architecture: Family) -> bytes:
    """Return the graph of a network in the ONNX format, whose weights are named but not in it.

    It takes any number of images of any size that ``architecture.multiple`` divides. It is run once beside torch.

    Raises
    ------
    MissingExtraError
        When the libraries that write the format are not there.
    InputError
        When the network can't be told in the format, or gives something else in it.
    """
    training = module.training
    module.eval()
    try:
        model = _exported(module, architecture)
        graph = without_weights(model, module.state_dict().keys())
        _compare(graph, module, architecture)
    finally:
        module.train(training)
    return graph


def _exported(module: nn.Module, architecture: Family) -> bytes:
    """Return the graph of a network, with its weights by their names."""
    try:
        import onnxscript.optimizer as simplified
    except ImportError:
        raise MissingExtraError("writing a network for other engines", "train") from None
    axes: dict[int, Any] = {0: torch.export.Dim("batch", min=1, max=2**16)}
    for i, step in enumerate(architecture.multiple):
        length = torch.export.Dim("xyz"[architecture.dimensions - 1 - i], min=1, max=2**16)
        axes[2 + i] = length if step == 1 else step * length
    with _quiet():
        program = torch.onnx.export(
            module,
            (_example(architecture, 2, 3),),
            dynamo=True,
            optimize=False,  # it would change the weights
            opset_version=OPERATORS,
            input_names=["image"],
            output_names=["scores"],
            dynamic_shapes=(axes,),
            verbose=False,
        )
        if program is None:
            raise InputError("torch gave no graph of the network")
        simplified.fold_constants(program.model)
        _drop_biases(program.model.graph, module.state_dict().keys())
        simplified.remove_unused_nodes(program.model)
        found: bytes = program.model_proto.SerializeToString()
    return found


def _drop_biases(nodes: Iterable[Any], weights: Container[str]) -> None:
    """Take away the biases of convolutions that have none: zeros, which some versions write in a shape of their own."""
    for node in nodes:
        if node.op_type == "Conv" and len(node.inputs) == 3:
            bias = node.inputs[2]
            if bias.name not in weights and bias.const_value is not None and not bias.const_value.numpy().any():
                node.resize_inputs(2)


def _compare(graph: bytes, module: nn.Module, architecture: Family) -> None:
    """Refuse a graph that gives something else than the network."""
    import onnxruntime

    session = onnxruntime.InferenceSession(with_weights(graph, arrays_of(module)), providers=["CPUExecutionProvider"])
    for count, length in ((1, 2), (2, 5)):
        image = _example(architecture, count, length)
        with torch.inference_mode():
            first: Tensor = module(image.to(next(module.parameters()).device)).cpu()
        second = session.run(None, {"image": image.numpy()})[0]
        largest = float(first.abs().max())
        apart = float(np.abs(first.numpy() - second).max()) if first.shape == second.shape else np.inf
        if not apart <= TOLERANCE * max(1.0, largest):
            raise InputError(f"the graph of the network gives other scores than torch: {apart:g} apart, of {largest:g}")


def _example(architecture: Family, count: int, length: int) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    sizes = [step * (length + i) for i, step in enumerate(architecture.multiple)]
    return torch.randn(count, architecture.channels, *sizes, generator=generator)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep to itself what torch says of libraries that the network does not need."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
