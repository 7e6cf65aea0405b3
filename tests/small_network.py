"""A network that is quickly made: its weights by chance, its graph written by ONNX's own library."""

import numpy as np
import onnx
from onnx import helper

from segmentry.learn.architecture import Architecture
from segmentry.learn.network_file import Network
from segmentry.learn.representation import representation
from segmentry.learn.scaling import Scaling
from segmentry.learn.weights import expected_weights

CARD = {
    "name": "Nuclei, learned",
    "licence": "CC-BY-4.0",
    "citation": "Ronneberger et al. 2015, doi:10.1007/978-3-319-24574-4_28.",
    "authors": ["Ann Other"],
    "scores": {"dice": 0.9},
}


def small_network(dimensions=2, channels=1, seed=0, **said):
    """Return a network of one level: two convolutions with their normalisation, and a head."""
    plan = Architecture(
        channels=channels, outputs=3, widths=(4,), strides=(), kernels=((3,) * dimensions,), **said.pop("plan", {})
    )
    random = np.random.default_rng(seed)
    arrays = {
        name: np.asarray(random.uniform(0.1, 1, shape), np.int64 if name.endswith("tracked") else np.float32)
        for name, shape in expected_weights(plan).items()
    }
    given = {
        "architecture": plan,
        "representation": representation("boundary", width=3.0),
        "names": ("background", "núcleo"),
        "channels": tuple(["DNA", "actin", "tubulin"][:channels]),
        "scaling": Scaling(by="deviation"),
        "spacing": (0.5,) * dimensions,
        "unit": "um",
        "tile": (24,) * dimensions,
        "card": CARD,
        "arrays": arrays,
        "graph": graph_with(plan),
    }
    return Network(**{**given, **said})


def graph_with(plan, **tensor):
    """Return the graph of such a network, whose weights are elsewhere."""
    kernel, nodes, last = list(plan.kernel(0)), [], "image"
    for i in range(2):
        name = f"down.0.layers.{i}"
        pads = [k // 2 for k in kernel] * 2
        nodes.append(helper.make_node("Conv", [last, f"{name}.0.weight"], [f"c{i}"], kernel_shape=kernel, pads=pads))
        normal = [f"{name}.1.{part}" for part in ("weight", "bias", "running_mean", "running_var")]
        nodes.append(helper.make_node("BatchNormalization", [f"c{i}", *normal], [f"n{i}"]))
        nodes.append(helper.make_node("Relu", [f"n{i}"], [f"r{i}"], doc_string="a note"))
        last = f"r{i}"
    nodes.append(helper.make_node("Conv", [last, "heads.0.weight", "heads.0.bias"], ["scores"]))
    kept = [
        elsewhere(name, shape, **tensor)
        for name, shape in expected_weights(plan).items()
        if not name.endswith("tracked")
    ]
    lengths = ["z", "y", "x"][-plan.dimensions :]
    ends = [
        helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["n", count, *lengths])
        for name, count in (("image", plan.channels), ("scores", plan.outputs))
    ]
    graph = helper.make_graph(nodes, "small", ends[:1], ends[1:], kept)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    return model.SerializeToString()


def elsewhere(name, shape, location="weights", kind=onnx.TensorProto.FLOAT):
    """Return a tensor that says that its numbers are in another file."""
    tensor = onnx.TensorProto(name=name, dims=shape, data_type=kind)
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=location)
    return tensor
