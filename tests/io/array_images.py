"""Images for the round trips of the formats that store plain arrays, and what must come back."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from segmentry.errors import InputError
from segmentry.image import Grid, Image
from segmentry.io import read, write
from segmentry.result import Instances

SHARED = Path(__file__).parents[2].parent / "shared" / "data"
TYPES = ("bool", "u1", "u2", "u4", "i1", "i2", "i4", "f2", "f4", "f8")
lengths = st.floats(1e-6, 1e6)
names = st.text(st.characters(codec="utf-8"), min_size=1, max_size=6)


@st.composite
def grids(draw: st.DrawFn, among: str = "TCZ") -> Grid:
    """Any geometry with some of the given axes besides YX."""
    axes = "".join(a for a in among if draw(st.booleans())) + "YX"
    shape = tuple(draw(st.integers(1, 9 if a in "YX" else 3)) for a in axes)
    spatial = sum(a in "ZYX" for a in axes)
    spacing = draw(st.none() | st.tuples(*[lengths] * spatial))
    unit = draw(st.sampled_from(["nm", "um", "mm", "cm", "m"])) if spacing else None
    interval = draw(st.none() | lengths) if "T" in axes else None
    rows = draw(st.none() | st.tuples(*[st.tuples(*[st.floats(-1e6, 1e6)] * 4)] * 3))
    return Grid(axes, shape, spacing, unit, interval, rows and (*rows, (0.0, 0.0, 0.0, 1.0)))


@st.composite
def images(draw: st.DrawFn, types: tuple[str, ...] = TYPES, among: str = "TCZ") -> Image:
    """Any image of one of the types."""
    grid = draw(grids(among))
    data = draw(arrays(np.dtype(draw(st.sampled_from(types))), grid.shape))
    count = grid.length("C") if "C" in grid.axes else 0
    channels = tuple(draw(st.lists(names, min_size=count, max_size=count)))
    provenance = draw(st.dictionaries(names, st.integers() | names, max_size=2))
    return Image(data, grid, channels, "", provenance)


@st.composite
def objects(draw: st.DrawFn, largest: int = 2**32 - 1, among: str = "TZ") -> Instances:
    """Any objects with ids up to the largest."""
    grid = draw(grids(among))
    return Instances.from_labels(draw(arrays(np.uint32, grid.shape, elements=st.integers(0, largest))), grid)


def assert_same(again: Image, image: Image) -> None:
    """Everything that an image has is there again, to the last digit."""
    assert again.grid == image.grid
    assert again.dtype == image.dtype
    np.testing.assert_array_equal(again.read(), image.read())
    assert again.channels == image.channels
    assert again.provenance == image.provenance


def assert_written_alike_twice(folder: Path, suffix: str, image: Image) -> None:
    """Writing the same thing again gives the same bytes."""
    write(folder / f"one{suffix}", image)
    write(folder / f"two{suffix}", image)
    assert (folder / f"one{suffix}").read_bytes() == (folder / f"two{suffix}").read_bytes()


def assert_damage_is_one_line(path: Path, capfd: pytest.CaptureFixture[str], changes: int = 60) -> None:
    """A cut or altered file is read or refused in one line, and nothing is printed."""
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    for number in range(changes):
        content = bytearray(whole)
        if number % 2:
            del content[int(rng.integers(1, len(content))) :]
        for _ in range(number % 4):
            content[int(rng.integers(len(content)))] ^= 1 << int(rng.integers(8))
        path.write_bytes(content)
        problem = path.name
        try:
            read(path).read()
        except InputError as error:
            problem = str(error)
        assert path.name in problem
        assert "\n" not in problem
    assert capfd.readouterr() == ("", "")


def assert_slices_alike(pixels: Any, truth: np.ndarray[Any, Any]) -> None:
    """Lazy pixels are right wherever several threads slice them."""
    assert not isinstance(pixels, np.ndarray)
    assert (pixels.shape, pixels.dtype) == (truth.shape, truth.dtype)

    def one(seed: int) -> None:
        where = np.random.default_rng(seed)
        key = tuple(
            slice(*sorted(where.integers(0, n + 1, 2).tolist()), int(where.integers(1, 4))) for n in truth.shape
        )
        np.testing.assert_array_equal(pixels[key], truth[key])

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(one, range(30)))


class Recorder:
    """A lazy array that notes the largest piece that was asked of it."""

    def __init__(self, data: np.ndarray[Any, Any]) -> None:
        self.data, self.shape, self.dtype, self.largest = data, data.shape, data.dtype, 0

    def __getitem__(self, key: Any) -> Any:
        piece = self.data[key]
        self.largest = max(self.largest, piece.size)
        return piece
