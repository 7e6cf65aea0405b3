"""Networks that come with the program: a file each in the folder ``weights``, found by name."""

from __future__ import annotations

from pathlib import Path

from segmentry.errors import UnknownNameError, nearest

__all__ = ["located", "shipped", "shipped_networks"]

_FOLDER = Path(__file__).parents[1] / "weights"


def shipped_networks() -> dict[str, Path]:
    """Return the files of all networks that come with the program, by their names."""
    return {path.stem: path for path in sorted(_FOLDER.glob("*.safetensors"))}


def shipped(name: str) -> Path:
    """Return the file of a network that comes with the program.

    Raises
    ------
    UnknownNameError
        When there is none of this name.
    """
    known = shipped_networks()
    if name not in known:
        raise UnknownNameError(f"no network called {name!r} comes along{nearest(name, list(known))}")
    return known[name]


def located(file: Path) -> Path:
    """Return the file of a network, which may be named by the name of one that comes with the program."""
    return file if file.exists() else shipped_networks().get(str(file), file)
