"""One file into another format: an image as an image, labels as labels, with all that is known of them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from segmentry.image import Image
from segmentry.io import formats, read, read_labels, read_provenance, write, write_labels
from segmentry.job import Options
from segmentry.result import Instances

__all__ = ["convert_file"]


def convert_file(
    source: Path, target: Path, *, as_labels: bool = False, options: Options | None = None, overwrite: bool = False
) -> Image | Instances:
    """Convert a file to the format that the suffix of `target` names, and return what was converted.

    Labels are what a format of outlines holds or is asked for, what a file says are labels, and what `as_labels` says.

    Raises
    ------
    SegmentryError
        When the input can't be read or the output can't hold it or exists.
    """
    outlines = tuple(s for f in formats() if not f.holds_images for s in f.suffixes)
    given = None if source.name.lower().endswith(outlines) else read(source)
    inside = any(f.nested(target) for f in formats())
    if given is None or as_labels or given.kind == "labels" or target.name.lower().endswith(outlines) or inside:
        found = read_labels(source)
        if options and (options.spacing or options.axes):
            seen = options.applied(Image(found.labels, found.grid))
            found = replace(found, labels=seen.read(), grid=seen.grid)
        write_labels(target, found, provenance=read_provenance(source), overwrite=overwrite)
        return found
    image = options.applied(given) if options else given
    write(target, image, kind=image.kind, overwrite=overwrite)
    return image
