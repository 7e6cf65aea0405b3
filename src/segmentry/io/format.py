"""The contract of a file format, and what all formats share: the description that travels inside a file."""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from segmentry.errors import InputError, OutputError
from segmentry.image import Grid, Image
from segmentry.result import Instances

__all__ = ["Description", "Format", "as_instances", "check_claim"]

#: Largest number of bytes that a file may claim to unpack to, per byte of the file (deflate reaches 1,032).
MAX_RATIO = 1100
#: Where scores and classes of objects lie in what a file says of how it was made.
OBJECTS = "objects"
#: Files that unpack to less than this are never suspected.
ALWAYS_FINE = 256 * 2**20


@dataclass(frozen=True)
class Description:
    """What segmentry says inside the files that it writes, where a format has no field of its own for it.

    Parameters
    ----------
    grid
        Axes, shape, spacing, unit, interval and affine.
    channels
        Channel names.
    kind
        ``"image"``, ``"labels"`` or ``"classes"``.
    provenance
        How the file was made; empty for a mere conversion.
    """

    grid: Grid
    channels: tuple[str, ...] = ()
    kind: str = "image"
    provenance: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> str:
        """Return the description as JSON with sorted keys: the same text for the same content."""
        grid = {
            "axes": self.grid.axes,
            "shape": list(self.grid.shape),
            "spacing": self.grid.spacing and list(self.grid.spacing),
            "unit": self.grid.unit,
            "interval": self.grid.interval,
            "affine": self.grid.affine and [list(row) for row in self.grid.affine],
        }
        content = {
            "grid": grid,
            "channels": list(self.channels),
            "kind": self.kind,
            "provenance": dict(self.provenance),
        }
        return json.dumps({"segmentry": content}, sort_keys=True)

    @classmethod
    def from_json(cls, text: str | bytes) -> Description | None:
        """Return the description in a JSON text, or ``None`` where it is none of ours or is damaged."""
        try:
            content = json.loads(text)["segmentry"]
            raw = content["grid"]
            grid = Grid(
                str(raw["axes"]),
                tuple(int(n) for n in raw["shape"]),
                raw["spacing"] and tuple(float(s) for s in raw["spacing"]),
                raw["unit"],
                raw["interval"],
                raw["affine"] and tuple(tuple(float(v) for v in row) for row in raw["affine"]),
            )
            channels = tuple(str(name) for name in content["channels"])
            return cls(grid, channels, str(content["kind"]), dict(content["provenance"]))
        except (ValueError, KeyError, TypeError, AttributeError, ArithmeticError, RecursionError):
            return None


class Format:
    """One file format. A module of this package defines one or more; the registry in ``io`` lists them.

    Class attributes
    ----------------
    name
        The format's name on the command line and in messages.
    suffixes
        File endings, lower case, with the dot; the first is the one that is written.
    extra
        The extra of the package that must be installed, ``None`` when the base install suffices.
    writes
        Which kinds of thing it writes: a part of ``{"image", "labels"}``.
    holds_images
        Whether there are images in such files; otherwise only outlines of objects.
    """

    name: ClassVar[str]
    suffixes: ClassVar[tuple[str, ...]]
    extra: ClassVar[str | None] = None
    writes: ClassVar[frozenset[str]] = frozenset()
    holds_images: ClassVar[bool] = True

    def sniff(self, path: Path, head: bytes) -> bool:
        """Say whether the content of the file (its first 4,096 bytes; empty for a folder) is of this format."""
        raise NotImplementedError

    def read(self, path: Path) -> Image:
        """Open a file as an image."""
        raise InputError(f"{self.name} holds no image")

    def read_labels(self, path: Path) -> Instances:
        """Open a file as objects; the default takes the pixels of an image as ids."""
        image = self.read(path)
        if "C" in image.grid.axes:
            if image.grid.length("C") > 1:
                raise InputError(f"{path.name} has {image.grid.length('C')} channels: labels have one id per pixel")
            image = image.channel(0)
        return as_instances(image)

    def provenance(self, path: Path) -> Mapping[str, Any]:
        """Return how the file says that it was made; empty where it says nothing."""
        return self.read(path).provenance

    def write(self, path: Path, image: Image, kind: str = "image") -> None:
        """Write an image; `kind` is ``"labels"`` or ``"classes"`` where the pixels are that."""
        raise OutputError(f"{self.name} can't be written")

    def nested(self, path: Path) -> bool:
        """Say whether a path that has none of the suffixes still means this format: a place inside one of its files."""
        return False

    def settle(self, path: Path) -> None:
        """Do what remains once what was written lies in its place; nothing in most formats."""

    def write_labels(self, path: Path, labels: Instances, provenance: Mapping[str, Any]) -> None:
        """Write objects; the default writes their ids as pixels."""
        said = {key: value for key, value in provenance.items() if key != OBJECTS} | _packed(labels)
        self.write(path, Image(labels.labels, labels.grid, (), "", said), "labels")


def as_instances(image: Image) -> Instances:
    """Return the pixels of an image as objects, with the scores and classes that were written beside them."""
    found = Instances.from_labels(image.read(), image.grid)
    try:
        packed = image.provenance[OBJECTS]
        ids = _unpacked(packed["ids"], np.uint32)
        if not np.array_equal(ids, found.ids):
            return found
        scores = packed["scores"] and _unpacked(packed["scores"], np.float32)
        kinds = packed["classes"] and _unpacked(packed["classes"], np.int32)
        names = tuple(str(name) for name in packed["names"])
        if kinds is not None and len(kinds) and not 0 <= kinds.min() <= kinds.max() < len(names):
            return found
        return Instances(found.labels, found.grid, ids, scores, kinds, names)
    except (KeyError, TypeError, ValueError, zlib.error, InputError):
        return found


def _packed(labels: Instances) -> dict[str, Any]:
    """Return what is known of the objects beyond their pixels, to lie in a file beside them."""
    if labels.scores is None and labels.classes is None:
        return {}
    columns: dict[str, NDArray[Any] | None] = {"ids": labels.ids, "scores": labels.scores, "classes": labels.classes}
    coded = {name: None if values is None else _coded(values) for name, values in columns.items()}
    return {OBJECTS: {**coded, "names": list(labels.names)}}


def _coded(values: NDArray[Any]) -> str:
    little = np.ascontiguousarray(values, values.dtype.newbyteorder("<"))
    return base64.b64encode(zlib.compress(little.tobytes(), 6)).decode()


def _unpacked(text: str, dtype: type[Any]) -> NDArray[Any]:
    unpack = zlib.decompressobj()
    content = unpack.decompress(base64.b64decode(text, validate=True), ALWAYS_FINE)
    return np.frombuffer(content, np.dtype(dtype).newbyteorder("<")).astype(dtype)


def check_claim(path: Path, shape: tuple[int, ...], itemsize: int, ratio: float = MAX_RATIO) -> None:
    """Refuse a file whose header claims more pixels than its bytes can hold, before anything is allocated.

    Raises
    ------
    InputError
        With what was claimed and what the file has.
    """
    claimed = itemsize
    for n in shape:
        claimed *= max(int(n), 0)
    found = path.stat().st_size
    if claimed > max(ALWAYS_FINE, found * ratio):
        raise InputError(
            f"{path.name} claims {claimed / 1e9:.3g} GB of pixels {tuple(shape)} but has only {found:,} bytes: "
            "it is damaged or not what it says"
        )
