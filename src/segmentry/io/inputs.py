"""Which inputs are meant: files, folders of files and patterns become one list."""

from __future__ import annotations

import glob
import os
from collections.abc import Sequence
from pathlib import Path

from segmentry.errors import InputError
from segmentry.io.files import formats

__all__ = ["find_inputs"]


def find_inputs(given: Sequence[str | os.PathLike[str]], labels: bool = False) -> list[Path]:
    """Return the files that paths, folders and patterns name, without repeats, folders and patterns sorted by name.

    A folder that is an image by itself (OME-Zarr, a DICOM series) is one input. In any other folder every file whose
    suffix is that of a known format counts; hidden files and the rest are passed over. Files of outlines (COCO JSON,
    GeoJSON, ImageJ ROIs) count only where `labels` are wanted.

    Raises
    ------
    InputError
        When a path does not exist, or a folder or pattern holds no image.
    """
    found: dict[Path, None] = {}
    for item in given:
        path = Path(item)
        if path.is_dir() and not _is_image(path):
            matches = sorted(p for p in path.iterdir() if _looks_readable(p, labels))
            if not matches:
                raise InputError(f"{path} holds no file of a known format")
        elif path.exists():
            matches = [path]
        elif glob.has_magic(str(item)):
            matches = sorted(Path(p) for p in glob.glob(str(item), recursive=True))
            if not matches:
                raise InputError(f"no file matches {str(item)!r}")
        else:
            raise InputError(f"{path} does not exist")
        found.update(dict.fromkeys(matches))
    return list(found)


def _is_image(folder: Path) -> bool:
    return any(form.sniff(folder, b"") for form in formats())


def _looks_readable(path: Path, labels: bool) -> bool:
    if path.name.startswith("."):
        return False
    if path.is_dir():
        return _is_image(path)
    return any(path.name.lower().endswith(f.suffixes) for f in formats() if f.holds_images or labels)
