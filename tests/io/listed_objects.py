"""Objects for the round trips of the formats that list them one by one, and damage for their files."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from segmentry.errors import SegmentryError
from segmentry.image import Grid
from segmentry.io import read_labels
from segmentry.result import Instances

names = st.text(st.characters(codec="utf-8"), min_size=1, max_size=6)
lengths = st.floats(1e-6, 1e6)


@st.composite
def instances(draw: st.DrawFn, axes: tuple[str, ...] = ("YX", "ZYX")) -> Instances:
    """Any objects: touching, in pieces, with holes, with or without scores, classes and pixel size."""
    order = draw(st.sampled_from(axes))
    depth = st.integers(1, 3 if len(axes) > 2 else 1)
    shape = tuple(draw(st.integers(1, 9) if axis in "YX" else depth) for axis in order)
    ids = [0, *draw(st.lists(st.integers(1, 2**32 - 1), max_size=4, unique=True))]
    labels = draw(arrays(np.uint32, shape, elements=st.sampled_from(ids), fill=st.nothing()))
    spatial = sum(axis in "ZYX" for axis in order)
    spacing = draw(st.none() | st.tuples(*[lengths] * spatial))
    interval = draw(st.none() | lengths) if "T" in order else None
    unit = draw(st.sampled_from(["nm", "um", "mm"])) if spacing else None
    plain = Instances.from_labels(labels, Grid(order, shape, spacing, unit, interval))
    count = len(plain)
    kinds = tuple(draw(st.lists(names, min_size=2, max_size=4, unique=True)))
    scores = draw(st.none() | arrays(np.float32, count, elements=st.floats(0, 1, width=32)))
    classes = draw(st.none() | arrays(np.int32, count, elements=st.integers(0, len(kinds) - 1)))
    if not count:
        scores = classes = None
    return Instances(labels, plain.grid, plain.ids, scores, classes, kinds)


def assert_same(back: Instances, given: Instances) -> None:
    """Check everything that an object result has, exactly."""
    assert np.array_equal(np.asarray(back.labels[...]), np.asarray(given.labels[...]))
    assert back.labels.dtype == np.uint32
    assert back.grid == given.grid
    assert back.ids.tolist() == given.ids.tolist()
    assert back.names == given.names
    for found, wanted in ((back.scores, given.scores), (back.classes, given.classes)):
        assert (found is None) == (wanted is None)
        if found is not None and wanted is not None:
            assert found.dtype == wanted.dtype
            assert found.tolist() == wanted.tolist()


def assert_damage_is_one_line(path: Path, tries: int = 300) -> None:
    """Check that truncated and altered copies of a file are read, or refused in one line."""
    good = path.read_bytes()
    chance = random.Random(0)
    for i in range(tries):
        bad = bytearray(good[: chance.randrange(1, len(good))] if i % 4 == 0 else good)
        for _ in range(chance.randrange(1, 4)):
            bad[chance.randrange(len(bad))] = chance.randrange(256)
        path.write_bytes(bad)
        message = ""
        try:
            read_labels(path)
        except SegmentryError as error:
            message = str(error)
        assert "\n" not in message
