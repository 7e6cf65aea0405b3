"""What a network is trained to make small, said without torch; :mod:`segmentry.learn.networks.losses` computes it."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from segmentry.errors import InputError, ParameterError
from segmentry.parameters import explained

__all__ = ["Loss", "class_weights"]

Weight = Annotated[float, Field(ge=0, le=1000)]


class Loss(BaseModel):
    """How wrong scores are about the classes of pixels.

    Examples
    --------
    >>> Loss(name="focal", weights="balanced").gamma
    2.0
    """

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True, allow_inf_nan=False)

    name: Literal["cross_entropy", "dice", "focal", "tversky", "dice_cross_entropy"] = Field(
        "dice_cross_entropy",
        description="`cross_entropy`: every pixel counts alike; `dice`: every class does, however few pixels it has;"
        " `dice_cross_entropy`: the sum of both; `focal`: pixels that are told well already count little; `tversky`:"
        " like `dice`, but what is missed and what is too much weigh differently.",
    )
    gamma: float = Field(
        2.0, ge=0, le=10, description="How little pixels that are told well count in `focal`; 0: as in `cross_entropy`."
    )
    alpha: float = Field(0.3, gt=0, le=10, description="How much pixels that are too much weigh in `tversky`.")
    beta: float = Field(0.7, gt=0, le=10, description="How much pixels that are missed weigh in `tversky`.")
    over: Literal["batch", "sample"] = Field(
        "batch",
        description="Whether `dice` and `tversky` compare classes in all patches of a batch at once, or in each.",
    )
    background: bool = Field(
        True, description="Whether class 0 is one of the classes that `dice` and `tversky` compare."
    )
    weights: Literal["none", "balanced"] | tuple[Weight, ...] = Field(
        "none",
        description="How much each class counts: all alike (`none`), rare ones more (`balanced`, from the numbers of"
        " pixels), or one number per class. In `dice_cross_entropy` they are those of the cross-entropy.",
    )

    def __init__(self, /, **values: Any) -> None:
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise ParameterError(explained("loss", list(type(self).model_fields), error)) from None

    @model_validator(mode="after")
    def _countable(self) -> Self:
        if not isinstance(self.weights, str) and not any(self.weights):
            raise ValueError("one of the weights must be more than 0")
        return self


def class_weights(counts: ArrayLike, most: float = 10.0) -> NDArray[np.float64]:
    """Return a weight for each class, from how many pixels each has: the rarer, the more.

    It is the median of the numbers of pixels divided by the number at hand (Eigen & Fergus 2015,
    doi:10.1109/ICCV.2015.304), cut off at `most` and at its inverse. A class without pixels has weight 1 and no part
    in the median.

    Examples
    --------
    >>> class_weights([80, 20, 10, 0]).tolist()
    [0.25, 1.0, 2.0, 1.0]
    """
    found = np.asarray(counts, np.float64)
    if found.ndim != 1 or not found.size or not np.isfinite(found).all() or (found < 0).any():
        raise InputError(f"weights need one number of pixels per class, none negative; got {counts!r}")
    if most < 1:
        raise ParameterError(f"most is {most:g}; it must be 1 or more")
    weights = np.ones(found.shape)
    seen = found > 0
    if seen.any():
        weights[seen] = np.clip(np.median(found[seen]) / found[seen], 1 / most, most)
    return weights
