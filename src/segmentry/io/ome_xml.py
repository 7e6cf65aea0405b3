"""The OME-XML in the first page of an OME-TIFF: written from a description of the image, and read back."""

from __future__ import annotations

import math
import re
import xml.etree.ElementTree as ET
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from segmentry.errors import OutputError
from segmentry.image import RGB, normalise_unit, unit_ratio
from segmentry.io.arrange import Native
from segmentry.io.format import Description

__all__ = ["SECONDS", "from_xml", "planes_claimed", "stored_type", "to_xml"]

SCHEMA = "http://www.openmicroscopy.org/Schemas/OME/2016-06"
#: Where our description stands among the annotations.
NAMESPACE = "segmentry"
#: Seconds per unit of time, under the names that OME and ImageJ use.
SECONDS = {"s": 1.0, "sec": 1.0, "ms": 1e-3, "µs": 1e-6, "min": 60.0, "h": 3600.0, "d": 86400.0}

_UNITS = {"nm": "nm", "um": "µm", "mm": "mm", "cm": "cm", "m": "m"}
_TYPES = {"float32": "float", "float64": "double"} | {
    f"{s}int{n}": f"{s}int{n}" for s in ("", "u") for n in (8, 16, 32)
}
#: Types that OME does not know, each with the type that stores it without loss and the number of bits that count.
_WIDENED = {"bool": ("uint8", 1), "float16": ("float32", 16)}
_NARROWED = {widened: np.dtype(name) for name, widened in _WIDENED.items()}
_COLOURS = dict(zip(RGB, (-16776961, 16711935, 65535), strict=True))  # 0xRRGGBBAA as a signed integer
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def stored_type(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Return the type that pixels are stored with: their own, or a wider one that OME knows.

    Raises
    ------
    OutputError
        When OME has no type that holds them.

    Examples
    --------
    >>> stored_type(np.dtype("uint16")), stored_type(np.dtype(bool))
    (dtype('uint16'), dtype('uint8'))
    """
    name = _WIDENED.get(dtype.name, (dtype.name, 0))[0]
    if name not in _TYPES:
        raise OutputError(f"OME-TIFF has no pixels of type {dtype}: save as .zarr, .h5 or .npy, or convert them first")
    return np.dtype(name)


def to_xml(description: Description, dtype: np.dtype[Any]) -> bytes:
    """Return OME-XML for an image whose planes follow each other in the order of its axes; ASCII, always the same."""
    grid = description.grid
    root = ET.Element(
        "OME",
        {
            "xmlns": SCHEMA,
            "xmlns:xsi": "http://www.w3.org/2001/XMLSchema-instance",
            "xsi:schemaLocation": f"{SCHEMA} {SCHEMA}/ome.xsd",
            "Creator": "segmentry",
        },
    )
    image = ET.SubElement(root, "Image", ID="Image:0", Name=description.kind)
    pixels = ET.SubElement(
        image,
        "Pixels",
        {
            "ID": "Pixels:0",
            "DimensionOrder": "XYZCT",
            "Type": _TYPES[stored_type(dtype).name],
            **({"SignificantBits": str(_WIDENED[dtype.name][1])} if dtype.name in _WIDENED else {}),
            **{f"Size{a}": str(grid.length(a)) for a in "XYZCT"},
        },
    )
    for axis, spacing in zip(grid.spatial, grid.spacing or (), strict=grid.spacing is not None):
        pixels.set(f"PhysicalSize{axis}", repr(float(spacing)))
        pixels.set(f"PhysicalSize{axis}Unit", _UNITS[grid.unit or "um"])
    if grid.interval is not None:
        pixels.set("TimeIncrement", repr(float(grid.interval)))
        pixels.set("TimeIncrementUnit", "s")
    _add_channels(pixels, description.channels)
    ET.SubElement(pixels, "TiffData", IFD="0", PlaneCount=str(grid.length("T") * grid.length("C") * grid.length("Z")))
    ET.SubElement(image, "AnnotationRef", ID="Annotation:0")
    notes = ET.SubElement(root, "StructuredAnnotations")
    note = ET.SubElement(notes, "CommentAnnotation", ID="Annotation:0", Namespace=NAMESPACE)
    ET.SubElement(note, "Value").text = description.to_json()
    return bytes(ET.tostring(root, encoding="us-ascii", xml_declaration=True))


def _add_channels(pixels: ET.Element, names: Sequence[str]) -> None:
    for i, name in enumerate(names or [""]):
        channel = ET.SubElement(pixels, "Channel", ID=f"Channel:0:{i}", SamplesPerPixel="1")
        if names:
            channel.set("Name", _NOT_XML.sub("", name))
        if name in _COLOURS:
            channel.set("Color", str(_COLOURS[name]))


def from_xml(text: str, sizes: Mapping[str, int]) -> Native:
    """Return what OME-XML says of its first image with the given lengths of X and Y; nothing where it is damaged."""
    try:
        root = ET.fromstring(text)
        for pixels in root.iterfind("{*}Image/{*}Pixels"):
            if all(int(pixels.get(f"Size{a}", 0)) == sizes.get(a) for a in "XY"):
                return _of_pixels(pixels, _description(root))
    except (ET.ParseError, ValueError):
        pass
    return Native()


def planes_claimed(text: str) -> int:
    """Return how many planes OME-XML says that an image has at most; 0 where it is damaged."""
    try:
        images = ET.fromstring(text).iterfind("{*}Image/{*}Pixels")
        return max((math.prod(int(pixels.get(f"Size{a}", 1)) for a in "TCZ") for pixels in images), default=0)
    except (ET.ParseError, ValueError):
        return 0


def _of_pixels(pixels: ET.Element, description: Description | None) -> Native:
    spacing = {}
    unit = normalise_unit(pixels.get("PhysicalSizeXUnit", "µm"))
    for axis in "XYZ":
        own = normalise_unit(pixels.get(f"PhysicalSize{axis}Unit", "µm"))
        size = pixels.get(f"PhysicalSize{axis}")
        if size and own and unit:
            spacing[axis] = float(size) * (1.0 if own == unit else unit_ratio(own, unit))
    second = SECONDS.get(pixels.get("TimeIncrementUnit", "s"))
    increment = pixels.get("TimeIncrement")
    names = [channel.get("Name", "") for channel in pixels.iterfind("{*}Channel")]
    stored = (pixels.get("Type", "").replace("float", "float32"), int(pixels.get("SignificantBits", 0)))
    return Native(
        spacing,
        unit,
        float(increment) * second if increment and second else None,
        tuple(name or f"channel {i}" for i, name in enumerate(names)) if any(names) else (),
        description,
        _NARROWED.get(stored) if description else None,
    )


def _description(root: ET.Element) -> Description | None:
    for note in root.iterfind("{*}StructuredAnnotations/{*}CommentAnnotation"):
        if note.get("Namespace") == NAMESPACE:
            return Description.from_json(note.findtext("{*}Value") or "")
    return None
