"""The picture of a result: outlines over the image, a scale bar, the histogram with the thresholds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from segmentry.image import Grid, Image
from segmentry.labelling import lookup
from segmentry.overview import Histogram
from segmentry.result import Instances

if TYPE_CHECKING:
    from PIL.Image import Image as Picture
    from PIL.ImageDraw import ImageDraw

__all__ = ["coloured", "draw_overview"]

LONGEST = 1024
SMALLEST = 480
MARGIN = 16
BAND = 34
HISTOGRAM = 150
BACK, INK, FAINT, MARK = (18, 20, 24), (235, 238, 242), (110, 118, 128), (255, 170, 40)


def draw_overview(
    image: Image,
    instances: Instances,
    title: str,
    histogram: Histogram | None = None,
    thresholds: Sequence[float] = (),
) -> Picture:
    """Return a picture of objects over their image.

    Volumes show the plane with most objects, time series the first, middle and last time point. Each object has a
    colour of its own; where there are several classes, each class has.

    Parameters
    ----------
    image
        Any axes; large images are shown by every n-th pixel.
    instances
        The objects, on the grid of the image without channels.
    title
        Written above.
    histogram, thresholds
        Drawn below, when given.
    """
    from PIL import Image as Pictures
    from PIL import ImageDraw

    views = _views(image, instances)
    panels = [_panel(pixels, labels, instances) for pixels, labels, _ in views]
    height = max(p.height for p in panels)
    width = max(sum(p.width for p in panels) + MARGIN * (len(panels) - 1), SMALLEST)
    below = HISTOGRAM + MARGIN if histogram is not None and histogram.counts.any() else 0
    canvas = Pictures.new("RGB", (width + 2 * MARGIN, BAND + height + below + MARGIN), BACK)
    draw = ImageDraw.Draw(canvas)
    draw.text((MARGIN, BAND // 2), _fitted(draw, title, width), INK, _font(15), anchor="lm")
    left = MARGIN
    for panel, (_, labels, caption) in zip(panels, views, strict=True):
        canvas.paste(panel, (left, BAND))
        if caption:
            _label(draw, (left + 8, BAND + 8), caption, "lt")
        _scale_bar(draw, image.grid, panel.width / labels.shape[1] / _step(image.grid), (left, BAND + height), panel)
        left += panel.width + MARGIN
    if below and histogram is not None:
        box = (MARGIN, BAND + height + MARGIN, MARGIN + width, BAND + height + MARGIN + HISTOGRAM - 24)
        _draw_histogram(draw, box, histogram, thresholds)
    return canvas


def _step(grid: Grid) -> int:
    return max(1, math.ceil(max(grid.spatial_shape[-2:]) / (2 * LONGEST)))


def _views(image: Image, instances: Instances) -> list[tuple[NDArray[Any], NDArray[np.uint32], str]]:
    """Return pixels (Y, X, 3), labels (Y, X) and a caption for each panel."""
    grid = instances.grid
    times = sorted({0, grid.length("T") // 2, grid.length("T") - 1}) if "T" in grid.axes else [None]
    step = _step(grid)
    views = []
    for t in times:
        lead: list[slice] = [] if t is None else [slice(t, t + 1)]
        caption = "" if t is None else f"time {t}"
        if "Z" in grid.axes:
            z = _fullest_plane(instances, lead)
            lead.append(slice(z, z + 1))
            caption = f"{caption}  plane {z}".strip()
        labels = _every(instances.labels, lead, grid.shape[-2:], step).reshape(-1, *_thinned(grid, step))[0]
        if "C" in image.grid.axes:
            lead.insert(image.grid.axes.index("C"), slice(0, 3))
        pixels = _every(image.data, lead, grid.shape[-2:], step)
        pixels = pixels.reshape(-1, *_thinned(grid, step))
        views.append((pixels, labels, caption))
    shown = coloured(np.stack([pixels for pixels, _, _ in views]), image.is_rgb)
    return [(pixels, labels, caption) for pixels, (_, labels, caption) in zip(shown, views, strict=True)]


def _thinned(grid: Grid, step: int) -> tuple[int, int]:
    return math.ceil(grid.shape[-2] / step), math.ceil(grid.shape[-1] / step)


def _every(data: Any, lead: list[slice], plane: Sequence[int], step: int) -> NDArray[Any]:
    """Return every n-th pixel of planes, read in strips."""
    rows = max(step, 2**22 // max(plane[1], 1) // step * step)
    strips = [
        # Copied, as a view would hold the whole strip.
        np.asarray(data[(*lead, slice(y, min(y + rows, plane[0])), slice(0, plane[1]))])[..., ::step, ::step].copy()
        for y in range(0, plane[0], rows)
    ]
    return np.concatenate(strips, axis=-2)


def _fullest_plane(instances: Instances, lead: list[slice]) -> int:
    count = instances.grid.length("Z")
    if not isinstance(instances.labels, np.ndarray):
        return count // 2
    volume = instances.labels[tuple(lead)] if lead else instances.labels
    filled = (volume > 0).sum(axis=(-2, -1)).ravel()
    return int(filled.argmax()) if filled.any() else count // 2


def coloured(pixels: NDArray[Any], rgb: bool) -> NDArray[np.uint8]:
    """Return intensities (views, channels, Y, X) as displayable (views, Y, X, 3), with one contrast for all views."""
    if rgb and pixels.dtype == np.uint8:
        return np.moveaxis(pixels[:, :3], 1, -1)
    exact = np.float32 if pixels.dtype.itemsize < 4 else np.float64
    values = np.moveaxis(np.nan_to_num(pixels.astype(exact), copy=False, nan=0.0, posinf=0.0, neginf=0.0), 1, 0)
    stretched = []
    for channel in values[:3]:
        low, high = np.percentile(channel, (0.5, 99.7))
        levels = np.clip((channel - low) * (255 / (high - low if high > low else 1)), 0, 255)
        stretched.append(levels.astype(np.uint8))
    while len(stretched) < 3:
        stretched.append(stretched[0] if len(values) == 1 else np.zeros_like(stretched[0]))
    return np.stack(stretched, axis=-1)


def _panel(pixels: NDArray[np.uint8], labels: NDArray[np.uint32], instances: Instances) -> Picture:
    from PIL import Image as Pictures

    longest = max(labels.shape)
    zoom = LONGEST / longest if longest > LONGEST else max(1, SMALLEST // longest, min(3, LONGEST // longest))
    size = max(1, round(labels.shape[1] * zoom)), max(1, round(labels.shape[0] * zoom))
    how = Pictures.Resampling.BILINEAR if zoom < 1 else Pictures.Resampling.NEAREST
    shown = np.asarray(Pictures.fromarray(np.ascontiguousarray(pixels)).resize(size, how)).copy()
    rows = np.minimum(np.arange(size[1]) / zoom, labels.shape[0] - 1).astype(int)
    columns = np.minimum(np.arange(size[0]) / zoom, labels.shape[1] - 1).astype(int)
    drawn = labels[np.ix_(rows, columns)]
    edge = _edges(drawn)
    marks = drawn[edge]
    if instances.classes is not None and len(instances.names) > 2:
        marks = lookup(marks, instances.ids, instances.classes.astype(np.uint32))
    shown[edge] = _colours(marks)
    return Pictures.fromarray(shown)


def _edges(labels: NDArray[np.uint32]) -> NDArray[np.bool_]:
    """Return the pixels of objects that lie within two pixels of another id."""
    edge = np.zeros(labels.shape, np.bool_)
    for axis in range(2):
        moved, marked = np.moveaxis(labels, axis, 0), np.moveaxis(edge, axis, 0)
        for distance in (1, 2):
            differs = moved[distance:] != moved[:-distance]
            marked[distance:] |= differs
            marked[:-distance] |= differs
    return edge & (labels > 0)


def _colours(ids: NDArray[np.uint32]) -> NDArray[np.uint8]:
    """Return a bright colour per id or class; numbers that follow each other differ much."""
    hue = (ids.astype(np.float64) * 0.618033988749895) % 1 * 6
    ramp = [np.clip(np.abs((hue + shift) % 6 - 3) - 1, 0, 1) for shift in (0, 4, 2)]
    return (np.stack(ramp, axis=-1) * 205 + 50).astype(np.uint8)


def _font(size: int) -> Any:
    from PIL import ImageFont

    return ImageFont.load_default(size)


def _fitted(draw: ImageDraw, text: str, width: int) -> str:
    while len(text) > 10 and draw.textlength(text, _font(15)) > width:
        text = text[:-2].rstrip("…") + "…"
    return text


def _label(draw: ImageDraw, at: tuple[float, float], text: str, anchor: str) -> None:
    draw.text(at, text, INK, _font(14), anchor=anchor, stroke_width=2, stroke_fill=(0, 0, 0))


def _scale_bar(draw: ImageDraw, grid: Grid, zoom: float, corner: tuple[int, int], panel: Picture) -> None:
    """Draw a bar of a round length, about a fifth of the panel, where the pixel size is known."""
    if grid.spacing is None:
        return
    per_unit = zoom / grid.spacing[-1]
    wanted = panel.width / 5 / per_unit
    power = 10.0 ** math.floor(math.log10(wanted))
    length = max(m * power for m in (1, 2, 5) if m * power <= wanted)
    right, bottom = corner[0] + panel.width - 14, corner[1] - 14
    bar = (right - length * per_unit, bottom - 5, right, bottom)
    draw.rectangle(bar, fill=INK, outline=(0, 0, 0))
    _label(draw, ((bar[0] + bar[2]) / 2, bottom - 9), f"{length:g} {grid.unit}", "mb")


def _draw_histogram(
    draw: ImageDraw, box: tuple[int, int, int, int], histogram: Histogram, thresholds: Sequence[float]
) -> None:
    """Draw the counts (as square roots, so that rare intensities show) with a line at each threshold."""
    left, top, right, bottom = box
    low, high = histogram.percentile(0.05), histogram.percentile(99.95)
    low, high = min([low, *thresholds]), max([high, *thresholds])
    high = high if high > low else low + 1
    columns = np.clip((histogram.values - low) / (high - low) * (right - left), -1, right - left)
    counts = np.bincount((columns[columns >= 0]).astype(int), histogram.counts[columns >= 0], right - left + 1)
    bars = max(1, min(right - left, int((histogram.counts > 0).sum())))
    edges = np.linspace(0, right - left, min(bars, 200) + 1).astype(int)
    heights = np.sqrt(np.add.reduceat(counts, edges[:-1]))
    for a, b, h in zip(edges[:-1], edges[1:], heights / max(heights.max(), 1), strict=True):
        draw.rectangle((left + a, bottom - h * (bottom - top), left + max(b - 1, a), bottom), fill=FAINT)
    draw.line((left, bottom, right, bottom), fill=INK)
    draw.text((left, bottom + 6), f"{low:.4g}", INK, _font(13), anchor="lt")
    draw.text((right, bottom + 6), f"{high:.4g}", INK, _font(13), anchor="rt")
    for value in thresholds:
        x = left + (value - low) / (high - low) * (right - left)
        draw.line((x, top, x, bottom), fill=MARK, width=2)
        draw.text((x, bottom + 6), f"threshold {value:.4g}", MARK, _font(13), anchor="mt")
