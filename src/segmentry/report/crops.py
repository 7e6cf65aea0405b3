"""Small pictures of a report: a part of an image under the outlines of the truth and of the prediction, as SVG."""

from __future__ import annotations

import base64
import io
import itertools
import math
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any
from xml.etree.ElementTree import Element, SubElement, tostring

import numpy as np
from numpy.typing import NDArray

from segmentry.errors import InputError
from segmentry.evaluation import Rules, Source
from segmentry.image import Array, Grid, Image
from segmentry.io import read, read_labels
from segmentry.picture import coloured
from segmentry.report.charts import shown
from segmentry.result import as_labels
from segmentry.workspace import Frame

__all__ = ["Box", "Scene", "around", "open_scene"]

#: A picture has at most so many pixels along a side; larger parts are shown by every n-th pixel.
LONGEST = 256
SMALLEST = 32
SIDES = ("truth", "predicted")


@dataclass(frozen=True)
class Box:
    """A rectangle in a plane: where it starts and stops, in pixels."""

    top: int
    bottom: int
    left: int
    right: int


@dataclass(frozen=True, eq=False)
class Scene:
    """The files of one image at one time point, opened.

    Parameters
    ----------
    truth, predicted
        Ids of objects, or classes, on `grid`.
    image
        What was segmented, where its file is known.
    """

    truth: Array
    predicted: Array
    grid: Grid
    image: Image | None

    def draw(self, plane: int, box: Box, title: str, marked: tuple[Collection[int], Collection[int]] = ((), ())) -> str:
        """Return a part of a plane as SVG, with the outlines of some true and some predicted ids strengthened."""
        step = max(1, math.ceil(max(box.bottom - box.top, box.right - box.left) / LONGEST))
        height, width = (math.ceil((b - a) / step) for a, b in ((box.top, box.bottom), (box.left, box.right)))
        across = [s / min(self.grid.anisotropy[-2:]) for s in self.grid.anisotropy[-2:]]
        tall, wide = height * across[0], width * across[1]
        svg = Element("svg", {"viewBox": f"0 0 {shown(wide)} {shown(tall)}", "class": "crop", "role": "img"})
        SubElement(svg, "title").text = title
        url = "data:image/png;base64," + base64.b64encode(_png(self._pixels(plane, box, step))).decode()
        size = {"width": shown(wide), "height": shown(tall), "preserveAspectRatio": "none"}
        SubElement(svg, "image", {"href": url, **size})
        scale = "" if across == [1, 1] else f"scale({across[1]:.6g} {across[0]:.6g})"
        for labels, side, ids in zip((self.truth, self.predicted), SIDES, marked, strict=True):
            for kind, path in _paths(self._plane(labels, plane, box, step, margin=1), ids, box, step).items():
                for layer in ("halo", side) if kind else (side,):
                    given = {"class": f"{layer} {kind}".strip(), "d": path}
                    SubElement(svg, "path", given | ({"transform": scale} if scale else {}))
        _scale_bar(svg, self.grid, wide, tall, step)
        return tostring(svg, encoding="unicode")

    def worst_plane(self) -> int:
        """Return the plane in which most pixels differ; 0 where there is only one."""
        if "Z" not in self.grid.axes:
            return 0
        whole = Box(0, self.grid.shape[-2], 0, self.grid.shape[-1])
        differ = [
            np.count_nonzero(self._plane(self.truth, z, whole) != self._plane(self.predicted, z, whole))
            for z in range(self.grid.length("Z"))
        ]
        return int(np.argmax(differ))

    def _plane(self, array: Array, plane: int, box: Box, step: int = 1, margin: int = 0) -> NDArray[np.uint32]:
        """Return ids of a part of a plane, with a margin of so many pixels on each side where the image has them."""
        y, x = (slice(a - margin * step if a >= margin * step else a, b + margin * step) for a, b in _sides(box))
        lead = (slice(plane, plane + 1),) if "Z" in self.grid.axes else ()
        found = np.asarray(array[(*lead, y, x)])
        return np.ascontiguousarray(found.reshape(found.shape[-2:])[::step, ::step], np.uint32)

    def _pixels(self, plane: int, box: Box, step: int) -> NDArray[np.uint8]:
        """Return what lies under the outlines: the image with a contrast of its own, or else a shade per object."""
        if self.image is None:
            ids = self._plane(self.truth, plane, box, step)
            shade = np.where(ids > 0, 96 + ids * np.uint32(47) % 64, 40).astype(np.uint8)
            return np.repeat(shade[..., None], 3, axis=-1)
        axes = self.image.grid.axes
        place = {"Z": slice(plane, plane + 1), "Y": slice(box.top, box.bottom), "X": slice(box.left, box.right)}
        found = self.image.read(tuple(place.get(a, slice(0, 3)) for a in axes))[..., ::step, ::step]
        channels = min(self.image.grid.length("C"), 3)
        return np.asarray(coloured(found.reshape(1, channels, *found.shape[-2:]), self.image.is_rgb)[0])


def open_scene(source: Source, rules: Rules) -> Scene:
    """Open the files of an image that was judged.

    Raises
    ------
    InputError
        When they can't be read, or the image has another shape than its labels.
    """
    images = [_labels(path, rules.classes) for path in (source.truth, source.predicted)]
    grids = [image.grid if rules.spacing is None else rules.spacing.applied(image).grid for image in images]
    grid = grids[0] if grids[0].spacing else grids[1]
    seen = None if source.image is None else read(source.image)
    if seen is not None and seen.grid.without("C").shape != grid.shape:
        raise InputError(
            f"{source.image} has shape {seen.grid.shape} ({seen.grid.axes}), its labels {grid.shape} ({grid.axes}): "
            "is it the image that was segmented?"
        )
    arrays = [image.data for image in images]
    if isinstance(rules.ignore, int):
        true = images[0].read()
        arrays[0] = np.where(true == rules.ignore, np.uint32(0), true)
    if source.time is not None:
        arrays = [Frame(array, (source.time,)) for array in arrays]
        seen = seen and seen.at("T", source.time)
    return Scene(arrays[0], arrays[1], grid.without("T"), seen)


def around(box: Box, plane: tuple[int, int]) -> Box:
    """Return a square with a box in its middle and some context around it, moved into a plane of that shape.

    >>> around(Box(0, 10, 50, 60), (64, 64))
    Box(top=0, bottom=32, left=32, right=64)
    """
    side = max(SMALLEST, round(1.7 * max(box.bottom - box.top, box.right - box.left)) + 8)
    ends = []
    for (low, high), size in zip(_sides(box), plane, strict=True):
        length = min(side, size)
        start = min(max((low + high - length) // 2, 0), size - length)
        ends += [start, start + length]
    return Box(*ends)


def _labels(path: Any, classes: bool) -> Image:
    if not classes:
        found = read_labels(path)
        return Image(found.labels, found.grid)
    image = read(path)
    return image.with_data(as_labels(image.read()))


def _sides(box: Box) -> tuple[tuple[int, int], tuple[int, int]]:
    return (box.top, box.bottom), (box.left, box.right)


def _png(pixels: NDArray[np.uint8]) -> bytes:
    from PIL import Image as Pictures

    grey = bool((pixels == pixels[..., :1]).all())
    file = io.BytesIO()
    Pictures.fromarray(np.ascontiguousarray(pixels[..., 0] if grey else pixels)).save(file, "PNG", optimize=True)
    return file.getvalue()


def _paths(labels: NDArray[np.uint32], marked: Collection[int], box: Box, step: int) -> dict[str, str]:
    """Return the outlines of the ids that are marked, and of the others, as paths from the box's corner."""
    from segmentry.kernels.contours import trace_outlines

    found: dict[str, list[str]] = {"": [], "marked": []}
    margin = np.array([start >= step for start, _ in _sides(box)], np.int64)
    for number, polygons in trace_outlines(labels).objects():
        rings = [_ring(ring - margin) for polygon in polygons for ring in polygon]
        found["marked" if number in marked else ""] += rings
    return {kind: "".join(rings) for kind, rings in found.items() if rings}


def _ring(points: NDArray[np.int64]) -> str:
    """Return a ring of horizontal and vertical edges as a path."""
    y, x = points[0]
    edges = (f"H{b[1]}" if a[0] == b[0] else f"V{b[0]}" for a, b in itertools.pairwise(points))
    return f"M{x} {y}{''.join(edges)}Z"


def _scale_bar(svg: Element, grid: Grid, wide: float, tall: float, step: int) -> None:
    """Draw a bar of a round length, about a third of the picture at most, where the pixel size is known."""
    if grid.spacing is None:
        return
    length_of_one = min(grid.spacing[-2:]) * step
    wanted = wide * length_of_one / 3
    power = 10.0 ** math.floor(math.log10(wanted))
    length = max(m * power for m in (1, 2, 5) if m * power <= wanted)
    bar = length / length_of_one
    high = tall / 60
    at = {"x": shown(wide * 0.96 - bar), "y": shown(tall * 0.95), "width": shown(bar), "height": shown(high)}
    SubElement(svg, "rect", {"class": "scale", **at})
    size = {"font-size": shown(min(tall, wide) / 15), "text-anchor": "middle"}
    where = {"x": shown(wide * 0.96 - bar / 2), "y": shown(tall * 0.93)}
    text = SubElement(svg, "text", {"class": "scale", **where, **size})
    text.text = f"{length:g} {'µm' if grid.unit == 'um' else grid.unit}"
