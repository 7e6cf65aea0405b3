"""Networks of Cellpose 1 to 3, read from the files that Cellpose and its users publish.

Such a file holds arrays by their names, as torch saves them: those of ``cyto``, ``cyto2``, ``cyto3``, ``nuclei`` and of
networks that somebody trained on. All have one form, a U-Net of residual blocks that knows the style of the image
(Stringer 2021, doi:10.1038/s41592-020-01018-x); a file of another form is refused. Nothing in a file is run.
"""

from __future__ import annotations

import io
import os
import pickletools
import re
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from segmentry.errors import InputError, MissingExtraError
from segmentry.learn.safe_file import refusing, shortened

__all__ = ["CellposeNetwork", "expected_weights", "read_cellpose"]

#: Bytes of a file, of what says how its arrays are made, and arrays in it.
_MOST, _MOST_TOLD, _MOST_ARRAYS = 2**30, 2**22, 2000
#: What a file may name that arrays are made with; all other names are of code, which is not run.
_MAKERS = re.compile(
    r"collections OrderedDict|torch\._utils _rebuild_(tensor_v2|parameter)"
    r"|torch (Float|Double|Half|BFloat16|Long)Storage"
)
#: Diameters that networks are made for when their files do not say so: Cellpose 1 did not, and holds to 17 pixels for
#: its own network of nuclei whatever that file says.
_DIAMETER, _NUCLEI, _DIAMETER_OF_NUCLEI = 30.0, "nucleitorch_0", 17.0
_OTHERS = {
    "W2": "is of Cellpose 4 (Cellpose-SAM)",
    "encoder": "is one with transformers",
    "conv_down": "has no residual blocks",
}
_FILTER = 3

#: Arrays by their names, as shapes.
Named = Iterator[tuple[str, tuple[int, ...]]]
Width = Annotated[int, Field(ge=1, le=4096)]


class CellposeNetwork(BaseModel):
    """A network of Cellpose: flows toward the middles of objects, and how likely a pixel is of one.

    It takes planes (N, channels, Y, X) and gives (N, 3, Y, X): five times the flow along Y and along X, and the
    probability's logit. Every level is two residual blocks of two convolutions; the mean of the coarsest level over the
    plane, scaled to a length of 1, is the style, which is added within each level on the way up.

    Examples
    --------
    >>> plan = CellposeNetwork()
    >>> plan.dimensions, plan.multiple, plan.title
    (2, (8, 8), 'Cellpose of 32-64-128-256')
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["cellpose"] = Field(default="cellpose", description="Which family of networks it is one of.")
    channels: int = Field(
        default=2, ge=1, le=64, description="Channels of the image: what is looked for, and nuclei or nothing."
    )
    outputs: Literal[3] = Field(default=3, description="Numbers per pixel that come out.")
    widths: tuple[Width, ...] = Field(
        default=(32, 64, 128, 256),
        min_length=1,
        max_length=8,
        description="Numbers per pixel within each level, from the finest to the coarsest.",
    )

    @property
    def dimensions(self) -> int:
        """Number of spatial axes."""
        return 2

    @property
    def multiple(self) -> tuple[int, ...]:
        """What the lengths of an image must be multiples of, per axis."""
        return (2 ** (len(self.widths) - 1),) * self.dimensions

    @property
    def title(self) -> str:
        """What it is, in words."""
        return f"Cellpose of {'-'.join(map(str, self.widths))}"


def expected_weights(plan: CellposeNetwork) -> dict[str, tuple[int, ...]]:
    """Return the shape of each array of a network; all are float32, but for counts, which are int64 without axes.

    Examples
    --------
    >>> expected_weights(CellposeNetwork())["output.2.weight"]
    (3, 32, 1, 1)
    """
    return dict(_weights(plan))


def read_cellpose(
    path: str | os.PathLike[str],
) -> tuple[CellposeNetwork, dict[str, NDArray[Any]], float, float | None]:
    """Read a network from a file of Cellpose 1, 2 or 3.

    Returns
    -------
    network : CellposeNetwork
        What it is made of.
    arrays : dict of arrays
        Its weights, by the names and with the shapes and types that :func:`expected_weights` gives.
    diameter : float
        How long the objects that it was made for are, in pixels: images are resized so that theirs are, too.
    diameter_of_labels : float or None
        How long objects of the images that it learned from were, on average, before that; ``None``: it is not said.

    Raises
    ------
    InputError
        When it is no such file, it is damaged, or has numbers that are not finite.
    MissingExtraError
        When torch, whose format it is, is not there.
    """
    try:
        import torch  # noqa: F401
    except ImportError:
        raise MissingExtraError("reading a network of Cellpose", "train") from None
    source = Path(path)
    with refusing(source, "network of Cellpose"):
        with source.open("rb") as file:
            content = file.read(_MOST + 1)
        if len(content) > _MOST:
            raise InputError(f"it has more than {_MOST:,} bytes")
        tensors = _tensors(content)
        diameter, of_labels = (_diameter(tensors, name) for name in ("diam_mean", "diam_labels"))
        plan = _plan(tensors)
        arrays = _checked(tensors, plan)
    if source.name.endswith(_NUCLEI):
        diameter = _DIAMETER_OF_NUCLEI
    return plan, arrays, diameter or _DIAMETER, of_labels


def _weights(plan: CellposeNetwork) -> Named:
    widths = plan.widths
    style = widths[-1]
    for i, (before, width) in enumerate(zip((plan.channels, *widths), widths, strict=False)):
        name = f"downsample.down.res_down_{i}"
        yield from _layer(f"{name}.proj", before, width, 1, 1)
        for j in range(4):
            yield from _layer(f"{name}.conv.conv_{j}", width if j else before, width, _FILTER, 2)
    for i, (before, width) in enumerate(zip((*widths[1:], style), widths, strict=True)):
        name = f"upsample.up.res_up_{i}"
        yield from _layer(f"{name}.proj", before, width, 1, 1)
        yield from _layer(f"{name}.conv.conv_0", before, width, _FILTER, 2)
        for j in range(1, 4):
            yield from _layer(f"{name}.conv.conv_{j}.conv", width, width, _FILTER, 2)
            yield f"{name}.conv.conv_{j}.full.weight", (width, style)
            yield f"{name}.conv.conv_{j}.full.bias", (width,)
    yield from _layer("output", widths[0], plan.outputs, 1, 2)


def _layer(name: str, before: int, width: int, length: int, place: int) -> Named:
    """Yield what a normalisation and the convolution after it learn, which stands at a place within the layer."""
    for part in ("weight", "bias", "running_mean", "running_var"):
        yield f"{name}.0.{part}", (before,)
    yield f"{name}.0.num_batches_tracked", ()
    yield f"{name}.{place}.weight", (width, before, length, length)
    yield f"{name}.{place}.bias", (width,)


def _tensors(content: bytes) -> dict[str, Any]:
    """Return what a file holds by name, as tensors of torch that take no more memory than the file."""
    import torch

    _look_through(content)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True, mmap=False)
    except Exception:
        # torch's own words advise to let the file run code.
        raise InputError("it is damaged, or holds something else than arrays") from None
    if not isinstance(found, dict) or not found or len(found) > _MOST_ARRAYS:
        raise InputError("it holds no arrays by their names")
    for name, tensor in found.items():
        if not isinstance(name, str) or not isinstance(tensor, torch.Tensor) or tensor.layout != torch.strided:
            raise InputError(f"{shortened(name)} is no array with a name")
    if sum(tensor.numel() * tensor.element_size() for tensor in found.values()) > len(content):
        raise InputError("its arrays are larger than the file")
    prefix = "module." if all(name.startswith("module.") for name in found) else ""
    return {name.removeprefix(prefix): tensor for name, tensor in found.items()}


def _look_through(content: bytes) -> None:
    """Refuse a file that is no archive of torch or its older form, is damaged, or names anything but arrays."""
    try:
        told = _archive(content) if content.startswith(b"PK\x03\x04") else content
        stream = io.BytesIO(told)
        # The older form says what it is in three messages before the one that tells of the arrays.
        for _ in range(1 if told is not content else 4):
            for code, value, at in pickletools.genops(stream):
                named = code.name in ("GLOBAL", "STACK_GLOBAL", "INST")
                if (named and not _MAKERS.fullmatch(str(value))) or (at or 0) > _MOST_TOLD:
                    raise InputError(f"it names {shortened(value)}, which is no array; a file of Cellpose holds arrays")
    except (ValueError, IndexError, OverflowError, KeyError, RuntimeError, EOFError, zipfile.BadZipFile) as error:
        if isinstance(error, InputError):
            raise
        raise InputError("it is no file that torch saved, or it is damaged") from None


def _archive(content: bytes) -> bytes:
    """Return what an archive says of its arrays, having seen that all of it is whole and takes no more memory."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        parts = archive.infolist()
        if any(part.compress_type != zipfile.ZIP_STORED for part in parts):
            raise InputError("it is compressed, which torch's files are not")
        if sum(part.file_size for part in parts) > len(content) or len(parts) > 2 * _MOST_ARRAYS:
            raise InputError("its parts are larger than the file, or too many")
        if archive.testzip() is not None:
            raise InputError("it is damaged: a checksum is another")
        told = [part for part in parts if part.filename.endswith("data.pkl")]
        if len(told) != 1 or told[0].file_size > _MOST_TOLD:
            raise InputError("it is an archive, but not one of arrays")
        return archive.read(told[0])


def _diameter(tensors: dict[str, Any], name: str) -> float | None:
    """Take a diameter out of what a file holds; none: it does not say it."""
    tensor = tensors.pop(name, None)
    if tensor is None:
        return None
    if tensor.numel() != 1 or not tensor.is_floating_point():
        raise InputError(f"{name} is no number")
    value = float(tensor)
    if not 0 < value < 1e6:
        raise InputError(f"{name} is {value:g}, which is no diameter in pixels")
    return value


def _plan(tensors: Mapping[str, Any]) -> CellposeNetwork:
    """Return what the network is made of, as the shapes of some of its arrays say."""
    for part, what in _OTHERS.items():
        if any(part in re.split(r"[._]\d+|\.", name) for name in tensors):
            raise InputError(f"the network {what}; only networks of Cellpose 1, 2 and 3 of residual blocks are read")
    shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    widths: list[int] = []
    while shape := shapes.get(f"downsample.down.res_down_{len(widths)}.proj.1.weight"):
        widths.append(shape[0])
    first = shapes.get("downsample.down.res_down_0.proj.1.weight", ())
    last = shapes.get("output.2.weight", ())
    if not first or not last:
        raise InputError(f"it holds no network of Cellpose 1, 2 or 3: its arrays are {shortened(sorted(shapes))}")
    if len(first) != 4:
        raise InputError(f"the network sees {len(first) - 2} axes; networks of planes are read, which see volumes, too")
    if last[0] != 3:
        raise InputError(f"the network gives {last[0]} numbers per pixel; one that tells objects gives 3")
    try:
        return CellposeNetwork(channels=first[1], widths=tuple(widths))
    except ValidationError:
        raise InputError(f"a network of {first[1]} channels and levels of {shortened(widths)} is not read") from None


def _checked(tensors: Mapping[str, Any], plan: CellposeNetwork) -> dict[str, NDArray[Any]]:
    """Return the arrays of a network, having seen that they are all there, of the right shapes, and finite."""
    expected = expected_weights(plan)
    for name in tensors:
        if name not in expected:
            raise InputError(f"the array {shortened(name)} is not one of the network's")
    arrays: dict[str, NDArray[Any]] = {}
    for name, shape in expected.items():
        counts = name.endswith("num_batches_tracked")
        if counts:
            # Files of the first versions of torch have none, and nothing depends on it.
            arrays[name] = np.zeros((), np.int64)
        elif name not in tensors:
            raise InputError(f"the array {name!r} is missing")
        if name not in tensors:
            continue
        tensor = tensors[name]
        if tuple(tensor.shape) != shape or tensor.is_floating_point() == counts:
            raise InputError(f"{name} must be of shape {shape}; it is {tensor.dtype} of shape {tuple(tensor.shape)}")
        array: NDArray[Any] = (tensor.long() if counts else tensor.float()).detach().numpy().copy()
        if not np.isfinite(array).all():
            raise InputError(f"{name} has numbers that are not finite")
        if (counts or name.endswith("running_var")) and array.min() < 0:
            raise InputError(f"{name} has negative numbers")
        arrays[name] = array
    return arrays
