import subprocess
import sys
from threading import Thread

import numpy as np
import pytest

from segmentry.errors import InputError, MissingExtraError, ParameterError, UnknownNameError
from segmentry.learn import engines
from segmentry.learn.architecture import Architecture
from segmentry.learn.engines import engine
from segmentry.learn.network_file import Network, load_network, save_network
from segmentry.learn.representation import representation
from segmentry.learn.scaling import Scaling
from small_network import small_network

PLANS = {
    "plane": {"widths": (8, 16), "strides": ((2, 2),), "stem": (2, 2), "residual": True, "channels": 3},
    "volume": {
        "widths": (4, 8, 8), "strides": ((1, 2, 2), (2, 2, 2)), "kernels": ((1, 3, 3), (3, 3, 3), (3, 3, 3)),
        "stem": (1, 2, 2), "deep_supervision": True, "convolutions": 1,
    },
    "atrous plane": {
        "widths": (4, 8, 8), "strides": ((2, 2), (1, 1)), "stem": (2, 2), "encoder": "resnet50", "blocks": (1, 1),
        "decoder": "deeplab", "rates": (1, 3), "convolutions": 1,
    },
    "summed volume": {
        "widths": (4, 8, 8), "strides": ((1, 2, 2), (2, 2, 2)), "encoder": "resnet18", "blocks": (1, 1),
        "decoder": "fcn", "deep_supervision": True,
    },
}  # fmt: skip


@pytest.fixture(scope="module")
def networks(tmp_path_factory):
    """Networks of torch with lively statistics, as files give them."""
    torch = pytest.importorskip("torch")
    pytest.importorskip("onnxscript")
    from segmentry.learn.networks.build import build
    from segmentry.learn.networks.export import arrays_of, graph_of

    torch.set_num_threads(1)
    made = {}
    for name, plan in PLANS.items():
        architecture = Architecture(**{"channels": 1, "outputs": 3, **plan})
        module = build(architecture)
        random = torch.Generator().manual_seed(1)
        for key, value in module.state_dict().items():
            if key.endswith(("running_var", ".1.weight")):
                value.uniform_(0.5, 1.5, generator=random)
            elif key.endswith(("running_mean", ".1.bias")) or (key.startswith("pyramid") and value.ndim > 2):
                value.normal_(generator=random)
        network = Network(
            architecture, representation("classes"), ("a", "b", "c"), ("",) * architecture.channels, Scaling(), None,
            None, tuple(4 * n for n in architecture.multiple), {}, arrays_of(module), graph_of(module, architecture),
        )  # fmt: skip
        assert module.training
        path = save_network(tmp_path_factory.mktemp("networks") / "n.safetensors", network)
        made[name] = load_network(path), module.eval()
    return made


def images(network, count, times, seed=0):
    shape = (count, network.architecture.channels, *(n * (times + i) for i, n in enumerate(network.multiple)))
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


@pytest.mark.parametrize("plan", PLANS)
def test_all_engines_give_the_scores_of_torch(plan, networks):
    pytest.importorskip("openvino")
    import torch

    network, module = networks[plan]
    runs = [engine(network, name, "cpu", threads=1) for name in engines.ENGINES]
    for count, times in ((1, 1), (3, 2), (2, 7), (1, 12)):
        batch = images(network, count, times)
        before = batch.copy()
        with torch.inference_mode():
            expected = module(torch.from_numpy(batch)).numpy()
        for one in runs:
            scores = one(batch)
            assert scores.shape == (count, 3, *batch.shape[2:])
            assert scores.dtype == np.float32
            assert np.abs(scores - expected).max() < 1e-5 * max(1, np.abs(expected).max())  # 1e-4 is what is stated
            assert np.array_equal(one(batch), scores)
            scores[...] = 7
            assert np.array_equal(batch, before)
        assert 1 < np.abs(expected).max() < 100


@pytest.mark.parametrize("name", ["onnxruntime", "openvino", "torch"])
def test_a_batch_gives_what_its_images_give(name, networks):
    network, _ = networks["plane"]
    pytest.importorskip(name)
    run = engine(network, name, threads=2)
    batch = images(network, 3, 4)
    alone = np.concatenate([run(batch[i : i + 1]) for i in range(3)])
    assert np.abs(run(batch) - alone).max() < 1e-5 * np.abs(alone).max()


@pytest.mark.parametrize("name", ["onnxruntime", "openvino", "torch"])
def test_several_threads_may_call_an_engine(name, networks):
    network, _ = networks["plane"]
    pytest.importorskip(name)
    run = engine(network, name, threads=1)
    batches = [images(network, 1, 6, seed) for seed in range(4)]
    expected = [run(batch) for batch in batches]
    found = {}
    threads = [Thread(target=lambda i=i: found.update({i: run(batches[i])})) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(np.array_equal(found[i], expected[i]) for i in range(4))


def test_what_torch_computes_with_elsewhere_is_left_alone(networks):
    import torch

    run = engine(networks["plane"][0], "torch", threads=2)
    torch.set_num_threads(1)
    run(images(networks["plane"][0], 1, 2))
    assert torch.get_num_threads() == 1


def test_engines_say_what_they_run_on(monkeypatch):
    network = small_network()
    assert engine(network, "onnxruntime", threads=1).device == "ONNX Runtime, CPU, 1 thread"
    monkeypatch.setenv("SEGMENTRY_NUM_THREADS", "2")
    assert engine(network, "onnxruntime").device == "ONNX Runtime, CPU, 2 threads"


def test_the_fastest_engine_that_is_there_is_taken(monkeypatch):
    network = small_network()
    monkeypatch.setattr(engines, "_has_driver", lambda: False)
    there = {"onnxruntime", "torch"}
    monkeypatch.setattr(engines, "_installed", lambda name: name in there)
    assert engine(network).name == "onnxruntime"
    with pytest.raises(MissingExtraError, match=r"OpenVINO.*segmentry\[openvino\]"):
        engine(network, "openvino")
    there.remove("torch")
    with pytest.raises(MissingExtraError, match=r"torch.*segmentry\[train\]"):
        engine(network, "torch")
    with pytest.raises(MissingExtraError, match=r"segmentry\[train\]"):
        engine(network, device="cuda")
    with pytest.raises(MissingExtraError, match=r"segmentry\[train\]"):
        engine(small_network(graph=b""))


def test_a_network_without_a_graph_runs_with_torch_alone():
    pytest.importorskip("torch")
    network = small_network(graph=b"")
    assert engine(network).name == "torch"
    batch = images(network, 1, 9)
    expected = engine(small_network(), "onnxruntime")(batch)
    assert np.abs(engine(network)(batch) - expected).max() < 1e-4 * np.abs(expected).max()
    with pytest.raises(InputError, match="ONNX Runtime can't run it; torch can"):
        engine(network, "onnxruntime")


@pytest.mark.parametrize(
    ("asked", "error", "line"),
    [
        ({"name": "tensorflow"}, UnknownNameError, "no engine 'tensorflow'"),
        ({"name": "openvin"}, UnknownNameError, "did you mean 'openvino'"),
        ({"device": "gpu"}, ParameterError, "must be auto, cpu, cuda"),
        ({"device": "cuda", "name": "onnxruntime"}, ParameterError, "on the CPU only"),
        ({"threads": 0}, ParameterError, "1 or more"),
    ],
)
def test_what_is_not_there_is_said_in_a_line(asked, error, line):
    with pytest.raises(error, match=line):
        engine(small_network(), **asked)


@pytest.mark.parametrize("name", ["auto", "torch"])
def test_a_gpu_that_is_not_there_is_said_in_a_line(name):
    torch = pytest.importorskip("torch")
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    with pytest.raises(ParameterError, match="'cuda' was asked for, but torch finds no GPU: take device cpu or auto"):
        engine(small_network(), name, "cuda")


@pytest.mark.parametrize("plan", PLANS)
def test_a_gpu_gives_the_scores_of_a_cpu(plan, networks):
    import torch

    if not torch.cuda.is_available():
        pytest.skip("there is no GPU")
    network, _ = networks[plan]
    run, batch = engine(network), images(network, 2, 5)
    assert run.name == "torch"
    assert np.abs(run(batch) - engine(network, "onnxruntime")(batch)).max() < 1e-4


@pytest.mark.parametrize(
    ("shape", "line"),
    [
        ((1, 2, 8, 8), "1 channels, 2 spatial axes"),
        ((1, 8, 8), "spatial axes"),
        ((1, 1, 0, 8), "multiples"),
        ((0, 1, 8, 8), "one image or more"),
    ],
)
def test_images_that_do_not_fit_are_refused(shape, line):
    with pytest.raises(InputError, match=line):
        engine(small_network(), "onnxruntime")(np.zeros(shape, np.float32))


def test_lengths_that_no_level_fits_are_refused(networks):
    network, _ = networks["plane"]
    with pytest.raises(InputError, match=r"multiples of \(4, 4\); got \(8, 10\)"):
        engine(network)(np.zeros((1, 3, 8, 10), np.float32))


@pytest.mark.parametrize("name", ["onnxruntime", "openvino"])
def test_a_graph_that_an_engine_can_not_run_is_refused_in_a_line(name):
    pytest.importorskip(name)
    graph = small_network().graph.replace(b"Relu", b"Rela")
    with pytest.raises(InputError, match="can't take the network") as caught:
        engine(small_network(graph=graph), name)
    assert "\n" not in str(caught.value)


WITHOUT_TORCH = """
import sys
import numpy as np
import segmentry
from segmentry.app.cli import run
assert run(["methods"]) == 0
assert run(["weights", "info", sys.argv[1]]) == 0
from segmentry.learn.engines import engine
from segmentry.learn.network_file import load_network
network = load_network(sys.argv[1])
for name in ("onnxruntime", "auto"):
    assert engine(network, name)(np.ones((1, 1, 8, 8), np.float32)).shape == (1, 3, 8, 8)
for name in ("torch", "onnx", "onnxscript"):
    assert name not in sys.modules, name
"""


def test_a_network_runs_without_torch(tmp_path):
    path = save_network(tmp_path / "n.safetensors", small_network())
    subprocess.run([sys.executable, "-c", WITHOUT_TORCH, str(path)], check=True, capture_output=True)


def test_nothing_heavy_is_imported_for_nothing():
    code = "import segmentry, sys; assert not {'torch', 'onnxruntime', 'openvino', 'onnx'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
