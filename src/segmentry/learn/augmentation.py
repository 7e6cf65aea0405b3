"""How examples are varied in training, said without torch; :mod:`segmentry.learn.networks.augmentation` does it.

Space is moved in physical units: rotation and scale about the middle, and free-form bending by cubic B-splines
(Rueckert 1999, doi:10.1109/42.796284) whose points move so little that nothing folds (Choi & Lee 2000,
doi:10.1006/gmod.2000.0531).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from segmentry.errors import InputError, ParameterError
from segmentry.parameters import explained

__all__ = ["Augmentation", "Movement", "factors", "movement", "moving", "rotations"]

#: A volume whose planes lie further apart than this many pixels is moved within its planes only.
COARSE = 3.0


def _ordered(given: tuple[float, float]) -> tuple[float, float]:
    if given[0] > given[1]:
        raise ValueError(f"the first number ({given[0]:g}) must not exceed the second ({given[1]:g})")
    return given


Probability = Annotated[float, Field(ge=0, le=1)]
_Angle = Annotated[float, Field(ge=-180, le=180)]
_Factor = Annotated[float, Field(ge=0.2, le=5)]
_Shift = Annotated[float, Field(ge=-5, le=5)]
_Amount = Annotated[float, Field(ge=0, le=5)]
_Sigma = Annotated[float, Field(ge=0, le=10)]
_Share = Annotated[float, Field(ge=0.1, le=1)]
_Move = Annotated[float, Field(ge=0, le=0.4)]
Ordered = AfterValidator(_ordered)


class Augmentation(BaseModel):
    """By what, how often and how much examples differ from the images they come from.

    The defaults follow Isensee 2021, doi:10.1038/s41592-020-01008-z, with more that moves, for few images. Intensities
    are changed relative to the example at hand, whatever its range.

    Examples
    --------
    >>> Augmentation(scale=(0.5, 2)).scale
    (0.5, 2.0)
    """

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True, allow_inf_nan=False)

    flip_probability: Probability = Field(0.5, description="How often an example is mirrored, along each axis.")
    flip_axes: tuple[Literal["Z", "Y", "X"], ...] = Field(
        ("Z", "Y", "X"), description="Axes along which it may be mirrored."
    )
    rotation_probability: Probability = Field(0.3, description="How often it is rotated.")
    angle: Annotated[tuple[_Angle, _Angle], Ordered] = Field(
        (-180, 180),
        description="Rotation within the plane in degrees, anticlockwise, of images and of volumes with coarse planes.",
    )
    tilt: Annotated[tuple[_Angle, _Angle], Ordered] = Field(
        (-30, 30), description="Rotation about each of the three axes in degrees, of all other volumes."
    )
    scale_probability: Probability = Field(0.3, description="How often objects are made larger or smaller.")
    scale: Annotated[tuple[_Factor, _Factor], Ordered] = Field(
        (0.7, 1.4), description="How many times larger they become, along all axes."
    )
    elastic_probability: Probability = Field(0.2, description="How often space is bent.")
    elastic_distance: float = Field(
        32, ge=4, le=1000, description="Distance between the points that bend it, in pixels of the finest axis."
    )
    elastic: Annotated[tuple[_Move, _Move], Ordered] = Field(
        (0.05, 0.25), description="How far these points move at most, as a share of their distance; 0.4 never folds."
    )
    noise_probability: Probability = Field(0.1, description="How often noise is added.")
    noise: Annotated[tuple[_Amount, _Amount], Ordered] = Field(
        (0, 0.3), description="Standard deviation of the noise, as a multiple of that of the example."
    )
    blur_probability: Probability = Field(0.2, description="How often it is blurred.")
    blur: Annotated[tuple[_Sigma, _Sigma], Ordered] = Field(
        (0.5, 1), description="Standard deviation of the blur, in pixels of the finest axis."
    )
    brightness_probability: Probability = Field(0.15, description="How often it is made brighter or darker.")
    brightness: Annotated[tuple[_Shift, _Shift], Ordered] = Field(
        (-0.3, 0.3), description="What is added, as a multiple of the standard deviation of the example."
    )
    contrast_probability: Probability = Field(0.15, description="How often contrast changes.")
    contrast: Annotated[tuple[_Factor, _Factor], Ordered] = Field(
        (0.75, 1.25), description="How many times further from their mean intensities come to lie."
    )
    resolution_probability: Probability = Field(0.25, description="How often pixels are made coarser, and fine again.")
    resolution: Annotated[tuple[_Share, _Share], Ordered] = Field(
        (0.5, 1), description="How many coarse pixels there are for one of the finest axis."
    )
    gamma_probability: Probability = Field(0.3, description="How often dark parts gain or lose against bright ones.")
    inverted_gamma_probability: Probability = Field(0.1, description="How often bright parts do, against dark ones.")
    gamma: Annotated[tuple[_Factor, _Factor], Ordered] = Field(
        (0.7, 1.5), description="Exponent of intensities between the least (0) and the greatest (1)."
    )

    def __init__(self, /, **values: Any) -> None:
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise ParameterError(explained("augmentation", list(type(self).model_fields), error)) from None

    @classmethod
    def none(cls, **values: Any) -> Self:
        """Return one that changes nothing but what is given."""
        never = dict.fromkeys((name for name in cls.model_fields if name.endswith("probability")), 0.0)
        return cls(**{**never, **values})

    @classmethod
    def microscopy(cls, **values: Any) -> Self:
        """Return one for cells and the like: they lie anywhere, their size and the light vary much."""
        more = {"rotation_probability": 0.5, "scale_probability": 0.5, "scale": (0.6, 1.6), "elastic_probability": 0.3}
        light = {"brightness_probability": 0.3, "contrast_probability": 0.3, "contrast": (0.6, 1.5)}
        return cls(**{**more, **light, "noise_probability": 0.2, **values})


def moving(spacing: Sequence[float]) -> int:
    """Return how many of the last axes are moved: all, or those of the planes where these lie far apart.

    >>> moving((1, 1, 1)), moving((5, 1, 1)), moving((1, 1))
    (3, 2, 2)
    """
    return 2 if spacing[0] > COARSE * min(spacing[-2:]) else len(spacing)


def rotations(degrees: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return where to look for what is rotated, one matrix per row: in a plane, or about the axes Z, Y and X in turn.

    Parameters
    ----------
    degrees : (n, 1) or (n, 3) array
        The first turns Y and X anticlockwise as they are shown, as `np.rot90` does.
    """
    size = 2 if degrees.shape[1] == 1 else 3
    found = np.broadcast_to(np.eye(size), (len(degrees), size, size))
    for turn, (first, second) in zip(degrees.T, ((-2, -1), (-3, -1), (-3, -2)), strict=False):
        step = np.tile(np.eye(size), (len(degrees), 1, 1))
        step[:, first, first] = step[:, second, second] = np.cos(np.deg2rad(turn))
        step[:, first, second] = np.sin(np.deg2rad(turn))
        step[:, second, first] = -np.sin(np.deg2rad(turn))
        found = found @ step
    return np.asarray(found)


@dataclass(frozen=True)
class Movement:
    """How space is moved for one patch.

    Attributes
    ----------
    patch
        Its shape.
    matrix
        What the distance of a pixel from the middle, in pixels, is multiplied by to know where to look, along the axes
        that are moved: the last ones. ``None``: nothing is moved.
    bent : (axes, *patch) float32 array
        How many pixels further along each of these axes to look, or ``None``.
    """

    patch: tuple[int, ...]
    matrix: NDArray[np.float64] | None = None
    bent: NDArray[np.float32] | None = None

    @property
    def window(self) -> tuple[int, ...]:
        """How large a crop it needs; it exceeds the patch by an even number of pixels along each axis."""
        if self.matrix is None:
            return self.patch
        sides = np.array(self.patch[-len(self.matrix) :])
        needed = np.abs(self.matrix) @ ((sides - 1) / 2)
        if self.bent is not None:
            needed = needed + np.abs(self.bent).reshape(len(sides), -1).max(axis=1)
        return _grown(self.patch, needed)


def movement(
    augmentation: Augmentation, patch: Sequence[int], spacing: Sequence[float] | None, rng: np.random.Generator
) -> Movement:
    """Draw how space is moved for one patch."""
    patch, spacing = _given(patch, spacing)
    axes = moving(spacing)
    steps = np.array(spacing[-axes:], np.float64)
    matrix, bent = np.eye(axes), None
    turns, scales, bends = rng.random(3) < (
        augmentation.rotation_probability,
        augmentation.scale_probability,
        augmentation.elastic_probability,
    )
    if turns:
        limits, count = (augmentation.angle, 1) if axes == 2 else (augmentation.tilt, 3)
        matrix = rotations(rng.uniform(*limits, (1, count)))[0] * steps / steps[:, None]
    if scales:
        matrix = matrix / factors(augmentation.scale, 1, rng)
    if bends:
        bent = _bending(patch[-axes:], steps, augmentation, rng)
    return Movement(patch, matrix, bent) if turns or scales or bends else Movement(patch)


def factors(limits: tuple[float, float], count: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Draw numbers between limits, as often by half as by twice."""
    return np.exp(rng.uniform(math.log(limits[0]), math.log(limits[1]), count))


def _given(patch: Sequence[int], spacing: Sequence[float] | None) -> tuple[tuple[int, ...], tuple[float, ...]]:
    steps = (1.0,) * len(patch) if spacing is None else tuple(float(s) for s in spacing)
    if not 2 <= len(patch) == len(steps) <= 3 or min(patch) < 1 or min(steps) <= 0:
        raise InputError(
            f"a patch of shape {tuple(patch)} and a spacing of {steps} don't fit: expected two or three axes"
        )
    return tuple(int(n) for n in patch), steps


def _grown(patch: tuple[int, ...], needed: NDArray[np.float64]) -> tuple[int, ...]:
    """Return a patch that reaches so many pixels from its middle along the last axes, never fewer than it did."""
    sides = np.array(patch[-len(needed) :])
    more = np.ceil(np.maximum(needed - (sides - 1) / 2 - 1e-6, 0)).astype(int)
    return (*patch[: -len(needed)], *(int(n) for n in sides + 2 * more))


def _bending(
    sides: tuple[int, ...], steps: NDArray[np.float64], augmentation: Augmentation, rng: np.random.Generator
) -> NDArray[np.float32]:
    """Return how many pixels each pixel of a patch looks aside, per axis: a B-spline of points moved at random."""
    distance = augmentation.elastic_distance * steps.min()
    reach = rng.uniform(*augmentation.elastic) * distance
    splines = [_spline(np.arange(n) * step / distance + rng.random()) for n, step in zip(sides, steps, strict=True)]
    found = rng.uniform(-reach, reach, (len(sides), *(spline.shape[1] for spline in splines))).astype(np.float32)
    found /= steps.astype(np.float32).reshape(-1, *(1,) * len(sides))
    for spline in splines:
        found = np.tensordot(found, spline, axes=(1, 1))
    return found


def _spline(places: NDArray[np.float64]) -> NDArray[np.float32]:
    """Return the weight of each point of a uniform cubic B-spline at places from 0 up, one row per place."""
    cell = np.floor(places).astype(int)
    t = places - cell
    weights = (1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, -3 * t**3 + 3 * t**2 + 3 * t + 1, t**3
    found = np.zeros((len(places), cell[-1] + 4), np.float32)
    for point, weight in enumerate(weights):
        found[np.arange(len(places)), cell + point] = weight / 6
    return found
