"""Simulated images and their truth as files: one pair, or folders to train a network with."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import segmentry
from segmentry.errors import InputError, OutputError
from segmentry.image import Image
from segmentry.io import write, write_labels, written_whole
from segmentry.result import Instances

__all__ = ["RECORD", "labels_beside", "write_pair", "write_set"]

#: What records the scenes of a set; a folder that has none is never replaced.
RECORD = "scenes.json"
MOST = 100_000


def labels_beside(image: Path) -> Path:
    """Return where the truth of an image is written.

    >>> labels_beside(Path("a/nuclei.ome.tif")).name
    'nuclei-labels.ome.tif'
    """
    stem, dot, suffix = image.name.partition(".")
    return image.with_name(f"{stem}-labels{dot}{suffix}")


def write_pair(image: Image, truth: Instances, place: Path, labels: Path, *, overwrite: bool = False) -> None:
    """Write an image and its truth; both, or none.

    Raises
    ------
    OutputError
        When one exists and may not be overwritten, or the format of its name can't hold it.
    """
    for path in (place, labels):
        if path.is_dir() and not path.name.endswith(".zarr"):
            raise OutputError(f"{path} is a folder: name a file")
        if path.exists() and not overwrite:
            raise OutputError(f"{path} exists already: choose another name, or --overwrite")
    made = {"segmentry": segmentry.__version__, **image.provenance}
    fresh = not labels.exists()
    write_labels(labels, truth, provenance=made, overwrite=overwrite)
    try:
        write(place, Image(image.data, image.grid, image.channels, image.name, made), overwrite=overwrite)
    except BaseException:
        if fresh and labels.is_file():
            labels.unlink()
        raise


def write_set(
    folder: Path, count: int, make: Callable[[int], tuple[Image, Instances]], *,
    overwrite: bool = False, tell: Callable[[Path], object] = lambda _path: None,
) -> int:  # fmt: skip
    """Write images to ``images/`` and their truth to ``labels/`` under the same names, and what was drawn to a record.

    Parameters
    ----------
    folder
        Which appears whole or not at all.
    make
        Gives the image of a number from 0 on.
    tell
        Called with the name of each image before it is made.

    Returns
    -------
    Number of objects in all images.

    Raises
    ------
    InputError
        When there are too few or too many.
    OutputError
        When the folder exists and may not be overwritten, or is not of this kind.
    """
    if not 1 <= count <= MOST:
        raise InputError(f"{count} images were asked for: between 1 and {MOST:,} can be made")
    if folder.exists() and overwrite and not (folder / RECORD).is_file():
        raise OutputError(f"{folder} was not made by simulate (it has no {RECORD}) and is not replaced")
    objects, rows = 0, []
    with written_whole(folder, overwrite) as aside:
        aside.mkdir()
        for number in range(count):
            name = f"{number + 1:0{max(4, len(str(count)))}d}.tif"
            tell(folder / "images" / name)
            image, truth = make(number)
            write_pair(image, truth, aside / "images" / name, aside / "labels" / name)
            rows.append({"name": name, "objects": len(truth), **image.provenance.get("simulated", {})})
            objects += len(truth)
        said = {"segmentry": segmentry.__version__, "images": rows}
        (aside / RECORD).write_text(json.dumps(said, indent=1), "utf-8")
    return objects
