"""What is known of a set of labelled images (its fingerprint), and how a network is trained for it (the plan).

The plan follows from the fingerprint by rules, as in nnU-Net (Isensee et al. 2021, doi:10.1038/s41592-020-01008-z); it
is plain, readable data, and may be changed before it is used.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from segmentry.errors import ParameterError
from segmentry.learn.architecture import Architecture
from segmentry.learn.augmentation import Augmentation
from segmentry.learn.blocks import BLOCK
from segmentry.learn.loss import Loss
from segmentry.learn.representation import Representation, representation
from segmentry.learn.scaling import Scaling
from segmentry.parameters import explained

__all__ = ["Fingerprint", "Plan", "grown", "planned"]

#: Pixels of a training crop, by the number of dimensions, and crops that are seen at once.
CROP = {2: 256**2, 3: 56**3}
BATCH = {2: 8, 3: 4}
#: Levels beyond the finest, and numbers per pixel in the finest.
LEVELS = {2: 4, 3: 3}
WIDTH = {2: 32, 3: 16}
WIDEST = {2: 256, 3: 128}
#: Pixels that the coarsest level has at least along an axis.
COARSEST = 4
#: Spacings along two axes that differ by less are alike.
ALIKE = 2.0

Ratio = Annotated[float, Field(ge=0, le=1)]


class Fingerprint(BaseModel):
    """What is known of a set of images and labels.

    Shapes and spacings are along the spatial axes; diameters are those of circles or balls of the size of an object,
    in pixels.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    images: int = Field(ge=1, description="How many.")
    channels: tuple[str, ...] = Field(
        description="Names of the channels; one without a name for images that have none."
    )
    shape: tuple[int, ...] = Field(description="Median length of each spatial axis.")
    largest: tuple[int, ...] = Field(description="Largest length of each spatial axis.")
    spacing: tuple[float, ...] | None = Field(description="Median size of a pixel; none where it is not known.")
    unit: str | None = Field(description="Unit of the spacing.")
    one_spacing: bool = Field(description="Whether all images have that spacing, within a twentieth.")
    task: Literal["semantic", "instances"] = Field(description="Whether labels are classes, or ids of objects.")
    names: tuple[str, ...] = Field(description="Names of the classes, the background first.")
    pixels: tuple[int, ...] = Field(description="How many pixels each class has; of objects, background and the rest.")
    unlabelled: Ratio = Field(description="Share of the pixels that nobody told anything of.")
    objects: int = Field(ge=0, description="How many objects there are; 0 for classes.")
    diameters: tuple[float, float, float] | None = Field(
        description="Diameter that 5 %, half and 95 % of the objects don't exceed; none for classes."
    )
    intensities: tuple[tuple[float, float], ...] = Field(description="Mean and standard deviation of each channel.")

    @property
    def dimensions(self) -> int:
        """Number of spatial axes."""
        return len(self.shape)


class Plan(BaseModel):
    """How a network is trained: everything that decides what it becomes."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    representation: str = Field(max_length=100, description="What of the labels is learned.")
    parameters: dict[str, Any] = Field(default={}, description="Parameters of the representation.")
    architecture: Architecture
    spacing: tuple[float, ...] | None = Field(
        default=None, description="Size of a pixel that images are brought to; none: they stay as they are."
    )
    unit: str | None = Field(default=None, description="Unit of the spacing.")
    scaling: Scaling = Scaling()
    loss: Loss = Loss()
    augmentation: Augmentation = Augmentation()
    patch: tuple[Annotated[int, Field(ge=1, le=4096)], ...] = Field(
        min_length=2, max_length=3, description="Length of a training crop along each axis."
    )
    batch: int = Field(ge=1, le=1024, description="Crops that are learned from at once.")
    steps: int = Field(default=2000, ge=1, le=10**7, description="How often weights are changed.")
    check_every: int = Field(default=100, ge=1, le=10**6, description="Steps between two looks at the images held out.")
    patience: int = Field(
        default=20, ge=1, le=10**6, description="Training ends early after so many looks that brought nothing better."
    )
    learning_rate: float = Field(default=2e-3, gt=0, le=10, description="Largest step of AdamW.")
    weight_decay: float = Field(default=1e-2, ge=0, le=1, description="Pull of the weights towards 0.")
    warm_up: Ratio = Field(
        default=0.03, description="Share of the steps in which the learning rate rises; then it falls to 0."
    )
    average: float = Field(
        default=0.99,
        ge=0,
        lt=1,
        description="Weights are averaged over the steps, each step's share being one less this.",
    )
    foreground: Ratio = Field(
        default=0.67, description="Share of the crops that hold a class other than background for certain."
    )
    held_out: float = Field(
        default=0.2, gt=0, lt=1, description="Share of the images that are held out for validation."
    )
    seed: int = Field(default=0, ge=0, le=2**63 - 1, description="Of what is left to chance.")

    @model_validator(mode="after")
    def _fitting(self) -> Self:
        multiple = self.architecture.multiple
        if len(self.patch) != len(multiple) or any(n % m for n, m in zip(self.patch, multiple, strict=True)):
            raise ValueError(f"the lengths of patch, {self.patch}, must be multiples of the network's {multiple}")
        stem = self.architecture.stem or (1,)
        if self.parameters.get("block", 1) != 1 and any(step % BLOCK for step in stem):
            raise ValueError(f"parameters.block needs an architecture.stem of {BLOCK} along each axis; it has {stem}")
        return self

    def representing(self) -> Representation:
        """Return the representation with its parameters."""
        return representation(self.representation, **self.parameters)

    def changed(self, values: dict[str, Any]) -> Self:
        """Return the plan with some values replaced, by their names; parts of parts are named with dots.

        Raises
        ------
        ParameterError
            When there is no such name, or a value does not fit.
        """
        content = self.model_dump(mode="json")
        for name, value in values.items():
            place = content
            *path, last = name.split(".")
            for part in path:
                place = place.get(part) if isinstance(place, dict) else None  # type: ignore[assignment]
            if not isinstance(place, dict) or (last not in place and path != ["parameters"]):
                raise ParameterError(f"a plan has no {name!r}: it has {', '.join(content)}")
            place[last] = value
        return self.from_dict(content)

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> Self:
        """Return the plan in plain data.

        Raises
        ------
        ParameterError
            When it is none.
        """
        try:
            return cls.model_validate(content)
        except ValidationError as error:
            raise ParameterError(explained("plan", list(cls.model_fields), error)) from None


def planned(found: Fingerprint, representation_name: str = "") -> Plan:
    """Return how a network is trained for data of a fingerprint, by rules.

    Parameters
    ----------
    found
        What is known of the data.
    representation_name
        What is learned; for none, classes are, and of objects interior and boundary.
    """
    chosen = representation_name or ("classes" if found.task == "semantic" else "boundary")
    target = found.spacing if found.spacing and not found.one_spacing else None
    ratio = _ratio(found.spacing)
    shape = _at_target(found, target)
    patch, strides, kernels = _geometry(shape, ratio)
    ndim = found.dimensions
    widths = tuple(min(WIDTH[ndim] * 2**i, WIDEST[ndim]) for i in range(len(strides) + 1))
    heads = representation(chosen).heads(found.names, ndim)
    architecture = Architecture(
        channels=len(found.channels),
        outputs=sum(head.channels for head in heads),
        widths=widths,
        strides=strides,
        kernels=kernels,
        deep_supervision=len(strides) > 2,
    )
    balanced = found.task == "semantic"
    return Plan(
        representation=chosen,
        architecture=architecture,
        spacing=target,
        unit=found.unit if target else None,
        loss=Loss(name="dice_cross_entropy") if balanced else Loss(name="cross_entropy"),
        scaling=Scaling(by="percentiles" if found.task == "instances" or ndim == 2 else "deviation"),
        augmentation=Augmentation.microscopy() if found.task == "instances" else Augmentation(),
        patch=patch,
        batch=BATCH[ndim],
    )


def _ratio(spacing: Sequence[float] | None) -> tuple[float, ...] | None:
    return None if spacing is None else tuple(s / min(spacing) for s in spacing)


def _at_target(found: Fingerprint, target: Sequence[float] | None) -> tuple[int, ...]:
    if target is None or found.spacing is None:
        return found.shape
    return tuple(max(1, round(n * s / t)) for n, s, t in zip(found.shape, found.spacing, target, strict=True))


def _geometry(
    shape: Sequence[int], ratio: Sequence[float] | None
) -> tuple[tuple[int, ...], tuple[tuple[int, ...], ...], tuple[tuple[int, ...], ...]]:
    """Return the crop, how much coarser each level is, and the lengths of its filters.

    An axis along which pixels are long stays as it is, and filters look along the others only, until pixels are about
    as long along all.
    """
    ndim = len(shape)
    size = list(ratio or (1.0,) * ndim)
    lengths = _crop(shape, size)
    strides: list[tuple[int, ...]] = []
    kernels = [tuple(1 if s > ALIKE * min(size) else 3 for s in size)]
    left = list(lengths)
    while len(strides) < LEVELS[ndim]:
        finest = min(size)
        stride = tuple(2 if s < ALIKE * finest and n // 2 >= COARSEST else 1 for s, n in zip(size, left, strict=True))
        if max(stride) == 1:
            break
        strides.append(stride)
        size = [s * k for s, k in zip(size, stride, strict=True)]
        left = [-(-n // k) for n, k in zip(left, stride, strict=True)]
        kernels.append(tuple(1 if s > ALIKE * min(size) else 3 for s in size))
    multiple = [math.prod(s[axis] for s in strides) for axis in range(ndim)]
    return (
        grown(lengths, multiple),
        tuple(strides),
        tuple(kernels) if any(1 in k for k in kernels) or not strides else (),
    )


def grown(lengths: Sequence[int], multiple: Sequence[int]) -> tuple[int, ...]:
    """Return the next lengths that are multiples."""
    return tuple(-(-n // m) * m for n, m in zip(lengths, multiple, strict=True))


def _crop(shape: Sequence[int], size: Sequence[float]) -> list[int]:
    """Return the lengths of a crop of the usual number of pixels, as long in space along all axes as images allow."""
    room, lengths = float(CROP[len(shape)]), [0.0] * len(shape)
    free = list(range(len(shape)))
    while free:
        side = (room * math.prod(size[i] for i in free)) ** (1 / len(free))
        full = [i for i in free if shape[i] <= side / size[i]]
        if not full:
            for i in free:
                lengths[i] = side / size[i]
            break
        for i in full:
            lengths[i] = float(shape[i])
            room /= shape[i]
            free.remove(i)
    return [max(1, round(n)) for n in lengths]
