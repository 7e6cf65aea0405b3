"""A scene becomes an image with its truth."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from segmentry.errors import InputError
from segmentry.image import RGB, Image
from segmentry.result import Instances
from segmentry.simulation.nuclei import LARGEST, check_shape, grid_of
from segmentry.simulation.scene import Scene

__all__ = ["simulate"]


def simulate(
    scene: Scene,
    shape: Sequence[int],
    seed: int = 0,
    *,
    spacing: Sequence[float] | None = None,
    unit: str = "um",
) -> tuple[Image, Instances]:
    """Return an image of a scene, and the objects in it.

    Parameters
    ----------
    scene
        What there is, and how it is seen.
    shape : (Y, X) or (Z, Y, X)
    seed
        The same seed gives the same image.
    spacing, unit
        Pixel size per axis; not known when left out. Nuclei are round in space, not in pixels.

    Returns
    -------
    image
        uint8 or, for more than 8 bits, uint16; with the axis ``"C"`` (red, green, blue) for a section. Its provenance
        holds scene and seed.
    truth
        uint32 labels in raster order, each object of one piece.

    Raises
    ------
    InputError
        When shape, spacing or seed are not possible, or a volume is asked for of what is seen in planes only.

    Examples
    --------
    >>> image, truth = simulate(Scene(radius=7), (96, 128), seed=1)
    >>> image.dtype, len(truth) > 5
    (dtype('uint16'), True)
    """
    from segmentry.simulation.imaging import expose, light_of
    from segmentry.simulation.layout import Room
    from segmentry.simulation.specimen import prepare

    shape = tuple(int(n) for n in shape)
    check_shape(shape, spacing)
    if len(shape) == 3 and scene.absorbs:
        raise InputError(f"{scene.kind} is seen in planes: a shape of two numbers is needed, not {shape}")
    if math.prod(shape) * scene.binning**2 > LARGEST:
        raise InputError(f"shape {shape}, binned {scene.binning} x {scene.binning}: at most {LARGEST:,} pixels can be")
    if seed < 0:
        raise InputError(f"seed {seed} must not be negative")
    grid = grid_of(shape, spacing, unit)
    rng = np.random.default_rng(seed)
    flat = len(shape) == 2
    steps = np.array([1.0, *grid.anisotropy][-3:])
    steps[1:] /= scene.binning
    depth, height, width = (1, *shape)[-3:]
    fine = (depth, height * scene.binning, width * scene.binning)
    room = Room(fine, steps, flat)
    specimen = prepare(scene, room, rng)
    seen = [expose(scene, light, rng).reshape(shape) for light in light_of(scene, specimen, room, rng)]
    made = {"simulated": {"scene": scene.settings(), "seed": seed}}
    truth = Instances.from_labels(specimen.truth.reshape(shape), grid).renumbered()
    if len(seen) == 1:
        return Image(seen[0], grid, name=scene.kind, provenance=made), truth
    return Image(np.stack(seen), grid.with_axis("C", 3), RGB, scene.kind, made), truth
