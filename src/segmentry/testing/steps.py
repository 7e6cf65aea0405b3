"""The promises of steps and formats as checks."""

from __future__ import annotations

import itertools
import json
import pickle
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segmentry.errors import ParameterError
from segmentry.image import RGB, Grid, Image
from segmentry.io.format import Format
from segmentry.labelling import survey
from segmentry.result import Instances, Result
from segmentry.run import run
from segmentry.step import Cleaner, Filter, Segmenter, Step

__all__ = [
    "CLEANER_CHECKS",
    "FILTER_CHECKS",
    "SEGMENTER_CHECKS",
    "check_cleaner",
    "check_filter",
    "check_format",
    "check_segmenter",
    "sample_image",
]

INTEGERS = ("u1", "u2", "u4", "u8", "i1", "i2", "i4", "i8")
REALS = ("f2", "f4", "f8")


def check_segmenter(segmenter: Segmenter) -> None:
    """Assert every promise of a method."""
    for check in SEGMENTER_CHECKS:
        check(segmenter)


def check_filter(step: Filter) -> None:
    """Assert every promise of a filter."""
    for check in FILTER_CHECKS:
        check(step)


def check_cleaner(step: Cleaner) -> None:
    """Assert every promise of a cleaner."""
    for check in CLEANER_CHECKS:
        check(step)


def sample_image(
    axes: str = "YX", dtype: str = "u1", spacing: bool = False, seed: int = 0, channels: tuple[str, ...] = ()
) -> Image:
    """Return a noisy image of bright balls, some touching, some cut by the edge.

    Parameters
    ----------
    axes
        Canonical axes; Z has 12 pixels, T 2, C 2 (or one for each name), Y 48 and X 56.
    dtype
        Type of the pixels, whose values lie between 0 and 120.
    spacing
        Whether the pixel size is known; planes are then two pixels apart.
    channels
        Names of the channels, where there are any.
    """
    rng = np.random.default_rng(seed)
    sizes = {"T": 2, "C": len(channels) or 2, "Z": 12, "Y": 48, "X": 56}
    shape = tuple(sizes[a] for a in axes)
    grid = Grid(axes, shape)
    place = np.indices(grid.spatial_shape).astype(np.float64)
    frames = []
    for _ in range(grid.size // int(np.prod(grid.spatial_shape))):
        frame = rng.normal(20, 4, grid.spatial_shape)
        for centre in rng.uniform(0, 1, (14, len(grid.spatial))) * grid.spatial_shape:
            squared = ((place - centre.reshape(-1, *(1,) * len(grid.spatial))) ** 2).sum(axis=0)
            frame[squared < rng.uniform(3, 7) ** 2] += rng.uniform(50, 70)
        frames.append(frame)
    pixels = np.clip(np.rint(np.stack(frames)), 0, 120).reshape(shape).astype(dtype)
    if spacing:
        grid = replace(grid, spacing=(2.0, 1.0, 1.0)[3 - len(grid.spatial) :], unit="um")
    return Image(pixels, grid, channels)


def _axes(segmenter: Segmenter) -> list[str]:
    return ["ZYX" if n == 3 else "YX" for n in segmenter.fits()]


def _same(one: Result, other: Result) -> None:
    a, b = one.instances(), other.instances()
    assert np.array_equal(np.asarray(a.labels[...]), np.asarray(b.labels[...])), "labels differ"
    assert np.array_equal(a.ids, b.ids), "ids differ"
    assert (a.scores is None) == (b.scores is None), "scores are there in one result and not in the other"
    assert a.scores is None or b.scores is None or np.array_equal(a.scores, b.scores, equal_nan=True), "scores differ"
    assert np.array_equal(np.asarray(one.semantic().classes[...]), np.asarray(other.semantic().classes[...]))


def _valid(result: Result, grid: Grid) -> None:
    instances = result.instances()
    labels = np.asarray(instances.labels[...])
    assert instances.grid == grid, f"the grid became {instances.grid}"
    assert labels.dtype == np.uint32, f"labels are {labels.dtype}"
    assert np.array_equal(survey(labels).ids, instances.ids), "ids are not those in the labels"
    assert np.array_equal(np.argsort(survey(labels).first), np.arange(len(instances))), (
        "ids don't count in raster order"
    )
    if instances.scores is not None:
        assert ((instances.scores >= 0) & (instances.scores <= 1)).all(), "scores beyond 0 and 1"


def leaves_the_input_untouched(segmenter: Segmenter) -> None:
    """The image is not written to, nor is the step."""
    for axes in _axes(segmenter):
        image = sample_image(axes)
        before, settings = image.read().copy(), segmenter.model_dump()
        image.read().flags.writeable = False
        segmenter.segment(image)
        assert np.array_equal(before, image.read()), "the image was changed"
        assert segmenter.model_dump() == settings, "the step was changed"


def gives_the_same_twice(segmenter: Segmenter) -> None:
    """Two runs give one result, on the image's own grid with ids in raster order."""
    for axes, spacing in itertools.product(_axes(segmenter), (False, True)):
        image = sample_image(axes, spacing=spacing)
        result = segmenter.segment(image)
        _valid(result, image.grid)
        _same(result, segmenter.segment(image))


def stands_degenerate_images(segmenter: Segmenter) -> None:
    """Black, constant, one-pixel and NaN images give a valid result; where there is no number there is no object."""
    for axes in _axes(segmenter):
        ndim = len(axes)
        pixels: NDArray[Any]
        for pixels in (
            np.zeros((9,) * ndim, np.uint8),
            np.full((9,) * ndim, 77, np.uint16),
            np.full((1,) * ndim, 5, np.uint8),
            np.full((1,) * ndim, 0.5, np.float32),
            np.full((5,) * ndim, np.nan, np.float32),
            np.full((5,) * ndim, np.inf, np.float64),
        ):
            image = Image.from_array(pixels, axes)
            outcome = run(segmenter, image)
            for result in (outcome.result, outcome.instances):
                _valid(result, image.grid)
                assert np.isfinite(pixels).all() or not len(result.instances()), "objects where there is no number"


def takes_nan_as_background(segmenter: Segmenter) -> None:
    """A pixel that is not finite belongs to no object, and spoils no other."""
    for axes in _axes(segmenter):
        image = sample_image(axes, "f4")
        pixels = image.read().copy()
        pixels.ravel()[5::97] = np.nan
        pixels.ravel()[60::197] = np.inf
        outcome = run(segmenter, Image(pixels, image.grid))
        labels = np.asarray(outcome.instances.labels[...])
        assert not labels[~np.isfinite(pixels)].any(), "an object where there is no number"
        assert len(outcome.instances), "nothing found because of a few pixels without a number"


def takes_every_type(segmenter: Segmenter) -> None:
    """All integer types give one result, all real types give one result; bool works."""
    for axes in _axes(segmenter):
        for kinds in (INTEGERS, REALS):
            first = segmenter.segment(sample_image(axes, kinds[0]))
            for kind in kinds[1:]:
                _same(first, segmenter.segment(sample_image(axes, kind)))
        image = sample_image(axes)
        _valid(segmenter.segment(Image(image.read() > 60, image.grid)), image.grid)


def takes_any_order_of_axes(segmenter: Segmenter) -> None:
    """An array whose axes come in another order gives the same result."""
    for axes in [*_axes(segmenter), *("T" + a for a in _axes(segmenter))]:
        image = sample_image(axes)
        expected = run(segmenter, image).result
        for order in list(itertools.permutations(range(len(axes))))[:6]:
            given = "".join(axes[i] for i in order)
            moved = Image.from_array(image.read().transpose(order), given)
            _same(expected, run(segmenter, moved).result)


def survives_json(segmenter: Step) -> None:
    """Parameters go through JSON, and the step through pickle, unchanged."""
    again = type(segmenter)(**json.loads(json.dumps(segmenter.settings())))
    assert again == segmenter, f"{again} came back for {segmenter}"
    assert pickle.loads(pickle.dumps(segmenter)) == segmenter
    for parameter in segmenter.parameters():
        assert parameter.description, f"{parameter.name} has no description"


def refuses_unknown_parameters(segmenter: Step) -> None:
    """An unknown parameter is refused with the nearest known one."""
    known = segmenter.parameter_names()
    wrong = known[0] + "x" if known else "anything"
    said = ""
    try:
        type(segmenter)(**{wrong: 1})
    except ParameterError as error:
        said = str(error)
    assert said, f"{wrong} was taken for a parameter"
    assert wrong in said, "the message does not name the parameter"
    assert not known or known[0] in said, "the message does not name the nearest"
    assert "\n" not in said, "the message has several lines"


def tiled_equals_whole(segmenter: Segmenter) -> None:
    """The result does not depend on tiles, threads or whether planes are apart, bit for bit."""
    cases = [(a, False) for a in _axes(segmenter)] + [("T" + a, False) for a in _axes(segmenter)]
    if 2 in segmenter.fits():
        cases.append(("TZYX", True))
    for axes, planes in cases:
        image = sample_image(axes, "u2", spacing=True)
        whole = run(segmenter, image, planes=planes)
        for tile, threads in ((17, 1), (11, 2), (1000, 2)):
            tiled = run(segmenter, image, planes=planes, tile=tile, threads=threads)
            _same(whole.result, tiled.result)
            _same(whole.instances, tiled.instances)


def _volumes(step: Filter) -> list[Image]:
    kinds = (("CYX" if step.colour else "YX", "u1"), ("CZYX" if step.colour else "ZYX", "u2"), ("TCZYX", "f4"))
    return [sample_image(axes, kind, spacing=True, channels=RGB if step.colour else ()) for axes, kind in kinds]


def filter_leaves_the_input_untouched(step: Filter) -> None:
    """The image is not written to; the result has its axes and channels, in float32."""
    for image in _volumes(step):
        before = image.read().copy()
        after = step.apply(image)
        assert np.array_equal(before, image.read()), "the image was changed"
        assert after.dtype == np.float32, f"the result is {after.dtype}"
        allowed = (image.grid.axes, image.grid.axes.replace("C", "") if step.colour else "")
        assert after.grid.axes in allowed, f"axes {image.grid.axes} became {after.grid.axes}"
        assert after.channels == image.channels or step.colour, "channels changed"


def filter_windows_equal_whole(step: Filter) -> None:
    """Any window of the lazy result has the same values as the result computed at once, bit for bit."""
    rng = np.random.default_rng(0)
    for image in _volumes(step):
        ready = step.prepared(image)
        whole = ready.apply(image).read()
        view = ready.view(image)
        for _ in range(10):
            starts = [int(rng.integers(0, n)) for n in whole.shape]
            region = tuple(slice(a, int(rng.integers(a + 1, n + 1))) for a, n in zip(starts, whole.shape, strict=True))
            assert np.array_equal(view.read(region), whole[region]), f"{region} differs from the whole"


def filter_stands_degenerate_images(step: Filter) -> None:
    """Black, constant and one-pixel images come through finite."""
    pixels: NDArray[Any]
    for pixels in (np.zeros((9, 9), np.uint8), np.full((4, 5), 7, np.uint16), np.ones((1, 1), np.float32)):
        colours, axes = (np.stack([pixels] * 3), "CYX") if step.colour else (pixels, "YX")
        image = Image.from_array(colours, axes, spacing=(1, 1), channels=RGB if step.colour else ())
        found = step.apply(image).read()
        assert np.isfinite(found).all(), "not finite"


def _objects(axes: str, seed: int = 0) -> Instances:
    """Return touching boxes with holes, ids with gaps, on a grid with spacing."""
    image = sample_image(axes, spacing=True, seed=seed)
    rng = np.random.default_rng(seed)
    labels = np.zeros(image.grid.shape, np.uint32)
    for i in range(40):
        size = [int(rng.integers(1, 12)) for _ in labels.shape]
        at = [int(rng.integers(0, n)) for n in labels.shape]
        box = tuple(slice(a, a + s) for a, s in zip(at, size, strict=True))
        labels[box] = 7 * i + 1
        labels[tuple(slice(s.start + 1, min(s.stop - 1, s.start + 2 + i % 3)) for s in box)] = 0
    found = Instances.from_labels(labels, image.grid)
    return replace(found, scores=np.linspace(0, 1, len(found)).astype(np.float32))


def cleaner_keeps_ids(step: Cleaner) -> None:
    """The input is untouched; objects keep id and score, unless the step is there to renumber."""
    for axes in ("YX", "ZYX", "TYX", "TZYX"):
        before = _objects(axes)
        copy = np.asarray(before.labels[...]).copy()
        after = step.apply(before, sample_image(axes, spacing=True)).instances()
        assert np.array_equal(copy, np.asarray(before.labels[...])), "the labels were changed in place"
        assert np.array_equal(survey(after.labels).ids, after.ids), "ids are not those in the labels"
        if not step.renumbers:
            origins = _origins(step, before, after)
            assert before.scores is not None
            assert after.scores is not None
            kept = np.searchsorted(before.ids, origins)
            assert np.array_equal(before.scores[kept], after.scores), "scores went to other objects"


def _origins(step: Cleaner, before: Instances, after: Instances) -> NDArray[np.uint32]:
    """Return for each object after cleaning the object that it was, or was a part of."""
    top = before.ids.max()
    new = after.ids > top
    assert np.isin(after.ids[~new], before.ids).all(), "new ids among the old ones"
    assert step.splits or not new.any(), "new ids"
    old, labels = np.asarray(before.labels[...]), np.asarray(after.labels[...])
    assert np.array_equal(after.ids[new], top + np.arange(1, np.count_nonzero(new) + 1)), "new ids have gaps"
    origins = after.ids.copy()
    heads = survey(labels).first[new]
    assert (np.diff(heads) > 0).all(), "new ids don't count in raster order"
    origins[new] = old.ravel()[heads]
    for part, origin in zip(after.ids[new], origins[new], strict=True):
        assert (old[labels == part] == origin).all(), "a part reaches beyond its object"
        assert origin in after.ids, "no part kept the id"
    return origins


def cleaner_pieces_equal_whole(step: Cleaner) -> None:
    """Cleaning in pieces gives the same as cleaning the whole."""
    from segmentry.mending import mend

    if step.renumbers:
        return
    for axes, seed in itertools.product(("YX", "ZYX"), range(3)):
        before = _objects(axes, seed)
        image = step.pictured(before.grid, sample_image(axes, spacing=True, seed=seed))
        ready = step if image is None else step.prepared(image)
        whole = ready.clean(before, image)
        for tile in (5, 16):
            pieces = mend(ready, before, image, tile=(tile,) * len(axes))
            _same(pieces, whole)


def cleaner_stands_degenerate_results(step: Cleaner) -> None:
    """No object, one object everywhere, one pixel."""
    for labels in (np.zeros((6, 6)), np.full((6, 6), 3), np.ones((1, 1)), np.zeros((1, 1, 1))):
        image = Image.from_array(labels, spacing=(1,) * labels.ndim)
        step.apply(Instances.from_labels(labels.astype(np.uint32), image.grid), image)


def check_format(form: Format) -> None:
    """Assert that a format that writes gives back what was written: pixels, geometry, channel names, ids."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"sample{form.suffixes[0]}"
        if "image" in form.writes:
            image = sample_image("YX", "u2", spacing=True)
            form.write(path, image)
            again = form.read(path)
            assert again.grid == image.grid, f"{image.grid} became {again.grid}"
            assert np.array_equal(again.read(), image.read()), "pixels changed"
        if "labels" in form.writes:
            labels: NDArray[np.uint32] = np.zeros((9, 8), np.uint32)
            labels[1:3, 2:5], labels[5, 5], labels[0, 7] = 3, 1, 40_000
            before = Instances.from_labels(labels, Grid("YX", (9, 8), (0.25, 0.5), "um"))
            target = path.with_name(f"labels{form.suffixes[0]}")
            form.write_labels(target, before, {})
            after = form.read_labels(target)
            assert np.array_equal(np.asarray(after.labels[...]), labels), "labels changed"
            assert after.grid == before.grid, f"{before.grid} became {after.grid}"


Check = Callable[[Any], None]

SEGMENTER_CHECKS: tuple[Check, ...] = (
    leaves_the_input_untouched,
    gives_the_same_twice,
    stands_degenerate_images,
    takes_nan_as_background,
    takes_every_type,
    takes_any_order_of_axes,
    survives_json,
    refuses_unknown_parameters,
    tiled_equals_whole,
)
FILTER_CHECKS: tuple[Check, ...] = (
    filter_leaves_the_input_untouched,
    filter_windows_equal_whole,
    filter_stands_degenerate_images,
    survives_json,
    refuses_unknown_parameters,
)
CLEANER_CHECKS: tuple[Check, ...] = (
    cleaner_keeps_ids,
    cleaner_pieces_equal_whole,
    cleaner_stands_degenerate_results,
    survives_json,
    refuses_unknown_parameters,
)
