"""Commands that make and remake results."""

from __future__ import annotations

import re
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from segmentry.app.cli.arguments import make_options, make_recipe
from segmentry.app.cli.console import complain, counted, note, print_json, progress_bar
from segmentry.errors import ParameterError

__all__ = ["demo", "replay", "segment"]

Many = Parameter(consume_multiple=False)


def segment(
    inputs: Annotated[list[str], Parameter(name="INPUT", negative="")],
    /,
    *,
    out: Annotated[Path, Parameter(name=["--out", "-o"])],
    method: Annotated[str | None, Parameter(name=["--method", "-m"])] = None,
    recipe: Annotated[Path | None, Parameter(name=["--recipe", "-r"])] = None,
    set_: Annotated[list[str] | None, Parameter(name="--set", negative="")] = None,
    filter_: Annotated[list[str] | None, Parameter(name="--filter", negative="")] = None,
    clean: Annotated[list[str] | None, Parameter(name="--clean", negative="")] = None,
    analyse: Annotated[list[str] | None, Parameter(name="--analyse", negative="")] = None,
    channel: str | None = None,
    planes: Annotated[bool, Parameter(negative="")] = False,
    spacing: str | None = None,
    axes: str | None = None,
    device: str | None = None,
    save_probabilities: Annotated[bool, Parameter(negative="")] = False,
    tile: int | None = None,
    resume: Annotated[bool, Parameter(negative="")] = False,
    overwrite: Annotated[bool, Parameter(negative="")] = False,
    dry_run: Annotated[bool, Parameter(negative="")] = False,
    json: Annotated[bool, Parameter(negative="")] = False,
) -> int:
    """Segment images: labels, a table of objects, a picture and a record for each.

    For each input NAME there will be a folder OUT/NAME with labels.ome.tif (or
    labels.zarr for large images), objects.csv, overview.png and run.json;
    classes.ome.tif as well for methods that give classes.

    For example:

    segmentry segment cells.tif -o out
    segmentry segment "*.tif" -o out -m otsu --clean drop_small:min_size=50
    segmentry segment stack.nd2 -o out --channel DAPI --spacing 2,0.3,0.3um

    Parameters
    ----------
    inputs
        Image files, folders of them, or patterns in quotes.
    out
        Folder for the results.
    method
        Name of the method (`segmentry methods` lists them); nuclei when neither this nor --recipe is given.
    recipe
        YAML file with all steps, or the name of a recipe that comes along (`nuclei_classic`), instead of --method,
        --filter, --clean and --analyse.
    set_
        Parameter of the method, `key=value`, or of another step, `step.key=value`. Repeatable.
    filter_
        Filter to apply first, `name` or `name:key=value,key=value`. Repeatable, in order.
    clean
        Cleaner to apply to the objects, written as a filter is. Repeatable, in order.
    analyse
        Analysis whose table NAME.csv is written beside objects.csv, written as a filter is. Repeatable.
    channel
        Name or number (from 0) of the channel to segment.
    planes
        Treat each plane of a volume as an image of its own.
    spacing
        Pixel size instead of that in the file: `0.5,0.2,0.2um` (Z, Y, X) or `0.2um`.
    axes
        What the axes are where the file does not say or is wrong, in the order they are read: `TYX`, `CYX` …
    device
        Where networks run: `auto`, `cpu`, `cuda`; other methods use the CPU.
    save_probabilities
        Write probabilities.ome.tif as well, for methods that give them.
    tile
        Length of a tile in pixels; results don't depend on it, memory does. Chosen by size when left out.
    resume
        Keep outputs that are complete and were made by the same recipe; make the others.
    overwrite
        Replace outputs that exist.
    dry_run
        Say what would be done, and write nothing.
    json
        Print the records as JSON.
    """
    if tile is not None and tile < 1:
        raise ParameterError(f"--tile {tile} must be 1 or more")
    steps = make_recipe(method, recipe, set_ or (), filter_ or (), clean or (), channel, planes, analyse or ())
    options = make_options(spacing, save_probabilities, axes)
    from segmentry.batch import output_names, segment_files
    from segmentry.io import find_inputs
    from segmentry.mapping import MapSegmenter

    sources = find_inputs(inputs)
    if dry_run:
        return _dry_run(sources, [out / name for name in output_names(sources)], steps, options, json)
    if method is None and recipe is None:
        note(f"method: {steps.method.name}, the default (segmentry methods lists the others)")
    if device is not None and re.fullmatch(r"auto|cpu|cuda(:\d+)?", device) is None:
        raise ParameterError(f"--device {device!r} must be auto, cpu, cuda or cuda:1, cuda:2 …")
    if device not in (None, "auto", "cpu") and not isinstance(steps.method, MapSegmenter):
        raise ParameterError(f"--device {device}: {steps.method.name} runs on the CPU; networks run on a GPU")
    with _on(device):
        note(f"device: {steps.method.runs_on()}")
        with progress_bar(len(sources)) as progress:
            batch = segment_files(
                sources, out, steps, options, resume=resume, overwrite=overwrite, tile=tile, progress=progress
            )
    return _report(batch, out, json)


def _on(device: str | None) -> AbstractContextManager[None]:
    """Have networks run on a device, where one is named."""
    if device is None:
        return nullcontext()
    from segmentry.networks import on_device

    return on_device(device)


def replay(
    output: Annotated[Path, Parameter(name="OUTPUT")],
    /,
    *,
    input_: Annotated[Path | None, Parameter(name="--input")] = None,
    json: Annotated[bool, Parameter(negative="")] = False,
) -> int:
    """Make an output again from its record and say whether it is the same, byte for byte.

    The exit code is 0 when everything is reproduced, 1 when anything differs; what differs is named.

    Parameters
    ----------
    output
        Folder that `segmentry segment` made, one of the outputs in it, or a file in an output.
    input_
        The input, where it no longer lies where it was.
    json
        Print what was found as JSON.
    """
    from segmentry.replay import output_folders
    from segmentry.replay import replay as make_again

    found = []
    folders = output_folders(output)
    with progress_bar(len(folders)) as progress:
        found = [make_again(folder, input_, progress(folder)) for folder in folders]
    if json:
        print_json([{"folder": str(r.folder), "same": r.same, "differences": r.differences} for r in found])
    for result in () if json else found:
        if not result.differences:
            print(f"{result.folder}: identical, byte for byte: {', '.join(result.same)}")
        for line in result.differences:
            print(f"{result.folder}: {line}")
    return 1 if any(r.differences for r in found) else 0


def demo(*, out: Annotated[Path, Parameter(name=["--out", "-o"])] = Path("demo-output")) -> int:
    """Do the main job on a real image that ships with scikit-image: 24 ancient coins, some hardly lit.

    Parameters
    ----------
    out
        Folder for the results; what an earlier demo left there is replaced.
    """
    import skimage.data

    from segmentry.batch import segment_files

    image = Path(skimage.data.__file__).parent / "coins.png"
    steps = make_recipe(None, Path(__file__).parent / "demo.yaml", (), (), (), None, False)
    note(f"device: {steps.method.runs_on()}")
    with progress_bar(1) as progress:
        batch = segment_files([image], out, steps, overwrite=True, progress=progress)
    code = _report(batch, out, False)
    if code == 0:
        folder = out / "coins"
        print(f"  labels   {folder / 'labels.ome.tif'}")
        print(f"  table    {folder / 'objects.csv'}")
        print(f"  picture  {folder / 'overview.png'}")
        print(f"  record   {folder / 'run.json'}")
        print(f"The same with your image: segmentry segment IMAGE -o OUT   (this one was {image})")
    return code


def _dry_run(sources: list[Path], folders: list[Path], steps: Any, options: Any, as_json: bool) -> int:
    from segmentry.errors import SegmentryError, one_line
    from segmentry.io import read

    planned = []
    for source, folder in zip(sources, folders, strict=True):
        try:
            image = options.applied(read(source))
            what = f"{image.grid.axes} {image.grid.shape} {image.dtype}"
            steps.method.check(image.at("T", 0) if "T" in image.grid.axes else image) if not image.channels else None
        except SegmentryError as error:
            what = f"error: {one_line(error)}"
        planned.append({"input": str(source), "output": str(folder), "image": what, "exists": folder.exists()})
    if as_json:
        print_json({"recipe": steps.to_dict(), "inputs": planned})
    else:
        print(steps.to_yaml(), end="")
        for item in planned:
            print(f"{item['input']} ({item['image']}) -> {item['output']}{' (exists)' if item['exists'] else ''}")
    return 1 if any(str(item["image"]).startswith("error") for item in planned) else 0


def _report(batch: Any, out: Path, as_json: bool) -> int:
    if as_json:
        failed = {str(path): reason for path, reason in batch.failed.items()}
        print_json({"done": batch.done, "kept": [str(p) for p in batch.kept], "failed": failed})
    for record in batch.done:
        for warning in record["warnings"]:
            note(f"{record['input']['name']}: {warning}")
        if not as_json:
            print(f"{record['input']['name']}: {counted(record['objects'], 'object')} in {record['seconds']:.1f} s")
    if batch.kept:
        note(f"{len(batch.kept)} already done, kept")
    for path, reason in batch.failed.items():
        complain(f"{path}: {reason}" if str(path) not in reason else reason)
    made = len(batch.done) + len(batch.kept)
    if len(batch.failed) and made:
        complain(f"{len(batch.failed)} of {made + len(batch.failed)} inputs failed; the others are in {out}")
    elif made > 1:
        note(f"{made} outputs in {out}")
    return 0 if not batch.failed else 3 if made else 1
