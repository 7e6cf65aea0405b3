"""What runs a network: torch, ONNX Runtime or OpenVINO, behind one call, with the same scores.

All compute in float32, unless 8 bit are asked for. The scores of two engines differ by less than 1e-4 of the largest
score, because they add the same numbers in another order; each gives the same scores again for the same input.
"""

from __future__ import annotations

import ctypes
import importlib.util
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from threading import Lock
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from segmentry.errors import (
    InputError,
    MissingExtraError,
    ParameterError,
    SegmentryError,
    UnknownNameError,
    nearest,
    one_line,
)
from segmentry.learn.int8 import Ranges, in_int8
from segmentry.learn.network_file import Network
from segmentry.learn.onnx_graph import read_graph, with_weights
from segmentry.tiling import thread_count

__all__ = ["ENGINES", "Engine", "Runnable", "engine"]

#: Names of the engines, and the extra that installs each; none: it is always there.
ENGINES: dict[str, str | None] = {"torch": "train", "openvino": "openvino", "onnxruntime": None}
_WORDS = {"torch": "torch", "openvino": "OpenVINO", "onnxruntime": "ONNX Runtime"}


class Engine(Protocol):
    """A network that is ready to run, from one thread at a time or several."""

    #: One of :data:`ENGINES`.
    name: str
    #: What it runs by and on, in words.
    device: str

    def __call__(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the scores (N, outputs, *spatial) of images (N, channels, *spatial), as an array of their own."""


class Runnable(Protocol):
    """What an engine needs of a network."""

    @property
    def graph(self) -> bytes:
        """What it computes, in the ONNX format; empty where there is none."""

    @property
    def arrays(self) -> Mapping[str, NDArray[Any]]:
        """Weights that the graph names and does not hold."""

    @property
    def channels(self) -> tuple[str, ...]:
        """Names of the image's channels."""

    @property
    def multiple(self) -> tuple[int, ...]:
        """What the lengths of an image must be multiples of, per axis."""


def engine(
    network: Runnable,
    name: str = "auto",
    device: str = "auto",
    threads: int | None = None,
    precision: Literal["float32", "int8"] = "float32",
) -> Engine:
    """Return a network made ready to run.

    Parameters
    ----------
    name
        One of :data:`ENGINES`; ``auto`` takes the fastest that is there: torch on a GPU, then OpenVINO, then ONNX
        Runtime, then torch.
    device
        ``cpu``, ``cuda`` (a GPU), ``cuda:1`` (the second GPU), or ``auto``.
    threads
        How many compute on a CPU; as many as ``SEGMENTRY_NUM_THREADS`` says or there are processors when not given.
    precision
        ``int8``: convolutions in 8 bit, by OpenVINO; the network must have been made ready for it.

    Raises
    ------
    UnknownNameError, ParameterError
        When there is no such engine, or no such device for it.
    MissingExtraError
        When the engine is not installed.
    InputError
        When the network is none that the engine can run.
    """
    if name not in ("auto", *ENGINES):
        raise UnknownNameError(f"there is no engine {name!r}{nearest(name, ['auto', *ENGINES])}")
    if not re.fullmatch(r"auto|cpu|cuda(:\d{1,3})?", device):
        raise ParameterError(f"device {device!r} must be auto, cpu, cuda or cuda:1, cuda:2 …")
    if threads is not None and threads < 1:
        raise ParameterError(f"threads is {threads}: it must be 1 or more")
    threads = threads or thread_count()
    if precision == "int8":
        return _in_int8(network, name, device, threads)
    place = _place(network, name, device)
    if place != "cpu":
        return _Torch(network, place, threads)
    if name == "auto":
        name = _fastest(network)
    _require(name)
    if name == "torch":
        return _Torch(network, place, threads)
    if not network.graph:
        raise InputError(f"the network has no graph, so that {_WORDS[name]} can't run it; torch can")
    return _OpenVino(network, threads) if name == "openvino" else _OnnxRuntime(network, threads)


def _in_int8(network: Runnable, name: str, device: str, threads: int) -> Engine:
    if name not in ("auto", "openvino") or device.startswith("cuda"):
        raise ParameterError("precision int8 needs the engine openvino, on the CPU: leave out engine and device")
    _require("openvino")
    if not isinstance(network, Network) or not network.ranges or not network.graph:
        raise ParameterError(
            "the network was not made ready for precision int8: segmentry weights int8 NETWORK --images IMAGES --labels"
            " LABELS -o FASTER does it"
        )
    return _OpenVino(network, threads, network.ranges)


def _place(network: Runnable, name: str, device: str) -> str:
    """Return the device to run on, ``cpu`` or one of torch's."""
    asked = device.startswith("cuda")
    if device == "cpu" or (name not in ("auto", "torch") and not asked):
        return "cpu"
    if name not in ("auto", "torch"):
        raise ParameterError(f"{_WORDS[name]} runs networks on the CPU only; a GPU needs the engine torch")
    if not asked and (not _has_driver() or not _installed("torch") or not isinstance(network, Network)):
        return "cpu"
    _require("torch")
    import torch

    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if not count and not asked:
        return "cpu"
    chosen = int(device.partition(":")[2] or 0)
    if chosen >= count:
        found = f"{count} GPU{'s' * (count != 1)}" if count else "no GPU"
        raise ParameterError(f"device {device!r} was asked for, but torch finds {found}: take device cpu or auto")
    return f"cuda:{chosen}"


def _fastest(network: Runnable) -> str:
    """Return the engine that is fastest on a CPU among those that can run a network."""
    able = [name for name in ("openvino", "onnxruntime") if network.graph and _installed(name)]
    return [*able, "torch"][0]


def _installed(name: str) -> bool:
    return name in sys.modules or importlib.util.find_spec(name) is not None


def _require(name: str) -> None:
    """Refuse an engine that is not installed."""
    if not _installed(name):
        extra = ENGINES[name]
        if extra is None:
            raise ParameterError(f"{_WORDS[name]} is not installed: pip install onnxruntime")
        raise MissingExtraError(f"running a network with {_WORDS[name]}", extra)


def _has_driver() -> bool:
    """Return whether a GPU may be there, without the long time that torch takes to be imported."""
    try:
        ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
    except OSError:
        return False
    return True


class _Base:
    """What all engines do: look at what comes in, and say in one line what goes wrong."""

    name: str

    def __init__(self, network: Runnable, device: str) -> None:
        self.device = f"{_WORDS[self.name]}, {device}"
        self._channels = len(network.channels)
        self._multiple = network.multiple

    def __call__(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        if batch.ndim != len(self._multiple) + 2 or batch.shape[1] != self._channels:
            raise InputError(
                f"the network takes (images, {self._channels} channels, {len(self._multiple)} spatial axes); got"
                f" {batch.shape}"
            )
        if not all(n and n % step == 0 for n, step in zip(batch.shape[2:], self._multiple, strict=True)):
            raise InputError(f"the lengths of an image must be multiples of {self._multiple}; got {batch.shape[2:]}")
        if not len(batch):
            raise InputError("the network takes one image or more; got none")
        with _told(f"{self.device}, can't run the network on {batch.shape}"):
            return self._run(np.ascontiguousarray(batch, np.float32))

    def _run(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        raise NotImplementedError


class _OnnxRuntime(_Base):
    name = "onnxruntime"

    def __init__(self, network: Runnable, threads: int) -> None:
        import onnxruntime

        super().__init__(network, _processors(threads))
        onnxruntime.disable_telemetry_events()
        kept = read_graph(network.graph, network.arrays).kept
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 4
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        weights = {one.name: np.asarray(network.arrays[one.name], order="C") for one in kept if one.elsewhere}
        values = [onnxruntime.OrtValue.ortvalue_from_numpy(array) for array in weights.values()]
        if values:
            options.add_external_initializers(list(weights), values)
        with _told(f"{self.device}, can't take the network"):
            self._session = onnxruntime.InferenceSession(
                network.graph, options, providers=["CPUExecutionProvider"], enable_fallback=0
            )
        self._input = self._session.get_inputs()[0].name
        self._output = self._session.get_outputs()[0].name

    def _run(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        found: NDArray[np.float32] = self._session.run([self._output], {self._input: batch})[0]
        return found


class _OpenVino(_Base):
    name = "openvino"

    def __init__(self, network: Runnable, threads: int, ranges: Ranges | None = None) -> None:
        import openvino

        super().__init__(network, _processors(threads) + (" in int8" if ranges else ""))
        settings: dict[str, Any] = {
            "INFERENCE_PRECISION_HINT": "f32",
            "INFERENCE_NUM_THREADS": threads,
            "NUM_STREAMS": 1,
            "PERFORMANCE_HINT": "LATENCY",
            "ENABLE_CPU_PINNING": False,
        }
        with _told(f"{self.device}, can't take the network"):
            core = openvino.Core()
            model = core.read_model(with_weights(network.graph, network.arrays))
            if ranges:
                in_int8(model, ranges)
            self._compiled = core.compile_model(model, "CPU", settings)
            self._request = self._compiled.create_infer_request()
        self._lock = Lock()

    def _run(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        with self._lock:
            found: NDArray[np.float32] = self._request.infer([batch], share_inputs=True, share_outputs=False)[0]
        return found


class _Torch(_Base):
    name = "torch"

    def __init__(self, network: Runnable, place: str, threads: int) -> None:
        import torch

        from segmentry.learn.networks.build import build

        if not isinstance(network, Network):
            raise InputError("torch can't run the network: it is given as a graph alone")
        on_processor = place == "cpu"
        super().__init__(network, _processors(threads) if on_processor else torch.cuda.get_device_name(place))
        self._place, self._threads = place, threads if on_processor else 0
        self._lock = Lock()
        planes = on_processor and network.architecture.dimensions == 2
        self._format = torch.channels_last if planes else torch.contiguous_format
        module = build(network.architecture)
        module.load_state_dict({name: torch.from_numpy(np.array(array)) for name, array in network.arrays.items()})
        with _told(f"{self.device}, can't take the network"):
            self._module = module.eval().requires_grad_(False).to(place).to(memory_format=self._format)  # type: ignore[call-overload]

    def _run(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        import torch

        from segmentry.learn.networks.crew import threads_of_torch

        flags = torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False)
        with self._lock, flags, threads_of_torch(self._threads), torch.inference_mode():
            image = torch.from_numpy(batch).to(self._place).to(memory_format=self._format)
            scores = self._module(image).contiguous().cpu().numpy()
        found: NDArray[np.float32] = scores
        return found


@contextmanager
def _told(what: str) -> Iterator[None]:
    """Turn whatever goes wrong in an engine into one line."""
    try:
        yield
    except (SegmentryError, MemoryError):
        raise
    except Exception as error:
        raise InputError(f"{what}: {one_line(error)}") from error


def _processors(threads: int) -> str:
    return f"CPU, {threads} thread{'s' * (threads != 1)}"
