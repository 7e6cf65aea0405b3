"""The command that makes images whose truth is known."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from segmentry.app.cli.console import counted, note, print_json, progress_bar, show_table

if TYPE_CHECKING:
    from collections.abc import Callable

    from segmentry.image import Image
    from segmentry.result import Instances

__all__ = ["simulate"]

Switch = Annotated[bool, Parameter(negative="")]


def simulate(
    *,
    out: Annotated[Path | None, Parameter(name=["--out", "-o"])] = None,
    shape: str = "512,512",
    seed: int = 0,
    count: int | None = None,
    kind: Literal["fluorescence", "membrane", "brightfield", "histology", "plain"] = "fluorescence",
    random: Switch = False,
    set_: Annotated[list[str] | None, Parameter(name="--set", negative="")] = None,
    spacing: str | None = None,
    radius: float | None = None,
    density: float | None = None,
    noise: float | None = None,
    parameters: Switch = False,
    overwrite: Switch = False,
    json: Switch = False,
) -> None:
    """Simulate images of nuclei and cells, and write the truth beside them as NAME-labels.

    segmentry simulate -o nuclei.tif --shape 512,512 --seed 1

    segmentry simulate -o set --count 100 --random

    Parameters
    ----------
    out
        Image to write, whose suffix names the format; with --count a folder, which gets `images` and `labels`.
    shape
        Rows and columns, or planes, rows and columns.
    seed
        The same seed gives the same image.
    count
        Make this many images, of the seeds that follow.
    kind
        How it is seen. `plain` is a simple scene with few parameters: radius, density and noise.
    random
        Draw the parameters of each image at random, over wide ranges; --set holds some of them.
    set
        Parameter of the scene, `key=value` (`clumping=0.8`); may be given again.
    spacing
        Pixel size: `0.5,0.2,0.2um` or `0.2um`. Nuclei are round in space, not in pixels.
    radius
        Radius of a nucleus, in pixels of the finest axis.
    density
        Share of the image that nuclei are to cover.
    noise
        Factor on all noise; 0 gives none.
    parameters
        List all parameters of a scene, with the defaults of the kind, and make nothing.
    overwrite
        Replace files that exist.
    json
        Print as JSON what was made, or the parameters.
    """
    from segmentry.app.cli.arguments import pairs_of
    from segmentry.errors import ParameterError
    from segmentry.simulated_files import labels_beside, write_pair, write_set

    shortcuts = {"radius": radius, "density": density, "noise": noise}
    changes = {k: v for k, v in shortcuts.items() if v is not None} | pairs_of("--set", set_ or ())
    if parameters:
        return _list_parameters(kind, changes, json)
    if out is None:
        raise ParameterError("say where to write to: -o nuclei.tif, or -o FOLDER with --count")
    make = _maker(kind, random, changes, shape, seed, spacing)
    if count is not None:
        with progress_bar(count) as bar:
            objects = write_set(out, count, make, overwrite=overwrite, tell=bar)
        said = f"{counted(count, 'image')} with {counted(objects, 'object')} in {out}"
        made: dict[str, Any] = {"folder": str(out), "images": count, "objects": objects}
    else:
        labels = labels_beside(out)
        image, truth = make(0)
        write_pair(image, truth, out, labels, overwrite=overwrite)
        said = f"{counted(len(truth), 'object')} in {out}; the truth is {labels}"
        made = {"image": str(out), "labels": str(labels), "objects": len(truth), **image.provenance}
    return print_json(made) if json else note(said)


def _maker(
    kind: str, random: bool, changes: dict[str, Any], shape: str, seed: int, spacing: str | None
) -> Callable[[int], tuple[Image, Instances]]:
    """Return what makes the image of a number, having refused what can't be made."""
    from segmentry.app.cli.arguments import make_options
    from segmentry.errors import ParameterError
    from segmentry.simulation import Scene, random_scene, simulate, simulate_nuclei

    try:
        sizes = [int(n) for n in shape.split(",")]
    except ValueError:
        raise ParameterError(f"--shape {shape}: two or three whole numbers are needed, like 512,512") from None
    if seed < 0:
        raise ParameterError(f"--seed {seed} must not be negative")
    given = make_options(spacing)
    size = given.spacing * len(sizes) if given.spacing and len(given.spacing) == 1 else given.spacing
    unit = given.unit or "um"
    if kind == "plain":
        unknown = set(changes) - {"radius", "density", "noise"}
        if random or unknown:
            raise ParameterError("a plain scene has radius, density and noise only: choose another --kind for more")
        return lambda number: simulate_nuclei(sizes, seed + number, spacing=size, unit=unit, **changes)
    scene = Scene(**{"kind": kind, **changes})
    if not random:
        return lambda number: simulate(scene, sizes, seed + number, spacing=size, unit=unit)

    def drawn(number: int) -> tuple[Image, Instances]:
        one = random_scene(seed + number, max(2, min(len(sizes), 3)), scene.kind).with_(**changes)
        return simulate(one, sizes, seed + number, spacing=size, unit=unit)

    return drawn


def _list_parameters(kind: str, changes: dict[str, Any], json: bool) -> None:
    """Print the parameters of a scene, with what they are."""
    from segmentry.errors import ParameterError
    from segmentry.simulation import Scene

    if kind == "plain":
        raise ParameterError("a plain scene has radius, density and noise only")
    scene = Scene(**{"kind": kind, **changes})
    if json:
        schema = scene.model_json_schema()["properties"]
        return print_json({name: {**schema[name], "default": value} for name, value in scene.settings().items()})
    rows = [[p.name, p.kind, str(getattr(scene, p.name)), p.bounds, p.description] for p in Scene.parameters()]
    return show_table("Parameters (--set NAME=VALUE)", ["name", "type", kind, "bounds", "meaning"], rows)
