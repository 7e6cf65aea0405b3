"""The commands that look at trained networks, and give them to other programs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import App, Parameter

from segmentry.app.cli.console import note, print_json, show_table

if TYPE_CHECKING:
    from segmentry.learn.bioimage_reading import PackagedNetwork
    from segmentry.learn.network_file import Network

__all__ = ["weights"]

Switch = Annotated[bool, Parameter(negative="")]

weights = App(
    name="weights",
    help=(
        "Look at trained networks, and give them to other programs.\n\n"
        "segmentry weights info cells.safetensors\n"
        "segmentry weights export cells.safetensors cells.zip"
    ),
)


@weights.command
def info(file: Annotated[Path, Parameter(name="FILE")], /, *, json: Switch = False) -> None:
    """Say what a network is made of, what it learned from and how well it does.

    Parameters
    ----------
    file
        Network file (.safetensors), model package of bioimage.io (.zip), or name of a network that comes along.
    json
        Print as JSON.
    """
    import yaml

    from segmentry.learn.network_file import Network
    from segmentry.learn.shipped import located

    file = located(file)
    found = _opened(file)
    facts = _facts(file, found)
    card = dict(found.card) if isinstance(found, Network) else {"name": found.name, "description": found.description}
    if json:
        print_json({**facts, "card": card})
        return
    show_table("", ["", ""], [[key.replace("_", " "), _told(value)] for key, value in facts.items()])
    if card:
        print()
        print(yaml.safe_dump(card, sort_keys=False, allow_unicode=True), end="")


@weights.command
def export(
    file: Annotated[Path, Parameter(name="FILE")],
    out: Annotated[Path, Parameter(name="OUT")],
    /,
    *,
    overwrite: Switch = False,
) -> None:
    """Write a network for other programs: as an ONNX file, or as a model package of bioimage.io.

    Parameters
    ----------
    file
        Network file (.safetensors), or name of a network that comes along.
    out
        File to write: .onnx or .zip.
    overwrite
        Replace a file that exists.
    """
    from segmentry.app.cli.arguments import check_target
    from segmentry.errors import InputError, ParameterError
    from segmentry.io import written_whole
    from segmentry.learn.bioimage import save_bioimage
    from segmentry.learn.network_file import Network
    from segmentry.learn.onnx_graph import with_weights

    if out.suffix.lower() not in (".onnx", ".zip"):
        raise ParameterError(f"{out} must end in .onnx or .zip, which says what is written")
    check_target(out, overwrite)
    from segmentry.learn.shipped import located

    file = located(file)
    found = _opened(file)
    if not found.graph:
        raise InputError(f"{file} has no graph, so that other programs can't run it: train it with the extra 'train'")
    if out.suffix.lower() == ".zip":
        if not isinstance(found, Network):
            raise InputError(f"{file} is a model package already")
        save_bioimage(out, found, overwrite)
    else:
        with written_whole(out, overwrite) as aside:
            aside.write_bytes(with_weights(found.graph, found.arrays))
    note(f"{out}: {_tells(found)}; it takes {_size(found)}")


@weights.command
def int8(
    file: Annotated[Path, Parameter(name="FILE")],
    /,
    *,
    out: Annotated[Path, Parameter(name=["--out", "-o"])],
    images: Path,
    labels: Path,
    channel: str | None = None,
    unlabelled: int | None = None,
    most_lost: float = 0.005,
    overwrite: Switch = False,
) -> None:
    """Make a network ready for 8 bit, in which OpenVINO runs it several times as fast, and measure what that costs.

    segmentry weights int8 cells.safetensors --images images --labels labels -o faster.safetensors

    Then `--set precision=int8` runs it so; nothing changes without.

    Parameters
    ----------
    file
        Network file (.safetensors).
    out
        Network file to write.
    images
        Image, or folder of images, of the kind that it will see; some dozens are enough.
    labels
        Label image with the same name, or folder of them.
    channel
        Name or number of the channel to look at; all are when nothing is said.
    unlabelled
        Label of pixels that nobody told anything of.
    most_lost
        Nothing is written when the score loses more than this.
    overwrite
        Replace a file that exists.
    """
    from segmentry.app.cli.arguments import check_target
    from segmentry.network_from_files import examples_of_files
    from segmentry.network_precision import make_int8

    check_target(out, overwrite)
    make_int8(file, examples_of_files(images, labels, channel, unlabelled), out, most_lost, overwrite, note)


@weights.command(name="import")
def import_(
    file: Annotated[Path, Parameter(name="FILE")],
    /,
    *,
    out: Annotated[Path, Parameter(name=["--out", "-o"])],
    licence: str = "",
    overwrite: Switch = False,
) -> None:
    """Read a network of another program: of Cellpose 1 to 3, or of StarDist. Nothing is downloaded, and nothing run.

    segmentry weights import cyto3 -o cyto3.safetensors
    segmentry weights import 2D_versatile_fluo.zip -o nuclei.safetensors

    Then `segmentry segment image.tif -o out --method cellpose --set model=cyto3.safetensors` runs it; networks of
    StarDist run by the method stardist.

    Parameters
    ----------
    file
        Network of Cellpose (a file of torch), or model of StarDist (its folder, or a zip file of it).
    out
        Network file to write (.safetensors).
    licence
        Licence of the network, for its card: the file does not tell.
    overwrite
        Replace a file that exists.
    """
    from segmentry.app.cli.arguments import check_target
    from segmentry.foreign_networks import imported
    from segmentry.learn.network_file import save_network

    check_target(out, overwrite)
    found = imported(file, licence, note)
    save_network(out, found, overwrite)
    method = "stardist" if found.representation.name == "stars" else "cellpose"
    note(f"{out}: {_tells(found)}; licence {licence or 'not told'}; segment by it with --method {method}")


@weights.command(name="list")
def list_(folder: Annotated[Path | None, Parameter(name="FOLDER")] = None, /, *, json: Switch = False) -> None:
    """List the networks that come along, or those in a folder, with a line each.

    Parameters
    ----------
    folder
        Where network files and model packages lie; those that come along when nothing is said.
    json
        Print as JSON.
    """
    from segmentry.errors import InputError
    from segmentry.learn.shipped import shipped_networks

    if folder is not None and not folder.is_dir():
        raise InputError(f"{folder} is no folder")
    among = shipped_networks().values() if folder is None else folder.iterdir()
    facts, rows = [], []
    for file in sorted(path for path in among if path.suffix.lower() in (".safetensors", ".zip")):
        try:
            found = _opened(file)
        except InputError as error:
            if json:
                facts.append({"file": str(file), "error": str(error)})
            rows.append([file.name, "", str(error).removeprefix(f"{file} ")])
            continue
        facts.append(_facts(file, found))
        rows.append([file.name, _size(found), _tells(found)])
    if json:
        print_json(facts)
    elif rows:
        show_table("", ["file", "takes", "tells"], rows)
    else:
        note("no networks come along" if folder is None else f"there are no networks in {folder}")


def _opened(file: Path) -> Network | PackagedNetwork:
    """Return the network in a file of ours, or in a model package."""
    from segmentry.learn.bioimage_reading import load_bioimage
    from segmentry.learn.network_file import load_network

    return load_bioimage(file) if file.suffix.lower() == ".zip" else load_network(file)


def _facts(file: Path, found: Network | PackagedNetwork) -> dict[str, Any]:
    from segmentry.learn.network_file import Network
    from segmentry.trained import file_sha256

    ours: dict[str, Any] = {}
    if isinstance(found, Network):
        ours = {
            "representation": found.representation.name,
            "architecture": found.architecture.model_dump(mode="json"),
            "numbers": sum(array.size for array in found.arrays.values()),
        }
    return {
        "file": str(file),
        "sha256": file_sha256(file),
        "tells": _tells(found),
        "classes": list(found.names),
        "channels": list(found.channels),
        **ours,
        "scaling": found.scaling.model_dump(mode="json"),
        "spacing": None if found.spacing is None else list(found.spacing),
        "unit": found.unit,
        "tile": list(found.tile),
        "multiple": list(found.multiple),
        "engines": ["onnxruntime", "openvino", *(["torch"] if ours else [])] if found.graph else ["torch"],
    }


def _tells(found: Network | PackagedNetwork) -> str:
    from segmentry.learn.network_file import Network

    what = found.representation.name if isinstance(found, Network) else found.heads[0].kind
    return f"{what} of {', '.join(found.names)}"


def _size(found: Network | PackagedNetwork) -> str:
    channels = len(found.channels)
    return f"images of {channels} channel{'s' * (channels != 1)} and {len(found.multiple)} axes"


def _told(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {_told(part)}" for key, part in value.items() if part not in (None, [], ""))
    if isinstance(value, list):
        return ", ".join(_told(part) for part in value) if not _nested(value) else " ".join(map(_inner, value))
    return f"{value:,}" if type(value) is int else "" if value is None else str(value)


def _nested(value: list[Any]) -> bool:
    return any(isinstance(part, list) for part in value)


def _inner(value: Any) -> str:
    return "x".join(str(part) for part in value) if isinstance(value, list) else str(value)
