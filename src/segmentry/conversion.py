"""One file into another: converted to another format, its labels cleaned, measured or checked."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from segmentry.analysis.compartments import measure_compartments
from segmentry.analysis.measure import Measure, stale
from segmentry.errors import InputError, OutputError
from segmentry.ilastik import pixel_model
from segmentry.ilastik_recipes import Named, object_model, recipe_content
from segmentry.image import Image
from segmentry.io import formats, read, read_labels, read_provenance, read_table, write, write_labels, written_whole
from segmentry.io.ilastik_project import read_project
from segmentry.io.tables import SHA256
from segmentry.job import Options
from segmentry.object_classification import ObjectModel
from segmentry.recipe import VERSION
from segmentry.result import Instances
from segmentry.step import Cleaner
from segmentry.trained_models import save_pixel_model
from segmentry.validation import Finding, Report, validate

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["check_file", "clean_file", "convert_file", "convert_project", "measure_file"]


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
        found = _labels(source, options)
        write_labels(target, found, provenance=read_provenance(source), overwrite=overwrite)
        return found
    image = options.applied(given) if options else given
    write(target, image, kind=image.kind, overwrite=overwrite)
    return image


def convert_project(source: Path, target: Path, *, overwrite: bool = False) -> list[str]:
    """Write the recipe that a project of ilastik means, its classifiers beside it; return what is left out.

    The models are called like the recipe, with the suffixes ``.safetensors`` and ``.objects.safetensors``.

    Raises
    ------
    SegmentryError
        When the project can't be read or has no classifier, or a file exists.
    """
    project = read_project(source)
    model = pixel_model(project)
    place = target.with_suffix(".safetensors")
    if target.suffix.lower() not in (".yaml", ".yml", ".json"):
        raise OutputError(f"{target.name}: a project becomes a recipe: name a .yaml file")
    if target.exists() and not overwrite:
        raise OutputError(f"{target} exists already: choose another name, or allow it to be overwritten")
    sorter = object_model(project)
    kinds = target.with_suffix(".objects.safetensors")
    if isinstance(sorter, ObjectModel) and kinds.exists() and not overwrite:
        raise OutputError(f"{kinds} exists already: choose another name, or allow it to be overwritten")
    save_pixel_model(place, model, overwrite=overwrite)
    sorts: Named | str = sorter if isinstance(sorter, str) else Named.file(sorter.save(kinds, overwrite=overwrite))
    content, left = recipe_content(project, Named.file(place), sorts)
    recipe = {"segmentry": VERSION, **content}
    if target.suffix.lower() == ".json":
        text = json.dumps(recipe, indent=2, ensure_ascii=False) + "\n"
    else:
        text = yaml.safe_dump(recipe, sort_keys=False, allow_unicode=True)
    with written_whole(target, overwrite) as aside:
        aside.write_text(text, "utf-8")
    return left


def clean_file(
    source: Path,
    target: Path,
    cleaners: Sequence[Cleaner],
    *,
    image: Path | None = None,
    options: Options | None = None,
    overwrite: bool = False,
) -> Instances:
    """Clean the labels in a file, write them to another, and return them.

    Parameters
    ----------
    source, target
        Files of labels, of any format.
    cleaners
        Steps in order.
    image
        What the labels are of, for steps that measure intensities.
    options
        Pixel size and axes instead of those in the files.

    Raises
    ------
    SegmentryError
        When a file can't be read, a step can't be used, or the output can't hold the labels or exists.
    """
    labels = _labels(source, options)
    seen = None if image is None else read(image)
    if seen is not None and options is not None:
        axes = options.axes if options.axes and len(options.axes) == len(seen.grid.axes) else None
        seen = replace(options, axes=axes).applied(seen)
    for cleaner in cleaners:
        labels = cleaner.apply(labels, seen).instances()
    done = [{cleaner.name: cleaner.settings()} for cleaner in cleaners]
    before = read_provenance(source)
    provenance = {**before, "cleaned": [*before.get("cleaned", ()), *done]}
    write_labels(target, labels, provenance=provenance, overwrite=overwrite)
    return labels


def measure_file(
    source: Path,
    step: Measure,
    *,
    image: Path | None = None,
    nuclei: Path | None = None,
    options: Options | None = None,
) -> pd.DataFrame:
    """Return the table of the objects in a file.

    Parameters
    ----------
    source
        File of labels.
    step
        What to measure.
    image
        Whose intensities are measured.
    nuclei
        File of labels of nuclei: those of `source` are cells then, and each row has the numbers of cell, nucleus and
        cytoplasm.
    options
        Pixel size and axes instead of those in the files.

    Raises
    ------
    InputError
        When a file can't be read, or shapes differ.
    """
    labels = _labels(source, options)
    seen = None if image is None else read(image)
    if nuclei is None:
        return step.analyse(labels, seen)
    return measure_compartments(labels, _labels(nuclei, options), seen, step)


def check_file(source: Path, options: Options | None = None, table: Path | None = None) -> Report:
    """Return what may be wrong with the labels in a file, and with a table that should be of them.

    Raises
    ------
    InputError
        When the file can't be read as labels at all: it is damaged, has several channels, or its outlines overlap; or
        the table can't be read.
    """
    try:
        labels = _labels(source, options)
        report = validate(labels)
        return report if table is None else replace(report, findings=(*_of_table(table, labels), *report.findings))
    except InputError as error:
        try:
            image = read(source)
        except InputError:
            raise error from None
        wrong = validate(image.read()) if image.grid.length("C") == 1 else None
        if wrong is None or wrong.fine:
            raise
        return wrong


def _labels(source: Path, options: Options | None) -> Instances:
    found = read_labels(source)
    if options is None or not (options.spacing or options.axes):
        return found
    seen = options.applied(Image(found.labels, found.grid))
    return replace(found, labels=seen.read(), grid=seen.grid)


def _of_table(path: Path, labels: Instances) -> Iterator[Finding]:
    """Yield whether a table says that it was made of other labels, or does not say."""
    table = read_table(path)
    if SHA256 not in table.attrs:
        yield Finding("unknown_table", "note", 1, (), f"table ({path.name}) does not say of which labels it was made")
    elif stale(table, labels):
        says = f"table ({path.name}) was made of other labels than these"
        yield Finding("stale_table", "problem", 1, (), says, "measure")
