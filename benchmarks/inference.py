"""How fast networks run on one image of 1024 by 1024 pixels: inference.py [--cellpose PYTHON] [--stardist PYTHON].

U-Nets of random weights are run by each engine, and in 8 bit; beside them, turn by turn, the networks of Cellpose 3 and
of StarDist, of random weights too, in interpreters of their own that have these packages. Times are medians; the rate
is that of the multiplications and additions of the convolutions, and its share that of a product of two matrices
measured in the same run. With ``--memory``, a folder for files is named, and the peak memory of whole processes is
told, for images of growing sizes.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import numpy as np
import openvino
import torch
from cases import nuclei
from torch.utils.flop_counter import FlopCounterMode

from segmentry.learn.architecture import Architecture
from segmentry.learn.engines import ENGINES, engine
from segmentry.learn.int8 import input_ranges
from segmentry.learn.network_file import Network, save_network
from segmentry.learn.networks.build import build
from segmentry.learn.networks.export import graph_of
from segmentry.learn.onnx_graph import with_weights
from segmentry.learn.representation import representation
from segmentry.learn.scaling import Scaling

SIDE, REPEATS, TILE = 1024, 5, 512
_FOUR = ((2, 2),) * 4
NETWORKS = {
    "U-Net 32, the plan's": Architecture(channels=1, outputs=3, widths=(32, 64, 128, 256, 256), strides=_FOUR),
    "U-Net 16": Architecture(channels=1, outputs=3, widths=(16, 32, 64, 128, 128), strides=_FOUR),
    "U-Net 32, stem of 2": Architecture(
        channels=1, outputs=3, widths=(32, 64, 128, 128), strides=_FOUR[:3], stem=(2, 2)
    ),
    "U-Net 16, stem of 2": Architecture(channels=1, outputs=3, widths=(16, 32, 64, 64), strides=_FOUR[:3], stem=(2, 2)),
}
#: A line in; out comes one of seconds of wall and CPU, and of operations in thousands of millions.
LOOP = """
import json, sys, time
for line in sys.stdin:
    start, busy = time.perf_counter(), time.process_time()
    run()
    print(json.dumps([time.perf_counter() - start, time.process_time() - busy, work]), flush=True)
"""
CELLPOSE = """
import sys, numpy as np, torch
from torch.utils.flop_counter import FlopCounterMode
from cellpose.resnet_torch import CPnet
torch.set_num_threads(int(sys.argv[2]))
net = CPnet([2, 32, 64, 128, 256], 3, sz=3, mkldnn=False, diam_mean=30.0).eval()
image = torch.from_numpy(np.load(sys.argv[1]))[None, None].repeat(1, 2, 1, 1)
def run():
    with torch.inference_mode():
        return net(image)
with FlopCounterMode(display=False) as counted, torch.no_grad():
    net(image)
work = counted.get_total_flops() / 1e9
"""
STARDIST = """
import os, sys
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
import numpy as np, tensorflow as tf
tf.config.threading.set_intra_op_parallelism_threads(int(sys.argv[2]))
tf.config.threading.set_inter_op_parallelism_threads(1)
from stardist.models import Config2D, StarDist2D
sys.stdout, told = sys.stderr, sys.stdout
net = StarDist2D(Config2D(n_rays=32, grid=(2, 2)), name="random", basedir=None).keras_model
sys.stdout = told
image = np.load(sys.argv[1])[None, ..., None]
def run():
    return net.predict(image, verbose=0)
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2
frozen = tf.function(lambda x: net(x)).get_concrete_function(tf.TensorSpec(image.shape, tf.float32))
graph = convert_variables_to_constants_v2(frozen).graph
with graph.as_default():
    options = tf.compat.v1.profiler.ProfileOptionBuilder.float_operation()
    options["output"] = "none"
    work = tf.compat.v1.profiler.profile(graph=graph, options=options).total_float_ops / 1e9
"""
#: Turn by turn: wall seconds, CPU seconds, operations in a thousand million.
Way = Callable[[], tuple[float, float, float]]


def main() -> None:
    """Print the table."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--cellpose", help="a Python that has cellpose 3")
    arguments.add_argument("--stardist", help="a Python that has stardist and tensorflow")
    arguments.add_argument("--threads", type=int, default=2)
    arguments.add_argument("--memory", type=Path, metavar="FOLDER")
    given = arguments.parse_args()
    if given.memory:
        memory(given.memory)
        return
    pixels, _ = nuclei(SIDE)
    image = (pixels / np.float32(pixels.max())).astype(np.float32)
    with ExitStack() as stack:
        place = Path(stack.enter_context(tempfile.TemporaryDirectory())) / "image.npy"
        np.save(place, image)
        ways = dict(ours(image, given.threads))
        for name, interpreter, code in (
            ("Cellpose 3, its network", given.cellpose, CELLPOSE),
            ("StarDist, its network", given.stardist, STARDIST),
        ):
            if interpreter:
                words = [interpreter, "-c", code + LOOP, str(place), str(given.threads)]
                child = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
                ways[name] = theirs(stack.enter_context(child))
        table(ways, given.threads)


def ours(image: np.ndarray, threads: int) -> Iterator[tuple[str, Way]]:
    """Yield each network in each engine."""
    for name, architecture in NETWORKS.items():
        network = random(architecture)
        with FlopCounterMode(display=False) as counted, torch.no_grad():
            build(architecture).eval()(torch.from_numpy(image)[None, None])
        work = counted.get_total_flops() / 1e9
        for by in ENGINES:
            yield f"{name}, {by}", timed(engine(network, by, "cpu", threads), image, work)
        model = openvino.Core().read_model(with_weights(network.graph, network.arrays))
        ready = replace(network, ranges=input_ranges(model, [image[None, None]]))
        yield f"{name}, openvino in int8", timed(engine(ready, threads=threads, precision="int8"), image, work)


def timed(run: Callable[[np.ndarray], np.ndarray], image: np.ndarray, work: float) -> Way:
    """Return what runs a network once and says how long it took."""

    def once() -> tuple[float, float, float]:
        begun, busy = time.perf_counter(), time.process_time()
        run(image[None, None])
        return time.perf_counter() - begun, time.process_time() - busy, work

    return once


def theirs(child: subprocess.Popen[str]) -> Way:
    """Return what has another interpreter run its network once."""

    def once() -> tuple[float, float, float]:
        assert child.stdin
        assert child.stdout
        print("go", file=child.stdin, flush=True)
        wall, busy, work = json.loads(child.stdout.readline())
        return wall, busy, work

    return once


def random(architecture: Architecture) -> Network:
    """Return a network of random weights, of objects by their interior and boundary."""
    module = build(architecture).eval()
    return Network(
        architecture=architecture,
        representation=representation("boundary"),
        names=("background", "object"),
        channels=("",),
        scaling=Scaling(),
        spacing=None,
        unit=None,
        tile=(TILE, TILE),
        card={},
        arrays={name: value.numpy() for name, value in module.state_dict().items()},
        graph=graph_of(module, architecture),
    )


def peak(threads: int) -> float:
    """Return how many thousand million operations a second a product of two matrices reaches."""
    torch.set_num_threads(threads)
    a, b = torch.rand(2048, 2048), torch.rand(2048, 2048)
    best = 0.0
    for _ in range(10):
        begun = time.perf_counter()
        torch.mm(a, b)
        best = max(best, 2 * 2048**3 / (time.perf_counter() - begun) / 1e9)
    return best


def table(ways: dict[str, Way], threads: int) -> None:
    """Print the medians."""
    rates, seconds = [], {name: [] for name in ways}
    for repeat in range(REPEATS + 1):
        rates.append(peak(threads))
        for name, way in ways.items():
            found = way()
            if repeat:  # the first is to warm up
                seconds[name].append(found)
    best = statistics.median(rates)
    print(f"{SIDE}² pixels, {threads} threads; matrices: {best:.0f} GFLOP/s\n")
    print("| network | GFLOP | wall | CPU | of the matrices' rate | as fast as torch | as Cellpose's | as StarDist's |")
    print("|---|---|---|---|---|---|---|---|")
    medians = {
        name: [statistics.median(column) for column in zip(*rows, strict=True)] for name, rows in seconds.items()
    }
    for name, (wall, busy, work) in medians.items():
        eager = medians.get(f"{name.rsplit(',', 1)[0]}, torch")
        others = [eager, medians.get("Cellpose 3, its network"), medians.get("StarDist, its network")]
        ratios = " | ".join("" if other is None else f"{other[0] / wall:.1f}" for other in others)
        print(f"| {name} | {work:.0f} | {wall:.3f} s | {busy:.2f} s | {work / wall / best:.0%} | {ratios} |")


def memory(folder: Path) -> None:
    """Print the peak memory of whole processes that segment images by a network."""
    import zarr

    network = folder / "network.safetensors"
    save_network(network, random(NETWORKS["U-Net 16, stem of 2"]), overwrite=True)
    small, _ = nuclei(2048)
    print("| image | pixels | peak memory | time |\n|---|---|---|---|")
    for times in (1, 2, 4, 8):
        side = 2048 * times
        path = folder / f"{side}.zarr"
        array = zarr.create_array(path, shape=(side, side), chunks=(1024, 1024), dtype="uint16", overwrite=True)
        for y in range(times):
            for x in range(times):
                array[y * 2048 : (y + 1) * 2048, x * 2048 : (x + 1) * 2048] = small
        words = ["segment", str(path), "-o", str(folder / f"out{side}"), "--method", "unet", "--overwrite"]
        words += ["--set", f"model={network}"]
        code = (
            f"import sys, resource; from segmentry.app.cli import run; assert run({words!r}) == 0; "
            "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)"
        )
        begun = time.perf_counter()
        done = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, check=True)
        told = float(done.stdout.splitlines()[-1])
        print(
            f"| {side}² | {side * side / 1e6:.0f} M | {told:.0f} MB | {time.perf_counter() - begun:.0f} s |", flush=True
        )


if __name__ == "__main__":
    main()
